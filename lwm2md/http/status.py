"""What the daemon is and how it fares: status, health, metrics."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.documents import time_text
from lwm2md.drain import DrainState
from lwm2md.http import metrics
from lwm2md.http.authentication import require_token
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
    """Where state is kept (the scheme of its URL), commits that wait for it, and how often it failed.

    ``error`` says why it fails now, null while it works.
    """

    kind: str
    waiting: int
    failures: int
    error: str | None


class PluginStateDocument(msgspec.Struct):
    """A plugin with its state, its last failure, and what it says is wrong with its work."""

    name: str
    state: str
    failure: str | None
    health: str | None


class StatusDocument(msgspec.Struct):
    """The state of the daemon; ``uptime`` is in seconds."""

    version: str
    name: str
    ready: bool
    drain: DrainState
    started: str | None
    uptime: float
    listeners: list[ListenerDocument]
    counts: CountsDocument
    storage: StorageDocument
    plugins: list[PluginStateDocument]


def _status(call: Call) -> Reply:
    node, api = call.node, call.channel.factory
    server, delivery = node.server, node.delivery
    document = StatusDocument(
        node.version,
        node.settings.lwm2md.name,
        node.ready,
        node.drain.state,
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
        StorageDocument(
            node.settings.storage.url.partition(":")[0],
            delivery.backlog,
            delivery.counters["failures"],
            delivery.failure,
        ),
        [
            PluginStateDocument(each.name, each.state, each.failure, each.health)
            for each in node.plugins.plugins.values()
        ],
    )
    return json_reply(document)


def _live(call: Call) -> Reply:
    return Reply(200, b"ok\n", TEXT.encode(), NO_STORE)


def _ready(call: Call) -> Reply:
    node = call.node
    if not node.ready:
        return _not_ready(b"starting")
    if node.drain.state != "off":
        return _not_ready(b"draining")
    return Reply(200, b"ready\n", TEXT.encode(), NO_STORE)


def _not_ready(why: bytes) -> Reply:
    return Reply(503, why + b"\n", TEXT.encode(), NO_STORE)


def _metrics(call: Call) -> Reply:
    node = call.node
    if not node.settings.api.metrics_open:
        require_token(call.getHeader(b"Authorization"), node.admin_token_hash)
    return Reply(200, call.channel.factory.metrics.render(), metrics.CONTENT_TYPE.encode("ascii"), NO_STORE)


ROUTES: Final = (
    Route("GET", "/v1/status", _status, "The state of the daemon", answers={200: StatusDocument}),
    Route("GET", "/health/live", _live, "Whether the daemon runs", answers={200: None}, media_type=TEXT, open=True),
    Route(
        "GET",
        "/health/ready",
        _ready,
        "Whether the daemon serves, and is not being drained",
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
