"""Tests of `lwm2md.http.routes`, `lwm2md.http.paging` and `lwm2md.http.parameters`, without a connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.parameters import AFTER, LIMIT, WAIT, parse_query
from lwm2md.http.problems import Problem
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route, Router
from lwm2md.http.table import ROUTES

DECLARED = {parameter.name: parameter for parameter in (LIMIT, AFTER, WAIT)}


def handler(call: Call) -> Reply:
    """Answer nothing in particular."""
    return Reply(200, b"")


class RouterTests(SynchronousTestCase):
    """Finding routes."""

    def setUp(self) -> None:
        self.router = Router(
            [
                Route("GET", "/v1/things", handler, "List"),
                Route("GET", "/v1/things/{name}", handler, "One"),
                Route("GET", "/v1/things/{name}/parts/{path...}", handler, "Part"),
            ]
        )

    def test_arguments(self) -> None:
        """Segments are decoded after the path was split, and a rest keeps its slashes."""
        _, arguments = self.router.find(b"GET", b"/v1/things/a%2Fb%C3%BC/parts/3/0/1")
        self.assertEqual(arguments, {"name": "a/b\u00fc", "path": "3/0/1"})

    def test_literals_win(self) -> None:
        """A name that is a literal elsewhere is still a name."""
        route, arguments = self.router.find(b"GET", b"/v1/things/things")
        self.assertEqual((route.template, arguments), ("/v1/things/{name}", {"name": "things"}))

    @given(st.binary(max_size=60))
    def test_any_path(self, path: bytes) -> None:
        """Whatever the path, there is a route or a problem."""
        try:
            Router(ROUTES).find(b"GET", b"/v1/devices/" + path)
        except Problem as problem:
            self.assertIn(problem.code, ("not-found", "bad-request", "method-not-allowed"))


class QueryTests(SynchronousTestCase):
    """Reading query strings."""

    def test_values(self) -> None:
        """Values are checked and typed; those absent have their defaults."""
        found = parse_query(b"wait=2.5&after=a%20b", DECLARED, {"limit": 100})
        self.assertEqual(found, {"wait": 2.5, "after": "a b", "limit": 100})

    def test_numbers(self) -> None:
        """A duration is any JSON number in its range, also as programs write very small ones."""
        for raw, value in (
            (b"1e-05", 1e-05),
            (b"2.9871733483646", 2.9871733483646),
            (b"0.0", 0.0),
            (b"1E2", 100),
        ):
            self.assertEqual(parse_query(b"wait=" + raw, DECLARED, {})["wait"], value)
        for raw in (b"", b"-1", b"nan", b"inf", b"1e999", b"3601", b"1_0", b"+1", b"1.", b".5", b"0x1", b"9" * 50):
            self.assertRaises(Problem, parse_query, b"wait=" + raw, DECLARED, {})

    @given(st.binary(max_size=60))
    def test_any_query(self, raw: bytes) -> None:
        """Whatever the query, there is a result or a problem."""
        try:
            parse_query(raw, DECLARED, {})
        except Problem as problem:
            self.assertEqual(problem.code, "bad-query")


class PagingTests(SynchronousTestCase):
    """Pages of a mapping that changes."""

    @given(st.lists(st.text(max_size=3), max_size=30), st.integers(1, 5))
    def test_all_items_once(self, names: list[str], limit: int) -> None:
        """All pages together have every item once, in order."""
        source = {name: name for name in names}
        keys = SortedKeys(source)
        found: list[str] = []
        cursor: str | None = None
        while True:
            items, cursor = page(source, keys, (limit, cursor), lambda item: item)
            found += items
            if cursor is None:
                break
        self.assertEqual(found, sorted(source))

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40))
    def test_follows_changes(self, steps: list[tuple[bool, int]]) -> None:
        """The order is right after any additions and removals."""
        source: dict[str, object] = {}
        keys = SortedKeys(source)
        for add, number in steps:
            if add:
                source.setdefault(str(number), object())
            else:
                source.pop(str(number), None)
            self.assertEqual(keys.after(None), (sorted(source), 0))
