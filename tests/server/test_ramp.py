"""Tests of lwm2md.server.ramp: who may register now, and when the others come back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.server.ramp import Ramp

LIMIT = 10


class RampTests(SynchronousTestCase):
    """A ramp of ten places whose spread is as large as it can be, or nothing."""

    def setUp(self) -> None:
        """Nobody waits."""
        self.byte = 0
        self.ramp = Ramp(lambda: LIMIT, lambda size: bytes((self.byte,)) * size)

    def fill(self, places: int = LIMIT, now: float = 0.0) -> None:
        """Let Registers wait for the storage."""
        for _ in range(places):
            self.ramp.begin(now)

    def test_room(self) -> None:
        """Where there is room everybody is taken."""
        self.fill(LIMIT // 2 - 1)
        self.assertEqual([self.ramp.refuse(0.0, known=known) for known in (True, False)], [None, None])

    def test_places_for_known(self) -> None:
        """The second half of the places is for devices that are known."""
        self.fill(LIMIT // 2)
        self.assertIsNone(self.ramp.refuse(0.0, known=True))
        self.assertEqual(self.ramp.refuse(0.0, known=False), 1)

    def test_one_after_the_other(self) -> None:
        """Who is sent away is given times at the pace of the storage, one after the other."""
        self.fill()
        times = [self.ramp.refuse(0.0, known=True) for _ in range(8000)]
        self.assertTrue(all(abs(times.count(second) - 800) <= 1 for second in range(1, 11)))

    def test_known_first(self) -> None:
        """Devices that are not known are given times behind all that were given to known ones."""
        self.fill()
        known = [self.ramp.refuse(0.0, known=True) for _ in range(4000)]
        unknown = [self.ramp.refuse(0.0, known=False) for _ in range(4000)]
        self.assertGreaterEqual(min(each or 0 for each in unknown), max(each or 0 for each in known))

    def test_spread(self) -> None:
        """A time is put off by up to a quarter."""
        self.fill()
        self.byte = 255
        times = [self.ramp.refuse(0.0, known=True) for _ in range(8000)]
        self.assertEqual(max(each or 0 for each in times), 13)

    def test_pace(self) -> None:
        """What the storage does while there is a crowd says how fast devices may come back."""
        now = 0.0
        for _ in range(100):
            self.fill(now=now)
            self.ramp.refuse(now, known=True)
            for _ in range(LIMIT):
                now += 0.2
                self.ramp.end(now)
        self.fill(now=now)
        self.assertEqual(self.ramp.refuse(now, known=False), 1)
        waits = [self.ramp.refuse(now, known=False) or 0 for _ in range(39)]
        self.assertTrue(9 <= waits[-1] <= 12, waits)

    def test_longest(self) -> None:
        """Nobody is sent away for longer than ten minutes and a spread, however many come."""
        self.fill()
        self.byte = 255
        self.assertLessEqual(max(self.ramp.refuse(0.0, known=False) or 0 for _ in range(600_000)), 750)
