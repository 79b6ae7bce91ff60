"""From the values that a caller wrote in JSON to the entries that a content format writes (OMA Core, Write and Create).

RULES: a key of ``values`` is a whole path, or what follows the path of the request. The model says how a value is to be
read; without one its JSON type does, and by force also where it does not fit the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import msgspec

from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_, from_json
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import CREATE, WRITE_COMPOSITE, OperationRequest

MOST_VALUES: Final = 1000
"""How many values one request may have."""


def parse_path(text: str) -> Path:
    """The path of a request. Raises BadOperation."""
    try:
        return Path.parse(text)
    except PathError as error:
        raise BadOperation(str(error), "path") from None


def written(request: OperationRequest, path: Path, type_of: TypeOf) -> Nodes:
    """The entries of a Write, Create or Write-Composite. Raises BadOperation, naming the member that is wrong."""
    if request.value is not msgspec.UNSET and request.values is not None:
        raise BadOperation("value and values exclude each other", "value")
    if request.values is not None and len(request.values) > MOST_VALUES:
        raise BadOperation(f"at most {MOST_VALUES} values in one request", "values")
    if request.op == CREATE:
        return _created(request, path, type_of)
    if request.values is None and (request.op == WRITE_COMPOSITE or len(path) < 3):
        if request.value is msgspec.UNSET:
            raise BadOperation("values is missing", "values")
        raise BadOperation(f"value is for one Resource; {path} takes values by path", "value")
    reader = _Reader(type_of, request.force, nulls=request.op == WRITE_COMPOSITE)
    if request.values is not None:
        if not request.values:
            raise BadOperation("values is empty", "values")
        return _distinct(reader.below(path, request.values))
    if request.value is msgspec.UNSET:
        raise BadOperation("value or values is missing", "value")
    return tuple(reader.entries(path, request.value, "value"))


def instance_of(request: OperationRequest, path: Path) -> Path:
    """The Object Instance that a Create makes; 0 stands for the one that the device chooses. Raises BadOperation."""
    try:
        return path.child(0 if request.id is None else request.id)
    except PathError as error:
        raise BadOperation(str(error), "id") from None


def _created(request: OperationRequest, path: Path, type_of: TypeOf) -> Nodes:
    instance = instance_of(request, path)
    if request.value is not msgspec.UNSET:
        raise BadOperation("a Create takes values by path", "value")
    if not request.values:
        return (Entry(instance, None),)
    return _distinct(_Reader(type_of, request.force, nulls=False).below(instance, request.values))


def _distinct(entries: Iterator[Entry]) -> Nodes:
    """The entries as nodes, where no path is there twice. Raises BadOperation."""
    found: dict[Path, Entry] = {}
    for entry in entries:
        if entry.path in found:
            raise BadOperation(f"{entry.path} is given twice", "values")
        found[entry.path] = entry
    return tuple(found.values())


@attrs.frozen(slots=True)
class _Reader:
    """Reads values by path; ``nulls`` says whether null may stand for a Resource Instance that is to be deleted."""

    type_of: TypeOf
    force: bool
    nulls: bool

    def below(self, base: Path, values: dict[str, object]) -> Iterator[Entry]:
        """The entries of ``values``, whose keys lie below ``base``."""
        for key, value in values.items():
            yield from self.entries(_below(base, key), value, "values")

    def entries(self, path: Path, value: object, field: str) -> Iterator[Entry]:
        """One value, or all instances of a multiple Resource given as an object by id or as a list."""
        model = self.type_of(path)
        if len(path) < 3:
            raise BadOperation(f"{path} is not the path of a Resource", field)
        if model is not None and model.type is ResourceType.NONE:
            raise BadOperation(f"{path} is executable, it has no value", field)
        given = {str(index): each for index, each in enumerate(value)} if isinstance(value, list) else value
        if len(path) == 3 and isinstance(given, dict):
            self._check_shape(path, model, field, several=True)
            for key, each in given.items():
                yield self._entry(_below(path, str(key)), model, each, field)
            if not given:
                yield Entry(path, None)
        else:
            self._check_shape(path, model, field, several=len(path) == 4)
            yield self._entry(path, model, value, field)

    def _entry(self, path: Path, model: ResourceModel | None, value: object, field: str) -> Entry:
        if value is None and self.nulls and len(path) == 4:
            return Entry(path, None)
        return Entry(path, self._value(path, model, value, field))

    def _value(self, path: Path, model: ResourceModel | None, value: object, field: str) -> Value:
        try:
            return from_json(None if model is None else model.type, value)
        except ValueError_ as error:
            if not self.force:
                raise BadOperation(f"{path}: {error}", field) from None
        try:
            return from_json(None, value)
        except ValueError_ as error:
            raise BadOperation(f"{path}: {error}", field) from None

    def _check_shape(self, path: Path, model: ResourceModel | None, field: str, *, several: bool) -> None:
        if model is None or self.force or several == model.multiple:
            return
        if several:
            raise BadOperation(f"{path}: {model.name} has no instances, it is a single Resource", field)
        raise BadOperation(f"{path}: {model.name} is multiple, it takes values by instance or a list", field)


def _below(base: Path, key: str) -> Path:
    """A key of ``values``: a whole path below ``base``, or what follows it (``"6/0"``)."""
    try:
        path = Path.parse(key if key.startswith("/") else f"{base if base else ''}/{key}")
    except PathError as error:
        raise BadOperation(f"{key[:40]}: {error}", "values") from None
    if not base.covers(path):
        raise BadOperation(f"{key} is not below {base}", "values")
    return path
