"""From an operator's operation to the CoAP request that carries it (OMA Transport, table of operations).

RULES: everything is checked before a byte is sent, and what is wrong is named; paths get the registration's alternate
root; no Uri-Host, no query but what the operation needs, since real clients refuse any other critical option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import attrs
import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Options, options
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.attributes import BadAttributes, check_changes, check_sendable, to_query
from lwm2md.lwm2m.execute import format_arguments
from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_, from_json
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import OperationRequest, Registration

_LEVELS: Final[Mapping[str, tuple[int, ...]]] = {
    "read": (1, 2, 3, 4),
    "discover": (1, 2, 3),
    "write": (2, 3, 4),
    "write-partial": (2, 3),
    "write-attributes": (1, 2, 3, 4),
    "execute": (3,),
    "create": (1,),
    "delete": (2,),
    "observe": (1, 2, 3, 4),
    "cancel-observe": (1, 2, 3, 4),
}
_NAMES: Final = ("the root", "an Object", "an Object Instance", "a Resource", "a Resource Instance")


@attrs.frozen(slots=True)
class Composed:
    """A request ready for the engine; ``accept`` is the Content-Format that was asked for, if one was."""

    code: int
    options: Options
    payload: bytes = b""
    accept: int | None = None


def compose(request: OperationRequest, path: Path, registration: Registration, type_of: TypeOf) -> Composed:
    """Make the CoAP request of an operation. Raises BadOperation, naming the field that is wrong."""
    check_level(request.op, path)
    if request.op in ("read", "observe", "cancel-observe"):
        return _read(request, path, registration)
    if request.op == "discover":
        return _request(n.GET, path, registration, accept=n.LINK_FORMAT)
    if request.op in ("write", "write-partial", "create"):
        return _write(request, path, registration, type_of)
    if request.op == "execute":
        return _execute(request, path, registration)
    if request.op == "write-attributes":
        return write_attributes(changes_of(request.attributes, path, type_of), path, registration)
    return _request(n.DELETE, path, registration)


def check_level(op: str, path: Path) -> None:
    """Raise BadOperation where the operation is not defined on paths of this length."""
    if len(path) not in _LEVELS[op]:
        allowed = " or ".join(_NAMES[level] for level in _LEVELS[op])
        raise BadOperation(f"{op} takes the path of {allowed}, {path} is that of {_NAMES[len(path)]}", "path")


def parse_path(text: str) -> Path:
    """The path of a request. Raises BadOperation."""
    try:
        return Path.parse(text)
    except PathError as error:
        raise BadOperation(str(error), "path") from None


def changes_of(
    attributes: Mapping[str, float | int | bool | None] | None, path: Path, type_of: TypeOf
) -> Mapping[str, float | int | None]:
    """The attributes that a caller wants written, where null stands for unset. Raises BadOperation."""
    changes = {name: int(value) if isinstance(value, bool) else value for name, value in (attributes or {}).items()}
    model = type_of(path)
    try:
        check_changes(changes, path, model.type if model is not None else None)
        check_sendable(changes)
    except BadAttributes as error:
        raise BadOperation(str(error), "attributes") from None
    return changes


def write_attributes(changes: Mapping[str, float | int | None], path: Path, registration: Registration) -> Composed:
    """A Write-Attributes: a PUT with the attributes in its query, and neither payload nor Content-Format."""
    return _request(n.PUT, path, registration, query=to_query(changes))


def default_accept(path: Path, registration: Registration) -> int | None:
    """The Content-Format to ask for: TLV, unless the device listed others; then text for one value, or its own."""
    if not registration.objects.formats or n.TLV in registration.objects.formats:
        return n.TLV
    return n.TEXT if len(path) >= 3 and n.TEXT in registration.objects.formats else None


def _read(request: OperationRequest, path: Path, registration: Registration) -> Composed:
    accept = default_accept(path, registration) if request.format is None else _format(request.format)
    return _request(n.GET, path, registration, accept=accept)


def _execute(request: OperationRequest, path: Path, registration: Registration) -> Composed:
    try:
        arguments = {int(digit): value for digit, value in (request.arguments or {}).items()}
        payload = format_arguments(arguments)
    except ValueError as error:
        raise BadOperation(str(error), "arguments") from None
    if not payload:
        return _request(n.POST, path, registration)
    return _request(n.POST, path, registration, content_format=n.TEXT, payload=payload)


def _write(request: OperationRequest, path: Path, registration: Registration, type_of: TypeOf) -> Composed:
    base, nodes = path, tuple(_nodes(request, path, type_of)) if request.op != "create" else ()
    if request.op == "create":
        # Without an id the payload is that of an instance, with no id around it: the device chooses one.
        instance = _child(path, 0 if request.id is None else request.id)
        base = instance if request.id is None else path
        nodes = tuple(_create_nodes(request, instance, type_of))
    content_format = _write_format(request, path, nodes)
    try:
        payload = formats.encode(content_format, base, nodes, type_of)
    except ContentError as error:
        raise BadOperation(str(error), "format" if request.format else "value") from None
    code = n.PUT if request.op == "write" else n.POST
    return _request(code, path, registration, content_format=content_format, payload=payload)


def _write_format(request: OperationRequest, path: Path, nodes: Nodes) -> int:
    """Text or opaque for one value, as every client takes them; TLV for anything more."""
    if request.format is not None:
        return _format(request.format)
    if request.op != "write" or len(nodes) != 1 or nodes[0].path != path or nodes[0].value is None:
        return n.TLV
    return n.OPAQUE if isinstance(nodes[0].value, bytes) else n.TEXT


def _nodes(request: OperationRequest, path: Path, type_of: TypeOf) -> Iterator[Entry]:
    """The entries of a write, from ``value`` or from ``values`` by path."""
    if request.values is not None:
        for key, value in request.values.items():
            yield from _entry(_below(path, key), value, type_of)
        if not request.values:
            raise BadOperation("values is empty", "values")
    elif request.value is not msgspec.UNSET:
        if len(path) < 3:
            raise BadOperation(f"value is for one Resource; {path} takes values by path", "value")
        yield from _entry(path, request.value, type_of)
    else:
        raise BadOperation("value or values is missing", "value")


def _create_nodes(request: OperationRequest, instance: Path, type_of: TypeOf) -> Iterator[Entry]:
    """The entries of a Create, with keys relative to the new instance."""
    for key, value in (request.values or {}).items():
        yield from _entry(_below(instance, key), value, type_of)
    if not request.values:
        yield Entry(instance, None)


def _entry(path: Path, value: object, type_of: TypeOf) -> Iterator[Entry]:
    """One value, or all instances of a multiple Resource given as an object by id or as a list."""
    model = type_of(path)
    if isinstance(value, list) and len(path) == 3:
        value = {str(index): each for index, each in enumerate(value)}
    if isinstance(value, dict) and len(path) == 3:
        for key, each in value.items():
            yield Entry(_below(path, str(key)), _typed(path, model, each))
        if not value:
            yield Entry(path, None)
    elif len(path) >= 3:
        yield Entry(path, _typed(path, model, value))
    else:
        raise BadOperation(f"{path} is not the path of a Resource", "values")


def _typed(path: Path, model: ResourceModel | None, value: object) -> Value:
    kind = model.type if model is not None else None
    if kind is ResourceType.NONE:
        raise BadOperation(f"{path} is executable, it has no value", "values")
    try:
        return from_json(kind, value)
    except ValueError_ as error:
        raise BadOperation(f"{path}: {error}", "value") from None


def _below(base: Path, key: str) -> Path:
    """A key of ``values``: a whole path below ``base``, or what follows it (``"6/0"``)."""
    path = parse_path(key if key.startswith("/") else f"{base}/{key}")
    if not base.covers(path):
        raise BadOperation(f"{key} is not below {base}", "values")
    return path


def _child(path: Path, identifier: int) -> Path:
    try:
        return path.child(identifier)
    except PathError as error:
        raise BadOperation(str(error), "id") from None


def _format(name: str) -> int:
    number = formats.NUMBERS.get(name)
    if number is None:
        raise BadOperation(f"format {name!r} is none of {', '.join(formats.NUMBERS)}", "format")
    return number


def _request(
    code: int,
    path: Path,
    registration: Registration,
    *,
    query: tuple[str, ...] = (),
    content_format: int | None = None,
    accept: int | None = None,
    payload: bytes = b"",
) -> Composed:
    return Composed(code, _options(path, registration.objects.root, query, content_format, accept), payload, accept)


@lru_cache(maxsize=4096)
def _options(path: Path, root: str, query: tuple[str, ...], content_format: int | None, accept: int | None) -> Options:
    """The options of a request; a fleet is asked for the same few paths over and over."""
    segments = (*(segment for segment in root.split("/") if segment), *map(str, path))
    return options(path=segments, query=query, content_format=content_format, accept=accept)
