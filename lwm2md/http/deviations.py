"""Deviations of the fleet: which kinds there are, how many devices have each, and which devices."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.documents import time_text
from lwm2md.http import parameters as p
from lwm2md.http.documents import Page
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.server.deviations import deviations_of, has
from lwm2md.server.diagnoses import diagnosis
from lwm2md.server.records import Device


class KindDocument(msgspec.Struct):
    """One kind of deviation: how many ``devices`` have it, how often it was seen since the start, what to do."""

    kind: str
    devices: int
    count: int
    meaning: str
    advice: str


class AffectedDocument(msgspec.Struct):
    """One device with a deviation of that kind, and how often it was seen."""

    endpoint: str
    count: int
    first: str | None
    last: str | None


def _kinds(call: Call) -> Reply:
    devices = call.channel.factory.census.deviations(call.node)
    counts = call.node.server.deviation_counts()
    known = {
        kind: KindDocument(kind, devices.get(kind, 0), counts.get(kind, 0), *diagnosis(kind))
        for kind in {*devices, *counts}
    }
    items, cursor = page(known, SortedKeys(known), (call.query["limit"], call.query["after"]), lambda found: found)
    return json_reply(Page(items, cursor))


def _devices(call: Call) -> Reply:
    kind = call.path_arguments["kind"]
    items, cursor = page(
        call.node.server.devices,
        call.channel.factory.endpoints,
        (call.query["limit"], call.query["after"]),
        lambda device: _affected(device, kind),
        lambda device: has(device, kind),
    )
    return json_reply(Page(items, cursor))


def _affected(device: Device, kind: str) -> AffectedDocument:
    found = deviations_of(device)[kind]
    return AffectedDocument(device.endpoint, found.count, time_text(found.first), time_text(found.last))


ROUTES: Final = (
    Route(
        "GET",
        "/v1/deviations",
        _kinds,
        "In which ways the devices depart from the specifications",
        (p.LIMIT, p.AFTER),
        answers={200: Page[KindDocument]},
    ),
    Route(
        "GET",
        "/v1/deviations/{kind}",
        _devices,
        "The devices that depart from the specifications in one way",
        (p.LIMIT, p.AFTER),
        answers={200: Page[AffectedDocument]},
    ),
)
