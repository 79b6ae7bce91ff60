"""Tests of `lwm2md.lwm2m.attributes`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.attributes import (
    BadAttributes,
    Changes,
    NotificationAttributes,
    check_changes,
    check_sendable,
    effective,
    parse_query,
    to_query,
)
from lwm2md.lwm2m.values import ResourceType
from tests.lwm2m.helpers import path

WHOLE = st.integers(0, 2**32 - 1)
DECIMAL = st.floats(allow_nan=False, allow_infinity=False)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("pmin", "pmax", "epmin", "epmax", "hqmax"), st.none() | WHOLE),
        **dict.fromkeys(("gt", "lt"), st.none() | DECIMAL),
        "st": st.none() | DECIMAL.map(abs),
        **dict.fromkeys(("edge", "con"), st.none() | st.integers(0, 1)),
    },
)


class QueryTests(SynchronousTestCase):
    """Attributes as Uri-Query options."""

    def test_read(self) -> None:
        """Each attribute is read by its type; a name alone unsets."""
        query = ("pmin=10", "pmax", "gt=42.5", "lt=-3", "st=0", "edge=1", "con=0", "hqmax=5", "epmin=1", "epmax=2")
        expected: Changes = {
            "pmin": 10, "pmax": None, "gt": 42.5, "lt": -3.0, "st": 0.0, "edge": 1, "con": 0, "hqmax": 5,
            "epmin": 1, "epmax": 2,
        }  # fmt: skip
        self.assertEqual(expected, parse_query(query))

    def test_refused(self) -> None:
        """Unknown, read-only, repeated and malformed attributes are refused."""
        for query in (
            ["dim=3"], ["ver=1.0"], ["ssid=1"], ["x"], ["="], [""], ["pmin=10", "pmin=11"], ["pmin="], ["pmin=-1"],
            ["pmin=1.5"], ["pmin=4294967296"], ["pmax=1e3"], ["gt=1e3"], ["gt=nan"], ["gt=+1"], ["gt=.5"], ["gt="],
            ["st=-1"], ["edge=2"], ["con=true"], ["pmin= 1"], ["pmin=1\n"], ["gt=" + "9" * 400],
        ):  # fmt: skip
            with self.assertRaises(BadAttributes, msg=str(query)):
                parse_query(query)

    def test_written(self) -> None:
        """Numbers are written without exponent or needless fraction."""
        self.assertEqual(
            ("pmin=10", "pmax", "gt=50", "lt=42.2", "st=0.00001"),
            to_query({"st": 1e-5, "lt": 42.2, "gt": 50.0, "pmax": None, "pmin": 10}),
        )
        self.assertEqual(("pmin=0", "gt=1.5"), NotificationAttributes(pmin=0, gt=1.5).to_query())

    def test_from_query(self) -> None:
        """A whole set is read from a query, or applied to what there was."""
        found = NotificationAttributes.from_query(("pmin=10", "pmax", "gt=5"))
        self.assertEqual(NotificationAttributes(pmin=10, gt=5.0), found)
        self.assertEqual(NotificationAttributes(pmax=60, gt=5.0), found.changed(parse_query(("pmin", "pmax=60"))))

    @given(CHANGES)
    def test_round_trip(self, changes: Changes) -> None:
        """What is written reads back the same."""
        self.assertEqual(changes, parse_query(to_query(changes)))

    @given(st.lists(st.text(alphabet="pminaxgtls=0159.-e", max_size=12), max_size=4))
    def test_any_query(self, query: list[str]) -> None:
        """Any query raises the one error, or is a change whose values are right."""
        try:
            changes = parse_query(query)
        except BadAttributes:
            return
        self.assertEqual(changes, parse_query(to_query(changes)))


class CheckTests(SynchronousTestCase):
    """Attributes that contradict each other or their place."""

    def test_relations(self) -> None:
        """Thresholds leave room for their step, evaluation periods are in order; pmin and pmax may be anyhow."""
        right: list[Changes] = [
            {"lt": 1.0, "gt": 2.0},
            {"lt": 1.0, "gt": 2.0, "st": 0.4},
            {"lt": 5.0, "gt": None},
            {"epmin": 1, "epmax": 2},
            {"pmin": 60, "pmax": 10},
            {"pmax": 0},
            {},
        ]
        for changes in right:
            check_changes(changes)
        wrong: list[Changes] = [
            {"lt": 2.0, "gt": 2.0},
            {"lt": 3.0, "gt": 2.0},
            {"lt": 1.0, "gt": 2.0, "st": 0.5},
            {"epmin": 2, "epmax": 2},
            {"epmin": 3, "epmax": 2},
            {"st": -1.0},
            {"gt": float("inf")},
            {"gt": float("nan")},
            {"edge": 2},
            {"edge": True},
            {"pmin": 1.5},
            {"pmin": -1},
            {"dim": 1},
        ]
        for changes in wrong:
            with self.assertRaises(BadAttributes, msg=str(changes)):
                check_changes(changes)

    def test_place(self) -> None:
        """Thresholds are for numeric Resources, edge for Booleans; the others may be anywhere."""
        check_changes({"pmin": 1, "con": 1, "hqmax": 1}, path("/3"))
        check_changes({"gt": 1.0}, path("/3/0/9"), ResourceType.INTEGER)
        check_changes({"gt": None}, path("/3/0/7/0"), ResourceType.FLOAT)
        check_changes({"edge": 1}, path("/3/0/9"), ResourceType.BOOLEAN)
        for name, where, kind in (
            ("gt", "/3", None),
            ("st", "/3/0", None),
            ("edge", "/3/0", None),
            ("gt", "/3/0/0", ResourceType.STRING),
            ("lt", "/3/0/0", ResourceType.BOOLEAN),
            ("edge", "/3/0/9", ResourceType.INTEGER),
        ):
            with self.assertRaises(BadAttributes):
                check_changes({name: 1}, path(where), kind)

    def test_sendable(self) -> None:
        """A pmin above the pmax is right but is not sent."""
        check_sendable({"pmin": 10, "pmax": 10})
        check_sendable({"pmin": 10, "pmax": None})
        with self.assertRaises(BadAttributes):
            check_sendable({"pmin": 11, "pmax": 10})


class InheritanceTests(SynchronousTestCase):
    """Attributes attached above a path hold there."""

    def test_merged(self) -> None:
        """One's own attributes win over the parent's."""
        parent = NotificationAttributes(pmin=1, pmax=60)
        self.assertEqual(NotificationAttributes(pmin=0, pmax=60), NotificationAttributes(pmin=0).merged(parent))

    def test_effective(self) -> None:
        """Each attribute comes from the nearest path that has it; what is attached below does not count."""
        attached = {
            path("/3"): NotificationAttributes(pmin=10, pmax=100),
            path("/3/0"): NotificationAttributes(pmax=60),
            path("/3/0/7"): NotificationAttributes(gt=50.0),
            path("/3/0/7/1"): NotificationAttributes(lt=45.0),
        }
        expected = NotificationAttributes(pmin=10, pmax=60, gt=50.0)
        self.assertEqual(expected, effective(path("/3/0/7"), attached))
        self.assertEqual(NotificationAttributes(pmin=10, pmax=60), effective(path("/3/0"), attached))
        self.assertEqual(NotificationAttributes(), effective(path("/4/0"), attached))
        self.assertEqual(45.0, effective(path("/3/0/7/1"), attached).lt)
