"""How a scripted device misbehaves, and what befalls it: the records of a world file, and whose turn it is.

RULES: times are seconds since the start of the device. An event that is repeated is missed, not made up for, when its
time has passed more than once. Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.device.reach import WAKES
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.values import Value

REBOOT: Final = "reboot"
ADDRESS: Final = "address"
UPDATE: Final = "update"
DEREGISTER: Final = "deregister"
DIE: Final = "die"
OFFLINE: Final = "offline"
SET: Final = "set"
DEEDS: Final = (REBOOT, ADDRESS, UPDATE, DEREGISTER, DIE, OFFLINE, SET)
"""What can happen to a device."""


@attrs.frozen(slots=True)
class Behaviour:
    """What a device does to its datagrams.

    It sleeps ``awake`` seconds after its last one, with its socket closed, until its registration or something of
    ``wakes`` has to be sent, but for ``asleep`` seconds at most (None: it never sleeps, it sleeps on). Then it has
    another port, unless it ``keeps_port``. It swallows every ``drop``\\ th answer and spoils every ``wrong``\\ th, to
    which it gives ``wrong_code`` (0: none); each one leaves between ``late[0]`` and ``late[1]`` seconds late. A
    datagram is lost with the probability ``loss``, in both directions.
    """

    awake: float | None = None
    asleep: float | None = None
    drop: int = 0
    wrong: int = 0
    wrong_code: int = numbers.INTERNAL_SERVER_ERROR
    late: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    wakes: tuple[str, ...] = WAKES
    keeps_port: bool = False


NO_BEHAVIOUR: Final = Behaviour()
"""Nothing out of the ordinary."""


@attrs.frozen(slots=True)
class Event:
    """What happens at ``at``, and again every ``every`` seconds.

    ``back`` is after how many seconds a device that went returns (None: never); ``path`` and ``value`` are those of
    ``set``; ``quiet`` is a change of address that the device itself does not notice.
    """

    do: str
    at: float
    every: float | None = None
    back: float | None = None
    path: Path = ROOT
    value: Value | None = None
    quiet: bool = False


class Timeline:
    """The events of one device, which started at ``now`` (Unix time)."""

    __slots__ = ("_began", "_dues", "_events")

    def __init__(self, events: Sequence[Event], now: float) -> None:
        self._events = events
        self._began = now
        self._dues = [now + event.at for event in events]

    def next_deadline(self) -> float | None:
        """When the next event is due, None for never."""
        due = min(self._dues, default=math.inf)
        return None if due == math.inf else due

    def take(self, now: float) -> Iterator[Event]:
        """The events that are due, in the order of their times; then those of the file."""
        due = sorted((when, index) for index, when in enumerate(self._dues) if when <= now)
        for when, index in due:
            event = self._events[index]
            every = event.every
            self._dues[index] = math.inf if every is None else when + (math.floor((now - when) / every) + 1) * every
        for _, index in due:
            yield self._events[index]
