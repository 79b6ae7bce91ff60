"""The history: what devices told, for as long as the operator keeps it, and how it is read.

RULES: values are written with their event, by `delivery`; here they are read and removed. Both go through the storage
in pages, and between two pages everybody else has their turn. What is asked for is shown in the order of the paths as
text, and of each path in the order of time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import isfinite
from typing import Final, Literal

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.lwm2m.values import Value
from lwm2md.server.stored import read_sample
from lwm2md.storage.interface import START, Place, Storage

Aggregate = Literal["mean", "min", "max", "last", "count"]
SWEEP: Final = 900.0
"""Seconds between two removals of what is too old."""
PAUSE: Final = 0.05
"""Seconds between two steps of one."""
MICRO: Final = 1e6
EVER: Final = 2**62

_PAGE: Final = 1000
_GOING: Final = 5000
"""Values that one step removes at most: a hundred thousand a second, more than come."""
_NAMES: Final = 100


@attrs.frozen(slots=True)
class Question:
    """Which values of a device are asked for.

    Those at ``path`` or below it, from time ``start`` and before ``end`` (microseconds); at most ``limit`` points,
    beginning at ``after``. With an ``aggregate`` one point stands for all values in ``every`` microseconds, or in the
    whole range where that is None.
    """

    endpoint: str
    path: str
    start: int
    end: int
    limit: int
    after: tuple[str, int] | None = None
    aggregate: Aggregate | None = None
    every: int | None = None


@attrs.frozen(slots=True)
class Point:
    """One value, or what one stands for; ``time`` in microseconds is that of the value or the begin of its period."""

    path: str
    time: int
    value: Value


class History:
    """Reads and removes. ``retention`` (seconds, 0: nothing is kept) and ``values`` (per Resource) are its limits."""

    def __init__(self, storage: Storage, clock: IReactorTime, retention: float, values: int) -> None:
        self.counters = {"removed": 0, "sweeps": 0}
        self._storage = storage
        self._clock = clock
        self._retention = retention
        self._values = values
        self._timer: IDelayedCall | None = None
        self._running = False
        self._log = Logger()

    def configure(self, retention: float, values: int) -> None:
        """Keep so much from the next sweep on."""
        self._retention, self._values = retention, values

    # Reading

    async def read(self, question: Question) -> tuple[list[Point], Point | None]:
        """The points, and the first one that there was no room for. Raises StorageError."""
        found: list[Point] = []
        async for point in self._points(question):
            if len(found) == question.limit:
                return found, point
            found.append(point)
        return found, None

    async def _points(self, question: Question) -> AsyncIterator[Point]:
        async for name in self._names(question):
            start = question.start
            if question.after is not None and question.after[0] == name:
                start = max(start, question.after[1])
            points = self._samples(question, name, start)
            async for point in points if question.aggregate is None else _summed(points, question):
                yield point

    async def _names(self, question: Question) -> AsyncIterator[str]:
        # Ids are digits, and the first one behind a slash is 0: so all below /3/0 are before /3/00.
        start, end = question.path, question.path + "0"
        if question.after is not None:
            start = max(start, question.after[0])
        while names := await self._storage.names(question.endpoint, start, end, _NAMES):
            for name in names:
                yield name
            start = names[-1] + "\0"

    async def _samples(self, question: Question, name: str, start: int) -> AsyncIterator[Point]:
        size = min(_PAGE, question.limit + 1) if question.aggregate is None else _PAGE
        while samples := await self._storage.samples(question.endpoint, name, start, question.end, size):
            for time, value in samples:
                yield Point(name, time, read_sample(value))
            start = samples[-1][0] + 1

    # Removing

    def start(self) -> None:
        """Begin to remove what is too old, or too much."""
        self._running = True
        self._later(PAUSE, START)

    def stop(self) -> None:
        """Remove nothing any more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, delay: float, place: Place) -> None:
        if self._running:
            self._timer = self._clock.callLater(delay, self._step, place)

    def _step(self, place: Place) -> None:
        self._timer = None
        before = round((self._clock.seconds() - self._retention) * MICRO)
        self._storage.thin(place, before, self._values, _GOING).addCallbacks(self._stepped, self._failed)

    def _stepped(self, outcome: tuple[Place, int]) -> None:
        place, removed = outcome
        self.counters["removed"] += removed
        if place != START:
            self._later(PAUSE, place)
            return
        self.counters["sweeps"] += 1
        self._later(SWEEP, START)

    def _failed(self, failure: Failure) -> None:
        if self._running:
            self._log.error("old values can't be removed: {error}", error=failure.value)
        self._later(SWEEP, START)


async def _summed(points: AsyncIterator[Point], question: Question) -> AsyncIterator[Point]:
    """One point for each period that has any."""
    every = question.every
    period: _Period | None = None
    async for point in points:
        begin = None if every is None else point.time // every * every
        if period is None or period.begin != begin:
            if period is not None and (done := period.point(question.aggregate)) is not None:
                yield done
            period = _Period(point, begin)
        period.take(point.value)
    if period is not None and (done := period.point(question.aggregate)) is not None:
        yield done


class _Period:
    """What is known of the values of one period: from ``begin``, or of all where that is None.

    Only finite numbers have a mean, a least and a greatest.
    """

    __slots__ = ("begin", "count", "first", "greatest", "last", "least", "numbers", "total")

    def __init__(self, first: Point, begin: int | None) -> None:
        self.first = first
        self.begin = begin
        self.count = self.numbers = 0
        self.total = 0.0
        self.last: Value = first.value
        self.least: int | float | None = None
        self.greatest: int | float | None = None

    def take(self, value: Value) -> None:
        """One more value."""
        self.count += 1
        self.last = value
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return
        self.numbers += 1
        self.total += value
        if self.least is None or value < self.least:
            self.least = value
        if self.greatest is None or value > self.greatest:
            self.greatest = value

    def point(self, aggregate: Aggregate | None) -> Point | None:
        """What stands for them; None where nothing can."""
        mean = self.total / self.numbers if self.numbers else None
        stands: dict[Aggregate | None, Value | None] = {
            "mean": mean,
            "min": self.least,
            "max": self.greatest,
            "last": self.last,
            "count": self.count,
        }
        value = stands[aggregate]
        time = self.first.time if self.begin is None else self.begin
        return None if value is None else Point(self.first.path, time, value)
