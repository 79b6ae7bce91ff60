"""Observation templates: what is observed at which devices, without asking for each by hand."""

from __future__ import annotations

from typing import Final

from lwm2md.http.bodies import TemplateBody
from lwm2md.http.named import Named, Words
from lwm2md.server.templates import Template


class TemplateDocument(Template, frozen=True, omit_defaults=False):
    """One observation template."""


ROUTES: Final = Named(
    "/v1/observation-templates/{name}",
    Words(
        "List observation templates",
        "One observation template",
        "Put an observation template in force",
        "Take back an observation template",
    ),
    TemplateDocument,
    TemplateBody,
    known=lambda server: server.templates.templates,
    get=lambda server, name: server.templates.get(name),
    show=lambda _, found: TemplateDocument(name=found.name, observe=found.observe, match=found.match),
    put=lambda server, name, body, then: server.templates.put(
        Template(name=name, match=body.match, observe=body.observe), then
    ),
    remove=lambda server, name, then: server.templates.remove(name, then),
).routes()
