"""The history of a device: what it told of its Resources, as it was or summed up by periods."""

from __future__ import annotations

import re
from functools import partial
from typing import Final, get_args

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lwm2md.history import EVER, MICRO, Aggregate, Point, Question
from lwm2md.http import parameters as p
from lwm2md.http.documents import Page, ValueDocument, values_of
from lwm2md.http.operations import known_device
from lwm2md.http.problems import unreadable
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.resources import lwm2m_path
from lwm2md.http.routes import Route
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow, row_of
from lwm2md.lwm2m.values import ResourceType
from lwm2md.storage.interface import StorageError
from lwm2md.timestamps import parse

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_CURSOR: Final = r"(/[0-9]{1,5}){1,4}@-?[0-9]{1,17}"
_EVERY: Final = r"[1-9][0-9]{0,5}[smhd]?"


def _moment(text: str) -> int:
    return round(parse(text) * MICRO)


def _period(text: str) -> int:
    found = re.fullmatch(_EVERY, text, re.ASCII)
    if found is None:
        raise ValueError("a duration such as 60s, 15m, 24h or 7d is expected")
    number = text.rstrip("smhd")
    return int(number) * _UNITS[text[len(number) :]] * int(MICRO)


def _cursor(text: str) -> tuple[str, int]:
    if re.fullmatch(_CURSOR, text, re.ASCII) is None:
        raise ValueError("the `next` of the page before is expected")
    path, _, time = text.partition("@")
    return path, int(time)


def _get(call: Call) -> None:
    endpoint, path, query = known_device(call).endpoint, lwm2m_path(call), call.query
    every: int | None = query["every"]
    aggregate: Aggregate | None = query["aggregate"] or ("mean" if every is not None else None)
    start, end = (query[name] for name in ("from", "to"))
    question = Question(endpoint, str(path), start, end, query["limit"], query["after"], aggregate, every)
    reading = Deferred.fromCoroutine(call.node.history.read(question))
    reading.addCallback(lambda found: call.complete(lambda: _page(call, question, *found)))
    reading.addErrback(lambda failure: call.complete(partial(_failed, failure)))


def _page(call: Call, question: Question, points: list[Point], behind: Point | None) -> Reply:
    rows = [_row(call, question, point) for point in points]
    cursor = None if behind is None else f"{behind.path}@{behind.time}"
    return json_reply(Page(values_of(rows, int64_as_string=call.query["int64"] == "string"), cursor))


def _row(call: Call, question: Question, point: Point) -> ValueRow:
    server = call.node.server
    device = server.devices.get(question.endpoint)
    registration = device.registration if device is not None else None
    versions = registration.objects.versions if registration is not None else {}
    model = server.models.resource(Path.parse(point.path), versions)
    row = row_of(point.path, point.value, model, point.time / MICRO)
    if question.aggregate == "mean":
        return msgspec.structs.replace(row, type=ResourceType.FLOAT.value)
    return (
        msgspec.structs.replace(row, type=ResourceType.INTEGER.value, unit=None)
        if question.aggregate == "count"
        else row
    )


def _failed(failure: Failure) -> Reply:
    if isinstance(failure.value, StorageError):
        raise unreadable(failure.value)
    failure.raiseException()


_TIME: Final = {"type": "string", "format": "date-time"}

ROUTES: Final = (
    Route(
        "GET",
        "/v1/devices/{endpoint}/history/{path...}",
        _get,
        "What a device told of a path and what is below it",
        (
            p.Parameter("from", "values from this time on", _TIME, _moment, -EVER),
            p.Parameter("to", "values before this time", _TIME, _moment, EVER),
            p.Parameter(
                "every",
                "one point for each period so long, in seconds or like `15m`",
                {"type": "string", "pattern": f"^({_EVERY})$"},
                _period,
            ),
            p.choice(
                "aggregate",
                "what a point is of the values of its period, by itself of all; `mean` if only `every` is there",
                get_args(Aggregate),
            ),
            p.LIMIT,
            p.Parameter(
                "after",
                "the `next` cursor of the page before",
                {"type": "string", "pattern": f"^({_CURSOR})$"},
                _cursor,
            ),
            p.INT64,
        ),
        answers={200: Page[ValueDocument]},
        fails=(503,),
    ),
)
