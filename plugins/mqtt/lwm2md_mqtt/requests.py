"""Requests: what a message asks for, as an operation of the daemon.

RULES: the method and the level of the path say which operation it is; ``payload`` is what that operation takes, and
every field that the operation has in the API may be given by its own name instead. ``id`` is the caller's, of any kind,
and comes back as it was; so the id of an Object Instance to be created is called ``instance`` here. A request without a
path is for several: the composite operations (OMA Core 1.1, 6.3.8 to 6.3.10, 6.4.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from lwm2md.lwm2m.execute import BadArguments, parse_arguments
from lwm2md_mqtt.topics import Address

Asked = dict[str, Any]
"""An operation as the body of ``POST /v1/devices/{endpoint}/operations`` has it."""

NO_ID: Final = msgspec.Raw(b"null")

_INSTANCE: Final = 2
_FIELDS: Final = (
    "value",
    "values",
    "arguments",
    "attributes",
    "paths",
    "depth",
    "format",
    "timeout",
    "ttl",
    "priority",
    "key",
    "force",
    "when",
    "retries",
)


class BadRequest(ValueError):  # noqa: N818 - the name of the CoAP code
    """The message asks for nothing that can be asked; ``code`` and ``reason`` are for the answer."""

    def __init__(self, text: str, code: str = "4.00", reason: str = "bad-request") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a request; what is not there is UNSET."""

    id: msgspec.Raw = NO_ID
    payload: Any = msgspec.UNSET
    instance: Any = msgspec.UNSET
    wait: float | msgspec.UnsetType = msgspec.UNSET
    value: Any = msgspec.UNSET
    values: Any = msgspec.UNSET
    arguments: Any = msgspec.UNSET
    attributes: Any = msgspec.UNSET
    paths: Any = msgspec.UNSET
    depth: Any = msgspec.UNSET
    format: Any = msgspec.UNSET
    timeout: Any = msgspec.UNSET
    ttl: Any = msgspec.UNSET
    priority: Any = msgspec.UNSET
    key: Any = msgspec.UNSET
    force: Any = msgspec.UNSET
    when: Any = msgspec.UNSET
    retries: Any = msgspec.UNSET


class _Identified(msgspec.Struct):
    id: msgspec.Raw = NO_ID


_decode: Final = msgspec.json.Decoder(Body).decode
_decode_id: Final = msgspec.json.Decoder(_Identified).decode


def identity(payload: bytes) -> msgspec.Raw:
    """Return the ``id`` of a payload, null where it has none or can't be read."""
    try:
        payload.decode()
        return _decode_id(payload).id
    except (ValueError, RecursionError):
        return NO_ID


def body(payload: bytes) -> Body:
    """Read the payload of a request; an empty one is ``{}``. Raises BadRequest."""
    if not payload:
        return Body()
    try:
        payload.decode()
        return _decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the payload does not fit: {error}") from None


def operation(address: Address, found: Body) -> Asked:
    """Return the operation that a request asks for. Raises BadRequest."""
    choose = _METHODS.get(address.method)
    if choose is None:
        known = ", ".join(_METHODS)
        raise BadRequest(f"{address.method[:40]!r} is none of {known}", "4.05", "method-not-allowed")
    op = choose(address.path.count("/"), found)
    asked: Asked = {"op": op}
    if address.path:
        asked["path"] = address.path
    asked.update((name, value) for name in _FIELDS if (value := getattr(found, name)) is not msgspec.UNSET)
    if found.instance is not msgspec.UNSET:
        if op != "create":
            raise BadRequest("instance is of POST to an Object only")
        asked["id"] = found.instance
    if found.payload is not msgspec.UNSET:
        _take(asked, found.payload)
    return asked


def _take(asked: Asked, payload: Any) -> None:
    """Put the ``payload`` of a request where its operation wants it."""
    op = asked["op"]
    convert = _PAYLOADS.get(op)
    if convert is None:
        raise BadRequest(f"{op} takes no payload")
    name, value = convert(payload)
    if name in asked:
        raise BadRequest(f"payload stands for {name}, which is given too")
    if value is not None:
        asked[name] = value


# Which operation it is


def _single_or_composite(single: str, composite: str) -> Callable[[int, Body], str]:
    return lambda depth, _: single if depth else composite


def _posted(depth: int, found: Body) -> str:
    if not depth:
        raise BadRequest("POST takes a path")
    if depth == 1:
        return "create"
    return "write-partial" if depth == _INSTANCE or found.values is not msgspec.UNSET else "execute"


def _cancelled(depth: int, found: Body) -> str:
    return "cancel-observe"


_METHODS: Final[Mapping[str, Callable[[int, Body], str]]] = {
    "GET": _single_or_composite("read", "read-composite"),
    "PUT": _single_or_composite("write", "write-composite"),
    "POST": _posted,
    "DELETE": lambda *_: "delete",
    "DISCOVER": lambda *_: "discover",
    "OBSERVE": _single_or_composite("observe", "observe-composite"),
    "CANCEL-OBSERVE": _cancelled,
    "WRITE-ATTRIBUTES": lambda *_: "write-attributes",
}

METHODS: Final = tuple(_METHODS)
"""The methods that a topic may have."""


# What the payload is


def _value(payload: Any) -> tuple[str, Any]:
    return ("values" if isinstance(payload, dict) else "value"), payload


def _named(name: str) -> Callable[[Any], tuple[str, Any]]:
    return lambda payload: (name, payload)


def _arguments(payload: Any) -> tuple[str, Any]:
    """Arguments by number, or the text that LwM2M writes them in: ``0='a',1``."""
    if not isinstance(payload, str):
        return "arguments", payload
    try:
        return "arguments", {str(number): value for number, value in parse_arguments(payload.encode()).items()}
    except (BadArguments, UnicodeEncodeError) as error:
        raise BadRequest(f"payload: {error}") from None


_PAYLOADS: Final[Mapping[str, Callable[[Any], tuple[str, Any]]]] = {
    "write": _value,
    "write-partial": _value,
    "write-composite": _named("values"),
    "create": _named("values"),
    "execute": _arguments,
    "observe": _named("attributes"),
    "write-attributes": _named("attributes"),
    "read-composite": _named("paths"),
    "observe-composite": _named("paths"),
    "cancel-observe": _named("paths"),
}
