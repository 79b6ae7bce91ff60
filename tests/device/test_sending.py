"""What a device sends by itself: when values are taken, what leaves, and what becomes of a Send that fails."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, options
from lwm2md.device.objects import Settings
from lwm2md.device.sending import ATTEMPTS, Sender, Sending
from lwm2md.device.tree import Tree
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import Entry
from lwm2md.lwm2m.paths import ROOT, Path
from tests.device.harness import NOW, Pair, known

_LEVEL = Path((3, 0, 9))
_VALUE = Path((3303, 0, 5700))


def _thermometer(value: float) -> Tree:
    return Tree(known("1.1"), {Path((3303, 0)): {5700: value}})


class _Shelf:
    """A tree with one value, and a sender on it."""

    def __init__(self, *sendings: Sending, room: int = 10) -> None:
        self.tree = Tree(known("1.1"), {Path((3, 0)): {9: 95}})
        self.sender = Sender(sendings, self.tree, NOW, room)

    def expire(self, after: float, *, muted: bool = False) -> None:
        """Take what is due."""
        self.sender.expire(NOW + after, muted=muted)

    def leave(self, after: float) -> list[tuple[float, object]]:
        """Let what is due leave and be taken: the seconds and values that it carried."""
        if not self.sender.due(NOW + after):
            return []
        parcel = self.sender.ready(NOW + after)
        nodes = parcel.nodes(NOW + after, timed=True)
        self.sender.taken()
        return [(0.0 if entry.time is None else entry.time - NOW, entry.value) for entry in nodes]


class SenderTests(SynchronousTestCase):
    """The schedule, without an engine."""

    def test_every(self) -> None:
        """Values are taken and leave every so many seconds, without a time when they leave at once."""
        shelf = _Shelf(Sending((_LEVEL,), every=60.0))
        self.assertEqual(shelf.sender.next_deadline(able=True), NOW + 60)
        shelf.expire(59)
        self.assertEqual(shelf.leave(59), [])
        shelf.expire(60)
        self.assertEqual(shelf.leave(60), [(0.0, 95)])
        self.assertEqual(shelf.sender.next_deadline(able=True), NOW + 120)

    def test_collect(self) -> None:
        """Values that were collected in between leave with their times, and once."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0, collect=10.0))
        for after in (10, 20):
            shelf.tree.put(_LEVEL, after)
            shelf.expire(after)
            self.assertEqual(shelf.leave(after), [])
        shelf.tree.put(_LEVEL, 30)
        shelf.expire(30)
        self.assertEqual(shelf.leave(30), [(10, 10), (20, 20), (30, 30)])
        shelf.expire(60)
        self.assertEqual(shelf.leave(60), [(0.0, 30)])

    def test_a_long_sleep_is_no_burst(self) -> None:
        """What was missed while nothing was looked at is taken once."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0, collect=10.0))
        shelf.expire(1000)
        self.assertEqual(len(shelf.leave(1000)), 1)
        self.assertEqual(shelf.sender.next_deadline(able=True), NOW + 1010)

    def test_bounded(self) -> None:
        """There is room for so many moments, and the oldest gives way."""
        shelf = _Shelf(Sending((_LEVEL,), every=100.0, collect=10.0), room=3)
        for after in range(10, 110, 10):
            shelf.expire(after)
        self.assertEqual([when for when, _ in shelf.leave(100)], [80, 90, 100])

    def test_on_change(self) -> None:
        """A change is sent at once, and the next one no sooner than it may."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0, on_change=True))
        self.assertIsNone(shelf.sender.next_deadline(able=True))
        shelf.sender.touch(Path((3, 0, 13)), NOW + 1)
        self.assertIsNone(shelf.sender.next_deadline(able=True))
        shelf.sender.touch(_LEVEL, NOW + 2)
        shelf.expire(2)
        self.assertEqual(shelf.leave(2), [(0.0, 95)])
        shelf.sender.touch(_LEVEL, NOW + 10)
        self.assertEqual(shelf.sender.next_deadline(able=True), NOW + 32)

    def test_changes_in_one_moment(self) -> None:
        """Of several changes in one moment the last is sent."""
        shelf = _Shelf(Sending((_LEVEL,), on_change=True))
        for level in (50, 60):
            shelf.tree.put(_LEVEL, level)
            shelf.sender.touch(_LEVEL, NOW + 1)
            shelf.expire(1)
        self.assertEqual(shelf.leave(1), [(0.0, 60)])

    def test_muted(self) -> None:
        """While it is muted nothing is taken, and what waits is forgotten."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0, collect=10.0))
        shelf.expire(10)
        shelf.expire(20, muted=True)
        shelf.expire(30, muted=True)
        self.assertEqual(shelf.leave(30), [])
        shelf.expire(60)
        self.assertEqual(shelf.leave(60), [(0.0, 95)])

    def test_failures(self) -> None:
        """What is refused for good is forgotten, what may succeed later is tried again, and not for ever."""
        for code, expected in (
            (numbers.BAD_REQUEST, "given up"),
            (numbers.NOT_FOUND, "again in 60 s"),
            (numbers.INTERNAL_SERVER_ERROR, "again in 60 s"),
            (numbers.FORBIDDEN, "no more until the next registration"),
            (numbers.METHOD_NOT_ALLOWED, "no more until the next registration"),
        ):
            shelf = _Shelf(Sending((_LEVEL,), every=30.0))
            shelf.expire(30)
            shelf.sender.ready(NOW + 30)
            self.assertEqual(shelf.sender.refused(code, NOW + 30, None), expected)
            self.assertEqual(shelf.sender.waits, expected.startswith("again"), code)
            shelf.expire(60)
            self.assertEqual(shelf.sender.waits, "no more" not in expected, code)
            shelf.sender.registered()
            shelf.expire(90)
            self.assertTrue(shelf.sender.due(NOW + 90))

    def test_patience(self) -> None:
        """An unanswered Send is tried again after ever longer times, with what came up since, then given up."""
        shelf = _Shelf(Sending((_LEVEL,), every=1e6))
        now, waits = NOW + 1e6, []
        shelf.sender.expire(now, muted=False)
        for _ in range(ATTEMPTS):
            self.assertTrue(shelf.sender.due(now))
            shelf.sender.ready(now)
            waits.append(shelf.sender.unanswered(now))
            now = max(now, shelf.sender.next_deadline(able=True) or 0.0)
        self.assertEqual(waits, [*(f"again in {60 * 2**n} s" for n in range(ATTEMPTS - 1)), "given up"])
        self.assertFalse(shelf.sender.waits)

    def test_max_age(self) -> None:
        """A busy server says itself when to try again."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0))
        shelf.expire(30)
        shelf.sender.ready(NOW + 30)
        self.assertEqual(shelf.sender.refused(numbers.SERVICE_UNAVAILABLE, NOW + 30, 7), "again in 7 s")
        self.assertEqual((shelf.sender.due(NOW + 36), shelf.sender.due(NOW + 37)), (False, True))
        shelf.sender.ready(NOW + 37)
        self.assertEqual(shelf.sender.refused(numbers.SERVICE_UNAVAILABLE, NOW + 37, 2**32 - 1), "again in 86400 s")

    def test_newer_values_while_under_way(self) -> None:
        """What became due while a Send was under way leaves after it."""
        shelf = _Shelf(Sending((_LEVEL,), every=30.0))
        shelf.expire(30)
        shelf.sender.ready(NOW + 30)
        shelf.expire(60)
        self.assertFalse(shelf.sender.due(NOW + 60))
        shelf.sender.taken()
        self.assertEqual(shelf.leave(61), [(60.0, 95)])

    def test_singles_are_bounded(self) -> None:
        """What is to be sent once waits, but not without end, and is gone when it was sent or the device restarts."""
        shelf = _Shelf()
        for after in range(100):
            shelf.sender.send(Sending((_LEVEL,)), NOW + after)
        self.assertEqual(sum(len(shelf.leave(200)) for _ in range(100)), 16)
        shelf.sender.send(Sending((_LEVEL,)), NOW)
        shelf.sender.restart(NOW)
        self.assertFalse(shelf.sender.waits)

    def test_nothing_to_send(self) -> None:
        """Paths without a value send nothing."""
        shelf = _Shelf(Sending((Path((9, 9)),), every=30.0))
        shelf.expire(30)
        self.assertFalse(shelf.sender.waits)


class WireTests(SynchronousTestCase):
    """Sends as the server gets them."""

    def _sends(self, pair: Pair) -> list[Message]:
        return [message for message in pair.registrar.requests if message.path[-1:] == ("dp",)]

    def test_bytes(self) -> None:
        """A Send is a POST to /dp, by default in SenML CBOR: a record with name and value."""
        pair = Pair(Settings("one", 300, sendings=(Sending((_LEVEL,), every=30.0),)))
        pair.start()
        pair.device._own.tree.put(_LEVEL, 95)
        pair.device._own.simulation.world.next_step = NOW + 1e6
        pair.advance(30)
        [message] = self._sends(pair)
        self.assertEqual((message.type, message.code, message.path), (numbers.CON, numbers.POST, ("dp",)))
        self.assertEqual(message.content_format, numbers.SENML_CBOR)
        self.assertEqual(message.payload, bytes.fromhex("81a200662f332f302f3902185f"))
        self.assertIn("→ Send senml-cbor 13 bytes → 2.04", pair.lines)

    def test_formats(self) -> None:
        """SenML JSON and LwM2M CBOR are sent too, the latter without times: the newest values only."""
        for number, version in ((numbers.SENML_JSON, "1.1"), (numbers.LWM2M_CBOR, "1.2")):
            sending = Sending((_VALUE, _LEVEL), 20.0, 10.0, content_format=number, confirmable=False)
            pair = Pair(Settings("one", 300, version, prefix=("a",), sendings=(sending,)))
            pair.start()
            pair.advance(20)
            [message] = self._sends(pair)
            self.assertEqual((message.type, message.path), (numbers.NON, ("a", "dp")))
            self.assertEqual(message.content_format, number)
            nodes = formats.decode(number, ROOT, message.payload, pair.model)
            times = [entry.time for entry in nodes]
            self.assertEqual(times, [None] * 2 if number == numbers.LWM2M_CBOR else [NOW + 10] * 2 + [NOW + 20] * 2)

    def test_times_of_the_specification(self) -> None:
        """Two moments of a Resource mean what the record with a base time of the specification means."""
        sender = Sender((Sending((_VALUE,), 120.0, 60.0),), tree := _thermometer(21.25), NOW - 120, 10)
        sender.expire(NOW - 60, muted=False)
        tree.put(_VALUE, 21.5)
        sender.expire(NOW, muted=False)
        nodes = sender.ready(NOW).nodes(NOW, timed=True)
        vector = bytes.fromhex("82a3216c2f333330332f302f35373030221a6553f10002f94d60a206383b02f94d50")
        expected = formats.decode(numbers.SENML_CBOR, ROOT, vector, tree.model)
        payload = formats.encode(numbers.SENML_CBOR, ROOT, nodes, tree.model)
        self.assertEqual({*formats.decode(numbers.SENML_CBOR, ROOT, payload, tree.model)}, {*expected})

    def test_choice_of_format(self) -> None:
        """What a device has and reports in decides where nothing is wished for."""
        for given, expected in (
            (Settings("one", formats=frozenset({numbers.SENML_JSON, numbers.TLV})), numbers.SENML_JSON),
            (Settings("one", content_format=numbers.SENML_JSON), numbers.SENML_JSON),
            (Settings("one", content_format=numbers.TLV), numbers.SENML_CBOR),
            (Settings("one", version="1.2", content_format=numbers.LWM2M_CBOR), numbers.LWM2M_CBOR),
        ):
            pair = Pair(attrs.evolve(given, sendings=(Sending((_LEVEL,), every=30.0),)))
            pair.start()
            pair.advance(30)
            self.assertEqual([message.content_format for message in self._sends(pair)], [expected])

    def test_large(self) -> None:
        """A Send larger than a block goes out in blocks."""
        pair = Pair(Settings("one", 3000, sendings=(Sending((Path((3,)), Path((3303,))), 200.0, 10.0),)))
        pair.start()
        pair.advance(200)
        [message] = self._sends(pair)
        nodes = formats.decode(numbers.SENML_CBOR, ROOT, message.payload, pair.model)
        self.assertEqual({entry.time for entry in nodes}, {NOW + after for after in range(10, 210, 10)})
        self.assertGreater(len(message.payload), 4096)

    def test_mute(self) -> None:
        """Nothing is sent while Mute Send is true or missing; false lets it be sent."""
        for stored in (True, None):
            pair = Pair(Settings("one", 300, sendings=(Sending((_LEVEL,), every=30.0),)))
            pair.start()
            tree = pair.device._own.tree
            if stored is None:
                tree.commit(Path((1, 0)), {key: value for key, value in tree.copy(Path((1, 0))).items() if key != 23})
            else:
                tree.put(Path((1, 0, 23)), stored)
            pair.advance(100)
            self.assertEqual(self._sends(pair), [])
            if stored:
                self.assertEqual(pair.ask(numbers.PUT, "/1/0/23", b"0", content_format=0).code, numbers.CHANGED)
                pair.advance(30)
                self.assertEqual(len(self._sends(pair)), 1)

    def test_not_in_1_0(self) -> None:
        """A device of 1.0 has no Send."""
        pair = Pair(Settings("one", 300, "1.0", sendings=(Sending((_LEVEL,), every=30.0),)))
        pair.start()
        pair.advance(100)
        self.assertEqual(self._sends(pair), [])
        self.assertEqual(pair.ask(numbers.GET, "/1/0/23").code, numbers.NOT_FOUND)

    def test_busy_server(self) -> None:
        """After 5.03 the same values come again with their time when its Max-Age is over."""
        pair = Pair(Settings("one", 3000, sendings=(Sending((_LEVEL,), every=1000.0),)))
        pair.start()
        pair.advance(990)
        pair.registrar.answers[numbers.POST] = Response(numbers.SERVICE_UNAVAILABLE, b"", options(max_age=20))
        pair.advance(15)
        pair.registrar.answers.clear()
        pair.advance(15)
        first, second = self._sends(pair)
        [before] = formats.decode(numbers.SENML_CBOR, ROOT, first.payload, pair.model)
        [after] = formats.decode(numbers.SENML_CBOR, ROOT, second.payload, pair.model)
        self.assertEqual((before.time, after.time, before.value), (None, NOW + 1000, after.value))
        self.assertIn("→ Send senml-cbor 13 bytes → 5.03, again in 20 s", pair.lines)

    def test_unknown_instance(self) -> None:
        """After 4.04 the server is told the list of Objects anew."""
        pair = Pair(Settings("one", 3000, sendings=(Sending((_LEVEL,), every=1000.0),)))
        pair.start()
        pair.advance(990)
        pair.registrar.answers[numbers.POST] = Response(numbers.NOT_FOUND)
        pair.advance(9.9)
        self.assertEqual(len(pair.registrar.requests), 1)
        pair.advance(1)
        paths = [message.path for message in pair.registrar.requests[1:]]
        # The server of this test refuses the Update with the list too, so that a Register follows.
        self.assertEqual(paths, [("dp",), ("rd", "id1"), ("rd",)] + [("rd",)] * (len(paths) - 3))
        self.assertIn(b"</3/0>", pair.registrar.requests[2].payload)

    def test_send_data(self) -> None:
        """Send Data of the test Object sends what Resources to Send name, and nothing where they are no paths."""
        pair = Pair(Settings("one", 300, instances={Path((3442, 0)): {}}), 3442)
        pair.start()
        self.assertEqual(pair.ask(numbers.POST, "/3442/0/5").code, numbers.CHANGED)
        pair.settle()
        self.assertEqual(self._sends(pair), [])
        named = (Entry(Path((3442, 0, 6, 0)), "/3442/0/120"), Entry(Path((3442, 0, 6, 1)), "nonsense"))
        payload = formats.encode(numbers.TLV, Path((3442, 0, 6)), named, pair.model)
        written = pair.ask(numbers.PUT, "/3442/0/6", payload, content_format=numbers.TLV)
        self.assertEqual(written.code, numbers.CHANGED)
        pair.ask(numbers.POST, "/3442/0/5")
        pair.settle()
        [message] = self._sends(pair)
        [entry] = formats.decode(numbers.SENML_CBOR, ROOT, message.payload, pair.model)
        self.assertEqual(entry, Entry(Path((3442, 0, 120)), -1024))

    def test_restart(self) -> None:
        """A device that restarts forgets what waits, and goes on sending."""
        pair = Pair(Settings("one", 300, sendings=(Sending((_LEVEL,), 60.0, 10.0),)))
        pair.start()
        pair.advance(35)
        pair.ask(numbers.POST, "/3/0/4")
        pair.advance(61)
        [message] = self._sends(pair)
        nodes = formats.decode(numbers.SENML_CBOR, ROOT, message.payload, pair.model)
        self.assertEqual([entry.time for entry in nodes], [NOW + 35 + after for after in range(10, 70, 10)])
