"""Observations: standing wishes, kept until the operator cancels them."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from lwm2md.http import parameters as p
from lwm2md.http.authorizing import authorize
from lwm2md.http.bodies import Body, CompositeBody, ObservationBody
from lwm2md.http.documents import ObservationDocument, Page, observation_document
from lwm2md.http.operations import by_id, known_device
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.problems import storage_failed
from lwm2md.http.replies import NO_STORE, Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.resources import lwm2m_path
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_at_end
from lwm2md.server.errors import UnknownObservation
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.wish import Observation


def _document(call: Call, observation: Observation) -> ObservationDocument:
    return observation_document(observation, call.node.started, call.node.now())


def _page(call: Call, endpoint: str | None) -> Reply:
    server = call.node.server
    if endpoint is None:
        source, keys = server.observations, call.channel.factory.observations
    else:
        device = server.devices.get(endpoint)
        source = {each.id: each for each in (device.observations if device is not None else ())}
        keys = SortedKeys(source)
    items, cursor = page(source, keys, (call.query["limit"], call.query["after"]), partial(_document, call))
    return json_reply(Page(items, cursor))


def _list(call: Call) -> Reply:
    return _page(call, call.query["endpoint"])


def _list_of_device(call: Call) -> Reply:
    return _page(call, known_device(call).endpoint)


def _by_id(call: Call) -> Observation:
    return by_id(call, call.node.server.observations, UnknownObservation)


def _by_path(call: Call) -> Observation:
    device, path = known_device(call), lwm2m_path(call)
    return call.node.server.observation(device.endpoint, path)


def _get_by_id(call: Call) -> Reply:
    return json_reply(_document(call, _by_id(call)))


def _get_by_path(call: Call) -> Reply:
    return json_reply(_document(call, _by_path(call)))


def _put(call: Call) -> None:
    path = lwm2m_path(call)
    _wish(call, _request(call, "observe", path=str(path)))


def _post(call: Call) -> None:
    _wish(call, _request(call, "observe-composite"))


def _request(call: Call, op: Literal["observe", "observe-composite"], path: str | None = None) -> OperationRequest:
    """What is asked for: the members of the body are attributes, but for these two."""
    given = {name: value for name, value in msgspec.structs.asdict(call.document).items() if value is not None}
    return OperationRequest(
        op=op,
        path=path,
        paths=given.pop("paths", None),
        format=given.pop("format", None),
        attributes=given or None,
        ttl=call.query["ttl"],
        timeout=call.query["timeout"],
        force=call.query["force"] == "true",
    )


def _wish(call: Call, request: OperationRequest) -> None:
    """Make or change a wish, and answer with it when the device has taken it, or the waiting is over."""
    device, node = known_device(call), call.node
    authorize(call, device.endpoint, request)
    wish: list[tuple[Observation, bool, Operation]] = []
    stored: list[bool] = []

    def proceed() -> Reply | None:
        observation, created, operation = wish[0]
        if not stored[0]:
            raise storage_failed(call.node.delivery.failure)
        return answer_at_end(
            call,
            operation,
            ended=lambda _: _made(call, observation, created=created),
            queued=lambda _: json_reply(_document(call, observation), 202),
            keep=False,
        )

    def durable(committed: bool, now: float) -> None:
        stored.append(committed)
        if wish:
            call.complete(proceed)

    # With a storage that answers at once `durable` may come before `observe` has returned.
    wish.append(node.server.observe(device.endpoint, request, node.now(), durable))
    if stored:
        call.complete(proceed)
    node.settle()


def _made(call: Call, observation: Observation, *, created: bool) -> Reply:
    if not created:
        return json_reply(_document(call, observation))
    location = b"/v1/observations/" + quote(observation.id, safe="").encode("ascii")
    return json_reply(_document(call, observation), 201, (*NO_STORE, (b"Location", location)))


def _delete_by_id(call: Call) -> None:
    _remove(call, _by_id(call))


def _delete_by_path(call: Call) -> None:
    _remove(call, _by_path(call))


def _remove(call: Call, observation: Observation) -> None:
    node = call.node
    authorize(call, observation.endpoint, _cancellation(observation))

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        return no_content()

    def durable(committed: bool, now: float) -> None:
        call.complete(lambda: outcome(committed))

    node.server.unobserve(observation.id, node.now(), durable)
    node.settle()


def _cancellation(observation: Observation) -> OperationRequest:
    if observation.paths:
        return OperationRequest(op="cancel-observe", paths=tuple(map(str, observation.paths)))
    return OperationRequest(op="cancel-observe", path=str(observation.path))


_PATH: Final = "/v1/devices/{endpoint}/observations/{path...}"
_PAGE: Final = {200: Page[ObservationDocument]}
_MADE: Final = {200: ObservationDocument, 201: ObservationDocument, 202: ObservationDocument}
_ASKING: Final = (p.WAIT, p.TTL, p.TIMEOUT, p.FORCE)

ROUTES: Final = (
    Route(
        "GET",
        "/v1/observations",
        _list,
        "List observations",
        (p.LIMIT, p.AFTER, p.text("endpoint", "only those of this device")),
        answers=_PAGE,
    ),
    Route("GET", "/v1/observations/{id}", _get_by_id, "One observation", answers={200: ObservationDocument}),
    Route(
        "DELETE", "/v1/observations/{id}", _delete_by_id, "Cancel an observation", answers={204: None}, fails=(403, 503)
    ),
    Route(
        "GET",
        "/v1/devices/{endpoint}/observations",
        _list_of_device,
        "List a device's observations",
        (p.LIMIT, p.AFTER),
        answers=_PAGE,
    ),
    Route(
        "POST",
        "/v1/devices/{endpoint}/observations",
        _post,
        "Observe several paths as one",
        _ASKING,
        Body(CompositeBody),
        _MADE,
        fails=(403, 409, 429, 503),
    ),
    Route("GET", _PATH, _get_by_path, "The observation of a path", answers={200: ObservationDocument}),
    Route(
        "PUT",
        _PATH,
        _put,
        "Observe a path, or change how",
        _ASKING,
        Body(ObservationBody, optional=True),
        _MADE,
        fails=(403, 409, 429, 503),
    ),
    Route("DELETE", _PATH, _delete_by_path, "Cancel the observation of a path", answers={204: None}, fails=(403, 503)),
)
