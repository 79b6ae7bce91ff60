"""Tests of the copies of the SQLite storage; those of a whole daemon are in `tests.torture.test_backup`."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.backup import UnsupportedError, able
from lwm2md.storage import _snapshots, conformance
from lwm2md.storage.interface import Storage
from lwm2md.storage.memory import MemoryStorage
from lwm2md.storage.sqlite import SQLiteStorage


class SQLiteSnapshotTests(conformance.SnapshotConformance):
    """The SQLite storage can be copied and put back."""

    def make(self) -> Storage:
        self.path = Path(self.mktemp()) / "lwm2md.db"
        return self.again()

    def again(self) -> Storage:
        return SQLiteStorage(self.path, cast(IReactorFromThreads, reactor))


class FileTests(SynchronousTestCase):
    """The files of a transfer."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "a.db"
        self.path.parent.mkdir()

    def made(self, path: Path, table: str) -> None:
        """A database with one table."""
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"CREATE TABLE {table} (x)")
        connection.close()

    def test_tidied(self) -> None:
        """What transfers left is removed, and a second name of the database too; what is kept aside stays."""
        self.made(self.path, "t")
        for name in (".a.db.0123", ".a.db.0123-wal", ".b.db.0123", "a.db.before-1"):
            (self.path.parent / name).touch()
        os.link(self.path, self.path.with_name("a.db.before-2"))
        _snapshots.tidy(self.path)
        self.assertEqual({path.name for path in self.path.parent.iterdir()}, {"a.db", ".b.db.0123", "a.db.before-1"})

    def test_log_left(self) -> None:
        """What a killed process left in a write-ahead log goes with its database, and is not taken for the other's."""
        other = self.path.with_name("other")
        self.made(other, "new")
        self.made(self.path, "old")
        left = sqlite3.connect(self.path, isolation_level=None)
        left.execute("CREATE TABLE last (x)")
        names = [self.path.name, self.path.name + "-wal"]
        kept = {name: (self.path.parent / name).read_bytes() for name in names}
        left.close()
        for name, data in kept.items():
            (self.path.parent / name).write_bytes(data)
        aside = _snapshots.swap(self.path, other)
        self.assertEqual(self.tables(self.path), {"new"})
        self.assertEqual(self.tables(aside), {"old", "last"})

    def tables(self, path: Path) -> set[str]:
        """Those that there are."""
        with sqlite3.connect(path) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        connection.close()
        return found

    def test_unable(self) -> None:
        """A storage that can't be copied is told from one that can."""
        error = self.assertRaises(UnsupportedError, able, MemoryStorage())
        self.assertIn("MemoryStorage", str(error))
