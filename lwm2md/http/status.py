"""What the daemon is and how it fares: status, health, metrics, models."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec

from lwm2md.documents import time_text
from lwm2md.http import metrics
from lwm2md.http import parameters as p
from lwm2md.http.authentication import require_token
from lwm2md.http.documents import ModelDocument, Page
from lwm2md.http.replies import NO_STORE, Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route

TEXT: Final = "text/plain; charset=utf-8"


class ListenerDocument(msgspec.Struct):
    """A listener with its real port."""

    transport: str
    address: str


class CountsDocument(msgspec.Struct):
    """How much the daemon knows: ``devices`` in total and by state."""

    devices: int
    states: dict[str, int]
    operations: int
    observations: int
    event_readers: int


class StorageDocument(msgspec.Struct):
    """Where state is kept (the scheme of its URL), commits that wait for it, and how often it failed."""

    kind: str
    waiting: int
    failures: int


class PluginDocument(msgspec.Struct):
    """A plugin with its state and last failure."""

    name: str
    state: str
    failure: str | None = None


class StatusDocument(msgspec.Struct):
    """The state of the daemon; ``uptime`` is in seconds."""

    version: str
    name: str
    ready: bool
    started: str | None
    uptime: float
    listeners: list[ListenerDocument]
    counts: CountsDocument
    storage: StorageDocument
    plugins: list[PluginDocument]


def _status(call: Call) -> Reply:
    node, api = call.node, call.channel.factory
    server, delivery = node.server, node.delivery
    document = StatusDocument(
        node.version,
        node.settings.lwm2md.name,
        node.ready,
        time_text(node.started),
        round(max(0.0, node.now() - node.started), 3),
        [ListenerDocument(each["transport"], each["address"]) for each in node.listeners()],
        CountsDocument(
            len(server.devices),
            dict(api.census.states(node)),
            len(server.operations),
            len(server.observations),
            len(api.streams),
        ),
        StorageDocument(node.settings.storage.url.partition(":")[0], delivery.backlog, delivery.counters["failures"]),
        [],
    )
    return json_reply(document)


def _live(call: Call) -> Reply:
    return Reply(200, b"ok\n", TEXT.encode(), NO_STORE)


def _ready(call: Call) -> Reply:
    if call.node.ready:
        return Reply(200, b"ready\n", TEXT.encode(), NO_STORE)
    return Reply(503, b"starting\n", TEXT.encode(), NO_STORE)


def _metrics(call: Call) -> Reply:
    node = call.node
    if not node.settings.api.metrics_open:
        require_token(call.getHeader(b"Authorization"), node.admin_token_hash)
    return Reply(200, call.channel.factory.metrics.render(), metrics.CONTENT_TYPE.encode("ascii"), NO_STORE)


def _models(call: Call) -> Reply:
    limit, after = call.query["limit"], call.query["after"]
    models = sorted(call.node.server.models, key=lambda model: (model.id, _order(model.version)))
    start = 0
    if after is not None:
        identifier, _, version = after.partition(":")
        cursor_of = (int(identifier), _order(version))
        start = bisect_right(models, cursor_of, key=lambda model: (model.id, _order(model.version)))
    found = models[start : start + limit]
    cursor = f"{found[-1].id}:{found[-1].version}" if found and start + limit < len(models) else None
    items = [ModelDocument(each.id, each.version, each.name, each.multiple, each.mandatory) for each in found]
    return json_reply(Page(items, cursor))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


_AFTER: Final = p.matching("after", p.AFTER.summary, r"[0-9]{1,5}:[0-9]{1,9}(\.[0-9]{1,9}){0,3}")

ROUTES: Final = (
    Route("GET", "/v1/status", _status, "The state of the daemon", answers={200: StatusDocument}),
    Route(
        "GET",
        "/v1/models",
        _models,
        "List object models",
        (p.LIMIT, _AFTER),
        answers={200: Page[ModelDocument]},
    ),
    Route("GET", "/health/live", _live, "Whether the daemon runs", answers={200: None}, media_type=TEXT, open=True),
    Route(
        "GET",
        "/health/ready",
        _ready,
        "Whether the daemon serves",
        answers={200: None, 503: None},
        media_type=TEXT,
        open=True,
    ),
    Route(
        "GET",
        "/metrics",
        _metrics,
        "Counters in Prometheus' text format; open only where `[api] metrics-open` says so",
        answers={200: None},
        media_type=metrics.CONTENT_TYPE,
        open=True,
        fails=(401,),
    ),
)
