"""The connection to a broker: what is sent when, and what becomes of it when the connection is lost."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md_mqtt.broker import FAREWELL, GREETING, SETTLED, Broker
from lwm2md_mqtt.messages import Message
from lwm2md_mqtt.options import KEYS, options
from tests.mqtt.memory import CONNECT, DISCONNECT, PINGREQ, PUBLISH, SUBACK, SUBSCRIBE, Reactor, Wire

ONLINE = "p/nodes/n/online"
RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE = 0x21, 0x27


def settings(**given_settings: str) -> dict[str, Any]:
    """The settings with their defaults, some of them given; dashes are underscores."""
    texts = {key.name: key.default for key in KEYS}
    texts |= {"url": "mqtt://broker.test", "project": "p"}
    texts |= {name.replace("_", "-"): text for name, text in given_settings.items()}
    return {key.name: key.kind.parse(texts[key.name] or "") for key in KEYS}


def value(number: int) -> Message:
    """A value as a message."""
    return Message(f"p/e/sensor/1/0/{number}", str(number).encode(), "values")


class BrokerCase(SynchronousTestCase):
    """A broker in memory, and our end."""

    def make(self, **given_settings: str) -> Broker:
        """Our end, started."""
        self.reactor = Reactor()
        self.heard: list[tuple[str, bytes]] = []
        self.told: list[str | None] = []
        broker = Broker(
            options(settings(**given_settings), "n"),
            self.reactor,
            lambda topic, payload: self.heard.append((topic, payload)),
            self.told.append,
            lambda: 1.0,
        )
        broker.start()
        return broker

    def connected(self, **given_settings: str) -> tuple[Broker, Wire]:
        """Both ends, where our being online was acknowledged."""
        broker = self.make(**given_settings)
        wire = self.reactor.connection()
        wire.welcome()
        self.reactor.advance(0)
        ((topic, payload, identifier),) = wire.published()
        self.assertEqual((topic, payload), (ONLINE, b"online"))
        wire.acknowledge(identifier)
        return broker, wire

    def sent(self, wire: Wire) -> list[tuple[str, bytes, int]]:
        """What was published by now."""
        self.reactor.advance(0)
        return wire.published()


class ConnectionTests(BrokerCase):
    """How a connection begins and ends."""

    def test_connect(self) -> None:
        """It connects with its client id and a last will, subscribes, and retains that it is online."""
        broker = self.make(user="u", password="secret")
        host, port, *_ = self.reactor.tcpClients[0]
        self.assertEqual((host, port), ("127.0.0.1", 1883))
        wire = self.reactor.connection()
        ((first, body),) = wire.packets()
        self.assertEqual(first, CONNECT)
        for part in (b"lwm2md-n", ONLINE.encode(), b"offline", b"u", b"secret"):
            self.assertIn(part, body)
        self.assertFalse(broker.up)
        wire.welcome()
        self.assertTrue(broker.up)
        (subscribe, _), (online, _) = wire.packets()
        self.assertEqual(subscribe & 0xF0, SUBSCRIBE)
        self.assertEqual(online, PUBLISH | 0b0011)  # QoS 1, retained
        self.assertEqual(self.told, [None])

    def test_refused(self) -> None:
        """A broker that refuses is tried again, and the reason is told."""
        self.make()
        wire = self.reactor.connection()
        wire.send(0x20, b"\0\x86\0")
        self.assertIn("Bad user name or password", self.told[-1] or "")
        self.assertTrue(wire.gone)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_pauses(self) -> None:
        """Pauses double up to the longest, and start over after a connection that held."""
        self.make(shortest_pause="1s", longest_pause="5s")
        for pause in (1, 2, 4, 5, 5):
            self.reactor.refuse()
            before = len(self.reactor.tcpClients)
            self.reactor.advance(pause - 0.5)
            self.assertEqual(len(self.reactor.tcpClients), before)
            self.reactor.advance(0.5)
            self.assertEqual(len(self.reactor.tcpClients), before + 1)
        wire = self.reactor.connection()
        wire.welcome()
        self.reactor.pump([1] * int(SETTLED + 2))
        wire.lose()
        before = len(self.reactor.tcpClients)
        self.reactor.advance(1.01)
        self.assertEqual(len(self.reactor.tcpClients), before + 1)

    def test_jitter(self) -> None:
        """A pause is between half of it and the whole."""
        reactor = Reactor()
        broker = Broker(options(settings(), "n"), reactor, lambda *_: None, lambda _: None, lambda: 0.0)
        broker.start()
        reactor.refuse()
        reactor.advance(0.51)
        self.assertEqual(len(reactor.tcpClients), 2)

    def test_silent_broker(self) -> None:
        """A broker that does not answer CONNECT is left."""
        self.make()
        wire = self.reactor.connection()
        self.reactor.pump([1] * int(GREETING + 2))
        self.assertTrue(wire.gone)
        self.assertIn("not answered", self.told[-1] or "")

    def test_without_requests(self) -> None:
        """Where no requests are taken nothing is subscribed to."""
        self.make(requests="no")
        wire = self.reactor.connection()
        wire.packets()
        wire.welcome()
        self.assertNotIn(SUBSCRIBE, [first & 0xF0 for first, _ in wire.packets()])

    def test_refused_subscription(self) -> None:
        """A broker that refuses the subscription is told about, and stays connected."""
        broker, wire = self.connected()
        wire.send(SUBACK, b"\0\x01\0\x87")
        self.assertIn("subscription", self.told[-1] or "")
        self.assertTrue(broker.up)

    def test_stop(self) -> None:
        """A stop retains that it is offline, disconnects and ends."""
        broker, wire = self.connected()
        stopped = broker.stop()
        self.reactor.advance(0)
        ((topic, payload, identifier),) = wire.published()
        self.assertEqual((topic, payload), (ONLINE, b"offline"))
        wire.acknowledge(identifier)
        self.reactor.advance(0)
        self.assertEqual([first for first, _ in wire.packets()], [DISCONNECT])
        self.successResultOf(stopped)
        self.reactor.advance(100)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_without_an_answer(self) -> None:
        """A broker that does not acknowledge any more does not hold up a stop."""
        broker, _ = self.connected()
        stopped = broker.stop()
        self.assertNoResult(stopped)
        self.reactor.advance(FAREWELL)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_while_away(self) -> None:
        """A stop while there is no connection, or none yet, ends at once."""
        broker = self.make()
        self.successResultOf(broker.stop())
        broker = self.make()
        self.reactor.refuse()
        self.successResultOf(broker.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    @given(st.binary(min_size=1, max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever a broker sends costs at most the connection."""
        for welcome in (False, True):
            broker = self.make()
            wire = self.reactor.connection()
            if welcome:
                wire.welcome()
            wire.protocol.dataReceived(data)
            self.reactor.advance(0)
            self.assertTrue(broker.up or wire.gone or not welcome)
            broker.stop()
            self.reactor.advance(FAREWELL)


class PublishTests(BrokerCase):
    """How messages leave."""

    def test_in_order(self) -> None:
        """A batch is published in order and done when each message of it was acknowledged."""
        broker, wire = self.connected()
        done = broker.publish(map(value, range(3)))
        found = self.sent(wire)
        self.assertEqual([payload for _, payload, _ in found], [b"0", b"1", b"2"])
        for *_, identifier in found:
            self.assertNoResult(done)
            wire.acknowledge(identifier)
        self.successResultOf(done)

    def test_window(self) -> None:
        """No more messages are on their way than may be."""
        broker, wire = self.connected(in_flight="2")
        broker.publish(map(value, range(4)))
        first, second = self.sent(wire)
        self.assertEqual(self.sent(wire), [])
        wire.acknowledge(second[2])
        self.assertEqual([payload for _, payload, _ in self.sent(wire)], [b"2"])
        wire.acknowledge(first[2])
        self.assertEqual([payload for _, payload, _ in self.sent(wire)], [b"3"])

    def test_answers_first(self) -> None:
        """An answer goes before the events that wait."""
        broker, wire = self.connected(in_flight="1")
        broker.publish(map(value, range(2)))
        ((_, _, identifier),) = self.sent(wire)
        arrived: list[int] = []
        broker.answer(Message("p/responses/e/GET", b"{}", "responses"), lambda: arrived.append(1))
        wire.acknowledge(identifier)
        ((topic, _, identifier),) = self.sent(wire)
        self.assertEqual((topic, arrived), ("p/responses/e/GET", []))
        wire.acknowledge(identifier)
        self.assertEqual(arrived, [1])

    def test_lost_connection(self) -> None:
        """What was not acknowledged is sent again with the next connection, before what follows; nothing else is."""
        broker, wire = self.connected(in_flight="3")
        done = broker.publish(map(value, range(5)))
        found = self.sent(wire)
        wire.acknowledge(found[1][2])
        wire.packets()
        wire.lose()
        self.assertEqual(broker.session.counters["lost"], 1)
        self.reactor.advance(1)
        wire = self.reactor.connection()
        wire.packets()
        wire.welcome()
        self.reactor.advance(0)
        seen: list[bytes] = []
        while True:
            again = self.sent(wire)
            if not again:
                break
            for _, payload, identifier in again:
                seen.append(payload)
                wire.acknowledge(identifier)
        self.assertEqual(seen, [b"0", b"2", b"3", b"online", b"4"])
        self.successResultOf(done)

    def test_smaller_window(self) -> None:
        """A broker that takes fewer at once than the last one is not sent more."""
        broker, wire = self.connected()
        done = broker.publish(map(value, range(5)))
        self.assertEqual(len(self.sent(wire)), 5)
        wire.lose()
        self.reactor.advance(1)
        wire = self.reactor.connection()
        wire.packets()
        wire.welcome(bytes((RECEIVE_MAXIMUM, 0, 2)))
        seen: list[bytes] = []
        while found := self.sent(wire):
            self.assertLessEqual(len(found), 2)
            for _, payload, identifier in found:
                seen.append(payload)
                wire.acknowledge(identifier)
        self.assertEqual(seen, [b"0", b"1", b"2", b"3", b"4", b"online"])
        self.successResultOf(done)

    def test_refused_message(self) -> None:
        """A message that the broker refuses is told of, counted and not sent again."""
        broker, wire = self.connected()
        done = broker.publish([value(1)])
        ((_, _, identifier),) = self.sent(wire)
        wire.acknowledge(identifier, 0x87)
        self.successResultOf(done)
        self.assertEqual(broker.session.counters["refused"], 1)
        self.assertIn("Not authorized", self.told[-1] or "")

    def test_unsendable(self) -> None:
        """A message that fits into no packet is left out and counted, and what follows is sent."""
        broker, wire = self.connected()
        done = broker.publish([Message("p/" + "e" * 70_000, b"", "values"), value(1)])
        ((_, payload, identifier),) = self.sent(wire)
        self.assertEqual(payload, b"1")
        wire.acknowledge(identifier)
        self.successResultOf(done)
        self.assertEqual(broker.session.counters["unsendable"], 1)

    def test_larger_than_the_broker_takes(self) -> None:
        """A message beyond what the broker says that it takes is left out: it would end every connection."""
        broker = self.make()
        wire = self.reactor.connection()
        wire.packets()
        wire.welcome(bytes((MAXIMUM_PACKET_SIZE, 0, 0, 0, 100)))
        done = broker.publish([Message("p/e/sensor/1/0/1", bytes(100), "values"), value(1)])
        for _, _, identifier in self.sent(wire):
            wire.acknowledge(identifier)
        self.successResultOf(done)
        self.assertEqual(broker.session.counters["unsendable"], 1)
        self.assertTrue(broker.up)

    def test_told_once(self) -> None:
        """What the broker refuses over and over is told once in a connection."""
        broker, wire = self.connected()
        broker.publish(map(value, range(20)))
        told = len(self.told)
        for number, (_, _, identifier) in enumerate(self.sent(wire)):
            wire.acknowledge(identifier, 0x87 + number % 2 * 0x10)
        self.assertEqual(len(self.told), told + 2)

    def test_quality_0(self) -> None:
        """With QoS 0 a batch is done when it was sent."""
        broker, wire = self.connected(qos_values="0")
        done = broker.publish(map(value, range(3)))
        self.reactor.advance(0)
        self.successResultOf(done)
        self.assertEqual([first for first, _ in wire.packets()], [PUBLISH] * 3)

    def test_slow_broker(self) -> None:
        """While the broker does not take what was sent, no more is published."""
        broker, wire = self.connected(qos_values="0")
        producer: Any = wire.transport.producer
        producer.pauseProducing()
        done = broker.publish([value(1)])
        self.assertEqual(self.sent(wire), [])
        self.assertNoResult(done)
        producer.resumeProducing()
        self.reactor.advance(0)
        self.successResultOf(done)

    def test_one_write(self) -> None:
        """Many messages leave by one write."""
        broker, wire = self.connected()
        writes: list[bytes] = []
        wire.transport.write = writes.append  # type: ignore[method-assign]
        broker.publish(map(value, range(100)))
        self.reactor.advance(0)
        self.assertEqual(len(writes), 1)


class DeliveryTests(BrokerCase):
    """What the broker delivers."""

    def test_request(self) -> None:
        """A message comes with its topic and payload."""
        _, wire = self.connected()
        wire.deliver("p/requests/e/GET/3", b"{}")
        self.assertEqual(self.heard, [("p/requests/e/GET/3", b"{}")])

    def test_retained(self) -> None:
        """A retained request is of some other time, and a topic that is not UTF-8 is no topic."""
        broker, wire = self.connected()
        wire.deliver("p/requests/e/POST/3/0/4", b"{}", retained=True)
        wire.send(PUBLISH, b"\0\x02\xff\xff\0")
        self.assertEqual(self.heard, [])
        self.assertEqual(broker.session.counters["ignored"], 2)

    def test_answer_from_inside(self) -> None:
        """A request may be answered while it is delivered."""
        broker, wire = self.connected()
        self.heard = []
        wire.deliver("p/requests/e/GET/3", b"{}")
        broker.answer(Message("p/responses/e/GET/3", b"{}", "responses"))
        self.assertEqual([topic for topic, *_ in self.sent(wire)], ["p/responses/e/GET/3"])

    def test_keep_alive(self) -> None:
        """After its time without a message a PINGREQ is sent."""
        broker, wire = self.connected(keepalive="1s")
        client: Any = broker.session
        client._client._last_msg_out -= 2  # its clock is the system's
        self.reactor.advance(1)
        self.assertIn(PINGREQ, [first for first, _ in wire.packets()])


class SubscribedTopicTests(BrokerCase):
    """What is subscribed to."""

    def test_filters(self) -> None:
        """The filter is that of the project, shared where a group is named."""
        for share, wanted in (("", b"p/requests/#"), ("g", b"$share/g/p/requests/#")):
            self.make(share=share)
            wire = self.reactor.connection()
            wire.packets()
            wire.welcome()
            (body,) = (body for first, body in wire.packets() if first & 0xF0 == SUBSCRIBE)
            self.assertIsNotNone(re.search(re.escape(wanted), body))
