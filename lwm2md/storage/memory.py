"""A storage that forgets everything when the process ends: for tests and trials (``memory:``).

RULES: behaves like the durable ones in everything else; every Deferred has fired when it is returned.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from lwm2md.storage._series import Series
from lwm2md.storage.interface import LAST, LOGS, TABLES, Batch, Place, Rows, Samples, StorageError

_T = TypeVar("_T")


class _Rows:
    """Keyed values with their keys in order."""

    __slots__ = ("keys", "values")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.values: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        if key not in self.values:
            if self.keys and key < self.keys[-1]:
                insort(self.keys, key)
            else:
                self.keys.append(key)
        self.values[key] = value

    def delete(self, key: str) -> None:
        if self.values.pop(key, None) is not None:
            del self.keys[bisect_right(self.keys, key) - 1]

    def after(self, key: str, limit: int) -> Rows:
        start = bisect_right(self.keys, key)
        return [(found, self.values[found]) for found in self.keys[start : start + limit]]


class MemoryStorage:
    """Tables, logs and series in dictionaries."""

    def __init__(self) -> None:
        self._tables = {name: _Rows() for name in TABLES}
        self._logs = {name: _Rows() for name in LOGS}
        self._series = Series()
        self._trimmed = dict.fromkeys(LOGS, "")
        self._open = False

    def open(self) -> Deferred[None]:
        """Make ready; what an earlier opening left is still there."""
        self._open = True
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Refuse everything from now on."""
        self._open = False
        return succeed(None)

    def commit(self, batch: Batch) -> Deferred[bool]:
        """Write a batch, see ``Storage.commit``."""
        return self._answer(lambda: self._commit(batch))

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """Return the value of one row, or None."""
        return self._answer(lambda: self._tables[table].values.get(key))

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return rows by key, see ``Storage.scan``."""
        return self._answer(lambda: self._tables[table].after(after, limit))

    def read(self, log: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return records by id, see ``Storage.read``."""
        return self._answer(lambda: self._logs[log].after(after, limit))

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """Remove old records, see ``Storage.trim``."""
        return self._answer(lambda: self._trim(log, keep))

    def names(self, owner: str, start: str = "", end: str = LAST, limit: int = 1000) -> Deferred[list[str]]:
        """Return names of series, see ``Storage.names``."""
        return self._answer(lambda: self._series.names(owner, start, end, limit))

    def samples(self, owner: str, name: str, start: int, end: int, limit: int = 1000) -> Deferred[Samples]:
        """Return samples by time, see ``Storage.samples``."""
        return self._answer(lambda: self._series.samples((owner, name), start, end, limit))

    def thin(self, after: Place, before: int, keep: int, limit: int = 1000) -> Deferred[tuple[Place, int]]:
        """Remove a few old samples, see ``Storage.thin``."""
        return self._answer(lambda: self._series.thin(after, before, keep, limit))

    def _answer(self, work: Callable[[], _T]) -> Deferred[_T]:
        if not self._open:
            return fail(StorageError("memory storage: not open"))
        try:
            return succeed(work())
        except KeyError as error:
            return fail(StorageError(f"memory storage: no table or log named {error}"))

    def _commit(self, batch: Batch) -> bool:
        writes = [(self._tables[write.table], write) for write in batch.writes]
        appends = [(self._logs[append.log], append) for append in batch.appends]
        if any(self._tables[each.table].values.get(each.key) != each.expected for each in batch.conditions):
            return False
        for table, write in writes:
            if write.value is None:
                table.delete(write.key)
            else:
                table.put(write.key, write.value)
        for log, append in appends:
            log.put(append.id, append.value)
        self._series.change(batch.dropped, batch.samples)
        return True

    def _trim(self, log: str, keep: int) -> str:
        rows = self._logs[log]
        surplus = rows.keys[: max(0, len(rows.keys) - keep)]
        if surplus:
            del rows.keys[: len(surplus)]
            for key in surplus:
                del rows.values[key]
            self._trimmed[log] = surplus[-1]
        return self._trimmed[log]
