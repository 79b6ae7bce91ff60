"""The database behind the SQLite storage: plain blocking calls, all from one thread.

RULES: every transaction either is written whole or leaves nothing; SQLite's errors leave as ``StorageError`` with the
file's name. Names of tables go into statements only after they were found among the known ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from lwm2md.storage import _history, _logs, _snapshots
from lwm2md.storage._journal import Journal
from lwm2md.storage.interface import START, TABLES, Batch, Place, Rows, Samples, StorageError

_APPLICATION: Final = 0x4C774D32
"""``PRAGMA application_id`` of our databases: another program's file is refused, never changed."""

_GET: Final = {table: f"SELECT value FROM {table} WHERE key = ?" for table in TABLES}
_SCAN: Final = {table: f"SELECT key, value FROM {table} WHERE key > ? ORDER BY key LIMIT ?" for table in TABLES}

_LONGEST: Final = 0.01
"""Seconds after which others have their turn."""
_GATHERING: Final[Place] = ("", "\0")
"""Before all series still, and not the begin."""
CACHE: Final = 16 << 20
"""Bytes of pages in memory, where nothing else is said."""
_PATIENCE: Final = 1.0
"""Seconds that a transaction waits for somebody else's lock: devices wait for their answers meanwhile."""


def schemas() -> list[str]:
    """Return the schema's scripts, oldest first: the n-th brings a database to version n."""
    folder = resources.files("lwm2md.storage") / "schema"
    return [
        file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name) if file.name[-4:] == ".sql"
    ]


class Database:
    """One open database file. What SQLite and the system raise leaves every method as ``StorageError``.

    With ``check`` all of it is read when it is opened; ``cache`` bytes of its pages are kept in memory.
    """

    def __init__(self, path: Path, *, check: bool = False, cache: int = CACHE) -> None:
        self.path = path
        self.cache = cache
        self._check = check
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._journal = Journal()
        self._stuck = False
        self._asked = 0

    def open(self) -> None:
        """Lock the database, create it or bring its schema up to date."""
        try:
            with self._errors():
                self._take_lock()
                _snapshots.tidy(self.path)
                self._journal = Journal()
                self._connect()
                self._journal.open(self._opened())
                with self._seen(self._settled):
                    pass  # a storage that can't be written is read all the same
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and give the lock back; harmless when it is not open.

        What is in the journal goes to the tables, for those who look into them; where that fails it stays there.
        """
        try:
            with self._errors():
                if self._connection is not None:
                    with contextlib.suppress(StorageError), self._settled():
                        pass
                    self._connection.close()
        finally:
            self._connection = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def commit(self, batch: Batch) -> bool:
        """Write a batch in one transaction; False when a condition does not hold."""
        with self._transaction() as connection:
            if not all(self._get(each.table, each.key) == each.expected for each in batch.conditions):
                return False
            written = self._journal.write(connection, batch)
        written()
        self._stuck = False
        return True

    def get(self, table: str, key: str) -> bytes | None:
        """Return the value of one row, or None."""
        with self._errors():
            return self._get(table, key)

    def scan(self, table: str, after: str, limit: int) -> Rows:
        """Return at most ``limit`` rows with keys greater than ``after``."""
        found: Rows = []
        with self._errors():
            while len(found) < limit:
                rows = self._opened().execute(_SCAN[table], (after, limit)).fetchall()
                end = rows[-1][0] if len(rows) == limit else None
                changed = self._journal.changes(table, after, end)
                if changed:
                    rows = [row for row in sorted({**dict(rows), **changed}.items()) if row[1] is not None]
                found += rows
                if end is None:
                    break
                after = end
        return found[:limit]

    def read(self, log: str, after: str, limit: int) -> Rows:
        """Return at most ``limit`` records with ids greater than ``after``."""
        with self._errors():
            return self._journal.read(_logs.read(self._opened(), log, after, limit), log, after, limit)

    def trim(self, log: str, keep: int) -> str:
        """Keep the newest ``keep`` records; return the greatest id ever removed, or ``""``."""
        with self._seen(self._logged) as connection:
            if not self._journal.logged:
                return _logs.trimmed(connection, log)  # nothing can be written now, so nothing is removed
        with self._transaction("BEGIN") as connection:
            return _logs.trim(connection, log, keep)

    def names(self, owner: str, start: str, end: str, limit: int) -> list[str]:
        """Return at most ``limit`` names of an owner's series, from ``start`` and before ``end``."""
        with self._errors():
            found = _history.names(self._opened(), owner, start, end, limit)
            return self._journal.names(found, owner, start, end, limit)

    def samples(self, series: Place, start: int, end: int, limit: int) -> Samples:
        """Return at most ``limit`` samples of a series, from ``start`` and before ``end``."""
        with self._errors():
            found = _history.samples(self._opened(), series, start, end, limit)
            return self._journal.samples(found, series, start, end, limit)

    def thin(self, after: Place, before: int, keep: int, limit: int) -> tuple[Place, int]:
        """Remove a few old samples, see ``Storage.thin``: of those that came before it began.

        First what the journal has of them goes to its table, some milliseconds at a time.
        """
        stop = time.monotonic() + _LONGEST
        if after == START:
            self._asked = self._journal.last
        while self._journal.behind(self._asked):
            if time.monotonic() >= stop:
                return _GATHERING, 0
            with self._transaction() as connection:
                advanced = self._journal.advance(connection, stop)
            advanced()
        with self._transaction() as connection:
            return _history.thin(connection, after, before, keep, limit)

    def snapshot(self, target: Path, progress: Callable[[int, int], None]) -> None:
        """Copy it into a new file; from any thread."""
        with self._errors():
            _snapshots.copy(self.path, target, progress)

    def swap(self, source: Path) -> Path:
        """Put another database in its place, while it is closed; where it is kept."""
        try:
            with self._errors():
                self._take_lock()
                return _snapshots.swap(self.path, source)
        finally:
            self.close()

    def _take_lock(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self.path.with_name(self.path.name + ".lock")
        self._lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise StorageError(f"{self.path}: in use by another daemon (process {owner})") from None
        with contextlib.suppress(OSError):  # on a full disk nobody is told who has it
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def _connect(self) -> None:
        # Created here and not by SQLite: what is in it is nobody else's business, and the directory entry must survive.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._connection = connection = sqlite3.connect(self.path, _PATIENCE, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = {-(self.cache >> 10)}")
        connection.execute("PRAGMA secure_delete = FAST")
        self._upgrade(connection)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StorageError(f"{self.path}: the file system does not support a write-ahead log")
        wrong = _snapshots.check(connection, schemas()) if self._check else None
        if wrong is not None:
            raise StorageError(f"{self.path}: {wrong}")

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        scripts = schemas()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        # An empty file, and to SQLite one of a single byte, is a database to be; it is no copy of one.
        if application != _APPLICATION and (self._check or not (empty and version == 0)):
            raise StorageError(f"{self.path}: not a database of lwm2md")
        if version > len(scripts):
            raise StorageError(
                f"{self.path}: written by a newer lwm2md (schema {version}, this version knows {len(scripts)})"
            )
        for number, script in enumerate(scripts[version:], version + 1):
            marks = f"PRAGMA application_id = {_APPLICATION};\nPRAGMA user_version = {number};"
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{marks}\nCOMMIT;")

    @contextlib.contextmanager
    def _settled(self) -> Iterator[sqlite3.Connection]:
        """The connection, with everything in its table."""
        if not self._journal.empty:
            with self._transaction() as connection:
                settled = self._journal.settle(connection)
            settled()
        with self._errors():
            yield self._opened()

    @contextlib.contextmanager
    def _logged(self) -> Iterator[sqlite3.Connection]:
        """The connection, with every record in its log."""
        if not self._journal.logged:
            with self._transaction() as connection:
                logged = self._journal.log(connection)
            logged()
        with self._errors():
            yield self._opened()

    @contextlib.contextmanager
    def _seen(self, brought: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> Iterator[sqlite3.Connection]:
        """The connection; where nothing can be written now, the journal says what is not in its table yet."""
        if not self._stuck:
            try:
                with brought():
                    pass
            except StorageError:
                self._stuck = True  # until something was written: each try may take seconds
        with self._errors():
            yield self._opened()

    def _get(self, table: str, key: str) -> bytes | None:
        changed, value = self._journal.find(table, key)
        if changed:
            return value
        row = self._opened().execute(_GET[table], (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"{self.path}: not open")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """A transaction; one that may come to write nothing gets by with less, and is in nobody's way then."""
        with self._errors():
            connection = self._opened()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StorageError(f"{self.path}: {_explain(error)}") from error
        except (msgspec.DecodeError, zlib.error) as error:
            raise StorageError(f"{self.path}: damaged ({error})") from error
        except OSError as error:
            where = error.filename or self.path
            raise StorageError(f"{where}: {error.strerror or error}") from error
        except KeyError as error:
            raise StorageError(f"{self.path}: no table or log named {error}") from error


def _explain(error: sqlite3.DatabaseError) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"damaged, or not a database ({error})"
    if name.startswith("SQLITE_READONLY"):
        return f"can not be written ({error})"
    return str(error)
