"""Tests of the journal of the SQLite storage: what is committed is found, whether it is in its table yet or not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.storage import _database, _journal, _sweeps
from lwm2md.storage._database import Database
from lwm2md.storage.interface import LAST, START, Append, Batch, Condition, StorageError, Write
from lwm2md.storage.memory import MemoryStorage


def told(first: int, count: int, devices: int = 7) -> Batch:
    """A batch as notifications make it: a row, a record and a sample each."""
    numbers = range(first, first + count)
    return Batch(
        [Write("twin", f"device {number % devices}", b"%d" % number) for number in numbers],
        [Append("events", f"{number:06}", b"event %d" % number) for number in numbers],
        (),
        [(f"device {number % devices}", "/3/0/9", number, b"%d" % number) for number in numbers],
    )


class JournalTests(SynchronousTestCase):
    """A journal that is full after twenty rows."""

    def setUp(self) -> None:
        self.patch(_journal, "FULL", 20)
        self.path = Path(self.mktemp()) / "state.db"
        self.database = self.opened()

    def opened(self) -> Database:
        """Open the database."""
        database = Database(self.path)
        database.open()
        # Nothing here is about what a power cut leaves.
        database._opened().execute("PRAGMA synchronous = OFF")
        self.addCleanup(database.close)
        return database

    def killed(self) -> Database:
        """Go on with what a daemon left that was killed: the files as they are now."""
        copy = Path(self.mktemp())
        copy.mkdir()
        for file in self.path.parent.iterdir():
            shutil.copy(file, copy / file.name)
        self.database.close()
        self.path = copy / self.path.name
        self.database = self.opened()
        return self.database

    def rows(self, query: str) -> list[Any]:
        """What plain SQLite sees."""
        connection = sqlite3.connect(self.path)
        found = connection.execute(query).fetchall()
        connection.close()
        return found

    def assert_whole(self, count: int, devices: int = 7) -> None:
        """Everything that `told` says up to a number is there, once."""
        database = self.database
        newest = {f"device {number % devices}": b"%d" % number for number in range(count)}
        self.assertEqual(dict(database.scan("twin", "", 1000)), newest)
        self.assertEqual(database.read("events", "", 10_000), [(f"{n:06}", b"event %d" % n) for n in range(count)])
        for device in range(devices):
            expected = [(n, b"%d" % n) for n in range(count) if n % devices == device]
            self.assertEqual(database.samples((f"device {device}", "/3/0/9"), 0, 10_000, 10_000), expected)

    def test_gathered(self) -> None:
        """A commit is one row of the journal; what it says is found at once and in its table later."""
        self.database.commit(told(0, 2))
        self.assertEqual(self.rows("SELECT count(*) FROM journal"), [(1,)])
        self.assertEqual(self.rows("SELECT * FROM twin"), [])
        self.assertEqual(self.database.get("twin", "device 1"), b"1")
        self.assertEqual(self.rows("SELECT * FROM twin"), [])
        self.assert_whole(2)
        self.assertEqual(self.rows("SELECT count(*) FROM journal"), [(1,)])
        self.assertEqual(self.database.thin(START, 0, 1000, 1000), (START, 0))
        self.assertEqual(self.rows("SELECT count(*) FROM journal"), [(0,)])
        self.assertEqual(len(self.rows("SELECT * FROM twin")), 2)
        self.assert_whole(2)

    def test_flows(self) -> None:
        """Under load the journal stays as short as it is, and each row gets to its table without being asked for."""
        most = 0
        for number in range(300):
            self.database.commit(told(3 * number, 3))
            most = max(most, self.rows("SELECT count(*) FROM journal")[0][0])
        self.assertLess(most, 150)
        self.assertGreater(self.rows("SELECT sum(max(count, 1)) FROM history")[0][0], 800)
        self.assertGreater(self.rows("SELECT sum(max(count, 1)) FROM events")[0][0], 800)
        self.assert_whole(900)

    def test_keeps_pace(self) -> None:
        """What was gathered is in its tables before there is as much again, whatever is told at once."""
        self.patch(_journal, "FULL", 4000)
        most = 0
        for number in range(40):
            self.database.commit(told(500 * number, 500, devices=2000))
            most = max(most, self.rows("SELECT count(*) FROM journal")[0][0])
        self.assertLessEqual(most, 6)  # of four commits each portion, and in the midst of the next the last one is done

    def test_killed_anywhere(self) -> None:
        """After a kill at any point of it all is there once, in its last state."""
        done = 0
        for step in range(1, 14):
            for _ in range(step):
                self.database.commit(told(done, 1 + done % 11))
                done += 1 + done % 11
            self.killed()
            self.assert_whole(done)

    def test_deleted(self) -> None:
        """A row that was deleted is gone, whether what was there came from the table, the journal or both."""
        self.database.commit(told(0, 7))
        self.database.scan("twin", "", 1)
        self.database.commit(told(7, 7))
        self.database.commit(Batch([Write("twin", f"device {number}", None) for number in range(7)]))
        self.assertIsNone(self.database.get("twin", "device 3"))
        self.killed()
        self.assertEqual(self.database.scan("twin", "", 10), [])

    def test_dropped(self) -> None:
        """The series of an owner that is dropped stay away after a kill, and what comes later stays."""
        self.database.commit(told(0, 9))
        self.database.commit(Batch(dropped=["device 1"], samples=[("device 1", "/3/0/9", 99, b"99")]))
        self.killed()
        self.assertEqual(self.database.samples(("device 1", "/3/0/9"), 0, 1000, 10), [(99, b"99")])
        self.assertEqual(self.database.names("device 2", "", LAST, 10), ["/3/0/9"])

    def test_dropped_on_the_way(self) -> None:
        """What is on its way to its table is dropped too, and does not come back, whether there is a kill or not."""
        for kill in (False, True):
            for commits in range(8):
                self.path = Path(self.mktemp()) / "state.db"
                self.database = self.opened()
                for number in range(commits):
                    self.database.commit(told(9 * number, 9))
                self.database.commit(Batch(dropped=["device 1"]))
                for number in range(commits, 12):
                    self.database.commit(told(9 * number, 9))
                if kill:
                    self.killed()
                expected = [number for number in range(9 * commits, 108) if number % 7 == 1]
                found = self.database.samples(("device 1", "/3/0/9"), 0, 1000, 1000)
                self.assertEqual([time for time, _ in found], expected)

    def test_conditions(self) -> None:
        """A condition is about what was committed, be it in its table or not yet."""
        self.database.commit(Batch([Write("devices", "a", b"1")]))
        second = Batch([Write("devices", "a", b"2")], conditions=[Condition("devices", "a", b"1")])
        self.assertTrue(self.database.commit(second))
        self.assertFalse(self.database.commit(second))
        self.database.commit(Batch([Write("devices", "a", None)]))
        self.assertTrue(self.database.commit(Batch(conditions=[Condition("devices", "a", None)])))

    def test_in_turns(self) -> None:
        """What has to go to its tables first goes a part at a time: nobody waits for all of it."""
        self.patch(_database, "_LONGEST", 0.0)
        self.patch(_journal, "FULL", 100_000)
        self.database.commit(told(0, 3000, devices=500))
        self.database.commit(told(3000, 10, devices=500))
        place, steps = START, 0
        while steps == 0 or place != START:
            place, _ = self.database.thin(place, 2000, 1000, 10_000)
            self.database.commit(told(4000 + steps, 1, devices=500))
            steps += 1
        self.assertGreater(steps, 10)
        found = self.database.samples(("device 1", "/3/0/9"), 0, 4000, 1000)
        self.assertEqual([time for time, _ in found], [2001, 2501, 3001])

    def test_as_in_memory(self) -> None:
        """Whatever is asked in whatever order, with kills in between, is answered as the storage in memory does."""
        self.patch(_sweeps, "MANY", 3)
        for seed in range(25):
            chance, model = Random(seed), MemoryStorage()
            model.open()
            self.path = Path(self.mktemp()) / "state.db"
            self.database = self.opened()
            for number in range(60):
                batch = self.any_batch(chance, number)
                self.assertEqual(self.database.commit(batch), self.successResultOf(model.commit(batch)))
                if chance.random() < 0.1:
                    self.killed()
                if chance.random() < 0.1:
                    keep = chance.randrange(40)
                    self.assertEqual(
                        self.database.trim("events", keep), self.successResultOf(model.trim("events", keep))
                    )
                if chance.random() < 0.05:
                    limits = (chance.randrange(100), chance.randrange(1, 20), 10_000)
                    model.thin(START, *limits)
                    place, _ = self.database.thin(START, *limits)
                    while place != START:
                        place, _ = self.database.thin(place, *limits)
                self.assert_same(chance, model, f"seed {seed}, step {number}")

    def any_batch(self, chance: Random, number: int) -> Batch:
        """Something to commit."""
        size = chance.choice((1, 1, 3, 30))
        names = ("a", "b", "c", "d")
        writes = [
            Write("twin", chance.choice(names), b"%d" % number if chance.random() < 0.8 else None) for _ in range(size)
        ]
        if chance.random() < 0.5:
            swept = sorted(chance.sample(range(12), chance.randrange(12)))
            sweep = [
                Write("refreshes", f"{key:02}", b"%d" % number if chance.random() < 0.9 else None) for key in swept
            ]
            writes = chance.choice((sweep, [*sweep, *writes], [*writes, *sweep]))
        samples = [
            (chance.choice(names), chance.choice(names), chance.randrange(100), b"%d" % number) for _ in range(size)
        ]
        appends = [
            Append("events", f"{100 * number + each:06}", b"%d" % each) for each in range(chance.choice((0, size)))
        ]
        dropped = [chance.choice(names)] if chance.random() < 0.1 else []
        return chance.choice((Batch(writes), Batch(writes, appends, (), samples, dropped)))

    def assert_same(self, chance: Random, model: MemoryStorage, where: str) -> None:
        """The database says what the storage in memory says."""
        after, limit = chance.choice(("", "a", "b")), chance.choice((1, 2, 100))
        expected: Any = self.successResultOf(model.scan("twin", after, limit))
        self.assertEqual(self.database.scan("twin", after, limit), expected, where)
        expected = self.successResultOf(model.scan("refreshes"))
        self.assertEqual(self.database.scan("refreshes", "", 100), expected, where)
        expected = self.successResultOf(model.get("twin", "c"))
        self.assertEqual(self.database.get("twin", "c"), expected, where)
        expected = self.successResultOf(model.read("events", "001000", limit))
        self.assertEqual(self.database.read("events", "001000", limit), expected, where)
        expected = self.successResultOf(model.names("a", after, LAST, limit))
        self.assertEqual(self.database.names("a", after, LAST, limit), expected, where)
        start, end = chance.randrange(100), chance.randrange(100)
        expected = self.successResultOf(model.samples("a", "b", start, end, limit))
        self.assertEqual(self.database.samples(("a", "b"), start, end, limit), expected, where)

    def test_swept(self) -> None:
        """Rows in the order of their keys go to their table at once, but for those that the journal names."""
        self.patch(_sweeps, "MANY", 5)
        refreshes = [Write("refreshes", f"{number:02}", b"1") for number in range(20)]
        self.database.commit(Batch(refreshes[7:10]))  # too few
        self.assertEqual(self.rows("SELECT key FROM refreshes"), [])
        newer = [Write("refreshes", write.key, b"2") for write in refreshes]
        self.database.commit(Batch([*newer, Write("meta", "alive", b"2")]))
        there = [(key, b"2") for key in (write.key for write in refreshes)]
        self.assertEqual(self.rows("SELECT * FROM refreshes"), [*there[:7], *there[10:]])
        self.assertEqual(self.database.scan("refreshes", "", 100), there)
        self.killed()
        self.assertEqual(self.database.scan("refreshes", "", 100), there)
        self.assertEqual(self.database.get("meta", "alive"), b"2")
        self.database.commit(Batch(refreshes[::-1]))
        self.assertEqual(self.rows("SELECT DISTINCT value FROM refreshes"), [(b"2",)])
        self.assertEqual(self.database.get("refreshes", "03"), b"1")

    def test_swept_on_the_way(self) -> None:
        """A sweep is newer than what is in its table already, and still in the journal, after a kill too."""
        self.patch(_sweeps, "MANY", 5)
        keys = [f"{number:03}" for number in range(120)]
        for sweep in range(6):
            self.database.commit(Batch([Write("refreshes", key, b"%d" % sweep) for key in keys[::-1]]))
            for step in range(4):
                newer = b"%d.%d" % (sweep, step)
                self.database.commit(Batch([Write("refreshes", key, newer) for key in keys]))
                self.assertEqual({value for _, value in self.database.scan("refreshes", "", 1000)}, {newer})
                if step == sweep:
                    self.killed()
                    self.assertEqual({value for _, value in self.database.scan("refreshes", "", 1000)}, {newer})

    def test_trimmed(self) -> None:
        """A log is trimmed within a run of records, and what was trimmed stays away after a kill."""
        for first in range(0, 60, 20):
            self.database.commit(told(first, 20))
        for keep in (60, 45, 40, 39, 1):
            self.assertEqual(self.database.trim("events", keep), "" if keep == 60 else f"{59 - keep:06}")
            self.killed()
            expected = [f"{number:06}" for number in range(60 - keep, 60)]
            self.assertEqual([each for each, _ in self.database.read("events", "", 100)], expected)

    def test_trimmed_in_the_journal(self) -> None:
        """A record that was trimmed while the journal had it stays away after a kill; those behind it are there."""
        self.patch(_journal, "FULL", 10_000)
        for number in range(70):
            self.database.commit(told(number, 1))
            if number in (20, 66):
                self.assertEqual(self.database.trim("events", 5), f"{number - 5:06}")
        self.killed()
        found = [int(each) for each, _ in self.database.read("events", "", 100)]
        self.assertEqual(found, [*range(62, 70)])
        self.assertEqual(self.rows("SELECT count(*) FROM journal"), [(0,)])

    def test_read_within_a_run(self) -> None:
        """A log is read from any record on, and no further than asked for."""
        self.database.commit(told(0, 30))
        self.database.commit(told(30, 1))
        for after in range(31):
            found = [int(each) for each, _ in self.database.read("events", f"{after:06}", 4)]
            self.assertEqual(found, list(range(after + 1, min(after + 5, 31))))

    def test_thinned(self) -> None:
        """Samples that were thinned out stay away after a kill."""
        self.database.commit(told(0, 30, devices=1))
        self.assertEqual(self.database.thin(START, 10, 5, 1000), (START, 25))
        self.killed()
        self.assertEqual(
            [time for time, _ in self.database.samples(("device 0", "/3/0/9"), 0, 99, 99)], [*range(25, 30)]
        )

    def test_failure(self) -> None:
        """A commit that fails while rows go to their tables leaves them where they are, and later ones go on.

        Meanwhile rows and records can be read all the same, and nothing is said to be there that is not.
        """
        for first in range(0, 90, 9):
            self.database.commit(told(first, 9))
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        self.database._opened().execute("PRAGMA busy_timeout = 1")
        self.assertRaises(StorageError, self.database.commit, told(90, 9))
        newest = [(f"device {device}", b"%d" % max(n for n in range(90) if n % 7 == device)) for device in range(7)]
        self.assertEqual(self.database.scan("twin", "", 100), newest)
        self.assertEqual(self.database.scan("twin", "device 1", 2), newest[2:4])
        self.assertEqual([int(each) for each, _ in self.database.read("events", "000084", 4)], [85, 86, 87, 88])
        self.assertEqual(self.database.trim("events", 3), "")
        found = self.database.samples(("device 0", "/3/0/9"), 0, 99, 99)
        self.assertEqual([time for time, _ in found], [*range(0, 90, 7)])
        other.execute("ROLLBACK")
        other.close()
        self.database.commit(told(90, 9))
        self.assert_whole(99)

    def test_closed(self) -> None:
        """In a database that was closed everything is in its table."""
        self.database.commit(told(0, 5))
        self.database.close()
        self.assertEqual(self.rows("SELECT count(*) FROM journal"), [(0,)])
        self.assertEqual(len(self.rows("SELECT * FROM twin")), 5)
        self.assertTrue(os.path.exists(self.path))
