"""DTLS 1.2 from a device's side: the same associations, handshakes that we begin.

RULES: a handshake begins when there is something to send, and what is to be sent waits for it. With a Connection ID the
session outlives its socket (RFC 9146); without, it ends with it. A server that does not answer any more, or says by an
alert that nobody vouches for that it knows no session, may have lost it: then a handshake begins beside the session,
and takes its place only if it succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lwm2md.net.associations import Associations, Established
from lwm2md.net.calling import ClientHandshake, ClientTerms
from lwm2md.net.driver import Deadlines
from lwm2md.net.handshakes import Handshake, Timing
from lwm2md.net.openssl import Session
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.security.dtls.records import ALERT
from lwm2md.security.dtls.session import DtlsSession
from lwm2md.security.dtls.traffic import Datagram
from lwm2md.security.identity import Identity

_WAITING: Final = 16
_UNANSWERED: Final = 4
_SILENCE: Final = 15.0
_PAUSE: Final = 60.0

Report = Callable[[str, bool], None]
"""Told a line for people, and whether it is a detail."""


class SecureClient:
    """The associations of all devices of a process."""

    def __init__(
        self, clock: IReactorTime, random: Callable[[int], bytes], deadlines: Deadlines, timing: Timing | None = None
    ) -> None:
        self.associations = Associations(random, deadlines, self)
        self.associations.stray = self._stray
        self.timing = timing or Timing()
        self.clock = clock
        self.errors = 0
        self._log = Logger()
        self._links: dict[bytes, SecureLink] = {}
        self._devices: dict[bytes, SecureDevice] = {}
        self._shaking: dict[bytes, SecureDevice] = {}

    def device(self, terms: ClientTerms, report: Report) -> SecureDevice:
        """Return the association that a device is to have; ``report`` is told what happens to it."""
        return SecureDevice(self, terms, report)

    def stop(self) -> None:
        """Do nothing any more."""
        self.associations.stop()

    # What links and devices ask

    def open(self, link: SecureLink) -> None:
        """Know a link by the address it has."""
        self._links[link.server] = link

    def closed(self, link: SecureLink) -> None:
        """Know that a link is closed."""
        if self._links.get(link.server) is link:
            del self._links[link.server]
        handshake = self.associations.forget(link.server)
        if handshake is not None:
            self._shaking.pop(handshake.peer, None)

    def receive(self, batch: Batch) -> None:
        """Take datagrams of the network."""
        try:
            data = self.associations.receive(batch, self.clock.seconds())
        except Exception:
            self.errors += 1
            self._log.failure("receiving failed")
            return
        self.arrived(data)

    def shake(self, device: SecureDevice, address: bytes, terms: ClientTerms, session: Session | None) -> None:
        """Begin a handshake with the server at an address, if none is under way."""
        associations = self.associations
        if address in associations.handshakes:
            return
        now = self.clock.seconds()
        peer = associations.sessions.new_peer()
        # Of the Connection ID that a device asks for only the length is its own: the name of the session is in it.
        handshake = ClientHandshake(associations, address, peer, self.timing, now, terms, session)
        if terms.cid:
            handshake.cid = peer[1:]
        self._shaking[peer] = device
        associations.begin(handshake)
        handshake.start(now)
        associations.follow(handshake)
        associations.arm(now)

    def session(self, peer: bytes) -> DtlsSession | None:
        """The session with that name."""
        return self.associations.sessions.by_peer.get(peer)

    # What the associations tell

    def transmit(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to addresses."""
        for datagram in datagrams:
            link = self._links.get(datagram[1])
            if link is not None:
                link.port.send([datagram])

    transmit_soon = transmit

    def arrived(self, data: list[Datagram]) -> None:
        """Hand application data to the devices."""
        for datagram in data:
            device = self._devices.get(datagram[1])
            if device is not None:
                device.arrived(datagram[0])

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session."""
        device = self._shaking.pop(session.peer, None)
        if device is not None:
            self._devices[session.peer] = device
            device.begun(session)

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Know that there is no session with that peer any more."""
        device = self._devices.pop(peer, None)
        if device is not None:
            device.ended(peer, cause)

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Know that a handshake came to nothing."""
        device = self._shaking.pop(handshake.peer, None)
        if device is not None:
            device.failed(cause)

    def _stray(self, datagram: bytes, address: bytes, now: float) -> None:
        link = self._links.get(address)
        if link is not None and datagram[0] == ALERT:
            link.device.doubt(now)


class SecureDevice:
    """What one device has with its server, whatever sockets it has on the way."""

    __slots__ = ("_client", "_doubted", "_heard", "_link", "_report", "_sent", "_session", "_terms", "_waiting", "peer")

    def __init__(self, client: SecureClient, terms: ClientTerms, report: Report) -> None:
        self.peer: bytes | None = None
        self._client = client
        self._terms = terms
        self._report = report
        self._link: SecureLink | None = None
        self._waiting: list[bytes] = []
        self._sent = 0
        self._session: Session | None = None
        self._heard = 0.0
        self._doubted = float("-inf")

    def link(self, port: DatagramPort, server: bytes) -> SecureLink:
        """Go on over another socket; ``server`` is the peer there."""
        self._link = link = SecureLink(self, self._client, port, server)
        self._client.open(link)
        session = None if self.peer is None else self._client.session(self.peer)
        if session is not None and session.cid:
            self._client.associations.sessions.move(session, server)
        elif self.peer is not None:
            self._client.associations.end(self.peer)
        return link

    def send(self, data: bytes) -> None:
        """Send application data, or keep it until a session is there."""
        link, now = self._link, self._client.clock.seconds()
        if link is None:
            return
        if self.peer is None:
            if data not in self._waiting and len(self._waiting) < _WAITING:
                self._waiting.append(data)
            self._client.shake(self, link.server, self._terms, self._session)
            return
        self._client.associations.send([(data, self.peer)])
        self._sent += 1
        if self._sent > _UNANSWERED and now - self._heard > _SILENCE:
            self.doubt(now)

    def doubt(self, now: float) -> None:
        """Begin a handshake beside the session, which the server seems to have lost."""
        if self._link is not None and self.peer is not None and now - self._doubted >= _PAUSE:
            self._doubted = now
            self._report("the server seems to have lost the session, shaking hands again", False)
            self._client.shake(self, self._link.server, self._terms, self._session)

    def arrived(self, data: bytes) -> None:
        """Take application data of the server."""
        self._sent, self._heard = 0, self._client.clock.seconds()
        if self._link is not None:
            self._link.receive([(data, self._link.server)])

    def begun(self, session: Established) -> None:
        """Know that there is a session, and send what waits."""
        self.peer = session.peer
        self._sent, self._heard = 0, self._client.clock.seconds()
        outcome = session.outcome
        self._session = outcome.session
        cid = ", Connection ID" if outcome.own_cid or outcome.cid else ""
        self._report(f"session with {outcome.identity.text}: {outcome.suite.name}{cid}", False)
        waiting, self._waiting = self._waiting, []
        self._client.associations.send([(data, session.peer) for data in waiting])

    def ended(self, peer: bytes, cause: str) -> None:
        """Know that the session is gone."""
        if peer == self.peer:
            self.peer = None
            self._report(f"session ended: {cause}", False)

    def failed(self, cause: str) -> None:
        """Know that there is no session; what waited is sent again by whoever wants an answer."""
        self._waiting.clear()
        self._session = None
        self._report(f"handshake failed: {cause}", False)

    def unlinked(self, link: SecureLink) -> None:
        """Know that a socket is closed; without a Connection ID so is the session."""
        if link is not self._link:
            return
        session = None if self.peer is None else self._client.session(self.peer)
        if self.peer is not None and (session is None or not session.cid):
            self._client.associations.end(self.peer)
        self._link = None


class SecureLink:
    """A device's `DatagramPort`: one socket, one server."""

    __slots__ = ("_client", "device", "local", "on_unreachable", "port", "prefix", "receive", "server")

    batched = False

    def __init__(self, device: SecureDevice, client: SecureClient, port: DatagramPort, server: bytes) -> None:
        self.device = device
        self.port = port
        self.server = server
        self.local = port.local
        self.prefix = port.prefix
        self.on_unreachable: Callable[[bytes], None] | None = None
        self.receive: Callable[[Batch], None] = _ignore
        self._client = client

    @property
    def counters(self) -> dict[str, int]:
        """What the socket has counted."""
        return dict(self.port.counters)

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""
        self.receive = receive
        self.port.start(self._client.receive)

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to the server."""
        for data, _ in datagrams:
            self.device.send(data)

    def close(self) -> None:
        """Stop and give the socket back; a second call does nothing."""
        self.device.unlinked(self)
        self._client.closed(self)
        self.port.close()


def _ignore(batch: Batch) -> None:
    """Drop what arrives before the port was started."""
