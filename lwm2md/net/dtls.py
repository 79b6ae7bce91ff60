"""The secure port of a server: DTLS 1.2 over one or several plain ports, as `DatagramPort` for a driver.

RULES: whoever sends a ClientHello gets a cookie first, which costs nothing to keep (RFC 6347 section 4.2.1); only one
with a good cookie gets a handshake, if the guard lets it in. The server begins no handshake itself: what is for a peer
without a session is dropped and counted. A peer's name is that of its session and outlives addresses and restarts, so
that the engine knows no address. Records of unknown associations are counted and listed by address; an alert, if the
operator wants one, goes out to an address once in a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lwm2md.coap.memory import Generations
from lwm2md.net.accepting import ServerContexts, ServerHandshake
from lwm2md.net.addresses import prefix_of, wildcard
from lwm2md.net.associations import Associations, Established
from lwm2md.net.driver import Deadlines
from lwm2md.net.handshakes import Handshake, Timing
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.security.credentials import Keys
from lwm2md.security.dtls.assembling import Assembly
from lwm2md.security.dtls.guards import HandshakeGuard, Strangers
from lwm2md.security.dtls.hello import Cookies, Offer, client_hello
from lwm2md.security.dtls.records import ALERT, HANDSHAKE, plain
from lwm2md.security.dtls.session import PEER
from lwm2md.security.dtls.sessions import Limits
from lwm2md.security.dtls.traffic import Datagram
from lwm2md.security.identity import Identity

COUNTERS: Final = (
    "received",
    "sent",
    "dropped",
    "cookies_sent",
    "hello_fragments",
    "hellos_malformed",
    "hellos_repeated",
    "handshakes_begun",
    "alerts_to_unknown",
    "errors",
)
_BEHIND_NUMBER: Final = 11
_MESSAGE_TYPE: Final = 13
_COPIES_COME: Final = 60.0
_OPENINGS: Final = 10_000
_UNEXPECTED_MESSAGE: Final = b"\x02\x0a"


@attrs.frozen(slots=True)
class Terms:
    """How a secure port behaves: timing of handshakes, whether Connection IDs are given out, how many sessions may stay
    in OpenSSL whole, whether unknown associations get an alert, and what the table of sessions may hold.
    """

    timing: Timing = Timing()  # noqa: RUF009  frozen
    cid: bool = True
    whole: int = 1000
    alert_unknown: bool = False
    limits: Limits = Limits()  # noqa: RUF009  frozen
    node: int = 0


class Observer:
    """Whoever wants to know what happens on a secure port; by default nobody does. Nothing of it may raise."""

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session, and the peer whose place it took, if that had the same identity."""

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Know that there is no session with that peer any more, which was at that address."""

    def failed(self, address: bytes, identity: str, cause: str, now: float) -> None:
        """Know that a handshake came to nothing, and which identity it named."""


class Wire(Protocol):
    """Who looks at what passes; none of it may fail."""

    def received(self, batch: Sequence[Datagram], now: float) -> None:
        """Look at what arrived, with the addresses it came from."""

    def sent(self, batch: Sequence[Datagram], now: float) -> None:
        """Look at what leaves, with the addresses it goes to."""

    def established(self, address: bytes, cid: bytes, identity: str, secrets: tuple[bytes, bytes, bytes]) -> None:
        """Know of a handshake that went well: the master secret, the client's and the server's random."""


class DtlsPort:
    """Many associations behind one prefix, which all secure peers have."""

    batched = False

    def __init__(  # noqa: PLR0917
        self,
        clock: IReactorTime,
        ports: Sequence[DatagramPort],
        deadlines: Deadlines,
        random: Callable[[int], bytes],
        contexts: ServerContexts,
        keys: Keys,
        guard: HandshakeGuard,
        terms: Terms,
        observer: Observer,
    ) -> None:
        self.local = ports[0].local
        self.prefix = PEER
        self.own = dict.fromkeys(COUNTERS, 0)
        self.on_unreachable: Callable[[bytes], None] | None = None
        self.strangers = Strangers()
        self.wire: Wire | None = None
        """Who looks at what passes."""
        self.contexts = contexts
        self.ports = tuple(ports)
        self._clock = clock
        self._log = Logger()
        self._keys = keys
        self._guard = guard
        self._terms = terms
        self._observer = observer
        self.cookies = Cookies(random)
        self._assembly = Assembly(guard.source)
        self._openings: Generations[bytes, bytes] = Generations(_COPIES_COME, _OPENINGS)
        self._tried: dict[bytes, int] = {}
        self._taking = False
        self._soon: Batch = []
        self._by_prefix = {port.prefix: port for port in ports}
        self._receive: Callable[[Batch], None] = _ignore
        self.associations = Associations(
            random, deadlines, self, limits=terms.limits, node=terms.node, whole=terms.whole
        )
        self.associations.greeted = self._greeted
        self.associations.stray = self._stray

    @property
    def counters(self) -> dict[str, int]:
        """What metrics show."""
        associations = self.associations
        found = {**self.own, **associations.traffic.counters}
        for name, value in associations.counters.items():
            found[name] = found.get(name, 0) + value
        found |= {f"sessions_{name}": value for name, value in associations.sessions.counters.items()}
        found |= {f"refused_{name}": value for name, value in self._guard.counters.items()}
        found["sessions"] = len(self.associations.sessions)
        found["half_open"] = len(self.associations.handshakes)
        return found

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""
        self._receive = receive
        for port in self.ports:
            port.on_unreachable = self._unreachable
            port.start(self.take)

    def take(self, batch: Batch) -> None:
        """Take datagrams of the network."""
        try:
            self._taking = True
            now = self._clock.seconds()
            if self.wire is not None:
                self.wire.received(batch, now)
            data = self.associations.receive(batch, now)
        except Exception:
            # Of the reactor's doing it would be to drop the port.
            self.own["errors"] += 1
            self._log.failure("receiving failed")
            return
        finally:
            self._taking = False
            self._transmit_rest()
        if data:
            self.arrived(data)

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to peers; what is for none of ours is counted."""
        self.own["dropped"] += len(self.associations.send(datagrams))

    def close(self) -> None:
        """Stop and give the ports back; the sessions live on."""
        self.associations.stop()
        self._transmit_rest()
        for port in self.ports:
            port.close()

    # What the associations tell

    def transmit(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams to addresses."""
        self._transmit_rest()
        self._transmit(datagrams)

    def transmit_soon(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams together with what others have to send, when all that has arrived was read."""
        if not (self._soon or self._taking):
            self._clock.callLater(0, self._transmit_rest)
        self._soon += datagrams

    def _transmit_rest(self) -> None:
        if self._soon:
            soon, self._soon = self._soon, []
            self._transmit(soon)

    def _transmit(self, datagrams: Sequence[Datagram]) -> None:
        self.own["sent"] += len(datagrams)
        if self.wire is not None:
            self.wire.sent(datagrams, self._clock.seconds())
        if len(self.ports) == 1:
            self.ports[0].send(datagrams)
            return
        parts: dict[bytes, Batch] = {}
        for datagram in datagrams:
            parts.setdefault(prefix_of(datagram[1]), []).append(datagram)
        for head, part in parts.items():
            port = self._by_prefix.get(head) or self._by_prefix.get(wildcard(head))
            if port is None:
                self.own["dropped"] += len(part)
            else:
                port.send(part)

    def arrived(self, data: list[Datagram]) -> None:
        """Hand application data of peers on."""
        self.own["received"] += len(data)
        self._receive(data)

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session."""
        self._guard.release(session.address)
        if self.wire is not None:
            outcome = session.outcome
            self.wire.established(session.address, session.peer[1:], outcome.identity.text, outcome.secrets)
        self._observer.begun(session, before, now)

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Know that there is no session with that peer any more, which was at that address."""
        self._observer.ended(peer, address, identity, cause)

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Know that a handshake came to nothing."""
        self._guard.release(handshake.address)
        self._observer.failed(handshake.address, handshake.identity_text, cause, now)

    # Handshakes

    def _greeted(self, datagram: bytes, address: bytes, now: float) -> bool:
        """Take a ClientHello; whether it was one."""
        if datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0" or datagram[_MESSAGE_TYPE:14] != b"\x01":
            return False
        running = self.associations.handshakes.get(address)
        if isinstance(running, ServerHandshake) and running.repeats(datagram):
            running.receive(datagram, now)
            self.associations.follow(running)
            return True
        if self._openings.get(address, now) == datagram[_BEHIND_NUMBER:]:
            # A late copy of what began the session that is there now.
            self.own["hellos_repeated"] += 1
            return True
        if not self._guard.challenge(now):
            return True
        hello = client_hello(datagram)
        if hello is None and address in self._assembly:
            self._put_together(self._assembly.add(address, datagram, now), address, now)
        elif hello is None:
            self.own["hellos_malformed"] += 1
        elif not self.cookies.valid(address, hello, now):
            self.own["cookies_sent"] += 1
            self.transmit_soon([(self.cookies.challenge(address, hello, now), address)])
        elif not hello.whole:
            self._put_together(self._assembly.begin(address, datagram, hello, now), address, now)
        elif (offer := hello.offer()) is None:
            self.own["hellos_malformed"] += 1
        else:
            self._begin(datagram, offer, address, now)
        return True

    def _put_together(self, whole: bytes | None, address: bytes, now: float) -> None:
        """Take a hello that came in fragments, if that was the last one."""
        self.own["hello_fragments"] += 1
        if whole is not None:
            self._greeted(whole, address, now)

    def _begin(self, datagram: bytes, offer: Offer, address: bytes, now: float) -> None:
        """Begin a handshake with a client that is where it says."""
        if self.associations.forget(address) is not None:
            self._guard.release(address)
        known = address in self.associations.sessions.by_address
        if self._guard.admit(address, now, known=known) is None:
            self.own["handshakes_begun"] += 1
            self._openings.put(address, datagram[_BEHIND_NUMBER:], now)
            peer = self.associations.sessions.new_peer()
            handshake = ServerHandshake(
                self.associations, address, peer, self._terms.timing, now, self.contexts, self._keys, self._tried
            )
            self.associations.begin(handshake)
            handshake.start(datagram, offer, now)
            self.associations.follow(handshake)

    # Those that nobody knows

    def _stray(self, datagram: bytes, address: bytes, now: float) -> None:
        self.strangers.heard(address, now)
        if self._terms.alert_unknown and datagram[0] != ALERT and self.strangers.tell(address, now):
            self.own["alerts_to_unknown"] += 1
            self.transmit([(plain(ALERT, 0, _UNEXPECTED_MESSAGE), address)])

    def _unreachable(self, address: bytes) -> None:
        session = self.associations.sessions.by_address.get(address)
        if session is not None and self.on_unreachable is not None:
            self.on_unreachable(session.peer)


def _ignore(batch: Batch) -> None:
    """Drop what arrives before the port was started."""
