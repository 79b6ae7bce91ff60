"""The simulated world: reproducible, moving and within bounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device.simulation import Simulation
from lwm2md.device.world import World, stream
from lwm2md.lwm2m.models import check_range
from lwm2md.lwm2m.paths import Path
from tests.device.harness import NOW, Bench


class StreamTests(SynchronousTestCase):
    """Bytes made from a name."""

    def test_reproducible(self) -> None:
        """The same name gives the same bytes, another name others, and no two draws are the same."""
        one, same, other = stream("a"), stream("a"), stream("b")
        drawn = [one(8) for _ in range(50)]
        self.assertEqual(drawn, [same(8) for _ in range(50)])
        self.assertEqual(len(set(drawn)), 50)
        self.assertNotIn(other(8), drawn)


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
