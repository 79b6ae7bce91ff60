"""What a request may ask of a device: by its LwM2M version, its list of Objects and their models (OMA Core, 6).

RULES: the levels of an operation are those of its CoAP message and can't be forced; everything else here is left out
by ``force``. What has no model is not checked, and a device that told no list of Objects has them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from lwm2md.lwm2m.attributes import Changes
from lwm2md.lwm2m.models import Models, ResourceModel, check_range
from lwm2md.lwm2m.nodes import Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ValueError_
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import Instances, OperationRequest, Registration

_LEVELS: Final[Mapping[str, tuple[int, ...]]] = {
    "read": (1, 2, 3, 4),
    "discover": (1, 2, 3),
    "write": (2, 3, 4),
    "write-partial": (2, 3),
    "write-attributes": (1, 2, 3, 4),
    "execute": (3,),
    "create": (1,),
    "delete": (2, 4),
    "observe": (1, 2, 3, 4),
    "cancel-observe": (1, 2, 3, 4),
}
_COMPOSITE_LEVELS: Final = (0, 1, 2, 3, 4)
_NAMES: Final = ("the root", "an Object", "an Object Instance", "a Resource", "a Resource Instance")
_SINCE: Final = {
    "read-composite": "1.1",
    "write-composite": "1.1",
    "observe-composite": "1.1",
    ("delete", 4): "1.2",
    ("write-partial", 3): "1.2",
}
_INSTANCE_LEVEL: Final = "1.1"
_DEPTH: Final = "1.2"
_ATTRIBUTES: Final = {"epmin": "1.1", "epmax": "1.1", "edge": "1.2", "con": "1.2", "hqmax": "1.2"}
_READING: Final = frozenset({"read", "observe", "write-attributes"})
_OLDEST: Final = "1.0"


def check_level(op: str, path: Path) -> None:
    """Raise BadOperation where the operation is not defined on paths of this length."""
    allowed = _LEVELS.get(op, _COMPOSITE_LEVELS)
    if len(path) not in allowed:
        names = " or ".join(_NAMES[level] for level in allowed)
        raise BadOperation(f"{op} takes the path of {names}, {path} is that of {_NAMES[len(path)]}", "path")


def check(
    request: OperationRequest, path: Path, paths: Iterable[Path], registration: Registration, models: Models
) -> None:
    """Raise BadOperation for what this device can't be asked, whatever the values are."""
    op = request.op
    if registration.version != "1.2":
        _check_version(request, path, registration.version)
    for each in paths:
        _check_readable(each, registration, models, "paths")
    if not path:
        return
    _check_present(op, request, path, registration)
    if op in _READING:
        _check_readable(path, registration, models, "path")
    elif op == "create":
        _check_room(request, path, registration, models)
    elif op == "delete":
        _check_deletable(path, registration, models)
    elif len(path) > 2:
        model = models.resource(path, registration.objects.versions)
        if model is not None:
            _check_resource(op, path, model)


def check_values(
    request: OperationRequest, path: Path, nodes: Nodes, registration: Registration, models: Models
) -> None:
    """Raise BadOperation for values that this device can't be given: not writable, out of range, incomplete."""
    creating = request.op == "create"
    field = "values" if request.values is not None else "value"
    for entry in nodes:
        if not path:
            _check_instance(entry.path, registration, field)
        model = models.resource(entry.path, registration.objects.versions)
        if model is None:
            continue
        if "W" not in model.operations and not (creating and "R" in model.operations):
            raise BadOperation(f"{_named(entry.path, model)} can't be written", field)
        if entry.value is not None:
            try:
                check_range(model, entry.value)
            except ValueError_ as error:
                raise BadOperation(f"{entry.path}: {error}", field) from None
    if creating:
        _check_complete(path, nodes, registration, models)


def instances_changed(registration: Registration, path: Path, *, created: bool) -> None:
    """Remember that an Object Instance came or went, until the device tells its list of Objects anew."""
    known = _instances(registration)
    made, gone = known.created - {path}, known.deleted - {path}
    if created:
        made |= {path}
    else:
        gone |= {path}
    registration.instances = Instances(known.objects, made, gone)


def has_instance(registration: Registration, instance: tuple[int, ...]) -> bool:
    """Whether the device has an Object Instance: it listed it, or it was created since, and not deleted."""
    if registration.instances is not None:
        known = _instances(registration)
        if instance in known.created or instance in known.deleted:
            return instance in known.created
    return instance in registration.objects.paths


def _instances(registration: Registration) -> Instances:
    """What changed since the list was told; nothing did where it was told anew."""
    known = registration.instances
    return known if known is not None and known.objects is registration.objects else Instances(registration.objects)


def _has_object(registration: Registration, identifier: int) -> bool:
    return any(path[0] == identifier for path in registration.objects.paths)


def known_to(changes: Changes, version: str) -> Changes:
    """Those of the attributes that a device of that LwM2M version knows."""
    return {name: value for name, value in changes.items() if _ATTRIBUTES.get(name, _OLDEST) <= version}


def _needs(what: str, since: str, version: str, field: str) -> None:
    if version < since:
        raise BadOperation(f"{what} needs LwM2M {since}, the device has {version}", field)


def _check_version(request: OperationRequest, path: Path, version: str) -> None:
    op = request.op
    since = _SINCE.get(op) or _SINCE.get((op, len(path)), _OLDEST)
    _needs(op if not path else f"{op} of {_NAMES[len(path)]}", since, version, "path" if path else "op")
    if len(path) == 4:
        _needs(f"{op} of {_NAMES[4]}", _INSTANCE_LEVEL, version, "path")
    if request.depth is not None:
        _needs("depth", _DEPTH, version, "depth")
    for name in request.attributes or ():
        _needs(name, _ATTRIBUTES.get(name, _OLDEST), version, "attributes")


def _check_present(op: str, request: OperationRequest, path: Path, registration: Registration) -> None:
    if not registration.objects.paths:
        return
    if len(path) > 1:
        _check_instance(path, registration, "path")
    elif not _has_object(registration, path[0]):
        raise BadOperation(f"the device has not registered Object {path[0]}", "path")


def _check_instance(path: Path, registration: Registration, field: str) -> None:
    if registration.objects.paths and not has_instance(registration, path[:2]):
        raise BadOperation(f"the device has not registered Object Instance {Path(path[:2])}", field)


def _check_readable(path: Path, registration: Registration, models: Models, field: str) -> None:
    if len(path) < 3:
        return
    model = models.resource(path, registration.objects.versions)
    if model is None:
        return
    if "R" not in model.operations:
        raise BadOperation(f"{_named(path, model)} can't be read", field)
    _check_multiple(path, model, field)


def _check_multiple(path: Path, model: ResourceModel, field: str) -> None:
    if len(path) == 4 and not model.multiple:
        raise BadOperation(f"{path}: {model.name} has no instances, it is a single Resource", field)


def _check_resource(op: str, path: Path, model: ResourceModel) -> None:
    """Execute, the two Writes and Discover; what may be written is checked with the values."""
    if op == "execute" and "E" not in model.operations:
        raise BadOperation(f"{_named(path, model)} can't be executed", "path")
    if op == "write-partial" and not model.multiple:
        raise BadOperation(f"{_named(path, model)} is a single Resource, it can't be written in part", "path")
    _check_multiple(path, model, "path")


def _check_room(request: OperationRequest, path: Path, registration: Registration, models: Models) -> None:
    identifier = path[0]
    model = models.object(identifier, registration.objects.versions.get(identifier))
    if model is not None and not model.multiple:
        if has_instance(registration, (identifier, 0)):
            raise BadOperation(f"{path} ({model.name}) has one instance only, and the device has it", "path")
        if request.id:
            raise BadOperation(f"{path} ({model.name}) has one instance only, which is 0", "id")
    if request.id is not None and has_instance(registration, (identifier, request.id)):
        raise BadOperation(f"{path}/{request.id} is there already", "id")


def _check_deletable(path: Path, registration: Registration, models: Models) -> None:
    if len(path) == 2:
        found = models.object(path[0], registration.objects.versions.get(path[0]))
        if found is not None and found.mandatory and not found.multiple:
            raise BadOperation(f"{path} ({found.name}) is mandatory, it can't be deleted", "path")
        return
    model = models.resource(path, registration.objects.versions)
    if model is not None:
        _check_multiple(path, model, "path")
        if "W" not in model.operations:
            raise BadOperation(f"{_named(path, model)} can't be written, its instances can't be deleted", "path")


def _check_complete(path: Path, nodes: Nodes, registration: Registration, models: Models) -> None:
    """What a device can't fill in itself is what can be written."""
    model = models.object(path[0], registration.objects.versions.get(path[0]))
    if model is None:
        return
    given = {entry.path.resource for entry in nodes}
    missing = [each for each in model.resources.values() if each.mandatory and "W" in each.operations]
    names = ", ".join(f"{each.id} ({each.name})" for each in missing if each.id not in given)
    if names:
        raise BadOperation(f"a new instance of {path} ({model.name}) needs {names}", "values")


def _named(path: Path, model: ResourceModel) -> str:
    return f"{path} ({model.name})"
