"""Tests of lwm2md.net.driver: batches, deadlines, and one timer for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, Received
from lwm2md.coap.message import Message, decode, encode
from lwm2md.net.addresses import Endpoint, pack, prefix
from lwm2md.net.driver import Deadlines, Driver
from lwm2md.net.port import Batch
from tests.coap.support import Chance, Recorder, request


class FakePort:
    """A port without a socket."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.prefix = prefix(local)
        self.batched = False
        self.counters: dict[str, int] = {}
        self.on_unreachable: Callable[[bytes], None] | None = None
        self.sent: list[tuple[bytes, bytes]] = []
        self.flushes = 0
        self.closed = False
        self.deliver: Callable[[Batch], None] = lambda batch: None

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Keep the receiver."""
        self.deliver = receive

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep what is sent."""
        self.sent += datagrams
        self.flushes += 1

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def peer(self, number: int) -> bytes:
        """Return a peer of this port."""
        return pack(self.local, Endpoint("::2" if ":" in self.local.host else "192.0.2.1", number))


class Timed:
    """Something with deadlines."""

    def __init__(self) -> None:
        self.when: float | None = None
        self.expired: list[float] = []
        self.error: Exception | None = None

    def next_deadline(self) -> float | None:
        """Return the deadline."""
        return self.when

    def expire(self, now: float) -> None:
        """Keep the time."""
        self.expired.append(now)
        if self.error is not None:
            raise self.error
        self.when = None


def told_to(outcomes: list[Received | str]) -> Callable[[Received | str, float], None]:
    """Return what keeps the outcomes of requests."""
    return lambda result, _: outcomes.append(result)


class DriverTests(SynchronousTestCase):
    """An engine with a port and a clock."""

    def setUp(self) -> None:
        """Join an engine, a port, a timed object and a settle hook."""
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.handler = Recorder()
        self.engine = Engine(self.handler, Chance())
        self.timed = Timed()
        self.settled: list[float] = []
        self.error: Exception | None = None
        self.driver = Driver(self.clock, self.engine, timed=[self.timed], settle=self.settle)
        self.port = FakePort(Endpoint("127.0.0.1", 5683))
        self.driver.add(self.port)
        self.peer = self.port.peer(1)

    def settle(self, now: float) -> None:
        """Keep the time; fail if told so."""
        self.settled.append(now)
        if self.error is not None:
            raise self.error

    def ask(self) -> None:
        """Send a request as an API call would."""
        self.engine.request(self.peer, numbers.GET, on_outcome=lambda *_: None, now=self.clock.seconds())

    def test_batch(self) -> None:
        """A batch is answered with one flush, after the effects were settled."""
        self.port.deliver([(encode(request(mid)), self.peer) for mid in (1, 2, 3)])
        self.assertEqual([decode(data).mid for data, _ in self.port.sent], [1, 2, 3])
        self.assertEqual((self.port.flushes, self.settled), (1, [1000.0]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unreachable(self) -> None:
        """A driver that heeds ICMP errors lets what was sent again to such a peer fail; another one waits on."""
        for heeds, expected in ((False, []), (True, ["timeout"])):
            clock, port = Clock(), FakePort(Endpoint("127.0.0.1", 5683))
            outcomes: list[Received | str] = []
            driver = Driver(clock, Engine(Recorder(), Chance()), heeds=heeds)
            driver.add(port)
            driver.engine.request(port.peer(1), numbers.GET, on_outcome=told_to(outcomes), now=0.0)
            driver.settle()
            clock.advance(4.0)
            self.assertEqual(port.on_unreachable is not None, heeds)
            if port.on_unreachable is not None:
                port.on_unreachable(port.peer(2))
                self.assertEqual(outcomes, [])
                port.on_unreachable(port.peer(1))
            self.assertEqual(outcomes, expected)

    def test_tap(self) -> None:
        """A tap sees what arrives before it is answered, and what leaves, with the time."""
        seen: list[tuple[str, int, float]] = []

        class Watching:
            """Keeps what it sees."""

            def received(self, batch: Sequence[tuple[bytes, bytes]], now: float) -> None:
                """Keep an arrival."""
                seen.append(("in", len(batch), now))

            def sent(self, batch: Sequence[tuple[bytes, bytes]], now: float) -> None:
                """Keep what leaves."""
                seen.append(("out", len(batch), now))

        driver = Driver(self.clock, Engine(self.handler, Chance()), tap=Watching())
        port = FakePort(Endpoint("127.0.0.1", 5684))
        driver.add(port)
        port.deliver([(encode(request(mid)), port.peer(1)) for mid in (1, 2)])
        self.assertEqual(seen, [("in", 2, 1000.0), ("out", 2, 1000.0)])
        driver.engine.request(port.peer(1), numbers.GET, on_outcome=lambda *_: None, now=1000.0)
        driver.settle()
        self.assertEqual(seen[2:], [("out", 1, 1000.0)])

    def test_call_of_the_api(self) -> None:
        """After a call from outside, `settle` sends what is to be sent, and sets the timer."""
        self.ask()
        self.assertEqual(self.port.sent, [])
        self.driver.settle()
        self.assertEqual(len(self.port.sent), 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_retransmission(self) -> None:
        """Deadlines of the engine are kept: an unanswered request is sent five times in all."""
        self.ask()
        self.driver.settle()
        for _ in range(1000):
            self.clock.advance(0.1)
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(len(self.port.sent), 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timed_objects(self) -> None:
        """A timed object is called when it is due, not before."""
        self.timed.when = 1005.0
        self.driver.settle()
        self.clock.advance(4.9)
        self.assertEqual(self.timed.expired, [])
        self.clock.advance(0.1)
        self.assertEqual(self.timed.expired, [1005.0])

    def test_earlier_deadline(self) -> None:
        """A deadline that moves forward is kept, one that moves back is not acted on early."""
        self.timed.when = 1100.0
        self.driver.settle()
        self.timed.when = 1010.0
        self.driver.settle()
        self.timed.when = 1020.0
        self.driver.settle()
        self.clock.advance(15.0)
        self.assertEqual(self.timed.expired, [])
        self.clock.advance(5.0)
        self.assertEqual(self.timed.expired, [1020.0])

    def test_past_deadline(self) -> None:
        """A deadline in the past is due at once, but in a turn of the reactor of its own."""
        self.timed.when = 0.0
        self.driver.settle()
        self.assertEqual(self.timed.expired, [])
        self.clock.advance(0)
        self.assertEqual(self.timed.expired, [1000.0])

    def test_failing_timed_object(self) -> None:
        """One that raises is logged, tried again a second later, and does not stop the engine."""
        self.timed.when = 1001.0
        self.timed.error = RuntimeError("timed")
        self.driver.settle()
        self.clock.advance(1.0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(0.9)
        self.assertEqual(len(self.timed.expired), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.timed.expired), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.driver.errors, 2)

    def test_failing_settle(self) -> None:
        """A settle hook that raises is logged; the answers go out all the same."""
        self.error = RuntimeError("settle")
        self.port.deliver([(encode(request(1)), self.peer)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.port.sent), 1)

    def test_several_ports(self) -> None:
        """Each datagram leaves by the port that its peer belongs to; without such a port it is dropped."""
        other = FakePort(Endpoint("::1", 5683))
        self.driver.add(other)
        for peer in (self.peer, other.peer(2), pack(Endpoint("127.0.0.1", 9), Endpoint("192.0.2.1", 9))):
            self.engine.request(peer, numbers.GET, on_outcome=lambda *_: None, now=1000.0)
        self.driver.settle()
        self.assertEqual([peer for _, peer in self.port.sent], [self.peer])
        self.assertEqual([peer for _, peer in other.sent], [other.peer(2)])
        self.assertEqual(self.driver.unroutable, 1)
        self.assertEqual(self.driver.ports, (self.port, other))

    def test_wildcard_port(self) -> None:
        """A peer with the address that was addressed leaves by the port on the wildcard address of its port number."""
        wild = {host: FakePort(Endpoint(host, 5684)) for host in ("0.0.0.0", "::")}
        for port in wild.values():
            self.driver.add(port)
        peers = [
            pack(Endpoint("192.0.2.7", 5684), Endpoint("192.0.2.1", 1)),
            pack(Endpoint("2001:db8::7", 5684), Endpoint("2001:db8::1", 1)),
            pack(Endpoint("127.0.0.1", 5684), Endpoint("127.0.0.1", 1)),
        ]
        self.driver._send([(b"x", peer) for peer in [*peers, self.peer]])
        self.assertEqual([peer for _, peer in wild["0.0.0.0"].sent], [peers[0], peers[2]])
        self.assertEqual([peer for _, peer in wild["::"].sent], [peers[1]])
        self.assertEqual([peer for _, peer in self.port.sent], [self.peer])

    def test_one_address_in_two_zones(self) -> None:
        """Where two interfaces have the same link-local address the zone of the peer decides."""
        ports = [FakePort(Endpoint("fe80::1", 5683, scope)) for scope in (2, 3)]
        for port in ports:
            self.driver.add(port)
        peers = [pack(port.local, Endpoint("fe80::9", 1, port.local.scope)) for port in ports]
        self.driver._send([(b"x", peer) for peer in [*peers, pack(ports[0].local, Endpoint("fe80::9", 1, 4))]])
        self.assertEqual([[peer for _, peer in port.sent] for port in ports], [[peers[0]], [peers[1]]])
        self.assertEqual(self.driver.unroutable, 1)

    def test_stop(self) -> None:
        """A stopped driver closes its ports and does nothing any more, nor is a timer left."""
        self.ask()
        self.driver.settle()
        self.driver.stop()
        self.assertTrue(self.port.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.driver.settle()
        self.clock.advance(100.0)
        self.assertEqual(len(self.port.sent), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_settling(self) -> None:
        """Where what is settled ends the daemon, nothing is sent behind it, and no timer is left."""
        self.ask()
        self.timed.when = 1005.0
        driver = Driver(self.clock, self.engine, timed=[self.timed], settle=lambda _: driver.stop())
        driver.settle()
        self.assertEqual((self.port.sent, self.clock.getDelayedCalls()), ([], []))

    def test_broken_datagrams(self) -> None:
        """Whatever a port delivers, nothing is raised into the reactor."""
        self.port.deliver([(b"", self.peer), (b"\xff" * 9, b"")])
        self.port.deliver([])
        self.assertEqual(self.driver.errors, 0)


class FleetTests(SynchronousTestCase):
    """Many drivers on one timer."""

    def test_ten_thousand(self) -> None:
        """Ten thousand engines with a deadline each need one reactor timer, and each keeps its own time."""
        clock = Clock()
        deadlines = Deadlines(clock)
        ports = []
        for number in range(10_000):
            driver = Driver(clock, Engine(Recorder(), Chance()), deadlines=deadlines)
            port = FakePort(Endpoint("127.0.0.1", number))
            driver.add(port)
            ports.append(port)
            driver.engine.request(port.peer(1), numbers.GET, on_outcome=lambda *_: None, now=0.0)
            driver.settle()
            self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(3.0)
        self.assertEqual({len(port.sent) for port in ports}, {2})
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        deadlines.stop()
        deadlines.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_two_engines(self) -> None:
        """Two drivers that talk to each other finish an exchange and leave no timer."""
        clock = Clock()
        deadlines = Deadlines(clock)
        client = Driver(clock, Engine(Recorder(), Chance()), deadlines=deadlines)
        port = FakePort(Endpoint("127.0.0.1", 1))
        client.add(port)
        outcomes: list[object] = []
        client.engine.request(port.peer(2), numbers.GET, on_outcome=lambda *two: outcomes.append(two), now=0.0)
        client.settle()
        sent = decode(port.sent[0][0])
        answer = Message(numbers.ACK, numbers.CONTENT, sent.mid, sent.token)
        port.deliver([(encode(answer), port.peer(2))])
        self.assertEqual(len(outcomes), 1)
        clock.advance(100.0)
        self.assertEqual(len(port.sent), 1)
        self.assertEqual(clock.getDelayedCalls(), [])
