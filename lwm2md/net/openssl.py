"""OpenSSL as far as it shakes hands: contexts, and one connection in memory for each handshake.

RULES: this is the only module that knows pyOpenSSL and the binding below it. DTLS 1.2 and nothing else; no
renegotiation, no compression. OpenSSL's calls are synchronous, and each of its questions (a key, a certificate, an
extension) is put to the `Asked` whose `Connection.step` is running. The cookie is checked before there is a connection,
so that OpenSSL takes any. It writes records, and never datagrams.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import attrs
from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

from lwm2md.security.dtls.records import DTLS_1_2
from lwm2md.security.dtls.suites import Suite, cipher_list

CONNECTION_ID: Final = 54
"""The extension of RFC 9146."""

_CURVES: Final = b"P-256:X25519:P-384"
_SIGNATURES: Final = (
    b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"
    b"RSA+SHA256:RSA+SHA384:RSA+SHA512"
)
_ILLEGAL: Final = 47
Session = SSL.Session
"""What a client keeps of a session, to take it up later."""

_MASTER: Final = 48
_PSK_IDENTITY: Final = 0xA8
_ROOM: Final = 1 << 16


class Asked(Protocol):
    """What OpenSSL asks while a handshake goes on; nothing of it may raise."""

    cid: bytes | None
    """The Connection ID that we want on records to us; None asks for no such extension, and answers none."""
    peer_cid: bytes | None
    """The Connection ID that the peer wants on records to it; set when it has told."""

    def psk(self, identity: bytes) -> tuple[bytes, bytes]:
        """Return the identity (as a client) and the key; an empty key ends the handshake.

        ``identity`` is the one that a client has told us (as a server), as OpenSSL has read it.
        """

    def accepts(self, certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether a certificate of the peer's chain will do; ``error`` is OpenSSL's own word, 0 for none."""


@attrs.frozen(slots=True, eq=False)
class Material:
    """Certificates as PEM: the own ``chain`` with the leaf first and its ``key``, the ``authorities`` that are trusted,
    and the lists of what they have revoked. What is empty is not there.
    """

    chain: bytes = b""
    key: bytes = attrs.field(default=b"", repr=False)
    authorities: bytes = b""
    revoked: bytes = b""

    def check(self) -> None:
        """Raise ValueError, fit for the operator, where something can't be read or does not fit together."""
        Context((), server=True, material=self)


class Context:
    """What many handshakes share: suites, certificates, and the keys of session tickets.

    With ``resumes`` a peer may take up an earlier session of this context. OpenSSL's Connection ID extension can't be
    had in a resumption, so that whoever asks for one belongs into a context without. Raises ValueError if the
    certificates are none.
    """

    def __init__(
        self, suites: tuple[Suite, ...], *, server: bool, material: Material | None = None, resumes: bool = False
    ) -> None:
        self.server = server
        self.resumes = resumes
        self.asked: Asked | None = None
        context = self._context = SSL.Context(SSL.DTLS_SERVER_METHOD if server else SSL.DTLS_CLIENT_METHOD)
        context.set_min_proto_version(int.from_bytes(DTLS_1_2, "big"))
        context.set_max_proto_version(int.from_bytes(DTLS_1_2, "big"))
        if suites:
            context.set_cipher_list(cipher_list(suites))
        options = lib.SSL_OP_NO_RENEGOTIATION | lib.SSL_OP_NO_QUERY_MTU | lib.SSL_OP_CIPHER_SERVER_PREFERENCE
        context.set_options(options if resumes else options | lib.SSL_OP_NO_TICKET)
        if not resumes:
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        elif server:
            context.set_session_id(b"lwm2md")
        lib.SSL_CTX_set1_curves_list(context._context, _CURVES)
        lib.SSL_CTX_set1_sigalgs_list(context._context, _SIGNATURES)
        self._callbacks = self._hook()
        if material is not None:
            try:
                self._use(material)
            except (SSL.Error, crypto.Error, ValueError) as error:
                raise ValueError(_reason(error)) from None

    def _hook(self) -> tuple[object, ...]:
        """Register what OpenSSL calls; the callbacks live as long as whoever holds what is returned."""
        raw = self._context._context
        if self.server:
            self._context.set_cookie_verify_callback(lambda _connection, _cookie: True)
            psk = ffi.callback("unsigned int (*)(SSL *, const char *, unsigned char *, unsigned int)", self._server_psk)
            lib.SSL_CTX_set_psk_server_callback(raw, psk)
            extend = lib.SSL_CTX_add_server_custom_ext
        else:
            psk = ffi.callback(
                "unsigned int (*)(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)",
                self._client_psk,
            )
            lib.SSL_CTX_set_psk_client_callback(raw, psk)
            extend = lib.SSL_CTX_add_client_custom_ext
        add = ffi.callback(
            "int (*)(SSL *, unsigned int, const unsigned char **, size_t *, int *, void *)", self._add_cid
        )
        parse = ffi.callback(
            "int (*)(SSL *, unsigned int, const unsigned char *, size_t, int *, void *)", self._parse_cid
        )
        extend(raw, CONNECTION_ID, add, ffi.NULL, ffi.NULL, parse, ffi.NULL)
        return psk, add, parse

    def _use(self, material: Material) -> None:
        context = self._context
        if material.chain:
            leaf, *others = x509.load_pem_x509_certificates(material.chain)
            context.use_certificate(leaf)
            for other in others:
                context.add_extra_chain_cert(other)
            context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, material.key, _no_passphrase))
            context.check_privatekey()
        store = context.get_cert_store()
        if material.authorities and store is not None:
            authorities = x509.load_pem_x509_certificates(material.authorities)
            for authority in authorities:
                store.add_cert(crypto.X509.from_cryptography(authority))
            flags = crypto.X509StoreFlags.PARTIAL_CHAIN
            if material.revoked:
                for revoked in _lists(material.revoked):
                    store.add_crl(revoked)
                flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
            store.set_flags(flags)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)

    # What OpenSSL calls

    def _server_psk(self, _ssl: Any, identity: Any, out: Any, room: int) -> int:
        key = b"" if self.asked is None else self.asked.psk(ffi.string(identity))[1]
        return _put(key, out, room)

    def _client_psk(self, _ssl: Any, _hint: Any, identity_out: Any, identity_room: int, out: Any, room: int) -> int:
        identity, key = (b"", b"") if self.asked is None else self.asked.psk(b"")
        return _put(key, out, room) if _put(identity + b"\0", identity_out, identity_room) else 0

    def _add_cid(self, _ssl: Any, _kind: int, out: Any, length: Any, _alert: Any, _argument: Any) -> int:
        cid = None if self.asked is None else self.asked.cid
        if cid is None:
            return 0
        # Of one length at most: it must live until OpenSSL has copied it, which is after this returns.
        self._extension = ffi.new("unsigned char[]", bytes((len(cid),)) + cid)
        out[0] = self._extension
        length[0] = 1 + len(cid)
        return 1

    def _parse_cid(self, _ssl: Any, _kind: int, body: Any, length: int, alert: Any, _argument: Any) -> int:
        data = bytes(ffi.buffer(body, length)) if length else b""
        if self.asked is None or not data or data[0] != len(data) - 1:
            alert[0] = _ILLEGAL
            return 0
        self.asked.peer_cid = data[1:]
        return 1

    def _verify(self, _connection: object, certificate: crypto.X509, error: int, depth: int, _ok: int) -> bool:
        return self.asked is not None and self.asked.accepts(certificate.to_cryptography(), depth, error)


class Connection:
    """One handshake in OpenSSL, of a server or a client as its context is; ``mtu`` is of records, in bytes.

    ``done`` says that it has ended well, ``failed`` why it has not. ``sni`` is the name that a client asks for.
    """

    __slots__ = ("_asked", "_connection", "_context", "done", "failed")

    def __init__(self, context: Context, asked: Asked, mtu: int, sni: str = "", session: Session | None = None) -> None:
        self.done = False
        self.failed = ""
        self._context = context
        self._asked = asked
        connection = self._connection = SSL.Connection(context._context)
        connection.set_ciphertext_mtu(mtu)
        if context.server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
            if session is not None:
                connection.set_session(session)
            if sni:
                connection.set_tlsext_host_name(sni.encode("idna"))

    def listen(self, hello: bytes) -> bytes:
        """Take the ClientHello whose cookie was found good, and return the records of the answer."""
        return self._run(hello, self._listen)

    def step(self, records: bytes) -> bytes:
        """Take records of the peer, none to begin with as a client, and return those to be sent."""
        return self._run(records, self._connection.do_handshake)

    def _listen(self) -> None:
        self._connection.DTLSv1_listen()
        self._connection.do_handshake()

    def _run(self, records: bytes, call: Any) -> bytes:
        if records:
            self._connection.bio_write(records)
        self._context.asked = self._asked
        try:
            call()
            self.done = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failed = _reason(error)
        finally:
            self._context.asked = None
        return self._drain()

    def _drain(self) -> bytes:
        try:
            return self._connection.bio_read(_ROOM)
        except SSL.WantReadError:
            return b""

    # What a handshake has agreed on

    def secrets(self) -> tuple[bytes, bytes, bytes] | None:
        """Return the master secret, the client's and the server's random; None before there are any."""
        session = lib.SSL_get_session(self._connection._ssl)
        if session == ffi.NULL:
            return None
        room = ffi.new("unsigned char[]", _MASTER)
        # No word of pyOpenSSL: that raises where there is no secret yet.
        if lib.SSL_SESSION_get_master_key(session, room, _MASTER) != _MASTER:
            return None
        return bytes(ffi.buffer(room)), *self.randoms()

    def randoms(self) -> tuple[bytes, bytes]:
        """Return the client's and the server's random, once both have said hello."""
        return self._connection.client_random() or b"", self._connection.server_random() or b""

    def certificate(self) -> x509.Certificate | None:
        """Return the peer's certificate, if it has shown one."""
        return self._connection.get_peer_certificate(as_cryptography=True)

    def resumed(self) -> bool:
        """Return whether an earlier session was taken up."""
        return bool(lib.SSL_session_reused(self._connection._ssl))

    def session(self) -> Session | None:
        """Return what the next handshake with this server may take up, where the context resumes."""
        return self._connection.get_session() if self._context.resumes else None

    def session_identity(self) -> bytes:
        """Return the PSK identity that belongs to the session, empty if it has none; no call of OpenSSL gives it, but
        the session as it writes it (SSL_SESSION_ASN1, element 8) does.
        """
        session = ffi.gc(lib.SSL_get1_session(self._connection._ssl), lib.SSL_SESSION_free)
        size = lib.i2d_SSL_SESSION(session, ffi.NULL)
        room = ffi.new("unsigned char[]", size)
        lib.i2d_SSL_SESSION(session, ffi.new("unsigned char **", room))
        _, whole, _ = _der(bytes(ffi.buffer(room, size)))
        while whole:
            tag, value, whole = _der(whole)
            if tag == _PSK_IDENTITY:
                return _der(value)[1]
        return b""

    # Records that stay in OpenSSL

    def open(self, records: bytes) -> list[bytes] | None:
        """Return what records of the peer hold, one item for each with application data; None once it has closed."""
        found = []
        self._connection.bio_write(records)
        try:
            while True:
                found.append(self._connection.recv(_ROOM))
        except SSL.WantReadError:
            return found
        except (SSL.ZeroReturnError, SSL.Error):
            return found or None

    def seal(self, data: bytes) -> bytes:
        """Return application data as records; none when the connection is broken."""
        try:
            self._connection.send(data)
        except SSL.Error:
            return b""
        return self._drain()

    def close(self) -> bytes:
        """Return the records that say that nothing more comes."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return b""
        return self._drain()


def _put(data: bytes, out: Any, room: int) -> int:
    if not data or len(data) > room:
        return 0
    ffi.memmove(out, data, len(data))
    return len(data)


def _lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """The certificate revocation lists of a PEM text. Raises ValueError."""
    end = b"-----END X509 CRL-----"
    found = [x509.load_pem_x509_crl(part + end) for part in pem.split(end)[:-1]]
    if not found:
        raise ValueError("no certificate revocation list in PEM")
    return found


def _der(data: bytes) -> tuple[int, bytes, bytes]:
    """The tag and the value of the first element of a DER text, and what follows it."""
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + size], data[start + size :]


def _no_passphrase(*_: object) -> bytes:
    raise ValueError("the private key is encrypted; a daemon can't be asked for its passphrase")


def _reason(error: Exception) -> str:
    """What an error of OpenSSL says, for people."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    return entries[-1][2] if entries else str(error) or type(error).__name__
