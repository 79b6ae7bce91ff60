"""The daemon's clock: Unix time that never jumps, whatever is done to the system's.

RULES: it runs with the monotonic clock and follows the wall clock slowly, at most `SLEW` faster or slower, and never
backwards. So a system clock that is set, or that was wrong after a boot without a network, ends no lifetime, fires no
timer early and stops none; the times that are shown come right by and by, and at once with a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

SLEW: Final = 0.02
"""How much of the time that passes goes into following the wall clock."""
JUMP: Final = 1.0
"""Seconds by which the clocks have to differ more than before, for it to be told."""
_INTERVAL: Final = 1.0
_FORWARD: Final = "forward"
_BACKWARD: Final = "backward"
NO_JUMPS: Final[Mapping[str, int]] = MappingProxyType({_FORWARD: 0, _BACKWARD: 0})
"""What a clock counts that nobody sets."""


class SteadyClock:
    """Unix time from ``wall`` and ``steady``, which give seconds; ``jumped`` is told of jumps, in seconds.

    ``jumps`` counts them, by direction.
    """

    def __init__(
        self, wall: Callable[[], float], steady: Callable[[], float], jumped: Callable[[float], None] = lambda _: None
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._jumped = jumped
        self.jumps = dict(NO_JUMPS)
        self._looked = steady()
        self._offset = wall() - self._looked
        self._behind = 0.0

    def seconds(self) -> float:
        """The time."""
        now = self._steady()
        if now - self._looked >= _INTERVAL:
            self._follow(now)
        return now + self._offset

    def _follow(self, now: float) -> None:
        behind = self._wall() - now - self._offset
        jump = behind - self._behind
        if abs(jump) > JUMP:
            self.jumps[_FORWARD if jump > 0 else _BACKWARD] += 1
            self._jumped(jump)
        most = SLEW * (now - self._looked)
        step = max(-most, min(most, behind))
        self._offset += step
        self._behind = behind - step
        self._looked = now
