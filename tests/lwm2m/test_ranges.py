"""Tests of `lwm2md.lwm2m.ranges`."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m import ranges
from lwm2md.lwm2m.values import ResourceType

INTEGER, UNSIGNED, FLOAT = ResourceType.INTEGER, ResourceType.UNSIGNED, ResourceType.FLOAT
STRING, OPAQUE, BOOLEAN = ResourceType.STRING, ResourceType.OPAQUE, ResourceType.BOOLEAN


class NormalTests(SynchronousTestCase):
    """The forms in which DDF files write ranges."""

    def test_forms(self) -> None:
        """Every form of the registry that says something gives a range, and what says nothing gives none."""
        for text, kind, expected in (
            ("", INTEGER, ""),
            (" \n", STRING, ""),
            ("0..100", INTEGER, "0..100"),
            ("0-50", INTEGER, "0..50"),
            ("1...15", INTEGER, "1..15"),
            ("1…15", INTEGER, "1..15"),
            ("0 – 7", INTEGER, "0..7"),
            ("0 to 7", INTEGER, "0..7"),
            ("[1:4]", INTEGER, "1..4"),
            ("-1..1", FLOAT, "-1..1"),
            ("-128 - 127", INTEGER, "-128..127"),
            ("-30..-120", INTEGER, "-120..-30"),
            ("−24..24", INTEGER, "-24..24"),
            ("0.000001..1.0", FLOAT, "0.000001..1.0"),
            ("0..2^32-1", INTEGER, "0..4294967295"),
            ("0..2^63-1", INTEGER, "0..9223372036854775807"),
            ("0..2**28 - 1", INTEGER, "0..268435455"),
            ("2^8", INTEGER, "0..256"),
            ("2^8-1", INTEGER, "0..255"),
            ("-2^7..2^7-1", INTEGER, "-128..127"),
            ("0..18446744073709551615", UNSIGNED, "0..18446744073709551615"),
            ("0x00..0xFF", INTEGER, "0..255"),
            ("0x10", UNSIGNED, "0..16"),
            ("255", INTEGER, "0..255"),
            ("-5", INTEGER, "-5..0"),
            ("8-Bits", INTEGER, "0..255"),
            ("16-bit", INTEGER, "0..65535"),
            ("8 bit", UNSIGNED, "0..255"),
            ("8 bit", OPAQUE, None),
            ("99 bit", INTEGER, None),
            ("1 bytes", INTEGER, "0..255"),
            ("2 bytes", INTEGER, "0..65535"),
            ("0..512 bytes", INTEGER, "0..512"),
            ("64", STRING, "0..64"),
            ("32 bytes", STRING, "0..32"),
            ("0-255 bytes", STRING, "0..255"),
            ("1..64 Bytes", STRING, "1..64"),
            ("1..16 characters", STRING, "1..16"),
            ("12 octets", OPAQUE, "0..12"),
            ("16,32,48", OPAQUE, "16,32,48"),
            ("16-32-48 bytes", OPAQUE, "16,32,48"),
            ("0 or 26 Bytes", STRING, "0,26"),
            ("5, 10, 15, 20", INTEGER, "5,10,15,20"),
            ("0,1,2", INTEGER, "0..2"),
            ("0; 3.8..20.5", FLOAT, "0,3.8..20.5"),
            ("0: CONFIGURED_ON\n\t\t1: FULL_ON\n\t\t2: RECALL", UNSIGNED, "0..2"),
            ("0: RELEASE\r\n1: CLICK\r\n255: STUCK", UNSIGNED, "0,1,255"),
            ("0=off, 1=on", INTEGER, "0,1"),
            ("AVAILABLE; UNAVAILABLE", STRING, None),
            ("<7 to >12.5", INTEGER, None),
            ("2 Instances", INTEGER, None),
            ("The possible values are those listed in the LwM2M Core Specification", STRING, None),
            ("-24..24", STRING, None),
            ("0..1", BOOLEAN, None),
            ("0..1", ResourceType.OBJLNK, None),
            ("bytes", INTEGER, None),
            ("", BOOLEAN, ""),
            ("1..", INTEGER, None),
            ("0..1" * 1000, INTEGER, None),
        ):
            self.assertEqual(ranges.normal(text, kind), expected, (text, kind))

    @given(st.text("0123456789.-,;: \n^*xabit", max_size=60), st.sampled_from(list(ResourceType)))
    def test_anything(self, text: str, kind: ResourceType) -> None:
        """Whatever is written, there is a range that can be checked, or none."""
        found = ranges.normal(text, kind)
        if found:
            self.assertTrue(ranges.well_formed(found), (text, found))
            self.assertTrue(all(low <= high for low, high in ranges.bounds(found)), found)

    def test_time(self) -> None:
        """No text keeps the reader busy."""
        before = time.process_time()
        for text in ("0" + " " * 990 + "x", "1-" * 450, ": " * 450, "9" * 1000, "0," * 500 + "x", "a=" * 490):
            ranges.normal(text, INTEGER)
        self.assertLess(time.process_time() - before, 0.5)


class BoundsTests(SynchronousTestCase):
    """Ranges in the form of the table."""

    def test_exact(self) -> None:
        """Bounds of 64 bits are exact."""
        self.assertEqual(ranges.bounds("0..18446744073709551615"), ((0, 2**64 - 1),))
        self.assertEqual(ranges.bounds("-1.5..2,7"), ((-1.5, 2), (7, 7)))

    def test_form(self) -> None:
        """Only numbers, two dots and commas are the form of the table."""
        for text in ("0", "0..1", "-1.5..2.5", "1,2,3", "0,5..7"):
            self.assertTrue(ranges.well_formed(text), text)
        for text in ("", "a", "1..", "..1", "1,", ",1", "1.2.3", "1...2", "1-2", "0x1", "1 ..2", "١"):
            self.assertFalse(ranges.well_formed(text), text)
