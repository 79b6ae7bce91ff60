"""Tests of lwm2md.clock."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.clock import NO_JUMPS, SLEW, SteadyClock

_START = 1_700_000_000.0


class SteadyClockTests(SynchronousTestCase):
    """The clock of the daemon over a wall clock that somebody sets."""

    def setUp(self) -> None:
        self.steady = 100.0
        self.set = 0.0
        self.jumps: list[float] = []
        self.clock = SteadyClock(
            lambda: _START - 100.0 + self.steady + self.set, lambda: self.steady, self.jumps.append
        )

    def test_same(self) -> None:
        """While nobody sets the wall clock, both show the same."""
        for _ in range(100):
            self.steady += 0.7
            self.assertAlmostEqual(self.clock.seconds(), _START - 100.0 + self.steady, places=3)
        self.assertEqual(self.jumps, [])

    def test_jumps(self) -> None:
        """After a jump, forward or backward, time goes on nearly as before, is told of once, and comes right."""
        for jump in (3600.0, -3600.0, 86_400.0 * 365):
            self.jumps.clear()
            before = self.clock.seconds()
            self.set += jump
            self.steady += 10
            after = self.clock.seconds()
            self.assertLessEqual(abs(after - before - 10), 10 * SLEW + 1e-3)
            self.assertEqual([round(each) for each in self.jumps], [round(jump)])
            self.steady += abs(jump) / SLEW
            self.assertAlmostEqual(self.clock.seconds(), _START - 100.0 + self.steady + self.set, places=2)
            self.assertEqual(len(self.jumps), 1)

    def test_counted(self) -> None:
        """Jumps are counted by their direction."""
        self.assertEqual(self.clock.jumps, NO_JUMPS)
        for jump in (5.0, -5.0, 7200.0):
            self.set += jump
            self.steady += 2
            self.clock.seconds()
        self.assertEqual(self.clock.jumps, {"forward": 2, "backward": 1})

    def test_never_backwards(self) -> None:
        """Time never goes back, even while it follows a clock that was set back."""
        self.set = -1000.0
        last = self.clock.seconds()
        for _ in range(1000):
            self.steady += 0.3
            self.assertGreater(self.clock.seconds(), last)
            last = self.clock.seconds()

    def test_drift(self) -> None:
        """A small difference is followed, and nobody is told."""
        self.set = 0.4
        self.steady += 30
        self.assertAlmostEqual(self.clock.seconds(), _START - 100.0 + self.steady + 0.4, places=3)
        self.assertEqual(self.jumps, [])
