"""What goes over the wire: the last messages of a device, and traces with their live stream and their pcapng file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from lwm2md.http import parameters as p
from lwm2md.http.authorizing import PRINCIPAL
from lwm2md.http.bodies import Body
from lwm2md.http.events import MEDIA_TYPE, EventStream, Push, last_event_id, require_room
from lwm2md.http.operations import known_device
from lwm2md.http.problems import Problem, storage_failed, wrong_field
from lwm2md.http.replies import NO_STORE, Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.tracing import pcapng
from lwm2md.tracing.shown import MessageDocument, document
from lwm2md.tracing.trace import Reader, Trace, TraceDocument
from lwm2md.tracing.traces import Asked

LONGEST: Final = 86400.0
MOST_MESSAGES: Final = 100_000
_LONGEST_NAME: Final = 1024


class MessagesDocument(msgspec.Struct):
    """Messages, the oldest first."""

    items: list[MessageDocument]


class TracesDocument(msgspec.Struct):
    """All traces, the oldest first."""

    items: list[TraceDocument]


def _messages(call: Call) -> Reply:
    found = call.node.tracing.last(known_device(call).endpoint, call.query["limit"])
    return json_reply(MessagesDocument([document(seen) for seen in found]))


def _list(call: Call) -> Reply:
    return json_reply(TracesDocument([trace.document() for trace in call.node.tracing.traces.values()]))


def _start(call: Call) -> None:
    node, asked = call.node, call.document
    _check(asked)

    def outcome(trace: Trace, committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        where = f"/v1/traces/{trace.definition.id}".encode("ascii")
        return json_reply(trace.document(), 201, (*NO_STORE, (b"Location", where)))

    try:
        node.tracing.start(asked, node.now(), lambda trace, ok: call.complete(lambda: outcome(trace, ok)), PRINCIPAL)
    except ValueError:
        raise wrong_field("bad-body", "address", "an IP address or a prefix such as 10.0.0.0/8 is expected") from None
    node.settle()


def _check(asked: Asked) -> None:
    if [asked.endpoint, asked.address, asked.identity].count(None) != 2:
        raise wrong_field("bad-body", "endpoint", "one of endpoint, address and identity is expected")
    for field, name in (("endpoint", asked.endpoint), ("identity", asked.identity)):
        if name is not None and not 0 < len(name) <= _LONGEST_NAME:
            raise wrong_field("bad-body", field, f"1 to {_LONGEST_NAME} characters are expected")
    if not 1 <= asked.duration <= LONGEST:
        raise wrong_field("bad-body", "duration", f"1 to {LONGEST:g} seconds are expected")
    if not 1 <= asked.limit <= MOST_MESSAGES:
        raise wrong_field("bad-body", "limit", f"1 to {MOST_MESSAGES} messages are expected")


def _get(call: Call) -> Reply:
    return json_reply(_known(call).document())


def _delete(call: Call) -> None:
    node = call.node

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        return no_content()

    node.tracing.remove(_known(call), lambda ok, _: call.complete(lambda: outcome(ok)))
    node.settle()


def _stream(call: Call) -> Reply | None:
    trace = _known(call)
    if call.method == b"HEAD":
        return Reply(200, b"", MEDIA_TYPE.encode("ascii"))
    require_room(call)

    def follow(push: Push, closed: Callable[[str], None]) -> Reader:
        reader = Reader(trace, trace.position(last_event_id(call)), push, closed)
        reader.go_on()
        return reader

    EventStream(call).start(follow)
    return None


def _pcapng(call: Call) -> Reply | None:
    trace, node = _known(call), call.node
    if trace.wired is None:
        return _file(call, trace)

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(node.delivery.failure)
        return _file(call, trace)

    node.tracing.tell_secrets(trace, PRINCIPAL, node.now(), lambda ok, _: call.complete(lambda: outcome(ok)))
    return None


def _file(call: Call, trace: Trace) -> Reply:
    name = f'attachment; filename="{trace.definition.id}.pcapng"'.encode("ascii")
    file = pcapng.capture(trace.recorded, f"lwm2md {call.node.version}", trace.wired)
    return Reply(200, file, pcapng.MEDIA_TYPE.encode("ascii"), (*NO_STORE, (b"Content-Disposition", name)))


def _known(call: Call) -> Trace:
    trace = call.node.tracing.traces.get(call.path_arguments["id"])
    if trace is None:
        raise Problem("unknown-trace", "no trace has this id, or it was removed since")
    return trace


ROUTES: Final = (
    Route(
        "GET",
        "/v1/devices/{endpoint}/messages",
        _messages,
        "The last messages from and to a device",
        (p.LIMIT,),
        answers={200: MessagesDocument},
    ),
    Route("GET", "/v1/traces", _list, "List traces", answers={200: TracesDocument}),
    Route(
        "POST",
        "/v1/traces",
        _start,
        "Trace a device or a range of addresses for a while",
        body=Body(Asked),
        answers={201: TraceDocument},
        fails=(404, 409, 503),
    ),
    Route("GET", "/v1/traces/{id}", _get, "One trace", answers={200: TraceDocument}),
    Route("DELETE", "/v1/traces/{id}", _delete, "End and remove a trace", answers={204: None}, fails=(503,)),
    Route(
        "GET",
        "/v1/traces/{id}/messages",
        _stream,
        "The messages of a trace, from its beginning and then as they come",
        answers={200: None},
        media_type=MEDIA_TYPE,
        fails=(503,),
    ),
    Route(
        "GET",
        "/v1/traces/{id}/pcapng",
        _pcapng,
        "The messages of a trace as a file for Wireshark",
        answers={200: None},
        media_type=pcapng.MEDIA_TYPE,
        fails=(503,),
    ),
)
