"""A scripted device on ports in memory, in a time of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine
from lwm2md.coap.interfaces import Received
from lwm2md.coap.message import Message, decode, options
from lwm2md.device.behaviour import Behaviour, Event, Timeline
from lwm2md.device.client import Client
from lwm2md.device.functions import key_of
from lwm2md.device.link import Link
from lwm2md.device.objects import Settings, supported
from lwm2md.device.reach import WAKES
from lwm2md.device.world import World, stream
from lwm2md.device_member import Address, Member, ScriptedMember
from lwm2md.lwm2m.paths import Path
from lwm2md.net.addresses import Endpoint
from lwm2md.net.driver import Deadlines
from lwm2md.net.port import Batch
from tests.device.harness import Registrar, counting, models


class FakePort:
    """A port whose other end is a function; the number is its address."""

    batched = False

    def __init__(self, number: int, deliver: Callable[[int, bytes], None]) -> None:
        self.local = Endpoint("127.0.0.1", number)
        self.prefix = b""
        self.counters: dict[str, int] = {}
        self.on_unreachable: Callable[[bytes], None] | None = None
        self.receive: Callable[[Batch], None] | None = None
        self.closed = False
        self._deliver = deliver

    @property
    def server(self) -> bytes:
        """The server as a peer of this port."""
        return b"server of %d" % self.local.port

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Hand on what arrives."""
        self.receive = receive

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Bring datagrams to the server."""
        assert not self.closed
        for data, peer in datagrams:
            assert peer == self.server
            self._deliver(self.local.port, data)

    def close(self) -> None:
        """Take no more."""
        self.closed = True


@attrs.define
class Stage:
    """A server and one scripted device; the clock is moved by the test."""

    behaviour: Behaviour = attrs.field(factory=Behaviour)
    events: tuple[Event, ...] = ()
    settings: Settings = attrs.field(factory=lambda: Settings("d", 300))
    clock: Clock = attrs.field(factory=Clock)
    ports: list[FakePort] = attrs.field(factory=list)
    seen: list[tuple[int, Message]] = attrs.field(factory=list)
    lines: list[str] = attrs.field(factory=list)
    gone: set[Member] = attrs.field(factory=set)
    registrar: Registrar = attrs.field(factory=Registrar)
    loses: int = 0
    server: Engine = attrs.field(init=False)
    member: ScriptedMember = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start the device."""
        self.server = Engine(self.registrar, counting())
        port, peer = self._address()
        now = self.clock.seconds()
        client = Client(
            self.settings,
            supported=supported(models(), self.settings.version),
            server=peer,
            world=World(stream("d"), 1000.0, now),
            random=counting(),
            report=self._report,
            now=now,
        )
        self.member = ScriptedMember(
            self.clock,
            Deadlines(self.clock),
            client,
            (port, peer),
            self.gone.add,
            link=Link(self.behaviour, key_of("d"), self._report, now),
            timeline=Timeline(self.events, now),
            move=self._address,
            report=self._report,
        )
        self.member.start()

    def _address(self, number: int = 0) -> Address:
        self.ports.append(FakePort(number or 40000 + len(self.ports), self._arrive))
        return self.ports[-1], self.ports[-1].server

    def _report(self, text: str, detail: bool) -> None:
        self.lines.append(text)

    def _arrive(self, number: int, data: bytes) -> None:
        if self.loses:
            self.loses -= 1
            return
        self.seen.append((number, decode(data)))
        self._send(self.server.receive([(data, b"%d" % number)], self.clock.seconds()))

    def _send(self, out: list[tuple[bytes, bytes]]) -> None:
        for data, peer in out:
            port = next(port for port in self.ports if b"%d" % port.local.port == peer)
            if not port.closed and port.receive is not None:
                port.receive([(data, port.server)])

    def advance(self, seconds: float) -> None:
        """Move the clock in tenths of a second; the server retransmits."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self._send(self.server.expire(self.clock.seconds()))

    def read(self, path: str = "/3/0/0", port: int = -1) -> list[Received | str]:
        """Ask the device; the list gets the outcome when there is one."""
        outcomes: list[Received | str] = []
        self.server.request(
            b"%d" % self.ports[port].local.port,
            numbers.GET,
            options(path=path.split("/")[1:], accept=0),
            on_outcome=lambda result, now: outcomes.append(result),
            now=self.clock.seconds(),
        )
        self._send(self.server.take())
        return outcomes

    def observe(self, path: str) -> list[bytes]:
        """Observe a Resource from now on; the list gets what is notified."""
        notified: list[bytes] = []
        self.server.observe(
            b"%d" % self.ports[-1].local.port,
            numbers.GET,
            options(path=path.split("/")[1:]),
            on_outcome=lambda result, now: None,
            on_notification=lambda received, fresh: notified.append(received.message.payload),
            now=self.clock.seconds(),
        )
        self._send(self.server.take())
        return notified

    def answered(self, outcomes: list[Received | str]) -> str:
        """The dotted code of an outcome."""
        [outcome] = outcomes
        return numbers.dotted(outcome.message.code) if isinstance(outcome, Received) else outcome

    def registers(self) -> int:
        """How many Registers the server has got."""
        return sum(message.path == ("rd",) for message in self.registrar.requests)


class EventTests(SynchronousTestCase):
    """What befalls a device."""

    def test_reboot(self) -> None:
        """A device that reboots is silent, forgets its tokens, counts message IDs anew and registers again."""
        stage = Stage(events=(Event("reboot", 10, back=5),))
        token = stage.server.observe(
            b"40000",
            numbers.GET,
            options(path=("3303", "0", "5700")),
            on_outcome=lambda result, now: None,
            on_notification=lambda received, fresh: None,
            now=0.0,
        )
        stage._send(stage.server.take())
        self.assertTrue(token)
        engine = stage.member.client.engine
        stage.advance(10.1)
        self.assertIsNot(stage.member.client.engine, engine)
        outcomes = stage.read()
        stage.advance(3)
        self.assertEqual((outcomes, stage.registers()), ([], 1))
        stage.advance(3)
        self.assertEqual(stage.registers(), 2)
        stage.advance(10)
        self.assertEqual(stage.answered(outcomes), "2.05")
        self.assertEqual([line for line in stage.lines if line.startswith(("restart", "regist"))][1], "restarting")

    def test_reboots_again_and_again(self) -> None:
        """A reboot may come at intervals."""
        stage = Stage(events=(Event("reboot", 10, every=10, back=1),))
        stage.advance(35)
        self.assertEqual(stage.registers(), 4)

    def test_change_of_address(self) -> None:
        """A device with another address updates its registration from there and is heard there only."""
        stage = Stage(events=(Event("address", 10),))
        stage.advance(11)
        number, message = stage.seen[-1]
        self.assertEqual((number, message.code, message.path[0]), (40001, numbers.POST, "rd"))
        self.assertTrue(stage.ports[0].closed)
        self.assertEqual(stage.answered(stage.read()), "2.05")
        self.assertEqual(stage.registers(), 1)
        self.assertIn("has another address: port 40001", stage.lines)

    def test_quiet_change_of_address(self) -> None:
        """Behind a NAT a device notices nothing, and its next Update comes from the new address."""
        stage = Stage(events=(Event("address", 10, quiet=True),))
        stage.advance(100)
        self.assertEqual({number for number, _ in stage.seen}, {40000})
        stage.advance(120)
        self.assertEqual(stage.seen[-1][0], 40001)

    def test_no_other_address(self) -> None:
        """A device that gets no other address stays where it is."""
        stage = Stage(events=(Event("address", 10),))

        def fail(number: int) -> Address:
            raise OSError(24, "Too many open files")

        stage.member._move = fail
        stage.advance(11)
        self.assertIn("stays at 127.0.0.1:40000: Too many open files", stage.lines)
        self.assertEqual(stage.answered(stage.read()), "2.05")

    def test_deregister(self) -> None:
        """A device de-registers, is deaf, and comes back."""
        stage = Stage(events=(Event("deregister", 10, back=20),))
        stage.advance(11)
        self.assertEqual(stage.seen[-1][1].code, numbers.DELETE)
        outcomes = stage.read()
        self.assertEqual(outcomes, [])
        stage.advance(20)
        self.assertEqual(stage.registers(), 2)

    def test_deregister_for_good(self) -> None:
        """A device that de-registers for good is gone."""
        stage = Stage(events=(Event("deregister", 10), Event("update", 20)))
        stage.advance(30)
        self.assertEqual((stage.gone, stage.ports[0].closed), ({stage.member}, True))
        self.assertEqual(stage.clock.getDelayedCalls(), [])

    def test_die(self) -> None:
        """A dead device answers nothing, sends nothing, and needs no timer."""
        stage = Stage(events=(Event("die", 10), Event("update", 20)))
        stage.advance(9)
        seen = len(stage.seen)
        stage.advance(2)
        outcomes = stage.read()
        stage.advance(400)
        self.assertEqual((stage.answered(outcomes), len(stage.seen)), ("timeout", seen))
        self.assertEqual(stage.clock.getDelayedCalls(), [])
        stage.member.stop()
        self.assertEqual((stage.gone, len(stage.seen)), ({stage.member}, seen))

    def test_die_and_return(self) -> None:
        """A dead device may come back, with a new registration; what was planned meanwhile is missed."""
        stage = Stage(events=(Event("die", 10, back=50), Event("address", 30)))
        stage.advance(65)
        self.assertEqual((stage.registers(), len(stage.ports)), (2, 1))
        self.assertEqual(stage.answered(stage.read()), "2.05")

    def test_set(self) -> None:
        """A value that is set at a time is there then."""
        stage = Stage(events=(Event("set", 10, path=Path((3, 0, 0)), value="Other"),))
        [before] = stage.read()
        stage.advance(11)
        [after] = stage.read()
        assert isinstance(before, Received) and isinstance(after, Received)
        self.assertEqual((before.message.payload, after.message.payload), (b"lwm2md", b"Other"))
        self.assertIn("set /3/0/0 = Other", stage.lines)


class BehaviourTests(SynchronousTestCase):
    """How a device behaves."""

    def test_sleep(self) -> None:
        """A sleeping device has no socket, wakes for its Update with another port, and then answers again."""
        stage = Stage(Behaviour(awake=5.0, asleep=100.0))
        stage.advance(10)
        self.assertEqual((stage.lines[-1], stage.ports[0].closed, len(stage.ports)), ("asleep", True, 1))
        outcomes = stage.read()
        stage.advance(30)
        self.assertEqual((outcomes, stage.registers(), len(stage.seen)), ([], 1, 1))
        stage.advance(70)
        number, message = stage.seen[-1]
        self.assertEqual((number, message.code, message.path[0]), (40001, numbers.POST, "rd"))
        self.assertIn("awake", stage.lines)
        self.assertEqual(stage.answered(stage.read()), "2.05")

    def test_port_is_kept(self) -> None:
        """A device may have its old port again after it slept."""
        stage = Stage(Behaviour(awake=5.0, asleep=100.0, keeps_port=True))
        stage.advance(110)
        self.assertEqual({number for number, _ in stage.seen}, {40000})
        self.assertEqual((len(stage.ports), stage.ports[0].closed, stage.ports[1].closed), (2, True, False))

    def test_traffic_keeps_awake(self) -> None:
        """Each message starts the awake time again."""
        stage = Stage(Behaviour(awake=5.0))
        for _ in range(5):
            stage.advance(4)
            self.assertEqual(stage.answered(stage.read()), "2.05")
        self.assertNotIn("asleep", stage.lines)
        stage.advance(5.2)
        self.assertEqual(stage.lines[-1], "asleep")

    def test_awake_while_waiting(self) -> None:
        """A device does not fall asleep before its server has answered or been given up."""
        stage = Stage(Behaviour(awake=1.0, asleep=50.0), loses=1)
        stage.advance(1.9)
        self.assertNotIn("asleep", stage.lines)
        stage.advance(5)
        self.assertEqual((stage.registers(), stage.lines[-1]), (1, "asleep"))
        self.assertEqual(len(stage.ports), 1)

    def test_wakes_to_notify(self) -> None:
        """A device that wakes up for a notification Updates from its new port before it notifies from there."""
        for wakes, expected in ((WAKES, 2), ((), 1)):
            events = (Event("set", 20, path=Path((3303, 0, 5750)), value="Attic"),)
            stage = Stage(Behaviour(awake=5.0, asleep=100.0, wakes=wakes), events)
            notified = stage.observe("/3303/0/5750")
            stage.advance(30)
            self.assertEqual(len(stage.ports), expected)
            if wakes:
                self.assertEqual(next(message.code for number, message in stage.seen if number == 40001), numbers.POST)
                self.assertEqual(notified, [b"Attic"])
            stage.advance(80)
            self.assertEqual(len(notified), 1)

    def test_no_socket_to_wake_with(self) -> None:
        """A device that gets no socket when it wakes up sends into the void, and tries again later."""
        stage = Stage(Behaviour(awake=5.0, asleep=20.0))
        stage.advance(10)
        move = stage.member._move

        def fail(number: int) -> Address:
            raise OSError(24, "Too many open files")

        stage.member._move = fail
        stage.advance(20)
        self.assertEqual(len(stage.seen), 1)
        stage.member._move = move
        stage.advance(100)
        self.assertGreater(len(stage.seen), 1)

    def test_offline(self) -> None:
        """Without a network nothing comes or goes; afterwards the device Updates and tells what it stored."""
        events = (
            Event("offline", 10, back=60),
            Event("set", 20, path=Path((3303, 0, 5750)), value="Attic"),
            Event("set", 30, path=Path((3303, 0, 5750)), value="Hall"),
        )
        stage = Stage(events=events)
        notified = stage.observe("/3303/0/5750")
        stage.advance(11)
        seen = len(stage.seen)
        outcomes = stage.read()
        stage.advance(50)
        self.assertEqual((len(stage.seen), outcomes, stage.ports[0].closed), (seen, [], False))
        stage.advance(20)
        self.assertEqual(stage.seen[seen][1].path[0], "rd")
        [told] = notified
        self.assertEqual((told.count(b"Attic"), told.count(b"Hall")), (1, 1))
        self.assertIn("online", stage.lines)

    def test_offline_for_good(self) -> None:
        """A device that is offline for good sends nothing more, and goes without a word."""
        stage = Stage(events=(Event("offline", 10),))
        stage.advance(400)
        self.assertEqual(len(stage.seen), 1)
        stage.member.stop()
        self.assertEqual((stage.gone, len(stage.seen)), ({stage.member}, 1))

    def test_reboot_after_sleep(self) -> None:
        """A device that reboots in its sleep has a socket again when it registers."""
        stage = Stage(Behaviour(awake=5.0), (Event("reboot", 20, back=5),))
        stage.advance(30)
        self.assertEqual((stage.registers(), [number for number, _ in stage.seen]), (2, [40000, 40001]))

    def test_answers_to_repetitions(self) -> None:
        """When every second answer is swallowed, the server gets its answer when it repeats the request."""
        stage = Stage(Behaviour(drop=2))
        self.assertEqual(stage.answered(stage.read()), "2.05")
        outcomes = stage.read()
        self.assertEqual(outcomes, [])
        stage.advance(4)
        self.assertEqual(stage.answered(outcomes), "2.05")

    def test_late(self) -> None:
        """A late answer comes when it is due."""
        stage = Stage(Behaviour(late=(1.0, 1.0)))
        outcomes = stage.read()
        stage.advance(0.8)
        self.assertEqual(outcomes, [])
        stage.advance(0.4)
        self.assertEqual(stage.answered(outcomes), "2.05")

    def test_wrong(self) -> None:
        """A wrong answer is an error."""
        stage = Stage(Behaviour(wrong=1, wrong_code=numbers.SERVICE_UNAVAILABLE))
        self.assertEqual(stage.answered(stage.read()), "5.03")

    def test_stop(self) -> None:
        """A scripted device de-registers when it is stopped, asleep or not."""
        stage = Stage(Behaviour(awake=5.0))
        stage.advance(10)
        stage.member.stop()
        self.assertEqual((stage.seen[-1][1].code, stage.gone), (numbers.DELETE, {stage.member}))
