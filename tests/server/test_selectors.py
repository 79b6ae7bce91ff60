"""Tests of lwm2md.server.selectors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.server.selectors import MAX_TERMS, parse


class SelectorTests(SynchronousTestCase):
    """Selectors match labels as an operator means it."""

    def test_matches(self) -> None:
        """All terms must hold; a label that is missing differs from every value."""
        table = [
            ("", {}, True),
            ("  ", {"a": "1"}, True),
            ("farm=north", {"farm": "north"}, True),
            ("farm=north", {"farm": "south"}, False),
            ("farm=north", {}, False),
            ("farm!=north", {"farm": "north"}, False),
            ("farm!=north", {"farm": "south"}, True),
            ("farm!=north", {}, True),
            ("farm=north,enclosure!=7", {"farm": "north", "enclosure": "8"}, True),
            ("farm=north,enclosure!=7", {"farm": "north", "enclosure": "7"}, False),
            (" farm = north , enclosure != 7 ", {"farm": "north"}, True),
            ("note=a=b", {"note": "a=b"}, True),
            ("note=!", {"note": "!"}, True),
            ("empty=", {"empty": ""}, True),
            ("empty=", {}, False),
            ("empty!=", {}, True),
            ("a=1,a=2", {"a": "1"}, False),
        ]
        for text, labels, expected in table:
            self.assertEqual(parse(text)(labels), expected, (text, labels))

    def test_refused(self) -> None:
        """What is no selector is refused with a text that names the term."""
        for text, named in [("farm", "'farm'"), ("a=1,,b=2", "''"), ("a=1,b", "'b'"), ("=1", "'=1'"), ("!=1", "'!=1'")]:
            error = self.assertRaises(ValueError, parse, text)
            self.assertIn(named, str(error))
        self.assertRaises(ValueError, parse, ",".join(["a=1"] * (MAX_TERMS + 1)))
        self.assertLess(len(str(self.assertRaises(ValueError, parse, "x" * 10_000))), 200)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is refused with ValueError, or shows as a selector that means the same."""
        try:
            selector = parse(text)
        except ValueError:
            return
        self.assertEqual(parse(str(selector)), selector)
