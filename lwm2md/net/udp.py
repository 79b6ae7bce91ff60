"""A UDP port that takes datagrams in batches.

Rules: one wake-up of the reactor drains up to `BATCH` datagrams and hands them on together. What can't be sent is
dropped and counted, as the network would: nothing here raises once the port is bound. Whoever uses a port knows
`DatagramPort` only, so that a port on other system calls may take its place.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lwm2md.net.addresses import FAMILY_4, PREFIX_4, PREFIX_6, Endpoint, prefix

Batch = list[tuple[bytes, bytes]]
"""Datagrams, each with its peer."""

BATCH: Final = 64
_LARGEST: Final = 65535
_KNOWN: Final = 4096
_PEER_4: Final = struct.Struct(f">{PREFIX_4}s4sH")
_PEER_6: Final = struct.Struct(f">{PREFIX_6}s16sHI")
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024


class DatagramPort(Protocol):
    """A bound port. `prefix` is what the peers that belong to it begin with."""

    local: Endpoint
    prefix: bytes
    counters: dict[str, int]

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Send datagrams to peers of this port; what can't be sent is counted."""

    def close(self) -> None:
        """Stop and give the port back; a second call does nothing."""


def listen(reactor: IReactorFDSet, local: Endpoint) -> UdpPort:
    """Bind a port on `local`; port 0 takes any free one. Raises OSError if that can't be done."""
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((local.host, local.port, 0, local.scope))
        else:
            sock.bind((local.host, local.port))
    except OSError:
        sock.close()
        raise
    return UdpPort(reactor, sock)


@implementer(IReadDescriptor)
class UdpPort:
    """A bound UDP socket, read by the reactor."""

    def __init__(self, reactor: IReactorFDSet, sock: socket.socket) -> None:
        self._reactor = reactor
        self._socket = sock
        self._open = True
        self._receive: Callable[[Batch], None] = _ignore
        # Most of what is sent answers what came last; to make an address from a peer costs as much as a system call.
        self._known: dict[bytes, tuple[str | int, ...]] = {}
        name = sock.getsockname()
        self.local = Endpoint(name[0].partition("%")[0], name[1], name[3] if sock.family == socket.AF_INET6 else 0)
        self.prefix = prefix(self.local)
        self.counters = {"received": 0, "sent": 0, "dropped": 0, "receive_errors": 0, "send_errors": 0}
        self._read = self._read_4 if self.prefix[0] == FAMILY_4 else self._read_6
        self._address = _address_4 if self.prefix[0] == FAMILY_4 else _address_6

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""
        self._receive = receive
        self._reactor.addReader(self)

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Send datagrams to peers of this port; what can't be sent is counted."""
        if not self._open:
            self.counters["dropped"] += len(datagrams)
            return
        sendto = self._socket.sendto
        known = self._known
        for data, peer in datagrams:
            try:
                sendto(data, known.get(peer) or self._address(peer))
            except BlockingIOError:
                self.counters["dropped"] += 1
            except OSError:
                self.counters["send_errors"] += 1
            else:
                self.counters["sent"] += 1

    def close(self) -> None:
        """Stop and give the port back; a second call does nothing."""
        if self._open:
            self._open = False
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor for the reactor."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """Drain what has arrived, up to a batch; the reactor comes back for the rest."""
        batch: Batch = []
        if len(self._known) > _KNOWN:
            self._known.clear()
        try:
            self._read(batch)
        except BlockingIOError:
            pass
        except OSError:
            # An ICMP error of an earlier datagram, reported here; it says nothing of those that follow.
            self.counters["receive_errors"] += 1
        if batch:
            self.counters["received"] += len(batch)
            self._receive(batch)

    def connectionLost(self, reason: Failure) -> None:
        """Be told by the reactor that it stops."""
        self.close()

    def logPrefix(self) -> str:
        """Return what the log calls this port."""
        return f"udp {self.local}"

    def _read_4(self, batch: Batch) -> None:
        recvfrom = self._socket.recvfrom
        inet_aton = socket.inet_aton
        pack = _PEER_4.pack
        head = self.prefix
        for _ in range(BATCH):
            data, address = recvfrom(_LARGEST)
            peer = pack(head, inet_aton(address[0]), address[1])
            self._known[peer] = address
            batch.append((data, peer))

    def _read_6(self, batch: Batch) -> None:
        recvfrom = self._socket.recvfrom
        head = self.prefix
        for _ in range(BATCH):
            data, address = recvfrom(_LARGEST)
            host, port, _, scope = address
            packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
            peer = _PEER_6.pack(head, packed, port, scope)
            self._known[peer] = address
            batch.append((data, peer))


def _address_4(peer: bytes) -> tuple[str | int, ...]:
    return socket.inet_ntoa(peer[PREFIX_4:11]), int.from_bytes(peer[11:], "big")


def _address_6(peer: bytes) -> tuple[str | int, ...]:
    host = socket.inet_ntop(socket.AF_INET6, peer[PREFIX_6:35])
    return host, int.from_bytes(peer[35:37], "big"), 0, int.from_bytes(peer[37:], "big")


def _ignore(batch: Batch) -> None:
    """Drop what arrives before the port was started."""
