"""Everything of the server that happens at a time: one heap, nothing cancelled, late entries looked at again.

An entry is a time and what to call then. Whoever is called checks whether there is still something to do; that is
cheaper than to find and remove entries when plans change.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

Due = Callable[[float], None]


class Deadlines:
    """A heap of (time in Unix seconds, what to call with the time it is then)."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Due]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, time: float, due: Due) -> None:
        """Call ``due`` once ``time`` has come."""
        heappush(self._heap, (time, next(self._order), due))

    def next(self) -> float | None:
        """When the first entry is due; None when nothing is planned."""
        return self._heap[0][0] if self._heap else None

    def expire(self, now: float) -> None:
        """Call everything that is due at ``now``, in the order of the times."""
        while self._heap and self._heap[0][0] <= now:
            heappop(self._heap)[2](now)
