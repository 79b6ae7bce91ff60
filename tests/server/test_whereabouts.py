"""Tests of lwm2md.server.whereabouts: finding the row of a registration by its id."""

from __future__ import annotations

from itertools import islice

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.server.whereabouts import _PART, GROUP, Whereabouts

COUNT = 2 * _PART + GROUP // 2
ROWS = [(f"d{number:06}", b'["id%d"]' % number) for number in range(COUNT)]


class WhereaboutsTests(SynchronousTestCase):
    """Registrations of three parts, placed a page after the other."""

    def setUp(self) -> None:
        """Place them, in pages that end within groups."""
        self.whereabouts = Whereabouts()
        rows = iter(ROWS)
        while page := list(islice(rows, 1000)):
            self.whereabouts.place(page)

    def known(self) -> list[int]:
        """Which of them are found."""
        return [number for number in range(COUNT) if self.whereabouts.find(f"id{number}") is not None]

    def test_find(self) -> None:
        """The row is one of the group behind the key that is found; what was not placed is not found."""
        for number in range(COUNT):
            key = self.whereabouts.find(f"id{number}")
            assert key is not None
            group = [row for row in ROWS[number - GROUP + 1 if number >= GROUP else 0 : number + 1] if row[0] > key]
            self.assertIn(ROWS[number], group[:GROUP])
        self.assertIsNone(self.whereabouts.find("id"))

    def test_unreadable(self) -> None:
        """A row that can't be read is in nobody's way."""
        self.whereabouts.place([("e1", b"["), ("e2", b'{"id":"former"}'), ("e3", b'["\xff"]')])
        key = self.whereabouts.find("former")
        assert key is not None
        self.assertLess(key, "e2")

    def test_passed(self) -> None:
        """A part is forgotten when all of it was read back, and not before."""
        for key, first in (
            (ROWS[_PART - 2][0], 0),
            (ROWS[_PART - 1][0], _PART),
            (ROWS[-1][0], 2 * _PART),
        ):
            self.whereabouts.passed(key)
            self.assertEqual(self.known(), list(range(first, COUNT)))
        self.whereabouts.clear()
        self.assertEqual(self.known(), [])

    def test_drop(self) -> None:
        """One that was read back before its turn is forgotten alone."""
        self.whereabouts.drop("id7")
        self.whereabouts.drop("nothing")
        self.assertEqual(self.known(), [number for number in range(COUNT) if number != 7])
