"""The return of a fleet: who may register now, and when the others come back.

After an outage everybody registers at once, and each Register has to be written. RULES: so many Registers may wait for
the storage, and no more; of these places half are for devices that are known already. Who finds none is told a time by
Max-Age (RFC 7252 5.10.5, 5.9.3.4): one after the other, at the pace at which Registers were written lately, those that
are known before the others, with a spread, so that devices in step come apart. Nobody is remembered, so nothing grows
with the fleet, and who comes back at any time is taken when there is room.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

_LONGEST: Final = 600.0
"""The longest that anybody is sent away for, in seconds; the spread is on top of it."""
_FIRST: Final = 1000.0
"""The pace to begin with, in Registers a second."""
_SLOWEST: Final = 1.0
_SHARE: Final = 0.8
"""The part of the pace that is given away: the rest is for those who come without having been asked to."""
_WINDOW: Final = 1.0
_SPREAD: Final = 0.25


class Ramp:
    """Decides on Registers. ``limit`` says how many may wait for the storage, ``random`` gives bytes for the spread."""

    def __init__(self, limit: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._limit = limit
        self._random = random
        self.waiting = 0
        self._pace = _FIRST
        self._known = self._last = 0.0
        self._window = self._stored = 0.0
        self._crowded = False

    def refuse(self, now: float, *, known: bool) -> int | None:
        """The Max-Age of a Register that has to come back, in seconds; None for one that may be decided."""
        limit = self._limit()
        if self.waiting < (limit if known else (limit + 1) // 2):
            return None
        self._crowded = True
        step = 1.0 / (_SHARE * self._pace)
        until = now + _LONGEST
        if known:
            when = self._known = min(max(self._known, now) + step, until)
        else:
            when = self._last = min(max(self._last, self._known, now) + step, until)
        spread = 1.0 + _SPREAD * self._random(1)[0] / 256
        return ceil((when - now) * spread)

    def begin(self, now: float) -> None:
        """A Register goes to the storage."""
        if not self.waiting:
            self._begin_window(now)
        self.waiting += 1

    def end(self, now: float, count: int = 1) -> None:
        """It was stored, or could not be; or several were."""
        self.waiting -= count
        self._stored += count
        passed = now - self._window
        if passed >= _WINDOW:
            if self._crowded:
                self._pace = max((self._pace + self._stored / passed) / 2, _SLOWEST)
            self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._window, self._stored = now, 0.0
        self._crowded = False
