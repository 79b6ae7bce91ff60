"""Refreshed lifetimes and changed addresses on their way to storage, written behind.

RULES: a refresh costs an entry in a set. What is in there is swept into storage bit by bit, each registration once a
sweep however often it was refreshed, so that a large fleet costs little and never all at once; changes of address go
first. With the end of a sweep goes the time until which nothing is missing, from which the next start counts.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.records import Registration
from lwm2md.server.registrationrows import refresh_row
from lwm2md.server.state import State

ALIVE: Final = "alive"
PARTS: Final = 12
"""Parts of the flush interval: a sweep takes half of them, so what just missed one is stored by the end of the next."""
_MOST: Final = 5000


class Refreshes:
    """What is to be stored; ``note`` takes a registration that was refreshed."""

    note: Callable[[Registration], None]

    def __init__(self, state: State) -> None:
        self._state = state
        self._moved: set[Registration] = set()
        self._swept: set[Registration] = set()
        self._part = 0
        self._left = 0
        self._under_way = 0
        self._since: float | None = None
        self._failed = False
        self._noted: set[Registration] = set()
        self.note = self._noted.add

    def move(self, registration: Registration) -> None:
        """Take a registration that has another address now."""
        self._moved.add(registration)

    def forget(self, registration: Registration) -> None:
        """Drop a registration that ended."""
        for each in (self._moved, self._swept, self._noted):
            each.discard(registration)

    def flush(self, now: float) -> bool:
        """Ask for the next part to be stored, at most `_MOST` at once; whether there is more of it.

        To be called `PARTS` times in a flush interval, and again at once while there is more.
        """
        writes: list[Write] = []
        if not self._left:
            if not self._swept and not self._under_way:
                writes += self._turn(now)
            self._left = self._part
        chosen = _take(self._moved, _MOST)
        count = min(self._left, _MOST - len(chosen))
        chosen += _take(self._swept, count)
        self._left = self._left - count if self._swept else 0
        self._store(chosen, writes)
        return bool(self._left or self._moved)

    def finish(self, now: float) -> None:
        """Ask for everything to be stored: nothing is refreshed any more."""
        everything = self._moved | self._swept | self._noted
        for each in (self._moved, self._swept, self._noted):
            each.clear()
        while everything:
            self._store(_take(everything, _MOST), [])
        self._state.commit((_alive(now),))

    def _turn(self, now: float) -> list[Write]:
        """Begin a sweep; with the last one everything is stored that was noted before it began."""
        since, failed = self._since, self._failed
        self._swept, self._noted = self._noted, set()
        self.note = self._noted.add
        self._part = -(-len(self._swept) * 2 // PARTS)
        self._since, self._failed = now, False
        if not self._swept and not self._moved:
            return [_alive(now)]
        return [] if since is None or failed else [_alive(since)]

    def _store(self, chosen: list[Registration], writes: list[Write]) -> None:
        if not chosen and not writes:
            return
        # As the row has what is true now, this sweep's is enough for what was refreshed since it began.
        self._noted.difference_update(chosen)
        writes += [Write(stored.REFRESHES, each.endpoint, refresh_row(each)) for each in chosen]
        self._under_way += 1

        def ended(committed: bool, now: float) -> None:
            self._under_way -= 1
            if not committed:
                self._failed = True
                self._noted.update(each for each in chosen if self._state.registered(each.id) is each)

        self._state.commit(writes, (), ended)


def _take(registrations: set[Registration], most: int) -> list[Registration]:
    taken = list(islice(registrations, most))
    registrations.difference_update(taken)
    return taken


def _alive(until: float) -> Write:
    return Write(stored.META, ALIVE, str(until).encode())
