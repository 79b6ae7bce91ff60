"""A handshake that a client has begun (RFC 6347): its key, its certificate, who it is.

RULES: it begins with a ClientHello whose cookie was found good. The flight with the ClientKeyExchange waits until the
key of its identity is there; an unknown identity goes on with a decoy, so that it fails like a wrong key, and both get
the same alert. While a rotation overlaps, the waiting Finished tells which key the peer has. A session that is taken up
says nothing of whether its credential is still there, so that is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from cryptography import x509

from lwm2md.net.certificates import identity_of, strong
from lwm2md.net.handshakes import Handshake, Owner, Timing
from lwm2md.net.openssl import Connection, Context, Material
from lwm2md.security.credentials import Keys
from lwm2md.security.dtls.handshake import (
    CLIENT_KEY_EXCHANGE,
    HEAD,
    SERVER_HELLO,
    Reassembly,
    fragment_head,
    psk_identity,
    transcript,
)
from lwm2md.security.dtls.hello import Offer, server_hello
from lwm2md.security.dtls.records import (
    CHANGE_CIPHER_SPEC,
    CID_LENGTH,
    HANDSHAKE,
    HEADER,
    TLS12_CID,
    head,
    number,
    split,
)
from lwm2md.security.dtls.session import EPOCH_1
from lwm2md.security.dtls.suites import Suite
from lwm2md.security.dtls.trial import Agreed
from lwm2md.security.identity import X509, Identity

DECRYPT_ERROR: Final = 51
ACCESS_DENIED: Final = 49
_SOON: Final = 0.5
_HELD: Final = 8
_BEHIND_NUMBER: Final = 11
_LONGEST: Final = 128
"""Bytes of a PSK identity (RFC 7925 section 4.2)."""


@attrs.frozen(slots=True, eq=False)
class ServerContexts:
    """The two contexts of a server: for those who ask for a Connection ID, and for those who may resume a session."""

    with_cid: Context
    resuming: Context
    suites: tuple[Suite, ...]
    ours: frozenset[int] = attrs.field(init=False)
    """The numbers of those whose records don't stay in OpenSSL."""

    @ours.default
    def _ours(self) -> frozenset[int]:
        return frozenset(suite.number for suite in self.suites if not suite.in_openssl)

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
        self._received: Reassembly | None = None
        self._held: list[bytes] = []
        self._waiting = False
        self._changed_cipher = False
        self._proof_seen = False
        self._candidates: Sequence[bytes] = ()
        self._now = now

    @property
    def identity_text(self) -> str:
        """The identity that the peer says it has, as far as is known, for people."""
        return "" if self._identity is None else self._identity.decode("utf-8", "replace")

    def start(self, datagram: bytes, offer: Offer, now: float) -> None:
        """Begin with the ClientHello in ``datagram``, and what it offers."""
        contexts = self._contexts
        wants = offer.cid is not None and not contexts.ours.isdisjoint(offer.suites)
        self.cid = self.peer[1:] if wants else None
        self._opening = datagram
        context = contexts.with_cid if wants else contexts.resuming
        self._connection = Connection(context, self, self._timing.mtu)
        self._written(self._connection.listen(datagram), now)

    def repeats(self, datagram: bytes) -> bool:
        """Return whether a ClientHello is the one that began this handshake, whatever number its record has."""
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
        elif self._key or self._suite is None or not self._suite.psk or self._resumes:
            self._feed(datagram, now)
            self._judge(datagram, now)
        else:
            self._held.append(datagram)
            body = _whole(datagram, CLIENT_KEY_EXCHANGE)
            if body is None:
                body = self._put_together(CLIENT_KEY_EXCHANGE)
            if body is not None:
                self._ask(psk_identity(body), now)
            elif len(self._held) > _HELD:
                del self._held[0]

    def _put_together(self, kind: int) -> bytes | None:
        """The body of a message of the client that came in fragments; None while some of it is missing."""
        if self._received is None:
            self._received = Reassembly()
        self._received.add(self._held[-1])
        return self._received.find(kind)

    def _learn(self, data: bytes) -> None:
        if self._suite is None:
            body = _whole(data, SERVER_HELLO)
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
        records = (record for data in self._held for record in split(data)[0])
        proof = next((record for record in records if number(record) >= EPOCH_1), None)
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
        ours.add(self._flights.last)
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
                self._judge(datagram, now)

    def _judge(self, datagram: bytes, now: float) -> None:
        """Refuse a peer whose Finished was there and could not be opened: it has another key."""
        if self.over:
            return
        changed_cipher, top = _survey(datagram)
        self._changed_cipher |= changed_cipher
        self._proof_seen |= self._changed_cipher and top >= EPOCH_1
        if not self._key or not self._proof_seen:
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
        confirmed = self._resumes
        keyed = self._suite is not None and self._suite.psk
        certificate = None if keyed else self._connection.certificate()
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


def _whole(datagram: bytes, kind: int) -> bytes | None:
    """The body of the message that a datagram begins with, if it is of this type and in one piece, as nearly always."""
    start = HEADER + HEAD
    if len(datagram) < start or datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0":
        return None
    found, length, _, _, size = fragment_head(datagram, HEADER)
    end = start + length
    return datagram[start:end] if found == kind and size == length and end <= len(datagram) else None


def _survey(datagram: bytes) -> tuple[bool, int]:
    """Whether a datagram has a ChangeCipherSpec, and the highest number in it that has an epoch; -1 without any."""
    changed, top, at = False, -1, 0
    while at + HEADER <= len(datagram):
        kind, _, numbered, length = head(datagram, at)
        changed |= kind == CHANGE_CIPHER_SPEC
        if numbered >= EPOCH_1:
            top = max(top, numbered)
        if kind == TLS12_CID:
            at += CID_LENGTH
            length = int.from_bytes(datagram[at + 11 : at + HEADER], "big")
        at += HEADER + length
    return changed, top
