"""What every UDP port has in common, whatever system calls it is made of.

RULES: one wake-up of the reactor drains up to `BATCH` datagrams and hands them on together. What can't be sent is
dropped and counted, as the network would: nothing here raises once the port is bound. ICMP errors (RFC 7252 section
4.2) come through the socket's error queue. They are hints that anybody may forge, and most of them pass: they are
counted, those by which nobody listens there are told, and none closes a port. Whoever uses a port knows
`DatagramPort` only.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IHalfCloseableDescriptor, IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lwm2md.net.addresses import Endpoint, prefix

Batch = list[tuple[bytes, bytes]]
"""Datagrams, each with its peer."""

BATCH: Final = 256
"""So many are handed on at once: they share what a turn of the reactor costs, and take a few milliseconds."""


class DatagramPort(Protocol):
    """A bound port. `prefix` is what the peers that belong to it begin with; where `local` is a wildcard address their
    own local addresses stand instead of it. `batched` says whether one system call moves many datagrams.
    """

    local: Endpoint
    prefix: bytes
    batched: bool
    on_unreachable: Callable[[bytes], None] | None
    """Told a peer for each ICMP error that says that nobody listens there, or nobody is; must not raise."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What metrics show."""

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Send datagrams to peers of this port; what can't be sent is counted."""

    def close(self) -> None:
        """Stop and give the port back; a second call does nothing."""


@implementer(IReadDescriptor, IHalfCloseableDescriptor)
class Port:
    """A bound UDP socket, read by the reactor; the system calls are its subclasses'."""

    batched = False

    def __init__(self, reactor: IReactorFDSet, sock: socket.socket) -> None:
        self._reactor = reactor
        self._socket = sock
        self._open = True
        self._receive: Callable[[Batch], None] = _ignore
        self._errors_wait = False
        name = sock.getsockname()
        self.local = Endpoint(name[0].partition("%")[0], name[1], name[3] if sock.family == socket.AF_INET6 else 0)
        self.prefix = prefix(self.local)
        self.on_unreachable: Callable[[bytes], None] | None = None
        names = ("received", "sent", "dropped", "receive_errors", "send_errors", "unreachable")
        self.counters = dict.fromkeys(names, 0)

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand every batch that arrives from now on to `receive`."""
        self._receive = receive
        self._reactor.addReader(self)

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Send datagrams to peers of this port; what can't be sent is counted."""
        if self._open:
            self._send_all(datagrams)
        else:
            self.counters["dropped"] += len(datagrams)

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
        try:
            if self._errors_wait:
                self._hear()
            self._receive_all(batch)
        except OSError:
            # An ICMP error of an earlier datagram, reported here; it says nothing of those that follow.
            self.counters["receive_errors"] += 1
            self._errors_wait = True
        if batch:
            self.counters["received"] += len(batch)
            self._receive(batch)

    def readConnectionLost(self, reason: Failure) -> None:
        """Be told by the reactor that only errors are there to be read. It has forgotten this reader."""
        if self._open:
            self._reactor.addReader(self)
            self._errors_wait = True
            self.doRead()

    def writeConnectionLost(self, reason: Failure) -> None:
        """Be told what concerns streams only."""

    def connectionLost(self, reason: Failure) -> None:
        """Be told by the reactor that it stops."""
        self.close()

    def logPrefix(self) -> str:
        """Return what the log calls this port."""
        return f"udp {self.local}"

    def _hear(self) -> None:
        self._errors_wait = False
        for peer, number in self._errors():
            # A datagram that was too large is split the next time.
            if number != errno.EMSGSIZE:
                self.counters["unreachable"] += 1
                if number == errno.ECONNREFUSED and self.on_unreachable is not None:
                    self.on_unreachable(peer)

    def _receive_all(self, batch: Batch) -> None:
        """Append what has arrived; raise OSError for an error that is reported instead."""
        raise NotImplementedError

    def _send_all(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        raise NotImplementedError

    def _errors(self) -> list[tuple[bytes, int]]:
        """Return what is in the error queue, each peer with its errno."""
        raise NotImplementedError


def _ignore(batch: Batch) -> None:
    """Drop what arrives before the port was started."""
