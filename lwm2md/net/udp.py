"""UDP ports: `listen` binds one, and `UdpPort` is the one that needs no extension.

RULES: those of `port`. On a wildcard address a peer's local address is the one that it has addressed, and what is sent
to it leaves from there (RFC 7252 section 8.2; RFC 1122 section 4.1.3.5); IPv6 ports never take IPv4 (V6ONLY). A
link-local peer has its scope with it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.interfaces import IReactorFDSet

from lwm2md.net.addresses import FAMILY_4, PREFIX_4, PREFIX_6, Endpoint, interface
from lwm2md.net.port import BATCH, Batch, Port

try:
    from lwm2md.net.batch import BatchedPort
except ImportError:  # no compiler where it was installed
    BatchedPort = None  # type: ignore[assignment, misc]

# Linux's numbers, which the socket module of Python 3.11 does not have.
_IP_PKTINFO: Final = 8
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_REPORTS: Final = ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
_FROM_ICMP: Final = (2, 3)
_MULTICAST: Final = 0xFF
_REMOTE_4: Final = 6
_REMOTE_6: Final = 22

_ERROR: Final = struct.Struct("=IB")  # errno, origin
_INTERFACE: Final = struct.Struct("=I")
_LARGEST: Final = 65535
_KNOWN: Final = 4096
_ANCILLARY: Final = 256
_PEER_4: Final = struct.Struct(f">{PREFIX_4}s4sH")
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024

_Address = tuple[Any, ...]
_Ancillary = list[tuple[int, int, bytes]]


def listen(reactor: IReactorFDSet, local: Endpoint, *, batched: bool | None = None, pktinfo: bool = True) -> Port:
    """Bind a port on `local`; port 0 takes any free one, and a host may name its zone as in `fe80::1%eth0`.

    `batched` asks for many datagrams in one system call or for the opposite; None is what can be had. Without `pktinfo`
    the peers of a wildcard address all have that as their local address: for those who only ask, and whose own address
    may change. Raises OSError if it can't be done.
    """
    port = UdpPort if BatchedPort is None or batched is False else BatchedPort
    if batched and port is UdpPort:
        raise OSError(errno.EOPNOTSUPP, "the extension that takes datagrams in batches is not installed")
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            _bind_6(sock, local, pktinfo)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, pktinfo and not any(socket.inet_aton(local.host)))
            sock.bind((local.host, local.port))
    except OSError:
        sock.close()
        raise
    return port(reactor, sock)


def _bind_6(sock: socket.socket, local: Endpoint, pktinfo: bool) -> None:
    host, _, zone = local.host.partition("%")
    try:
        scope = interface(zone) if zone else local.scope
    except ValueError as error:
        raise OSError(errno.ENODEV, str(error)) from None
    wildcard = not any(socket.inet_pton(socket.AF_INET6, host))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, pktinfo and (wildcard or scope > 0))
    sock.bind((host, local.port, 0, scope))


class UdpPort(Port):
    """A port on the socket module."""

    def __init__(self, reactor: IReactorFDSet, sock: socket.socket) -> None:
        super().__init__(reactor, sock)
        self._four = self.prefix[0] == FAMILY_4
        option = (
            sock.getsockopt(socket.IPPROTO_IP, _IP_PKTINFO)
            if self._four
            else sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
        )
        self._pktinfo = option != 0
        # Most of what is sent answers what came last; to make an address from a peer costs as much as a system call,
        # and the way back a third of one.
        self._known: dict[bytes, _Address] = {}
        self._peers: dict[_Address, bytes] = {}

    def _receive_all(self, batch: Batch) -> None:
        if len(self._known) > _KNOWN:
            self._known.clear()
            self._peers.clear()
        read = self._read_4 if self._four and not self._pktinfo else self._read
        with suppress(BlockingIOError):
            read(batch)

    def _read_4(self, batch: Batch) -> None:
        recvfrom = self._socket.recvfrom
        inet_aton = socket.inet_aton
        pack = _PEER_4.pack
        head = self.prefix
        known = self._known
        peers = self._peers
        for _ in range(BATCH):
            data, address = recvfrom(_LARGEST)
            peer = peers.get(address)
            if peer is None:
                peer = peers[address] = pack(head, inet_aton(address[0]), address[1])
                known[peer] = address
            batch.append((data, peer))

    def _read(self, batch: Batch) -> None:
        recvmsg = self._socket.recvmsg
        for _ in range(BATCH):
            data, ancillary, _, address = recvmsg(_LARGEST, _ANCILLARY)
            peer = _pack(self.prefix, address, ancillary)
            self._known[peer] = address
            batch.append((data, peer))

    def _send_all(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        known = {} if self._pktinfo else self._known
        sendto = self._socket.sendto
        sent = 0
        for data, peer in datagrams:
            address = known.get(peer)
            try:
                if address is None:
                    self._send(data, peer)
                else:
                    sendto(data, address)
                sent += 1
            except BlockingIOError:
                self.counters["dropped"] += 1
            except OSError:
                self._send_again(data, peer)
        self.counters["sent"] += sent

    def _send(self, data: bytes, peer: bytes) -> None:
        if len(peer) != len(self.prefix) + (_REMOTE_4 if self._four else _REMOTE_6):
            raise OSError(errno.EINVAL, "no peer")
        address = self._known.get(peer) or (_address_4(peer) if self._four else _address_6(peer))
        if peer.startswith(self.prefix):
            self._socket.sendto(data, address)
        else:
            self._socket.sendmsg([data], [_source(peer, self.prefix)], 0, address)

    def _send_again(self, data: bytes, peer: bytes) -> None:
        # The error may be that of an earlier datagram, told to whoever calls next: this one has its chance.
        self._errors_wait = True
        try:
            self._send(data, peer)
        except OSError as error:
            self.counters["dropped" if error.errno in (errno.EAGAIN, errno.ENOBUFS) else "send_errors"] += 1
        else:
            self.counters["sent"] += 1

    def _errors(self) -> list[tuple[bytes, int]]:
        found: list[tuple[bytes, int]] = []
        for _ in range(BATCH):
            try:
                _, ancillary, _, address = self._socket.recvmsg(0, _ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:
                break
            for level, kind, data in ancillary:
                if (level, kind) in _REPORTS:
                    number, origin = _ERROR.unpack_from(data)
                    if origin in _FROM_ICMP:
                        found.append((_pack(self.prefix, address, ancillary, error=True), number))
        return found


def _pack(head: bytes, address: _Address, ancillary: _Ancillary, error: bool = False) -> bytes:
    """Return the peer of the port with the prefix `head` that a datagram, or an `error` about one, tells of."""
    if head[0] == FAMILY_4:
        for level, kind, data in ancillary:
            if kind == _IP_PKTINFO and level == socket.IPPROTO_IP:
                # Of a broadcast the address to answer from; of an error the one that had sent.
                head = head[:1] + (data[8:12] if error else data[4:8]) + head[5:]
        return _PEER_4.pack(head, socket.inet_aton(address[0]), address[1])
    scope: int = address[3]
    for level, kind, data in ancillary:
        if kind == socket.IPV6_PKTINFO and level == socket.IPPROTO_IPV6:
            if data[0] != _MULTICAST:
                head = head[:1] + data[:16] + head[17:]
            if not scope and data[:2] >= b"\xfe\x80" and data[:2] <= b"\xfe\xbf":
                (scope,) = _INTERFACE.unpack_from(data, 16)
    remote = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
    port: int = address[1]
    return head + remote + port.to_bytes(2, "big") + scope.to_bytes(4, "big")


def _source(peer: bytes, prefix: bytes) -> tuple[int, int, bytes]:
    """Return the control message that sends from the local address of `peer`; raise OSError if it is another port's."""
    length = len(prefix)
    if peer[:1] != prefix[:1] or any(prefix[1 : length - 2]) or peer[length - 2 : length] != prefix[-2:]:
        raise OSError(errno.EINVAL, "no peer of this port")
    if length == PREFIX_4:
        return socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + peer[1:5] + bytes(4)
    scope = int.from_bytes(peer[37:41], "big")
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, peer[1:17] + _INTERFACE.pack(scope)


def _address_4(peer: bytes) -> _Address:
    return socket.inet_ntoa(peer[PREFIX_4:11]), int.from_bytes(peer[11:], "big")


def _address_6(peer: bytes) -> _Address:
    host = socket.inet_ntop(socket.AF_INET6, peer[PREFIX_6:35])
    return host, int.from_bytes(peer[35:37], "big"), 0, int.from_bytes(peer[37:], "big")
