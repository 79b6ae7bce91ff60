"""The default storage: one SQLite database, in a thread of its own.

RULES: only the worker thread touches the database; a commit is on the disk when its Deferred fires (write-ahead log
with ``synchronous=FULL``). One process at a time uses a database: an advisory lock on ``<database>.lock`` says so. The
schema is in numbered files under ``schema/``; ``PRAGMA user_version`` holds the number of the last one applied.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads

from lwm2md.storage._database import Database
from lwm2md.storage.interface import LAST, Batch, Place, Rows, Samples, StorageError

_T = TypeVar("_T")


class SQLiteStorage:
    """Tables and logs in the database file ``path``; its directory is made when it is missing."""

    def __init__(self, path: str | Path, reactor: IReactorFromThreads) -> None:
        self._database = Database(Path(path))
        self._reactor = reactor
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._state = "not open"

    def open(self) -> Deferred[None]:
        """Lock, open and bring the database up to the schema of this version."""
        self._state = ""
        threading.Thread(target=self._work, name="lwm2md-sqlite", daemon=True).start()

        def failed(reason: _T) -> _T:
            self._state = "could not be opened"
            self._jobs.put(None)
            return reason

        return self._ask(self._database.open).addErrback(failed)

    def close(self) -> Deferred[None]:
        """Finish what was submitted, close the database, give the lock back and end the thread."""
        closing = self._ask(self._database.close)
        if not self._state:
            self._state = "closed"
            self._jobs.put(None)
        return closing

    def commit(self, batch: Batch) -> Deferred[bool]:
        """Write a batch durably, see ``Storage.commit``."""
        return self._ask(lambda: self._database.commit(batch))

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """Return the value of one row, or None."""
        return self._ask(lambda: self._database.get(table, key))

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return rows by key, see ``Storage.scan``."""
        return self._ask(lambda: self._database.scan(table, after, limit))

    def read(self, log: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return records by id, see ``Storage.read``."""
        return self._ask(lambda: self._database.read(log, after, limit))

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """Remove old records, see ``Storage.trim``."""
        return self._ask(lambda: self._database.trim(log, keep))

    def names(self, owner: str, start: str = "", end: str = LAST, limit: int = 1000) -> Deferred[list[str]]:
        """Return names of series, see ``Storage.names``."""
        return self._ask(lambda: self._database.names(owner, start, end, limit))

    def samples(self, owner: str, name: str, start: int, end: int, limit: int = 1000) -> Deferred[Samples]:
        """Return samples by time, see ``Storage.samples``."""
        return self._ask(lambda: self._database.samples((owner, name), start, end, limit))

    def thin(self, after: Place, before: int, keep: int, limit: int = 1000) -> Deferred[tuple[Place, int]]:
        """Remove a few old samples, see ``Storage.thin``."""
        return self._ask(lambda: self._database.thin(after, before, keep, limit))

    def _ask(self, work: Callable[[], _T]) -> Deferred[_T]:
        if self._state:
            return fail(StorageError(f"{self._database.path}: {self._state}"))
        answer: Deferred[_T] = Deferred()

        def job() -> None:
            try:
                result = work()
            except StorageError as error:
                self._reactor.callFromThread(answer.errback, error)
            except Exception as error:  # nothing may end the worker
                failure = StorageError(f"{self._database.path}: {type(error).__name__}: {error}")
                self._reactor.callFromThread(answer.errback, failure)
            else:
                self._reactor.callFromThread(answer.callback, result)

        self._jobs.put(job)
        return answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
