"""Which registrations are alive: their indexes, and when they expire.

RULES: an Update only moves a time; whether a lifetime is over, or an Update was missed, is found out when the time that
was planned before has come: one plan for both. After a start nothing expires, and nobody is overdue, for an Update that
the daemon was not there to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from lwm2md.coap.engine import Peer
from lwm2md.server import reach, stored
from lwm2md.server.effects import Write
from lwm2md.server.presence import Presence
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import Device, Registration
from lwm2md.server.refreshes import Refreshes
from lwm2md.server.state import State, location

_GRANTS: Final = 8
_PAUSE: Final = 5.0
_DAY: Final = 86400.0
"""How long a device is watched that has no lifetime, before its habits are believed; and the most that a clock grants
which was ahead.
"""


class Lifetimes:
    """The live registrations. ``expired(registration, now)`` is called for each whose lifetime is over.

    ``profiling`` is told where devices are.
    """

    def __init__(
        self, state: State, presence: Presence, profiling: Profiling, expired: Callable[[Registration, float], None]
    ) -> None:
        self._state = state
        self._presence = presence
        self._profiling = profiling
        self._expired = expired
        self._grants: list[tuple[float, float]] = []
        self.refreshes = Refreshes(state)
        self._due = self._check  # one bound method for all

    def add(self, device: Device, registration: Registration) -> None:
        """Take a registration into the indexes, and plan its expiry."""
        device.registration, registration.device = registration, device
        self.refreshes.take(device)
        self._state.registrations[location(registration.id)] = registration
        self._take_peer(registration)
        self._profiling.changed(device)
        if registration.identity is not None:
            self._state.identities.add(registration.identity, registration)
        self.plan(registration)

    def begin(self, registrations: Sequence[Registration], bare: Sequence[bool]) -> list[bytes]:
        """The same for several, each with its ``device``; the Locations are returned, as `location` writes them.

        Those that are ``bare`` have no profile.
        """
        state, take = self._state, self.refreshes.take
        paths = []
        for registration, is_bare in zip(registrations, bare, strict=True):
            device = registration.device
            device.registration = registration
            state.devices[registration.endpoint] = device
            take(device)
            path = location(registration.id)
            state.registrations[path] = registration
            paths.append(path)
            state.peers.add(registration.peer, registration)
            when = self._next_look(registration)
            if when is not None:
                self._look(registration, when)
            if is_bare:
                device.profile = None  # the one before may have had one
            else:
                self._profiling.changed(device)
        return paths

    def remove(self, registration: Registration) -> None:
        """Forget a registration that ended: its Location answers 4.04 from now on."""
        self._state.registrations.pop(location(registration.id), None)
        self._drop_peer(registration)
        self._profiling.left(registration)
        if registration.identity is not None:
            self._state.identities.remove(registration.identity, registration)
        self.refreshes.forget(registration.device)
        self._state.deadlines.cancel(registration.expiry)

    def move(self, registration: Registration, peer: Peer) -> None:
        """Find a registration at another address from now on; others at either address stay where they are."""
        self._drop_peer(registration)
        self._profiling.left(registration)
        registration.peer = peer
        self._take_peer(registration)
        self._profiling.placed(self._state.devices[registration.endpoint], registration)
        self.refreshes.move(registration.device)

    def plan(self, registration: Registration) -> None:
        """Look at the registration again when its lifetime, as it is now, is over, or the device is missed."""
        self._state.deadlines.cancel(registration.expiry)
        when = self._next_look(registration)
        if when is not None:
            self._look(registration, when)

    def _next_look(self, registration: Registration) -> float | None:
        """When the lifetime is over, or the device is missed."""
        expires = self._expires(registration)
        new = not registration.settled and registration.device.last_seen <= registration.updated_at
        if new and expires is not None and not self._state.settings.grace:
            return expires  # nobody is missed before, of whom nothing is known but the lifetime
        times = (expires, self._missed(registration))
        return min((time for time in times if time is not None), default=None)

    def again(self, registration: Registration, now: float) -> None:
        """Look at a registration once more in a while, whose end could not be stored or decided."""
        self._state.deadlines.cancel(registration.expiry)
        if self._is_live(registration):
            self._look(registration, now + _PAUSE)

    def _look(self, registration: Registration, when: float) -> None:
        registration.expiry = self._state.deadlines.at(when, self._due, registration)

    def _check(self, registration: Registration, now: float) -> None:
        def decide(now: float) -> None:
            self._expire(registration, now)

        if self._is_live(registration) and not self._state.exclusive(registration.endpoint, now, decide):
            self.again(registration, now)

    def _expire(self, registration: Registration, now: float) -> None:
        if not self._is_live(registration):
            return
        expires = self._expires(registration)
        if expires is not None and expires <= now:
            self._expired(registration, now)
            return
        missed = self._missed(registration)
        if missed is not None and missed <= now and registration.interval() is not None:
            self._presence.overdue(self._state.devices[registration.endpoint], now)
        if now >= registration.registered_at + (registration.lifetime or _DAY):
            registration.settled = True
        self.plan(registration)

    def _expires(self, registration: Registration) -> float | None:
        """When a registration is over: lifetime, grace, and the downtime in which Updates may have been lost."""
        if registration.lifetime is None:
            return None
        granted = self._granted(registration.updated_at)
        return registration.updated_at + registration.lifetime + self._state.settings.grace + granted

    def _missed(self, registration: Registration) -> float | None:
        """When a device that responds is missed; without a lifetime, when its habits are known first."""
        device = self._state.devices[registration.endpoint]
        if not device.responding:
            return None
        expected = reach.next_expected(device)
        if expected is None:
            return None if registration.settled else registration.updated_at + _DAY
        return expected + self._presence.grace(device) + self._granted(device.last_seen)

    def _granted(self, heard: float) -> float:
        """The downtime in which something may have been lost since a device was heard of."""
        granted = 0.0
        for seconds, before in self._grants:
            if heard < before:
                granted += seconds
        return granted

    def _is_live(self, registration: Registration) -> bool:
        return self._state.registered(registration.id) is registration

    def _drop_peer(self, registration: Registration) -> None:
        self._state.peers.remove(registration.peer, registration)

    def _take_peer(self, registration: Registration) -> None:
        self._state.peers.add(registration.peer, registration)

    # Read back

    def restore(self, device: Device, registration: Registration) -> None:
        """Take a registration into the indexes that was read back; `start` plans for it."""
        state = self._state
        device.registration, registration.device = registration, device
        self.refreshes.take(device)
        state.registrations[location(registration.id)] = registration
        state.peers.add(registration.peer, registration)
        if registration.identity is not None:
            state.identities.add(registration.identity, registration)

    def restore_refresh(self, registration: Registration, refreshed: float, peer: Peer) -> None:
        """Bring a restored registration up to the last refresh that was flushed."""
        registration.updated_at = refreshed
        if registration.peer != peer:
            self._drop_peer(registration)
            registration.peer = peer
            self._take_peer(registration)

    def start(self, registration: Registration) -> None:
        """Plan for one that was read back, when nothing is missing any more that it depends on."""
        when = self._next_look(registration) if registration.expiry is None else None
        if when is not None:
            registration.expiry = self._state.deadlines.at(when, self._due, registration)

    def grant(self, seconds: float, now: float) -> None:
        """Let what was last heard of before ``now`` live so much longer."""
        self._grants.append((seconds, now))

    def restore_grants(self, row: bytes) -> None:
        """Let what earlier starts have granted hold on: it may not be used up."""
        self._grants += stored.read_grants(row)

    def set_back(self, now: float) -> None:
        """The clock was ahead before this start: what was granted by it was for a downtime that may not have been."""
        self._grants = [
            (min(seconds, _DAY), now) if before > now else (seconds, before) for seconds, before in self._grants
        ]

    def grants(self) -> list[Write]:
        """The writes that let the next start know what was granted; of many, the oldest become one."""
        self._grants.sort(key=lambda grant: grant[1])
        while len(self._grants) > _GRANTS:
            (one, _), (other, before) = self._grants[:2]
            self._grants[:2] = [(one + other, before)]
        return [Write(stored.META, "grants", stored.encode(self._grants))] if self._grants else []
