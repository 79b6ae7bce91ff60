"""Writing nodes as SenML records (RFC 8428; RFC 8790 for null; OMA LwM2M Core, SenML).

Rules: below an Object one base name stands for what all names have in common; the ids behind it stay in the names.
Where every value has a time there is a base time of whole seconds. Empty containers have no record.
"""

from __future__ import annotations

from math import floor, isfinite
from typing import Final

from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.senmlform import Form, Label, Record
from lwm2md.lwm2m.senmlnames import named
from lwm2md.lwm2m.typed import write
from lwm2md.lwm2m.values import ObjectLink, ResourceType, Value

_Plain = tuple[type, int, int]
_Plan = tuple[type, int, int, Label | None]
"""The Python type whose values are written as they are, integers from one bound to below another, and their label."""

_SIGNED: Final = (int, -(2**63), 2**63)
_PLAIN: Final[dict[ResourceType, _Plain]] = {
    ResourceType.FLOAT: (float, 0, 0),
    ResourceType.BOOLEAN: (bool, 0, 0),
    ResourceType.STRING: (str, 0, 0),
    ResourceType.CORELNK: (str, 0, 0),
    ResourceType.INTEGER: _SIGNED,
    ResourceType.TIME: _SIGNED,
    ResourceType.UNSIGNED: (int, 0, 2**64),
}
_UNPLANNED: Final[_Plan] = (object, 0, 0, None)


def write_records(form: Form, base: Path, nodes: Nodes, type_of: TypeOf, root: str) -> list[Record]:
    """The records of nodes that lie at or below the base. Raises ContentError."""
    writer = _Writer(form, type_of)
    stem = str(Path(base[:2])) if base else ""
    below, start = f"{base}/" if base else "", len(stem) + 1 if stem else 0
    name_label, time_label = form.labels.name, form.labels.time
    records: list[Record] = []
    plans = writer.plans
    timed = 0
    for entry in nodes:
        path, value, time = entry.path, entry.value, entry.time
        name, key = named(path)
        if not name.startswith(below) and path != base:
            raise ContentError(f"{path} is not below {base}")
        kind, low, high, label = plans.get(key, _UNPLANNED)
        if type(value) is not kind or (kind is int and not low <= value < high):  # type: ignore[operator]
            if value is None and not writer.removes(path):
                continue
            label, value = writer.convert(path, key, value)  # type: ignore[assignment]
        if time is None:
            records.append({name_label: name[start:], label: value})
        else:
            records.append({name_label: name[start:], time_label: _seconds(time), label: value})
            timed += 1
    _check_twice(records, form, timed)
    bases: Record = {form.labels.base_name: f"{root}{stem}/" if stem else root} if stem or root else {}
    if timed and timed == len(records):
        bases |= _base_time(records, form)
    if bases and records:
        records[0] = bases | records[0]
    return records


class _Writer:
    """Turns values into what stands in records, and remembers for which Resources there is nothing to turn."""

    __slots__ = ("_form", "_type_of", "plans")

    def __init__(self, form: Form, type_of: TypeOf) -> None:
        self._form, self._type_of = form, type_of
        self.plans: dict[int, _Plan] = {}

    def removes(self, path: Path) -> bool:
        """Whether an entry without a value is a Resource Instance to be deleted, not an empty container."""
        if len(path) < 4:
            return False
        if not self._form.etch:
            raise ContentError(f"{path} has no value")
        return True

    def convert(self, path: Path, key: int, value: Value | None) -> tuple[Label, object]:
        """The label and what stands under it. Raises ContentError."""
        form = self._form
        if value is None:
            return form.labels.number, None
        if key < 0:
            raise ContentError(f"no value can stand at {path}")
        model = self._type_of(path)
        if model is not None and model.multiple != (len(path) == 4):
            raise ContentError(f"{path} is of a {'multiple' if model.multiple else 'single'} resource")
        try:
            value = write(value, model)
        except ContentError as error:
            raise ContentError(f"{path}: {error}") from None
        label = form.label_of[type(value)]
        if model is not None and model.type in _PLAIN:
            self.plans[key] = (*_PLAIN[model.type], label)
        if type(value) is bytes:
            return label, form.write_data(value)
        return label, str(value) if type(value) is ObjectLink else value


def _seconds(time: float) -> int | float:
    if not isfinite(time):
        raise ContentError("a time beyond all bounds")
    return int(time) if time == floor(time) else time


def _check_twice(records: list[Record], form: Form, timed: int) -> None:
    name, time = form.labels.name, form.labels.time
    if timed:
        found = len({(record[name], record.get(time)) for record in records})
    else:
        found = len({record[name] for record in records})
    if found != len(records):
        raise ContentError("a path is there twice")


def _base_time(records: list[Record], form: Form) -> Record:
    """Make the times relative to a base time, which is returned; nothing where a time would not come out the same."""
    label = form.labels.time
    base = floor(records[0][label])
    shifts = [_seconds(record[label] - base) for record in records]
    if any(base + shift != record[label] for shift, record in zip(shifts, records, strict=True)):
        return {}
    for shift, record in zip(shifts, records, strict=True):
        if shift:
            record[label] = shift
        else:
            del record[label]
    return {form.labels.base_time: base}
