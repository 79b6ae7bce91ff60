"""What a device tells that is asleep, offline or disabled for a while: then, later, or never."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, options
from lwm2md.device.objects import Settings
from lwm2md.device.reach import NOTIFICATION, SEND, WAKES
from lwm2md.device.registration import State
from lwm2md.device.sending import Sending
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from tests.device.harness import NOW, Pair

_VALUE = Path((3303, 0, 5700))


def _started(settings: Settings | None = None) -> Pair:
    """A registered device whose world stands still."""
    pair = Pair(settings or Settings("one", 86400, "1.2"))
    pair.device._own.simulation.world.next_step = NOW + 1e9
    pair.start()
    return pair


def _show(pair: Pair, value: float, after: float) -> None:
    """The sensor shows a value some seconds later."""
    pair.advance(after)
    pair.device.set(_VALUE, value, pair.now)
    pair.advance(0)


def _stored(pair: Pair, message: Message, base: Path = _VALUE) -> list[tuple[float | None, object]]:
    """The seconds since the start and the values of a notification."""
    assert message.content_format is not None
    nodes: Nodes = formats.decode(message.content_format, base, message.payload, pair.model)
    return [(None if entry.time is None else entry.time - NOW, entry.value) for entry in nodes]


class AsleepTests(SynchronousTestCase):
    """A device in queue mode."""

    def test_stored_while_asleep(self) -> None:
        """What a sleeping device does not wake up for is stored, and told in one notification after its Update."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        pair.device.sleep((), announces=True)
        for value in (30.0, 31.0):
            _show(pair, value, 10)
        self.assertEqual((len(seen), len(pair.registrar.requests)), (1, 1))
        pair.deliver(pair.device.wake(pair.now))
        pair.settle()
        self.assertEqual(pair.registrar.requests[-1].path, ("rd", "id1"))
        [message] = seen[1:]
        self.assertEqual(message.content_format, numbers.SENML_CBOR)
        self.assertEqual(_stored(pair, message), [(10, 30.0), (20, 31.0)])
        _show(pair, 32.0, 10)
        self.assertEqual(seen[-1].payload, b"32")

    def test_formats_of_stored_values(self) -> None:
        """Stored values have their times in the formats that can tell them; else only the newest is told."""
        for accept, version in (
            (numbers.SENML_JSON, "1.1"),
            (numbers.JSON, "1.0"),
            (numbers.TLV, "1.1"),
            (numbers.TEXT, "1.1"),
            (numbers.LWM2M_CBOR, "1.2"),
            (None, "1.0"),
        ):
            pair = _started(Settings("one", 86400, version))
            seen: list[Message] = []
            pair.server.observe(
                b"device",
                numbers.GET,
                options(path=("3303", "0", "5700"), accept=accept),
                on_outcome=lambda result, now: None,
                on_notification=lambda received, fresh, seen=seen: seen.append(received.message),  # type: ignore[misc]
                now=pair.now,
            )
            pair.settle()
            pair.device.sleep((), announces=True)
            for value in (30.0, 31.0):
                _show(pair, value, 10)
            pair.deliver(pair.device.wake(pair.now))
            pair.settle()
            [message] = seen
            timed = accept in (numbers.SENML_JSON, numbers.JSON, None)
            expected = [(10.0, 30.0), (20.0, 31.0)] if timed else [(None, 31.0)]
            self.assertEqual(_stored(pair, message), expected, accept)
            self.assertEqual(message.content_format, numbers.JSON if accept is None else accept)

    def test_composite(self) -> None:
        """Several paths that are observed at once are stored and told at once."""
        pair = _started()
        seen = pair.observe_all("/3303/0/5700", "/3303/0/5701")
        pair.device.sleep((), announces=True)
        _show(pair, 30.0, 10)
        pair.deliver(pair.device.wake(pair.now))
        pair.settle()
        self.assertEqual(_stored(pair, seen[1], ROOT), [(10, 30.0), (10, "Cel")])

    def test_not_stored(self) -> None:
        """Where /1/0/6 is false, what happens while the device sleeps is lost."""
        pair = _started()
        pair.ask(numbers.PUT, "/1/0/6", b"0", content_format=0)
        _, seen = pair.observe("/3303/0/5700")
        pair.device.sleep((), announces=True)
        _show(pair, 30.0, 10)
        pair.deliver(pair.device.wake(pair.now))
        pair.advance(100)
        self.assertEqual(len(seen), 1)

    def test_wakes_for_a_notification(self) -> None:
        """A device that wakes up for a notification says where it is first, by an Update."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        pair.device.sleep((NOTIFICATION,), announces=True)
        pair.advance(10)
        pair.device.set(_VALUE, 30.0, pair.now)
        first = pair.device.expire(pair.now)
        self.assertEqual(len(first), 1)
        self.assertTrue(pair.device.reach.announcing)
        self.assertIsNone(_past(pair))
        pair.deliver(first)
        pair.settle()
        self.assertEqual((pair.registrar.requests[-1].path, len(seen)), (("rd", "id1"), 2))
        self.assertEqual(seen[1].payload, b"30")

    def test_same_address(self) -> None:
        """One that comes back at its old address needs no Update for that."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        pair.device.sleep(WAKES, announces=False)
        _show(pair, 30.0, 10)
        self.assertEqual((len(pair.registrar.requests), seen[1].payload), (1, b"30"))

    def test_wakes_for_its_registration(self) -> None:
        """A sleeping device wakes up before its lifetime ends."""
        pair = _started(Settings("one", 300))
        pair.device.sleep((), announces=True)
        pair.advance(206)
        self.assertEqual(len(pair.registrar.requests), 1)
        pair.advance(2)
        self.assertEqual((len(pair.registrar.requests), pair.device.reach.awake), (2, True))

    def test_sends(self) -> None:
        """Values are collected while the device sleeps, and sent when it wakes up, for that or for anything else."""
        for wakes in ((SEND,), ()):
            pair = _started(Settings("one", 300, sendings=(Sending((_VALUE,), 60.0, 20.0),)))
            pair.device.sleep(wakes, announces=True)
            pair.advance(100)
            paths = [message.path for message in pair.registrar.requests[1:]]
            self.assertEqual(paths, [("rd", "id1"), ("dp",)] if wakes else [])
            pair.advance(110)
            if not wakes:
                _, update, send = pair.registrar.requests
                self.assertEqual((update.path, send.path), (("rd", "id1"), ("dp",)))
                times = [time for time, _ in _stored(pair, send, ROOT)]
                self.assertEqual(times, [20, 40, 60, 80, 100, 120, 140, 160, 180, 200])

    def test_lost_registration(self) -> None:
        """Where the Update is refused a Register follows, and the next observation tells what was stored."""
        pair = _started()
        pair.observe("/3303/0/5700")
        pair.device.sleep((), announces=True)
        _show(pair, 30.0, 10)
        pair.registrar.answers[numbers.POST] = Response(numbers.NOT_FOUND)
        out = pair.device.wake(pair.now)
        back = pair.server.receive([(data, b"device") for data, _ in out], pair.now)
        pair.registrar.answers.clear()
        pair.deliver(pair.device.receive([(data, b"server") for data, _ in back], pair.now))
        self.assertEqual(pair.device.registration.location, ("rd", "id3"))
        _, seen = pair.observe("/3303/0/5700")
        pair.settle()
        self.assertEqual(_stored(pair, seen[1]), [(10, 30.0)])


class OfflineTests(SynchronousTestCase):
    """A device without a network."""

    def test_offline(self) -> None:
        """Offline nothing is tried; back again the device Updates and tells what it stored to the same observers."""
        pair = _started(Settings("one", 300, sendings=(Sending((_VALUE,), 60.0),)))
        _, seen = pair.observe("/3303/0/5700")
        pair.device.lose()
        _show(pair, 30.0, 100)
        pair.advance(400)
        self.assertEqual(len(pair.registrar.requests), 1)
        pair.deliver(pair.device.find(pair.now))
        pair.settle()
        self.assertEqual([message.path[0] for message in pair.registrar.requests[1:]], ["rd", "dp"])
        self.assertEqual(_stored(pair, seen[1]), [(100, 30.0)])

    def test_not_registered(self) -> None:
        """A device that was not registered when the network went has nothing to Update."""
        pair = Pair(Settings("one", 300))
        pair.device.lose()
        self.assertEqual(pair.device.find(pair.now), [])
        self.assertTrue(pair.device.reach.awake)

    def test_confirmable_under_way(self) -> None:
        """A Confirmable notification that the lost network swallowed is told again, and ends nothing."""
        pair = _started()
        pair.ask(numbers.PUT, "/3303/0/5700", query=("con=1",))
        _, seen = pair.observe("/3303/0/5700")
        pair.registrar.silent = True
        _show(pair, 30.0, 1)
        pair.device.lose()
        pair.advance(100)
        pair.registrar.silent = False
        pair.deliver(pair.device.find(pair.now))
        pair.settle()
        self.assertEqual([value for _, value in _stored(pair, seen[-1])], [30.0])
        self.assertEqual(len(pair.device._own.observers), 1)


class DisabledTests(SynchronousTestCase):
    """A device that its server has disabled."""

    def test_stored_while_disabled(self) -> None:
        """What happens while the device is disabled is told to who observes it again after its Register."""
        pair = _started()
        pair.ask(numbers.PUT, "/1/0/5", b"60", content_format=0)
        pair.observe("/3303/0/5700")
        pair.ask(numbers.POST, "/1/0/4")
        pair.settle()
        self.assertIs(pair.device.registration.state, State.DISABLED)
        _show(pair, 30.0, 20)
        pair.advance(50)
        self.assertIs(pair.device.registration.state, State.REGISTERED)
        self.assertEqual(len(pair.device._own.observers), 0)
        _, seen = pair.observe("/3303/0/5700")
        pair.settle()
        self.assertEqual(_stored(pair, seen[1]), [(20, 30.0)])

    def test_gone_for_good(self) -> None:
        """A device that de-registers for good stores nothing."""
        pair = _started()
        pair.observe("/3303/0/5700")
        pair.deliver(pair.device.stop(pair.now))
        self.assertEqual(len(pair.device._own.observers), 0)


class FailureTests(SynchronousTestCase):
    """Observers that are gone, or seem to be."""

    def _silent(self, *, keeps: bool) -> tuple[Pair, list[Message]]:
        pair = _started(Settings("one", 86400, "1.2", keeps=keeps))
        pair.ask(numbers.PUT, "/3303/0/5700", query=("con=1",))
        _, seen = pair.observe("/3303/0/5700")
        pair.registrar.silent = True
        _show(pair, 30.0, 1)
        pair.advance(100)
        pair.registrar.silent = False
        return pair, seen

    def test_timeout_ends_it(self) -> None:
        """A Confirmable notification that nobody acknowledges ends the observation."""
        pair, _ = self._silent(keeps=False)
        self.assertEqual(len(pair.device._own.observers), 0)
        self.assertIn("observation of /3303/0/5700 ended (timeout)", pair.lines)

    def test_timeout_ends_nothing(self) -> None:
        """A device may be told to go on, and then it tells the present state again."""
        pair, seen = self._silent(keeps=True)
        pair.advance(100)
        self.assertEqual((len(pair.device._own.observers), seen[-1].payload), (1, b"30"))

    def test_reset_ends_it(self) -> None:
        """A Reset ends the observation whatever the settings say, of a notification of either type."""
        for query in (("con=1",), ("con=0",)):
            pair = _started(Settings("one", 86400, "1.2", keeps=True))
            pair.ask(numbers.PUT, "/3303/0/5700", query=query)
            token, _ = pair.observe("/3303/0/5700")
            pair.server.forget(token)
            _show(pair, 30.0, 1)
            self.assertEqual(len(pair.device._own.observers), 0)

    def test_update_keeps_them(self) -> None:
        """A mere Update ends nothing, a Register everything."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        pair.deliver(pair.device.update(pair.now))
        _show(pair, 30.0, 1)
        self.assertEqual(len(seen), 2)
        pair.registrar.answers[numbers.POST] = Response(numbers.NOT_FOUND)
        pair.deliver(pair.device.update(pair.now))
        _show(pair, 31.0, 1)
        self.assertEqual((len(seen), len(pair.device._own.observers)), (2, 0))


def _past(pair: Pair) -> float | None:
    """A deadline of the device that has passed already."""
    due = pair.device.next_deadline()
    return due if due is not None and due <= pair.now else None
