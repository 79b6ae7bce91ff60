"""Databases that older versions left, as dumps of real ones in ``versions``: a daemon of today goes on with each."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import TestCase

from lwm2md.server.registrationrows import read_id
from lwm2md.service import DATABASE
from lwm2md.storage._database import Database, schemas
from lwm2md.storage.interface import LOGS, START, TABLES, Append, Batch, StorageError
from tests.daemons import Daemon
from tests.processes import directory

APPLICATION = 0x4C774D32
USED = {1, 2, 5, 6, 8, 9, 10}
"""The versions of the schema with which a daemon has run; the others never were the last in any tree."""
DUMPS = sorted(Path(__file__).with_name("versions").glob("*.sql"))
SERIES = ("awake", "/3303/0/5700")
VERSIONS = [dump for dump in DUMPS if dump.stem.isdecimal()]
"""What daemons left that were stopped; the others were killed."""


def restored(dump: Path, path: Path) -> sqlite3.Connection:
    """A database as it was dumped."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(dump.read_text("utf-8"))
    return connection


def rows(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """What is in every table, each row by its columns."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {}
    for name in names:
        cursor = connection.execute(f"SELECT * FROM {name} ORDER BY 1")
        columns = [column[0] for column in cursor.description]
        found[name] = [dict(zip(columns, row, strict=True)) for row in cursor]
    return found


def same_columns(found: list[dict[str, Any]], as_in: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that these have not."""
    return [{column: row[column] for column in as_in[0]} for row in found] if as_in else found


class UpgradeTests(TestCase):
    """The way from each schema to that of today."""

    def setUp(self) -> None:
        self.path = directory(self) / "state" / DATABASE

    def test_each_has_a_dump(self) -> None:
        """There is a dump of every version of the schema with which somebody has run a daemon."""
        self.assertEqual({int(dump.stem) for dump in VERSIONS}, USED)
        self.assertIn(len(schemas()), {max(USED), max(USED) + 1}, "make a dump before there is another version")

    def test_rows(self) -> None:
        """Every row of an older database is there after the upgrade, and so are all tables of today."""
        for dump in VERSIONS:
            path = self.path.with_name(dump.stem)
            connection = restored(dump, path)
            before = rows(connection)
            connection.close()
            database = Database(path)
            database.open()
            database.close()
            connection = sqlite3.connect(path)
            after = rows(connection)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.close()
            self.assertEqual(version, len(schemas()), dump.stem)
            self.assertLessEqual(TABLES | LOGS, set(after), dump.stem)
            self.assertGreater(len(before["registrations"]), 0)
            for name, expected in before.items():
                self.assertEqual(same_columns(after[name], expected), expected, f"{dump.stem}: {name}")

    def test_journal(self) -> None:
        """What a daemon had in its journal alone when it was killed is in the tables after the upgrade."""
        killed = [dump for dump in DUMPS if dump not in VERSIONS]
        self.assertGreater(len(killed), 0)
        for dump in killed:
            path = self.path.with_name(dump.stem)
            connection = restored(dump, path)
            before = rows(connection)
            connection.close()
            self.assertGreater(len(before["journal"]), 0, dump.stem)
            database = Database(path)
            database.open()
            found = [key for key, _ in database.scan("registrations", "", 10)]
            events, samples = database.read("events", "", 100), database.samples(SERIES, 0, 1 << 62, 10)
            database.close()
            connection = sqlite3.connect(path)
            after = rows(connection)
            connection.close()
            self.assertEqual(found, [row["key"] for row in after["registrations"]], dump.stem)
            self.assertEqual((found, len(events)), (["awake", "sleepy"], 8), dump.stem)
            self.assertEqual([value for _, value in samples], [b"20.5", b"18.5", b"19.0", b"21.5"], dump.stem)
            self.assertEqual(after["journal"], [], dump.stem)

    def test_packed(self) -> None:
        """What the eighth schema had of packed records, of samples and in its journal is read, and goes on."""
        self.path.parent.mkdir(parents=True)
        connection = sqlite3.connect(self.path, isolation_level=None)
        for number, script in enumerate(schemas()[:8], 1):
            connection.executescript(f"{script}; PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION}")
        records = [("events", f"{number:03}", b"%d" % number) for number in range(5)]
        packed = msgspec.msgpack.encode(records[:3])
        connection.execute("INSERT INTO events (id, count, value) VALUES ('002', 3, ?)", (packed,))
        connection.execute("INSERT INTO events (id, count, value) VALUES ('003', 0, ?)", (records[3][2],))
        connection.execute("INSERT INTO history VALUES ('a', '/3/0/9', 1, ?), ('a', '/3/0/9', 2, ?)", (b"1", b"2"))
        waiting = ([("twin", "/3/0/9 a", b"3")], records[4:], [("a", "/3/0/9", 3, b"3")])
        connection.execute("INSERT INTO journal VALUES (7, ?)", (msgspec.msgpack.encode(waiting),))
        connection.close()
        database = Database(self.path)
        database.open()
        self.addCleanup(database.close)
        self.assertEqual(database.read("events", "", 10), [(key, value) for _, key, value in records])
        self.assertEqual(database.trim("events", 4), "000")
        self.assertEqual(database.samples(("a", "/3/0/9"), 0, 10, 10), [(1, b"1"), (2, b"2"), (3, b"3")])
        self.assertEqual(database.get("twin", "/3/0/9 a"), b"3")
        database.commit(Batch(samples=[("a", "/3/0/9", 4, b"4")], appends=[Append("events", "005", b"5")]))
        self.assertEqual(database.thin(START, 2, 1000, 1000), (START, 1))
        self.assertEqual([time for time, _ in database.samples(("a", "/3/0/9"), 0, 10, 10)], [2, 3, 4])
        self.assertEqual([key for key, _ in database.read("events", "", 10)], ["001", "002", "003", "004", "005"])

    def test_interrupted(self) -> None:
        """An upgrade that fails leaves the version and everything else as it was."""
        number, last = max((at, script) for at, script in enumerate(schemas(), 1) if "CREATE TABLE " in script)
        older = [dump for dump in VERSIONS if int(dump.stem) < number]
        self.assertGreater(len(older), 1)
        for dump in older:
            path = self.path.with_name(f"interrupted-{dump.stem}")
            connection = restored(dump, path)
            before = rows(connection)
            name = last.partition("CREATE TABLE ")[2].partition(" ")[0]
            connection.execute(f"CREATE TABLE {name} (other)")
            database = Database(path)
            self.assertRaises(StorageError, database.open)
            after = rows(connection)
            self.assertEqual({name: same_columns(after[name], before[name]) for name in before}, before)
            connection.close()

    async def test_served(self) -> None:
        """Devices of an older database go on without a Register, with their labels, wishes, operations and values."""
        for dump in DUMPS:
            state = self.path.parent / f"served-{dump.stem}"
            restored(dump, state / DATABASE).close()
            database = Database(state / DATABASE)
            database.open()
            kept = {key: read_id(value) for key, value in database.scan("registrations", "", 10)}
            accepted = [key for key, _ in database.scan("operations", "", 10)]
            database.close()
            self.assertEqual(len(kept), 2)
            (state / DATABASE).unlink()
            restored(dump, state / DATABASE).close()
            daemon = await Daemon.start(self, state=state)
            for endpoint, registration_id in kept.items():
                _, device = await daemon.api("GET", f"/v1/devices/{endpoint}")
                self.assertEqual(device["registration_id"], registration_id)
                self.assertEqual(device["labels"].get("farm"), "north")
            _, device = await daemon.api("GET", "/v1/devices/awake")
            self.assertEqual(device["labels"]["house"], "7")
            _, wish = await daemon.api("GET", "/v1/devices/awake/observations/3303/0/5700")
            self.assertEqual(wish["state"], "active")
            _, known = await daemon.api("GET", "/v1/devices/awake/resources/3303/0/5700?source=twin")
            self.assertEqual(known["values"][0]["value"], 21.5)
            self.assertEqual(len(accepted), 3)
            for operation in accepted:
                _, found = await daemon.api("GET", f"/v1/operations/{operation}")
                self.assertIn(found["state"], ("queued", "sent", "done"))
            stream = await daemon.events("", Last_Event_ID="0" * 16)
            await stream.next("device.registered", endpoint="sleepy")
            await stream.next("operation.done")
            self.assertNotIn("left out", daemon.process.output())
            await daemon.process.stop()
