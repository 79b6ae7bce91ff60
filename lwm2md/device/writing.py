"""Changes that the server makes to the tree: Write (replace, partial, composite), Create and Delete.

Source: OMA LwM2M Core TS 1.2, 6.3.3 to 6.3.6 and 6.3.10. RULES: everything is checked on copies first and applied as a
whole; an unknown Resource inside the payload of an Instance is ignored, a read-only one refused (at Create ignored); a
Resource that the path itself or a composite Write names must exist and be writable; what a payload names outside the
path is refused. A composite Write makes and, by null, deletes Resource Instances, but never Object Instances.
"""

from __future__ import annotations

from collections.abc import Iterable

from lwm2md.coap import numbers
from lwm2md.device.errors import Refused
from lwm2md.device.tree import Resources, Supported, Tree, readable, writable
from lwm2md.lwm2m.linkformat import SECURITY_OBJECTS
from lwm2md.lwm2m.models import ResourceModel, check_range
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import MAX_ID, Path
from lwm2md.lwm2m.values import NULL_LINK, ObjectLink, ResourceType, Value, ValueError_, check

MAX_INSTANCES = 16
MAX_RESOURCE_INSTANCES = 32


def replace(tree: Tree, path: Path, nodes: Nodes) -> tuple[Path, ...]:
    """Write, replacing what is at ``path``; the Resources that changed. Raises Refused."""
    if len(path) == 2:
        return _commit(tree, path, _replaced(tree, path, nodes))
    resources = tree.copy(path)
    model = _target(tree, path)
    if len(path) == 3 and model.multiple:
        resources[path[2]] = {}
    elif [entry.path for entry in nodes] != [path]:
        raise _bad(f"one value is expected for {path}")
    for entry in nodes:
        if not path.covers(entry.path):
            raise _bad(f"{entry.path} is not below {path}")
        _store(tree, resources, model, entry)
    return _commit(tree, path, resources)


def update(tree: Tree, path: Path, nodes: Nodes) -> tuple[Path, ...]:
    """Write partially to the Instance or multiple-instance Resource at ``path``; what changed. Raises Refused."""
    resources = tree.copy(path)
    if len(path) == 3 and not _target(tree, path).multiple:
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} has a single instance")
    for model, entry in _known(tree, path, nodes):
        _must_be_writable(model, entry.path)
        _store(tree, resources, model, entry)
    return _commit(tree, path, resources)


def patch(tree: Tree, nodes: Nodes) -> tuple[Path, ...]:
    """Write what ``nodes`` name, in any number of Instances, all or nothing; what changed. Raises Refused."""
    copies: dict[Path, Resources] = {}
    for entry in nodes:
        model = _patched(tree, entry.path)
        instance = Path(entry.path[:2])
        resources = copies.setdefault(instance, tree.copy(instance))
        if len(entry.path) == 4 and entry.value is None:
            _drop(resources, model, entry.path)
        else:
            _store(tree, resources, model, entry)
    return tuple(path for instance, resources in copies.items() for path in _commit(tree, instance, resources))


def named_instance(tree: Tree, path: Path, nodes: Nodes) -> Path:
    """The one Instance that the payload of a Create on ``path`` names, a free one if none. Raises Refused."""
    if any(not path.covers(entry.path) for entry in nodes):
        raise _bad(f"not everything is below {path}")
    named = {entry.path[:2] for entry in nodes if len(entry.path) > 1}
    if len(named) > 1:
        raise _bad("one instance at a time")
    return Path(named.pop()) if named else free_instance(tree, path)


def free_instance(tree: Tree, path: Path) -> Path:
    """The lowest free Instance of the Object at ``path``; that of an Object with a single one is 0."""
    present = tree.instances(path[0]) if tree.supported[path[0]].model.multiple else ()
    return path.child(next(number for number in range(MAX_ID + 1) if number not in present))


def create(tree: Tree, target: Path, nodes: Nodes) -> None:
    """Create the Instance ``target`` of a dynamic Object from the nodes below it. Raises Refused."""
    supported, present = tree.supported[target[0]], tree.instances(target[0])
    if present and not supported.model.multiple:
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"there is one {supported.model.name} only")
    if target[1] in present or (target[1] and not supported.model.multiple):
        raise _bad(f"{target} exists, or cannot")
    if len(present) >= MAX_INSTANCES:
        raise Refused(numbers.INTERNAL_SERVER_ERROR, "no room for another instance")
    resources: Resources = dict(supported.fill)
    for entry in nodes:
        model = supported.resource(entry.path[2]) if len(entry.path) > 2 else None
        if model is not None and writable(model):
            _store(tree, resources, model, entry)
    _must_be_complete(supported, resources)
    _fill(supported, resources)
    tree.commit(target, resources)


def delete(tree: Tree, path: Path) -> None:
    """Delete the Instance, or the Resource Instance of a writable Resource, at ``path``. Raises Refused."""
    if len(path) == 2:
        if not tree.supported[path[0]].dynamic:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} cannot be deleted")
        tree.remove(path)
        return
    resources = tree.copy(path)
    _drop(resources, _target(tree, path), path)
    tree.commit(Path(path[:2]), resources)


def _drop(resources: Resources, model: ResourceModel, path: Path) -> None:
    several = resources.get(path[2])
    if not isinstance(several, dict):
        raise Refused(numbers.METHOD_NOT_ALLOWED, "only an instance can be deleted")
    if path[3] not in several:
        raise Refused(numbers.NOT_FOUND, f"{path} does not exist")
    if model.mandatory and len(several) == 1:
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is the last instance of what is mandatory")
    del several[path[3]]


def _patched(tree: Tree, path: Path) -> ResourceModel:
    if path and path[0] in SECURITY_OBJECTS:
        raise Refused(numbers.UNAUTHORIZED)
    if len(path) < 3:
        raise _bad(f"{path} is no resource")
    if tree.instance(path) is None:
        raise Refused(numbers.NOT_FOUND, f"no instance {Path(path[:2])}")
    return _target(tree, path)


def _replaced(tree: Tree, path: Path, nodes: Nodes) -> Resources:
    supported = tree.supported[path[0]]
    resources = {n: v for n, v in tree.copy(path).items() if not writable(supported.model.resources[n])}
    for model, entry in _known(tree, path, nodes):
        _must_be_writable(model, entry.path)
        _store(tree, resources, model, entry)
    _must_be_complete(supported, resources)
    return resources


def _known(tree: Tree, path: Path, nodes: Nodes) -> Iterable[tuple[ResourceModel, Entry]]:
    for entry in nodes:
        if not path.covers(entry.path):
            raise _bad(f"{entry.path} is not below {path}")
        model = tree.model(entry.path)
        if model is not None:
            yield model, entry


def _target(tree: Tree, path: Path) -> ResourceModel:
    model = tree.model(path)
    if model is None:
        raise Refused(numbers.NOT_FOUND, f"no resource {path}")
    _must_be_writable(model, path)
    return model


def _store(tree: Tree, resources: Resources, model: ResourceModel, entry: Entry) -> None:
    path, value = entry.path, entry.value
    if model.multiple:
        several = resources.setdefault(model.id, {})
        if isinstance(several, dict) and len(path) == 4 and value is not None:
            several[path[3]] = _accepted(tree, path, model, value)
            if len(several) > MAX_RESOURCE_INSTANCES:
                raise Refused(numbers.REQUEST_ENTITY_TOO_LARGE, "too many resource instances")
        elif value is not None:
            raise _bad(f"{path} has several instances")
    elif len(path) == 3 and value is not None:
        resources[model.id] = _accepted(tree, path, model, value)
    else:
        raise _bad(f"{path} has a single instance")


def _accepted(tree: Tree, path: Path, model: ResourceModel, value: Value) -> Value:
    try:
        value = check(model.type, value)
        check_range(model, value)
    except ValueError_ as error:
        raise _bad(f"{path}: {error}") from error
    supported = tree.supported[path[0]]
    low, high = supported.bounds.get(model.id, (float("-inf"), float("inf")))
    if isinstance(value, int | float) and not low <= value <= high:
        raise _bad(f"{path}: {value} is not within {low:g} and {high:g}")
    if value not in supported.choices.get(model.id, (value,)):
        raise _bad(f"{path}: {value!r} is not supported")
    if isinstance(value, ObjectLink) and not tree.links_to_something(value):
        raise _bad(f"{path}: {value} links to nothing")
    return value


def _must_be_writable(model: ResourceModel, path: Path) -> None:
    if not writable(model):
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is {'read-only' if readable(model) else 'not writable'}")


def _must_be_complete(supported: Supported, resources: Resources) -> None:
    for number in supported.resources:
        model = supported.model.resources[number]
        if model.mandatory and writable(model) and number not in resources:
            raise _bad(f"{model.name} ({number}) is missing")


def _fill(supported: Supported, resources: Resources) -> None:
    """Give values to what is mandatory and not for the server to write."""
    for number in supported.resources - resources.keys():
        model = supported.model.resources[number]
        if model.mandatory and readable(model):
            resources[number] = {} if model.multiple else _smallest(model)


def _smallest(model: ResourceModel) -> Value:
    low = float(model.range.split(",")[0].partition("..")[0] or 0)
    match model.type:
        case ResourceType.STRING | ResourceType.CORELNK:
            return "-" * int(low)
        case ResourceType.OPAQUE:
            return bytes(int(low))
        case ResourceType.BOOLEAN:
            return False
        case ResourceType.OBJLNK:
            return NULL_LINK
        case ResourceType.FLOAT:
            return low
        case _:
            return int(low)


def _commit(tree: Tree, path: Path, resources: Resources) -> tuple[Path, ...]:
    instance = Path(path[:2])
    before = tree.instance(instance) or {}
    changed = sorted(
        number
        for number in before.keys() | resources.keys()
        if number not in before or number not in resources or before[number] != resources[number]
    )
    tree.commit(instance, resources)
    return tuple(instance.child(number) for number in changed)


def _bad(reason: str) -> Refused:
    return Refused(numbers.BAD_REQUEST, reason)
