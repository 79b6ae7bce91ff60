"""Reloading the configuration, as SIGHUP does, with its outcome as the answer."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.config.errors import ConfigErrors
from lwm2md.http.problems import bad_configuration
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route


class ReloadDocument(msgspec.Struct):
    """Which settings have ``changed``, and which would by a ``restart``, as ``[queue] ttl``."""

    changed: list[str]
    restart: list[str]


def _reload(call: Call) -> Reply:
    try:
        reloaded = call.node.reload()
    except ConfigErrors as errors:
        raise bad_configuration(errors) from None
    call.node.settle()
    return json_reply(ReloadDocument(list(reloaded.changed), list(reloaded.restart)))


ROUTES: Final = (
    Route(
        "POST",
        "/v1/reload",
        _reload,
        "Read the configuration again and run by it, all of it or nothing",
        answers={200: ReloadDocument},
        fails=(422, 503),
    ),
)
