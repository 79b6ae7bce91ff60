"""The simulated world: reproducible, moving and within bounds."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device.functions import NEVER, Counter, Cycle, Walk
from lwm2md.device.script import Motion, Script, ScriptedWorld
from lwm2md.device.simulation import Simulation
from lwm2md.device.world import World, stream
from lwm2md.lwm2m.models import check_range
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType
from tests.device.harness import NOW, Bench

VALUE = Path((3303, 0, 5700))
BATTERY = Path((3, 0, 9))


class StreamTests(SynchronousTestCase):
    """Bytes made from a name."""

    def test_reproducible(self) -> None:
        """The same name gives the same bytes, another name others, and no two draws are the same."""
        one, same, other = stream("a"), stream("a"), stream("b")
        drawn = [one(8) for _ in range(50)]
        self.assertEqual(drawn, [same(8) for _ in range(50)])
        self.assertEqual(len(set(drawn)), 50)
        self.assertNotIn(other(8), drawn)


class ScriptedWorldTests(SynchronousTestCase):
    """Values that move as a file says."""

    def world(self, *motions: Motion, seed: str = "") -> ScriptedWorld:
        """A world of one device that starts now."""
        return ScriptedWorld(Script(motions=motions, seed=seed), "d", NOW)

    def test_moves_at_the_times_of_its_functions(self) -> None:
        """Each value moves when its function says so; in between there is nothing to do."""
        fast = Motion(BATTERY, Counter(every=10), ResourceType.INTEGER)
        slow = Motion(VALUE, Cycle((1.0, 2.0), 25), ResourceType.FLOAT)
        world = self.world(fast, slow)
        steps = []
        while world.next_step <= NOW + 50:
            now = world.next_step
            steps.append((now - NOW, dict(world.moved(now))))
        self.assertEqual(
            steps,
            [
                (0, {BATTERY: 0, VALUE: 1.0}),
                (10, {BATTERY: 1}),
                (20, {BATTERY: 2}),
                (25, {VALUE: 2.0}),
                (30, {BATTERY: 3}),
                (40, {BATTERY: 4}),
                (50, {BATTERY: 5, VALUE: 1.0}),
            ],
        )

    def test_times_that_are_no_binary_fractions(self) -> None:
        """A step of a tenth of a second comes once each, for hours."""
        world = self.world(Motion(BATTERY, Counter(every=0.1), ResourceType.INTEGER))
        for step in range(40_000):
            self.assertEqual(list(world.moved(world.next_step)), [(BATTERY, step)])

    def test_everything(self) -> None:
        """Everything that moves can be asked for, and stays where it is."""
        world = self.world(Motion(BATTERY, Counter(every=10), ResourceType.INTEGER))
        self.assertEqual(list(world.moved(NOW)), [(BATTERY, 0)])
        self.assertEqual(list(world.moved(NOW + 3)), [])
        self.assertEqual(list(world.moved(NOW + 3, everything=True)), [(BATTERY, 0)])
        self.assertEqual(world.next_step, NOW + 10)

    def test_nothing_moves(self) -> None:
        """A world in which nothing moves has nothing to do, ever."""
        self.assertEqual(self.world().next_step, NEVER)

    def test_values_fit(self) -> None:
        """Numbers are rounded and cut to what the Resource takes; other values are left alone."""
        for motion, value, expected in (
            (Motion(VALUE, Counter(), ResourceType.FLOAT), 1.23456, 1.23),
            (Motion(VALUE, Counter(), ResourceType.FLOAT, 0), 1.6, 2.0),
            (Motion(VALUE, Counter(), ResourceType.FLOAT, low=0, high=5), -1, 0.0),
            (Motion(VALUE, Counter(), ResourceType.INTEGER, low=0, high=100), 100.6, 100),
            (Motion(VALUE, Counter(), ResourceType.BOOLEAN), True, True),
            (Motion(VALUE, Counter(), ResourceType.STRING), "on", "on"),
        ):
            fitted = motion.fit(value)
            self.assertEqual((fitted, type(fitted)), (expected, type(expected)))

    def test_seed_and_name(self) -> None:
        """Chances depend on the seed and the name of the device."""
        walk = Motion(VALUE, Walk(start=0), ResourceType.FLOAT)
        script = Script(motions=(walk,))
        seen = [
            dict(ScriptedWorld(one, name, NOW).moved(NOW + 100))
            for one, name in ((script, "a"), (script, "a"), (script, "b"), (evolve(script, seed="x"), "a"))
        ]
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(len({repr(values) for values in seen}), 3)

    def test_extremes_follow(self) -> None:
        """A sensor value that moves takes the least and the greatest measured value and the time with it."""
        bench = Bench()
        script = Script(motions=(Motion(VALUE, Cycle((5.0, 30.0, 10.0), 10), ResourceType.FLOAT),))
        simulation = Simulation(bench.tree, ScriptedWorld(script, "d", NOW), NOW)
        for number, value in ((5601, 5.0), (5602, 5.0)):
            bench.tree.put(Path((3303, 0, number)), value)
        changed = simulation.step(NOW + 10)
        self.assertIn(Path((3303, 0, 5602)), changed)
        found = [bench.tree.value(Path((3303, 0, number))) for number in (5700, 5601, 5602, 5518)]
        self.assertEqual(found, [30.0, 5.0, 30.0, int(NOW) + 10])


class WorldTests(SynchronousTestCase):
    """Days of a device's life."""

    def test_same_name_same_world(self) -> None:
        """Two devices of one name see the same values, one of another name sees others."""
        seen = []
        for name in ("a", "a", "b"):
            world = World(stream(name), 10.0, NOW)
            for step in range(20):
                world.advance(NOW + 10 * step)
            seen.append((dict(world.moved(NOW)), world.temperature(0, NOW)))
        self.assertEqual(seen[0], seen[1])
        self.assertNotEqual(seen[0], seen[2])

    def test_values_stay_in_range(self) -> None:
        """Whatever moves stays within the range of its model, for days."""
        bench = Bench("1.2")
        simulation = Simulation(bench.tree, World(stream("x"), 60.0, NOW), NOW)
        for step in range(3 * 24 * 60):
            for path in simulation.step(NOW + 60 * step):
                model, value = bench.tree.model(path), bench.tree.value(path)
                assert model is not None and value is not None
                check_range(model, value)
                self.assertIsInstance(value, int | float)

    def test_extremes(self) -> None:
        """The least and greatest measured values enclose every value that was seen."""
        bench = Bench()
        seen = []
        for step in range(200):
            bench.simulation.step(NOW + 600 * step)
            value = bench.tree.value(Path((3303, 0, 5700)))
            assert isinstance(value, float)
            seen.append(value)
        lowest, highest = (bench.tree.value(Path((3303, 0, number))) for number in (5601, 5602))
        assert isinstance(lowest, float) and isinstance(highest, float)
        self.assertTrue(lowest <= min(seen) and highest >= max(seen))

    def test_steps_are_spread(self) -> None:
        """Devices of a fleet do not all move in the same instant."""
        starts = {World(stream(f"d{number}"), 10.0, NOW).next_step for number in range(20)}
        self.assertGreater(len(starts), 10)
        self.assertTrue(all(NOW < start <= NOW + 10 for start in starts))
