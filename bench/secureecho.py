"""The baseline of DTLS, a bare pyOpenSSL echo: ``python -m bench.secureecho PORT``.

One `SSL.Connection` in memory for each address, on Twisted's UDP port; PSK, any identity, one key; cookies as OpenSSL
makes them with ``DTLSv1_listen``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import DatagramProtocol

from bench.secureload import KEY, SUITE

reactor: Any = _reactor


class Echo(DatagramProtocol):
    """Sends what is in every record back in another."""

    def __init__(self) -> None:
        self._context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        self._context.set_cipher_list(f"{SUITE.name}:@SECLEVEL=0".encode())
        self._context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_cookie_generate_callback(_cookie)
        self._context.set_cookie_verify_callback(lambda connection, cookie: cookie == _cookie(connection))
        self._psk = ffi.callback("unsigned int (*)(SSL *, const char *, unsigned char *, unsigned int)", _psk)
        lib.SSL_CTX_set_psk_server_callback(self._context._context, self._psk)
        self._listening: dict[Any, SSL.Connection] = {}
        self._shaking: dict[Any, SSL.Connection] = {}
        self._open: dict[Any, SSL.Connection] = {}

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Answer one."""
        connection = self._open.get(addr)
        if connection is None or datagram[0] == 22:
            self._shake(datagram, addr)
            return
        connection.bio_write(datagram)
        try:
            connection.send(connection.recv(65536))
        except SSL.Error:
            return
        self.transport.write(connection.bio_read(65536), addr)  # type: ignore[union-attr]

    def _shake(self, datagram: bytes, addr: tuple[str, int]) -> None:
        connection = self._shaking.get(addr)
        if connection is not None:
            connection.bio_write(datagram)
            self._go_on(connection, addr)
            return
        connection = self._listening.pop(addr, None) or self._connection(addr)
        connection.bio_write(datagram)
        try:
            connection.DTLSv1_listen()
        except SSL.Error:
            self._listening[addr] = connection
            self._flush(connection, addr)
            return
        self._shaking[addr] = connection
        self._go_on(connection, addr)

    def _go_on(self, connection: SSL.Connection, addr: tuple[str, int]) -> None:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            del self._shaking[addr]
        else:
            self._open[addr] = self._shaking.pop(addr)
        self._flush(connection, addr)

    def _flush(self, connection: SSL.Connection, addr: tuple[str, int]) -> None:
        with suppress(SSL.WantReadError):
            self.transport.write(connection.bio_read(65536), addr)  # type: ignore[union-attr]

    def _connection(self, addr: tuple[str, int]) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_ciphertext_mtu(1400)
        connection.set_accept_state()
        connection.set_app_data(addr)
        return connection


_SECRET = os.urandom(16)


def _cookie(connection: SSL.Connection) -> bytes:
    return hashlib.sha256(_SECRET + repr(connection.get_app_data()).encode()).digest()[:20]


def _psk(_ssl: object, _identity: object, out: Any, _room: int) -> int:
    ffi.memmove(out, KEY, len(KEY))
    return len(KEY)


def main() -> None:
    """Serve until killed."""
    reactor.listenUDP(int(sys.argv[1]), Echo(), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
