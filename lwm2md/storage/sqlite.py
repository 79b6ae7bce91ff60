"""The default storage: one SQLite database, in a thread of its own.

RULES: only the worker thread touches the database; a commit is on the disk when its Deferred fires (write-ahead log
with ``synchronous=FULL``). One process at a time uses a database: an advisory lock on ``<database>.lock`` says so. The
schema is in numbered files under ``schema/``; ``PRAGMA user_version`` holds the number of the last one applied. Rows
that are asked for one right after the other are one job for the thread: to wake it, and to be woken, costs more.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads

from lwm2md.storage import _snapshots
from lwm2md.storage._database import CACHE, Database
from lwm2md.storage.interface import LAST, Batch, Place, Rows, Samples, Storage, StorageError
from lwm2md.storage.snapshots import Progress

_T = TypeVar("_T")
_Asked = tuple[str, str, Deferred[bytes | None]]
_TOGETHER: Final = 256


class SQLiteStorage:
    """Tables and logs in the database file ``path``; its directory is made when it is missing.

    With ``check`` the whole file is read when it is opened, and refused where it is damaged. Of its pages ``cache``
    bytes are kept in memory.
    """

    def __init__(
        self, path: str | Path, reactor: IReactorFromThreads, *, check: bool = False, cache: int = CACHE
    ) -> None:
        self._database = Database(Path(path), check=check, cache=cache)
        self._reactor = reactor
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._state = "not open"
        # The rows of the job that was asked for last, while the thread has not begun with it.
        self._rows: list[_Asked] | None = None
        self._rows_lock = threading.Lock()

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
        if self._state:
            return self._refused()
        answer: Deferred[bytes | None] = Deferred()
        with self._rows_lock:
            rows = self._rows
            if rows is not None and len(rows) < _TOGETHER:
                rows.append((table, key, answer))
                return answer
            self._rows = rows = [(table, key, answer)]
        self._jobs.put(lambda: self._look_up(rows))
        return answer

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

    def scratch(self) -> Path:
        """Return the name of a new file, see ``Snapshots.scratch``."""
        return _snapshots.scratch(self._database.path)

    def snapshot(self, target: Path, progress: Progress) -> Deferred[None]:
        """Copy everything into a new file, see ``Snapshots.snapshot``; in a thread of its own."""
        ended = threading.Event()

        def cancelled(_: Deferred[None]) -> None:
            ended.set()

        copied: Deferred[None] = Deferred(cancelled)

        def told(done: int, of: int) -> None:
            if ended.is_set():
                raise StorageError("the copy was given up")
            self._reactor.callFromThread(progress, done, of)

        def made(result: object) -> None:
            if not copied.called:  # it was given up meanwhile
                copied.callback(result)  # type: ignore[arg-type]

        answer: Deferred[None] = Deferred()
        answer.addBoth(made)
        job = self._job(lambda: self._database.snapshot(target, told), answer)
        threading.Thread(target=job, name="lwm2md-snapshot", daemon=True).start()
        return copied

    def staged(self, source: Path, *, check: bool) -> Storage:
        """Return a storage on a copy, see ``Snapshots.staged``."""
        return SQLiteStorage(source, self._reactor, check=check, cache=self._database.cache)

    def swap(self, source: Path) -> Deferred[Path]:
        """Let a copy be the state, see ``Snapshots.swap``."""
        swapped: Deferred[Path] = Deferred()
        job = self._job(lambda: self._database.swap(source), swapped)
        threading.Thread(target=job, name="lwm2md-swap", daemon=True).start()
        return swapped

    def _ask(self, work: Callable[[], _T]) -> Deferred[_T]:
        if self._state:
            return self._refused()
        # What is asked for from now on must not be answered before this.
        self._rows = None
        answer: Deferred[_T] = Deferred()
        self._jobs.put(self._job(work, answer))
        return answer

    def _refused(self) -> Deferred[_T]:
        return fail(StorageError(f"{self._database.path}: {self._state}"))

    def _look_up(self, rows: list[_Asked]) -> None:
        with self._rows_lock:
            if self._rows is rows:
                self._rows = None
        found = [(answer, self._row(table, key)) for table, key, answer in rows]
        self._reactor.callFromThread(_tell, found)

    def _row(self, table: str, key: str) -> bytes | StorageError | None:
        try:
            return self._database.get(table, key)
        except StorageError as error:
            return error
        except Exception as error:  # nothing may end the worker
            return self._unexpected(error)

    def _unexpected(self, error: Exception) -> StorageError:
        return StorageError(f"{self._database.path}: {type(error).__name__}: {error}")

    def _job(self, work: Callable[[], _T], answer: Deferred[_T]) -> Callable[[], None]:
        """Work for another thread, which tells the answer on that of the reactor."""

        def job() -> None:
            try:
                result = work()
            except StorageError as error:
                self._reactor.callFromThread(answer.errback, error)
            except Exception as error:  # nothing may end the worker
                self._reactor.callFromThread(answer.errback, self._unexpected(error))
            else:
                self._reactor.callFromThread(answer.callback, result)

        return job

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _tell(found: list[tuple[Deferred[bytes | None], bytes | StorageError | None]]) -> None:
    for answer, row in found:
        if isinstance(row, StorageError):
            answer.errback(row)
        else:
            answer.callback(row)
