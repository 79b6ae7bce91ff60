"""Draining the daemon: that it takes nothing new, how far that is, and taking it back."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.documents import time_text
from lwm2md.drain import DrainState
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route


class DrainDocument(msgspec.Struct):
    """How far it is: ``off``, ``draining`` or ``drained``, and since when it was asked for.

    ``under_way`` counts requests that are at devices, ``waiting`` commits that wait for the storage; ``error`` is why
    that takes none.
    """

    state: DrainState
    since: str | None
    under_way: int
    waiting: int
    error: str | None


def _shown(call: Call, status: int = 200) -> Reply:
    node = call.node
    since = None if node.drain.since is None else time_text(node.drain.since)
    delivery = node.delivery
    document = DrainDocument(node.drain.state, since, node.server.under_way(), delivery.backlog, delivery.failure)
    return json_reply(document, status)


def _begin(call: Call) -> Reply:
    call.node.drain.begin()
    return _shown(call)


def _end(call: Call) -> Reply:
    call.node.drain.end()
    return _shown(call)


ROUTES: Final = (
    Route("GET", "/v1/drain", _shown, "Whether the daemon is being drained", answers={200: DrainDocument}),
    Route(
        "POST",
        "/v1/drain",
        _begin,
        "Take nothing new for devices, end what is under way, store everything",
        answers={200: DrainDocument},
    ),
    Route("DELETE", "/v1/drain", _end, "Take everything again", answers={200: DrainDocument}),
)
