"""CoAP over DTLS as one daemon has it: the secure port, its certificates, and its sessions in storage.

RULES: a reload that brings other certificates or lists makes new contexts for the handshakes to come; sessions go on,
but can't be resumed. A session that ends leaves nothing for its peer in the engine. Why a handshake failed is told in
words that don't change, with OpenSSL's own beside them, and to the peer only as an alert.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from lwm2md import tuning
from lwm2md.config import Settings
from lwm2md.config.coaps import Coaps
from lwm2md.net import udp
from lwm2md.net.accepting import ServerContexts
from lwm2md.net.addresses import FAMILY_4, PREFIX_4, PREFIX_6, Endpoint, show
from lwm2md.net.associations import Established
from lwm2md.net.driver import Deadlines, Driver
from lwm2md.net.dtls import DtlsPort, Observer, Terms, Wire
from lwm2md.net.handshakes import Outcome, Timing
from lwm2md.net.keeping import LIVES, META, Keeper
from lwm2md.net.openssl import Material
from lwm2md.net.port import DatagramPort
from lwm2md.security.credentials import Keys
from lwm2md.security.dtls.guards import GuardLimits, HandshakeGuard
from lwm2md.security.dtls.sessions import Limits
from lwm2md.security.dtls.suites import BY_NUMBER, Suite
from lwm2md.security.identity import Identity
from lwm2md.security.sealing import Seal, SealError
from lwm2md.server.effects import Commit, Write
from lwm2md.server.state import PeerDescription
from lwm2md.storage.interface import Batch, Storage, StorageError

Tell = Callable[[bytes, str, str, float], None]
"""Told an address, an identity, a line for people, and the time."""
Refuse = Callable[[str, str, str, str, float], None]
"""Told a cause, an address, the identity that was named, a detail, and the time."""

IANA: Final = {
    "TLS_PSK_WITH_AES_128_CCM_8": 0xC0A8,
    "TLS_PSK_WITH_AES_128_CCM": 0xC0A4,
    "TLS_PSK_WITH_AES_128_GCM_SHA256": 0x00A8,
    "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256": 0xCCAC,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8": 0xC0AE,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM": 0xC0AC,
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": 0xC02B,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
    "TLS_PSK_WITH_AES_128_CBC_SHA256": 0x00AE,
    "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256": 0xC037,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": 0xC023,
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": 0xC027,
}
"""Cipher suites by the names that the configuration has for them."""
_NETWORK_6: Final = 8
_COAP: Final = (5683).to_bytes(2, "big")
_REMEMBERED: Final = 10_000
COOKIES: Final = "dtls-cookies"
_AHEAD: Final = 2
"""How many octets of chance a life is ahead by that could not be counted."""


class Secured(Observer):
    """The secure port of a node; ``keys`` gives the pre-shared ones, ``submit`` makes commits durable.

    ``refused`` is told who came to nothing, ``told`` a line for each handshake, ``gone`` the peers of sessions that
    have ended, and ``rejoined`` a peer that is called otherwise now, since the same identity shook hands again at its
    address. Raises OSError if an address can't be had, or the certificates can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        random: Callable[[int], bytes],
        *,
        keys: Keys,
        seal: Seal,
        submit: Callable[[Sequence[Commit]], None],
        refused: Refuse,
        told: Tell,
        gone: Callable[[bytes, float], None],
        rejoined: Callable[[bytes, bytes, float], None],
    ) -> None:
        self._reactor = reactor
        self._random = random
        self._seal = seal
        self._refused = refused
        self._told = told
        self._rejoined = rejoined
        self._last: OrderedDict[bytes, tuple[bytes, Identity]] = OrderedDict()
        self._gone = gone
        self._log = Logger()
        coaps = settings.coaps
        try:
            contexts = _contexts(settings)
        except ValueError as error:
            raise OSError(f"[security] certificates: {error}") from None
        deadlines = Deadlines(reactor)
        self.port = DtlsPort(
            reactor,
            _listen(reactor, settings),
            deadlines,
            random,
            contexts,
            keys,
            HandshakeGuard(_limits(coaps), source=_source, trusted=tuning.trusted(settings.coap.trusted)),
            _terms(coaps),
            self,
        )
        self.keeper = Keeper(self.port.associations.sessions, seal, submit, reactor, deadlines)

    def start(self, driver: Driver) -> None:
        """Take what arrives, and store what changes."""
        driver.add(self.port)
        self.keeper.start()
        for address in self.addresses():
            self._log.info("listening on coaps://{address}", address=address)

    def configure(self, settings: Settings) -> None:
        """Shake hands with other certificates from now on."""
        try:
            self.port.contexts = _contexts(settings)
        except ValueError as error:
            self._log.error("the certificates before stay in use: {error}", error=error)

    async def begin(self, storage: Storage) -> None:
        """Count this life of the daemon, durably, before sessions are taken up; have the cookies of those before.

        Where the storage can only be read chance sees to it that no other such life has the same number. Fails with
        StorageError.
        """
        life = int(await storage.get(META, LIVES) or b"0") + 1
        writes = [Write(META, LIVES, b"%d" % life)]
        cookies, seal = self.port.cookies, self._seal
        try:
            cookies.keep(seal.open(await storage.get(META, COOKIES) or b"", COOKIES))
        except SealError:
            writes.append(Write(META, COOKIES, seal.seal(cookies.root, COOKIES)))
        stored = True
        try:
            await storage.commit(Batch(tuple(writes)))
        except StorageError:
            life += int.from_bytes(self._random(_AHEAD), "big")
            stored = False
        self.keeper.count(life, stored=stored)

    def restore(self, rows: Sequence[tuple[str, bytes]]) -> Iterator[str]:
        """Take sessions up from storage, and give what is wrong with those that can't be."""
        return self.keeper.restore(rows)

    def inherit(self, before: Secured) -> None:
        """Go on with the sessions of a port that has stopped; whose records OpenSSL has made have to begin anew."""
        self.keeper.inherit(before.port.associations.sessions.by_peer.values())

    def revoke(self, identities: Sequence[str]) -> None:
        """End the sessions of identities."""
        self.port.associations.revoke(identities)

    def watch(self, wire: Wire | None) -> None:
        """Let somebody look at what passes as it is on the wire; None for nobody."""
        self.port.wire = wire

    def expel(self, peer: bytes) -> None:
        """End the session of a peer, which has nothing to say here any more."""
        self.port.associations.end(peer, "revoked")

    def describe(self, peer: bytes) -> PeerDescription:
        """Where a secure peer is, and who it has proved to be."""
        address, identity = self._known(peer)
        text = show(address) if address else ""
        return PeerDescription(text, "coaps", None if identity is None else identity.text, identity)

    def locate(self, peer: bytes) -> bytes:
        """The address where a secure peer was heard last, on the port of plain CoAP; empty if that is not known."""
        address = self._known(peer)[0]
        end = PREFIX_4 if address[:1] == bytes((FAMILY_4,)) else PREFIX_6
        return address and address[: end - 2] + _COAP + address[end:]

    def _known(self, peer: bytes) -> tuple[bytes, Identity | None]:
        """Where and who a peer is, or was before its session ended."""
        associations = self.port.associations
        identity = associations.identity(peer)
        if identity is None:
            return self._last.get(peer, (b"", None))
        return associations.address(peer), identity

    def reaches(self, peer: bytes) -> bool:
        """Whether there is a session with a peer; the server begins none."""
        return self.port.associations.identity(peer) is not None

    def addresses(self) -> list[Endpoint]:
        """Where it listens."""
        return [port.local for port in self.port.ports]

    def counters(self) -> Mapping[str, int]:
        """What metrics show."""
        return {**self.port.counters, **self.keeper.counters}

    def stop(self, *, store: bool) -> None:
        """Begin nothing more; have everything stored that is to be, if the fleet was taken up whole."""
        if store:
            self.keeper.flush_all()
        self.keeper.stop()

    # What the port tells

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session."""
        self.keeper.begun(session.peer)
        outcome = session.outcome
        self._told(session.address, outcome.identity.text, _line(outcome), now)
        if before is not None:
            self._rejoined(before, session.peer, now)

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Know that there is no session with that peer any more."""
        self.keeper.ended(peer)
        now = self._reactor.seconds()
        self._last[peer] = address, identity
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        if cause != "replaced":
            self._gone(peer, now)
        if address:
            self._told(address, identity.text, f"DTLS session ended: {cause}", now)

    def failed(self, address: bytes, identity: str, cause: str, now: float) -> None:
        """Know that a handshake came to nothing."""
        word, _, detail = cause.partition(": ")
        self._refused(word, show(address), identity, detail, now)
        self._told(address, identity, f"DTLS handshake failed: {cause}", now)


def _line(outcome: Outcome) -> str:
    """What a handshake has agreed on, for people."""
    cid = ", Connection ID" if outcome.own_cid or outcome.cid else ""
    return f"DTLS session, {outcome.suite.name}{cid}{', resumed' if outcome.resumed else ''}"


def _listen(reactor: Any, settings: Settings) -> list[DatagramPort]:
    ports: list[DatagramPort] = []
    for address in settings.coaps.listen:
        try:
            batched = None if settings.coap.batched else False
            ports.append(udp.listen(reactor, Endpoint(address.host, address.port), batched=batched))
        except OSError as error:
            for port in ports:
                port.close()
            raise OSError(f"can't listen on coaps://{address}: {error.strerror}") from None
    return ports


def _contexts(settings: Settings) -> ServerContexts:
    """The contexts for what is configured: suites with certificates only where there are any to trust and to show."""
    found = settings.material
    material = None
    if found is not None and found.certificates and found.key is not None and found.ca:
        material = Material(
            found.certificates.encode(), found.key.reveal().encode(), found.ca.encode(), found.crl.encode()
        )
    return ServerContexts.of(_suites(settings.security.ciphers, certificates=material is not None), material)


def _suites(names: Sequence[str], *, certificates: bool) -> tuple[Suite, ...]:
    found = [BY_NUMBER[IANA[name]] for name in names]
    return tuple(suite for suite in found if suite.psk or certificates)


def _limits(coaps: Coaps) -> GuardLimits:
    return GuardLimits(
        half_open=coaps.half_open,
        half_open_source=coaps.half_open_source,
        rate=coaps.handshake_rate,
        rate_source=coaps.handshake_rate_source,
        challenges=coaps.challenge_rate,
    )


def _terms(coaps: Coaps) -> Terms:
    return Terms(
        Timing(coaps.handshake_wait, coaps.handshake_time, coaps.mtu),
        coaps.connection_id,
        coaps.sessions_in_openssl,
        coaps.alert_unknown,
        Limits(coaps.sessions, coaps.sessions_size, coaps.session_idle),
        coaps.node,
    )


def _source(address: bytes) -> bytes:
    """What of an address one attacker has: an IPv4 address, or a network of IPv6."""
    if address[0] == FAMILY_4:
        return address[PREFIX_4 : PREFIX_4 + 4]
    return address[PREFIX_6 : PREFIX_6 + _NETWORK_6]
