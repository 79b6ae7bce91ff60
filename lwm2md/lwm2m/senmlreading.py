"""Reading SenML records as nodes (RFC 8428; RFC 8790 for null; OMA LwM2M Core, SenML).

Rules: base fields hold from their record on. A record has one value, and a path at or below the base. A path comes once
for each time. Labels that end in ``_`` must be understood, others are passed over. Time is base time plus time as the
device sent it: what is below 2**28 is relative, and its reader knows to what.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from lwm2md.lwm2m.leaves import MULTIPLE_FOR_SINGLE, SINGLE_FOR_MULTIPLE
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.senmlform import Form, Label, Record
from lwm2md.lwm2m.senmlnames import base_name, check_labels, full_name, place, without_root
from lwm2md.lwm2m.typed import Reader

WITHOUT_VALUE: Final = "senml-without-value"
WITHOUT_ROOT: Final = "senml-without-root"

_MAX_NUMBER: Final = 2**64


class RecordReader:
    """Collects the entries of one payload that was sent for a base."""

    __slots__ = (
        "_base",
        "_base_time",
        "_base_value",
        "_below",
        "_entries",
        "_form",
        "_name",
        "_note",
        "_plans",
        "_root",
        "_seen",
        "_simple",
        "_type_of",
    )

    def __init__(self, form: Form, base: Path, type_of: TypeOf, note: Note, root: str) -> None:
        self._form, self._base, self._type_of, self._note, self._root = form, base, type_of, note, root
        self._name = ""
        self._base_time: float | None = None
        self._base_value: float | None = None
        self._below = f"{base}/" if base else ""
        self._entries: list[Entry] = []
        self._seen: list[object] = []
        self._plans: dict[int, tuple[Label, Reader]] = {}
        self._simple = not root

    def read(self, records: list[Record]) -> Nodes:
        """The entries of the records; of none at all, that the base is empty. Raises ContentError."""
        entries, seen, plans, note = self._entries, self._seen, self._plans, self._note
        name_label, below = self._form.labels.name, self._below
        for record in records:
            # Nearly all records are a name and a value of the right type; anything else is sorted out below.
            if self._simple and len(record) == 2:
                try:
                    name = self._name + record[name_label]
                    path, key = place(name)
                    label, reader = plans[key]
                    if name.startswith(below):
                        entries.append(Entry(path, reader(record[label], note)))
                        seen.append(name)
                        continue
                except (LookupError, TypeError, ValueError):
                    pass
            self._record(record)
        if len(set(seen)) != len(seen):
            raise ContentError("a path is there twice")
        return tuple(entries) if entries else self._nothing()

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
            return
        path, key = self._place(record)
        if len(found) != 1:
            raise ContentError(f"{path} has {len(found)} values")
        try:
            self._take(path, key, found[0], record[found[0]], self._time(record))
        except ContentError as error:
            raise ContentError(f"{path}: {error}") from None

    def _take_bases(self, record: Record) -> None:
        labels = self._form.labels
        self._name = base_name(record, self._form, self._name)
        if labels.base_time in record:
            self._base_time = _number(record[labels.base_time])
        if labels.base_value in record:
            self._base_value = _number(record[labels.base_value])
        self._simple = not self._root and self._base_time is None and self._base_value is None

    def _place(self, record: Record) -> tuple[Path, int]:
        name = full_name(record, self._form, self._name)
        bare = without_root(name, self._root)
        if bare is None and self._base:
            # What was asked for lies below the root, and nothing else was asked for.
            self._note(WITHOUT_ROOT)
            bare = name
        try:
            path, key = place(name if bare is None else bare)
        except PathError as error:
            raise ContentError(f"{name[:40]!r}: {error}") from None
        if bare is None or not self._base.covers(path):
            raise ContentError(f"{path} is outside of {self._root}{self._base}")
        return path, key

    def _time(self, record: Record) -> float | None:
        given = record.get(self._form.labels.time)
        if given is None:
            return self._base_time
        time = _number(given) + (self._base_time or 0)
        if not isfinite(time):
            raise ContentError("a time beyond all bounds")
        return float(time)

    def _take(self, path: Path, key: int, label: Label, given: object, time: float | None) -> None:
        if key < 0:
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
        if model is not None and model.multiple == (len(path) == 4):
            self._plans[key] = next(iter(readers.items()))
        elif model is not None:
            self._note(SINGLE_FOR_MULTIPLE if model.multiple else MULTIPLE_FOR_SINGLE)
            path = path.child(0) if model.multiple else path.parent
        self._entries.append(Entry(path, reader(given, self._note), time))
        self._seen.append(str(path) if time is None else (str(path), time))

    def _remove(self, path: Path) -> None:
        if not self._form.etch or len(path) != 4:
            raise ContentError("null is no value here")
        self._entries.append(Entry(path, None))
        self._seen.append(str(path))

    def _nothing(self) -> Nodes:
        if not self._base:
            return ()
        model = self._type_of(self._base)
        if len(self._base) == 4 or (len(self._base) == 3 and model is not None and not model.multiple):
            raise ContentError(f"there is no value for {self._base}")
        return (Entry(self._base, None),)


def _number(given: object) -> float:
    if type(given) is int and -_MAX_NUMBER < given < _MAX_NUMBER:
        return given
    if type(given) is not float or not isfinite(given):
        raise ContentError("a base value or time that is no sane number")
    return given
