"""Recordings that a world file replays: CSV text with a time in seconds and one or more values in each row.

RULES: the first column is the time, and times ascend; a first row whose time is no number names the columns; empty
lines are passed over. What is wrong is said with its line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from typing import Final

from lwm2md.device.faults import nearest
from lwm2md.device.fields import LONGEST_TIME, Wrong
from lwm2md.device.functions import Replay
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_, from_text

_MAX_ROWS: Final = 1_000_000

_Row = tuple[int, list[str]]


def replay(text: str, column: int | str, kind: ResourceType, *, loop: bool) -> Replay:
    """The recording in ``column`` (a name, or a number from 2 up) as values of ``kind``. Raises Wrong."""
    rows = list(_rows(text))
    names: list[str] = []
    if rows and _time(rows[0][1][0]) is None:
        names = [name.strip() for name in rows.pop(0)[1]]
    if not rows:
        raise Wrong("a file with at least one row of a time and a value")
    index = _index(column, names)
    times: list[float] = []
    values: list[Value] = []
    for line, cells in rows:
        moment = _time(cells[0])
        if moment is None or (times and moment <= times[-1]):
            raise Wrong(f"times in seconds that ascend (line {line})")
        if index >= len(cells):
            raise Wrong(f"a value in column {index + 1} of every row (line {line})")
        times.append(moment)
        values.append(_value(cells[index].strip(), kind, line))
    return Replay(tuple(times), tuple(values), loop)


def _rows(text: str) -> Iterator[_Row]:
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            if cells and any(cell.strip() for cell in cells):
                yield reader.line_num, cells
            if reader.line_num > _MAX_ROWS:
                raise Wrong(f"at most {_MAX_ROWS} rows")
    except csv.Error as error:
        raise Wrong(f"a file of comma separated values (line {reader.line_num}: {error})") from error


def _time(cell: str) -> float | None:
    try:
        moment = float(cell)
    except ValueError:
        return None
    return moment if math.isfinite(moment) and 0 <= moment <= LONGEST_TIME else None


def _index(column: int | str, names: list[str]) -> int:
    if isinstance(column, int):
        return column - 1
    if column not in names[1:]:
        guess = nearest(column, names[1:])
        listed = ", ".join(names[1:])
        has = f"one of the file's columns {listed}" if names else "a number, since the file names no columns"
        raise Wrong(has + (f"; did you mean '{guess}'?" if guess else ""))
    return names.index(column, 1)


def _value(cell: str, kind: ResourceType, line: int) -> Value:
    try:
        return from_text(kind, cell)
    except ValueError_ as error:
        raise Wrong(f"values of type {kind.value} (line {line}: {error})") from error
