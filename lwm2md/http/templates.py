"""Observation templates: what is observed at which devices, without asking for each by hand."""

from __future__ import annotations

from typing import Final

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body, TemplateBody
from lwm2md.http.documents import Page
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_when_durable
from lwm2md.server.templates import Template


class TemplateDocument(Template, frozen=True, omit_defaults=False):
    """One observation template."""


def _document(found: Template) -> TemplateDocument:
    return TemplateDocument(name=found.name, observe=found.observe, match=found.match)


def _list(call: Call) -> Reply:
    known = call.node.server.templates.templates
    items, cursor = page(known, SortedKeys(known), (call.query["limit"], call.query["after"]), _document)
    return json_reply(Page(items, cursor))


def _get(call: Call) -> Reply:
    return json_reply(_document(call.node.server.templates.get(call.path_arguments["name"])))


def _put(call: Call) -> None:
    templates, name, body = call.node.server.templates, call.path_arguments["name"], call.document
    template = Template(name=name, match=body.match, observe=body.observe)
    status = 201 if name not in templates.templates else 200
    answer_when_durable(
        call, lambda then: templates.put(template, then), lambda: json_reply(_document(template), status)
    )


def _delete(call: Call) -> None:
    templates, name = call.node.server.templates, call.path_arguments["name"]
    answer_when_durable(call, lambda then: templates.remove(name, then), no_content)


_ONE: Final = "/v1/observation-templates/{name}"

ROUTES: Final = (
    Route(
        "GET",
        "/v1/observation-templates",
        _list,
        "List observation templates",
        (p.LIMIT, p.AFTER),
        answers={200: Page[TemplateDocument]},
    ),
    Route("GET", _ONE, _get, "One observation template", answers={200: TemplateDocument}),
    Route(
        "PUT",
        _ONE,
        _put,
        "Put an observation template in force",
        body=Body(TemplateBody),
        answers={200: TemplateDocument, 201: TemplateDocument},
        fails=(409, 503),
    ),
    Route("DELETE", _ONE, _delete, "Take back an observation template", answers={204: None}, fails=(503,)),
)
