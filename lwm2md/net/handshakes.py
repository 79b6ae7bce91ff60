"""One handshake of DTLS 1.2 (RFC 6347), of a server or a client: OpenSSL decides, this is everything around it.

RULES: a server's handshake begins with a ClientHello whose cookie was found good. The flight with the ClientKeyExchange
waits until the key of its identity is there; an unknown identity goes on with a decoy, so that it fails like a wrong
key, and both get the same alert. While a rotation overlaps, the waiting Finished tells which key the peer has. What was
sent last is sent again, under new record numbers, until the peer goes on: how long the first wait is says the operator,
because the second of RFC 6347 is too short for the networks of devices (RFC 7925 section 11). With a Connection ID the
two Finished travel in records that OpenSSL does not know; `Crossing` carries them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs
from cryptography import x509

from lwm2md.net.certificates import ServerTerms, identity_of, strong
from lwm2md.net.flights import Flights
from lwm2md.net.openssl import Connection, Context, Material, Session
from lwm2md.security.credentials import Keys
from lwm2md.security.dtls import keys as derivation
from lwm2md.security.dtls.crossing import Crossing
from lwm2md.security.dtls.handshake import CLIENT_KEY_EXCHANGE, SERVER_HELLO, Reassembly, psk_identity, transcript
from lwm2md.security.dtls.hello import ClientHello, ServerHello, server_hello
from lwm2md.security.dtls.records import ALERT, CHANGE_CIPHER_SPEC, number, split
from lwm2md.security.dtls.session import EPOCH_1, own_keys
from lwm2md.security.dtls.suites import BY_NUMBER, Suite
from lwm2md.security.dtls.trial import Agreed
from lwm2md.security.identity import X509, Identity

DECRYPT_ERROR: Final = 51
ACCESS_DENIED: Final = 49
_FATAL: Final = 2
_SLOWEST: Final = 60.0
_SOON: Final = 0.5
_HELD: Final = 8
_BEHIND_NUMBER: Final = 11
_LONGEST: Final = 128
"""Bytes of a PSK identity (RFC 7925 section 4.2)."""


@attrs.frozen(slots=True)
class Timing:
    """How long a flight waits at first before it is sent again, how long a handshake may take, and how large a datagram
    of it may be: seconds and bytes.
    """

    first_wait: float = 2.0
    patience: float = 60.0
    mtu: int = 1280


@attrs.frozen(slots=True, eq=False)
class Outcome:
    """What a handshake has agreed on. ``keys`` are those of a session (`session.own_keys`), none where the records stay
    in ``connection``. ``flights`` sends the last flight again, as long as the peer has not shown that it came, which it
    need not where ``confirmed``. ``secrets`` are the master secret and both randoms, ``session`` is what a client resumes.
    """

    suite: Suite
    identity: Identity
    keys: bytes = attrs.field(repr=False)
    own_cid: bool
    cid: bytes
    resumed: bool
    confirmed: bool
    secrets: tuple[bytes, bytes, bytes] = attrs.field(repr=False)
    flights: Flights
    crossing: Crossing
    connection: Connection | None
    session: Session | None


class Owner(Protocol):
    """Whom a handshake tells."""

    counters: dict[str, int]

    def send_to(self, handshake: Handshake, datagrams: Sequence[bytes]) -> None:
        """Send datagrams to its peer."""

    def established(self, handshake: Handshake, outcome: Outcome, now: float) -> None:
        """Take what was agreed on; the handshake is over."""

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Forget it; ``cause`` is for people."""


class Handshake:
    """What both roles have in common. ``address`` is the peer's, ``peer`` what its session will be called; ``wakes``
    is when `expire` has something to do, and None when it is over; ``due`` belongs to the timers.
    """

    _client = False

    def __init__(self, owner: Owner, address: bytes, peer: bytes, timing: Timing, now: float) -> None:
        self.address = address
        self.peer = peer
        self.due: float | None = None
        # OpenSSL may be silent about the first datagram, and then nothing else sets a time.
        self.wakes: float | None = now + timing.patience
        self.over = False
        self.cid: bytes | None = None
        self.peer_cid: bytes | None = None
        self._owner = owner
        self._timing = timing
        self._ends = now + timing.patience
        self._wait = timing.first_wait
        self._sent_at = now
        self._connection: Connection
        self._crossing = Crossing(owner.counters)
        self._flights = Flights(self._crossing, timing.mtu)
        self._suite: Suite | None = None
        self._hello: ServerHello | None = None
        self._changed_cipher = False
        self._proof_seen = False
        self._keys = b""

    @property
    def identity_text(self) -> str:
        """The identity that the peer says it has, as far as is known, for people."""
        return ""

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the peer."""
        raise NotImplementedError

    def psk(self, identity: bytes) -> tuple[bytes, bytes]:
        """Return the identity (as a client) and the key; an empty key ends the handshake."""
        raise NotImplementedError

    def accepts(self, certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether a certificate of the peer's chain will do."""
        raise NotImplementedError

    def expire(self, now: float) -> None:
        """Send the last flight again, or give up."""
        if self.over:
            return
        if now >= self._ends:
            self._fail("timeout", now)
            return
        self._again(now)
        self._wait = min(2 * self._wait, _SLOWEST)
        self.wakes = min(now + self._wait, self._ends)

    def _again(self, now: float) -> None:
        self._sent_at = now
        self._owner.counters["handshake_retransmissions"] += 1
        self._owner.send_to(self, self._flights.again())

    def _feed(self, datagram: bytes, now: float) -> None:
        """Give a datagram to OpenSSL, and go on with what it says."""
        records, _ = split(datagram)
        self._changed_cipher |= any(record[0] == CHANGE_CIPHER_SPEC for record in records)
        self._proof_seen |= self._changed_cipher and any(number(record) >= EPOCH_1 for record in records)
        if self._suite is not None and self._suite.in_openssl:
            self._step(datagram, now)
            return
        self._step(b"".join(self._crossing.incoming(datagram)), now)
        if not self.over:
            self._step(b"".join(self._cross()), now)

    def _step(self, records: bytes, now: float) -> None:
        if records and not self.over:
            self._written(self._connection.step(records), now)

    def _written(self, data: bytes, now: float) -> None:
        """Take what OpenSSL wrote, and whether it has come to an end."""
        connection = self._connection
        if data:
            self._learn(data)
            waited = self._cross()
            out = self._flights.first(data)
            self._wait = self._timing.first_wait
            self._sent_at = now
            self.wakes = min(now + self._wait, self._ends)
            self._owner.send_to(self, out)
            if waited and not (connection.failed or connection.done):
                self._step(b"".join(waited), now)
                return
        if connection.failed:
            self._fail(f"handshake-failed: {connection.failed}", now)
        elif connection.done:
            self._complete(now)

    def _learn(self, data: bytes) -> None:
        """Look into what OpenSSL wrote before it is sent."""

    def _meet(self, hello: ServerHello) -> None:
        """Take what the server has chosen."""
        self._hello = hello
        self._suite = BY_NUMBER.get(hello.suite)
        if hello.cid is not None and self.peer_cid is not None:
            self._crossing.own_cid = self.cid or b""
            self._crossing.cid = self.peer_cid

    def _cross(self) -> list[bytes]:
        """Take the keys once there are any, and return the records for OpenSSL that had to wait for them."""
        if self._keys or self._suite is None or self._suite.in_openssl:
            return []
        secrets = self._connection.secrets()
        if secrets is None:
            return []
        block = derivation.key_block(self._suite, *secrets)
        self._keys = own_keys(self._suite, block, client=self._client)
        self._flights.know(self._suite, self._keys)
        return self._crossing.keyed(self._suite, self._keys)

    def _complete(self, now: float) -> None:
        raise NotImplementedError

    def _established(self, identity: Identity, *, confirmed: bool, now: float) -> None:
        suite, secrets = self._suite, self._connection.secrets()
        if suite is None or secrets is None:
            self._fail("handshake-failed: a cipher suite that is not known", now)
            return
        self.over, self.wakes = True, None
        outcome = Outcome(
            suite,
            identity,
            self._keys,
            bool(self._crossing.own_cid),
            self._crossing.cid,
            self._connection.resumed(),
            confirmed,
            secrets,
            self._flights,
            self._crossing,
            self._connection if suite.in_openssl else None,
            self._connection.session() if self._client else None,
        )
        self._owner.established(self, outcome, now)

    def _refuse(self, description: int, cause: str, now: float) -> None:
        self._owner.send_to(self, [self._flights.alert(ALERT, bytes((_FATAL, description)))])
        self._fail(cause, now)

    def _fail(self, cause: str, now: float) -> None:
        self.over, self.wakes = True, None
        self._owner.failed(self, cause, now)


@attrs.frozen(slots=True, eq=False)
class ServerContexts:
    """The two contexts of a server: for those who ask for a Connection ID, and for those who may resume a session."""

    with_cid: Context
    resuming: Context
    suites: tuple[Suite, ...]

    @classmethod
    def of(cls, suites: tuple[Suite, ...], material: Material | None) -> ServerContexts:
        """Make both. Raises ValueError if the certificates are none."""
        with_cid = Context(suites, server=True, material=material)
        return cls(with_cid, Context(suites, server=True, material=material, resumes=True), suites)


class ServerHandshake(Handshake):
    """A handshake that a client has begun. ``tried`` counts for identities how often a key of theirs did not fit."""

    def __init__(  # noqa: PLR0917
        self,
        owner: Owner,
        address: bytes,
        peer: bytes,
        timing: Timing,
        now: float,
        contexts: ServerContexts,
        keys: Keys,
        tried: dict[bytes, int],
    ) -> None:
        super().__init__(owner, address, peer, timing, now)
        self._contexts = contexts
        self._credentials = keys
        self._tried = tried
        self._opening = b""
        self._identity: bytes | None = None
        self._key = b""
        self._known = False
        self._received = Reassembly()
        self._held: list[bytes] = []
        self._waiting = False
        self._candidates: Sequence[bytes] = ()
        self._now = now

    @property
    def identity_text(self) -> str:
        """The identity that the peer says it has, as far as is known, for people."""
        return "" if self._identity is None else self._identity.decode("utf-8", "replace")

    def start(self, datagram: bytes, hello: ClientHello, now: float) -> None:
        """Begin with the ClientHello in ``datagram``."""
        contexts = self._contexts
        wants = hello.cid is not None and any(
            not suite.in_openssl for suite in contexts.suites if suite.number in hello.suites
        )
        self.cid = self.peer[1:] if wants else None
        self._opening = datagram
        context = contexts.with_cid if wants else contexts.resuming
        self._connection = Connection(context, self, self._timing.mtu)
        self._written(self._connection.listen(datagram), now)

    def repeats(self, datagram: bytes) -> bool:
        """Return whether a ClientHello is the one that began this handshake, under another record number or the same."""
        return datagram[_BEHIND_NUMBER:] == self._opening[_BEHIND_NUMBER:]

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the client."""
        if self.over:
            return
        self._now = now
        if self.repeats(datagram):
            if now - self._sent_at >= _SOON:
                self._again(now)
        elif self._waiting or self._candidates:
            if len(self._held) < _HELD:
                self._held.append(datagram)
            self._try()
        elif self._key or self._suite is None or not self._suite.psk or self._connection.resumed():
            self._feed(datagram, now)
            self._judge(now)
        else:
            self._received.add(datagram)
            self._held.append(datagram)
            body = self._received.find(CLIENT_KEY_EXCHANGE)
            if body is not None:
                self._ask(psk_identity(body), now)
            elif len(self._held) > _HELD:
                del self._held[0]

    def _learn(self, data: bytes) -> None:
        if self._suite is None:
            sent = Reassembly()
            sent.add(data)
            body = sent.find(SERVER_HELLO)
            hello = None if body is None else server_hello(body)
            if hello is not None:
                self._meet(hello)

    # The key of an identity

    def _ask(self, identity: bytes | None, now: float) -> None:
        if identity is None or not identity or len(identity) > _LONGEST or b"\0" in identity:
            self._refuse(DECRYPT_ERROR, "malformed-identity", now)
            return
        self._identity = identity
        self._waiting = True
        self.wakes = self._ends
        if identity.startswith(X509.encode()):
            self._answer(())
        else:
            self._credentials.psk(identity, self._answer)

    def _answer(self, keys: Sequence[bytes]) -> None:
        if self.over:
            return
        self._waiting = False
        identity = self._identity or b""
        self._known = bool(keys)
        if not keys:
            self._go_on(self._credentials.decoy(identity))
        elif len(keys) == 1:
            self._go_on(keys[0])
        elif self._suite is not None and self._suite.exchange == "psk" and not self._suite.in_openssl:
            self._candidates = keys
            self._try()
        else:
            self._go_on(keys[self._tried.get(identity, 0) % len(keys)])

    def _try(self) -> None:
        """Find the key that opens the Finished, once that is there; the newest one if none does."""
        if not self._candidates:
            return
        proof = next((record for data in self._held for record in split(data)[0] if number(record) >= EPOCH_1), None)
        hello = self._hello
        if proof is None or self._suite is None or hello is None:
            return
        bound = self._transcript() if hello.extended_master_secret else b""
        if bound is None:
            return
        agreed = Agreed(self._suite, *self._connection.randoms(), bound if hello.extended_master_secret else None)
        fitting = agreed.fitting(self._candidates, proof)
        key = self._candidates[fitting or 0]
        self._candidates = ()
        self._go_on(key)

    def _transcript(self) -> bytes | None:
        ours, theirs = Reassembly(), Reassembly()
        theirs.add(self._opening)
        ours.add(b"".join(self._flights.last))
        for datagram in self._held:
            theirs.add(datagram)
        return transcript(theirs, ours)

    def _go_on(self, key: bytes) -> None:
        self._key = key
        now = self._now
        held, self._held = self._held, []
        for datagram in held:
            if not self.over:
                self._feed(datagram, now)
                self._judge(now)

    def _judge(self, now: float) -> None:
        """Refuse a peer whose Finished was there and could not be opened: it has another key."""
        if self.over or not self._key or not self._proof_seen:
            return
        identity = self._identity or b""
        if self._known:
            self._tried[identity] = self._tried.get(identity, 0) + 1
        self._refuse(DECRYPT_ERROR, "wrong-key" if self._known else "unknown-identity", now)

    def psk(self, identity: bytes) -> tuple[bytes, bytes]:
        """Return the key of the identity that the client has.

        None if OpenSSL has put another identity together than we have, out of fragments that contradict each other: it
        keeps that one for resumptions, so the client would be whoever it likes.
        """
        return b"", self._key if identity == self._identity else b""

    # Certificates, and the end

    def accepts(self, certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether a certificate of the client's chain will do."""
        return error == 0 and strong(certificate)

    def _complete(self, now: float) -> None:
        confirmed = self._connection.resumed()
        certificate = self._connection.certificate()
        if certificate is not None:
            self._established(identity_of(certificate), confirmed=confirmed, now=now)
            return
        identity = self._identity
        if identity is None and confirmed:
            identity = self._connection.session_identity()
        if not identity:
            self._refuse(ACCESS_DENIED, "no-identity", now)
            return
        try:
            found = Identity("psk", identity.decode())
        except UnicodeDecodeError:
            self._refuse(ACCESS_DENIED, "malformed-identity", now)
            return
        if confirmed:
            # A session that is taken up says nothing of whether its credential is still there.
            self._identity = identity
            self._now = now
            self._credentials.psk(identity, lambda keys: self._resumed(found, keys))
        else:
            self._tried.pop(identity, None)
            self._established(found, confirmed=False, now=now)

    def _resumed(self, identity: Identity, keys: Sequence[bytes]) -> None:
        if self.over:
            return
        if keys:
            self._established(identity, confirmed=True, now=self._now)
        else:
            self._refuse(ACCESS_DENIED, "revoked", self._now)


@attrs.frozen(slots=True, eq=False)
class ClientTerms:
    """What a client shakes hands with: its context, a PSK ``identity`` and ``key`` or none, what it asks of the server's
    certificate, the name ``sni`` that it calls, and the Connection ID: None asks for none, empty lets the server have one.
    """

    context: Context
    identity: bytes = b""
    key: bytes = attrs.field(default=b"", repr=False)
    server: ServerTerms | None = None
    sni: str = ""
    cid: bytes | None = None


class ClientHandshake(Handshake):
    """A handshake that we begin; ``session`` is one that is to be taken up, if the server still knows it."""

    _client = True

    def __init__(  # noqa: PLR0917
        self,
        owner: Owner,
        address: bytes,
        peer: bytes,
        timing: Timing,
        now: float,
        terms: ClientTerms,
        session: Session | None = None,
    ) -> None:
        super().__init__(owner, address, peer, timing, now)
        self.cid = terms.cid
        self._terms = terms
        self._received = Reassembly()
        self._chain: list[x509.Certificate] = []
        self._connection = Connection(terms.context, self, timing.mtu, terms.sni, session)

    def start(self, now: float) -> None:
        """Send the ClientHello."""
        self._written(self._connection.step(b""), now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the server."""
        if self.over:
            return
        if self._suite is None:
            self._received.add(datagram)
            body = self._received.find(SERVER_HELLO)
            hello = None if body is None else server_hello(body)
            if hello is not None:
                self._suite = BY_NUMBER.get(hello.suite)
                self._hello = hello
                if hello.cid is not None and self.cid is not None:
                    self._crossing.own_cid, self._crossing.cid = self.cid, hello.cid
        self._feed(datagram, now)

    def psk(self, identity: bytes) -> tuple[bytes, bytes]:
        """Return the own identity and its key."""
        return self._terms.identity, self._terms.key

    def accepts(self, certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether a certificate of the server's chain will do."""
        if self._terms.server is None:
            return False
        accepted = self._terms.server.accepts(self._chain, certificate, depth, error)
        if depth > 0 and accepted:
            self._chain.append(certificate)
        return accepted

    def _complete(self, now: float) -> None:
        certificate = self._connection.certificate()
        if certificate is None:
            identity = Identity("psk", self._terms.identity.decode("utf-8", "replace"))
        else:
            identity = identity_of(certificate)
        self._established(identity, confirmed=not self._connection.resumed(), now=now)
