"""From shell words to JSON values."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl import values
from lwm2md.lwm2m.paths import Path, PathError

TYPES = {(3, 14): "string", (3, 13): "time", (1, 6): "boolean", (3, 6): "integer"}


class Words(SynchronousTestCase):
    """The types of arguments."""

    def test_paths(self) -> None:
        """A path may lack its leading slash, and names something below the root."""
        self.assertEqual([values.lwm2m_path(text) for text in ("/3/0", "3/0")], [Path((3, 0)), Path((3, 0))])
        for text in ("/", "", "/3/x"):
            self.assertRaises(ArgumentTypeError, values.lwm2m_path, text)

    def test_pairs(self) -> None:
        """Only the first equals sign parts."""
        self.assertEqual(values.pair("a=b=c"), ("a", "b=c"))
        self.assertEqual(values.resource_pair("6/0=1\n=2"), ("6/0", "1\n=2"))
        self.assertEqual(values.resource_pair("/3/0/14="), ("/3/0/14", ""))

    def test_execute_arguments(self) -> None:
        """An argument is a digit, with a value or without."""
        self.assertEqual(
            [values.execute_argument(text) for text in ("0=a=b", "9", "1=")], [("0", "a=b"), ("9", None), ("1", "")]
        )

    def test_labels(self) -> None:
        """key=value sets and key- removes; a minus behind an equals sign belongs to the value."""
        self.assertEqual(
            [values.label(text) for text in ("a=b", "a-", "a=b-", "a=")],
            [("a", "b"), ("a", None), ("a", "b-"), ("a", "")],
        )

    def test_attributes(self) -> None:
        """A number sets, nothing unsets."""
        self.assertEqual(
            [values.attribute(text) for text in ("pmin=10", "gt=-1.5", "st=")],
            [("pmin", 10), ("gt", -1.5), ("st", None)],
        )

    def test_refused(self) -> None:
        """What has not the form is refused with the words that were given."""
        refusals: tuple[tuple[Callable[[str], object], tuple[str, ...]], ...] = (
            (values.lwm2m_path, ("", "/x", "/3//0", "/65536", "/1/2/3/4/5", "-1", "/03")),
            (values.pair, ("", "=", "=b", "a")),
            (values.resource_pair, ("14", "a=b", "/=1", "6/=1", "=1")),
            (values.execute_argument, ("", "10=a", "x", "²")),
            (values.label, ("", "-", "a", "=b")),
            (values.attribute, ("pmin", "pmin=x", "pmin=true", "pmin=NaN", "=1")),
            (values.number, ("", "x", "true", "1" * 50, "\udc80")),
        )
        for parse, texts in refusals:
            for text in texts:
                self.assertRaises(ArgumentTypeError, parse, text)

    @given(st.text())
    def test_any_word(self, text: str) -> None:
        """No word raises anything but what argparse understands."""
        for parse in (values.lwm2m_path, values.resource_pair, values.label, values.attribute, values.execute_argument):
            try:
                parse(text)
            except ArgumentTypeError:
                continue


class Typing(SynchronousTestCase):
    """`typed` and what stands on it."""

    def test_by_model(self) -> None:
        """Text is sent where the server knows the type; a Boolean is made one here."""
        for text, kind, expected in (
            ("02", "string", "02"),
            ("true", "string", "true"),
            ("5", "integer", "5"),
            ("2026-01-01T00:00:00Z", "time", "2026-01-01T00:00:00Z"),
            ("1", "boolean", True),
            ("off", "boolean", False),
            ("True", "boolean", True),
            ("maybe", "boolean", "maybe"),
        ):
            self.assertEqual(values.typed(text, kind), expected)

    def test_without_model(self) -> None:
        """Without a model a number, true and false are what they look like; the rest is text."""
        for text, expected in (
            ("5", 5),
            ("-1.5", -1.5),
            ("true", True),
            ("1 2", "1 2"),
            ("", ""),
            ("null", "null"),
            ("[1]", "[1]"),
        ):
            found = values.typed(text, None)
            self.assertEqual((found, type(found)), (expected, type(expected)))

    def test_bodies(self) -> None:
        """Each value has the type of its Resource, at or above its path; --string leaves all of them text."""
        pairs = [("14", "5"), ("6/0", "5"), ("/3/0/99", "5")]
        self.assertEqual(values.body_of_values(Path((3, 0)), pairs, TYPES), {"14": "5", "6/0": "5", "/3/0/99": 5})
        self.assertEqual(values.body_of_values(Path((3, 0)), pairs, None), {"14": "5", "6/0": "5", "/3/0/99": "5"})
        self.assertRaises(PathError, values.body_of_values, Path((3, 0, 6, 1)), [("1", "5")], TYPES)

    def test_types(self) -> None:
        """Types are found in the document of a device's objects."""
        document = {"items": [{"id": 3, "resources": [{"id": 14, "type": "string"}]}, {"id": 9999, "resources": []}]}
        self.assertEqual(values.types_of(document), {(3, 14): "string"})
