"""Functions of time: what a moving Resource holds so many seconds after its device started.

RULES: a function is a frozen value that any number of devices share; ``player`` makes what runs for one device, from a
key that makes its chance reproducible. A player is asked with times that never go back; what it answers depends on
function, key and time only, not on how often it was asked. ``after`` is the next moment at which the value may change.
Nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from typing import Final, Protocol

import attrs

from lwm2md.lwm2m.values import Value

NEVER: Final = math.inf

_MAX_CATCH_UP: Final = 1000
_WIDTH: Final = 2.0**64
_START: Final = 2**63


class Player(Protocol):
    """A function that runs for one Resource of one device."""

    def value(self, elapsed: float) -> Value:
        """The value ``elapsed`` seconds after the start."""

    def after(self, elapsed: float) -> float:
        """The first moment after ``elapsed`` at which the value may be another one; NEVER for none."""


class Function(Protocol):
    """What a world file says of a moving Resource."""

    def player(self, key: bytes) -> Player:
        """One that runs; ``key`` (16 bytes) stands for device and Resource."""


def chance(key: bytes, index: int) -> float:
    """The ``index``th reproducible number of a key: from 0 up to, but not including, 1."""
    digest = hashlib.blake2b(index.to_bytes(8, "big"), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big") / _WIDTH


def key_of(*names: str) -> bytes:
    """The key that belongs to some names."""
    return hashlib.blake2b("\0".join(names).encode("utf-8", "replace"), digest_size=16).digest()


def _next(elapsed: float, step: float) -> float:
    count = math.floor(elapsed / step) + 1
    # A quotient may round down to the step that is just over.
    return count * step if count * step > elapsed else (count + 1) * step


def _steps(elapsed: float, step: float) -> int:
    count = math.floor(elapsed / step)
    return count + 1 if (count + 1) * step <= elapsed else count


@attrs.frozen(slots=True)
class Sine:
    """``offset + amplitude * sin(2 pi (t / period + phase))``, sampled every ``every`` seconds.

    ``phase`` is a share of the period; None gives every device one of its own.
    """

    period: float
    amplitude: float = 1.0
    offset: float = 0.0
    phase: float | None = 0.0
    every: float = 10.0

    def player(self, key: bytes) -> Player:
        """Itself, with a phase."""
        return self if self.phase is not None else attrs.evolve(self, phase=chance(key, 0))

    def value(self, elapsed: float) -> Value:
        """The wave at the last sample."""
        moment = _steps(elapsed, self.every) * self.every
        return self.offset + self.amplitude * math.sin(math.tau * (moment / self.period + (self.phase or 0.0)))

    def after(self, elapsed: float) -> float:
        """The next sample."""
        return _next(elapsed, self.every)


@attrs.frozen(slots=True)
class Counter:
    """``start`` and ``step`` more every ``every`` seconds; above ``limit`` it starts again."""

    start: float = 0.0
    step: float = 1.0
    every: float = 10.0
    limit: float = 2.0**31 - 1

    def player(self, key: bytes) -> Player:
        """Itself."""
        return self

    def value(self, elapsed: float) -> Value:
        """The count."""
        room = math.floor((self.limit - self.start) / self.step) + 1
        return self.start + _steps(elapsed, self.every) % room * self.step

    def after(self, elapsed: float) -> float:
        """The next count."""
        return _next(elapsed, self.every)


@attrs.frozen(slots=True)
class Cycle:
    """One value after the other, each for ``every`` seconds, and from the first again: a square wave, a toggle."""

    values: tuple[Value, ...]
    every: float = 10.0

    def player(self, key: bytes) -> Player:
        """Itself."""
        return self

    def value(self, elapsed: float) -> Value:
        """The value whose turn it is."""
        return self.values[_steps(elapsed, self.every) % len(self.values)]

    def after(self, elapsed: float) -> float:
        """The next turn."""
        return _next(elapsed, self.every)


@attrs.frozen(slots=True)
class Replay:
    """Recorded rows: each value holds from its time in seconds until the next one's.

    ``times`` ascend. With ``loop`` the first row follows the last, as long after it as the last after the one before.
    """

    times: tuple[float, ...]
    values: tuple[Value, ...]
    loop: bool = False

    def player(self, key: bytes) -> Player:
        """Itself."""
        return self

    @property
    def length(self) -> float:
        """The length of a round in seconds, NEVER without ``loop``."""
        if not self.loop or len(self.times) < 2:
            return NEVER
        return self.times[-1] - self.times[0] + self.times[-1] - self.times[-2]

    def value(self, elapsed: float) -> Value:
        """The row that holds; the first one also before its time."""
        _, index = self._place(elapsed)
        return self.values[max(0, index)]

    def after(self, elapsed: float) -> float:
        """The next row's time."""
        rounds, index = self._place(elapsed)
        if index + 1 < len(self.times):
            return rounds + self.times[index + 1]
        return NEVER if self.length == NEVER else rounds + self.length + self.times[0]

    def _place(self, elapsed: float) -> tuple[float, int]:
        """When this round began, as an addition to the rows' times, and the row that holds; -1 before the first."""
        length, begun = self.length, 0.0
        if length != NEVER and elapsed > self.times[0]:
            begun = math.floor((elapsed - self.times[0]) / length) * length
        return begun, bisect_right(self.times, elapsed - begun) - 1


@attrs.frozen(slots=True)
class Walk:
    """A random walk: every ``every`` seconds up or down by at most ``step``, turning back at ``low`` and ``high``.

    It begins at ``start``; None, which takes both bounds, lets every device begin somewhere of its own.
    """

    start: float | None
    step: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    every: float = 10.0

    def player(self, key: bytes) -> Player:
        """A walker at the start."""
        return _Walker(self, key)


class _Walker:
    """Where a walk has got to."""

    __slots__ = ("_count", "_function", "_key", "_position")

    def __init__(self, function: Walk, key: bytes) -> None:
        self._function = function
        self._key = key
        if function.start is None:
            self._position = function.low + (function.high - function.low) * chance(key, _START)
        else:
            self._position = function.start
        self._count = 0

    def value(self, elapsed: float) -> Value:
        """Walk on and say where it is; after a long silence only the last steps are made."""
        function = self._function
        count = _steps(elapsed, function.every)
        for index in range(max(self._count, count - _MAX_CATCH_UP), count):
            moved = self._position + (2 * chance(self._key, index) - 1) * function.step
            if moved < function.low:
                moved = min(2 * function.low - moved, function.high)
            elif moved > function.high:
                moved = max(2 * function.high - moved, function.low)
            self._position = moved
        self._count = max(self._count, count)
        return self._position

    def after(self, elapsed: float) -> float:
        """The next step."""
        return _next(elapsed, self._function.every)
