"""The Objects of a world file: tables ``[objects.ID.INSTANCE]`` and single values by path in ``[values]``.

RULES: the Server and the Device Object are always there, with the values that every device has below those of the
file; Security Objects are never in it. A Resource that its Object's model does not have needs a type; those of an
Object without a model get it from their value. Besides what has a value a device supports what can be executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from lwm2md.device import fields, objects, worldvalues
from lwm2md.device.faults import nearest
from lwm2md.device.fields import Table, Wrong
from lwm2md.device.functions import Function
from lwm2md.device.script import Contents, Motion
from lwm2md.device.tree import Resources, Supported, executable
from lwm2md.device.worldvalues import Context
from lwm2md.lwm2m.linkformat import SECURITY_OBJECTS
from lwm2md.lwm2m.models import Models, ObjectModel, ResourceModel
from lwm2md.lwm2m.paths import MAX_ID, Path, PathError
from lwm2md.lwm2m.values import ResourceType, Value

MAX_INSTANCES: Final = 1000

_TYPES: Final = tuple(kind.value for kind in ResourceType if kind is not ResourceType.NONE)
_OPERATIONS: Final = ("R", "W", "RW", "E")
_ALWAYS: Final = (objects.SERVER, objects.DEVICE)


@attrs.define(slots=True)
class _Draft:
    """An Object as the file has it so far; ``usual`` is what a device makes of it where nobody says otherwise.

    ``models`` are those of the Resources that the file names, ``fill`` what a created Instance starts with.
    """

    model: ObjectModel
    usual: Supported
    dynamic: bool | None = None
    models: dict[int, ResourceModel] = attrs.field(factory=dict)
    fill: dict[int, Value] = attrs.field(factory=dict)


class Builder:
    """Reads Objects and values; afterwards ``supported``, ``contents`` and ``motions`` say what there is."""

    def __init__(self, models: Models, version: str, context: Context) -> None:
        self._models = models
        self._version = version
        self._context = context
        self._drafts: dict[int, _Draft] = {}
        self._motions: dict[Path, Motion] = {}
        self._values: dict[Path, Resources] = {}

    def behind(self) -> Builder:
        """One for the values of a device behind this one: they share what is supported, and nothing else."""
        self._draft(objects.GATEWAY, None, "")
        other = Builder(self._models, self._version, self._context)
        other._drafts = self._drafts
        return other

    def objects(self, table: Table) -> None:
        """Read ``[objects]``."""
        for key, content in table.rest():
            number = _id(key)
            if number is None:
                guess = next((str(one.id) for one in self._models if one.name.lower() == key.lower()), None)
                table.complain(key, f"the id of an object from 0 to {MAX_ID}", meant=guess)
            elif not isinstance(content, dict):
                table.complain(key, "a table", content)
            else:
                self._object(number, table.below(key, content))

    def values(self, table: Table) -> None:
        """Read ``[values]``."""
        for key, content in table.rest():
            try:
                path = Path.parse(key)
            except PathError as error:
                table.complain(key, f"the path of a resource such as /3/0/0 ({error})")
                continue
            if len(path) < 3:
                table.complain(key, "the path of a resource such as /3/0/0")
            elif self._draft(path[0], table, key) is not None and self._has(path, table, key):
                self._resource(path, table, key, content)

    def supported(self) -> Mapping[int, Supported]:
        """The Objects of the device."""
        for number in _ALWAYS:
            self._draft(number, None, "")
        return {number: _supported(draft) for number, draft in sorted(self._drafts.items())}

    def contents(self) -> Contents:
        """The values that do not move."""
        return self._values

    def motions(self) -> tuple[Motion, ...]:
        """Those that do."""
        return tuple(self._motions.values())

    def value_at(self, path: Path, value: object) -> Value:
        """A value for what is at ``path``. Raises Wrong where there is no such Resource or the value does not fit."""
        draft = self._drafts.get(path[0])
        model = None if draft is None or len(path) < 3 else {**draft.model.resources, **draft.models}.get(path[2])
        there = path[:2] in self._values or (path[0] in _ALWAYS and path[1] == 0)
        if model is None or not there or model.multiple != (len(path) == 4):
            raise Wrong(f"the path of a value that the device has, not {path}")
        return worldvalues.typed(model)(value)

    def _object(self, number: int, table: Table) -> None:
        version = table.take("version", fields.text, None)
        name = table.take("name", fields.text, None)
        dynamic = table.take("dynamic", fields.flag, None)
        wanted = table.take("instances", _instances, ())
        each = table.take("each", fields.mapping, {})
        draft = self._draft(number, table, "", version, name)
        if draft is None:
            return
        draft.dynamic = dynamic
        own: dict[int, Mapping[str, Any]] = {}
        for key, content in table.rest():
            instance = _id(key)
            if instance is None:
                known = ("version", "name", "dynamic", "instances", "each")
                table.complain(key, f"the id of an instance, or one of {', '.join(known)}", meant=nearest(key, known))
            elif not isinstance(content, dict):
                table.complain(key, "a table of resources", content)
            else:
                own[instance] = content
        for instance in sorted({*wanted, *own}):
            path = Path((number, instance))
            if self._has(path, table, str(instance)):
                self._instance(path, table.below("each", each), own.get(instance, {}))
                self._instance(path, table.below(str(instance), own.get(instance, {})), {})
        if each:
            draft.fill = self._fill(number, each)

    def _instance(self, path: Path, table: Table, over: Mapping[str, Any]) -> None:
        """Read the Resources of an Instance, but for those that are in ``over`` too."""
        for key, content in table.rest():
            number = _id(key)
            if number is None:
                table.complain(key, f"the id of a resource from 0 to {MAX_ID}", content)
            elif key not in over:
                self._resource(path.child(number), table, key, content)

    def _resource(self, path: Path, table: Table, key: str, content: Any) -> None:
        """Read what stands at a Resource or a Resource Instance."""
        if len(path) == 4 or not _is_several(content):
            self._one(path, table, key, content)
            return
        model = self._drafts[path[0]].model.resources.get(path[2])
        if model is not None and not model.multiple:
            table.complain(key, f"a single value ({model.name})", content)
            return
        rows = enumerate(content) if isinstance(content, list) else content.items()
        below = table.below(key, {str(number): value for number, value in rows})
        self._values[Path(path[:2])].setdefault(path[2], {})
        for number, value in below.rest():
            identifier = _id(number)
            if identifier is None:
                below.complain(number, "the id of a resource instance", value)
            else:
                self._one(path.child(identifier), below, number, value)

    def _one(self, path: Path, table: Table, key: str, content: Any) -> None:
        """Read one value, or what makes one."""
        if not isinstance(content, dict):
            inner = table.below(key, {"function": "constant", "value": content}, bare=True)
        elif "function" not in content:
            inner = table.below(key, {"function": "constant", **content})
        else:
            inner = table.below(key, content)
        model = self._model(path, inner)
        if model is None:
            for _ in inner.rest():
                continue
        elif executable(model):
            inner.take("function", fields.anything, None)
            value = inner.take("value", fields.anything, None)
            if value is not None:
                inner.complain("value", f"no value: {model.name} is executed", value)
        else:
            if path == objects.LIFETIME:
                inner.complain("", "no value: the lifetime is that of [device]")
            digits = inner.take("digits", fields.whole(0, 15), 2)
            self._put(path, model, worldvalues.function(inner, model, self._context), digits)
        inner.end()

    def _put(self, path: Path, model: ResourceModel, found: Function | Value | None, digits: int) -> None:
        if found is None:
            return
        if isinstance(found, str | int | float | bytes | tuple):
            resources = self._values[Path(path[:2])]
            if len(path) == 4:
                several = resources.setdefault(path[2], {})
                if isinstance(several, dict):
                    several[path[3]] = found
            else:
                resources[path[2]] = found
            self._motions.pop(path, None)
        else:
            low, high = worldvalues.span_of(model)
            self._motions[path] = Motion(path, found, model.type, digits, low, high)

    def _model(self, path: Path, table: Table) -> ResourceModel | None:
        """The model of a Resource, by the Object's or by what the table says; None after a complaint."""
        kind = table.take("type", fields.choice(_TYPES), None)
        operations = table.take("operations", fields.choice(_OPERATIONS), None)
        draft = self._drafts[path[0]]
        model = draft.models.get(path[2]) or draft.model.resources.get(path[2])
        if model is None:
            if draft.usual.resources and kind is None and operations != "E":
                guess = worldvalues.nearest_id(path[2], draft.model.resources)
                table.complain("", f"a resource of {draft.model.name}, or its type", meant=guess)
                return None
            try:
                found = _type(kind, operations, table)
            except Wrong as wrong:
                table.complain("", str(wrong))
                return None
            model = ResourceModel(path[2], f"resource {path[2]}", operations or "RW", found, len(path) == 4)
        elif kind is not None and kind != model.type:
            table.complain("type", f"{model.type.value}, as {model.name} has", kind)
            return None
        if model.multiple != (len(path) == 4):
            shape = "several values, as in [1, 2] or { 0 = 1, 1 = 2 }" if model.multiple else "a single value"
            table.complain("", f"{shape} ({model.name})")
            return None
        if operations is not None:
            model = attrs.evolve(model, operations=operations)
        draft.models[path[2]] = model
        return model

    def _has(self, path: Path, table: Table, key: str) -> bool:
        """Make the Instance of ``path`` if it is missing; whether there is one now."""
        draft, instance = self._drafts[path[0]], Path(path[:2])
        if instance in self._values:
            return True
        if path[1] and not draft.model.multiple:
            table.complain(key, f"instance 0: there is a single {draft.model.name}")
            return False
        self._values[instance] = {}
        return True

    def _draft(
        self, number: int, table: Table | None, key: str, version: str | None = None, name: str | None = None
    ) -> _Draft | None:
        """The Object ``number``, begun if it is new; None after a complaint."""
        if number in self._drafts:
            return self._drafts[number]
        if number in SECURITY_OBJECTS:
            if table is not None:
                table.complain(key, "another object: a device never shows its Security Objects")
            return None
        try:
            usual = objects.of_object(self._models, self._version, number)
        except LookupError:
            usual = Supported(
                ObjectModel(number, "1.0", name or f"object {number}", True, False, {}), frozenset(), dynamic=True
            )
        model = usual.model
        if version is not None:
            model = attrs.evolve(self._models.object(number, version) or model, version=version)
        self._drafts[number] = draft = _Draft(model, usual)
        return draft

    def _fill(self, number: int, each: Mapping[str, Any]) -> dict[int, Value]:
        """What an Instance starts with that the server creates: the plain values of ``each``."""
        template = next((values for path, values in self._values.items() if path[0] == number), {})
        wanted = {identifier for key in each if (identifier := _id(key)) is not None}
        return {key: value for key, value in template.items() if key in wanted and not isinstance(value, dict)}


def _supported(draft: _Draft) -> Supported:
    """What a device has of an Object: what the file names of it, all of it where that is nothing."""
    resources = {**draft.model.resources, **draft.models}
    present = {*draft.models, *(one.id for one in resources.values() if executable(one))}
    if not draft.models or draft.model.id in _ALWAYS:
        present |= draft.usual.resources
    return attrs.evolve(
        draft.usual,
        model=attrs.evolve(draft.model, resources=resources),
        resources=frozenset(present),
        fill=draft.fill,
        dynamic=draft.usual.dynamic if draft.dynamic is None else draft.dynamic,
    )


def _type(kind: str | None, operations: str | None, table: Table) -> ResourceType:
    if operations == "E":
        return ResourceType.NONE
    return ResourceType(kind) if kind is not None else worldvalues.inferred_of_function(table)


def _is_several(content: Any) -> bool:
    """Whether it is a list, or a table of Resource Instances."""
    if isinstance(content, dict):
        return bool(content) and all(_id(key) is not None for key in content)
    return isinstance(content, list)


def _instances(value: Any) -> tuple[int, ...]:
    if type(value) is int and 0 <= value <= MAX_INSTANCES:
        return tuple(range(value))
    if isinstance(value, list) and len(value) <= MAX_INSTANCES:
        return tuple(map(fields.whole(0, MAX_ID), value))
    raise Wrong(f"how many there are (at most {MAX_INSTANCES}), or a list of their ids")


def _id(key: str) -> int | None:
    plain = key.isascii() and key.isdigit() and len(key) < 6 and (key == "0" or key[0] != "0")
    return int(key) if plain and int(key) <= MAX_ID else None
