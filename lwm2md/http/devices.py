"""Devices: the list, one device, its operator's labels, its Objects, and forgetting it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, get_args

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body, DeviceBody
from lwm2md.http.documents import (
    DeviationDocument,
    DeviceDocument,
    ObjectsDocument,
    Page,
    deviation_document,
    device_document,
    objects_document,
)
from lwm2md.http.operations import known_device
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_when_durable
from lwm2md.server import selectors
from lwm2md.server.effects import Resume
from lwm2md.server.records import Device, DeviceState


def _selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    return selectors.parse(text)


_TERM: Final = r"[^=,]*[^=,!\s\x1c-\x1f\x85][^=,]*=[^,]*"
SELECTOR: Final = p.Parameter(
    "selector",
    "terms on labels that all hold, `farm=north,enclosure!=7`",
    {"type": "string", "pattern": rf"^(\s*|{_TERM}(,{_TERM}){{0,{selectors.MAX_TERMS - 1}}})$"},
    _selector,
)


def _list(call: Call) -> Reply:
    node, query = call.node, call.query
    now = node.now()
    selector, state = query["selector"], query["state"]

    def wanted(device: Device) -> bool:
        return (state is None or device.state(now) == state) and (selector is None or selector(device.all_labels()))

    devices, address_of = node.server.devices, node.server.address_of
    items, cursor = page(
        devices,
        call.channel.factory.endpoints,
        (query["limit"], query["after"]),
        lambda device: device_document(device, node.server.facts(device, now), now, address_of),
        wanted,
    )
    return json_reply(Page(items, cursor))


def _get(call: Call) -> Reply:
    device, node = known_device(call), call.node
    now = node.now()
    return json_reply(device_document(device, node.server.facts(device, now), now, node.server.address_of))


def _patch(call: Call) -> None:
    device, node, body = known_device(call), call.node, call.document

    def change(then: Resume) -> None:
        node.server.amend(device.endpoint, node.now(), then, labels=body.labels, profile=body.profile)

    answer_when_durable(call, change, lambda: _get(call))


def _delete(call: Call) -> None:
    device, node = known_device(call), call.node
    answer_when_durable(call, lambda then: node.server.forget(device.endpoint, node.now(), then), no_content)


def _objects(call: Call) -> Reply:
    device, server = known_device(call), call.node.server
    registration = device.registration
    if registration is None:
        return json_reply(ObjectsDocument([], []))
    found = {path.object for path in registration.objects.paths if path.object is not None}
    return json_reply(objects_document(registration, {key: server.model_of(device, key) for key in found}))


def _deviations(call: Call) -> Reply:
    found = call.node.server.deviations(known_device(call).endpoint)
    window = (call.query["limit"], call.query["after"])
    items, cursor = page(found, SortedKeys(found), window, deviation_document)
    return json_reply(Page(items, cursor))


ROUTES: Final = (
    Route(
        "GET",
        "/v1/devices",
        _list,
        "List devices by endpoint",
        (p.LIMIT, p.AFTER, SELECTOR, p.choice("state", "only those in this state", get_args(DeviceState))),
        answers={200: Page[DeviceDocument]},
    ),
    Route("GET", "/v1/devices/{endpoint}", _get, "One device", answers={200: DeviceDocument}),
    Route(
        "PATCH",
        "/v1/devices/{endpoint}",
        _patch,
        "Set or remove labels, give or take a profile by hand",
        body=Body(DeviceBody),
        answers={200: DeviceDocument},
        fails=(409, 503),
    ),
    Route(
        "DELETE",
        "/v1/devices/{endpoint}",
        _delete,
        "Forget a device: registration, observations, queue, values and history",
        answers={204: None},
        fails=(503,),
    ),
    Route(
        "GET",
        "/v1/devices/{endpoint}/objects",
        _objects,
        "Objects and instances with their models",
        answers={200: ObjectsDocument},
    ),
    Route(
        "GET",
        "/v1/devices/{endpoint}/deviations",
        _deviations,
        "In which ways a device departs from the specifications",
        (p.LIMIT, p.AFTER),
        answers={200: Page[DeviationDocument]},
    ),
)
