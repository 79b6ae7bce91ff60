"""Resources of a device by their path: read, write, execute, create and delete, and what was last known of them."""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body, PostBody, ValueBody
from lwm2md.http.documents import OperationDocument, ValuesDocument, operation_document, twin_document, values_of
from lwm2md.http.operations import ASKING_FAILS, known_device, located, submit
from lwm2md.http.problems import Problem, storage_failed
from lwm2md.http.replies import NO_STORE, Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_at_end
from lwm2md.lwm2m.paths import ROOT, Path, PathError
from lwm2md.server.ledger import GONE, OUTCOME_UNKNOWN
from lwm2md.server.records import Operation, OperationRequest

_FAILURES: Final = {"no answer": "no-answer", OUTCOME_UNKNOWN: OUTCOME_UNKNOWN, GONE: "not-registered"}


def lwm2m_path(call: Call) -> Path:
    """The LwM2M path in the call's path; raises `Problem`."""
    try:
        return Path.parse("/" + call.path_arguments["path"])
    except PathError as error:
        raise Problem("bad-path", f"/{call.path_arguments['path'][:40]}: {error}") from None


def failure(operation: Operation, storage: str | None) -> Problem:
    """The problem document for an operation that ended otherwise than done; ``storage`` is why that fails."""
    what = f"{operation.op} {operation.path} of {operation.endpoint}"
    about = operation.id
    if operation.error is not None and operation.error.startswith("storage failed"):
        return storage_failed(storage)
    if operation.state == "cancelled":
        return Problem("cancelled", f"{what} was cancelled", operation=about)
    if operation.state == "expired":
        return Problem("expired", f"{what} waited for the device until its ttl was over", operation=about)
    if operation.coap_code is not None and not operation.coap_code.startswith("2."):
        said = f": {operation.error}" if operation.error else ""
        return Problem(
            "device-error", f"{what}: {operation.coap_code}{said}", coap_code=operation.coap_code, operation=about
        )
    return Problem(_FAILURES.get(operation.error or "", "device-failed"), f"{what}: {operation.error}", operation=about)


def _run(call: Call, request: OperationRequest) -> Reply | None:
    operation = submit(call, request)
    return answer_at_end(call, operation, ended=lambda ended: _ended(ended, call), queued=lambda op: located(op, call))


def _ended(operation: Operation, call: Call) -> Reply:
    if operation.state != "done":
        raise failure(operation, call.node.delivery.failure)
    as_string = call.query.get("int64") == "string"
    result = operation.result
    if operation.op == "read":
        rows = result.values if result is not None else None
        return json_reply(ValuesDocument(values_of(rows or (), int64_as_string=as_string)))
    document = operation_document(operation, int64_as_string=as_string)
    if operation.op != "create":
        return json_reply(document)
    if result is None or result.location is None:
        return json_reply(document, 201)
    location = f"/v1/devices/{quote(operation.endpoint, safe='')}/resources{result.location}".encode("ascii")
    return json_reply(document, 201, (*NO_STORE, (b"Location", location)))


def _request(call: Call, op: str, path: Path, **fields: object) -> OperationRequest:
    query = call.query
    return OperationRequest(
        op=op,  # type: ignore[arg-type]
        path=str(path),
        format=query.get("format"),
        timeout=query.get("timeout"),
        ttl=query.get("ttl"),
        force=query.get("force") == "true",
        when=query["when"],
        retries=query["retries"],
        **fields,  # type: ignore[arg-type]
    )


def _get(call: Call) -> Reply | None:
    path = lwm2m_path(call)
    if call.query["source"] == "device":
        return _run(call, _request(call, "read", path))
    return _known(call, path)


def _known(call: Call, path: Path) -> Reply:
    device, node = known_device(call), call.node
    rows = node.server.twin_rows(device.endpoint, path)
    if not rows:
        raise Problem("no-value", f"no value of {path} of {device.endpoint} is known")
    as_string = call.query["int64"] == "string"
    return json_reply(twin_document(rows, device.twin or {}, node.now(), int64_as_string=as_string))


def _write(op: str, call: Call) -> Reply | None:
    body: ValueBody = call.document
    if (body.value is msgspec.UNSET) == (body.values is None):
        raise Problem("bad-body", 'either "value" or "values" is expected')
    return _run(call, _request(call, op, lwm2m_path(call), value=body.value, values=body.values))


def _post(call: Call) -> Reply | None:
    body: PostBody = call.document
    path = lwm2m_path(call)
    if len(path) == 1:
        if body.arguments is not None:
            raise Problem("bad-operation", f"{path} is an Object: POST creates an instance, which takes no arguments")
        return _run(call, _request(call, "create", path, id=body.id, values=body.values))
    if len(path) != 3:
        raise Problem("bad-operation", f"POST executes a Resource or creates below an Object; {path} is neither")
    if body.id is not None or body.values is not None:
        raise Problem("bad-operation", f"{path} is a Resource: POST executes it, with arguments only")
    return _run(call, _request(call, "execute", path, arguments=body.arguments))


def _delete(call: Call) -> Reply | None:
    return _run(call, _request(call, "delete", lwm2m_path(call)))


_ALL: Final = "/v1/devices/{endpoint}/resources"
_TEMPLATE: Final = _ALL + "/{path...}"
_ASKING: Final = (p.WAIT, p.TTL, p.TIMEOUT, p.FORCE, p.WHEN, p.RETRIES)
_SOURCE: Final = p.choice("source", "`twin` is the value last read, notified or sent", ("device", "twin"), "device")
_TWIN: Final = p.choice("source", "`twin`: a whole device can't be read", ("twin",), "twin")
_DONE: Final = {200: OperationDocument, 202: OperationDocument}
_EITHER: Final = {
    "oneOf": [
        {"required": ["value"], "properties": {"values": {"type": "null"}}},
        {"required": ["values"], "properties": {"values": {"type": "object"}}, "not": {"required": ["value"]}},
    ]
}
_WRITTEN: Final = Body(ValueBody, more=_EITHER)


def _writing(method: str, op: str, summary: str) -> Route:
    return Route(
        method,
        _TEMPLATE,
        partial(_write, op),
        summary,
        (*_ASKING, p.FORMAT, p.INT64),
        _WRITTEN,
        _DONE,
        fails=ASKING_FAILS,
    )


ROUTES: Final = (
    Route(
        "GET",
        _ALL,
        lambda call: _known(call, ROOT),
        "All that was last known of a device",
        (_TWIN, p.INT64),
        answers={200: ValuesDocument},
    ),
    Route(
        "GET",
        _TEMPLATE,
        _get,
        "Read from the device, or what was last known",
        (*_ASKING, p.FORMAT, _SOURCE, p.INT64),
        answers={200: ValuesDocument, 202: OperationDocument},
        fails=ASKING_FAILS,
    ),
    _writing("PUT", "write", "Write, replacing what is there"),
    _writing("PATCH", "write-partial", "Write in part"),
    Route(
        "POST",
        _TEMPLATE,
        _post,
        "Execute a Resource, or create an instance of an Object",
        (*_ASKING, p.FORMAT, p.INT64),
        Body(PostBody, optional=True),
        {200: OperationDocument, 201: OperationDocument, 202: OperationDocument},
        fails=ASKING_FAILS,
    ),
    Route(
        "DELETE",
        _TEMPLATE,
        _delete,
        "Delete an Object Instance, or a Resource Instance",
        _ASKING,
        answers=_DONE,
        fails=ASKING_FAILS,
    ),
)
