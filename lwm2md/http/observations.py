"""Observations: standing wishes, kept until the operator cancels them."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body, ObservationBody
from lwm2md.http.documents import ObservationDocument, Page, observation_document
from lwm2md.http.operations import known_device
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.problems import storage_failed
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.resources import lwm2m_path
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_at_end
from lwm2md.server.errors import UnknownObservation
from lwm2md.server.records import Observation, Operation, OperationRequest


def _page(call: Call, endpoint: str | None) -> Reply:
    server = call.node.server
    if endpoint is None:
        source, keys = server.observations, call.channel.factory.observations
    else:
        device = server.devices.get(endpoint)
        own = device.observations if device is not None else None
        source = {each.id: each for each in (own or {}).values()}
        keys = SortedKeys(source)
    items, cursor = page(source, keys, (call.query["limit"], call.query["after"]), observation_document)
    return json_reply(Page(items, cursor))


def _list(call: Call) -> Reply:
    return _page(call, call.query["endpoint"])


def _list_of_device(call: Call) -> Reply:
    return _page(call, known_device(call).endpoint)


def _by_id(call: Call) -> Observation:
    identifier = call.path_arguments["id"]
    observation = call.node.server.observations.get(identifier)
    if observation is None:
        raise UnknownObservation(f"no observation {identifier!r} is known")
    return observation


def _by_path(call: Call) -> Observation:
    device, path = known_device(call), lwm2m_path(call)
    return call.node.server.observation(device.endpoint, path)


def _get_by_id(call: Call) -> Reply:
    return json_reply(observation_document(_by_id(call)))


def _get_by_path(call: Call) -> Reply:
    return json_reply(observation_document(_by_path(call)))


def _put(call: Call) -> None:
    device, path, body = known_device(call), lwm2m_path(call), call.document
    node = call.node
    given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
    request = OperationRequest(
        op="observe",
        path=str(path),
        format=given.pop("format", None),
        attributes=given or None,
        ttl=call.query["ttl"],
        timeout=call.query["timeout"],
    )
    wish: list[tuple[Observation, bool, Operation]] = []
    stored: list[bool] = []

    def proceed() -> Reply | None:
        observation, created, operation = wish[0]
        if not stored[0]:
            raise storage_failed()
        document = observation_document
        return answer_at_end(
            call,
            operation,
            ended=lambda _: json_reply(document(observation), 201 if created else 200),
            queued=lambda _: json_reply(document(observation), 202),
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


def _delete_by_id(call: Call) -> None:
    _remove(call, _by_id(call))


def _delete_by_path(call: Call) -> None:
    _remove(call, _by_path(call))


def _remove(call: Call, observation: Observation) -> None:
    node = call.node

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed()
        return no_content()

    def durable(committed: bool, now: float) -> None:
        call.complete(lambda: outcome(committed))

    node.server.unobserve(observation.id, node.now(), durable)
    node.settle()


_PATH: Final = "/v1/devices/{endpoint}/observations/{path...}"
_PAGE: Final = {200: Page[ObservationDocument]}

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
    Route("DELETE", "/v1/observations/{id}", _delete_by_id, "Cancel an observation", answers={204: None}, fails=(503,)),
    Route(
        "GET",
        "/v1/devices/{endpoint}/observations",
        _list_of_device,
        "List a device's observations",
        (p.LIMIT, p.AFTER),
        answers=_PAGE,
    ),
    Route("GET", _PATH, _get_by_path, "The observation of a path", answers={200: ObservationDocument}),
    Route(
        "PUT",
        _PATH,
        _put,
        "Observe a path, or change how",
        (p.WAIT, p.TTL, p.TIMEOUT),
        Body(ObservationBody, optional=True),
        {200: ObservationDocument, 201: ObservationDocument, 202: ObservationDocument},
        fails=(409, 429, 503),
    ),
    Route("DELETE", _PATH, _delete_by_path, "Cancel the observation of a path", answers={204: None}, fails=(503,)),
)
