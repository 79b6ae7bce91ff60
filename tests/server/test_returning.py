"""Tests of the return of a fleet: see `tests.server.returning`; a hundred thousand are ``make return``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.server.returning import PACE, come_back

DEVICES = 10_000
IDEAL = DEVICES / 2 / PACE
"""Seconds that it takes to write all Registers, one after the other, without a pause."""


class ReturningTests(SynchronousTestCase):
    """Ten thousand devices come back within a second, and the storage writes two thousand Registers a second."""

    def test_order(self) -> None:
        """All are served in three times what the storage takes at least, who is known before the last unknown one."""
        found = come_back(DEVICES)
        self.assertEqual((found.left, found.errors), (0, []))
        self.assertLess(found.last("registered", "known", "unknown"), 3 * IDEAL)
        self.assertLess(found.last("registered", "known"), found.last("unknown"))

    def test_bounded(self) -> None:
        """No more Registers wait for the storage than may, and nobody is sent away again and again."""
        found = come_back(DEVICES)
        self.assertLessEqual(found.most, 1000)
        self.assertLessEqual(max(each.refused for each in found.fleet), 4)
        self.assertEqual(found.server.counters["registrations_deferred"], sum(each.refused for each in found.fleet))

    def test_lossy(self) -> None:
        """Where a tenth of all datagrams is lost each way, all are back within three minutes."""
        found = come_back(DEVICES // 4, loss=0.1)
        self.assertEqual((found.left, found.errors), (0, []))
        self.assertLess(found.last("registered", "known", "unknown"), 180)
