"""Tests of lwm2md.storage.sqlite."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

import lwm2md
from lwm2md.storage import conformance
from lwm2md.storage._database import schemas
from lwm2md.storage.interface import Batch, Storage, StorageError, Write
from lwm2md.storage.sqlite import SQLiteStorage


class SQLiteStorageConformanceTests(conformance.DurableConformance):
    """The SQLite storage keeps the contract."""

    def make(self) -> Storage:
        self.path = Path(self.mktemp()) / "lwm2md.db"
        return sqlite(self.path)

    def again(self) -> Storage:
        return sqlite(self.path)


def sqlite(path: Path) -> SQLiteStorage:
    """Return a storage in that file, on the real reactor."""
    return SQLiteStorage(path, cast(IReactorFromThreads, reactor))


class SQLiteStorageTests(TestCase):
    """Files, locks and crashes of the SQLite storage."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "lwm2md.db"

    def made_by(self, script: str) -> None:
        """Let plain SQLite make the file."""
        self.path.parent.mkdir(parents=True)
        connection = sqlite3.connect(self.path)
        connection.executescript(script)
        connection.close()

    async def refused(self) -> str:
        """Return why the storage can not be opened, and check that it let go of everything."""
        return await conformance.refusal(sqlite(self.path).open())

    async def test_survives_closing(self) -> None:
        """What was written is there when the file is opened again."""
        first = sqlite(self.path)
        await first.open()
        await first.commit(conformance.put("a", b"1"))
        await first.commit(conformance.record("1", "2"))
        await first.trim("events", 1)
        await first.close()
        second = sqlite(self.path)
        await second.open()
        self.assertEqual(await second.get("devices", "a"), b"1")
        self.assertEqual(await second.read("events"), [("2", b"2")])
        self.assertEqual(await second.trim("events", 1), "1")
        await second.close()

    async def test_private(self) -> None:
        """Nobody else can read the directory or the files, because they hold secrets."""
        storage = sqlite(self.path)
        await storage.open()
        await storage.commit(conformance.put("a", b"1"))
        self.assertEqual(self.path.parent.stat().st_mode & 0o77, 0)
        for file in self.path.parent.iterdir():
            self.assertEqual(file.stat().st_mode & 0o77, 0, file)
        await storage.close()

    async def test_cache(self) -> None:
        """As much of the database is kept in memory as was said, also of a copy that takes its place."""
        storage = SQLiteStorage(self.path, cast(IReactorFromThreads, reactor), cache=2 << 20)
        staged = storage.staged(self.path.with_name("copy"), check=False)
        for each in (storage, cast(SQLiteStorage, staged)):
            await each.open()
            connection = each._database._connection
            assert connection is not None
            found = await each._ask(partial(connection.execute, "PRAGMA cache_size"))
            self.assertEqual(await each._ask(found.fetchone), (-2048,))
            await each.close()

    async def test_locked(self) -> None:
        """A second storage on the same file is refused, with the process that has it, until the first is closed."""
        first, second = sqlite(self.path), sqlite(self.path)
        await first.open()
        error = await conformance.refusal(second.open())
        self.assertIn(f"{self.path}: in use by another daemon (process {os.getpid()})", error)
        await conformance.refusal(second.get("devices", "a"))
        await first.close()
        third = sqlite(self.path)
        await third.open()
        await third.close()

    async def test_not_a_database(self) -> None:
        """A file that is no database is refused and stays as it is."""
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"these are not the bytes you are looking for" * 100)
        before = self.path.read_bytes()
        self.assertIn("damaged, or not a database", await self.refused())
        self.assertEqual(self.path.read_bytes(), before)

    async def test_damaged(self) -> None:
        """A database whose pages were overwritten fails with the file's name, at opening or at reading."""
        storage = sqlite(self.path)
        await storage.open()
        rows = [Write("devices", f"{number:05}", b"x" * 500) for number in range(500)]
        await storage.commit(Batch(writes=rows))
        await storage.close()
        data = bytearray(self.path.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        self.path.write_bytes(data)
        storage = sqlite(self.path)
        try:
            await storage.open()
        except StorageError as refused:
            error = str(refused)
        else:
            error = await conformance.refusal(storage.scan("devices"))
            await storage.close()
        self.assertIn(str(self.path), error)

    async def test_damaged_record(self) -> None:
        """A packed row that was overwritten fails with the file's name, where it is read."""
        storage = sqlite(self.path)
        await storage.open()
        await storage.commit(conformance.record(*(f"{number:03}" for number in range(100))))
        await storage.close()
        connection = sqlite3.connect(self.path)
        for value in (b"\xc1\xff", b"\x93", b"\xc1" + zlib.compress(b"\x01", wbits=-15)):
            connection.execute("UPDATE events SET value = ?", (value,))
            connection.commit()
            storage = sqlite(self.path)
            await storage.open()
            self.assertIn(f"{self.path}: damaged", await conformance.refusal(storage.read("events")))
            await storage.close()
        connection.close()

    async def test_another_program(self) -> None:
        """A database that is not ours is refused and stays as it is."""
        self.made_by("CREATE TABLE songs (title TEXT); PRAGMA user_version = 1;")
        self.assertIn("not a database of lwm2md", await self.refused())
        connection = sqlite3.connect(self.path)
        self.assertEqual(connection.execute("SELECT name FROM sqlite_schema").fetchall(), [("songs",)])
        connection.close()

    async def test_newer(self) -> None:
        """A database of a newer version is refused with both schema numbers."""
        storage = sqlite(self.path)
        await storage.open()
        await storage.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        known = len(schemas())
        self.assertIn(f"written by a newer lwm2md (schema 99, this version knows {known})", await self.refused())

    async def test_not_writable(self) -> None:
        """A directory that can not be written gives one clear error that names it."""
        self.path.parent.mkdir(parents=True)
        self.path.parent.chmod(0o500)
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        error = await self.refused()
        self.assertIn("Permission denied", error)
        self.assertIn(str(self.path.parent), error)

    async def test_directory_is_a_file(self) -> None:
        """A state directory that is a file gives one clear error."""
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_text("")
        self.assertIn(str(self.path.parent), await self.refused())

    async def test_full(self) -> None:
        """A batch that the disk has no room for fails whole, and the storage goes on when there is room again."""
        storage = sqlite(self.path)
        await storage.open()
        await storage.commit(conformance.put("a", b"1"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            big = Batch([Write("devices", "a", b"2"), Write("devices", "big", os.urandom(8 << 20))])
            error = await conformance.refusal(storage.commit(big))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.assertIn(str(self.path), error)
        self.assertEqual(await storage.scan("devices"), [("a", b"1")])
        self.assertTrue(await storage.commit(big))
        self.assertEqual(await storage.get("devices", "a"), b"2")
        await storage.close()

    async def test_odd_text(self) -> None:
        """A key that can not be encoded fails the batch as a whole, and the storage goes on."""
        storage = sqlite(self.path)
        await storage.open()
        batch = Batch([Write("devices", "a", b"1"), Write("devices", "\ud800", b"2")])
        await conformance.refusal(storage.commit(batch))
        self.assertEqual(await storage.scan("devices"), [])
        self.assertTrue(await storage.commit(conformance.put("a\x00b", b"1")))
        self.assertEqual(await storage.scan("devices", "a"), [("a\x00b", b"1")])
        await storage.close()

    async def test_killed(self) -> None:
        """After a kill -9 every acknowledged batch is there, whole, and at most one more."""
        environment = {**os.environ, "PYTHONPATH": str(Path(lwm2md.__file__).parent.parent)}
        crasher = Path(__file__).with_name("crasher.py")
        with subprocess.Popen([sys.executable, crasher, self.path], stdout=subprocess.PIPE, env=environment) as process:
            output = process.stdout
            assert output is not None
            seen = [output.readline() for _ in range(100)]
            process.send_signal(signal.SIGKILL)
            acknowledged = int((seen + output.readlines())[-1])
        storage = sqlite(self.path)
        await storage.open()
        rows = await storage.scan("devices")
        self.assertIn(len(rows), (acknowledged, acknowledged + 1))
        self.assertEqual(rows, [(f"{n:06}", b"%06d" % n) for n in range(1, len(rows) + 1)])
        self.assertEqual([key for key, _ in await storage.read("events")], [key for key, _ in rows])
        self.assertEqual(await storage.get("meta", "last"), rows[-1][1])
        await storage.close()
