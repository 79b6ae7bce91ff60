"""Object models: what the Resources of an Object are called, which type they have and what can be done with them.

Rules: models are looked up by Object and version; a version that is not in the table gets the nearest lower one, else
the nearest. The table is text in the format that the head of ``models.txt`` describes; the shell reads the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final

import attrs

from lwm2md.lwm2m import ranges
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
    """One version of an Object; ``enabler`` is the least version of LwM2M that it is for."""

    id: int
    version: str
    name: str
    multiple: bool
    mandatory: bool
    resources: Mapping[int, ResourceModel]
    enabler: str = "1.0"


TypeOf = Callable[[Path], ResourceModel | None]
"""Finds the model of the Resource that a path of three or four ids names."""


class Models:
    """A set of object models in all their versions."""

    def __init__(self, objects: Iterable[ObjectModel] = ()) -> None:
        self._objects: dict[int, dict[str, ObjectModel]] = {}
        for model in objects:
            self._objects.setdefault(model.id, {})[model.version] = model
        self._ordered = {
            identifier: sorted(((order(version), model) for version, model in versions.items()), key=itemgetter(0))
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
        return versions.get(version) or _nearest(self._ordered[identifier], order(version))

    def exactly(self, identifier: int, version: str) -> ObjectModel | None:
        """The model of that version and no other."""
        return self._objects.get(identifier, {}).get(version)

    def with_others(self, others: Iterable[ObjectModel]) -> Models:
        """A set in which ``others`` stand beside these, in the place of those of the same Object and version."""
        return Models((*self, *others))

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
    measure = (
        len(value.encode("utf-8", "surrogatepass"))
        if isinstance(value, str)
        else len(value)
        if isinstance(value, bytes)
        else value
    )
    if not any(low <= measure <= high for low, high in ranges.bounds(model.range)):
        what = "length" if isinstance(value, str | bytes) else "value"
        raise ValueError_(f"{what} {measure} of {model.name} is outside {model.range}")


def limits(model: ResourceModel) -> tuple[float, float]:
    """The least and the greatest that the model's range lets through; infinite where it has none."""
    pairs = ranges.bounds(model.range) if model.range else ((-math.inf, math.inf),)
    return min(low for low, _ in pairs), max(high for _, high in pairs)


def order(version: str) -> tuple[int, ...]:
    """What versions are sorted by: 1.10 is above 1.9."""
    # Devices send any text as a version: what is no number counts as the lowest.
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else 0 for part in version.split("."))


def _nearest(ordered: list[tuple[tuple[int, ...], ObjectModel]], wanted: tuple[int, ...]) -> ObjectModel:
    return next((model for order, model in reversed(ordered) if order <= wanted), ordered[0][1])


_TYPES: Final = {kind.value: kind for kind in ResourceType}
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
    if (span and not ranges.well_formed(span)) or (only and _SPANS.fullmatch(only) is None):
        raise ValueError(f"wrong range {span!r} or versions {only!r}")
    model = ResourceModel(
        int(identifier),
        name.replace("¦", "|"),
        operations,
        _TYPES[kind],
        shape.startswith("M"),
        shape.endswith("!"),
        span,
        unit,
    )
    return model, only


def _object(fields: list[str], lines: list[_Line]) -> Iterator[ObjectModel]:
    if len(fields) != 5:
        raise ValueError(f"an object has five fields, not {fields!r}")
    identifier, name, versions, multiple, mandatory = fields
    for word in versions.split():
        version, _, enabler = word.partition("@")
        resources: dict[int, ResourceModel] = {}
        for model, only in lines:
            if not only or _within(version, only):
                if model.id in resources:
                    raise ValueError(f"resource {model.id} twice in object {identifier} version {version}")
                resources[model.id] = model
        yield ObjectModel(
            int(identifier),
            version,
            name,
            multiple == "multiple",
            mandatory == "mandatory",
            resources,
            enabler or "1.0",
        )


def _within(version: str, only: str) -> bool:
    first, _, last = only.partition("-")
    this = order(version)
    return (not first or order(first) <= this) and (not last or this <= order(last))
