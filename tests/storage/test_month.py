"""Tests of the size of the database: some days of `tests.storage.month`, which is ``make month``."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import Settings
from tests.storage.month import DAY, GROWTH, Month

DEVICES, DAYS, KEPT = 10, 9, 4
EVENTS = 2000
WAL = 8 << 20


class MonthTests(SynchronousTestCase):
    """Ten devices for nine days, with a day of history and a day and a half of events."""

    def test_flat(self) -> None:
        """The database does not grow any more once it has all that is kept, nor does its log."""
        place = Path(self.mktemp())
        place.mkdir()
        settings = Settings()
        history = attrs.evolve(settings.history, retention=float(DAY))
        month = Month(place, attrs.evolve(settings, history=history), DEVICES, EVENTS)
        found = list(month.days(DAYS))
        month.stop()
        sizes = [size for size, _ in found]
        self.assertGreater(month.node.delivery.counters["events_stored"], 4 * EVENTS)
        self.assertGreater(month.node.history.counters["removed"], EVENTS)
        self.assertLessEqual(max(sizes[KEPT:]), GROWTH * max(sizes[:KEPT]))
        self.assertLess(max(log for _, log in found), WAL)
