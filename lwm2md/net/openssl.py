"""OpenSSL as far as it shakes hands: contexts, and one connection in memory for each handshake.

RULES: this is the only module that knows pyOpenSSL and the binding below it. DTLS 1.2 and nothing else; no
renegotiation, no compression. OpenSSL's calls are synchronous, and each of its questions (a key, a certificate, an
extension) is put to the `Asked` whose `Connection.step` is running. The cookie is checked before there is a connection,
so that OpenSSL takes any. It writes records, and never datagrams. Each call of the binding lets other threads run, and
costs as much as some lines of Python: so connections are the binding's own, and nothing is asked of them twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs
from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import exception_from_error_queue, ffi, lib

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
_MASTER: Final = 48
_RANDOM: Final = 32
_PSK_IDENTITY: Final = 0xA8
_ROOM: Final = 1 << 16
_UNHEARD: Final = -100
"""What was listened to is nothing that OpenSSL answers."""
_room: Final = ffi.new("unsigned char[]", _ROOM)
"""Where OpenSSL puts what is copied from there at once."""
_nowhere: Final = ffi.gc(lib.BIO_ADDR_new(), lib.BIO_ADDR_free)
"""Where OpenSSL would put a peer's address, if what is in memory had one."""


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
class Session:
    """What a client keeps of a session, to take it up later with the same context."""

    context: Context
    handle: Any


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
        self.raw = context._context
        self.memory = lib.BIO_s_mem()
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
        cookie = ffi.callback("int (*)(SSL *, const unsigned char *, unsigned int)", lambda _ssl, _cookie, _length: 1)
        verify = ffi.callback("int (*)(int, X509_STORE_CTX *)", self._verify)
        if self.server:
            lib.SSL_CTX_set_cookie_verify_cb(raw, cookie)
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
        return cookie, psk, add, parse, verify

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
        mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        lib.SSL_CTX_set_verify(context._context, mode, self._callbacks[-1])

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

    def _verify(self, _ok: int, store: Any) -> int:
        raw = lib.X509_STORE_CTX_get_current_cert(store)
        lib.X509_up_ref(raw)
        try:
            certificate = _certificate(raw)
        except ValueError:
            return 0
        error, depth = lib.X509_STORE_CTX_get_error(store), lib.X509_STORE_CTX_get_error_depth(store)
        if self.asked is None or not self.asked.accepts(certificate, depth, error):
            return 0
        lib.X509_STORE_CTX_set_error(store, lib.X509_V_OK)
        return 1


class Connection:
    """One handshake in OpenSSL, of a server or a client as its context is; ``mtu`` is of records, in bytes.

    ``done`` says that it has ended well, ``failed`` why it has not. ``sni`` is the name that a client asks for.
    """

    __slots__ = ("_asked", "_context", "_in", "_out", "_ssl", "done", "failed")

    def __init__(self, context: Context, asked: Asked, mtu: int, sni: str = "", session: Session | None = None) -> None:
        self.done = False
        self.failed = ""
        self._context = context
        self._asked = asked
        # What it is is freed at once when nobody has this any more; the two in memory go with it.
        ssl = self._ssl = ffi.gc(lib.SSL_new(context.raw), lib.SSL_free)
        memory = context.memory
        self._in, self._out = lib.BIO_new(memory), lib.BIO_new(memory)
        lib.SSL_set_bio(ssl, self._in, self._out)
        lib.SSL_set_mtu(ssl, mtu)
        if not context.server:
            lib.SSL_set_connect_state(ssl)
            if session is not None and session.context is context:
                lib.SSL_set_session(ssl, session.handle)
            if sni:
                lib.SSL_set_tlsext_host_name(ssl, sni.encode("idna"))

    def listen(self, hello: bytes) -> bytes:
        """Take the ClientHello whose cookie was found good, and return the records of the answer."""
        return self._run(hello, _listen)

    def step(self, records: bytes) -> bytes:
        """Take records of the peer, none to begin with as a client, and return those to be sent."""
        return self._run(records, lib.SSL_do_handshake)

    def _run(self, records: bytes, call: Callable[[Any], int]) -> bytes:
        context, ssl = self._context, self._ssl
        if records:
            lib.BIO_write(self._in, records, len(records))
        context.asked = self._asked
        result = call(ssl)
        context.asked = None
        if result == 1:
            self.done = True
        elif result != _UNHEARD and lib.SSL_get_error(ssl, result) != lib.SSL_ERROR_WANT_READ:
            self.failed = _failure()
        return self._drain()

    def _drain(self) -> bytes:
        size = lib.BIO_read(self._out, _room, _ROOM)
        return ffi.buffer(_room, size)[:] if size > 0 else b""

    # What a handshake has agreed on

    def secrets(self) -> tuple[bytes, bytes, bytes] | None:
        """Return the master secret, the client's and the server's random; None before there are any."""
        session = lib.SSL_get_session(self._ssl)
        if session == ffi.NULL or lib.SSL_SESSION_get_master_key(session, _room, _MASTER) != _MASTER:
            return None
        return ffi.buffer(_room, _MASTER)[:], *self.randoms()

    def randoms(self) -> tuple[bytes, bytes]:
        """Return the client's and the server's random, once both have said hello."""
        lib.SSL_get_client_random(self._ssl, _room, _RANDOM)
        lib.SSL_get_server_random(self._ssl, _room + _RANDOM, _RANDOM)
        both = ffi.buffer(_room, 2 * _RANDOM)[:]
        return both[:_RANDOM], both[_RANDOM:]

    def certificate(self) -> x509.Certificate | None:
        """Return the peer's certificate, if it has shown one."""
        raw = lib.SSL_get_peer_certificate(self._ssl)
        return None if raw == ffi.NULL else _certificate(raw)

    def resumed(self) -> bool:
        """Return whether an earlier session was taken up, which is known once both have said hello."""
        return bool(lib.SSL_session_reused(self._ssl))

    def leave(self) -> None:
        """Need this no more after a handshake that went well: OpenSSL takes the session of a connection that is freed
        without having been closed for broken, and nobody could take it up.
        """
        if self._context.resumes:
            lib.SSL_set_shutdown(self._ssl, SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    def session(self) -> Session | None:
        """Return what the next handshake with this server may take up, where the context resumes."""
        if not self._context.resumes:
            return None
        handle = lib.SSL_get1_session(self._ssl)
        return None if handle == ffi.NULL else Session(self._context, ffi.gc(handle, lib.SSL_SESSION_free))

    def session_identity(self) -> bytes:
        """Return the PSK identity that belongs to the session, empty if it has none; no call of OpenSSL gives it, but
        the session as it writes it (SSL_SESSION_ASN1, element 8) does.
        """
        session = ffi.gc(lib.SSL_get1_session(self._ssl), lib.SSL_SESSION_free)
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
        lib.BIO_write(self._in, records, len(records))
        while (size := lib.SSL_read(self._ssl, _room, _ROOM)) > 0:
            found.append(ffi.buffer(_room, size)[:])
        if lib.SSL_get_error(self._ssl, size) == lib.SSL_ERROR_WANT_READ:
            return found
        _failure()
        return found or None

    def seal(self, data: bytes) -> bytes:
        """Return application data as records; none when the connection is broken."""
        if lib.SSL_write(self._ssl, data, len(data)) > 0:
            return self._drain()
        _failure()
        return b""

    def close(self) -> bytes:
        """Return the records that say that nothing more comes."""
        if lib.SSL_shutdown(self._ssl) >= 0:
            return self._drain()
        _failure()
        return b""


def _listen(ssl: Any) -> int:
    result: int = lib.DTLSv1_listen(ssl, _nowhere)
    return lib.SSL_do_handshake(ssl) if result > 0 else result or _UNHEARD


def _failure() -> str:
    """What OpenSSL says has gone wrong, for people; nothing of it is left for the next one to find."""
    try:
        exception_from_error_queue(SSL.Error)
    except SSL.Error as error:
        return _reason(error) or "it has ended"


def _certificate(raw: Any) -> x509.Certificate:
    """What a certificate of OpenSSL's says, which is ours from now on. Raises ValueError."""
    return crypto.X509._from_raw_x509_ptr(raw).to_cryptography()


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
