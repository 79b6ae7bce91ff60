"""A handshake that we begin, as a device does (RFC 6347)."""

from __future__ import annotations

import attrs
from cryptography import x509

from lwm2md.net.certificates import ServerTerms, identity_of
from lwm2md.net.handshakes import Handshake, Owner, Timing
from lwm2md.net.openssl import Connection, Context, Session
from lwm2md.security.dtls.handshake import SERVER_HELLO, Reassembly
from lwm2md.security.dtls.hello import server_hello
from lwm2md.security.dtls.suites import BY_NUMBER
from lwm2md.security.identity import Identity


@attrs.frozen(slots=True, eq=False)
class ClientTerms:
    """What a client shakes hands with: its context, a PSK ``identity`` and ``key`` or none, what it asks of the
    server's certificate, the name ``sni`` that it calls, and the Connection ID: None asks for none, empty gives one to
    the server only.
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
        self._resumes = self._connection.resumed()
        certificate = self._connection.certificate()
        if certificate is None:
            identity = Identity("psk", self._terms.identity.decode("utf-8", "replace"))
        else:
            identity = identity_of(certificate)
        self._established(identity, confirmed=not self._resumes, now=now)
