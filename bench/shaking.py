"""Devices that shake hands with a server under test, and what a flood of them is made of."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Final

import attrs

from bench.dtlsecho import KEY
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.coap.numbers import CON, CONTENT_FORMAT, CREATED, POST
from lwm2md.net.associations import COUNTERS
from lwm2md.net.calling import ClientHandshake, ClientTerms
from lwm2md.net.handshakes import Handshake, Outcome, Timing
from lwm2md.net.openssl import Context
from lwm2md.security.dtls import crossing
from lwm2md.security.dtls.records import APPLICATION_DATA, CID_LENGTH
from lwm2md.security.dtls.session import DROPS, PEER, DtlsSession

DEVICES: Final = 256
BURST: Final = 64
_LINKS: Final = b"</1/0>,</3/0>,</3303/0>"


class Owner:
    """Whom the handshakes of a device tell."""

    def __init__(self, sock: socket.socket) -> None:
        self.counters = {**dict.fromkeys(COUNTERS, 0), **crossing.counters()}
        self.outcome: Outcome | None = None
        self._socket = sock

    def send_to(self, handshake: Handshake, datagrams: Sequence[bytes]) -> None:
        """Send."""
        for datagram in datagrams:
            self._socket.send(datagram)

    def established(self, handshake: Handshake, outcome: Outcome, now: float) -> None:
        """Keep what was agreed on."""
        self.outcome = outcome

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Stop the measurement."""
        raise RuntimeError(cause)


class Caught(Owner):
    """Keeps what is to be sent."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.datagrams: list[bytes] = []

    def send_to(self, handshake: Handshake, datagrams: Sequence[bytes]) -> None:
        """Keep datagrams."""
        self.datagrams += datagrams


@attrs.define(eq=False)
class Device:
    """A socket and a session."""

    socket: socket.socket
    session: DtlsSession
    counters: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(DROPS, 0))

    def seal(self, data: bytes) -> bytes:
        """The next record."""
        record = self.session.seal(APPLICATION_DATA, data)
        assert record is not None
        return record

    def answer(self) -> Message:
        """What came."""
        record = self.socket.recv(2048)
        opened = self.session.open(record, int.from_bytes(record[3:11], "big"), self.counters)
        assert opened is not None
        return decode(opened[1])


def dial(port: int) -> socket.socket:
    """A socket that speaks with the server only."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.connect(("127.0.0.1", port))
    return sock


def shake(port: int, context: Context, numbers: Sequence[int]) -> list[Device]:
    """Devices with sessions, which shake hands all at once."""
    begun = []
    for number in numbers:
        sock = dial(port)
        owner = Owner(sock)
        terms = ClientTerms(context, name(number).encode(), KEY)
        handshake = ClientHandshake(owner, b"", PEER + bytes(CID_LENGTH), Timing(), 0.0, terms)
        handshake.start(0.0)
        begun.append((sock, owner, handshake))
    devices = []
    for sock, owner, handshake in begun:
        while owner.outcome is None:
            handshake.receive(sock.recv(4096), 0.0)
            for other, its, another in begun:
                # One flight of everybody after the other, so that they meet at the server.
                if another is not handshake and its.outcome is None and _waits(other):
                    another.receive(other.recv(4096), 0.0)
        outcome = owner.outcome
        session = DtlsSession(b"", b"", outcome.suite, outcome.keys, outcome.identity)
        outcome.hand_over(session)
        devices.append(Device(sock, session))
    return devices


def _waits(sock: socket.socket) -> bool:
    # Not `select`, which knows no more than 1024 descriptors.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def enough(port: int, context: Context, count: int) -> list[Device]:
    """So many devices with sessions, begun in bursts."""
    numbers = [number % DEVICES for number in range(count)]
    return [device for at in range(0, count, BURST) for device in shake(port, context, numbers[at : at + BURST])]


def name(number: int) -> str:
    """The identity, and endpoint, of a device."""
    return f"bench-{number:06d}"


def register(device: Device, number: int) -> str:
    """Register a device; its Location."""
    query = (f"ep={name(number)}", "lt=86400", "lwm2m=1.1", "b=U")
    extra = tuple(sorted((*options(path=("rd",), query=query), (CONTENT_FORMAT, b"\x28"))))
    device.socket.send(device.seal(encode(Message(CON, POST, 1, b"", extra, _LINKS))))
    answer = device.answer()
    assert answer.code == CREATED, answer
    return answer.location[-1]
