"""Tests of `lwm2md.lwm2m.moments`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.moments import seconds_of
from lwm2md.timestamps import rfc3339


class MomentTests(SynchronousTestCase):
    """Times as text."""

    def test_known(self) -> None:
        """Times before and after 1970, in leap years, with offsets, fractions and leap seconds."""
        for text, seconds in (
            ("1970-01-01T00:00:00Z", 0),
            ("2013-03-21T20:04:00Z", 1363896240),
            ("2000-02-29t12:00:00.5z", 951825600.5),
            ("2023-11-14 22:13:20.000Z", 1700000000),
            ("1969-12-31T23:59:59Z", -1),
            ("2026-01-01T01:30:00+01:30", 1767225600),
            ("2025-12-31T22:30:00-01:30", 1767225600),
            ("2016-12-31T23:59:60Z", 1483228800),
            ("0001-01-01T00:00:00Z", -62135596800),
        ):
            self.assertEqual(seconds, seconds_of(text), text)
            self.assertIs(type(seconds), type(seconds_of(text)))

    def test_refused(self) -> None:
        """What is no time, or in no calendar, is refused."""
        for text in (
            "",
            "2013-03-21",
            "2013-03-21T20:04:00",
            "2013-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-00-01T00:00:00Z",
            "2013-01-32T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T00:60:00Z",
            "2013-01-01T00:00:61Z",
            "2013-01-01T00:00:00+24:00",
            "٢٠١٣-01-01T00:00:00Z",
        ):
            with self.assertRaises(ValueError):
                seconds_of(text)

    @given(st.integers(-62135596800, 253402300799))
    def test_every_second(self, seconds: int) -> None:
        """Every second of every year of four digits reads back from its text."""
        self.assertEqual(seconds, seconds_of(rfc3339(seconds)))
