"""What the parts of one engine share: outbox, chance, parameters, counters, and calls into the upper layer.

Rules: parts talk to each other by methods and share state only through this. Whatever the upper layer raises ends in
`call` or `report`, is counted, and told to `on_error` with its traceback.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from struct import Struct
from typing import Final

import attrs

from lwm2md.coap.alike import Alike
from lwm2md.coap.echo import Guard
from lwm2md.coap.interfaces import Datagram, Glance, Notice, Peer
from lwm2md.coap.memory import MessageIds
from lwm2md.coap.parameters import Limits, Parameters

_CHANCES: Final = Struct(">16H")

COUNTERS: Final = (
    "received",
    "sent",
    "malformed",
    "duplicates",
    "ignored",
    "refused",
    "overloaded",
    "abandoned",
    "challenged",
    "incomplete",
    "retransmitted",
    "timeouts",
    "undelivered",
    "bad_responses",
    "late",
    "notifications",
    "reordered",
    "resets_received",
    "resets_sent",
    "resets_withheld",
    "errors",
)


@attrs.define
class Context:
    """The shared things of one engine."""

    random: Callable[[int], bytes]
    parameters: Parameters
    parameters_for: Callable[[Peer], Parameters]
    limits: Limits
    on_error: Callable[[str], None] | None
    guard: Guard | None = None
    glance: Glance | None = None
    notice: Notice | None = None
    alike: Alike | None = None
    outbox: list[Datagram] = attrs.field(factory=list)
    counters: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(COUNTERS, 0))
    _chances: list[int] = attrs.field(init=False, factory=list)
    next_mid: Callable[[Peer, float], int] = attrs.field(init=False)
    """Takes a peer and the time; returns the message ID for the next message to it."""

    def __attrs_post_init__(self) -> None:
        self.next_mid = MessageIds(self.parameters.exchange_lifetime, self.limits.peers, self.number).next

    def number(self) -> int:
        """Return a random number of 16 bits."""
        if not self._chances:
            # Of the system, 32 bytes cost as much as two.
            self._chances += _CHANCES.unpack(self.random(_CHANCES.size))
        return self._chances.pop()

    def spread(self, most: float) -> float:
        """Return a random number from 1 to ``most``."""
        return 1 + (most - 1) * (self.number() / 0xFFFF)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call the upper layer; one bad callback must not cost the rest of the batch."""
        try:
            function(*arguments)
        except Exception:
            self.report()

    def report(self) -> None:
        """Count and tell the exception that is being handled."""
        self.counters["errors"] += 1
        if self.on_error is not None:
            self.on_error(traceback.format_exc())
