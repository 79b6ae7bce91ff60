"""Payloads of a shape that is known: the paths of an earlier one, with values as the models have them.

Rules: devices send the same paths again and again. What follows from the paths is found out once; what is left is a
look at all values at a time. Whatever is not as usual is no error here: it goes the long way, record by record, and
both ways lead to the same nodes and the same bytes. Shapes are of some records, and there are some shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import compress, repeat
from math import hypot
from operator import lt
from types import NoneType
from typing import Any, Final, TypeVar

import attrs

from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import Entry, Nodes, ignore
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.senmlform import PLAIN, Form, Label, Record
from lwm2md.lwm2m.senmlnames import NAMES, PLACES
from lwm2md.lwm2m.typed import READERS
from lwm2md.lwm2m.values import ResourceType

MOST_RECORDS: Final = 128
"""Payloads with more values have no shape."""

_FEWEST_READ: Final = 5
"""Fewer records are read faster one by one."""

_KEPT: Final = 4096
"""So many records have all shapes together that are known at a time."""
_SEEN: Final = 64
_MAX_TIME: Final = 2.0**62
_MAX_WHOLE: Final = 2**63
_TIMES: Final = frozenset((int, float, NoneType))

_Known = TypeVar("_Known", bound=Hashable)
_Found = TypeVar("_Found")


@attrs.frozen
class Shape:
    """What follows from paths and their models, one for each different Resource: the types of values, and labels."""

    paths: tuple[Path, ...]
    samples: tuple[Path, ...]
    models: list[ResourceModel | None]
    kinds: tuple[type, ...]
    labels: tuple[Label, ...]
    distinct: bool
    whole: tuple[bool, ...]
    texts: tuple[bool, ...]
    least: int
    """No integer below it is in the range of all types of integers that there are."""

    def of_models(self, type_of: TypeOf) -> bool:
        """Whether the models are still the same."""
        return list(map(type_of, self.samples)) == self.models

    def fits(self, values: Sequence[object]) -> bool:
        """Whether each value is one of its type, and an integer in the range of all of them."""
        if tuple(map(type, values)) != self.kinds:
            return False
        whole: list[Any] = list(compress(values, self.whole))
        return not whole or (self.least <= min(whole) and max(whole) < _MAX_WHOLE)


def shape_of(form: Form, paths: tuple[Path, ...], type_of: TypeOf) -> Shape | None:
    """The shape of values at those paths, None if not all of them are of models with one form of a value."""
    samples = {NAMES[path][1]: path for path in paths}
    models = [type_of(path) for path in samples.values()]
    rows = {}
    for (key, path), model in zip(samples.items(), models, strict=True):
        if model is None or model.multiple != (len(path) == 4) or model.type not in PLAIN:
            return None
        rows[key] = PLAIN[model.type]
    plain = [rows[NAMES[path][1]] for path in paths]
    kinds = tuple(kind for kind, _, _ in plain)
    return Shape(
        paths,
        tuple(samples.values()),
        models,
        kinds,
        tuple(form.label_of[kind] for kind in kinds),
        len(set(paths)) == len(paths),
        tuple(kind is int for kind in kinds) if int in kinds else (),
        tuple(kind is str for kind in kinds) if str in kinds else (),
        max((low for kind, low, _ in plain if kind is int), default=0),
    )


class Shapes(dict[_Known, _Found]):
    """What is known of shapes, of a bounded number of records."""

    __slots__ = ("_records", "_seen")

    def __init__(self) -> None:
        super().__init__()
        self._records = 0
        self._seen: set[int] = set()

    def again(self, known: _Known) -> bool:
        """Whether that shape came lately: to find out about one that comes only once takes longer than it saves."""
        seen = hash(known)
        if seen in self._seen:
            return True
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(seen)
        return False

    def keep(self, known: _Known, found: _Found, records: int) -> None:
        """Remember what was found for a shape of so many records."""
        self._records += records
        if self._records > _KEPT:
            self.clear()
            self._records = records
        self[known] = found


class ShapeReader:
    """Reads records of known shapes of one form."""

    __slots__ = ("_form", "_known")

    def __init__(self, form: Form) -> None:
        self._form = form
        self._known: Shapes[tuple[Path, str, tuple[str, ...]], Shape] = Shapes()

    def read(self, base: Path, records: list[Record], type_of: TypeOf) -> Nodes | None:
        """The nodes at and below ``base``, None for records that are not all as usual, or are wrong.

        Usual ones are a name, a value and maybe a time, behind one base name and one base time.
        """
        if not _FEWEST_READ <= len(records) <= MOST_RECORDS:
            return None
        labels = self._form.labels
        try:
            names = tuple([record[labels.name] for record in records])
            shape = self._shape(base, records[0].get(labels.base_name, ""), names, type_of)
            if shape is None:
                return None
            values = _values(records, shape)
            times = self._times(records, shape.distinct)
        except (LookupError, TypeError, ValueError, OverflowError):
            return None
        return tuple(map(Entry, shape.paths, values, times))

    def _shape(self, base: Path, lead: str, names: tuple[str, ...], type_of: TypeOf) -> Shape | None:
        known = base, lead, names
        shape = self._known.get(known)
        if shape is not None and shape.of_models(type_of):
            return shape
        if shape is None and not self._known.again(known):
            return None
        paths = tuple([PLACES[lead + name][0] for name in names])
        shape = shape_of(self._form, paths, type_of) if all(map(base.covers, paths)) else None
        if shape is not None:
            self._known.keep(known, shape, len(names))
        return shape

    def _times(self, records: list[Record], distinct: bool) -> Iterable[float | None]:
        """The time of each record, all of which have a name and a value. Raises LookupError for what is not usual."""
        labels, first, count = self._form.labels, records[0], len(records)
        size = sum(map(len, records)) - (labels.base_name in first) - (labels.base_time in first)
        if distinct and size == 2 * count and labels.base_time not in first:
            return repeat(None)
        base = first.get(labels.base_time)
        shifts = [record.get(labels.time) for record in records]
        missing = shifts.count(None)
        if size != 3 * count - missing or (base is None and missing):
            raise LookupError("there are other labels, or there is no time")
        if not _TIMES.issuperset({type(base), *map(type, shifts)}):
            raise LookupError("there is a time that is no number")
        since = float(base or 0)
        times = [since if shift is None else since + shift for shift in shifts]
        # The root of their squares is at least the largest of them, and nothing is below NaN.
        if not hypot(since, *times) < _MAX_TIME:
            raise LookupError("there is a time that is out of bounds")
        if not distinct and not all(map(lt, times, times[1:])):
            raise LookupError("the times of a path don't rise")
        return times


def _values(records: list[Record], shape: Shape) -> list[Any]:
    """The value of each record. Raises LookupError or ContentError for what may need a closer look."""
    values = [record[label] for record, label in zip(records, shape.labels, strict=True)]
    if not shape.fits(values):
        # Many devices write 20.0 as 20.
        read = READERS[ResourceType.FLOAT]
        values = [
            read(value, ignore) if kind is float else value for value, kind in zip(values, shape.kinds, strict=True)
        ]
        if not shape.fits(values):
            raise LookupError("there are values of other types")
    text = "".join(compress(values, shape.texts))
    if "\0" in text or not (text.isascii() or _encodable(text)):
        raise LookupError("there are strings that end with NUL, or are no UTF-8")
    return values


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
