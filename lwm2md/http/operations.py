"""Operations: asking something of a device, looking at how it goes, and cancelling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar, get_args
from urllib.parse import quote

from lwm2md.http import parameters as p
from lwm2md.http.authorizing import authorize
from lwm2md.http.bodies import Body
from lwm2md.http.documents import CancelledDocument, OperationDocument, Page, operation_document
from lwm2md.http.problems import storage_failed
from lwm2md.http.replies import NO_STORE, Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.times import WRITING, with_times
from lwm2md.http.waiting import answer_at_end
from lwm2md.server.errors import Refused, UnknownDevice, UnknownOperation
from lwm2md.server.records import Device, Operation, OperationRequest, OperationState

T = TypeVar("T")
ASKING_FAILS: Final = (403, 409, 429, 502, 503, 504)
"""The statuses of what may go wrong with a request to a device."""


def known_device(call: Call) -> Device:
    """The device that the path names; raises UnknownDevice."""
    endpoint = call.path_arguments["endpoint"]
    device = call.node.server.devices.get(endpoint)
    if device is None:
        raise UnknownDevice(f"no device {endpoint!r} is known")
    return device


def submit(call: Call, request: OperationRequest) -> Operation:
    """Hand a request for the path's device to the core; raises what the core refuses."""
    node = call.node
    device = known_device(call)
    authorize(call, device.endpoint, request)
    server = node.server
    if request.op in WRITING:
        registration = device.registration
        versions = registration.objects.versions if registration is not None else {}
        request = with_times(request, server.models.type_of(versions))
    operation = server.submit(device.endpoint, request, node.now())
    node.settle_soon()
    return operation


def located(operation: Operation, call: Call) -> Reply:
    """202 with the open operation, and where to look for its end."""
    location = b"/v1/operations/" + quote(operation.id, safe="").encode("ascii")
    return json_reply(_document(operation, call), 202, (*NO_STORE, (b"Location", location)))


def shown(operation: Operation, call: Call) -> Reply:
    """200 with the operation."""
    return json_reply(_document(operation, call))


def _document(operation: Operation, call: Call) -> OperationDocument:
    return operation_document(operation, int64_as_string=call.query.get("int64") == "string")


def _post(call: Call) -> Reply | None:
    operation = submit(call, call.document)
    return answer_at_end(call, operation, ended=lambda ended: shown(ended, call), queued=lambda op: located(op, call))


def _list(call: Call) -> Reply:
    endpoint, state, after = call.query["endpoint"], call.query["state"], call.query["after"]
    operations = call.node.server.operations
    limit = call.query["limit"]
    items: list[OperationDocument] = []
    skipping = after is not None and after in operations  # forgotten since: everything older is forgotten, too
    last = None
    for operation in operations.values():
        if skipping:
            skipping = operation.id != after
            continue
        if operation.internal or (endpoint or operation.endpoint) != operation.endpoint:
            continue
        certain = operation.certain
        if (state or certain.state) != certain.state:
            continue
        if len(items) == limit:
            return json_reply(Page(items, last))
        items.append(_document(certain, call))
        last = operation.id
    return json_reply(Page(items, None))


def by_id(call: Call, known: Mapping[str, T], missing: type[Refused]) -> T:
    """What the path names by its id; raises ``missing``."""
    identifier = call.path_arguments["id"]
    found = known.get(identifier)
    if found is None:
        raise missing(f"{identifier!r} is not known, or was forgotten")
    return found


def _known(call: Call) -> Operation:
    return by_id(call, call.node.server.operations, UnknownOperation)


def _get(call: Call) -> Reply | None:
    """Nobody is told of an end that a crash could take back."""
    operation = _known(call)
    if not operation.ending or operation.watchers is None:
        return shown(operation, call)
    operation.watchers.append(lambda ended: call.complete(lambda: shown(ended, call)))
    return None


def _delete(call: Call) -> None:
    operation, node = _known(call), call.node

    def durable(committed: bool, now: float) -> None:
        call.complete(lambda: _cancelled(operation, call, committed))

    node.server.cancel(operation.id, node.now(), durable)
    node.settle()


def _delete_all(call: Call) -> None:
    device, node = known_device(call), call.node
    count = 0

    def durable(committed: bool, now: float) -> None:
        call.complete(lambda: _all_cancelled(count, call, committed))

    count = node.server.cancel_all(device.endpoint, node.now(), durable)
    node.settle()


def _all_cancelled(count: int, call: Call, committed: bool) -> Reply:
    if not committed:
        raise storage_failed(call.node.delivery.failure)
    return json_reply(CancelledDocument(count))


def _cancelled(operation: Operation, call: Call, committed: bool) -> Reply:
    if not committed:
        raise storage_failed(call.node.delivery.failure)
    return shown(operation, call)


ROUTES: Final = (
    Route(
        "POST",
        "/v1/devices/{endpoint}/operations",
        _post,
        "Ask something of a device",
        (p.WAIT, p.INT64),
        Body(OperationRequest),
        {200: OperationDocument, 202: OperationDocument},
        fails=(403, 409, 429, 503),
    ),
    Route(
        "DELETE",
        "/v1/devices/{endpoint}/operations",
        _delete_all,
        "Cancel all operations of a device that have not ended",
        answers={200: CancelledDocument},
        fails=(503,),
    ),
    Route(
        "GET",
        "/v1/operations",
        _list,
        "List operations, oldest first",
        (
            p.LIMIT,
            p.AFTER,
            p.text("endpoint", "only those of this device"),
            p.choice("state", "only those in this state", get_args(OperationState)),
            p.INT64,
        ),
        answers={200: Page[OperationDocument]},
    ),
    Route(
        "GET",
        "/v1/operations/{id}",
        _get,
        "One operation",
        (p.INT64,),
        answers={200: OperationDocument},
    ),
    Route(
        "DELETE",
        "/v1/operations/{id}",
        _delete,
        "Cancel an operation that has not ended",
        (p.INT64,),
        answers={200: OperationDocument},
        fails=(503,),
    ),
)
