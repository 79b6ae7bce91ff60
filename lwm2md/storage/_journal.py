"""The journal of the SQLite storage: what was committed and is not in its table yet.

RULES: a batch is durable as one row of the journal, whatever is in it; that is what makes a commit cheap. What the rows
say is gathered here, so that of many changes of one row the last is written, and those of many devices in the order of
their keys; each commit takes some of that to the tables. What comes in that order goes there at once (`_sweeps`). A
journal is read back at the start, so that what went to its table and is still in the journal is written there again:
that changes nothing, since the order is the same.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import groupby, repeat
from math import inf
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from lwm2md.storage import _history, _logs
from lwm2md.storage._squeezing import squeeze, unsqueeze
from lwm2md.storage._statements import ROWS, in_rows
from lwm2md.storage._sweeps import TABLE as SWEPT
from lwm2md.storage._sweeps import parted
from lwm2md.storage.interface import LOGS, TABLES, Append, Batch, Place, Sample, Samples, Write

FULL: Final = 65_536
"""Changes that are gathered before they begin to go to their tables."""
_HEAVY: Final = 8 << 20
"""Bytes of the journal that are as many."""
MANY: Final = 64
"""Records that are gathered before they make a row of their log."""
_PUT: Final = {table: f"INSERT OR REPLACE INTO {table} (key, value) VALUES (?, ?)" for table in TABLES}
_PUT_MANY: Final = {table: _PUT[table] + ", (?, ?)" * (ROWS - 1) for table in TABLES}
_DELETE: Final = {table: f"DELETE FROM {table} WHERE key = ?" for table in TABLES}

_TABLE: Final = attrgetter("table")
_ROW: Final = attrgetter("key", "value")
_LOG: Final = attrgetter("log")

_WRITE: Final = "INSERT OR REPLACE INTO journal (id, value) VALUES (?, ?)"
_FORGET: Final = "DELETE FROM journal WHERE id <= ?"

Step = tuple[Callable[[sqlite3.Connection], object], dict[str, Any], Sequence[Any]]
"""A part of what brings changes into their tables; and where they are gathered, by which keys, until it is done."""


class _Entry(msgspec.Struct, array_like=True):
    """A row of the journal."""

    writes: list[Write]
    appends: list[Append]
    samples: list[Sample]
    dropped: list[str] = []


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Entry).decode


class _Changes:
    """What some batches change, together."""

    __slots__ = ("count", "rows", "samples", "swept")

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, bytes | None]] = {table: {} for table in TABLES}
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)
        self.count = 0
        # Of the table of sweeps the keys of rows that went there, and are still in the journal.
        self.swept: set[str] = set()

    def add(self, writes: Sequence[Write], samples: Sequence[Sample]) -> None:
        """Take the changes of one more batch."""
        by_owner = self.samples
        for table, some in groupby(writes, _TABLE):
            self.rows[table].update(map(_ROW, some))
        for sample in samples:
            by_owner[sample[0]].append(sample)
        self.count += len(writes) + len(samples)

    def drop(self, owners: Sequence[str]) -> None:
        """Forget the samples of owners, those of steps that are yet to be done too."""
        for owner in owners:
            if owner in self.samples:
                self.samples[owner].clear()

    def steps(self) -> Iterator[Step]:
        """What brings them into their tables, some rows each."""
        for table, changes in self.rows.items():
            ordered = sorted(changes.items(), key=itemgetter(0))
            there = [row for row in ordered if row[1] is not None]
            for statement, values in in_rows(_PUT[table], _PUT_MANY[table], there):
                yield partial(_execute, statement, values), changes, values[::2]
            for key, _ in (row for row in ordered if row[1] is None) if len(there) < len(ordered) else ():
                yield partial(_execute, _DELETE[table], (key,)), changes, (key,)
        owners = sorted(self.samples)
        for start in range(0, len(owners), ROWS):
            some = owners[start : start + ROWS]
            yield partial(_history.add, owners=[self.samples[owner] for owner in some]), self.samples, some


class Journal:
    """The journal of one open database.

    What writes to a connection returns what is to be called when that was committed: until then nothing has happened.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._young = _Changes()
        self._weight = 0
        # Of the rows of the journal the last one, and the last one of which all is in its table.
        self.last = self._settled = 0
        self._records: list[Append] = []
        # What is on its way to the tables, what is yet to be done for that, how many steps go with a change, and up to
        # which row of the journal it stands for.
        self._old: _Changes | None = None
        self._due: list[Step] = []
        self._pace, self._mark = 0.0, 0

    @property
    def empty(self) -> bool:
        """Whether everything is in its table."""
        return self._old is None and not (self._young.count or self._records)

    def open(self, connection: sqlite3.Connection) -> None:
        """Gather what the journal has; it is to be settled at once."""
        for number, value in connection.execute("SELECT id, value FROM journal ORDER BY id"):
            entry = _decode(unsqueeze(value))
            self._young.drop(entry.dropped)
            self._young.add(entry.writes, entry.samples)
            self._records += entry.appends
            self.last = number
        for log in LOGS:
            first = min((record.id for record in self._records if record.log == log), default=None)
            if first is not None:
                gone, there = _logs.trimmed(connection, log), frozenset(_logs.ids(connection, log, first))
                self._records = [
                    each for each in self._records if each.log != log or not (each.id <= gone or each.id in there)
                ]

    def find(self, table: str, key: str) -> tuple[bool, bytes | None]:
        """Whether a row was changed and is not in its table yet, and to what."""
        for changes in (self._young, self._old):
            if changes is not None and key in changes.rows[table]:
                return True, changes.rows[table][key]
        return False, None

    def changes(self, table: str, after: str, end: str | None) -> dict[str, bytes | None]:
        """What was changed of a table and is not there yet, behind a key and up to another one."""
        found: dict[str, bytes | None] = {}
        for changes in (self._old, self._young):
            rows = changes.rows[table] if changes is not None else {}
            found |= {key: value for key, value in rows.items() if key > after and (end is None or key <= end)}
        return found

    def names(self, there: list[str], owner: str, start: str, end: str, limit: int) -> list[str]:
        """The first names of an owner's series: those that are ``there``, and those that are yet to come."""
        more = {name for _, name, _, _ in self._samples(owner) if start <= name < end}
        return sorted(more.union(there))[:limit] if more else there

    def samples(self, there: Samples, series: Place, start: int, end: int, limit: int) -> Samples:
        """The first samples of a series: those that are ``there``, and those that are yet to come."""
        owner, name = series
        more = {time: value for _, each, time, value in self._samples(owner) if each == name and start <= time < end}
        return sorted({**dict(there), **more}.items())[:limit] if more else there

    def _samples(self, owner: str) -> Iterator[Sample]:
        for changes in (self._old, self._young):
            if changes is not None and owner in changes.samples:
                yield from changes.samples[owner]

    def read(self, rows: list[tuple[str, bytes]], log: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """The first records of a log behind an id: ``rows`` has those that are there, the others come behind them."""
        more = [(each.id, each.value) for each in self._records if each.log == log and each.id > after]
        return (rows + more)[:limit] if len(rows) < limit else rows

    def write(self, connection: sqlite3.Connection, batch: Batch) -> Callable[[], None]:
        """Write a batch down; and take what came earlier to its tables, faster than it comes."""
        appends, samples, dropped = batch.appends, batch.samples, batch.dropped
        unknown = {*map(_TABLE, batch.writes)} - TABLES or {*map(_LOG, appends)} - LOGS
        if unknown:
            raise KeyError(min(unknown))
        swept, writes = parted(batch.writes, self._named)
        for statement, values in in_rows(_PUT[SWEPT], _PUT_MANY[SWEPT], swept):
            _execute(statement, values, connection)
        if not (writes or appends or samples or dropped):
            return _nothing
        records = [*self._records, *appends]
        if len(records) >= MANY or self._old is not None:  # before the rows of the journal go that have them
            _append(connection, records)
            records, appends = [], ()
        value, last = _encode((writes, appends, samples, dropped)), self.last + 1
        connection.execute(_WRITE, (last, squeeze(value, len(writes) + len(samples))))
        done = self._apply(connection, 1 + int(self._pace * (len(writes) + len(samples))))
        _history.drop(connection, dropped)

        def written() -> None:
            self._applied(done)
            if dropped:
                self._young.drop(dropped)
                if self._old is not None:
                    self._old.drop(dropped)
            self._young.add(writes, samples)
            self._records = records
            self._weight += len(value)
            self.last = last
            if self._old is None and (self._young.count >= FULL or self._weight >= _HEAVY):
                self._turn()

        return written

    @property
    def _named(self) -> list[Collection[str]]:
        """The keys of the table of sweeps that are in rows of the journal."""
        young, old = self._young.rows[SWEPT], self._old
        return [young] if old is None else [young, old.rows[SWEPT], old.swept]

    def behind(self, number: int) -> bool:
        """Whether something is not in its table yet of the rows of the journal up to this one."""
        return self._settled < number

    def advance(self, connection: sqlite3.Connection, stop: float) -> Callable[[], None]:
        """Take some of it to the tables, until a time of `time.monotonic`."""
        if self._old is None:
            self._turn()
        done = self._apply(connection, len(self._due), stop)
        _append(connection, self._records)

        def advanced() -> None:
            self._applied(done)
            self._records.clear()

        return advanced

    @property
    def logged(self) -> bool:
        """Whether all records are in their logs."""
        return not self._records

    def log(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Take all records to their logs, and leave the rest where it is."""
        _append(connection, self._records)
        return self._records.clear

    def settle(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Take everything to its table."""
        self._apply(connection, len(self._due))
        for carry_out, _, _ in self._young.steps():
            carry_out(connection)
        _append(connection, self._records)
        connection.execute(_FORGET, (self.last,))
        return self._reset

    def _apply(self, connection: sqlite3.Connection, most: int, stop: float = inf) -> int:
        """Carry out the next steps, until a time of `time.monotonic`; how many."""
        done = 0
        for carry_out, _, _ in self._due[:most]:
            carry_out(connection)
            done += 1
            if time.monotonic() >= stop:
                break
        if self._old is not None and done == len(self._due):
            connection.execute(_FORGET, (self._mark,))
        return done

    def _applied(self, done: int) -> None:
        """So many steps were done. What is in its table is forgotten here, bit by bit: of all at once it takes long."""
        for _, gathered, keys in self._due[:done]:
            if self._old is not None and gathered is self._old.rows[SWEPT]:
                self._old.swept.update(keys)
            for _ in map(gathered.pop, keys, repeat(None)):
                pass
        del self._due[:done]
        if self._old is not None and not self._due:
            self._settled, self._old = self._mark, None

    def _turn(self) -> None:
        self._old, self._mark = self._young, self.last
        self._due = list(self._old.steps())
        # Twice as many, so that all is done before there is as much again.
        self._pace = 2 * len(self._due) / max(1, self._old.count)
        self._young, self._weight = _Changes(), 0


def _execute(statement: str, values: Sequence[Any], connection: sqlite3.Connection) -> None:
    """Write rows, keys and values in turns: of bytes sqlite3 finds out first how to adapt them, of a bytearray not."""
    bound = [*values]
    bound[1::2] = map(bytearray, bound[1::2])
    connection.execute(statement, bound)


def _append(connection: sqlite3.Connection, records: Sequence[Append]) -> None:
    for log in {*map(_LOG, records)}:
        for statement, values in _logs.rows(log, [record for record in records if record.log == log]):
            connection.execute(statement, values)


def _nothing() -> None:
    """There was nothing to write."""
