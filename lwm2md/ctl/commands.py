"""The commands that ask once and are done: each takes the parsed options and returns the exit status."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from lwm2md.ctl.client import Answer, Client, pages, path_of
from lwm2md.ctl.errors import DONE, FAILED, PENDING, USAGE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.patience import ask
from lwm2md.ctl.tables import show, table
from lwm2md.ctl.values import Types, body_of_values, kind_of, resource_pair, typed, types_of
from lwm2md.lwm2m.paths import Path, PathError

Command = Callable[[Namespace, Client, Output], int]

DEFAULT_WAIT: Final = 10.0
_QUEUED: Final = 202
_BAD: Final = 400
_UNFINISHED: Final = frozenset({"queued", "sent", "expired"})
_UNANSWERED: Final = frozenset({"no answer", "outcome-unknown"})
_DEVICES: Final = ("endpoint", "state", "version", "lifetime", "binding", "address", "last_seen", "labels")
_OPERATIONS: Final = ("id", "endpoint", "op", "path", "state", "created", "coap_code", "error")
_QUEUE: Final = ("id", "op", "path", "when", "priority", "created", "expires")
_OBSERVATIONS: Final = ("endpoint", "path", "state", "attributes", "notifications", "last_notification", "error")
_DEVIATIONS: Final = ("kind", "count", "first", "last", "sample")
_AFFECTED: Final = ("endpoint", "count", "first", "last")
_KINDS: Final = ("kind", "devices", "count", "meaning")
_VALUES: Final = ("path", "name", "value", "unit", "time")


def _heads(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ").upper() for name in names]


# Looking


def status(options: Namespace, client: Client, output: Output) -> int:
    """``status``: the state of the daemon."""
    output.facts(client.get("/v1/status"))
    return DONE


def devices(options: Namespace, client: Client, output: Output) -> int:
    """``devices``: the fleet, or what a selector and a state leave of it."""
    query = {"selector": options.selector, "state": options.state}
    output.items(pages(client, "/v1/devices", query, options.limit), _heads(_DEVICES), _DEVICES)
    return DONE


def device(options: Namespace, client: Client, output: Output) -> int:
    """``device``: everything that is known of one; a profile is given or taken first."""
    path = path_of("devices", options.endpoint)
    if options.profile is not None or options.no_profile:
        client.request("PATCH", path, body={"profile": options.profile})
    output.facts(client.get(path))
    return DONE


def deviations(options: Namespace, client: Client, output: Output) -> int:
    """``deviations``: in which ways a device, or any of them, departs from the specifications; or which devices do."""
    names: Sequence[str] = _DEVIATIONS
    if options.of is not None:
        path = path_of("devices", options.of, "deviations")
    elif options.kind is not None:
        path, names = path_of("deviations", options.kind), _AFFECTED
    else:
        path, names = "/v1/deviations", _KINDS
    output.items(pages(client, path, {}, options.limit), _heads(names), names)
    return DONE


def objects(options: Namespace, client: Client, output: Output) -> int:
    """``objects``: what a device has, with the names of the models."""
    found = client.get(path_of("devices", options.endpoint, "objects"))["items"]
    names = ("id", "name", "version", "model_version", "instances")
    output.items(found, _heads(names), names)
    return DONE


def operations(options: Namespace, client: Client, output: Output) -> int:
    """``operations``: those that are remembered."""
    query = {"endpoint": options.of, "state": options.state}
    output.items(pages(client, "/v1/operations", query, options.limit), _heads(_OPERATIONS), _OPERATIONS)
    return DONE


def observation(options: Namespace, client: Client, output: Output) -> int:
    """``observation``: one standing wish, by its id or by device and path."""
    output.facts(client.get(observation_path(options)))
    return DONE


def openapi(options: Namespace, client: Client, output: Output) -> int:
    """``openapi``: the API's document for programs."""
    output.as_json = True
    output.document(client.get("/v1/openapi.json"), ())
    return DONE


def metrics(options: Namespace, client: Client, output: Output) -> int:
    """``metrics``: the counters, in Prometheus' text format."""
    output.text(client.text("/metrics")[1])
    return DONE


def health(options: Namespace, client: Client, output: Output) -> int:
    """``health``: whether the daemon lives and serves."""
    found = {name: client.text(f"/health/{name}") for name in ("live", "ready")}
    output.facts({name: said.strip() for name, (_, said) in found.items()})
    return DONE if all(status < _BAD for status, _ in found.values()) else FAILED


def operation(options: Namespace, client: Client, output: Output) -> int:
    """``operation``: one of them."""
    return finish(Answer(200, client.get(path_of("operations", options.id))), output, whole=True)


def queue(options: Namespace, client: Client, output: Output) -> int:
    """``queue``: what waits for a device."""
    query = {"endpoint": options.endpoint, "state": "queued"}
    output.items(pages(client, "/v1/operations", query, options.limit), _heads(_QUEUE), _QUEUE)
    return DONE


def cancel(options: Namespace, client: Client, output: Output) -> int:
    """``cancel``: end an operation that has not ended, or all of a device."""
    if (options.id is None) == (options.of is None):
        raise CommandError("cancel: either an ID or --endpoint is expected", USAGE)
    path = path_of("operations", options.id) if options.of is None else path_of("devices", options.of, "operations")
    output.facts(client.request("DELETE", path).document)
    return DONE


def observations(options: Namespace, client: Client, output: Output) -> int:
    """``observations``: the standing wishes of all devices, or of one."""
    path = "/v1/observations" if options.of is None else path_of("devices", options.of, "observations")
    output.items(pages(client, path, {}, options.limit), _heads(_OBSERVATIONS), _OBSERVATIONS)
    return DONE


# Asking a device


def read(options: Namespace, client: Client, output: Output) -> int:
    """``read``: values from the device, or those last known."""
    source = options.source
    query = {**asking(options), "source": source} if source != "device" else asking(options)
    answer = _patient(options, client, output, "GET", query)
    document = answer.document
    if "state" in document:
        if document["state"] != "done":
            return finish(answer, output)
        document = {"values": (document["result"] or {}).get("values") or []}
    output.document(document, values_table(document["values"], output.columns))
    return DONE


def write(options: Namespace, client: Client, output: Output) -> int:
    """``write``: one value to a Resource, or several below a path."""
    path: Path = options.path
    pairs = _pairs(options.values)
    single = len(options.values) == 1 and len(path) > 2 and (pairs is None or options.string)
    if pairs is None and not single:
        raise CommandError(f"write {path}: PATH=VALUE is expected, one for each Resource", USAGE)
    types = None if options.string else _types(options, client)
    if single:
        text = options.values[0]
        body: dict[str, object] = {"value": text if types is None else typed(text, kind_of(path, types))}
    else:
        body = {"values": _values(path, pairs or (), types)}
    return _ask("PATCH" if options.partial else "PUT", options, client, output, body)


def execute(options: Namespace, client: Client, output: Output) -> int:
    """``execute``: a Resource, with arguments."""
    _level(options, 3, "execute", "a Resource")
    arguments = dict(options.arguments)
    return _ask("POST", options, client, output, {"arguments": arguments} if arguments else None)


def create(options: Namespace, client: Client, output: Output) -> int:
    """``create``: an instance of an Object."""
    _level(options, 1, "create", "an Object")
    types = None if options.string else _types(options, client)
    instance = Path((options.path[0], options.instance or 0))
    body: dict[str, object] = {"values": _values(instance, options.values, types)}
    if options.instance is not None:
        body["id"] = options.instance
    return _ask("POST", options, client, output, body)


def delete(options: Namespace, client: Client, output: Output) -> int:
    """``delete``: an Object Instance of the device."""
    return _ask("DELETE", options, client, output)


def discover(options: Namespace, client: Client, output: Output) -> int:
    """``discover``: which paths there are, and their attributes."""
    return _operate(options, client, output, {**_at(options), "op": "discover", "depth": options.depth})


def attributes(options: Namespace, client: Client, output: Output) -> int:
    """``attributes``: set or unset notification attributes at the device."""
    request = {**_at(options), "op": "write-attributes", "attributes": dict(options.attributes)}
    return _operate(options, client, output, request)


def read_composite(options: Namespace, client: Client, output: Output) -> int:
    """``read-composite``: values of several paths at once."""
    request = {"op": "read-composite", "paths": [str(path) for path in options.paths]}
    return _operate(options, client, output, request)


def write_composite(options: Namespace, client: Client, output: Output) -> int:
    """``write-composite``: values of several Objects at once, all or none."""
    if not (options.values or options.delete):
        raise CommandError("write-composite: PATH=VALUE or --delete PATH is expected", USAGE)
    types = None if options.string else _types(options, client)
    found: dict[str, object] = _values(Path(), options.values, types)
    found.update({str(path): None for path in options.delete})
    return _operate(options, client, output, {"op": "write-composite", "values": found})


def unobserve(options: Namespace, client: Client, output: Output) -> int:
    """``unobserve``: end a standing wish."""
    client.request("DELETE", observation_path(options))
    where = f" at {options.path}" if options.path is not None else ""
    output.said(f"{show(options.endpoint)} is no longer observed{where}")
    return DONE


# What is kept of a device


def label(options: Namespace, client: Client, output: Output) -> int:
    """``label``: set and remove the operator's labels."""
    body = {"labels": dict(options.labels)}
    document = client.request("PATCH", path_of("devices", options.endpoint), body=body).document
    output.document(document, [show(document["labels"])])
    return DONE


def forget(options: Namespace, client: Client, output: Output) -> int:
    """``forget``: remove everything that is known of a device."""
    client.request("DELETE", path_of("devices", options.endpoint))
    output.said(f"{show(options.endpoint)} is forgotten")
    return DONE


def reload(options: Namespace, client: Client, output: Output) -> int:
    """``reload``: let the daemon run by its configuration as it is now."""
    document = client.request("POST", "/v1/reload").document
    lines = [f"changed: {show(', '.join(document['changed']) or 'nothing')}"]
    if document["restart"]:
        lines.append(f"not before a restart: {show(', '.join(document['restart']))}")
    output.document(document, lines)
    return DONE


# What they share


def values_table(values: Sequence[Mapping[str, Any]], columns: int) -> list[str]:
    """Rows of values as a table; one value alone is shown without one."""
    if len(values) == 1:
        unit = values[0].get("unit")
        return [show(values[0]["value"]) + (f" {show(unit)}" if unit else "")]
    return table(_heads(_VALUES), [[row.get(name) for name in _VALUES] for row in values], columns)


def finish(answer: Answer, output: Output, *, whole: bool = False) -> int:
    """Show an operation, in its ``whole`` or only what came of it; the exit status says whether it was done.

    Raises CommandError where it failed, after the JSON was written.
    """
    document = answer.document
    state = document["state"]
    if output.as_json or whole or state in ("queued", "sent"):
        output.facts(document)
    elif state == "done":
        output.document(document, _outcome(document, output.columns))
    if state == "done":
        return DONE
    if state in ("queued", "sent"):
        return PENDING
    late = state in _UNFINISHED or document["error"] in _UNANSWERED
    code = f"{document['coap_code']} " if document["coap_code"] else ""
    where = " ".join(document.get("paths") or [document["path"]])
    what = f"{document['op']} {where} of {document['endpoint']}"
    raise CommandError(f"{what}: {code}{document['error'] or state}", PENDING if late else FAILED)


def _outcome(document: Mapping[str, Any], columns: int) -> Iterator[str]:
    result = document["result"] or {}
    if result.get("values") is not None:
        yield from values_table(result["values"], columns)
    elif result.get("links") is not None:
        yield from table(("PATH", "ATTRIBUTES"), [(row["path"], row["attributes"]) for row in result["links"]], columns)
    elif result.get("location") is not None:
        yield show(result["location"])
    else:
        yield f"{document['op']} {document['path']}: {document['coap_code'] or 'done'}"


def operation_path(document: Mapping[str, Any]) -> str:
    """The API's path of an operation."""
    return path_of("operations", document["id"])


def observation_path(options: Namespace) -> str:
    """The API's path of the observation that the options name, by its id where there is no path."""
    if options.path is None:
        return path_of("observations", options.endpoint)
    return path_of("devices", options.endpoint, "observations", *map(str, options.path))


def _resource(options: Namespace) -> str:
    return path_of("devices", options.endpoint, "resources", *map(str, options.path))


def asking(options: Namespace) -> dict[str, object]:
    """The query of what asks a device: how long to wait, and how to ask."""
    force = "true" if getattr(options, "force", False) else None
    return {
        "wait": options.wait,
        "timeout": options.timeout,
        "force": force,
        "format": getattr(options, "format", None),
        **_waiting(options),
    }


def _waiting(options: Namespace) -> dict[str, object]:
    """When the request is to leave, how long it may wait, and how often it may be sent again."""
    return {name: getattr(options, name, None) for name in ("when", "ttl", "retries")}


def _at(options: Namespace) -> dict[str, object]:
    return {"path": str(options.path)}


def _patience(options: Namespace) -> float:
    return DEFAULT_WAIT if options.wait is None else float(options.wait)


def _ask(method: str, options: Namespace, client: Client, output: Output, body: object = None) -> int:
    return finish(_patient(options, client, output, method, asking(options), body), output)


def _patient(  # noqa: PLR0917
    options: Namespace, client: Client, output: Output, method: str, query: Mapping[str, object], body: object = None
) -> Answer:
    path, wait = _resource(options), _patience(options)
    return ask(client, output.meter, method, path, query=query, body=body, wait=wait, where=operation_path)


def _operate(options: Namespace, client: Client, output: Output, request: Mapping[str, object]) -> int:
    given = {"timeout": options.timeout, "force": getattr(options, "force", None) or None}
    given |= {"format": getattr(options, "format", None), **_waiting(options)}
    body = {name: value for name, value in {**request, **given}.items() if value is not None}
    where = path_of("devices", options.endpoint, "operations")
    query, wait = {"wait": options.wait}, _patience(options)
    answer = ask(client, output.meter, "POST", where, query=query, body=body, wait=wait, where=operation_path)
    return finish(answer, output)


def _types(options: Namespace, client: Client) -> Types:
    return types_of(client.get(path_of("devices", options.endpoint, "objects")))


def _pairs(texts: Sequence[str]) -> list[tuple[str, str]] | None:
    try:
        return [resource_pair(text) for text in texts]
    except ArgumentTypeError:
        return None


def _values(base: Path, pairs: Sequence[tuple[str, str]], types: Types | None) -> dict[str, object]:
    try:
        return body_of_values(base, pairs, types)
    except PathError as error:
        raise CommandError(str(error), USAGE) from None


def _level(options: Namespace, level: int, what: str, name: str) -> None:
    if len(options.path) != level:
        raise CommandError(f"{what} takes the path of {name}, which {options.path} is not", USAGE)
