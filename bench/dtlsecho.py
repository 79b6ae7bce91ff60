"""The baseline of DTLS: a bare Twisted UDP port with a pyOpenSSL connection for each peer, which sends everything back.

``python -m bench.dtlsecho PORT``: PSK, CCM_8, one key for everybody, cookies first.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import DatagramProtocol

KEY = b"0123456789abcdef"
reactor: Any = _reactor


def _key(_ssl: Any, _identity: Any, out: Any, _room: int) -> int:
    ffi.memmove(out, KEY, len(KEY))
    return len(KEY)


_psk: Any = ffi.callback("unsigned int (*)(SSL *, const char *, unsigned char *, unsigned int)", _key)


class Echo(DatagramProtocol):
    """A connection for each address."""

    def __init__(self) -> None:
        self._connections: dict[tuple[str, int], Any] = {}
        secret = os.urandom(16)
        context = self._context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        context.set_cipher_list(b"PSK-AES128-CCM8:@SECLEVEL=0")
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_cookie_generate_callback(lambda _connection: secret)
        context.set_cookie_verify_callback(lambda _connection, cookie: cookie == secret)
        lib.SSL_CTX_set_psk_server_callback(context._context, _psk)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Take one: the cookie, a handshake, or data."""
        connection = self._connections.get(addr)
        try:
            if connection is None:
                connection = SSL.Connection(self._context)
                connection.set_accept_state()
                connection.set_ciphertext_mtu(1200)
                connection.bio_write(datagram)
                try:
                    connection.DTLSv1_listen()
                finally:
                    self._flush(connection, addr)
                self._connections[addr] = connection
                connection.do_handshake()
            else:
                connection.bio_write(datagram)
                connection.send(connection.recv(2048))
        except SSL.Error:
            pass
        self._flush(connection, addr)

    def _flush(self, connection: Any, addr: tuple[str, int]) -> None:
        with suppress(SSL.WantReadError):
            self.transport.write(connection.bio_read(4096), addr)  # type: ignore[union-attr]


def main() -> None:
    """Serve until killed."""
    reactor.listenUDP(int(sys.argv[1]), Echo(), interface="127.0.0.1")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    main()
