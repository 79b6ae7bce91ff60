"""The series of the SQLite storage, as functions on its connection.

RULES: one row for each sample, those of a series side by side in the order of time. What removes rows stops after some
milliseconds: everybody else waits for the thread that does it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from lwm2md.storage.interface import START, Place, Samples

ADD: Final = "INSERT OR REPLACE INTO history (owner, name, time, value) VALUES (?, ?, ?, ?)"
_DROP: Final = "DELETE FROM history WHERE owner = ?"
_SAMPLES: Final = (
    "SELECT time, value FROM history WHERE owner = ? AND name = ? AND time >= ? AND time < ? ORDER BY time LIMIT ?"
)
_NAME: Final = "SELECT min(name) FROM history WHERE owner = ? AND name >= ? AND name < ?"
_NAME_AFTER: Final = "SELECT min(name) FROM history WHERE owner = ? AND name > ? AND name < ?"
_SERIES: Final = "SELECT owner, name FROM history WHERE (owner, name) > (?, ?) ORDER BY owner, name LIMIT 1"
_SURPLUS: Final = "SELECT time FROM history WHERE owner = ? AND name = ? ORDER BY time DESC LIMIT 1 OFFSET ?"
_NTH: Final = "SELECT time FROM history WHERE owner = ? AND name = ? AND time < ? ORDER BY time LIMIT 1 OFFSET ?"
_REMOVE: Final = "DELETE FROM history WHERE owner = ? AND name = ? AND time < ?"
_LONGEST: Final = 0.01


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
    return connection.execute(_SAMPLES, (*series, start, end, limit)).fetchall()


def thin(connection: sqlite3.Connection, after: Place, before: int, keep: int, limit: int) -> tuple[Place, int]:
    """See `Storage.thin`."""
    stop = time.monotonic() + _LONGEST
    place, removed = after, 0
    while True:
        series = connection.execute(_SERIES, place).fetchone()
        if series is None:
            return START, removed
        surplus = connection.execute(_SURPLUS, (*series, keep)).fetchone()
        end = before if surplus is None else max(before, surplus[0] + 1)
        rest = connection.execute(_NTH, (*series, end, limit - removed)).fetchone()
        removed += connection.execute(_REMOVE, (*series, end if rest is None else rest[0])).rowcount
        if rest is not None:
            # There is more to remove, at the next call; before the first series of all there is no other to name.
            return (series[0], "") if place == START else place, removed
        place = series
        if removed >= limit or time.monotonic() >= stop:
            return place, removed
