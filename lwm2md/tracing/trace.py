"""One trace: what it is to record, what it has recorded, and the readers that follow it.

RULES: a trace records until its time is over, or its limit of messages or bytes is reached: what it has is complete
from its beginning. A reader has a position in what was recorded and no queue of its own: a slow one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import msgspec
from twisted.logger import Logger

from lwm2md.coap.message import FormatError, decode
from lwm2md.documents import time_text
from lwm2md.subscriptions import CLOSED, Delivered
from lwm2md.tracing.matching import Locate, Secrets, Wanted
from lwm2md.tracing.ring import Batch, Seen
from lwm2md.tracing.shown import document
from lwm2md.tracing.wire import Wired

MESSAGE: Final = "message"
ENDED: Final = "ended"
DURATION: Final = "duration"
LIMIT: Final = "limit"
SIZE: Final = "size"
DELETED: Final = "deleted"
FAILED: Final = "failed"
_DIGITS: Final = 9
_OVERHEAD: Final = 200
"""Bytes that a recorded datagram takes beside its own."""

_log: Final = Logger()
_encode: Final = msgspec.json.Encoder().encode


def _nowhere(_peer: bytes) -> bytes:
    """Say that a peer is named by its address."""
    return b""


class Definition(msgspec.Struct, frozen=True):
    """What is stored of a trace: which ``endpoint``, ``address`` (a prefix) or ``identity``, until when, how much, and
    whether it keeps what passes as it is on the wire, with the ``secrets`` of handshakes.
    """

    id: str
    endpoint: str | None
    address: str | None
    created: float
    ends: float
    limit: int
    identity: str | None = None
    secrets: bool = False


class TraceDocument(msgspec.Struct):
    """A trace: ``state`` is ``running`` or ``ended``, ``reason`` what ended it (``duration``, ``limit``, ``size``).

    ``messages`` counts what was recorded, ``undecodable`` what of it is no CoAP; ``size`` is the memory of it in bytes.
    Where it asked for ``secrets`` its file for Wireshark has the records of DTLS, and what opens them.
    """

    id: str
    endpoint: str | None
    address: str | None
    identity: str | None
    state: str
    reason: str | None
    created: str | None
    ends: str | None
    limit: int
    messages: int
    undecodable: int
    size: int
    secrets: bool


@attrs.define(slots=True, eq=False)
class Trace:
    """A trace, running until ``reason`` is there. ``budget`` is in bytes.

    ``origin`` is another one after every start of the daemon, for a trace then begins anew.
    """

    definition: Definition
    wanted: Wanted
    budget: int
    origin: str
    recorded: list[Seen] = attrs.Factory(list)
    readers: list[Reader] = attrs.Factory(list)
    reason: str | None = None
    size: int = 0
    undecodable: int = 0
    locate: Locate = _nowhere
    wired: Wired | None = None
    _secrets: Secrets = attrs.Factory(Secrets)

    def record(self, batch: Batch, now: float, incoming: bool) -> None:
        """Record what is wanted of a batch, and show it to the readers."""
        before = len(self.recorded)
        wants = self.wanted.wants
        for data, peer in batch:
            if wants(data, peer, incoming) and self.reason is None:
                self._add(Seen(now, incoming, data, peer, address=self.locate(peer)))
        if len(self.recorded) > before:
            self.show()

    def note(self, address: bytes, text: str, now: float) -> None:
        """Record a line about a handshake, and show it to the readers."""
        if self.reason is None:
            self._add(Seen(now, True, b"", address, note=text))
            self.show()

    def wire(self, seen: Seen) -> None:
        """Record a datagram as it was on the wire."""
        if self.wired is not None:
            self.wired.records.append(seen)
            self._grow(len(seen.data) + _OVERHEAD)

    def key(self, line: str) -> None:
        """Record the secret of a handshake, as a line of a key log."""
        if self.wired is not None:
            self.wired.keys.append(line)
            self._grow(len(line) + _OVERHEAD)

    def end(self, reason: str) -> None:
        """Record no more; the readers are told what they have not seen yet, and then of the end."""
        if self.reason is None:
            self.reason = reason
        self.show()

    def show(self) -> None:
        """Let the readers go on; one that fails is dropped."""
        for reader in self.readers[:]:
            try:
                reader.go_on()
            except Exception:
                _log.failure("a reader of trace {id} failed and is closed", id=self.definition.id)
                reader.close(FAILED)

    def position(self, last: str | None) -> int:
        """Return where a reader goes on that has read the event ``last``."""
        origin, _, number = (last or "").partition(".")
        if origin != self.origin or not (number.isascii() and number.isdigit()) or len(number) > _DIGITS:
            return 0
        return min(int(number), len(self.recorded))

    def close(self) -> None:
        """Drop the readers."""
        self.reason = self.reason or DELETED
        for reader in self.readers[:]:
            reader.close(DELETED)

    def document(self) -> TraceDocument:
        """Return what the API shows of it."""
        known = self.definition
        return TraceDocument(
            known.id,
            known.endpoint,
            known.address,
            known.identity,
            "running" if self.reason is None else "ended",
            self.reason,
            time_text(known.created),
            time_text(known.ends),
            known.limit,
            len(self.recorded),
            self.undecodable,
            self.size,
            known.secrets,
        )

    def _add(self, seen: Seen) -> None:
        self.recorded.append(seen if seen.note else self._secrets.without(seen))
        try:
            if not seen.note:
                decode(seen.data)
        except FormatError:
            self.undecodable += 1
        if len(self.recorded) >= self.definition.limit:
            self.reason = LIMIT
        self._grow(len(seen.data) + len(seen.note) + _OVERHEAD)

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size >= self.budget:
            self.reason = self.reason or SIZE


class Reader:
    """One reader of a trace: all that was recorded after ``position``, what comes, and at last the trace itself.

    ``push`` gets each as an event with its number as the id; ``on_close`` learns that there will be nothing more.
    """

    __slots__ = ("_on_close", "_paused", "_position", "_push", "_trace", "reason")

    def __init__(
        self, trace: Trace, position: int, push: Callable[[Sequence[Delivered]], None], on_close: Callable[[str], None]
    ) -> None:
        self._trace = trace
        self._position = position
        self._push = push
        self._on_close = on_close
        self._paused = False
        self.reason: str | None = None
        trace.readers.append(self)

    def pause(self) -> None:
        """Push nothing until ``resume``."""
        self._paused = True

    def resume(self) -> None:
        """Go on pushing."""
        self._paused = False
        self.go_on()

    def close(self, reason: str = CLOSED) -> None:
        """End it; harmless when it has ended already."""
        if self.reason is None:
            self.reason = reason
            self._trace.readers.remove(self)
            self._on_close(reason)

    def go_on(self) -> None:
        """Push what can be pushed now."""
        trace = self._trace
        while not self._paused and self.reason is None and self._position < len(trace.recorded):
            shown = document(trace.recorded[self._position])
            self._position += 1
            self._event(MESSAGE, shown)
        if not self._paused and self.reason is None and trace.reason is not None:
            self._event(ENDED, trace.document())
            self.close(ENDED)

    def _event(self, kind: str, shown: object) -> None:
        event_id = f"{self._trace.origin}.{self._position}"
        self._push((Delivered(event_id, kind, self._trace.definition.endpoint, {}, _encode(shown)),))
