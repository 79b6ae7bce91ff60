"""A day of sleeping devices behind NAT: everything is delivered or expires as told, and every value arrives once."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.server.day import Day, spend


class DayTests(SynchronousTestCase):
    """A small fleet; `make day` is for a thousand devices."""

    def check(self, day: Day) -> None:
        """What holds of every day."""
        self.assertEqual(day.faults(), [])
        done, executed, possible = day.executes()
        self.assertTrue(done <= executed <= possible, (done, executed, possible))
        states = Counter(each.state for each in day.asked)
        self.assertGreater(min(states["done"], states["expired"], states["cancelled"]), 0, states)
        self.assertGreater(sum(sleeper.told for sleeper in day.fleet), 20 * len(day.fleet))
        self.assertGreater(min(sleeper.port for sleeper in day.fleet), 10)

    def test_quiet_network(self) -> None:
        """On a network that loses nothing but what comes too late, what a device has done is known to be done."""
        day = spend(40, seed=1, loss=0.0)
        self.check(day)
        done, executed, _ = day.executes()
        self.assertEqual(done, executed)

    def test_lossy_network(self) -> None:
        """Where datagrams are lost both ways every promise holds all the same."""
        day = spend(40, seed=2, loss=0.05)
        self.check(day)
        self.assertGreater(min(day.lost["up"], day.lost["down"]), 50)
