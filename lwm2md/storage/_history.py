"""The series of the SQLite storage, as functions on its connection.

RULES: a row holds a run of samples of one series; the runs of a series are in the order of time, and none overlaps
another. Samples that come behind all others, as nearly all do, make the last run longer, or another one; those that
do not are put into the run where they belong. What removes rows stops after some milliseconds: everybody else waits
for the thread that does it.
"""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter, lt
from typing import Final

from lwm2md.storage._runs import MOST, pack, unpack
from lwm2md.storage._statements import ROWS, in_rows
from lwm2md.storage.interface import START, Place, Sample, Samples

_KEY: Final = "owner = ? AND name = ?"
_LAST: Final = (
    f"(SELECT time || ' ' || coalesce(last, time) || ' ' || iif(count, length(value), {MOST}) FROM history"
    f" WHERE {_KEY} ORDER BY time DESC LIMIT 1)"
)
_LASTS: Final = "SELECT " + ", ".join([_LAST] * ROWS)
_INTO: Final = "INSERT INTO history (owner, name, time, last, count, value) VALUES "
_LONGER: Final = (
    " ON CONFLICT DO UPDATE SET last = excluded.last, count = count + excluded.count,"
    " value = CAST(value || excluded.value AS BLOB)"
)
_ROW: Final = "(?, ?, ?, ?, ?, ?)"
_ADD: Final = _INTO + _ROW + _LONGER
_ADD_MANY: Final = _INTO + ", ".join([_ROW] * ROWS) + _LONGER
_RUN: Final = f"SELECT time, count, value FROM history WHERE {_KEY} AND time <= ? ORDER BY time DESC LIMIT 1"
_FIRST: Final = f"SELECT min(time) FROM history WHERE {_KEY} AND time > ?"
_FORGET: Final = f"DELETE FROM history WHERE {_KEY} AND time = ?"
_DROP: Final = "DELETE FROM history WHERE owner = ?"
_BEGIN: Final = f"SELECT max(time) FROM history WHERE {_KEY} AND time <= ?"
_RUNS: Final = f"SELECT time, count, value FROM history WHERE {_KEY} AND time >= ? AND time < ? ORDER BY time"
_NAME: Final = "SELECT min(name) FROM history WHERE owner = ? AND name >= ? AND name < ?"
_NAME_AFTER: Final = "SELECT min(name) FROM history WHERE owner = ? AND name > ? AND name < ?"
_SERIES: Final = "SELECT owner, name FROM history WHERE (owner, name) > (?, ?) ORDER BY owner, name LIMIT 1"
_SURPLUS: Final = (
    f"SELECT time, total FROM (SELECT time, sum(max(count, 1)) OVER (ORDER BY time DESC) AS total"
    f" FROM history WHERE {_KEY}) WHERE total > ? ORDER BY time DESC LIMIT 1"
)
_REMOVE: Final = f"DELETE FROM history WHERE {_KEY} AND time < ?"
_LONGEST: Final = 0.01
_NEVER: Final = -(1 << 63)
_PAD: Final = ["", ""]

_Series = tuple[Place, Sequence[int], Sequence[bytes]]
"""Some samples of a series, in order."""


def add(connection: sqlite3.Connection, owners: Iterable[Sequence[Sample]]) -> None:
    """Write the samples of some owners; of one time the last one stays, and takes the place of one that is there."""
    series = [each for samples in owners for each in _series(samples)]
    for start in range(0, len(series), ROWS):
        _add(connection, series[start : start + ROWS])


def _series(samples: Sequence[Sample]) -> Iterable[_Series]:
    """The samples of an owner by their series, in order."""
    if not samples:
        return ()
    owners, names, times, values = zip(*samples, strict=True)
    # Nearly always they are of one series, and came in order.
    if names.count(names[0]) == len(names) and all(map(lt, times, times[1:])):
        return (((owners[0], names[0]), times, values),)
    return _sorted(samples)


def _sorted(samples: Sequence[Sample]) -> Iterator[_Series]:
    for place, several in groupby(sorted(samples, key=itemgetter(1, 2)), itemgetter(0, 1)):
        found = {at: value for _, _, at, value in several}
        yield place, tuple(found), tuple(found.values())


def _add(connection: sqlite3.Connection, series: Sequence[_Series]) -> None:
    asked = [name for place, _, _ in series for name in place]
    asked += _PAD * (ROWS - len(series))
    rows: list[tuple[object, ...]] = []
    for known, (place, times, values) in zip(connection.execute(_LASTS, asked).fetchone(), series, strict=False):
        begin, end, size = (0, _NEVER, MOST) if known is None else map(int, known.split())
        if end >= times[0]:
            _insert(connection, place, times, values)
            continue
        for first, last, count, value in pack(times, values):
            rows.append((*place, begin if size + len(value) <= MOST else first, last, count, value))
            size = MOST
    for statement in in_rows(_ADD, _ADD_MANY, rows):
        connection.execute(*statement)


def _insert(connection: sqlite3.Connection, place: Place, times: Sequence[int], values: Sequence[bytes]) -> None:
    """Put samples into the runs where they belong."""
    done = 0
    while done < len(times):
        key = (*place, times[done])
        run = connection.execute(_RUN, key).fetchone()
        behind = connection.execute(_FIRST, key).fetchone()[0]
        end = len(times) if behind is None else bisect_left(times, behind)
        merged = {} if run is None else dict(unpack(*run))
        merged.update(zip(times[done:end], values[done:end], strict=True))
        if run is not None:
            connection.execute(_FORGET, (*place, run[0]))
        _write(connection, place, sorted(merged.items()))
        done = end


def _write(connection: sqlite3.Connection, place: Place, samples: Samples) -> None:
    """Write the runs of samples that overlap no other run."""
    times, values = zip(*samples, strict=True)
    for run in pack(times, values):
        connection.execute(_ADD, (*place, *run))


def drop(connection: sqlite3.Connection, owners: Sequence[str]) -> None:
    """Remove the series of owners."""
    connection.executemany(_DROP, [(owner,) for owner in owners])


def names(connection: sqlite3.Connection, owner: str, start: str, end: str, limit: int) -> list[str]:
    """See `Storage.names`; each name is one step, however many samples its series has."""
    found: list[str] = []
    query = _NAME
    while len(found) < limit:
        name = connection.execute(query, (owner, start, end)).fetchone()[0]
        if name is None:
            break
        found.append(name)
        query, start = _NAME_AFTER, name
    return found


def samples(connection: sqlite3.Connection, series: Place, start: int, end: int, limit: int) -> Samples:
    """See `Storage.samples`."""
    begin = connection.execute(_BEGIN, (*series, start)).fetchone()[0]
    found: Samples = []
    cursor = connection.execute(_RUNS, (*series, start if begin is None else begin, end))
    while len(found) < limit and (run := cursor.fetchone()) is not None:
        found += [sample for sample in unpack(*run) if start <= sample[0] < end]
    cursor.close()
    return found[:limit]


def thin(connection: sqlite3.Connection, after: Place, before: int, keep: int, limit: int) -> tuple[Place, int]:
    """See `Storage.thin`."""
    stop = time.monotonic() + _LONGEST
    place, removed = after, 0
    while True:
        series = connection.execute(_SERIES, place).fetchone()
        if series is None:
            return START, removed
        gone, more = _thin(connection, series, before, keep, limit - removed)
        removed += gone
        if more:
            # There is more to remove, at the next call; before the first series of all there is no other to name.
            return (series[0], "") if place == START else place, removed
        place = series
        if removed >= limit or time.monotonic() >= stop:
            return place, removed


def _thin(connection: sqlite3.Connection, series: Place, before: int, keep: int, limit: int) -> tuple[int, bool]:
    """Remove at most ``limit`` old samples of a series: how many, and whether there are more."""
    end = max(before, _surplus(connection, series, keep))
    gone = going = 0
    rest: Samples = []
    cursor = connection.execute(_RUNS, (*series, _NEVER, end))
    while not rest and (run := cursor.fetchone()) is not None:
        found = unpack(*run)
        going = min(bisect_left(found, (end,)), limit - gone)
        gone, rest = gone + going, found[going:]
    cursor.close()
    if gone:
        connection.execute(_REMOVE, (*series, rest[0][0] if rest else end))
        if going and rest:
            _write(connection, series, rest)
    return gone, bool(rest) and rest[0][0] < end


def _surplus(connection: sqlite3.Connection, series: Place, keep: int) -> int:
    """The time behind the last sample that is one too many."""
    found = connection.execute(_SURPLUS, (*series, keep)).fetchone()
    if found is None:
        return _NEVER
    begin, total = found
    samples: Samples = unpack(*connection.execute(_RUN, (*series, begin)).fetchone())
    end: int = samples[total - keep - 1][0] + 1
    return end
