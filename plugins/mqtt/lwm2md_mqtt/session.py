"""The session with the broker: paho-mqtt, set up by the options, and what it is told and tells.

RULES: a message counts as arrived when it was acknowledged, with QoS 0 when it was sent. What a lost connection leaves
unacknowledged paho sends again with the next one. A request that the broker had retained is of some other time and is
not taken. What paho calls back for is done when it has read all there is, because it can't be asked for anything from
inside a call-back. Each step may raise whatever paho raises: the connection ends then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from lwm2md_mqtt.messages import Message
from lwm2md_mqtt.options import Options
from lwm2md_mqtt.outbox import Outbox
from lwm2md_mqtt.pipe import Pipe, PipedClient

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
COUNTERS: Final = ("connections", "lost", "published", "acknowledged", "refused", "unsendable", "received", "ignored")

_V5: Final = MQTTProtocolVersion.MQTTv5
_FAILURE: Final = 0x80
_NEVER_RETAINED: Final = 2
_LARGEST_PACKET: Final = 268_435_455
_OVERHEAD: Final = 16
"""What a PUBLISH has beside topic and payload, at most: as we send it."""


class Session:
    """What is said to one broker over all connections to it.

    ``on_message`` gets what it delivers, as topic and payload; ``tell`` hears what the broker refuses.
    """

    def __init__(
        self,
        options: Options,
        outbox: Outbox,
        on_message: Callable[[str, bytes], None],
        tell: Callable[[str], None],
    ) -> None:
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.greeted = False
        self.refusal: str | None = None
        self._options = options
        self._outbox = outbox
        self._on_message = on_message
        self._tell = tell
        self._largest = _LARGEST_PACKET
        self._told: set[str] = set()
        self._arrived: list[int] = []
        self._delivered: list[tuple[str, bytes]] = []
        self._client = self._make_client()

    def begin(self, pipe: Pipe) -> None:
        """Send CONNECT through a new connection."""
        self.greeted, self.refusal = False, None
        self._told.clear()
        self._client.connect_through(pipe)

    def read(self, pipe: Pipe) -> None:
        """Take what has come."""
        try:
            while pipe.readable and not pipe.closed:
                self._client.loop_read()
        finally:
            arrived, self._arrived = self._arrived, []
            delivered, self._delivered = self._delivered, []
            for mid in arrived:
                self._outbox.acknowledged(mid)
            for topic, payload in delivered:
                self._on_message(topic, payload)

    def write(self) -> None:
        """Hand to the pipe what is to be sent."""
        self._client.loop_write()

    def beat(self) -> None:
        """See whether it is time for a keep-alive, or was."""
        self._client.loop_misc()

    def leave(self) -> None:
        """Send DISCONNECT: the broker forgets the last will."""
        self._client.disconnect()
        self._client.loop_write()

    def end(self) -> None:
        """The connection is gone."""
        self.greeted = False
        self._client.loop_read()

    def publish(self, message: Message) -> int:
        """Publish; the packet identifier that will be acknowledged, or 0."""
        qos, retain = self._options.qos[message.kind], self._options.retained[message.kind]
        size = len(message.payload)
        if size + 4 * len(message.topic) > self._largest and size + len(message.topic.encode()) > self._largest:
            return self._unsendable("it is larger than the broker takes")
        try:
            info = self._client.publish(message.topic, message.payload, qos, retain)
            while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # that packet identifier is still on its way
                info = self._client.publish(message.topic, message.payload, qos, retain)
        except ValueError as error:  # beyond what fits into a packet
            return self._unsendable(str(error))
        self.counters["published"] += 1
        return info.mid if qos else 0

    def _unsendable(self, why: str) -> int:
        self.counters["unsendable"] += 1
        self._tell_once(f"a message can't be sent: {why}")
        return 0

    def _tell_once(self, text: str) -> None:
        """Tell something once in a connection."""
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def _make_client(self) -> PipedClient:
        options = self._options
        v5 = options.protocol is _V5
        client = PipedClient(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if v5 else not options.session,
            protocol=options.protocol,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the outbox has the window
        if options.user is not None:
            client.username_pw_set(options.user, options.password)
        client.will_set(options.topics.online, OFFLINE, options.qos["online"], options.retained["online"])
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._message
        client.on_publish = self._acknowledged
        client.on_socket_register_write = lambda *_: None  # what is to be sent is gathered
        properties = None
        if v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = int(options.session)
            properties.MaximumPacketSize = options.largest_packet
        client.connect_async(
            options.host, options.port, int(options.keepalive), clean_start=not options.session, properties=properties
        )
        return client

    # What paho hears

    def _connected(self, client: Any, _: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self.refusal = f"the broker refuses the connection: {reason}"
            return
        self.greeted = True
        self.counters["connections"] += 1
        options = self._options
        self._outbox.window = min(options.window, getattr(properties, "ReceiveMaximum", options.window))
        self._largest = getattr(properties, "MaximumPacketSize", _LARGEST_PACKET) - _OVERHEAD
        if self._outbox.flying > self._outbox.window:
            client.drop_out_messages()  # which would be sent again all at once
            self._outbox.again()
        if not options.requests:
            return
        if options.protocol is _V5:
            wish = SubscribeOptions(options.request_qos, retainHandling=_NEVER_RETAINED)
            client.subscribe(options.requests, options=wish)
        else:
            client.subscribe(options.requests, options.request_qos)

    def _subscribed(self, client: Any, _: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        if any(reason.value >= _FAILURE for reason in reasons):
            self._tell_once(f"the broker refuses the subscription to requests: {reasons[0]}")

    def _disconnected(self, client: Any, _: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self.refusal = f"the broker ends the connection: {reason}"

    def _message(self, client: Any, _: Any, message: MQTTMessage) -> None:
        self.counters["received"] += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if message.retain or not topic:
            self.counters["ignored"] += 1
            return
        self._delivered.append((topic, bytes(message.payload)))

    def _acknowledged(self, client: Any, _: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self.counters["acknowledged"] += 1
        if reason.value >= _FAILURE:
            self.counters["refused"] += 1
            self._tell_once(f"the broker refuses a message: {reason}")
        self._arrived.append(mid)
