"""Which registrations are alive: their indexes, when they expire, and their refreshes on the way to storage.

RULES: an Update only moves a time; whether a lifetime is over is found out when the time planned before has come. What
was refreshed is written behind: `flush` asks for it to be stored. After a start nothing expires for an Update that the
daemon was not there to hear.
"""

from __future__ import annotations

from collections.abc import Callable

from lwm2md.coap.engine import Peer
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.records import Device, Registration
from lwm2md.server.state import State


class Lifetimes:
    """The live registrations. ``expired(registration, now)`` is called for each whose lifetime is over."""

    def __init__(self, state: State, expired: Callable[[Registration, float], None]) -> None:
        self._state = state
        self._expired = expired
        self._dirty: set[Registration] = set()
        self._granted, self._granted_at = 0.0, 0.0
        self.refreshed = self._dirty.add

    def add(self, device: Device, registration: Registration) -> None:
        """Take a registration into the indexes, and plan its expiry."""
        device.registration = registration
        self._state.registrations[registration.id.encode()] = registration
        self._state.peers[registration.peer] = registration
        self.plan(registration)

    def remove(self, registration: Registration) -> None:
        """Forget a registration that ended: its Location answers 4.04 from now on."""
        self._state.registrations.pop(registration.id.encode(), None)
        self._drop_peer(registration)
        self._dirty.discard(registration)
        self._state.deadlines.cancel(registration.expiry)

    def move(self, registration: Registration, peer: Peer, address: str) -> None:
        """Find a registration at another address from now on; others at either address stay where they are."""
        self._drop_peer(registration)
        registration.peer, registration.address = peer, address
        self._state.peers[peer] = registration

    def plan(self, registration: Registration) -> None:
        """Look at the registration again when its lifetime, as it is now, is over."""
        self._state.deadlines.cancel(registration.expiry)
        expires = self._expires(registration)
        if expires is not None:
            registration.expiry = self._state.deadlines.at(expires, lambda now: self._check(registration, now))

    def _check(self, registration: Registration, now: float) -> None:
        if self._is_live(registration):
            self._state.exclusive(registration.endpoint, now, lambda then: self._expire(registration, then))

    def _expire(self, registration: Registration, now: float) -> None:
        if not self._is_live(registration):
            return
        expires = self._expires(registration)
        if expires is not None and expires <= now:
            self._expired(registration, now)
        else:
            self.plan(registration)

    def _expires(self, registration: Registration) -> float | None:
        """When a registration is over: lifetime, grace, and the downtime in which Updates may have been lost."""
        if registration.lifetime is None:
            return None
        granted = self._granted if registration.updated_at < self._granted_at else 0.0
        return registration.updated_at + registration.lifetime + self._state.settings.grace + granted

    def _is_live(self, registration: Registration) -> bool:
        return self._state.registrations.get(registration.id.encode()) is registration

    def _drop_peer(self, registration: Registration) -> None:
        if self._state.peers.get(registration.peer) is registration:
            del self._state.peers[registration.peer]

    # Written behind, and read back

    def flush(self, most: int = 5000) -> bool:
        """Ask for the newest refreshes to be stored, at most so many at once; whether any are left."""
        chosen = [self._dirty.pop() for _ in range(min(most, len(self._dirty)))]
        writes = [Write(stored.REFRESHES, each.endpoint, stored.refresh_row(each)) for each in chosen]
        if writes:
            self._state.commit(writes)
        return bool(self._dirty)

    def restore_refresh(self, registration: Registration, row: bytes) -> None:
        """Bring a restored registration up to the last refresh that was flushed."""
        self._drop_peer(registration)
        stored.apply_refresh(registration, row)
        self._state.peers[registration.peer] = registration

    def grant(self, seconds: float, now: float) -> None:
        """Let what was last heard of before ``now`` live so much longer."""
        self._granted, self._granted_at = seconds, now
