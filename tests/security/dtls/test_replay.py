"""The replay window, compared with a set that forgets nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.replay import ALL, WINDOW, fresh, mark

NONE = -1
"""The top before the first record."""


class ReplayTests(SynchronousTestCase):
    """What is accepted, once."""

    def test_the_first_record_may_have_any_number(self) -> None:
        """Before the first one everything is fresh."""
        for number in (0, 1, 63, 64, (1 << 48) - 1):
            self.assertTrue(fresh(NONE, 0, number))
            top, bits = mark(NONE, 0, number)
            self.assertEqual(top, number)
            self.assertFalse(fresh(top, bits, number))

    def test_64_numbers_are_remembered(self) -> None:
        """The oldest number in the window is accepted once, the one before it never."""
        top, bits = mark(NONE, 0, 100)
        self.assertTrue(fresh(top, bits, 100 - WINDOW + 1))
        self.assertFalse(fresh(top, bits, 100 - WINDOW))
        top, bits = mark(top, bits, 100 - WINDOW + 1)
        self.assertFalse(fresh(top, bits, 100 - WINDOW + 1))

    def test_a_closed_window(self) -> None:
        """With all bits set only what is above the top is accepted."""
        self.assertFalse(any(fresh(100, ALL, number) for number in range(101)))
        self.assertTrue(fresh(100, ALL, 101))

    @given(st.lists(st.integers(0, 200), max_size=100))
    def test_against_a_set(self, numbers: list[int]) -> None:
        """Of any row of numbers those are fresh that are new and not 64 behind the highest."""
        top, bits = NONE, 0
        seen: set[int] = set()
        for number in numbers:
            expected = number not in seen and number > top - WINDOW
            self.assertEqual(fresh(top, bits, number), expected)
            if expected:
                top, bits = mark(top, bits, number)
                seen.add(number)
            self.assertEqual(top, max(seen))
            self.assertLessEqual(bits, ALL)
