"""The commands that go on until somebody ends them: events, and the values of an observation."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

from lwm2md.ctl.client import Answer, Client, path_of
from lwm2md.ctl.commands import DEFAULT_WAIT, asking, observation_path
from lwm2md.ctl.errors import DONE, FAILED, PENDING, CommandError
from lwm2md.ctl.following import Followed, follow
from lwm2md.ctl.output import Output, complain
from lwm2md.ctl.patience import Meter, ask
from lwm2md.ctl.tables import show
from lwm2md.lwm2m.paths import Path

ATTRIBUTES: Final = ("pmin", "pmax", "gt", "lt", "st", "epmin", "epmax", "edge", "con", "hqmax")
OF_SEVERAL: Final = ("pmin", "pmax", "epmin", "epmax", "con")
"""Those that several paths can have together."""

_COMMON: Final = frozenset({"id", "time", "type", "endpoint", "labels"})


def events(options: Namespace, client: Client, output: Output) -> int:
    """``events``: what happens, as it happens, without end."""
    query = {"types": options.types, "endpoint": options.of, "selector": options.selector}
    for event in follow(client, query, options.after, sleep=time.sleep, note=complain):
        output.document(event.document, [event_line(event)])
    return DONE


def observe(options: Namespace, client: Client, output: Output) -> int:
    """``observe``: make or change a standing wish, and with ``--watch`` show what comes of it."""
    if not options.watch:
        return _shown(_put(options, client, output.meter), output)

    def put() -> None:
        answer = _put(options, client)
        if answer.document["state"] == "refused":
            _shown(answer, output)

    paths = options.paths if _composite(options) else (options.path,)
    # The stream is opened first: the value that answers the observation is the first one to be shown.
    query = {"types": "device.value", "endpoint": options.endpoint}
    for event in follow(client, query, None, sleep=time.sleep, note=complain, opened=put):
        for row in event.document.get("values", ()):
            if any(path.covers(Path.parse(row["path"])) for path in paths):
                output.document(row, [value_line(row)])
    return DONE


def event_line(event: Followed) -> str:
    """An event in one line: when, what, who, and the rest."""
    document: Mapping[str, Any] = event.document
    rest = [_member(name, value) for name, value in document.items() if name not in _COMMON]
    shown = (document.get("time"), document.get("type", event.type), document.get("endpoint"))
    return "  ".join([*map(show, shown), *rest])


def value_line(row: Mapping[str, Any]) -> str:
    """A value in one line: when, where, and what."""
    unit = f" {show(row['unit'])}" if row.get("unit") else ""
    return f"{show(row.get('time'))}  {show(row['path'])}  {show(row['value'])}{unit}"


def _member(name: str, value: Any) -> str:
    if name == "values" and isinstance(value, list):
        return " ".join(f"{show(row.get('path'))}={show(row.get('value'))}" for row in value)
    return f"{show(name)}={show(value)}"


def _put(options: Namespace, client: Client, meter: Meter | None = None) -> Answer:
    query = asking(options)
    body = {"format": query.pop("format")} if options.format is not None else {}
    query.pop("format", None)
    wait = DEFAULT_WAIT if options.wait is None else float(options.wait)
    body.update({name: value for name in ATTRIBUTES if (value := getattr(options, name, None)) is not None})
    if _composite(options):
        body["paths"] = [str(path) for path in options.paths]
        path = path_of("devices", options.endpoint, "observations")
        return ask(client, meter, "POST", path, query=query, body=body, wait=wait, where=_by_id)
    path = observation_path(options)
    return ask(client, meter, "PUT", path, query=query, body=body, wait=wait, where=lambda _: path)


def _composite(options: Namespace) -> bool:
    return "paths" in options


def _by_id(document: Mapping[str, Any]) -> str:
    return path_of("observations", document["id"])


def _shown(answer: Answer, output: Output) -> int:
    document = answer.document
    state = document["state"]
    if state == "refused":
        where = " ".join(document.get("paths") or [document["path"]])
        what = f"observe {where} of {document['endpoint']}"
        raise CommandError(f"{what}: {document['error'] or state}", FAILED)
    output.facts(document)
    return DONE if state == "active" else PENDING
