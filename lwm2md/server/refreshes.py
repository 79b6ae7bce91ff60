"""Refreshed lifetimes and changed addresses on their way to storage, written behind.

RULES: a refresh costs an entry in a list, and none where it has one. What is in there is swept into storage bit by bit,
each registration once a sweep however often it was refreshed, so that a large fleet costs little and never all at once;
changes of address go first. With the end of a sweep goes the time until which nothing is missing, from which the next
start counts. At the end of the daemon a part goes when the one before it is stored, and that time with the last one.
"""

from __future__ import annotations

from collections.abc import Callable
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
_FEW: Final = 1024


class Refreshes:
    """What is to be stored. A registration that ended stays in the lists for a while, and is passed over."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moved: set[Registration] = set()
        self._swept: list[Registration] = []
        self._noted: list[Registration] = []
        self._ended = 0
        self._part = 0
        self._left = 0
        self._under_way = 0
        self._since: float | None = None
        self._failed = False
        self._rest: list[Registration] = []
        self._ends: list[Callable[[], None]] = []

    def note(self, registration: Registration) -> None:
        """Take a registration that was refreshed; nothing changes for one that is ``noted``."""
        if not registration.noted:
            registration.noted = True
            self._noted.append(registration)

    def move(self, registration: Registration) -> None:
        """Take a registration that has another address now."""
        self._moved.add(registration)

    def forget(self, registration: Registration) -> None:
        """Drop a registration that ended."""
        self._moved.discard(registration)
        if not registration.noted:
            return
        self._ended += 1
        if self._ended > _FEW and self._ended * 2 > len(self._swept) + len(self._noted):
            self._swept = [each for each in self._swept if _is_live(each)]
            self._noted = [each for each in self._noted if _is_live(each)]
            self._ended = 0

    def flush(self, now: float) -> bool:
        """Ask for the next part to be stored, at most `_MOST` at once; whether there is more of it.

        To be called `PARTS` times in a flush interval, and again at once while there is more.
        """
        writes: list[Write] = []
        if not self._left:
            if not self._swept and not self._under_way:
                writes += self._turn(now)
            self._left = self._part
        chosen = [self._moved.pop() for _ in range(min(_MOST, len(self._moved)))]
        count = min(self._left, _MOST - len(chosen))
        chosen += _taken(self._swept, count)
        self._left = self._left - count if self._swept else 0
        self._store(chosen, writes)
        return bool(self._left or self._moved)

    def finish(self, now: float, then: Callable[[], None]) -> None:
        """Ask for everything to be stored that was refreshed until now, part by part; ``then`` is called at the end."""
        self._rest += [*self._noted, *self._swept, *self._moved]  # taken from its end
        self._moved.clear()
        self._swept, self._noted = [], []
        self._since, self._failed = now, False
        self._ends.append(then)
        if len(self._ends) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._rest:
            if self._store(_taken(self._rest, _MOST), [], self._go_on):
                return
        ends, self._ends = self._ends, []

        def ended(committed: bool, now: float) -> None:
            for end in ends:
                end()

        until = None if self._failed else self._since
        self._state.commit(() if until is None else (_alive(until),), (), ended)

    def _turn(self, now: float) -> list[Write]:
        """Begin a sweep; with the last one everything is stored that was noted before it began."""
        since, failed = self._since, self._failed
        self._swept, self._noted = self._noted, []
        self._ended = 0
        self._part = -(-len(self._swept) * 2 // PARTS)
        self._since, self._failed = now, False
        if not self._swept and not self._moved:
            return [_alive(now)]
        return [] if since is None or failed else [_alive(since)]

    def _store(self, chosen: list[Registration], writes: list[Write], then: Callable[[], None] | None = None) -> bool:
        """Ask for some to be stored, and call ``then`` when that has ended; whether there is anything to store."""
        chosen = [each for each in chosen if _is_live(each)]
        if not chosen and not writes:
            return False
        for each in chosen:
            # The row has what is true now: it is enough for what was refreshed since the sweep began.
            each.noted = False
            writes.append(Write(stored.REFRESHES, each.endpoint, refresh_row(each)))
        self._under_way += 1

        def ended(committed: bool, now: float) -> None:
            self._under_way -= 1
            if not committed:
                self._failed = True
                for each in filter(_is_live, chosen):
                    self.note(each)
            if then is not None:
                then()

        self._state.commit(writes, (), ended)
        return True


def _taken(registrations: list[Registration], most: int) -> list[Registration]:
    taken = registrations[-most:] if most else []
    del registrations[len(registrations) - len(taken) :]
    return taken


def _is_live(registration: Registration) -> bool:
    return registration.device.registration is registration


def _alive(until: float) -> Write:
    return Write(stored.META, ALIVE, str(until).encode())
