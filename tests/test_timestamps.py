"""Tests of lwm2md.timestamps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.timestamps import parse, rfc3339


class WriteTests(SynchronousTestCase):
    """Times are written in UTC with no digit more than needed."""

    def test_table(self) -> None:
        """Milliseconds are rounded and trailing zeros left out."""
        table = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-0.25, "1969-12-31T23:59:59.75Z"),
            (1790000000.5, "2026-09-21T14:13:20.5Z"),
            (1790000000.0504, "2026-09-21T14:13:20.05Z"),
            (1790000000.9996, "2026-09-21T14:13:21Z"),
            (951782400, "2000-02-29T00:00:00Z"),
            (-62135596800, "0001-01-01T00:00:00Z"),
            (253402300799, "9999-12-31T23:59:59Z"),
        ]
        for seconds, text in table:
            self.assertEqual(rfc3339(seconds), text)

    def test_refused(self) -> None:
        """What no calendar date holds is refused."""
        for seconds in (float("nan"), float("inf"), float("-inf"), 253402300800, -62135596801, 2**63, 1e300):
            self.assertRaises(ValueError, rfc3339, seconds)


class ReadTests(SynchronousTestCase):
    """Times with any offset are read."""

    def test_table(self) -> None:
        """Offsets, small letters, fractions and leap seconds are understood."""
        table = [
            ("1970-01-01T00:00:00Z", 0.0),
            ("1970-01-01t00:00:00.5z", 0.5),
            ("1970-01-01 01:00:00+01:00", 0.0),
            ("1969-12-31T19:00:00-05:00", 0.0),
            ("2016-12-31T23:59:60Z", 1483228800.0),
            ("2026-09-21T14:13:20.123456789Z", 1790000000.123456789),
        ]
        for text, seconds in table:
            self.assertEqual(parse(text), seconds, text)

    def test_refused(self) -> None:
        """Everything else is refused with its text, cut short."""
        wrong = ["", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-02-30T00:00:00Z"]
        wrong += ["1970-01-01T24:00:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00.Z"]
        wrong += ["1970-01-01T00:00:00Z\n", "١٩٧٠-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "x" * 10_000]
        for text in wrong:
            error = self.assertRaises(ValueError, parse, text)
            self.assertLess(len(str(error)), 150)

    @given(st.integers(-62135596800_000, 253402300799_000))
    def test_there_and_back(self, milliseconds: int) -> None:
        """Every millisecond of the calendar survives writing and reading."""
        self.assertEqual(round(parse(rfc3339(milliseconds / 1000)) * 1000), milliseconds)
