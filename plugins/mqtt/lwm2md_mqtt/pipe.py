"""The socket that paho-mqtt works on: bytes that Twisted brought, and bytes that Twisted takes away.

RULES: `recv` and `send` behave like those of a non-blocking socket (paho's ``SocketLike``). What is sent is gathered,
and leaves with the next `flush`: many packets, one system call, one TLS record.

paho's external loop reads and writes a socket that it opened itself, waiting for name look-up, connection and TLS
handshake; the reactor can't wait. So Twisted opens the connection, and paho gets this in the place of its socket.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from twisted.internet.interfaces import ITransport

_BARE: Final = 2
"""The length of an acknowledgement without reason code and properties."""
_SUCCESS: Final = ReasonCode(PacketTypes.PUBACK)
_NOTHING: Final = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]


class Pipe:
    """One connection, as paho sees it."""

    __slots__ = ("_at", "_ended", "_received", "_sending", "_transport")

    def __init__(self, transport: ITransport) -> None:
        self._transport: ITransport | None = transport
        self._received = b""
        self._at = 0
        self._sending: list[bytes | bytearray] = []
        self._ended = False

    # What Twisted does

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self._received = self._received[self._at :] + data if self._at < len(self._received) else data
        self._at = 0

    def end(self) -> None:
        """The connection is over."""
        self._ended = True
        self._transport = None

    @property
    def readable(self) -> bool:
        """Whether paho could read something."""
        return self._at < len(self._received)

    def flush(self) -> None:
        """Send what was gathered."""
        if self._sending and self._transport is not None:
            sending, self._sending = self._sending, []
            self._transport.write(b"".join(sending))

    # What paho does

    def recv(self, size: int) -> bytes:
        """The next bytes, at most ``size``; ``b""`` at the end. Raises BlockingIOError where there are none yet."""
        at = self._at
        found = self._received[at : at + size]
        if not found and not self._ended:
            raise BlockingIOError
        self._at = at + len(found)
        return found

    def send(self, data: bytes | bytearray) -> int:
        """Take all of it. Raises ConnectionError after the end."""
        if self._transport is None:
            raise ConnectionError
        self._sending.append(data)
        return len(data)

    def close(self) -> None:
        """Send what was gathered, and end the connection."""
        if self._transport is not None:
            self.flush()
            transport, self._transport = self._transport, None
            transport.loseConnection()

    @property
    def closed(self) -> bool:
        """Whether the connection is over, for paho at least."""
        return self._transport is None

    def fileno(self) -> int:
        """There is no file descriptor to wait for."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""


class PipedClient(Client):
    """paho's client on a pipe, given by `connect_through`. What it overrides is paho's own, of the versions 2."""

    _pipe: Pipe

    def connect_through(self, pipe: Pipe) -> None:
        """Begin a connection: send CONNECT through a pipe that is open."""
        self._pipe = pipe
        self.reconnect()

    def _create_socket(self) -> Any:
        return self._pipe

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Take the usual acknowledgement, of two bytes, at half the cost.

        paho makes a reason code and a set of properties for each message, which takes longer than to publish it.
        """
        packet = self._in_packet["packet"]
        if len(packet) != _BARE:
            return super()._handle_pubackcomp(cmd)
        mid = int.from_bytes(packet)
        if mid in self._out_messages:
            return self._do_on_publish(mid, _SUCCESS, _NOTHING)
        return MQTTErrorCode.MQTT_ERR_SUCCESS
