"""Object models: what the daemon knows of Objects, and what operators teach it by DDF files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from lwm2md.http import parameters as p
from lwm2md.http.bodies import XmlBody
from lwm2md.http.documents import ModelDocument, Page, WholeModelDocument, model_document, whole_model_document
from lwm2md.http.problems import FieldError, Problem
from lwm2md.http.replies import NO_STORE, Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_when_durable
from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import ObjectModel, order

_EXAMPLE: Final = """\
<LWM2M>
  <Object ObjectType="MODefinition">
    <Name>Door</Name><ObjectID>32770</ObjectID><ObjectVersion>1.0</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="0">
        <Name>Angle</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>
        <Mandatory>Mandatory</Mandatory><Type>Integer</Type>
        <RangeEnumeration>0..180</RangeEnumeration><Units>deg</Units>
      </Item>
    </Resources>
  </Object>
</LWM2M>
"""


class ModelsPutDocument(msgspec.Struct):
    """The models that were put, and ``remarks`` on what was odd in their file."""

    items: list[WholeModelDocument]
    remarks: list[str]


def _key(model: ObjectModel) -> tuple[int, tuple[int, ...]]:
    return model.id, order(model.version)


def _list(call: Call) -> Reply:
    limit, after = call.query["limit"], call.query["after"]
    models = sorted(call.node.server.models, key=_key)
    start = 0
    if after is not None:
        identifier, _, version = after.partition(":")
        start = bisect_right(models, (int(identifier), order(version)), key=_key)
    found = models[start : start + limit]
    cursor = f"{found[-1].id}:{found[-1].version}" if found and start + limit < len(models) else None
    return json_reply(Page(_rows(call, found), cursor))


def _rows(call: Call, models: Sequence[ObjectModel]) -> list[ModelDocument]:
    source = call.node.server.library.source
    return [model_document(model, source(model)) for model in models]


def _versions(call: Call) -> Reply:
    found = sorted((model for model in call.node.server.models if model.id == _object(call)), key=_key)
    if not found:
        raise Problem("unknown-model", f"no model of object {_object(call)}")
    return json_reply(Page(_rows(call, found), None))


def _get(call: Call) -> Reply:
    server, version = call.node.server, call.path_arguments["version"]
    model = server.models.exactly(_object(call), version)
    if model is None:
        raise Problem("unknown-model", f"no model of object {_object(call)} version {version}")
    return json_reply(whole_model_document(model, server.library.source(model)))


def _object(call: Call) -> int:
    text = call.path_arguments["object"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        raise Problem("unknown-model", "an Object ID is expected in the path")
    return int(text)


def _put(call: Call) -> None:
    try:
        found = ddf.read(call.document)
    except ddf.DdfError as error:
        faults = [FieldError(f"line {fault.line}, {fault.element}", fault.message) for fault in error.faults]
        raise Problem("bad-model", str(error.faults[0]), errors=faults) from None
    library = call.node.server.library
    new = not all(library.has(model) for model in found.models)

    def reply() -> Reply:
        models = [whole_model_document(model, "api") for model in found.models]
        document = ModelsPutDocument(models, [str(remark) for remark in found.remarks])
        if not new:
            return json_reply(document)
        first = found.models[0]
        location = f"/v1/models/{first.id}/{first.version}".encode("ascii")
        return json_reply(document, 201, (*NO_STORE, (b"Location", location)))

    answer_when_durable(call, lambda then: library.put(found.models, then), reply)


def _delete(call: Call) -> None:
    library, identifier, version = call.node.server.library, _object(call), call.path_arguments["version"]
    answer_when_durable(call, lambda then: library.remove(identifier, version, then), no_content)


_AFTER: Final = p.matching("after", p.AFTER.summary, r"[0-9]{1,5}:[0-9]{1,9}(\.[0-9]{1,9}){0,3}")

ROUTES: Final = (
    Route("GET", "/v1/models", _list, "List object models", (p.LIMIT, _AFTER), answers={200: Page[ModelDocument]}),
    Route(
        "PUT",
        "/v1/models",
        _put,
        "Put the object models of a DDF file in force",
        body=XmlBody(_EXAMPLE),
        answers={200: ModelsPutDocument, 201: ModelsPutDocument},
        fails=(409, 503),
    ),
    Route(
        "GET",
        "/v1/models/{object}",
        _versions,
        "All versions of an object model",
        answers={200: Page[ModelDocument]},
    ),
    Route(
        "GET",
        "/v1/models/{object}/{version}",
        _get,
        "One object model with its Resources",
        answers={200: WholeModelDocument},
    ),
    Route(
        "DELETE",
        "/v1/models/{object}/{version}",
        _delete,
        "Take back an object model that was put",
        answers={204: None},
        fails=(409, 503),
    ),
)
