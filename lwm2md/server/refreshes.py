"""Refreshed lifetimes and changed addresses on their way to storage, written behind.

RULES: a refresh costs a mark at its device, and nothing where it has one. What is marked is swept into storage bit by
bit, each device once a sweep however often it was refreshed, so that a large fleet costs little and never all at once;
changes of address go first. A sweep goes through the devices in the order in which they became known, which after a
start is that of their rows: neighbours in storage are written together, where in the order of the refreshes each row
would be a page of its own. With the end of a sweep goes the time until which nothing is missing, from which the next
start counts. At the end of the daemon a part goes when the one before it is stored, and that time with the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.records import Device
from lwm2md.server.registrationrows import refresh_row
from lwm2md.server.state import State

ALIVE: Final = "alive"
PARTS: Final = 12
"""Parts of the flush interval: a sweep takes all but one of them, and comes to each device as long after the one
before, so what just missed it is stored within the interval."""
_MOST: Final = 5000
"""Rows that are asked to be stored at once."""
_FAR: Final = 20_000
"""Devices that are looked at for that."""
_FEW: Final = 1024


class Refreshes:
    """What is to be stored. A device whose registration ended stays in the lists for a while, and is passed over.

    ``Device.noted`` is whether a refresh waits to be written, None for a device that is in no list.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._moved: set[Device] = set()
        # Devices that the sweep has passed or that came since it began, and those it goes through.
        self._fleet: list[Device] = []
        self._swept: list[Device] = []
        self._passed = 0
        self._count = 0
        self._ended = 0
        self._part = 0
        self._left = 0
        self._under_way = 0
        self._since: float | None = None
        self._failed = False
        self._rest: list[Device] = []
        self._ends: list[Callable[[], None]] = []

    def take(self, device: Device) -> None:
        """Take a device that has registered, or was read back."""
        if device.noted is None:
            device.noted = False
            self._fleet.append(device)

    def note(self, device: Device) -> None:
        """Take a refresh of a device; nothing changes for one that is ``noted``."""
        if not device.noted:
            device.noted = True
            self._count += 1

    def move(self, device: Device) -> None:
        """Take a device that has another address now."""
        self._moved.add(device)

    def forget(self, device: Device) -> None:
        """Drop what is to be stored of a registration that ended."""
        self._moved.discard(device)
        if device.noted:
            device.noted = False
            self._count -= 1
        self._ended += 1
        if self._ended > _FEW and self._ended * 2 > len(self._swept) + len(self._fleet):
            self._fleet = [*filter(_stays, self._fleet)]
            self._swept = [*filter(_stays, self._swept[self._passed :])]
            self._passed = self._ended = 0

    def flush(self, now: float) -> bool:
        """Ask for the next part to be stored, at most `_MOST` at once; whether there is more of it.

        To be called `PARTS` times in a flush interval, and again at once while there is more.
        """
        writes: list[Write] = []
        if not self._left:
            if self._passed == len(self._swept) and not self._under_way:
                writes += self._turn(now)
            self._left = self._part
        chosen = [self._moved.pop() for _ in range(min(_MOST, len(self._moved)))]
        self._walk(chosen)
        self._store(chosen, writes)
        return bool(self._left or self._moved)

    def finish(self, now: float, then: Callable[[], None]) -> None:
        """Ask for everything to be stored that was refreshed until now, part by part; ``then`` is called at the end."""
        noted = (each for part in (self._swept[self._passed :], self._fleet) for each in part if each.noted)
        self._rest = [*self._moved, *noted][::-1]  # taken from its end
        self._moved.clear()
        self._since, self._failed = now, False
        self._ends.append(then)
        if len(self._ends) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._rest:
            part = self._rest[: -_MOST - 1 : -1]
            del self._rest[-len(part) :]
            if self._store(part, [], self._go_on):
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
        self._since, self._failed = now, False
        if not self._count and not self._moved:
            self._part = 0
            return [_alive(now)]
        self._swept, self._fleet = self._fleet, []
        self._passed = self._ended = 0
        self._part = -(-len(self._swept) // (PARTS - 1))
        return [] if since is None or failed else [_alive(since)]

    def _walk(self, chosen: list[Device]) -> None:
        """Go on with the sweep, and add the devices to ``chosen`` of which something is to be stored."""
        far, passed, stays = min(self._left, _FAR), 0, self._fleet.append
        for device in self._swept[self._passed : self._passed + far]:
            if len(chosen) == _MOST:
                break
            passed += 1
            if device.registration is None:
                device.noted = None
                continue
            stays(device)
            if device.noted:
                chosen.append(device)
        self._passed += passed
        self._left -= passed
        if self._passed == len(self._swept):
            self._swept, self._passed, self._left = [], 0, 0

    def _store(self, chosen: list[Device], writes: list[Write], then: Callable[[], None] | None = None) -> bool:
        """Ask for some to be stored, and call ``then`` when that has ended; whether there is anything to store."""
        for device in chosen:
            # The row has what is true now: it is enough for what was refreshed since the sweep began.
            if device.noted:
                device.noted = False
                self._count -= 1
            registration = device.registration
            if registration is not None:
                writes.append(Write(stored.REFRESHES, registration.endpoint, refresh_row(registration)))
        if not writes:
            return False
        self._under_way += 1

        def ended(committed: bool, now: float) -> None:
            self._under_way -= 1
            if not committed:
                self._failed = True
                for device in chosen:
                    if device.registration is not None:
                        self.note(device)
            if then is not None:
                then()

        self._state.commit(writes, (), ended)
        return True


def _stays(device: Device) -> bool:
    """Whether a device has a registration; one that has none is in no list from now on."""
    if device.registration is None:
        device.noted = None
        return False
    return True


def _alive(until: float) -> Write:
    return Write(stored.META, ALIVE, str(until).encode())
