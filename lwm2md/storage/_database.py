"""The database behind the SQLite storage: plain blocking calls, all from one thread.

RULES: every transaction either is written whole or leaves nothing; SQLite's errors leave as ``StorageError`` with the
file's name. Names of tables go into statements only after they were found among the known ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Final

from lwm2md.storage import _history, _snapshots
from lwm2md.storage.interface import LOGS, TABLES, Batch, Condition, Place, Rows, Samples, StorageError

_APPLICATION: Final = 0x4C774D32
"""``PRAGMA application_id`` of our databases: another program's file is refused, never changed."""

_GET: Final = {table: f"SELECT value FROM {table} WHERE key = ?" for table in TABLES}
_SCAN: Final = {table: f"SELECT key, value FROM {table} WHERE key > ? ORDER BY key LIMIT ?" for table in TABLES}
_PUT: Final = {table: f"INSERT OR REPLACE INTO {table} (key, value) VALUES (?, ?)" for table in TABLES}
_DELETE: Final = {table: f"DELETE FROM {table} WHERE key = ?" for table in TABLES}
_READ: Final = {log: f"SELECT id, value FROM {log} WHERE id > ? ORDER BY id LIMIT ?" for log in LOGS}
_APPEND: Final = {log: f"INSERT INTO {log} (id, value) VALUES (?, ?)" for log in LOGS}
_ROWS: Final = 50
"""Rows that one statement writes, where there are many: the reactor gets on between two statements only."""
_PUT_MANY: Final = {table: _PUT[table] + ", (?, ?)" * (_ROWS - 1) for table in TABLES}
_APPEND_MANY: Final = {log: _APPEND[log] + ", (?, ?)" * (_ROWS - 1) for log in LOGS}
_SURPLUS: Final = {log: f"SELECT id FROM {log} ORDER BY id DESC LIMIT 1 OFFSET ?" for log in LOGS}
_TRIM: Final = {log: f"DELETE FROM {log} WHERE id <= ?" for log in LOGS}


def schemas() -> list[str]:
    """Return the schema's scripts, oldest first: the n-th brings a database to version n."""
    folder = resources.files("lwm2md.storage") / "schema"
    return [
        file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name) if file.name[-4:] == ".sql"
    ]


class Database:
    """One open database file. What SQLite and the system raise leaves every method as ``StorageError``.

    With ``check`` all of it is read when it is opened.
    """

    def __init__(self, path: Path, *, check: bool = False) -> None:
        self.path = path
        self._check = check
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Lock the database, create it or bring its schema up to date."""
        try:
            with self._errors():
                self._take_lock()
                _snapshots.tidy(self.path)
                self._connect()
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and give the lock back; harmless when it is not open."""
        try:
            with self._errors():
                if self._connection is not None:
                    self._connection.close()
        finally:
            self._connection = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def commit(self, batch: Batch) -> bool:
        """Write a batch in one transaction; False when a condition does not hold."""
        with self._transaction() as connection:
            if not all(self._holds(connection, condition) for condition in batch.conditions):
                return False
            rows: dict[str, dict[str, bytes | None]] = {}
            for write in batch.writes:
                rows.setdefault(write.table, {})[write.key] = write.value
            for table, changes in rows.items():
                self._change(connection, table, changes)
            for log in {append.log for append in batch.appends}:
                records = [(append.id, append.value) for append in batch.appends if append.log == log]
                _write(connection, _APPEND[log], _APPEND_MANY[log], records)
            if batch.samples or batch.dropped:
                _history.change(connection, batch.dropped, batch.samples)
        return True

    def get(self, table: str, key: str) -> bytes | None:
        """Return the value of one row, or None."""
        with self._errors():
            row = self._opened().execute(_GET[table], (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def scan(self, table: str, after: str, limit: int) -> Rows:
        """Return at most ``limit`` rows with keys greater than ``after``."""
        with self._errors():
            return self._opened().execute(_SCAN[table], (after, limit)).fetchall()

    def read(self, log: str, after: str, limit: int) -> Rows:
        """Return at most ``limit`` records with ids greater than ``after``."""
        with self._errors():
            return self._opened().execute(_READ[log], (after, limit)).fetchall()

    def trim(self, log: str, keep: int) -> str:
        """Keep the newest ``keep`` records; return the greatest id ever removed, or ``""``."""
        with self._errors():
            surplus = self._opened().execute(_SURPLUS[log], (keep,)).fetchone()
        if surplus is not None:  # else nothing is written, and nobody who has locked the database is in the way
            with self._transaction() as connection:
                connection.execute(_TRIM[log], surplus)
                connection.execute("INSERT OR REPLACE INTO trimmed (log, id) VALUES (?, ?)", (log, *surplus))
        with self._errors():
            last = self._opened().execute("SELECT id FROM trimmed WHERE log = ?", (log,)).fetchone()
        return "" if last is None else str(last[0])

    def names(self, owner: str, start: str, end: str, limit: int) -> list[str]:
        """Return at most ``limit`` names of an owner's series, from ``start`` and before ``end``."""
        with self._errors():
            return _history.names(self._opened(), owner, start, end, limit)

    def samples(self, series: Place, start: int, end: int, limit: int) -> Samples:
        """Return at most ``limit`` samples of a series, from ``start`` and before ``end``."""
        with self._errors():
            return _history.samples(self._opened(), series, start, end, limit)

    def thin(self, after: Place, before: int, keep: int, limit: int) -> tuple[Place, int]:
        """Remove a few old samples, see ``Storage.thin``."""
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
        self._connection = connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16384")
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
        if application != _APPLICATION and not (empty and version == 0):
            raise StorageError(f"{self.path}: not a database of lwm2md")
        if version > len(scripts):
            raise StorageError(
                f"{self.path}: written by a newer lwm2md (schema {version}, this version knows {len(scripts)})"
            )
        for number, script in enumerate(scripts[version:], version + 1):
            marks = f"PRAGMA application_id = {_APPLICATION};\nPRAGMA user_version = {number};"
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{marks}\nCOMMIT;")

    def _holds(self, connection: sqlite3.Connection, condition: Condition) -> bool:
        row = connection.execute(_GET[condition.table], (condition.key,)).fetchone()
        return (None if row is None else row[0]) == condition.expected

    def _change(self, connection: sqlite3.Connection, table: str, changes: dict[str, bytes | None]) -> None:
        puts = [(key, value) for key, value in changes.items() if value is not None]
        deletes = [(key,) for key, value in changes.items() if value is None]
        if puts:
            _write(connection, _PUT[table], _PUT_MANY[table], puts)
        if deletes:
            connection.executemany(_DELETE[table], deletes)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"{self.path}: not open")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
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
        except OSError as error:
            where = error.filename or self.path
            raise StorageError(f"{where}: {error.strerror or error}") from error
        except KeyError as error:
            raise StorageError(f"{self.path}: no table or log named {error}") from error


def _write(connection: sqlite3.Connection, one: str, many: str, rows: Sequence[tuple[str, bytes]]) -> None:
    whole = len(rows) - len(rows) % _ROWS
    for start in range(0, whole, _ROWS):
        connection.execute(many, tuple(chain.from_iterable(rows[start : start + _ROWS])))
    if whole < len(rows):
        connection.executemany(one, rows[whole:])


def _explain(error: sqlite3.DatabaseError) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"damaged, or not a database ({error})"
    if name.startswith("SQLITE_READONLY"):
        return f"can not be written ({error})"
    return str(error)
