"""The OpenAPI 3.1 document, made from the route table: what is not declared there does not exist.

RULES: bodies and answers are the structs that the routes decode and encode, so the document can't drift from the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from lwm2md.http.bodies import Body
from lwm2md.http.parameters import Parameter
from lwm2md.http.problems import ProblemDocument
from lwm2md.http.replies import JSON, Reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.uploads import FileBody

_REFERENCE: Final = "#/components/schemas/{name}"
_IDENTIFIER: Final = "(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-4])"
_ARGUMENTS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "endpoint": ("Endpoint Client Name, percent-encoded (`/` as `%2F`)", {"minLength": 1}),
    "path": (
        "LwM2M path without its leading slash, such as `3/0/0`",
        {"pattern": f"^{_IDENTIFIER}(/{_IDENTIFIER}){{0,3}}$"},
    ),
    "pid": ("profile id, percent-encoded", {"minLength": 1}),
    "identity": ("PSK identity or name of a certificate, percent-encoded", {"minLength": 1, "maxLength": 255}),
    "name": ("the `name` that the list shows, percent-encoded", {"minLength": 1}),
    "kind": ("the `kind` that the list shows", {"minLength": 1}),
    "id": ("the `id` that the list shows", {"minLength": 1}),
    "object": ("Object ID", {"pattern": f"^{_IDENTIFIER}$"}),
    "version": ("version of the Object, such as `1.0`", {"pattern": r"^[0-9]{1,5}(\.[0-9]{1,5}){1,2}$"}),
}
_SEGMENT: Final[tuple[str, Mapping[str, object]]] = ("one segment, percent-encoded", {"minLength": 1})
_HEADERS: Final[Mapping[int, tuple[str, str]]] = {
    201: ("Location", "where the new resource is"),
    202: ("Location", "the operation that goes on"),
    401: ("WWW-Authenticate", "the challenge (RFC 6750)"),
    429: ("Retry-After", "seconds after which to try again"),
    503: ("Retry-After", "seconds after which to try again"),
}
Document = dict[str, Any]


def document(routes: Sequence[Route], version: str) -> Document:
    """The whole OpenAPI document for these routes."""
    types = [ProblemDocument]
    for route in routes:
        types += [answer for answer in route.answers.values() if answer is not None]
        if isinstance(route.body, Body):
            types.append(route.body.type)
    schemas, components = msgspec.json.schema_components(types, schema_hook=_anything, ref_template=_REFERENCE)
    by_type = dict(zip(types, schemas, strict=True))
    paths: Document = {}
    for route in routes:
        item = paths.setdefault(route.template.replace("...}", "}"), {})
        item[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lwm2md", "version": version, "description": "A LwM2M device-management server."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _anything(kind: type) -> Document:
    """The schema of a member that takes any JSON: values are checked by the model of their Resource."""
    if kind is not object:
        raise NotImplementedError
    return {"description": "any JSON that fits the Resource"}


def _operation(route: Route, by_type: Mapping[Any, Document]) -> Document:
    operation: Document = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": [*_arguments(route.template), *map(_parameter, route.query)],
        "responses": {
            str(status): _response(status, route, by_type) for status in sorted({*route.answers, *route.problems})
        },
    }
    if isinstance(route.body, Body):
        schema = {**by_type[route.body.type], **route.body.more}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": not route.body.optional, "content": content}
    elif isinstance(route.body, FileBody):
        schema = {"type": "string", "format": "binary", "minLength": 1}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": schema}}}
    elif route.body is not None:
        found = {"schema": {"type": "string"}, "example": route.body.example}
        operation["requestBody"] = {"required": True, "content": {"application/xml": found}}
    if route.open:
        operation["security"] = [] if route.template != "/metrics" else [{"token": []}, {}]
    return operation


def _response(status: int, route: Route, by_type: Mapping[Any, Document]) -> Document:
    phrase = HTTPStatus(status).phrase
    if status in route.answers:
        found = _content(phrase, route.answers[status], route.media_type, by_type)
    else:
        found = _content(phrase, ProblemDocument, "application/problem+json", by_type)
    if status in _HEADERS:
        name, description = _HEADERS[status]
        found["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return found


def _content(description: str, answer: Any, media_type: str, by_type: Mapping[Any, Document]) -> Document:
    if answer is not None:
        return {"description": description, "content": {media_type: {"schema": by_type[answer]}}}
    if media_type == "application/json":
        return {"description": description}
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}


def _arguments(template: str) -> list[Document]:
    names = [part[1:-1].removesuffix("...") for part in template.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": {"type": "string", **schema},
        }
        for name in names
        for description, schema in (_ARGUMENTS.get(name, _SEGMENT),)
    ]


def _parameter(parameter: Parameter) -> Document:
    return {"name": parameter.name, "in": "query", "description": parameter.summary, "schema": dict(parameter.schema)}


def _name(route: Route) -> str:
    words = [part.strip("{}.") for part in route.template.split("/") if part and part != "v1"]
    return "-".join([route.method.lower(), *words])


def _get(call: Call) -> Reply:
    return Reply(200, call.channel.factory.openapi, JSON)


ROUTES: Final = (Route("GET", "/v1/openapi.json", _get, "This document", answers={200: dict[str, Any]}),)
