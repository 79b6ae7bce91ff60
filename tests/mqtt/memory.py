"""A broker in memory, byte by byte, and the reactor that leads to it: for what no real broker does on demand."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 0x80, 0x90, 0xC0, 0xE0


class Reactor(MemoryReactorClock):
    """A reactor in memory."""

    def connection(self, number: int = -1) -> Wire:
        """Accept a connection attempt, by default the newest."""
        factory = self.tcpClients[number][2]
        transport = Transport()
        protocol: Any = factory.buildProtocol(None)
        wire = Wire(protocol, transport)
        transport.wire = wire
        protocol.makeConnection(transport)
        self.advance(0)
        return wire

    def refuse(self, number: int = -1) -> None:
        """Refuse a connection attempt."""
        host, port, factory, *_ = self.tcpClients[number]
        attempt: Any = None
        factory.clientConnectionFailed(attempt, Failure(ConnectionLost(f"{host}:{port} is not there")))
        self.pump([0.1] * 4)  # the endpoint looks for other addresses


class Transport(StringTransport):
    """A transport whose end is told at once."""

    wire: Wire | None = None

    def loseConnection(self) -> None:
        super().loseConnection()
        self._end()

    def abortConnection(self) -> None:
        super().abortConnection()
        self._end()

    def _end(self) -> None:
        if self.wire is not None and not self.wire.gone:
            self.wire.gone = True
            self.wire.protocol.connectionLost(Failure(ConnectionDone()))


@attrs.define
class Wire:
    """The broker's end of a connection."""

    protocol: Any
    transport: Transport
    gone: bool = False

    def packets(self) -> list[tuple[int, bytes]]:
        """What was sent since the last look: first byte and body of each packet."""
        data, found = self.transport.value(), []
        self.transport.clear()
        while data:
            length = shift = 0
            for at in range(1, 5):
                length |= (data[at] & 0x7F) << shift
                shift += 7
                if data[at] < 0x80:
                    break
            end = at + 1 + length
            found.append((data[0], data[at + 1 : end]))
            data = data[end:]
        return found

    def published(self) -> list[tuple[str, bytes, int]]:
        """Topic, payload and packet identifier of the messages with QoS 1 since the last look, of MQTT 5."""
        found = []
        for first, body in self.packets():
            if first & 0xF0 == PUBLISH:
                end = 2 + int.from_bytes(body[:2])
                found.append((body[2:end].decode(), body[end + 3 :], int.from_bytes(body[end : end + 2])))
        return found

    def send(self, first: int, body: bytes = b"") -> None:
        """Deliver a packet."""
        assert len(body) < 0x80
        self.protocol.dataReceived(bytes((first, len(body))) + body)

    def welcome(self, properties: bytes = b"") -> None:
        """Accept the connection, of MQTT 5."""
        self.send(CONNACK, bytes((0, 0, len(properties))) + properties)

    def acknowledge(self, identifier: int, reason: int | None = None) -> None:
        """Acknowledge a message."""
        self.send(PUBACK, identifier.to_bytes(2) + (b"" if reason is None else bytes((reason,))))

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Deliver a message with QoS 0, of MQTT 5."""
        name = topic.encode()
        self.send(PUBLISH | retained, len(name).to_bytes(2) + name + b"\0" + payload)

    def lose(self) -> None:
        """Lose the connection."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(ConnectionLost()))
