"""What is stored while nobody listens: moments of paths, bounded, and by whom it is told later."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import PUT
from lwm2md.device.observers import MAX_OBSERVATIONS, Observation
from lwm2md.device.storing import History
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.nodes import Entry
from lwm2md.lwm2m.paths import ROOT, Path
from tests.device.harness import NOW, Bench

_VALUE = Path((3303, 0, 5700))
_UNITS = Path((3303, 0, 5701))
_LEVEL = Path((3, 0, 9))


class HistoryTests(SynchronousTestCase):
    """The store of one observation."""

    def test_oldest_gives_way(self) -> None:
        """Each path has room of its own; the oldest moment of a path gives way to the newest."""
        history = History()
        self.assertFalse(history)
        for moment in range(5):
            history.keep(_VALUE, (Entry(_VALUE, moment),), moment, 3)
        history.keep(_LEVEL, (Entry(_LEVEL, 95),), 1, 3)
        self.assertEqual(
            [(str(entry.path), entry.time, entry.value) for entry in history.nodes()],
            [("/3/0/9", 1, 95), *(("/3303/0/5700", moment, moment) for moment in (2, 3, 4))],
        )

    def test_one_moment_once(self) -> None:
        """A second look in the same moment replaces the first, and a path within another is told once."""
        history = History()
        history.keep(_VALUE, (Entry(_VALUE, 1),), 7, 3)
        history.keep(_VALUE, (Entry(_VALUE, 2),), 7, 3)
        history.keep(_VALUE.parent, (Entry(_VALUE, 2), Entry(_UNITS, "Cel"), Entry(_LEVEL, None)), 7, 3)
        self.assertEqual(history.nodes(), (Entry(_VALUE, 2, 7), Entry(_UNITS, "Cel", 7)))

    def test_forget(self) -> None:
        """What was told is forgotten, what came later is not."""
        history = History()
        for moment in range(5):
            history.keep(_VALUE, (Entry(_VALUE, moment),), moment, 9)
        history.forget(3)
        self.assertEqual([entry.time for entry in history.nodes()], [4])
        history.forget(4)
        self.assertFalse(history)


class _Away(Bench):
    """A bench whose observers cannot be told anything for a while."""

    def __init__(self) -> None:
        super().__init__("1.2")
        self.tree.put(_VALUE, 20.0)
        self.told: list[list[tuple[float, object]]] = []

    def watch(self, *paths: Path, token: bytes = b"t", override: NotificationAttributes | None = None) -> Observation:
        """Observe paths."""
        made = self.observers.observe(token, paths, None, override, NOW, composite=len(paths) > 1)
        assert made is not None
        return made

    def show(self, value: float, after: float, room: int = 10) -> None:
        """The value changes while nobody listens."""
        self.tree.put(_VALUE, value)
        self.observers.touch(_VALUE, NOW + after)
        self.observers.store(NOW + after, room)

    def listen(self, after: float, *, room: int = 10) -> list[tuple[float, object]]:
        """Somebody listens again: the seconds and values that were stored, of all observations."""
        found: list[tuple[float, object]] = []

        def send(observation: Observation, confirmable: bool, now: float) -> bool:
            nodes = observation.history.nodes() if observation.history else ()
            found.extend(((entry.time or 0.0) - NOW, entry.value) for entry in nodes)
            return True

        self.observers.expire(NOW + after, send)
        return found


class ObserverTests(SynchronousTestCase):
    """Observations while nobody listens."""

    def test_stored_and_told_once(self) -> None:
        """Each change is stored with its time; all of them are told at once, and only once."""
        bench = _Away()
        bench.watch(_VALUE)
        for after in (10, 20):
            bench.show(20.0 + after, after)
        self.assertIsNone(bench.observers.next_change())
        self.assertLess(bench.observers.next_deadline() or 0.0, NOW)
        self.assertEqual(bench.listen(30), [(10, 30.0), (20, 40.0)])
        self.assertEqual(bench.listen(31), [])

    def test_attributes_hold(self) -> None:
        """Only what would have been notified is stored: conditions and periods hold."""
        bench = _Away()
        bench.code(PUT, "/3303/0/5700", query=("gt=25", "pmin=5", "pmax=60"))
        bench.watch(_VALUE)
        bench.show(24.0, 10)
        bench.show(26.0, 12)
        bench.show(27.0, 13)
        self.assertEqual(bench.observers.next_change(), NOW + 72)
        bench.observers.store(NOW + 72, 10)
        self.assertEqual(bench.listen(80), [(12, 26.0), (72, 27.0)])

    def test_hqmax(self) -> None:
        """hqmax says how many moments there may be; 0 is none."""
        for number, expected in ((2, [3, 4]), (0, []), (100, [0, 1, 2, 3, 4])):
            bench = _Away()
            bench.code(PUT, "/3303/0/5700", query=(f"hqmax={number}",))
            bench.watch(_VALUE)
            for after in range(5):
                bench.show(21.0 + after, after)
            self.assertEqual([after for after, _ in bench.listen(30)], expected, number)

    def test_hqmax_chooses(self) -> None:
        """Where hqmax is attached anywhere, or a parameter of the observation, what has none is not stored."""
        bench = _Away()
        bench.code(PUT, "/3/0/9", query=("hqmax=5",))
        bench.watch(_VALUE)
        bench.watch(_VALUE, token=b"u", override=NotificationAttributes(hqmax=1))
        bench.show(21.0, 1)
        bench.show(22.0, 2)
        self.assertEqual(bench.listen(30), [(2, 22.0)])

    def test_settings_bound_hqmax(self) -> None:
        """There is never more room than the settings give, and none where storing is off."""
        for room, expected in ((2, 2), (0, 0)):
            bench = _Away()
            bench.code(PUT, "/3303/0/5700", query=("hqmax=50",))
            bench.watch(_VALUE)
            for after in range(5):
                bench.show(21.0 + after, after, room)
            self.assertEqual(len(bench.listen(30)), expected)

    def test_composite(self) -> None:
        """Of several paths each moment has all of them, those with hqmax 0 left out."""
        bench = _Away()
        bench.watch(_VALUE, _UNITS)
        bench.show(21.0, 1)
        self.assertEqual(bench.listen(30), [(1, 21.0), (1, "Cel")])
        bench = _Away()
        bench.code(PUT, "/3303/0/5700", query=("hqmax=5",))
        bench.watch(_VALUE, _UNITS)
        bench.show(21.0, 1)
        self.assertEqual(bench.listen(30), [(1, 21.0)])

    def test_everything(self) -> None:
        """An observation of everything stores everything."""
        bench = _Away()
        bench.watch(ROOT, _UNITS)
        bench.show(21.0, 1)
        self.assertGreater(len(bench.listen(30)), 30)

    def test_gone_meanwhile(self) -> None:
        """An Instance that goes while nobody listens is told when somebody does, and asks for nothing until then."""
        bench = _Away()
        bench.watch(_VALUE)
        bench.tree.remove(_VALUE.parent)
        bench.observers.removed(_VALUE.parent)
        bench.observers.store(NOW + 1, 10)
        self.assertIsNone(bench.observers.next_change())
        self.assertLess(bench.observers.next_deadline() or 0.0, NOW)

    def test_gone_and_back(self) -> None:
        """An Instance that was deleted and made again meanwhile is told like any other, once."""
        bench = _Away()
        bench.watch(_VALUE)
        bench.show(21.0, 1)
        kept = bench.tree.copy(_VALUE.parent)
        bench.tree.remove(_VALUE.parent)
        bench.observers.removed(_VALUE.parent)
        bench.observers.store(NOW + 2, 10)
        bench.tree.commit(_VALUE.parent, kept)
        bench.show(22.0, 3)
        self.assertEqual(bench.listen(30), [(1, 21.0), (3, 22.0)])
        self.assertEqual(bench.listen(31), [])
        self.assertGreater(bench.observers.next_deadline() or 0.0, NOW + 31)

    def test_gone_with_a_history(self) -> None:
        """Of an Instance that went what it had stored is told first, then that it is gone."""
        bench = _Away()
        bench.watch(_VALUE)
        bench.show(21.0, 1)
        bench.tree.remove(_VALUE.parent)
        bench.observers.removed(_VALUE.parent)
        bench.observers.store(NOW + 2, 10)
        self.assertEqual(bench.listen(30), [(1, 21.0)])
        sent: list[Observation] = []

        def gone(observation: Observation, confirmable: bool, now: float) -> bool:
            sent.append(observation)
            return False

        bench.observers.expire(NOW + 31, gone)
        self.assertEqual((len(sent), len(bench.observers)), (1, 0))

    def test_left_to_the_next(self) -> None:
        """After a Register the next observation of the same paths tells what the last one had stored."""
        bench = _Away()
        bench.watch(_VALUE)
        bench.show(21.0, 1)
        bench.observers.retire()
        self.assertEqual(len(bench.observers), 0)
        bench.watch(_LEVEL, token=b"u")
        self.assertEqual(bench.listen(20), [])
        bench.watch(_VALUE, token=b"v")
        self.assertEqual(bench.listen(30), [(1, 21.0)])
        bench.observers.retire()
        bench.watch(_VALUE, token=b"w")
        self.assertEqual(bench.listen(40), [])

    def test_left_is_bounded(self) -> None:
        """What waits for its observers is bounded, and a restart forgets it."""
        bench = _Away()
        for number in range(3 * MAX_OBSERVATIONS):
            bench.watch(_VALUE, Path((3303, 0, number)), token=b"t%d" % number)
            bench.show(21.0 + number, 1 + number)
            bench.observers.retire()
        self.assertEqual(len(bench.observers._left or ()), MAX_OBSERVATIONS)
        bench.observers.clear()
        bench.watch(_VALUE, Path((3303, 0, 3 * MAX_OBSERVATIONS - 1)))
        self.assertEqual(bench.listen(1000), [])
