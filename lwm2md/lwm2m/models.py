"""Object models: what the Resources of an Object are called, which type they have and what can be done with them.

Rules: models are looked up by Object and version; a version that is not in the table gets the nearest lower one, else
the nearest. The table is text in the format that the head of ``models.txt`` describes; the shell reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final

import attrs

from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_


class ModelError(ValueError):
    """The table of models has a wrong line; the message has its number."""


@attrs.frozen(slots=True)
class ResourceModel:
    """One Resource: ``operations`` is of ``R``, ``W``, ``RW``, ``E`` or empty for what only bootstrap may touch.

    ``range`` is ``"0..100"`` or ``"16,32,48"``, of the number, or of the length in bytes for String and Opaque.
    """

    id: int
    name: str
    operations: str
    type: ResourceType
    multiple: bool = False
    mandatory: bool = False
    range: str = ""
    unit: str = ""


@attrs.frozen(slots=True)
class ObjectModel:
    """One version of an Object."""

    id: int
    version: str
    name: str
    multiple: bool
    mandatory: bool
    resources: Mapping[int, ResourceModel]


TypeOf = Callable[[Path], ResourceModel | None]
"""Finds the model of the Resource that a path of three or four ids names."""


class Models:
    """A set of object models in all their versions."""

    def __init__(self, objects: Iterable[ObjectModel] = ()) -> None:
        self._objects: dict[int, dict[str, ObjectModel]] = {}
        for model in objects:
            self._objects.setdefault(model.id, {})[model.version] = model
        self._ordered = {
            identifier: sorted(((_order(version), model) for version, model in versions.items()), key=itemgetter(0))
            for identifier, versions in self._objects.items()
        }

    def __iter__(self) -> Iterator[ObjectModel]:
        """Every model, the versions of an Object one after the other."""
        return (model for versions in self._objects.values() for model in versions.values())

    def object(self, identifier: int, version: str | None = None) -> ObjectModel | None:
        """The model of that version, else of the nearest lower, else of the nearest; the newest where none is asked."""
        versions = self._objects.get(identifier)
        if versions is None:
            return None
        if version is None:
            return self._ordered[identifier][-1][1]
        return versions.get(version) or _nearest(self._ordered[identifier], _order(version))

    def resource(self, path: tuple[int, ...], versions: Mapping[int, str]) -> ResourceModel | None:
        """The model of a path of three or four ids, the Object being in the version that ``versions`` has for it."""
        if len(path) < 3:
            return None
        model = self.object(path[0], versions.get(path[0]))
        return None if model is None else model.resources.get(path[2])

    def type_of(self, versions: Mapping[int, str]) -> TypeOf:
        """The lookup that the content formats take, for one device's versions as they are now."""
        # A payload has many Resources of few Objects.
        known: dict[int, Mapping[int, ResourceModel]] = {}

        def find(path: Path) -> ResourceModel | None:
            if len(path) < 3:
                return None
            resources = known.get(path[0])
            if resources is None:
                model = self.object(path[0], versions.get(path[0]))
                resources = known[path[0]] = {} if model is None else model.resources
            return resources.get(path[2])

        return find


_IMPLIED: Final[dict[str, dict[int, str]]] = {
    "1.1": {0: "1.1", 1: "1.1", 3: "1.1", 4: "1.2"},
    "1.2": {0: "1.2", 1: "1.2", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.1", 21: "2.0"},
}


def default_version(identifier: int, enabler: str) -> str:
    """The version of an Object that a device of that LwM2M version means when it names none."""
    return _IMPLIED.get(enabler, {}).get(identifier, "1.0")


def check_range(model: ResourceModel, value: Value) -> None:
    """Raise ValueError_ if the value is outside the model's range: numbers by value, String and Opaque by bytes."""
    if not model.range or isinstance(value, bool | tuple):
        return
    measure = len(value.encode()) if isinstance(value, str) else len(value) if isinstance(value, bytes) else value
    if not any(low <= measure <= high for low, high in _bounds(model.range)):
        what = "length" if isinstance(value, str | bytes) else "value"
        raise ValueError_(f"{what} {measure} of {model.name} is outside {model.range}")


@lru_cache(maxsize=1024)
def _bounds(text: str) -> tuple[tuple[float, float], ...]:
    pairs = (part.partition("..") for part in text.split(","))
    return tuple((float(low), float(high or low)) for low, _, high in pairs)


def _order(version: str) -> tuple[int, ...]:
    # Devices send any text as a version: what is no number counts as the lowest.
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else 0 for part in version.split("."))


def _nearest(ordered: list[tuple[tuple[int, ...], ObjectModel]], wanted: tuple[int, ...]) -> ObjectModel:
    return next((model for order, model in reversed(ordered) if order <= wanted), ordered[0][1])


_TYPES: Final = {kind.value: kind for kind in ResourceType}
_RANGE: Final = re.compile(r"(?:-?[0-9.]+?(?:\.\.-?[0-9.]+)?(?:,|$))*")
_SPANS: Final = re.compile(r"(\d+\.\d+)?-(\d+\.\d+)?")

_Line = tuple[ResourceModel, str]


def parse(text: str) -> Models:
    """Read the table. Raises ModelError with the number of the line that is wrong."""
    groups: dict[str, list[_Line]] = {}
    objects: list[tuple[list[str], list[_Line]]] = []
    lines: list[_Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("+"):
                lines.extend(groups[line[1:]])
                continue
            fields = line.split("|")
            if fields[0] == "group":
                lines = groups.setdefault(fields[1], [])
            elif fields[0] == "object":
                lines = []
                objects.append((fields[1:], lines))
            else:
                lines.append(_resource(fields))
        except (KeyError, ValueError, IndexError) as error:
            raise ModelError(f"line {number}: {error}") from error
    try:
        return Models(model for fields, found in objects for model in _object(fields, found))
    except ValueError as error:
        raise ModelError(str(error)) from error


def _resource(fields: list[str]) -> _Line:
    if not 5 <= len(fields) <= 8:
        raise ValueError(f"a resource has five to eight fields, not {len(fields)}")
    identifier, name, operations, kind, shape, span, unit, only = fields + [""] * (8 - len(fields))
    if operations not in ("", "R", "W", "RW", "E") or shape not in ("S", "S!", "M", "M!"):
        raise ValueError(f"wrong operations {operations!r} or shape {shape!r}")
    if _RANGE.fullmatch(span) is None or (only and _SPANS.fullmatch(only) is None):
        raise ValueError(f"wrong range {span!r} or versions {only!r}")
    model = ResourceModel(
        int(identifier), name, operations, _TYPES[kind], shape.startswith("M"), shape.endswith("!"), span, unit
    )
    return model, only


def _object(fields: list[str], lines: list[_Line]) -> Iterator[ObjectModel]:
    if len(fields) != 5:
        raise ValueError(f"an object has five fields, not {fields!r}")
    identifier, name, versions, multiple, mandatory = fields
    for version in versions.split():
        resources: dict[int, ResourceModel] = {}
        for model, only in lines:
            if not only or _within(version, only):
                if model.id in resources:
                    raise ValueError(f"resource {model.id} twice in object {identifier} version {version}")
                resources[model.id] = model
        yield ObjectModel(int(identifier), version, name, multiple == "multiple", mandatory == "mandatory", resources)


def _within(version: str, only: str) -> bool:
    first, _, last = only.partition("-")
    order = _order(version)
    return (not first or _order(first) <= order) and (not last or order <= _order(last))
