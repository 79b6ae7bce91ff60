"""Text for terminals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.tables import clean, cut, facts, show, table, width

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Text(SynchronousTestCase):
    """`clean`, `show`, `width`, `cut`."""

    def test_control_characters(self) -> None:
        """What moves a cursor or breaks a line is escaped."""
        self.assertEqual(clean("a\x1b[2J\n\t\u202e\x9b"), "a\\x1b[2J\\n\\t\\u202e\\x9b")
        self.assertEqual(clean("grüß 温度"), "grüß 温度")

    def test_values(self) -> None:
        """Each kind of JSON value has one line."""
        for value, expected in (
            (None, "-"),
            (True, "yes"),
            (False, "no"),
            (3, "3"),
            (0.5, "0.5"),
            ("", ""),
            ([], "-"),
            ({}, "-"),
            (["/1/0", "/3/0"], "/1/0 /3/0"),
            ({"farm": "north", "house": "7"}, "farm=north house=7"),
            ({"a": {"b": 1}}, "a=(b=1)"),
            (2**64, str(2**64)),
        ):
            self.assertEqual(show(value), expected)

    @given(JSON)
    def test_any_value(self, value: object) -> None:
        """Whatever a document holds becomes one printable line."""
        self.assertTrue(show(value).isprintable())

    def test_width(self) -> None:
        """Wide characters take two columns, combining ones none."""
        self.assertEqual([width(text) for text in ("abc", "温度", "e\u0301")], [3, 4, 1])

    @given(st.text(), st.integers(1, 20))
    def test_cut(self, text: str, columns: int) -> None:
        """What is cut fits, and what fits is not cut."""
        shown = cut(clean(text), columns)
        self.assertLessEqual(width(shown), columns)
        if width(clean(text)) <= columns:
            self.assertEqual(shown, clean(text))


class Tables(SynchronousTestCase):
    """`table` and `facts`."""

    def test_aligned(self) -> None:
        """Columns stand below their heads, and no line ends in blanks."""
        lines = table(("ENDPOINT", "STATE"), [("dev-1", "online"), ("温度", None)], 80)
        self.assertEqual(lines, ["ENDPOINT  STATE", "dev-1     online", "温度      -"])

    def test_truncated(self) -> None:
        """The widest column gives way until the table fits."""
        lines = table(("NAME", "VALUE"), [("short", "x" * 100)], 20)
        self.assertEqual(lines[1], "short  " + "x" * 12 + "…")

    def test_names_last(self) -> None:
        """An id is never shortened, and a device's name or a path only when nothing else can be."""
        row = ("7f3a9c21b4e05d68", "urn:dev:os:0023C7-000001", "2026-11-22T06:00:53.914Z")
        head = ("ID", "ENDPOINT", "CREATED")
        self.assertEqual(table(head, [row], 60)[1], "7f3a9c21b4e05d68  urn:dev:os:0023C7-000001  2026-11-22T06:0…")
        self.assertEqual(table(head, [row], 40)[1], "7f3a9c21b4e05d68  urn:dev:os:…  2026-11…")

    def test_too_narrow(self) -> None:
        """A terminal narrower than the heads gets the heads all the same."""
        self.assertEqual(table(("NAME", "VALUE"), [("a", "b")], 3), ["NAME  VALUE", "a     b"])

    def test_empty(self) -> None:
        """No rows leave the head."""
        self.assertEqual(table(("NAME", "VALUE"), [], 80), ["NAME  VALUE"])

    @given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60)), max_size=5), st.integers(20, 60))
    def test_fits(self, rows: list[tuple[str, str]], columns: int) -> None:
        """No line is wider than the terminal."""
        for line in table(("A", "B"), rows, columns):
            self.assertLessEqual(width(line), columns)

    def test_facts(self) -> None:
        """Names and values stand in two columns."""
        self.assertEqual(
            facts({"name": "lwm2md", "ready": True, "x": None}), ["name   lwm2md", "ready  yes", "x      -"]
        )
        self.assertEqual(facts({}), [])
