"""Reloading the configuration, as SIGHUP does, with its outcome as the answer."""

from __future__ import annotations

from typing import Final

import msgspec

from lwm2md.config.errors import ConfigError, ConfigErrors
from lwm2md.http.problems import FieldError, Problem
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
        faults = [FieldError(_setting(error), str(error)) for error in errors.errors]
        raise Problem("bad-configuration", "; ".join(fault.message for fault in faults), errors=faults) from None
    call.node.settle()
    return json_reply(ReloadDocument(list(reloaded.changed), list(reloaded.restart)))


def _setting(error: ConfigError) -> str:
    return " ".join(word for word in (f"[{error.section}]" if error.section else "", error.key or "") if word)


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
