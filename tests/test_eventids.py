"""Tests of lwm2md.eventids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.eventids import text, texts


class TextsTests(SynchronousTestCase):
    """The ids of events that are given out together."""

    @given(st.one_of(st.integers(0, 5000), st.integers(0, 10**16 - 5000)), st.integers(0, 2500))
    def test_same(self, first: int, count: int) -> None:
        """They are those that are given out one after the other, and sort like their numbers."""
        found = texts(first, count)
        self.assertEqual(found, [text(number) for number in range(first, first + count)])
        self.assertEqual(found, sorted(found))
