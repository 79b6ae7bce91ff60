"""The logs of the SQLite storage, as functions on its connection.

RULES: a row holds a run of records, packed and squeezed, under the id of the last one; or a single record as it is,
with a count of 0. A run is never longer than `RUN`, so that little is read beyond what was asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from lwm2md.storage._squeezing import squeeze, unsqueeze
from lwm2md.storage.interface import LOGS, Append, Rows

RUN: Final = 500
"""Records that one row holds at most."""

_APPEND: Final = {log: f"INSERT INTO {log} (id, count, value) VALUES (?, ?, ?)" for log in LOGS}
_READ: Final = {log: f"SELECT id, count, value FROM {log} WHERE id > ? ORDER BY id" for log in LOGS}
_FIRST_KEPT: Final = {
    log: f"SELECT id, total FROM (SELECT id, sum(max(count, 1)) OVER (ORDER BY id DESC) AS total FROM {log})"
    " WHERE total > ? ORDER BY id DESC LIMIT 1"
    for log in LOGS
}
_ROW: Final = {log: f"SELECT id, count, value FROM {log} WHERE id = ?" for log in LOGS}
_FROM: Final = {log: f"SELECT id, count, value FROM {log} WHERE id >= ?" for log in LOGS}
_TRIM: Final = {log: f"DELETE FROM {log} WHERE id <= ?" for log in LOGS}

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Append]).decode


def rows(log: str, records: Sequence[Append]) -> Iterator[tuple[str, tuple[str, int, bytes]]]:
    """The statements that append records to a log, each with its values."""
    for start in range(0, len(records), RUN):
        run = records[start : start + RUN]
        last = run[-1]
        yield (
            _APPEND[log],
            (last.id, 0, last.value) if len(run) == 1 else (last.id, len(run), squeeze(_encode(run), len(run))),
        )


def read(connection: sqlite3.Connection, log: str, after: str, limit: int) -> Rows:
    """See `Storage.read`."""
    found: Rows = []
    cursor = connection.execute(_READ[log], (after,))
    while len(found) < limit and (row := cursor.fetchone()) is not None:
        found += [(record.id, record.value) for record in _records(log, *row) if record.id > after]
    cursor.close()
    return found[:limit]


def ids(connection: sqlite3.Connection, log: str, start: str) -> Iterator[str]:
    """The ids of the records in the rows from ``start`` on."""
    for row in connection.execute(_FROM[log], (start,)):
        yield from (record.id for record in _records(log, *row))


def trimmed(connection: sqlite3.Connection, log: str) -> str:
    """The greatest id that was ever removed from a log, or ``""``."""
    last = connection.execute("SELECT id FROM trimmed WHERE log = ?", (log,)).fetchone()
    return "" if last is None else str(last[0])


def trim(connection: sqlite3.Connection, log: str, keep: int) -> str:
    """See `Storage.trim`."""
    surplus = connection.execute(_FIRST_KEPT[log], (keep,)).fetchone()
    if surplus is not None:
        last, total = surplus
        records = _records(log, *connection.execute(_ROW[log], (last,)).fetchone())
        # The row has the oldest record that is kept, unless all of it goes.
        first = total - keep
        connection.execute(_TRIM[log], (last,))
        for statement, values in rows(log, records[first:]):
            connection.execute(statement, values)
        connection.execute("INSERT OR REPLACE INTO trimmed (log, id) VALUES (?, ?)", (log, records[first - 1].id))
    return trimmed(connection, log)


def _records(log: str, last: str, count: int, value: bytes) -> list[Append]:
    return _decode(unsqueeze(value)) if count else [Append(log, last, value)]
