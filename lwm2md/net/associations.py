"""All DTLS associations of a process: handshakes on their way, sessions, and those that stay in OpenSSL whole.

RULES: both roles go this way; what begins a handshake is the role's (`dtls`, `dtlsdevice`). A handshake beside a live
session of the same address gets the handshake records that come from there, and takes the session's place only when it
has succeeded (RFC 6347 section 4.2.8). The last flight is kept, and sent again where it is asked for, until the session
was heard. Nothing that arrives raises, and everything that waits has a limit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs

from lwm2md.coap.timers import Timers
from lwm2md.net.driver import Deadlines
from lwm2md.net.flights import Flights
from lwm2md.net.handshakes import Handshake, Outcome
from lwm2md.net.openssl import Connection
from lwm2md.security.dtls import crossing
from lwm2md.security.dtls.records import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, TLS12_CID
from lwm2md.security.dtls.session import DtlsSession
from lwm2md.security.dtls.sessions import Limits, Sessions
from lwm2md.security.dtls.traffic import Datagram, Traffic
from lwm2md.security.identity import Identity

COUNTERS: Final = (
    "handshakes_established",
    "handshakes_resumed",
    "handshakes_failed",
    "handshakes_timed_out",
    "handshake_retransmissions",
    "last_flights_repeated",
    "unknown_associations",
    "whole_refused",
)
_SHAKES: Final = (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE)
_REPEATS: Final = 8
_UNCONFIRMED: Final = 120.0
_WHOLE_IDLE: Final = 3600.0
_LOOK: Final = 60.0


class Listener(Protocol):
    """Whom the associations tell. Nothing of it may raise."""

    def transmit(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to addresses."""

    def transmit_soon(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to addresses, at the end of this turn of the reactor at the latest."""

    def arrived(self, data: list[Datagram]) -> None:
        """Take application data of peers that came outside of `Associations.receive`."""

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session, and the peer whose place it took, if that had the same identity."""

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Know that there is no session with that peer any more, which was at that address."""

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Know that a handshake came to nothing."""


@attrs.frozen(slots=True, eq=False)
class Established:
    """A session that has just begun: what its peer is called, where it is, and what was agreed on."""

    peer: bytes
    address: bytes
    outcome: Outcome


@attrs.define(slots=True, eq=False)
class Whole:
    """A session of a suite that is no AEAD: OpenSSL keeps it, and so it costs as much as a hundred others."""

    peer: bytes
    address: bytes
    identity: Identity
    connection: Connection
    seen: float


class Associations:
    """What a port, or all devices of a fleet, have of associations. ``whole`` is how many may stay in OpenSSL."""

    def __init__(
        self,
        random: Callable[[int], bytes],
        deadlines: Deadlines,
        listener: Listener,
        *,
        limits: Limits | None = None,
        node: int = 0,
        whole: int = 1000,
    ) -> None:
        self.due: float | None = None
        self.counters = {**dict.fromkeys(COUNTERS, 0), **crossing.counters()}
        self.sessions = Sessions(random, limits, node=node, ended=self._ended, moved=self._moved)
        self.traffic = Traffic(self.sessions, self._confirmed)
        self.handshakes: dict[bytes, Handshake] = {}
        self.greeted: Callable[[bytes, bytes, float], bool] = _nobody
        """Asked of what may be a ClientHello, with bytes, address and time: whether it was one."""
        self.stray: Callable[[bytes, bytes, float], None] = _ignored
        """Told each datagram of an association that is not known."""
        self.moved: Callable[[DtlsSession, bytes], None] = _unmoved
        self._deadlines = deadlines
        self._listener = listener
        self._timers: Timers[Handshake] = Timers()
        self._repeats: OrderedDict[bytes, tuple[float, Flights, list[int]]] = OrderedDict()
        self._whole: OrderedDict[bytes, Whole] = OrderedDict()
        self._whole_at: dict[bytes, Whole] = {}
        self._whole_limit = whole
        self._data: list[Datagram] | None = None

    # The way in

    def receive(self, batch: Sequence[Datagram], now: float) -> list[Datagram]:
        """Return the application data of peers that is in datagrams from addresses."""
        if self.handshakes:
            batch, shakes = self._sorted(batch)
        else:
            shakes = []
        data, rest = self.traffic.receive(batch, now)
        if rest or shakes:
            self._data = data
            try:
                for datagram, address in shakes:
                    self._shake(datagram, address, now)
                for datagram, address in rest:
                    self._other(datagram, address, now)
            finally:
                self._data = None
        alerts = self.traffic.take()
        if alerts:
            self._listener.transmit(alerts)
        self._arm(now)
        return data

    def _sorted(self, batch: Sequence[Datagram]) -> tuple[list[Datagram], list[Datagram]]:
        """Take out what belongs to a handshake, though a session may be at its address."""
        handshakes = self.handshakes
        others: list[Datagram] = []
        shakes: list[Datagram] = []
        for datagram in batch:
            data, address = datagram
            handshake = handshakes.get(address)
            if handshake is None or not data:
                others.append(datagram)
            elif data[0] in _SHAKES or (data[0] == TLS12_CID and data[11:19] == handshake.peer[1:]):
                shakes.append(datagram)
            else:
                others.append(datagram)
        return others, shakes

    def _shake(self, datagram: bytes, address: bytes, now: float) -> None:
        if not self.greeted(datagram, address, now):
            handshake = self.handshakes.get(address)
            if handshake is None:
                self._other(datagram, address, now)
            else:
                handshake.receive(datagram, now)
                self.follow(handshake)

    def _other(self, datagram: bytes, address: bytes, now: float) -> None:
        whole = self._whole_at.get(address)
        handshake = self.handshakes.get(address)
        session = self.sessions.by_address.get(address)
        if self.greeted(datagram, address, now):
            pass
        elif whole is not None:
            self._open_whole(whole, datagram, now)
        elif handshake is not None:
            handshake.receive(datagram, now)
            self.follow(handshake)
        elif session is not None and session.peer in self._repeats:
            self._repeat(session.peer, address)
        else:
            self.counters["unknown_associations"] += 1
            self.stray(datagram, address, now)

    def _repeat(self, peer: bytes, address: bytes) -> None:
        """Send the last flight again to a peer that repeats its own."""
        _, flights, left = self._repeats[peer]
        if left[0] > 0:
            left[0] -= 1
            self.counters["last_flights_repeated"] += 1
            self._listener.transmit([(datagram, address) for datagram in flights.again()])

    def _open_whole(self, whole: Whole, datagram: bytes, now: float) -> None:
        found = whole.connection.open(datagram)
        if found is None:
            self.end(whole.peer, "closed")
            return
        if found:
            whole.seen = now
            self._whole.move_to_end(whole.peer)
        self._deliver([(data, whole.peer) for data in found])

    def _deliver(self, data: list[Datagram]) -> None:
        if self._data is not None:
            self._data += data
        elif data:
            self._listener.arrived(data)

    # The way out

    def send(self, batch: Sequence[Datagram]) -> list[Datagram]:
        """Send application data to peers; return what is for none of ours."""
        out, rest = self.traffic.send(batch)
        unsent = []
        for datagram in rest:
            whole = self._whole.get(datagram[1])
            if whole is None:
                unsent.append(datagram)
            else:
                out += [(record, whole.address) for record in (whole.connection.seal(datagram[0]),) if record]
        if out:
            self._listener.transmit(out)
        return unsent

    # Handshakes

    def begin(self, handshake: Handshake) -> None:
        """Take a handshake on; one that was on its way at that address is forgotten."""
        self.forget(handshake.address)
        self.handshakes[handshake.address] = handshake

    def forget(self, address: bytes) -> Handshake | None:
        """Forget a handshake without a word; return it if there was one."""
        handshake = self.handshakes.pop(address, None)
        if handshake is not None:
            handshake.end()
            self._timers.cancel(handshake)
        return handshake

    def follow(self, handshake: Handshake) -> None:
        """Set the timer of a handshake anew."""
        if handshake.over or handshake.wakes is None:
            self._timers.cancel(handshake)
        else:
            self._timers.schedule(handshake, handshake.wakes)

    def send_to(self, handshake: Handshake, datagrams: Sequence[bytes]) -> None:
        """Send datagrams of a handshake."""
        address = handshake.address
        self._listener.transmit_soon([(datagram, address) for datagram in datagrams])

    def established(self, handshake: Handshake, outcome: Outcome, now: float) -> None:
        """Let the session begin that a handshake has agreed on."""
        address = handshake.address
        self._settle(handshake)
        if outcome.connection is not None and len(self._whole) >= self._whole_limit:
            self.counters["whole_refused"] += 1
            self._listener.failed(handshake, "too-many-sessions-in-openssl", now)
            return
        self.counters["handshakes_established"] += 1
        self.counters["handshakes_resumed"] += outcome.resumed
        before = self._before(address, outcome.identity)
        if outcome.connection is None:
            self._enter(handshake, outcome, now)
        else:
            self._enter_whole(handshake, outcome, outcome.connection, now)
        self._listener.begun(Established(handshake.peer, address, outcome), before, now)
        if outcome.crossing.held:
            data, _ = self.traffic.receive([(record, address) for record in outcome.crossing.held], now)
            self._deliver(data)

    def _before(self, address: bytes, identity: Identity) -> bytes | None:
        """Who was at an address, if it is the same; a whole session there ends without a word."""
        whole = self._whole_at.get(address)
        if whole is not None:
            self._drop_whole(whole, "replaced")
            return whole.peer if whole.identity.text == identity.text else None
        session = self.sessions.by_address.get(address)
        return session.peer if session is not None and session.identity.text == identity.text else None

    def _enter(self, handshake: Handshake, outcome: Outcome, now: float) -> None:
        session = DtlsSession(
            handshake.peer,
            handshake.address,
            outcome.suite,
            outcome.keys,
            outcome.identity,
            own_cid=outcome.own_cid,
            cid=outcome.cid,
            confirmed=outcome.confirmed,
        )
        outcome.hand_over(session)
        self.sessions.add(session, now)
        if not outcome.confirmed:
            self._repeats[handshake.peer] = (now, outcome.flights, [_REPEATS])

    def _enter_whole(self, handshake: Handshake, outcome: Outcome, connection: Connection, now: float) -> None:
        session = self.sessions.by_address.get(handshake.address)
        if session is not None:
            self.sessions.drop(session, "replaced")
        whole = Whole(handshake.peer, handshake.address, outcome.identity, connection, now)
        self._whole[whole.peer] = self._whole_at[whole.address] = whole

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Forget a handshake that came to nothing."""
        self._settle(handshake)
        self.counters["handshakes_timed_out" if cause == "timeout" else "handshakes_failed"] += 1
        self._listener.failed(handshake, cause, now)

    def _settle(self, handshake: Handshake) -> None:
        if self.handshakes.get(handshake.address) is handshake:
            del self.handshakes[handshake.address]
        self._timers.cancel(handshake)

    # Sessions

    def identity(self, peer: bytes) -> Identity | None:
        """Who a peer has proved to be."""
        found = self.sessions.by_peer.get(peer) or self._whole.get(peer)
        return None if found is None else found.identity

    def address(self, peer: bytes) -> bytes:
        """Where a peer was heard last; empty if that is not known."""
        found = self.sessions.by_peer.get(peer) or self._whole.get(peer)
        return b"" if found is None else found.address

    def end(self, peer: bytes, cause: str = "ended") -> None:
        """End the session of a peer, and tell it."""
        session = self.sessions.by_peer.get(peer)
        whole = self._whole.get(peer)
        if session is not None:
            self.traffic.end(session, cause)
            self._listener.transmit(self.traffic.take())
        elif whole is not None:
            data = whole.connection.close()
            if data:
                self._listener.transmit([(data, whole.address)])
            self._drop_whole(whole, cause)

    def revoke(self, texts: Sequence[str]) -> int:
        """End all sessions of identities with these texts; return how many there were."""
        count = self.traffic.revoke(texts)
        self._listener.transmit(self.traffic.take())
        wanted = frozenset(texts)
        for whole in [whole for whole in self._whole.values() if whole.identity.goes_by(wanted)]:
            self.end(whole.peer, "revoked")
            count += 1
        return count

    def _drop_whole(self, whole: Whole, cause: str) -> None:
        del self._whole[whole.peer]
        if self._whole_at.get(whole.address) is whole:
            del self._whole_at[whole.address]
        self._listener.ended(whole.peer, whole.address, whole.identity, cause)

    def _ended(self, session: DtlsSession, cause: str) -> None:
        self._repeats.pop(session.peer, None)
        self._listener.ended(session.peer, session.address, session.identity, cause)

    def _moved(self, session: DtlsSession, old: bytes) -> None:
        self.moved(session, old)

    def _confirmed(self, session: DtlsSession) -> None:
        self._repeats.pop(session.peer, None)

    # Time

    def wake(self, now: float) -> None:
        """Do what is due."""
        for handshake in self._timers.take_all(now):
            handshake.expire(now)
            self.follow(handshake)
        self.sessions.expire(now)
        while self._repeats and next(iter(self._repeats.values()))[0] + _UNCONFIRMED <= now:
            self._repeats.popitem(last=False)
        while self._whole and next(iter(self._whole.values())).seen + _WHOLE_IDLE <= now:
            self.end(next(iter(self._whole)), "idle")
        self._arm(now)

    def arm(self, now: float) -> None:
        """Set the timer; to be called after a handshake was begun."""
        self._arm(now)

    def stop(self) -> None:
        """Do nothing any more."""
        self._deadlines.remove(self)

    def _arm(self, now: float) -> None:
        soonest = self._timers.next_deadline()
        if self.due is not None and now < self.due <= now + _LOOK and (soonest is None or soonest >= self.due):
            # It wakes soon enough to see to everything then.
            return
        dues = [soonest, self.sessions.next_deadline()]
        if self._repeats:
            dues.append(next(iter(self._repeats.values()))[0] + _UNCONFIRMED)
        if self._whole:
            dues.append(next(iter(self._whole.values())).seen + _WHOLE_IDLE)
        due = min((due for due in dues if due is not None), default=None)
        # What sleeps for days moves its deadline with every record; to look once a minute is soon enough.
        if due is not None:
            due = min(due, now + _LOOK)
        if due != self.due:
            self._deadlines.set(self, due)


def _nobody(_datagram: bytes, _address: bytes, _now: float) -> bool:
    return False


def _ignored(_datagram: bytes, _address: bytes, _now: float) -> None:
    """Take no notice of a datagram that belongs to nobody."""


def _unmoved(_session: DtlsSession, _old: bytes) -> None:
    """Take no notice of a session's new address."""
