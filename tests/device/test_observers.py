"""The observation table: which notification is due when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import DELETE, GET, PUT
from lwm2md.device.observers import DAY, MAX_OBSERVATIONS, Observation
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.paths import Path
from tests.device.harness import NOW, Bench

_VALUE = Path((3303, 0, 5700))


class _Watched(Bench):
    """A bench with a sensor that shows what a test says, and what was sent."""

    def __init__(self, *query: str, path: str = "/3303/0/5700") -> None:
        super().__init__("1.2")
        self.tree.put(_VALUE, 20.0)
        self.sent: list[tuple[float, bool, float | None]] = []
        if query:
            assert self.code(PUT, path, query=query) == "2.04"
        observation = self.observers.observe(b"t", (Path.parse(path),), None, None, NOW)
        assert observation is not None
        self.observation = observation

    def show(self, value: float, after: float) -> None:
        """The sensor shows `value` some seconds after the start."""
        if self.tree.put(_VALUE, value):
            self.observers.touch(_VALUE, NOW + after)
        self.expire(after)

    def expire(self, after: float) -> None:
        """Send what is due."""
        self.observers.expire(NOW + after, self._send)

    def _send(self, observation: Observation, confirmable: bool, now: float) -> bool:
        value = self.tree.value(_VALUE)
        assert value is None or isinstance(value, float)
        self.sent.append((now - NOW, confirmable, value))
        return self.tree.exists(observation.paths[0])

    def due(self) -> float:
        """Seconds from the start to the next deadline."""
        deadline = self.observers.next_deadline()
        assert deadline is not None
        return deadline - NOW


class TimingTests(SynchronousTestCase):
    """pmin, pmax and the conditions in time."""

    def test_plain_change(self) -> None:
        """Without attributes every change is sent at once, and nothing else."""
        bench = _Watched()
        bench.show(20.0, 1)
        bench.show(21.0, 2)
        bench.show(21.0, 3)
        self.assertEqual(bench.sent, [(2, False, 21.0)])

    def test_pmin_keeps_and_sends_the_latest(self) -> None:
        """Changes within pmin are sent at its end, with the value of that time."""
        bench = _Watched("pmin=10")
        bench.show(21.0, 1)
        bench.show(22.0, 2)
        self.assertEqual((bench.sent, bench.due()), ([], 10))
        bench.expire(9.9)
        bench.expire(10)
        self.assertEqual(bench.sent, [(10, False, 22.0)])
        bench.show(23.0, 11)
        self.assertEqual(bench.due(), 20)

    def test_pmax_sends_without_a_change(self) -> None:
        """pmax sends what did not change, counted from the last notification."""
        bench = _Watched("pmax=60")
        bench.show(21.0, 30)
        self.assertEqual(bench.due(), 90)
        bench.expire(90)
        self.assertEqual(bench.sent, [(30, False, 21.0), (90, False, 21.0)])
        self.assertEqual(bench.due(), 150)

    def test_senseless_pmax_is_ignored(self) -> None:
        """A pmax of 0 or below pmin does not count."""
        for query in (("pmax=0",), ("pmin=10", "pmax=5")):
            self.assertEqual(_Watched(*query).due(), DAY)

    def test_condition_holds_changes_back(self) -> None:
        """With a condition a change alone is not sent, but pmax is."""
        bench = _Watched("gt=25", "pmax=60")
        bench.show(24.0, 1)
        self.assertEqual(bench.sent, [])
        bench.show(26.0, 2)
        bench.show(27.0, 3)
        self.assertEqual(bench.sent, [(2, False, 26.0)])
        bench.expire(62)
        self.assertEqual(bench.sent[1:], [(62, False, 27.0)])

    def test_baseline_is_what_was_reported(self) -> None:
        """Small steps add up, because they compare with the last reported value."""
        bench = _Watched("st=1")
        for after, value in enumerate((20.5, 20.9, 21.0, 21.9, 22.0), 1):
            bench.show(value, after)
        self.assertEqual(bench.sent, [(3, False, 21.0), (5, False, 22.0)])

    def test_baseline_moves_by_pmax(self) -> None:
        """What pmax reported is the new baseline."""
        bench = _Watched("st=1", "pmax=10")
        bench.show(20.8, 1)
        bench.expire(10)
        bench.show(21.2, 11)
        self.assertEqual(bench.sent, [(10, False, 20.8)])

    def test_trigger_survives_going_back(self) -> None:
        """A condition that was met within pmin is reported, whatever came after."""
        bench = _Watched("gt=25", "pmin=10")
        bench.show(26.0, 1)
        bench.show(24.0, 2)
        bench.expire(10)
        self.assertEqual(bench.sent, [(10, False, 24.0)])

    def test_epmin(self) -> None:
        """The conditions are looked at no more often than epmin says."""
        bench = _Watched("gt=25", "epmin=10")
        bench.show(24.0, 11)
        bench.show(26.0, 12)
        self.assertEqual((bench.sent, bench.due()), ([], 21))
        bench.expire(21)
        self.assertEqual(bench.sent, [(21, False, 26.0)])

    def test_server_defaults(self) -> None:
        """Where nothing is attached the periods of the Server Object hold."""
        bench = _Watched()
        bench.tree.put(Path((1, 0, 2)), 5)
        bench.tree.put(Path((1, 0, 3)), 50)
        bench.show(21.0, 1)
        self.assertEqual(bench.due(), 5)
        bench.expire(5)
        self.assertEqual(bench.due(), 55)

    def test_epmax_asks_for_nothing_more(self) -> None:
        """A change is looked at when it happens, so that epmax is kept without doing anything."""
        bench = _Watched("epmax=20")
        self.assertEqual(bench.due(), DAY)
        bench.show(21.0, 5)
        self.assertEqual(bench.sent, [(5, False, 21.0)])

    def test_conditions_and_periods_together(self) -> None:
        """Crossing or step, whichever comes first, is held by pmin; pmax comes without either."""
        bench = _Watched("gt=25", "lt=15", "st=4", "pmin=10", "pmax=60")
        for after, value in ((11, 23.9), (12, 24.0), (13, 25.5), (21, 14.9), (24, 12.0), (25, 14.0)):
            bench.show(value, after)
        bench.expire(83)
        bench.expire(84)
        self.assertEqual(bench.sent, [(12, False, 24.0), (24, False, 12.0), (84, False, 14.0)])

    def test_contradictions_written_one_by_one(self) -> None:
        """Conditions that contradict each other don't hold, nor an epmin that is not below epmax."""
        bench = _Watched("gt=25")
        self.assertEqual(bench.code(PUT, "/3303/0/5700", query=("lt=30",)), "2.04")
        self.assertEqual(bench.code(PUT, "/3303/0", query=("epmax=10",)), "2.04")
        self.assertEqual(bench.code(PUT, "/3303/0/5700", query=("epmin=10",)), "2.04")
        bench.show(21.0, 1)
        bench.show(22.0, 2)
        self.assertEqual([at for at, _, _ in bench.sent], [1, 2])

    def test_inheritance(self) -> None:
        """A value comes from the nearest level above, never from below."""
        bench = _Watched()
        bench.ask(PUT, "/3303", query=("pmin=1", "pmax=100"))
        bench.ask(PUT, "/3303/0", query=("pmax=50",))
        bench.ask(PUT, "/3303/0/5601", query=("pmax=10",))
        self.assertEqual(bench.due(), 50)
        self.assertEqual(bench.observers.attributes(bench.observation, bench.observation.watches[0]).pmin, 1)

    def test_parameters_replace(self) -> None:
        """The parameters of an observation replace everything attached."""
        bench = _Watched("pmin=10", "pmax=60")
        parameters = NotificationAttributes(pmax=20)
        bench.observers.observe(b"t", (_VALUE,), None, parameters, NOW)
        bench.show(21.0, 1)
        self.assertEqual(bench.sent, [(1, False, 21.0)])
        self.assertEqual(bench.due(), 21)


class LevelTests(SynchronousTestCase):
    """Observations of other levels."""

    def test_instance_and_object(self) -> None:
        """A change of a Resource is a change of its Instance and Object."""
        for path in ("/3303", "/3303/0"):
            bench = _Watched(path=path)
            bench.show(21.0, 1)
            self.assertEqual(len(bench.sent), 1)

    def test_elsewhere(self) -> None:
        """A change elsewhere is none."""
        bench = _Watched(path="/3/0")
        bench.show(21.0, 1)
        self.assertEqual(bench.sent, [])

    def test_multiple_resource(self) -> None:
        """The step is looked at for each Resource Instance."""
        bench = _Watched("st=100", path="/3/0/7")
        for after, value in ((1, 5050), (2, 5100)):
            bench.tree.put(Path((3, 0, 7, 0)), value)
            bench.observers.touch(Path((3, 0, 7, 0)), NOW + after)
            bench.expire(after)
        self.assertEqual([at for at, _, _ in bench.sent], [2])

    def test_deleted_instance(self) -> None:
        """The end of the path is told at once, and ends the observation."""
        bench = _Watched("pmin=100")
        self.assertEqual(bench.code(DELETE, "/3303/0"), "2.02")
        bench.observers.removed(Path((3303, 0)))
        bench.expire(1)
        self.assertEqual(bench.sent, [(1, False, None)])
        self.assertEqual(len(bench.observers), 0)


class DeliveryTests(SynchronousTestCase):
    """Confirmable notifications, sequence numbers and ends."""

    def test_confirmable_every_day(self) -> None:
        """One notification at least every 24 hours is Confirmable."""
        bench = _Watched()
        bench.show(21.0, DAY - 1)
        self.assertEqual(bench.due(), DAY)
        bench.expire(DAY)
        bench.observers.delivered(bench.observation, bench.observation.sequence)
        bench.show(22.0, DAY + 5)
        self.assertEqual([confirmable for _, confirmable, _ in bench.sent], [False, True, False])

    def test_con_attribute(self) -> None:
        """With con=1 every notification is Confirmable, and a newer one takes the place of that under way."""
        bench = _Watched("con=1")
        bench.show(21.0, 1)
        bench.show(22.0, 2)
        self.assertEqual(bench.sent, [(1, True, 21.0), (2, True, 22.0)])
        bench.observers.delivered(bench.observation, 1)
        self.assertTrue(bench.observation.under_way)
        bench.observers.delivered(bench.observation, 2)
        self.assertFalse(bench.observation.under_way)

    def test_replacement_is_confirmable(self) -> None:
        """What takes the place of a Confirmable notification is one itself, whatever con says."""
        bench = _Watched()
        bench.show(21.0, DAY)
        bench.show(22.0, DAY + 1)
        self.assertEqual([confirmable for _, confirmable, _ in bench.sent], [True, True])

    def test_confirmable_by_the_server_object(self) -> None:
        """Where no con is attached /1/x/26 decides; con=0 stands over it."""
        bench = _Watched()
        bench.tree.put(Path((1, 0, 26)), 1)
        bench.show(21.0, 1)
        bench.observers.delivered(bench.observation, bench.observation.sequence)
        bench.ask(PUT, "/3303", query=("con=0",))
        bench.show(22.0, 2)
        self.assertEqual([confirmable for _, confirmable, _ in bench.sent], [True, False])

    def test_edge(self) -> None:
        """A Boolean with an edge is told on that edge only."""
        for edge, expected in (("edge=1", [1.0, 3.0]), ("edge=0", [2.0]), ("edge", [1.0, 2.0, 3.0])):
            bench = Bench("1.2")
            switch = Path((1, 0, 6))
            bench.tree.put(switch, False)
            self.assertEqual(bench.code(PUT, "/1/0/6", query=(edge,)), "2.04")
            bench.ask(GET, "/1/0/6", observe=0)
            sent: list[float] = []

            def send(observation: Observation, confirmable: bool, now: float, sent: list[float] = sent) -> bool:
                sent.append(now - NOW)
                return True

            for after in (1, 2, 3):
                bench.tree.put(switch, after % 2 == 1)
                bench.observers.touch(switch, NOW + after)
                bench.observers.expire(NOW + after, send)
            self.assertEqual(sent, expected, edge)

    def test_sequence_rises(self) -> None:
        """Sequence numbers rise, also over a renewal of the observation, and wrap at 24 bits."""
        bench = _Watched()
        bench.show(21.0, 1)
        self.assertEqual(bench.observation.sequence, 1)
        renewed = bench.observers.observe(b"t", (_VALUE,), None, None, NOW)
        assert renewed is not None
        self.assertEqual(renewed.sequence, 2)
        renewed.sequence = 0xFFFFFF
        bench.show(22.0, 2)
        self.assertEqual(renewed.sequence, 0)

    def test_bounded(self) -> None:
        """There is no room for more than so many observations; known ones are renewed all the same."""
        bench = _Watched()
        made = [bench.observers.observe(bytes((n, 0)), (_VALUE,), None, None, NOW) for n in range(MAX_OBSERVATIONS)]
        self.assertEqual([one is None for one in made], [False] * (MAX_OBSERVATIONS - 1) + [True])
        self.assertIsNotNone(bench.observers.observe(b"t", (_VALUE,), None, None, NOW))
        self.assertEqual(len(list(bench.observers)), MAX_OBSERVATIONS)

    def test_ends(self) -> None:
        """Cancelling, losing and clearing end an observation; losing an older one of that token does not."""
        bench = _Watched()
        old = bench.observation
        bench.observers.observe(b"t", (_VALUE,), None, None, NOW)
        self.assertFalse(bench.observers.lost(old))
        self.assertIsNotNone(bench.observers.cancel(b"t"))
        self.assertIsNone(bench.observers.cancel(b"t"))
        self.assertIsNone(bench.observers.next_deadline())
