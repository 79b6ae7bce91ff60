"""Many deadlines, one timer: a heap with lazy deletion.

Rules: an item stands in the heap for its `due`; an entry whose time is not the item's `due` any more is stale and is
dropped when it comes to the top, or in one sweep when most entries are stale. So the heap stays within a few times
the number of live items, and `next_deadline` costs nothing worth naming.
"""

from __future__ import annotations

import heapq
from typing import Final, Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something with one deadline; `due` is None while there is none, and is set by `Timers` only."""

    due: float | None


Item = TypeVar("Item", bound=Timed)
_SWEEP: Final = 1024


class Timers(Generic[Item]):
    """The deadlines of many items."""

    __slots__ = ("_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._live = 0
        self._serial = 0

    def __len__(self) -> int:
        return self._live

    def schedule(self, item: Item, when: float) -> None:
        """Let `item` be due at `when`, instead of at any time before."""
        if item.due is None:
            self._live += 1
        elif item.due == when:
            return
        item.due = when
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, item))
        if len(self._heap) > _SWEEP + 4 * self._live:
            self._sweep()

    def cancel(self, item: Item) -> None:
        """Let `item` never be due; nothing happens if it is not."""
        if item.due is not None:
            item.due = None
            self._live -= 1

    def next_deadline(self) -> float | None:
        """Return when the next item is due."""
        heap = self._heap
        while heap:
            when, _, item = heap[0]
            if item.due == when:
                return when
            heapq.heappop(heap)
        return None

    def take(self, now: float) -> Item | None:
        """Return one item that is due, which then has no deadline any more, or None."""
        when = self.next_deadline()
        if when is None or when > now:
            return None
        item = heapq.heappop(self._heap)[2]
        self.cancel(item)
        return item

    def take_all(self, now: float) -> list[Item]:
        """Return every item that is due; none has a deadline any more until it is scheduled again."""
        due = []
        while (item := self.take(now)) is not None:
            due.append(item)
        return due

    def _sweep(self) -> None:
        # One entry per item survives, even where an item came back to a time it had before.
        kept = {id(entry[2]): entry for entry in self._heap if entry[2].due == entry[0]}
        self._heap = list(kept.values())
        heapq.heapify(self._heap)
