"""Tests of `lwm2md.http.openapi` and of the reference page ``docs/api.md`` against the routes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import SynchronousTestCase

import lwm2md
from lwm2md.events import TYPES
from lwm2md.http.openapi import document
from lwm2md.http.problems import CODES
from lwm2md.http.table import ROUTES
from lwm2md.lwm2m.paths import Path as LwM2MPath
from lwm2md.server import selectors
from lwm2md.subscriptions import GAP
from tests.http.support import ApiTestCase

PAGE = Path(lwm2md.__file__).parent.parent / "docs" / "api.md"


class ServedTests(ApiTestCase):
    """The OpenAPI document as it is served."""

    async def test_valid(self) -> None:
        """The document that is served is valid OpenAPI 3.1 and has every route."""
        seen = await self.call("GET", "/v1/openapi.json")
        OpenAPIV31SpecValidator(seen.json).validate()
        found = {(method.upper(), path) for path, item in seen.json["paths"].items() for method in item}
        self.assertEqual(found, {(route.method, route.template.replace("...}", "}")) for route in ROUTES})


class DocumentTests(SynchronousTestCase):
    """What the OpenAPI document says."""

    def test_problems(self) -> None:
        """Each operation names the statuses of its problems, none hides behind a default."""
        paths = document(ROUTES, "0")["paths"]
        responses = paths["/v1/devices/{endpoint}/resources/{path}"]["put"]["responses"]
        asked = {"200", "202", "400", "401", "403", "404", "409", "413", "429", "500", "502", "503", "504"}
        self.assertEqual(set(responses), asked)
        self.assertEqual(set(responses["429"]["headers"]), {"Retry-After"})
        self.assertEqual(set(responses["202"]["headers"]), {"Location"})
        self.assertEqual(set(paths["/v1/status"]["get"]["responses"]), {"200", "400", "401", "500"})
        self.assertEqual(set(paths["/health/live"]["get"]["responses"]), {"200", "400", "500"})

    def test_paths(self) -> None:
        """The pattern of a LwM2M path takes what the parser takes."""
        (endpoint, path, *_) = document(ROUTES, "0")["paths"]["/v1/devices/{endpoint}/resources/{path}"]["get"][
            "parameters"
        ]
        self.assertEqual((endpoint["schema"]["minLength"], path["name"]), (1, "path"))
        texts = [
            "3",
            "3/0/0/1",
            "65534/0",
            "65535",
            "70000",
            "03",
            "3/",
            "/3",
            "",
            "3//0",
            "3/0/0/0/0",
            "a",
            "6553/9999",
        ]
        for text in (*texts, *(f"{each}" for each in range(65_000, 65_600))):
            self.assertEqual(bool(re.search(path["schema"]["pattern"], text)), _is_path(text), text)

    def test_bodies(self) -> None:
        """A body to write has either a value or values, and a label a name that selectors can hold."""
        found = document(ROUTES, "0")
        content = found["paths"]["/v1/devices/{endpoint}/resources/{path}"]["put"]["requestBody"]["content"]
        schema = {**content["application/json"]["schema"], "components": found["components"]}
        either = Draft202012Validator(schema)
        for body, fits in (
            ({"value": 1}, True),
            ({"value": None}, True),
            ({"values": {"1": 1}}, True),
            ({"value": 1, "values": None}, True),
            ({}, False),
            ({"values": None}, False),
            ({"value": 1, "values": {}}, False),
        ):
            self.assertEqual(either.is_valid(body), fits, body)
        labels = found["components"]["schemas"]["DeviceBody"]["properties"]["labels"]
        self.assertEqual(labels["propertyNames"]["pattern"], "^[^=!,]+$")

    def test_selector(self) -> None:
        """The pattern of a selector takes what the parser takes."""
        parameters = document(ROUTES, "0")["paths"]["/v1/devices"]["get"]["parameters"]
        (schema,) = [each["schema"] for each in parameters if each["name"] == "selector"]
        for text, fits in (
            ("", True),
            ("a=b", True),
            ("a!=b,c=", True),
            (" a = b ", True),
            ("a=b=c", True),
            ("a", False),
            ("=b", False),
            ("!=b", False),
            (" =b", False),
            ("a=b,", False),
            (",".join(["a=b"] * selectors.MAX_TERMS), True),
            (",".join(["a=b"] * (selectors.MAX_TERMS + 1)), False),
        ):
            self.assertEqual(bool(re.search(schema["pattern"], text)), fits, text)
            self.assertEqual(_takes(selectors.parse, text), fits, text)


def _is_path(text: str) -> bool:
    return bool(text) and _takes(LwM2MPath.parse, f"/{text}")


def _takes(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


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
