"""Writing nodes as SenML records (RFC 8428; RFC 8790 for null; OMA LwM2M Core, SenML).

Rules: below an Object one base name stands for what all names have in common; the ids behind it stay in the names.
Where every value has a time there is a base time of whole seconds. Empty containers have no record.
"""

from __future__ import annotations

from math import floor, hypot, trunc
from typing import Any, Final

from lwm2md.lwm2m.leaves import shaped
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.senmlform import PLAIN, Form, Label, Record
from lwm2md.lwm2m.senmlnames import NAMES
from lwm2md.lwm2m.typed import write
from lwm2md.lwm2m.values import ObjectLink, Value

_Plan = tuple[type, int, int, Label | None]
"""The Python type whose values are written as they are, integers from one bound to below another, and their label."""

_MAX_TIME: Final = 2.0**63
"""The difference of two times below it fits into CBOR."""
_EXACT: Final = 2.0**52
"""The differences of whole times are exact if each of them, and so their root of squares, is below it."""
_UNPLANNED: Final[_Plan] = (object, 0, 0, None)


def write_records(form: Form, base: Path, nodes: Nodes, type_of: TypeOf, root: str) -> list[Record]:
    """The records of nodes that lie at or below the base. Raises ContentError."""
    writer = _Writer(form, type_of)
    # Of deeper bases the instance stands before the names, and what is outside has no place in their few records.
    lead = f"{Path(base[:2])}/" if base else ""
    if len(base) > 2 and not all(base.covers(entry.path) for entry in nodes):
        raise ContentError(f"there is something that is not below {base}")
    name_label, time_label = form.labels.name, form.labels.time
    found: dict[object, Record] = {}
    plans, skipped = writer.plans, 0
    base_time, times = times_of(nodes)
    for entry, time in zip(nodes, times, strict=True):
        path, value = entry.path, entry.value
        name, key = NAMES[path]
        if lead:
            short = name.removeprefix(lead)
            if short is name and path != base:
                raise ContentError(f"{path} is not below {base}")
        else:
            short = name
        try:
            kind, low, high, label = plans[key]
        except KeyError:
            kind, low, high, label = writer.plan(path, key)
        if type(value) is not kind or (kind is int and not low <= value < high):  # type: ignore[operator]
            if value is None and not writer.removes(path):
                skipped += 1
                continue
            label, value = writer.convert(path, value)  # type: ignore[assignment]
        if time is None:
            found[name] = {name_label: short, label: value}
        elif time or not base_time:
            found[name, time] = {name_label: short, time_label: time, label: value}
        else:
            found[name, time] = {name_label: short, label: value}
    if len(found) != len(nodes) - skipped:
        raise ContentError("a path is there twice")
    records = list(found.values())
    bases: Record = {form.labels.base_name: root + lead} if root or lead else {}
    if base_time:
        bases[form.labels.base_time] = base_time
    if bases and records:
        records[0] = bases | records[0]
    return records


class _Writer:
    """Turns values into what stands in records, and remembers for which Resources there is nothing to turn."""

    __slots__ = ("_form", "_type_of", "plans")

    def __init__(self, form: Form, type_of: TypeOf) -> None:
        self._form, self._type_of = form, type_of
        self.plans: dict[int, _Plan] = {}

    def plan(self, path: Path, key: int) -> _Plan:
        """How values with that key are written if they are as the model has them."""
        model = self._type_of(path) if key >= 0 else None
        if model is None or model.multiple != (len(path) == 4) or model.type not in PLAIN:
            return _UNPLANNED
        plain = PLAIN[model.type]
        found = self.plans[key] = *plain, self._form.label_of[plain[0]]
        return found

    def removes(self, path: Path) -> bool:
        """Whether an entry without a value is a Resource Instance to be deleted, not an empty container."""
        if len(path) < 4:
            return False
        if not self._form.etch:
            raise ContentError(f"{path} has no value")
        return True

    def convert(self, path: Path, value: Value | None) -> tuple[Label, object]:
        """The label and what stands under it. Raises ContentError."""
        form = self._form
        if value is None:
            return form.labels.number, None
        if len(path) < 3:
            raise ContentError(f"no value can stand at {path}")
        model = self._type_of(path)
        shaped(path, model)
        try:
            value = write(value, model)
        except ContentError as error:
            raise ContentError(f"{path}: {error}") from None
        label = form.label_of[type(value)]
        if type(value) is bytes:
            return label, form.write_data(value)
        return label, str(value) if type(value) is ObjectLink else value


def times_of(nodes: Nodes) -> tuple[int, list[Any]]:
    """The base time, 0 for none, and the time to write for each of the nodes, None for none."""
    times: list[Any] = [entry.time for entry in nodes]
    if times and all(times) and hypot(*times) < _EXACT and all(map(float.is_integer, times)):
        since = times[0]
        return int(since), list(map(trunc, [time - since for time in times]))
    missing = times.count(None)
    if missing == len(times):
        return 0, times
    if not all(-_MAX_TIME < time < _MAX_TIME for time in times if time is not None):
        raise ContentError("a time beyond all bounds")
    if missing:
        return 0, [time if time is None else _shortest(time) for time in times]
    base = floor(times[0])
    shifts = [time - base for time in times]
    written: list[Any] = list(map(int, shifts))
    if written != shifts:
        # Some readers refuse more digits than nanoseconds have, as a difference in binary has.
        written = [_shortest(round(shift, 9)) for shift in shifts]
    if [base + shift for shift in written] == times:
        return base, written
    # Where a time would not come out the same, each stands for itself.
    return 0, list(map(_shortest, times))


def _shortest(time: float) -> int | float:
    return int(time) if time.is_integer() else time
