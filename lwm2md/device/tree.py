"""The object tree of the device: what it supports, and the values it holds.

RULES: the supported objects are immutable and shared by all devices of a process; a tree holds only the values. A
change is made on a copy of an Instance that replaces the old one when all of it was accepted (``commit``), so a
refused Write leaves nothing behind. The Security Object is not in the tree: nobody reads, lists or writes it (OMA
LwM2M Core TS 6.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from lwm2md.lwm2m.models import ObjectModel, ResourceModel
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, Value

Stored = Value | dict[int, Value]
Resources = dict[int, Stored]

NO_LINK: Final = 65535


@attrs.frozen(slots=True)
class Supported:
    """An Object as the device supports it.

    ``resources`` are the ids that exist in this device, ``bounds`` limits beyond those of the model (lowest,
    highest), ``choices`` the only strings a Resource takes, ``fill`` what a created Instance starts with. ``dynamic``
    says that the server may create and delete Instances.
    """

    model: ObjectModel
    resources: frozenset[int]
    bounds: Mapping[int, tuple[float, float]] = {}
    choices: Mapping[int, tuple[str, ...]] = {}
    fill: Mapping[int, Value] = {}
    dynamic: bool = False

    def resource(self, number: int) -> ResourceModel | None:
        """The model of Resource ``number``, None when this device does not support it."""
        return self.model.resources.get(number) if number in self.resources else None


def readable(model: ResourceModel) -> bool:
    """Whether the server may Read the Resource."""
    return "R" in model.operations


def writable(model: ResourceModel) -> bool:
    """Whether the server may Write the Resource."""
    return "W" in model.operations


def executable(model: ResourceModel) -> bool:
    """Whether the server may Execute the Resource."""
    return "E" in model.operations


class Tree:
    """The Objects, Instances and Resources of one device."""

    __slots__ = ("_instances", "supported")

    def __init__(self, supported: Mapping[int, Supported], instances: Mapping[Path, Mapping[int, Stored]]) -> None:
        self.supported = supported
        self._instances: dict[int, dict[int, Resources]] = {number: {} for number in supported}
        for path, resources in instances.items():
            self._instances[path[0]][path[1]] = _copy(resources)

    def instances(self, number: int) -> Mapping[int, Resources]:
        """The Instances of Object ``number``, which is supported. Read only."""
        return self._instances[number]

    def instance(self, path: Path) -> Resources | None:
        """The Resources of the Instance that ``path`` is or lies in. Read only."""
        return self._instances.get(path[0], {}).get(path[1])

    def resource(self, path: Path) -> Stored | None:
        """The stored value of the Resource that ``path`` is or lies in, None when it is not there."""
        instance = self.instance(path)
        return None if instance is None else instance.get(path[2])

    def value(self, path: Path) -> Value | None:
        """The single value at a path of three or four ids, None when there is none or several."""
        stored = self.resource(path)
        if isinstance(stored, dict):
            return stored.get(path[3]) if len(path) == 4 else None
        return stored if len(path) == 3 else None

    def model(self, path: Path) -> ResourceModel | None:
        """The model of the Resource that ``path`` is or lies in, None when it is not supported."""
        supported = self.supported.get(path[0]) if len(path) > 2 else None
        return None if supported is None else supported.resource(path[2])

    def exists(self, path: Path) -> bool:
        """Whether something is at ``path``: a supported Object, an Instance, a Resource with a value or executable."""
        if len(path) < 2:
            return bool(path) and path[0] in self.supported
        instance = self.instance(path)
        if instance is None or len(path) == 2:
            return instance is not None
        if len(path) == 3:
            model = self.model(path)
            return path[2] in instance or (model is not None and executable(model))
        return self.value(path) is not None

    def copy(self, path: Path) -> Resources:
        """A copy of the Instance at ``path`` to change and then ``commit``; empty when there is none yet."""
        return _copy(self.instance(path) or {})

    def commit(self, path: Path, resources: Resources) -> None:
        """Put ``resources`` in the place of the Instance at ``path``."""
        self._instances[path[0]][path[1]] = resources

    def remove(self, path: Path) -> None:
        """Remove the Instance at ``path``."""
        del self._instances[path[0]][path[1]]

    def put(self, path: Path, value: Value) -> bool:
        """The device itself sets a value; whether that changed anything. Nothing happens where there is no Instance."""
        instance = self.instance(path)
        if instance is None:
            return False
        if len(path) == 4:
            several = instance.setdefault(path[2], {})
            if not isinstance(several, dict) or several.get(path[3]) == value:
                return False
            several[path[3]] = value
            return True
        if instance.get(path[2]) == value:
            return False
        instance[path[2]] = value
        return True

    def nodes(self, path: Path) -> Nodes:
        """What a Read of the existing ``path`` shows: everything readable at and below it."""
        if len(path) == 1:
            return tuple(
                e for number in sorted(self._instances[path[0]]) for e in self._of_instance(path.child(number))
            )
        if len(path) == 2:
            return tuple(self._of_instance(path))
        stored = self.resource(path)
        if len(path) == 4:
            return (Entry(path, self.value(path)),)
        return () if stored is None else tuple(_entries(path, stored))

    def links_to_something(self, link: ObjectLink) -> bool:
        """Whether an Object Link may be stored: null, a supported Object, or one of its Instances."""
        if link.object == NO_LINK:
            return link.instance == NO_LINK
        if link.object not in self.supported:
            return False
        return link.instance == NO_LINK or link.instance in self._instances[link.object]

    def _of_instance(self, path: Path) -> Iterable[Entry]:
        supported, instance = self.supported[path[0]], self._instances[path[0]][path[1]]
        entries = [
            entry
            for number in sorted(instance)
            if readable(supported.model.resources[number])
            for entry in _entries(path.child(number), instance[number])
        ]
        return entries or [Entry(path, None)]


def _entries(path: Path, stored: Stored) -> Iterator[Entry]:
    if not isinstance(stored, dict):
        yield Entry(path, stored)
    elif not stored:
        yield Entry(path, None)
    else:
        for number in sorted(stored):
            yield Entry(path.child(number), stored[number])


def _copy(resources: Mapping[int, Stored]) -> Resources:
    return {number: dict(value) if isinstance(value, dict) else value for number, value in resources.items()}
