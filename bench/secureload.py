"""Devices over DTLS for `bench.secure`: ``python -m bench.secureload KIND PORT DEVICES SECONDS [FIRST]``.

All devices share one socket and have an address of 127.0.0.0/8 each; their sessions are those of the daemon's own
record layer, whose speed is not what is measured here: this has a core of its own. It prints a line when what is
measured begins, and then the rate.
``echo`` and ``update`` shake hands (and register), then keep 64 messages under way; ``shake`` makes handshakes one
after the other, 32 at once; ``flood`` sends hellos from addresses that hear no answer, DEVICES a second; ``return``
registers, says so, waits for a line with seconds, and then lets every device update once, printing how many of them
were answered in that time.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.associations import Associations, Established
from lwm2md.net.calling import ClientHandshake, ClientTerms
from lwm2md.net.driver import Deadlines
from lwm2md.net.handshakes import Handshake, Timing
from lwm2md.net.openssl import Context
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.net.udp import listen
from lwm2md.security.dtls.handshake import CLIENT_HELLO
from lwm2md.security.dtls.handshake import Message as Flight
from lwm2md.security.dtls.records import HANDSHAKE, plain
from lwm2md.security.dtls.suites import BY_NAME
from lwm2md.security.identity import Identity

reactor: Any = _reactor
KEY: Final = bytes(range(16))
SUITE: Final = BY_NAME["PSK-AES128-CCM8"]
WINDOW: Final = 64
AT_ONCE: Final = 32
_TEXT: Final = bytes(30)
_LINKS: Final = b"</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>"
_CHANGED: Final = b"\x64\x44"


def name(number: int) -> str:
    """Return the identity and the endpoint of a device."""
    return f"bench-{number:06d}"


class Load:
    """Devices, and what they do. ``work`` is called when all have a session, and ``answered`` with each answer."""

    def __init__(self, server: int, count: int, first: int, *, cid: bool) -> None:
        self.count = count
        self.peers: list[bytes] = []
        self.ready: Callable[[], None] = _nothing
        self.answered: Callable[[Batch], None] = _ignored
        self._server = Endpoint("127.0.0.1", server)
        self._cid = b"\0" if cid else None
        self._first = first
        self._next = 0
        self._begun = 0
        self._numbers: dict[bytes, int] = {}
        self._context = Context((SUITE,), server=False)
        self.port: DatagramPort = listen(reactor, Endpoint("0.0.0.0", 0), batched=True)
        self.associations = Associations(os.urandom, Deadlines(reactor), self)
        self.port.start(self._receive)

    def address(self, number: int) -> bytes:
        """Return where a device is."""
        number += self._first
        host = f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
        return pack(Endpoint(host, self.port.local.port), self._server)

    def shake(self, number: int) -> None:
        """Begin the handshake of a device."""
        now, associations = reactor.seconds(), self.associations
        peer = associations.sessions.new_peer()
        terms = ClientTerms(self._context, name(number + self._first).encode(), KEY, cid=self._cid)
        handshake = ClientHandshake(associations, self.address(number), peer, Timing(patience=30.0), now, terms)
        if self._cid:
            handshake.cid = peer[1:]
        self._numbers[peer] = number
        associations.begin(handshake)
        handshake.start(now)
        associations.follow(handshake)
        associations.arm(now)

    def shake_all(self) -> None:
        """Let all devices shake hands, then be ready."""
        self.peers = [b""] * self.count
        while self._next < min(AT_ONCE, self.count):
            self._one()

    def send(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Send to peers."""
        out, _ = self.associations.traffic.send(batch)
        self.port.send(out)

    def _one(self) -> None:
        self._next += 1
        self.shake(self._next - 1)

    def _receive(self, batch: Batch) -> None:
        now = reactor.seconds()
        if self.associations.handshakes:
            data = self.associations.receive(batch, now)
        else:
            data, _ = self.associations.traffic.receive(batch, now)
        if data:
            self.answered(data)

    # What the associations tell

    def transmit(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Send datagrams to addresses."""
        self.port.send(datagrams)

    def arrived(self, data: list[tuple[bytes, bytes]]) -> None:
        """Take application data."""
        self.answered(data)

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session."""
        self.peers[self._numbers.pop(session.peer)] = session.peer
        self._begun += 1
        if self._next < self.count:
            self._one()
        elif self._begun == self.count:
            self.ready()

    def ended(self, peer: bytes, identity: Identity, cause: str) -> None:
        """Know that a session has ended."""

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Know that a handshake came to nothing."""
        raise SystemExit(f"a handshake failed: {cause}")


class Exchange:
    """Messages, `WINDOW` of them under way, for some seconds."""

    def __init__(self, load: Load, seconds: float, messages: list[bytes]) -> None:
        self._load = load
        self._seconds = seconds
        self._messages = messages
        self._mid = load.count
        self._next = 0
        self._done = 0
        self._began = 0.0

    def start(self) -> None:
        """Begin."""
        self._load.answered = self._answered
        _begin()
        self._began = reactor.seconds()
        reactor.callLater(self._seconds, self._stop)
        self._go_on(WINDOW)

    def _answered(self, batch: Batch) -> None:
        self._done += len(batch)
        self._go_on(len(batch))

    def _go_on(self, count: int) -> None:
        self._mid += 1
        mid = struct.pack(">H", self._mid & 0xFFFF)
        batch = []
        peers, messages, size = self._load.peers, self._messages, self._load.count
        for _ in range(count):
            index = self._next = (self._next + 1) % size
            message = messages[index]
            batch.append((message[:2] + mid + message[4:], peers[index]))
        self._load.send(batch)

    def _stop(self) -> None:
        _finish(self._done / (reactor.seconds() - self._began))


class Registers:
    """Lets all devices register, then goes on with their Updates."""

    def __init__(self, load: Load, then: Callable[[list[bytes]], None]) -> None:
        self._load = load
        self._then = then
        self._updates: dict[bytes, bytes] = {}
        self._next = 0

    def start(self) -> None:
        """Begin."""
        self._load.answered = self._answered
        self._go_on(AT_ONCE)

    def _go_on(self, count: int) -> None:
        for _ in range(min(count, self._load.count - self._next)):
            number, self._next = self._next, self._next + 1
            query = (f"ep={name(number + self._load._first)}", "lt=86400", "lwm2m=1.1")
            fields = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
            token = number.to_bytes(4, "big")
            message = encode(Message(n.CON, n.POST, number & 0xFFFF, token, fields, _LINKS))
            self._load.send([(message, self._load.peers[number])])

    def _answered(self, batch: Batch) -> None:
        fresh = 0
        for data, peer in batch:
            answer = decode(data)
            if answer.code == n.CREATED and peer not in self._updates:
                fresh += 1
                self._updates[peer] = encode(Message(n.CON, n.POST, 0, answer.token, options(path=answer.location)))
        self._go_on(fresh)
        if len(self._updates) == self._load.count:
            self._then([self._updates[peer] for peer in self._load.peers])


class Shakes(Load):
    """Handshakes, one after the other, for some seconds."""

    done = 0

    def start(self, seconds: float) -> None:
        """Begin."""
        _begin()
        self._began = reactor.seconds()
        reactor.callLater(seconds, self._stop)
        for _ in range(AT_ONCE):
            self._one()

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Know of a new session; the last record of its handshake has gone out."""
        self.done += 1
        self._numbers.pop(session.peer)
        found = self.associations.sessions.by_peer[session.peer]
        self.associations.sessions.drop(found, "ended")
        self._next %= self.count
        self._one()

    def _stop(self) -> None:
        _finish(self.done / (reactor.seconds() - self._began))


class Return(LineReceiver):
    """Waits for a line, then lets every device update once."""

    delimiter = b"\n"

    def __init__(self, load: Load, updates: list[bytes]) -> None:
        self._load = load
        self._updates = updates
        self._done: set[bytes] = set()
        self._next = 0

    def connectionMade(self) -> None:
        """Say that all are registered."""
        _begin()

    def lineReceived(self, line: bytes) -> None:
        """Begin."""
        self._load.answered = self._answered
        reactor.callLater(float(line), lambda: _finish(len(self._done)))
        self._go_on(WINDOW)

    def _answered(self, batch: Batch) -> None:
        self._done.update(peer for data, peer in batch if data[:2] == _CHANGED)
        self._go_on(len(batch))
        if len(self._done) == self._load.count:
            _finish(len(self._done))

    def _go_on(self, count: int) -> None:
        first, self._next = self._next, min(self._next + count, self._load.count)
        mid = struct.pack(">H", 0x7FFF)
        chosen = range(first, self._next)
        self._load.send([(self._updates[at][:2] + mid + self._updates[at][4:], self._load.peers[at]) for at in chosen])


class Flood:
    """Hellos from addresses that never answer, so many a second."""

    def __init__(self, load: Load, seconds: float) -> None:
        self._load = load
        self._ends = reactor.seconds() + seconds
        self._sent = 0
        body = b"\xfe\xfd%s\0\0\0\2\xc0\xa8\1\0"
        self._hello = plain(HANDSHAKE, 0, Flight(CLIENT_HELLO, 0, body % bytes(32)).hashed)

    def step(self) -> None:
        """Send a hundredth of a second's worth."""
        out = []
        for _ in range(max(1, self._load.count // 100)):
            self._sent += 1
            random = os.urandom(32)
            hello = self._hello.replace(bytes(32), random)
            out.append((hello, self._load.address(self._sent % 1_000_000)))
        self._load.port.send(out)
        if reactor.seconds() < self._ends:
            reactor.callLater(0.01, self.step)
        else:
            _finish(self._sent)


def _begin() -> None:
    sys.stdout.write("begin\n")
    sys.stdout.flush()


def _finish(rate: float) -> None:
    sys.stdout.write(f"{rate}\n")
    sys.stdout.flush()
    os._exit(0)


def _nothing() -> None:
    """Do nothing."""


def _ignored(_data: Batch) -> None:
    """Take no notice of answers."""


def main() -> None:
    """Do what the command line says."""
    kind, port, count, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    first = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    if kind == "shake":
        reactor.callWhenRunning(Shakes(port, count, first, cid=False).start, seconds)
    else:
        load = Load(port, count, first, cid=kind == "return")
        if kind == "flood":
            reactor.callWhenRunning(Flood(load, seconds).step)
        elif kind == "echo":
            load.ready = Exchange(load, seconds, [_TEXT] * count).start
        elif kind == "update":
            load.ready = Registers(load, lambda updates: Exchange(load, seconds, updates).start()).start
        else:
            load.ready = Registers(load, lambda updates: _wait(load, updates)).start
        if kind != "flood":
            reactor.callWhenRunning(load.shake_all)
    reactor.run()


def _wait(load: Load, updates: list[bytes]) -> None:
    StandardIO(Return(load, updates))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
