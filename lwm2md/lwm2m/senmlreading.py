"""Reading SenML records as nodes (RFC 8428; RFC 8790 for null; OMA LwM2M Core, SenML).

Rules: base fields hold from their record on. A record has one value, and a path at or below the base. A path comes once
for each time. Labels that end in ``_`` must be understood, others are passed over. Time is base time plus time as the
device sent it: what is below 2**28 is relative, and its reader knows to what.
"""

from __future__ import annotations

from typing import Final

from lwm2md.lwm2m.leaves import empty, placed
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.senmlform import Form, Label, Plan, Record
from lwm2md.lwm2m.senmlnames import NAMES, PLACES, base_name, check_labels, full_name, without_root

WITHOUT_VALUE: Final = "senml-without-value"
WITHOUT_ROOT: Final = "senml-without-root"

_MAX_NUMBER: Final = 2.0**64


class RecordReader:
    """Collects the entries of one payload that was sent for a base."""

    __slots__ = (
        "_base",
        "_base_time",
        "_base_value",
        "_below",
        "_form",
        "_found",
        "_name",
        "_note",
        "_plans",
        "_root",
        "_simple",
        "_skipped",
        "_type_of",
    )

    def __init__(self, form: Form, base: Path, type_of: TypeOf, note: Note, root: str) -> None:
        self._form, self._base, self._type_of, self._note, self._root = form, base, type_of, note, root
        self._name = ""
        self._base_time: float | None = None
        self._base_value: float | None = None
        self._below = f"{base}/" if base else ""
        self._found: dict[object, Entry] = {}
        self._skipped = 0
        self._plans: dict[int, Plan] = {}
        self._simple = not root

    def read(self, records: list[Record]) -> Nodes:
        """The entries of the records; of none at all, that the base is empty. Raises ContentError."""
        found, plans, note = self._found, self._plans, self._note
        name_label, time_label, below = self._form.labels.name, self._form.labels.time, self._below
        simple, base, since, inside = self._simple, "", self._base_time, not below
        for record in records:
            # Nearly all records are a name, a value of its type, and maybe a time; others are sorted out later.
            size = len(record)
            if simple and size < 4:
                try:
                    name = base + record[name_label]
                    path, key = PLACES[name]
                    try:
                        kind, label, reader = plans[key]
                    except KeyError:
                        kind, label, reader = self._plan(path, key)
                    value = record[label]
                    if type(value) is not kind:
                        value = reader(value, note)
                    if inside or name.startswith(below) or path == self._base:
                        if size == 2 and since is None:
                            found[name] = Entry(path, value)
                        else:
                            shift = record[time_label] if size == 3 else 0
                            time = (since or 0.0) + (shift if type(shift) is int else _number(shift))
                            if not -_MAX_NUMBER < time < _MAX_NUMBER:
                                raise LookupError(name)
                            found[name, time] = Entry(path, value, time)
                        continue
                except (LookupError, TypeError, ValueError, OverflowError):
                    pass
            self._record(record)
            simple, base, since = self._simple, self._name, self._base_time
            inside = base.startswith(below)
        if len(found) != len(records) - self._skipped:
            raise ContentError("a path is there twice")
        if found or not self._base:
            return tuple(found.values())
        return empty(self._base, self._type_of)

    def _plan(self, path: Path, key: int) -> Plan:
        """How values with that key are read if they are as the model has them. Raises LookupError for others."""
        model = self._type_of(path)
        if model is None or model.multiple != (len(path) == 4):
            raise LookupError(key)
        found = self._plans[key] = self._form.plans[model.type]
        return found

    def _record(self, record: Record) -> None:
        form = self._form
        keys = record.keys()
        if not keys <= form.known:
            check_labels(record, form)
        if not keys.isdisjoint(form.bases):
            self._take_bases(record)
        found = [label for label in form.values if label in record]
        if not found and form.labels.name not in record:
            self._note(WITHOUT_VALUE)
            self._skipped += 1
            return
        path = self._place(record)
        if len(found) != 1:
            raise ContentError(f"{path} has {len(found)} values")
        try:
            self._take(path, found[0], record[found[0]], self._time(record.get(form.labels.time)))
        except ContentError as error:
            raise ContentError(f"{path}: {error}") from None

    def _take_bases(self, record: Record) -> None:
        labels = self._form.labels
        self._name = base_name(record, self._form, self._name)
        if labels.base_time in record:
            self._base_time = float(_number(record[labels.base_time]))
        if labels.base_value in record:
            self._base_value = _number(record[labels.base_value])
        self._simple = not self._root and self._base_value is None

    def _place(self, record: Record) -> Path:
        name = full_name(record, self._form, self._name)
        bare = without_root(name, self._root)
        if bare is None and self._base:
            # What was asked for lies below the root, and nothing else was asked for.
            self._note(WITHOUT_ROOT)
            bare = name
        try:
            path = PLACES[name if bare is None else bare][0]
        except PathError as error:
            raise ContentError(f"{name[:40]!r}: {error}") from None
        if bare is None or not self._base.covers(path):
            raise ContentError(f"{path} is outside of {self._root}{self._base}")
        return path

    def _time(self, shift: object) -> float | None:
        if shift is None:
            return self._base_time
        return _number(shift) + (self._base_time or 0.0)

    def _take(self, path: Path, label: Label, given: object, time: float | None) -> None:
        if len(path) < 3:
            raise ContentError("no value can stand here")
        if given is None:
            self._remove(path)
            return
        if label == self._form.labels.number and self._base_value is not None:
            given = _number(given) + self._base_value
        model = self._type_of(path)
        readers = self._form.readers[None if model is None else model.type]
        reader = readers.get(label)
        if reader is None:
            raise ContentError(f"no value of its type has the label {label!r}")
        self._add(Entry(placed(path, model, self._note), reader(given, self._note), time))

    def _remove(self, path: Path) -> None:
        if not self._form.etch or len(path) != 4:
            raise ContentError("null is no value here")
        self._add(Entry(path, None))

    def _add(self, entry: Entry) -> None:
        name = NAMES[entry.path][0]
        # Strings hash unforeseeably, so that nobody can make them collide; paths don't.
        self._found[name if entry.time is None else (name, entry.time)] = entry


def _number(given: object) -> float:
    # No time and no value of a device is larger, and no sum of two such is infinite.
    if type(given) not in (int, float) or not -_MAX_NUMBER < given < _MAX_NUMBER:  # type: ignore[operator]
        raise ContentError("a base value or a time that is no sane number")
    return given  # type: ignore[return-value]
