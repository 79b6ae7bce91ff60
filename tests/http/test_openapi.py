"""Tests of `lwm2md.http.openapi` and of the reference page ``docs/api.md`` against the routes."""

from __future__ import annotations

from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import SynchronousTestCase

import lwm2md
from lwm2md.events import TYPES
from lwm2md.http.openapi import document
from lwm2md.http.problems import CODES
from lwm2md.http.table import ROUTES
from lwm2md.subscriptions import GAP
from tests.http.support import ApiTestCase

PAGE = Path(lwm2md.__file__).parent.parent / "docs" / "api.md"


class DocumentTests(ApiTestCase):
    """The OpenAPI document."""

    async def test_valid(self) -> None:
        """The document that is served is valid OpenAPI 3.1 and has every route."""
        seen = await self.call("GET", "/v1/openapi.json")
        OpenAPIV31SpecValidator(seen.json).validate()
        found = {(method.upper(), path) for path, item in seen.json["paths"].items() for method in item}
        self.assertEqual(found, {(route.method, route.template.replace("...}", "}")) for route in ROUTES})


class RouteTableTests(SynchronousTestCase):
    """The route table and the page that describes it."""

    def test_names_are_unique(self) -> None:
        """No two routes have the same name in the OpenAPI document."""
        paths = document(ROUTES, "0")["paths"].values()
        names = [operation["operationId"] for item in paths for operation in item.values()]
        self.assertEqual(len(names), len(set(names)))

    def test_every_route_has_a_heading(self) -> None:
        """Each route has a heading in the reference page, and each heading of that form a route."""
        headings = [line.strip("# `") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("### `")]
        self.assertEqual(
            sorted(headings), sorted(f"{route.method} {route.template.replace('...}', '}')}" for route in ROUTES)
        )

    def test_every_parameter_is_described(self) -> None:
        """Each query parameter of a route is named below the route's heading."""
        sections = PAGE.read_text("utf-8").split("\n### `")
        for route in ROUTES:
            heading = f"{route.method} {route.template.replace('...}', '}')}`"
            (section,) = [each for each in sections if each.startswith(heading)]
            for parameter in route.query:
                self.assertIn(f"`{parameter.name}`", section, heading)

    def test_every_event_is_described(self) -> None:
        """Each type of event is in a row of the reference page."""
        rows = "".join(line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `"))
        for kind in (*TYPES, GAP):
            self.assertIn(f"`{kind}`", rows)

    def test_every_code_is_described(self) -> None:
        """Each code of a problem document is in the reference page with its status."""
        text = PAGE.read_text("utf-8")
        for code, (status, title) in CODES.items():
            self.assertIn(f"| `{code}` | {status} | {title} |", text)
