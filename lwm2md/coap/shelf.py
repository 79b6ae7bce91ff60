"""Bodies that are kept for a while: oldest first out, few for each peer, within a budget of bytes.

Rules: an entry leaves a fixed time after it was last put or touched, so the entries stand in the order of their
deadlines and no heap is needed. A peer that puts one more than it may have loses its own oldest; when the budget is
spent the oldest of all go, unless the caller asks `has_room` first and refuses.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

import attrs

from lwm2md.coap.interfaces import Peer

Key = tuple[Peer, Hashable]
"""A peer, and what tells its entries apart."""

Value = TypeVar("Value")

# What CPython needs for an entry beside its body.
_OVERHEAD: Final = 600


@attrs.define
class _Entry(Generic[Value]):
    value: Value
    size: int
    deadline: float


class Shelf(Generic[Value]):
    """A bounded mapping from `Key` to values of a known size."""

    __slots__ = ("_budget", "_entries", "_lifetime", "_owned", "_per_peer", "_spent")

    def __init__(self, lifetime: float, budget: int, per_peer: int) -> None:
        self._lifetime = lifetime
        self._budget = budget
        self._per_peer = per_peer
        self._spent = 0
        self._entries: dict[Key, _Entry[Value]] = {}
        self._owned: dict[Peer, list[Key]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def has_room(self, size: int) -> bool:
        """Tell whether `size` more bytes, in an entry of its own, fit without taking somebody else's."""
        return self._spent + size + _OVERHEAD <= self._budget

    def get(self, key: Key, now: float) -> Value | None:
        """Return what is kept under `key`."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and now < entry.deadline else None

    def put(self, key: Key, value: Value, size: int, now: float) -> None:
        """Keep `value`, instead of what was there, if it can fit at all."""
        self.pop(key)
        size += _OVERHEAD
        if size > self._budget:
            return
        owned = self._owned.setdefault(key[0], [])
        owned.append(key)
        self._entries[key] = _Entry(value, size, now + self._lifetime)
        self._spent += size
        if len(owned) > self._per_peer:
            self.pop(owned[0])
        while self._spent > self._budget:
            self.pop(next(iter(self._entries)))

    def touch(self, key: Key, more: int, now: float) -> None:
        """Let an entry, which has grown by `more` bytes, live a whole lifetime from `now`."""
        entry = self._entries.pop(key)
        entry.size += more
        self._spent += more
        entry.deadline = now + self._lifetime
        self._entries[key] = entry

    def pop(self, key: Key) -> None:
        """Keep nothing under `key` any more."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._spent -= entry.size
        owned = self._owned[key[0]]
        owned.remove(key)
        if not owned:
            del self._owned[key[0]]

    def next_deadline(self) -> float | None:
        """Return when the oldest entry leaves."""
        for entry in self._entries.values():
            return entry.deadline
        return None

    def expire(self, now: float) -> None:
        """Drop what is too old."""
        while (when := self.next_deadline()) is not None and when <= now:
            self.pop(next(iter(self._entries)))
