"""Many deadlines, one timer: what comes soon stands in a heap, what comes later in a list for each part of a second.

Rules: an item stands where its `due` belongs; where its `due` is another one by then, or None, that entry is stale and
is dropped when its turn comes, or in one sweep when most entries are stale. Nearly everything is cancelled or moved
before its time: until that time comes near it costs no more than a place in a list. So what is kept stays within a few
times the number of live items, and `next_deadline` costs nothing worth naming.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Final, Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something with one deadline; `due` is None while there is none, and is set by `Timers` only."""

    due: float | None


Item = TypeVar("Item", bound=Timed)
_SWEEP: Final = 1024
_PARTS: Final = 16
"""Of a second: each has its list."""
_LATEST: Final = 1e12
"""All that comes later, in seconds, shares a list."""
_FEW: Final = 32
"""So many are put back into a list when something comes long before them."""


class Timers(Generic[Item]):
    """The deadlines of many items."""

    __slots__ = ("_entries", "_later", "_live", "_part", "_parts", "_serial", "_soon")

    def __init__(self) -> None:
        # All that comes in `_part` or before it, and lists of what comes in each of the `_parts` behind that.
        self._soon: list[tuple[float, int, Item]] = []
        self._part = -1
        self._parts: list[int] = []
        self._later: dict[int, list[Item]] = {}
        self._entries = 0
        self._live = 0
        self._serial = count()

    def __len__(self) -> int:
        return self._live

    def schedule(self, item: Item, when: float) -> None:
        """Let `item` be due at `when`, instead of at any time before."""
        if item.due is None:
            self._live += 1
        elif item.due == when:
            return
        item.due = when
        self._entries += 1
        part = int(when * _PARTS) if 0.0 <= when < _LATEST else _part_of(when)
        if part < self._part and len(self._soon) <= _FEW:
            self._put_back()
        if part in self._later:
            self._later[part].append(item)
        elif part > self._part:
            self._keep(item, part)
        else:
            heapq.heappush(self._soon, (when, next(self._serial), item))
        if self._entries > _SWEEP + 4 * self._live:
            self._sweep()

    def cancel(self, item: Item) -> None:
        """Let `item` never be due; nothing happens if it is not."""
        if item.due is not None:
            item.due = None
            self._live -= 1

    def next_deadline(self) -> float | None:
        """Return when the next item is due."""
        soon = self._soon
        while True:
            while soon:
                when, _, item = soon[0]
                if item.due == when:
                    return when
                heapq.heappop(soon)
                self._entries -= 1
            if not self._later:
                return None
            self._go_on()

    def take(self, now: float) -> Item | None:
        """Return one item that is due, which then has no deadline any more, or None."""
        when = self.next_deadline()
        if when is None or when > now:
            return None
        item = heapq.heappop(self._soon)[2]
        self._entries -= 1
        self.cancel(item)
        return item

    def take_all(self, now: float) -> list[Item]:
        """Return every item that is due; none has a deadline any more until it is scheduled again."""
        due = []
        while (item := self.take(now)) is not None:
            due.append(item)
        return due

    def _keep(self, item: Item, part: int) -> None:
        there = self._later.get(part)
        if there is None:
            self._later[part] = [item]
            heapq.heappush(self._parts, part)
        else:
            there.append(item)

    def _go_on(self) -> None:
        """Let the next part that has items be what comes soon; the heap is empty."""
        part = self._part = heapq.heappop(self._parts)
        items = self._later.pop(part)
        self._entries -= len(items)
        self._soon += [(item.due or 0.0, next(self._serial), item) for item in items if _belongs(item, part)]
        self._entries += len(self._soon)
        heapq.heapify(self._soon)

    def _put_back(self) -> None:
        """Let nothing come soon: what did is not the next any more."""
        for when, _, item in sorted(self._soon):
            if item.due == when:
                self._keep(item, _part_of(when))
            else:
                self._entries -= 1
        self._soon.clear()
        self._part = self._parts[0] - 1 if self._parts else -1

    def _sweep(self) -> None:
        # One entry per item survives, even where an item came back to a time it had before.
        kept = {id(entry[2]): entry for entry in self._soon if entry[2].due == entry[0]}
        self._soon[:] = kept.values()
        heapq.heapify(self._soon)
        found = {
            part: [*{id(item): item for item in items if _belongs(item, part)}.values()]
            for part, items in self._later.items()
        }
        self._later = {part: items for part, items in found.items() if items}
        self._parts = sorted(self._later)
        self._entries = len(self._soon) + sum(map(len, self._later.values()))


def _part_of(when: float) -> int:
    return int(min(max(when, 0.0), _LATEST) * _PARTS)


def _belongs(item: Timed, part: int) -> bool:
    return item.due is not None and _part_of(item.due) == part
