"""Two ends of OpenSSL that shake hands over DTLS 1.2 in memory: what our records are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from lwm2md.security.dtls.crossing import Crossing, counters
from lwm2md.security.dtls.hello import CONNECTION_ID, ClientHello, Cookies, client_hello
from lwm2md.security.dtls.keys import key_block
from lwm2md.security.dtls.records import CID_LENGTH
from lwm2md.security.dtls.session import PEER, DtlsSession, own_keys
from lwm2md.security.dtls.suites import Suite
from lwm2md.security.identity import Identity

KEY: Final = bytes(range(16))
IDENTITY: Final = b"device-1"
_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]
_NO_EXTENDED_MASTER_SECRET: Final = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET


class End:
    """One end: a connection with its flights as datagrams."""

    def __init__(self, context: SSL.Context, *, client: bool) -> None:
        self.connection = SSL.Connection(context, None)
        if client:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()
        self.connection.set_ciphertext_mtu(1400)
        self.done = False

    def step(self) -> list[bytes]:
        """Go on with the handshake; return the datagrams to send."""
        try:
            self.connection.do_handshake()
            self.done = True
        except SSL.WantReadError:
            pass
        return self.take()

    def take(self) -> list[bytes]:
        """Return the datagrams that wait to be sent."""
        found = []
        while True:
            try:
                found.append(self.connection.bio_read(65536))
            except SSL.WantReadError:
                return found

    def feed(self, datagram: bytes) -> None:
        """Receive one."""
        self.connection.bio_write(datagram)

    def keyed(self) -> bool:
        """Return whether there is a master secret."""
        try:
            return bool(self.connection.master_key())
        except SSL.Error:
            return False

    def keys(self) -> tuple[str, bytes, bytes, bytes]:
        """Return the suite's name, the master secret, the client's random and the server's."""
        name = self.connection.get_cipher_name()
        master, client = self.connection.master_key(), self.connection.client_random()
        server = self.connection.server_random()
        assert name
        assert master
        assert client
        assert server
        return name, master, client, server


class Contexts:
    """A server's and a client's context for one cipher suite, with the callbacks that must outlive them.

    With Connection IDs each end announces its own; then the server takes any cookie, too: it was checked before.
    """

    def __init__(
        self, suite: str, *, key: bytes = KEY, extended: bool = True, own_cid: bytes = b"", cid: bytes | None = None
    ) -> None:
        self._kept: list[Any] = []
        self.server, self.client = _context(suite, extended), _context(suite, extended)
        self._psk(key)
        self._cookies()
        if cid is not None:
            self._connection_id(_lib.SSL_CTX_add_server_custom_ext, self.server, own_cid)
            self._connection_id(_lib.SSL_CTX_add_client_custom_ext, self.client, cid)

    def _callback(self, returns: str, arguments: str, function: Callable[..., Any]) -> Any:
        made = _ffi.callback(f"{returns}(SSL *, {arguments})", function)
        self._kept.append(made)
        return made

    def _psk(self, key: bytes) -> None:
        def server(_ssl: Any, _identity: Any, psk: Any, _size: int) -> int:
            _ffi.memmove(psk, key, len(key))
            return len(key)

        def client(_ssl: Any, _hint: Any, identity: Any, _length: int, psk: Any, _size: int) -> int:
            _ffi.memmove(identity, IDENTITY + b"\0", len(IDENTITY) + 1)
            _ffi.memmove(psk, KEY, len(KEY))
            return len(KEY)

        called = self._callback("unsigned int", "const char *, unsigned char *, unsigned int", server)
        _lib.SSL_CTX_set_psk_server_callback(self.server._context, called)
        arguments = "const char *, char *, unsigned int, unsigned char *, unsigned int"
        called = self._callback("unsigned int", arguments, client)
        _lib.SSL_CTX_set_psk_client_callback(self.client._context, called)

    def _cookies(self) -> None:
        verify = self._callback("int", "const unsigned char *, unsigned int", lambda *_: 1)
        generate = self._callback("int", "unsigned char *, unsigned int *", lambda *_: 0)
        _lib.SSL_CTX_set_cookie_verify_cb(self.server._context, verify)
        _lib.SSL_CTX_set_cookie_generate_cb(self.server._context, generate)

    def _connection_id(self, announce: Any, context: SSL.Context, cid: bytes) -> None:
        body = _ffi.new("unsigned char[]", bytes((len(cid),)) + cid)
        self._kept.append(body)

        def give(_ssl: Any, _type: int, out: Any, size: Any, _alert: Any, _argument: Any) -> int:
            out[0] = body
            size[0] = 1 + len(cid)
            return 1

        add = self._callback("int", "unsigned int, const unsigned char **, size_t *, int *, void *", give)
        free = self._callback("void", "unsigned int, const unsigned char *, void *", lambda *_: None)
        parse = self._callback("int", "unsigned int, const unsigned char *, size_t, int *, void *", lambda *_: 1)
        assert announce(context._context, CONNECTION_ID, add, free, _ffi.NULL, parse, _ffi.NULL) == 1


def _context(suite: str, extended: bool) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(f"{suite}:@SECLEVEL=0".encode())
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | (0 if extended else _NO_EXTENDED_MASTER_SECRET))
    return context


class Handshake:
    """A whole handshake between two ends, through a crossing on each side; ``flights`` is what went over the network,
    each datagram with whether the client sent it.
    """

    def __init__(self, suite: Suite, *, own_cid: bytes = b"", cid: bytes = b"", extended: bool = True) -> None:
        self.suite = suite
        announced = cid if own_cid or cid else None
        self.contexts = Contexts(suite.name, extended=extended, own_cid=own_cid, cid=announced)
        self.client = End(self.contexts.client, client=True)
        self.counters = counters()
        self.server_side = Crossing(self.counters, own_cid=own_cid, cid=cid)
        self.client_side = Crossing(self.counters, own_cid=cid, cid=own_cid)
        self.flights: list[tuple[bytes, bool]] = []
        self.cookies = Cookies(bytes)
        self.hello = self._say_hello()
        self.server = End(self.contexts.server, client=False)
        self.server.feed(self.flights[-1][0])
        self.server.connection.DTLSv1_listen()

    def _say_hello(self) -> ClientHello:
        (datagram,) = self.client.step()
        first = client_hello(datagram)
        assert first is not None
        self.client.feed(self.cookies.challenge(b"address", first, 0.0))
        (datagram,) = self.client.step()
        self.flights.append((datagram, True))
        second = client_hello(datagram)
        assert second is not None and self.cookies.valid(b"address", second, 0.0)
        return second

    def shake(self) -> None:
        """Shake hands."""
        while not (self.server.done and self.client.done):
            self.turn(from_client=False)
            self.turn(from_client=True)

    def turn(self, *, from_client: bool) -> list[bytes]:
        """Let one end speak and the other hear; return what went over the network."""
        end, crossing = (self.client, self.client_side) if from_client else (self.server, self.server_side)
        other, beyond = (self.server, self.server_side) if from_client else (self.client, self.client_side)
        out = [crossing.outgoing(datagram) for datagram in self._step(end, crossing, from_client)]
        for datagram in out:
            self.flights.append((datagram, from_client))
            for record in beyond.incoming(datagram):
                other.feed(record)
        return out

    def _step(self, end: End, crossing: Crossing, client: bool) -> list[bytes]:
        """Let OpenSSL speak, and tell the crossing the keys as soon as there are any."""
        out = end.step()
        if end.keyed():
            for record in crossing.keyed(self.suite, self.keys(client=client)):
                end.feed(record)
            out += end.step()
        return out

    def keys(self, *, client: bool) -> bytes:
        """Return the keys in the order of one end's session."""
        _, master, client_random, server_random = (self.client if client else self.server).keys()
        return own_keys(self.suite, key_block(self.suite, master, client_random, server_random), client=client)

    def sessions(self) -> tuple[DtlsSession, DtlsSession]:
        """Return the server's session and the client's."""
        found = []
        for side, client in ((self.server_side, False), (self.client_side, True)):
            peer = PEER + (side.own_cid or bytes(CID_LENGTH))
            session = DtlsSession(
                peer,
                b"address",
                self.suite,
                self.keys(client=client),
                Identity("psk", IDENTITY.decode()),
                own_cid=bool(side.own_cid),
                cid=side.cid,
            )
            side.hand_over(session)
            found.append(session)
        return found[0], found[1]
