"""From an operator's operation to the CoAP request that carries it (OMA Transport, table of operations).

RULES: everything is checked before a byte is sent, and what is wrong is named; paths get the registration's alternate
root; no Uri-Host, no query but what the operation needs, since real clients refuse any other critical option. What is
written always says its Content-Format: a PUT without one is a Write-Attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.attributes import (
    NAMES,
    OF_SEVERAL,
    BadAttributes,
    NotificationAttributes,
    check_changes,
    check_sendable,
    to_query,
)
from lwm2md.lwm2m.execute import format_arguments
from lwm2md.lwm2m.models import Models, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.server import negotiation
from lwm2md.server.checking import check, check_level, check_values
from lwm2md.server.errors import BadOperation
from lwm2md.server.messages import message, read
from lwm2md.server.negotiation import COMPOSITE, ETCH, SINGLE, WRITING
from lwm2md.server.payloads import instance_of, parse_path, written
from lwm2md.server.records import (
    CANCEL_OBSERVE,
    CREATE,
    DELETE,
    DISCOVER,
    EXECUTE,
    OBSERVE,
    OBSERVE_COMPOSITE,
    READ,
    READ_COMPOSITE,
    WRITE,
    WRITE_ATTRIBUTES,
    WRITE_COMPOSITE,
    WRITE_PARTIAL,
    Composed,
    Device,
    OperationRequest,
    Order,
    Registration,
)

MOST_PATHS: Final = 100
"""How many paths a composite operation may have."""

PARAMETERS: Final = "1.2"
"""The LwM2M version from which on an Observe can have attributes of its own."""

_PATH_LISTS: Final = frozenset({READ_COMPOSITE, OBSERVE_COMPOSITE})
_FETCHED: Final = {
    n.SENML_JSON: n.SENML_JSON,
    n.SENML_CBOR: n.SENML_CBOR,
    n.SENML_ETCH_JSON: n.SENML_JSON,
    n.SENML_ETCH_CBOR: n.SENML_CBOR,
    n.LWM2M_CBOR: n.LWM2M_CBOR,
}
_NESTED: Final = frozenset({n.TLV, n.LWM2M_CBOR})
"""The formats that can hold an Object Instance without Resources."""
_LISTING: Final = {n.LWM2M_CBOR: n.SENML_CBOR}


class _Made(msgspec.Struct, frozen=True):
    """What a message is made of: the order, and the device that it is for; the rest as in `compose`."""

    request: OperationRequest
    path: Path
    paths: tuple[Path, ...]
    registration: Registration
    models: Models
    home: str | None = None
    preferred: tuple[int, ...] = ()

    def type_of(self) -> TypeOf:
        """How the codecs find models."""
        return self.models.type_of(self.registration.objects.versions)


def prepare(
    request: OperationRequest,
    registration: Registration,
    models: Models,
    home: str | None = None,
    preferred: tuple[int, ...] = (),
) -> Order:
    """The order of a request that can be taken, with its message. Raises BadOperation, naming what is wrong."""
    path, paths = targets(request)
    if request.depth is not None and (request.op != DISCOVER or not 0 <= request.depth <= 3):
        raise BadOperation("depth is from 0 to 3, and of discover only", "depth")
    if not request.force and request.op != CANCEL_OBSERVE:
        check(request, path, paths, registration, models)
    composed = compose(request, path, paths, registration, models, home=home, preferred=preferred)
    return Order(request, path, paths, composed)


def compose(
    request: OperationRequest,
    path: Path,
    paths: tuple[Path, ...],
    registration: Registration,
    models: Models,
    *,
    home: str | None = None,
    preferred: tuple[int, ...] = (),
) -> Composed:
    """Make the CoAP request of an operation. Raises BadOperation, naming the field that is wrong.

    ``home`` is the root path of the gateway that a device is behind: a composite operation goes there, and only the
    names in it have the prefix of the device. ``preferred`` are the formats that are to be tried first.
    """
    if request.op == READ and request.format is None:  # of all that is asked for the most, and of the least
        return read(path, registration, preferred)
    return _MAKERS[request.op](_Made(request, path, paths, registration, models, home, preferred))


def home_of(device: Device) -> str | None:
    """The root path of the gateway that a device is behind, None where it is behind none."""
    registration = None if device.behind is None else device.behind.gateway.registration
    return None if registration is None else registration.objects.root


def targets(request: OperationRequest) -> tuple[Path, tuple[Path, ...]]:
    """The path of a request, and the paths of a composite one, whose path is the root. Raises BadOperation."""
    op = request.op
    if op in _PATH_LISTS or (op == CANCEL_OBSERVE and request.paths is not None):
        _check_rootless(request)
        return ROOT, _paths(request.paths)
    if request.paths is not None:
        raise BadOperation(f"{op} takes one path", "paths")
    if op == WRITE_COMPOSITE:
        _check_rootless(request)
        return ROOT, ()
    if request.path is None:
        raise BadOperation("path is missing", "path")
    path = parse_path(request.path)
    check_level(op, path)
    return path, ()


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
    return message(n.PUT, path, registration, query=to_query(changes))


def with_parameters(composed: Composed, attributes: NotificationAttributes) -> Composed:
    """An Observe with the attributes as its parameters, as LwM2M 1.2 has them."""
    query = tuple((n.URI_QUERY, each.encode()) for each in attributes.to_query())
    found = tuple(sorted((*composed.options, *query), key=itemgetter(0)))
    return msgspec.structs.replace(composed, options=found)


def root_of(registration: Registration) -> str:
    """What stands before the ids in the names that a format writes out: the alternate path, or nothing."""
    return "" if registration.objects.root == "/" else registration.objects.root


def _check_rootless(request: OperationRequest) -> None:
    if request.path not in (None, "/"):
        raise BadOperation(f"{request.op} has no path of its own", "path")


def _paths(texts: tuple[str, ...] | None) -> tuple[Path, ...]:
    if not texts:
        raise BadOperation("paths is missing or empty", "paths")
    if len(texts) > MOST_PATHS:
        raise BadOperation(f"at most {MOST_PATHS} paths", "paths")
    try:
        found = tuple(map(parse_path, texts))
    except BadOperation as error:
        raise BadOperation(str(error), "paths") from None
    if len(set(found)) < len(found):
        raise BadOperation("a path is given twice", "paths")
    return found


# What each operation becomes


def _read(made: _Made) -> Composed:
    request, path = made.request, made.path
    one = len(path) > 2
    if request.format is None:
        return read(path, made.registration, made.preferred)
    accept = _format(request.format)
    if accept in ETCH or (accept in SINGLE and not one and not request.force):
        raise BadOperation(f"{request.format} can't hold the values of {path}", "format")
    return message(n.GET, path, made.registration, accept=accept)


def _discover(made: _Made) -> Composed:
    depth = made.request.depth
    query = () if depth is None else (f"depth={depth}",)
    return message(n.GET, made.path, made.registration, query=query, accept=n.LINK_FORMAT)


def _execute(made: _Made) -> Composed:
    try:
        arguments = {int(digit): value for digit, value in (made.request.arguments or {}).items()}
        payload = format_arguments(arguments)
    except ValueError as error:
        raise BadOperation(str(error), "arguments") from None
    if not payload:
        return message(n.POST, made.path, made.registration)
    return message(n.POST, made.path, made.registration, content_format=n.TEXT, payload=payload)


def _delete(made: _Made) -> Composed:
    return message(n.DELETE, made.path, made.registration)


def _write_attributes(made: _Made) -> Composed:
    if not made.request.attributes:
        raise BadOperation("attributes is missing or empty", "attributes")
    changes = changes_of(made.request.attributes, made.path, made.type_of())
    return write_attributes(changes, made.path, made.registration)


def _write(made: _Made) -> Composed:
    nodes = _nodes(made)
    version, listed = made.registration.version, made.registration.objects.formats
    if _is_one(made, nodes):
        number = n.OPAQUE if isinstance(nodes[0].value, bytes) else n.TEXT
        candidates = negotiation.single_contents(number, version, listed, made.preferred)
    else:
        candidates = negotiation.contents(version, listed, made.preferred)
    return _with_nodes(made, n.PUT if made.request.op == WRITE else n.POST, made.path, nodes, candidates)


def _is_one(made: _Made, nodes: Nodes) -> bool:
    """Whether this is a Write of one value, which every client takes as text or opaque."""
    return (
        made.request.op == WRITE
        and len(nodes) == 1
        and len(made.path) > 2
        and nodes[0].path == made.path
        and nodes[0].value is not None
    )


def _create(made: _Made) -> Composed:
    request, nodes = made.request, _nodes(made)
    if request.id is not None:
        registration = made.registration
        several = negotiation.contents(registration.version, registration.objects.formats, made.preferred)
        if not request.values:
            several = tuple(each for each in several if each in _NESTED) or (n.TLV,)
            if request.format is not None and formats.NUMBERS.get(request.format) not in _NESTED:
                raise BadOperation("an instance without values can be told in tlv or lwm2m-cbor only", "format")
        return _with_nodes(made, n.POST, made.path, nodes, several)
    if request.format not in (None, "tlv"):
        raise BadOperation("only tlv can leave the id of the new instance to the device", "format")
    # The payload is that of an instance, with no id around it.
    return _with_nodes(made, n.POST, instance_of(request, made.path), nodes, (n.TLV,))


def _write_composite(made: _Made) -> Composed:
    nodes = _nodes(made)
    etch = any(entry.value is None for entry in nodes)
    if etch and not made.request.force and made.registration.version < "1.2":
        version = made.registration.version
        raise BadOperation(f"null needs LwM2M 1.2, the device has {version}", "values")
    candidates = negotiation.composites(made.registration.objects.formats, etch=etch, preferred=made.preferred)
    return _with_nodes(made, n.IPATCH, ROOT, nodes, candidates)


def _fetch(made: _Made) -> Composed:
    request, registration = made.request, made.registration
    if request.op == OBSERVE_COMPOSITE and request.attributes:
        _check_several(request.attributes, made)
    if request.format is None:
        candidates = negotiation.composites(registration.objects.formats, etch=False, preferred=made.preferred)
        found, good = negotiation.ordered(registration, COMPOSITE, candidates)
        number, replaceable = found[0], (COMPOSITE, found[0]) if good > 1 else None
    else:
        number, replaceable = _format(request.format), None
    if number not in _FETCHED:
        raise BadOperation(f"{request.format} is no format of composite operations", "format")
    listing = _LISTING.get(number, number)
    return message(
        n.FETCH,
        ROOT,
        registration,
        content_format=listing,
        accept=_FETCHED[number],
        payload=formats.encode_paths(listing, made.paths, root=root_of(registration)),
        replaceable=replaceable,
        home=made.home,
    )


def _check_several(attributes: Mapping[str, object], made: _Made) -> None:
    """Raise BadOperation for attributes that several paths can't have as one."""
    wrong = [name for name in attributes if name in NAMES and name not in OF_SEVERAL]
    if wrong:
        raise BadOperation(f"{wrong[0]} is for one path, several have {', '.join(sorted(OF_SEVERAL))}", "attributes")
    if not all(made.paths) and made.registration.version < PARAMETERS:
        version = made.registration.version
        raise BadOperation(f"attributes of everything need LwM2M {PARAMETERS}, the device has {version}", "attributes")


def _cancel_observe(made: _Made) -> Composed:
    return _fetch(made) if made.paths else _read(made)


_MAKERS: Final[Mapping[str, Callable[[_Made], Composed]]] = {
    READ: _read,
    OBSERVE: _read,
    CANCEL_OBSERVE: _cancel_observe,
    DISCOVER: _discover,
    WRITE: _write,
    WRITE_PARTIAL: _write,
    CREATE: _create,
    EXECUTE: _execute,
    DELETE: _delete,
    WRITE_ATTRIBUTES: _write_attributes,
    READ_COMPOSITE: _fetch,
    OBSERVE_COMPOSITE: _fetch,
    WRITE_COMPOSITE: _write_composite,
}


# What they share


def _nodes(made: _Made) -> Nodes:
    nodes = written(made.request, made.path, made.type_of())
    if not made.request.force:
        check_values(made.request, made.path, nodes, made.registration, made.models)
    return nodes


def _with_nodes(made: _Made, code: int, base: Path, nodes: Nodes, candidates: tuple[int, ...]) -> Composed:
    """A request with values in the format that the caller named, or the first candidate that can hold them."""
    request, registration = made.request, made.registration
    use = WRITING if made.path else COMPOSITE
    wanted = (_format(request.format),) if request.format is not None else candidates
    found, good = negotiation.ordered(registration, use, wanted)
    reason = ""
    for number in found:
        try:
            payload = _encode(made, number, base, nodes)
        except ContentError as error:
            reason, good = reason or str(error), good - 1
            continue
        replaceable = (use, number) if request.format is None and good > 1 else None
        return message(
            code,
            made.path,
            registration,
            content_format=number,
            payload=payload,
            replaceable=replaceable,
            home=None if made.path else made.home,
        )
    raise BadOperation(reason, "format" if request.format else "value" if request.values is None else "values")


def _encode(made: _Made, number: int, base: Path, nodes: Nodes) -> bytes:
    if not made.path and number not in _FETCHED:
        raise ContentError(f"{formats.NAMES.get(number, number)} is no format of composite operations")
    if made.path and number in ETCH:
        raise ContentError(f"{formats.NAMES[number]} is for write-composite")
    root = root_of(made.registration)
    try:
        return formats.encode(number, base, nodes, made.type_of(), root=root)
    except ContentError:
        if not made.request.force:
            raise
        return formats.encode(number, base, nodes, _untyped, root=root)


def _untyped(path: Path) -> None:
    """A lookup that finds no model, for values that don't fit the one that there is."""


def _format(name: str) -> int:
    number = formats.NUMBERS.get(name)
    if number is None:
        raise BadOperation(f"format {name[:40]!r} is none of {', '.join(formats.NUMBERS)}", "format")
    return number
