"""Times in values that callers write: RFC 3339 text becomes Unix seconds before it enters the core.

RULES: only values of Resources that the model calls a time are touched, and only where they are text; numbers pass.
What is no time is refused by name. What else is wrong with a value is for the core to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from lwm2md.http.problems import wrong_field
from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.values import ResourceType
from lwm2md.server.records import OperationRequest
from lwm2md.timestamps import parse

TypeOf = Callable[[Path], ResourceModel | None]
WRITING: Final = frozenset({"write", "write-partial", "create", "write-composite"})
"""The operations that have values."""


def with_times(request: OperationRequest, type_of: TypeOf) -> OperationRequest:
    """The same request with its times as seconds; raises `Problem` for text that is no RFC 3339 time."""
    if request.values is not None:
        base = (request.path or "").rstrip("/") + ("/0" if request.op == "create" else "")
        values = {key: _converted(_path(base, key), value, type_of, key) for key, value in request.values.items()}
        return msgspec.structs.replace(request, values=values)
    if request.value is not msgspec.UNSET:
        value = _converted(_path(request.path or "", ""), request.value, type_of, "value")
        return msgspec.structs.replace(request, value=value)
    return request


def _path(base: str, key: str) -> Path | None:
    try:
        return Path.parse(key if key.startswith("/") else f"{base}/{key}" if key else base)
    except PathError:
        return None


def _converted(path: Path | None, value: object, type_of: TypeOf, field: str) -> object:
    if path is None or not isinstance(value, str | dict | list):
        return value
    model = type_of(path)
    if model is None or model.type is not ResourceType.TIME:
        return value
    if isinstance(value, dict):
        return {key: _seconds(each, field) for key, each in value.items()}
    if isinstance(value, list):
        return [_seconds(each, field) for each in value]
    return _seconds(value, field)


def _seconds(value: object, field: str) -> object:
    if not isinstance(value, str) or value.removeprefix("-").isdecimal():
        return value
    try:
        return int(parse(value))
    except ValueError as error:
        raise wrong_field("bad-operation", field, str(error)) from None
