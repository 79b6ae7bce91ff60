"""Routes, and the trie that finds them: no pattern is matched per request.

RULES: a template's segments are literal, ``{name}`` for one segment, or a final ``{name...}`` for one or more. A path
is split at ``/`` before each segment is percent-decoded, so that ``%2F`` inside an Endpoint Client Name is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from lwm2md.http.bodies import Body, XmlBody
from lwm2md.http.parameters import Parameter
from lwm2md.http.problems import Problem
from lwm2md.http.uploads import FileBody

if TYPE_CHECKING:
    from lwm2md.http.replies import Reply
    from lwm2md.http.request import Call

Handler = Callable[["Call"], "Reply | None"]
JSON: Final = "application/json"


@attrs.frozen(slots=True, eq=False)
class Route:
    """One method on one path. ``answers`` maps HTTP statuses to the type of the document (None: no JSON document).

    ``handler`` returns the answer, or None when it will call ``call.complete`` later. An ``open`` route needs no token.
    ``fails`` are the statuses of its problems, beside those that follow from the rest: ``problems`` has all of them.
    """

    method: str
    template: str
    handler: Handler
    summary: str
    query: Sequence[Parameter] = ()
    body: Body[Any] | XmlBody | FileBody | None = None
    answers: Mapping[int, Any] = attrs.field(factory=dict)
    media_type: str = JSON
    open: bool = False
    fails: Sequence[int] = ()
    problems: frozenset[int] = attrs.field(init=False)
    declared: Mapping[str, Parameter] = attrs.field(init=False)
    defaults: Mapping[str, object] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        found = {400, 500, *self.fails}
        found |= set() if self.open else {401}
        found |= {404} if "{" in self.template else set()
        found |= set() if self.body is None else {413}
        object.__setattr__(self, "problems", frozenset(found))
        object.__setattr__(self, "declared", {parameter.name: parameter for parameter in self.query})
        object.__setattr__(self, "defaults", {parameter.name: parameter.default for parameter in self.query})


class _Branch:
    """One segment of the trie."""

    __slots__ = ("literal", "methods", "name", "rest", "rest_name", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, _Branch] = {}
        self.variable: _Branch | None = None
        self.name = ""
        self.rest: _Branch | None = None
        self.rest_name = ""
        self.methods: dict[bytes, Route] = {}


class Router:
    """All routes, found by method and path."""

    __slots__ = ("_root", "routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Branch()
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        branch = self._root
        for segment in route.template.split("/")[1:]:
            if segment.endswith("...}"):
                branch.rest = branch.rest or _Branch()
                branch.rest_name = segment[1:-4]
                branch = branch.rest
            elif segment.startswith("{"):
                branch.variable = branch.variable or _Branch()
                branch.name = segment[1:-1]
                branch = branch.variable
            else:
                branch = branch.literal.setdefault(segment, _Branch())
        branch.methods[route.method.encode("ascii")] = route

    def find(self, method: bytes, path: bytes) -> tuple[Route, dict[str, str]]:
        """The route and its decoded path arguments; raises `Problem` (not-found, method-not-allowed, bad-request)."""
        branch, arguments = self._walk(split(path))
        route = branch.methods.get(b"GET" if method == b"HEAD" else method)
        if route is None:
            allowed = set(branch.methods) | ({b"HEAD"} if b"GET" in branch.methods else set())
            raise Problem(
                "method-not-allowed",
                "allowed here: " + ", ".join(sorted(name.decode() for name in allowed)),
                headers=((b"Allow", b", ".join(sorted(allowed))),),
            )
        return route, arguments

    def _walk(self, segments: list[str]) -> tuple[_Branch, dict[str, str]]:
        branch = self._root
        arguments: dict[str, str] = {}
        for index, segment in enumerate(segments):
            following = branch.literal.get(segment)
            if following is None and segment:
                if branch.variable is not None:
                    arguments[branch.name] = segment
                    following = branch.variable
                elif branch.rest is not None:
                    arguments[branch.rest_name] = "/".join(segments[index:])
                    return branch.rest, arguments
            if following is None:
                return self._search(segments)
            branch = following
        return (branch, arguments) if branch.methods else self._search(segments)

    def _search(self, segments: list[str]) -> tuple[_Branch, dict[str, str]]:
        """Look into every branch: a literal one that ends short may stand beside a variable one that does not."""
        found = _beneath(self._root, segments, 0)
        if found is None:
            raise Problem("not-found", "there is no such route; GET /v1/openapi.json lists all of them")
        return found


def _beneath(branch: _Branch, segments: list[str], index: int) -> tuple[_Branch, dict[str, str]] | None:
    if index == len(segments):
        return (branch, {}) if branch.methods else None
    segment = segments[index]
    literal = branch.literal.get(segment)
    found = None if literal is None else _beneath(literal, segments, index + 1)
    if found is None and segment and branch.variable is not None:
        found = _beneath(branch.variable, segments, index + 1)
        if found is not None:
            found[1][branch.name] = segment
    if found is None and segment and branch.rest is not None:
        return branch.rest, {branch.rest_name: "/".join(segments[index:])}
    return found


def split(path: bytes) -> list[str]:
    """The decoded segments of a path; raises `Problem` where one is not percent-encoded UTF-8."""
    try:
        if b"%" not in path:
            return path.decode("utf-8").split("/")[1:]
        return [unquote_to_bytes(segment).decode("utf-8") for segment in path.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise Problem("bad-request", "the path is not percent-encoded UTF-8") from None
