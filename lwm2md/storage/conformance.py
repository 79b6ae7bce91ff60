"""What every storage must do, as test cases for trial: those of a backend inherit them and say how to make one.

RULES: only what ``lwm2md.storage.interface`` says is asked for. A backend runs `StorageConformance`; one that keeps
what it was told when it is closed runs `DurableConformance`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from lwm2md.storage.interface import (
    LOGS,
    START,
    TABLES,
    Append,
    Batch,
    Condition,
    Storage,
    StorageError,
    Write,
)
from lwm2md.storage.snapshots import Snapshots


def put(key: str, value: bytes | None, table: str = "devices") -> Batch:
    """Return a batch of one write."""
    return Batch(writes=(Write(table, key, value),))


def record(*ids: str) -> Batch:
    """Return a batch that appends records of these ids to the log."""
    return Batch(appends=[Append("events", id_, id_.encode()) for id_ in ids])


def sampled(owner: str, name: str, *times: int) -> Batch:
    """Return a batch that adds samples of these times to a series, each with its time as the value."""
    return Batch(samples=[(owner, name, time, b"%d" % time) for time in times])


async def refusal(answer: Deferred[Any]) -> str:
    """Return the text of the StorageError that this fails with."""
    try:
        await answer
    except StorageError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def _ignored(failure: Failure) -> None:
    failure.trap(StorageError)


class StorageConformance(TestCase):
    """The contract of a storage, for the one that ``make`` returns."""

    storage: Storage

    def make(self) -> Storage:
        """Return a new, empty storage that is not open yet."""
        raise NotImplementedError

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """Open a new storage, which is closed after the test."""
        self.storage = self.make()
        self.addCleanup(self.closed)
        return self.storage.open()

    def closed(self) -> Deferred[None]:
        """Close the storage, whether it is open or not."""
        return self.storage.close().addErrback(_ignored)

    async def test_get(self) -> None:
        """A row that was written is read back, another one is None."""
        self.assertTrue(await self.storage.commit(put("a", b"\x00\xff")))
        self.assertEqual(await self.storage.get("devices", "a"), b"\x00\xff")
        self.assertIsNone(await self.storage.get("devices", "b"))
        self.assertIsNone(await self.storage.get("twin", "a"))

    async def test_replace_and_delete(self) -> None:
        """Rows are replaced and deleted; deleting what is not there does nothing."""
        await self.storage.commit(put("a", b"1"))
        await self.storage.commit(put("a", b"2"))
        self.assertEqual(await self.storage.get("devices", "a"), b"2")
        await self.storage.commit(put("a", None))
        await self.storage.commit(put("a", None))
        self.assertIsNone(await self.storage.get("devices", "a"))
        self.assertEqual(await self.storage.scan("devices"), [])

    async def test_last_write_wins(self) -> None:
        """Of several writes to a row in one batch the last one counts, be it a deletion or not."""
        writes = [Write("devices", "a", b"1"), Write("devices", "a", None), Write("devices", "b", None)]
        await self.storage.commit(Batch(writes=[*writes, Write("devices", "b", b"2")]))
        self.assertEqual(await self.storage.scan("devices"), [("b", b"2")])

    async def test_scan_pages(self) -> None:
        """A table is read in pages ordered by code point, whatever the order of writing."""
        keys = ["b", "a/1", "a", "é", "z", "\U0001f600", "B", "￿", "a%2F"]
        for key in keys:
            await self.storage.commit(put(key, key.encode()))
        found: list[tuple[str, bytes]] = []
        while page := await self.storage.scan("devices", found[-1][0] if found else "", 2):
            self.assertLessEqual(len(page), 2)
            found += page
        self.assertEqual(found, [(key, key.encode()) for key in sorted(keys)])

    async def test_condition_on_value(self) -> None:
        """A batch whose condition on a value fails writes nothing and says so."""
        await self.storage.commit(put("a", b"1"))
        batch = Batch([Write("devices", "a", b"3")], [Append("events", "1", b"")], [Condition("devices", "a", b"2")])
        self.assertFalse(await self.storage.commit(batch))
        self.assertEqual(await self.storage.get("devices", "a"), b"1")
        self.assertEqual(await self.storage.read("events"), [])
        self.assertTrue(await self.storage.commit(Batch(batch.writes, (), [Condition("devices", "a", b"1")])))
        self.assertEqual(await self.storage.get("devices", "a"), b"3")

    async def test_condition_on_absence(self) -> None:
        """A condition of None holds only while there is no such row."""
        batch = Batch([Write("devices", "a", b"1")], (), [Condition("devices", "a", None)])
        self.assertTrue(await self.storage.commit(batch))
        self.assertFalse(await self.storage.commit(batch))

    async def test_unknown_table_writes_nothing(self) -> None:
        """A batch that names an unknown table fails as a whole."""
        batch = Batch([Write("devices", "a", b"1"), Write("no; DROP TABLE devices", "a", b"1")])
        await refusal(self.storage.commit(batch))
        await refusal(self.storage.scan("events"))
        await refusal(self.storage.read("devices"))
        self.assertIsNone(await self.storage.get("devices", "a"))

    async def test_log(self) -> None:
        """A log is read in the order of its ids, after an id and up to a limit."""
        await self.storage.commit(record("001", "002"))
        await self.storage.commit(record("005"))
        self.assertEqual(await self.storage.read("events"), [("001", b"001"), ("002", b"002"), ("005", b"005")])
        self.assertEqual(await self.storage.read("events", "001", 1), [("002", b"002")])
        self.assertEqual(await self.storage.read("events", "003"), [("005", b"005")])
        self.assertEqual(await self.storage.read("events", "005"), [])

    async def test_trim(self) -> None:
        """Trimming keeps the newest records and always tells the greatest id that is gone."""
        self.assertEqual(await self.storage.trim("events", 2), "")
        await self.storage.commit(record("1", "2", "3", "4"))
        self.assertEqual(await self.storage.trim("events", 4), "")
        self.assertEqual(await self.storage.trim("events", 3), "1")
        self.assertEqual(await self.storage.trim("events", 3), "1")
        self.assertEqual(await self.storage.read("events"), [("2", b"2"), ("3", b"3"), ("4", b"4")])
        self.assertEqual(await self.storage.trim("events", 0), "4")
        self.assertEqual(await self.storage.read("events"), [])
        self.assertEqual(await self.storage.trim("events", 0), "4")

    async def test_order(self) -> None:
        """What is asked without waiting is carried out and answered in order; reads see what came before them only."""
        answered: list[object] = []
        asked: list[Deferred[Any]] = []
        for number in range(50):
            asked.append(self.storage.commit(put("a", b"%d" % number)))
            asked.append(self.storage.get("devices", "a"))
            asked.append(self.storage.commit(record(f"{number:03}")))
            asked.append(self.storage.read("events"))
            asked.append(self.storage.trim("events", 1))
        for each in asked:
            each.addCallback(answered.append)
        await gatherResults(asked)
        expected: list[object] = []
        kept: list[tuple[str, bytes]] = []
        for number in range(50):
            kept = [*kept[-1:], (f"{number:03}", b"%03d" % number)]
            expected += [True, b"%d" % number, True, kept, kept[-2][0] if number else ""]
        self.assertEqual(answered, expected)

    async def test_close_waits(self) -> None:
        """Closing waits for what was submitted, and what is asked later fails."""
        ended: list[str] = []
        for number in range(20):
            self.storage.commit(put(str(number), b"x" * 10_000)).addCallback(lambda _: ended.append("commit"))
        await self.storage.close()
        self.assertEqual(len(ended), 20)
        await refusal(self.storage.get("devices", "1"))
        await refusal(self.storage.commit(put("a", b"")))

    async def test_large_values(self) -> None:
        """Values of a megabyte and keys of a kilobyte are kept as they are."""
        value = bytes(range(256)) * 4096
        await self.storage.commit(put("k" * 1024, value))
        self.assertEqual(await self.storage.get("devices", "k" * 1024), value)

    async def test_samples(self) -> None:
        """The samples of a series are read in the order of time, from one time, before another, and up to a limit."""
        await self.storage.commit(sampled("a", "/3/0/9", 30, 10))
        await self.storage.commit(sampled("a", "/3/0/9", 20, -5, 2**53))
        for other in (("a", "/3/0"), ("a", "/3/0/9/0"), ("A", "/3/0/9"), ("a ", "/3/0/9"), ("", "/3/0/9")):
            await self.storage.commit(sampled(*other, 15))
        found = await self.storage.samples("a", "/3/0/9", -100, 2**60)
        self.assertEqual(found, [(time, b"%d" % time) for time in (-5, 10, 20, 30, 2**53)])
        self.assertEqual(await self.storage.samples("a", "/3/0/9", 10, 30), [(10, b"10"), (20, b"20")])
        self.assertEqual(await self.storage.samples("a", "/3/0/9", 10, 30, 1), [(10, b"10")])
        self.assertEqual(await self.storage.samples("a", "/3/0/8", 0, 100), [])

    async def test_one_sample_a_time(self) -> None:
        """Of samples of one time the last one stays, in one batch or in several."""
        for value in (b"1", b"2"):
            await self.storage.commit(Batch(samples=[("a", "x", 7, b"0"), ("a", "x", 7, value)]))
        self.assertEqual(await self.storage.samples("a", "x", 0, 10), [(7, b"2")])

    async def test_many_samples(self) -> None:
        """Batches of any size are kept whole."""
        for size in (31, 32, 33, 100):
            await self.storage.commit(sampled("a", str(size), *range(size)))
            self.assertEqual(len(await self.storage.samples("a", str(size), 0, 1000)), size)

    async def test_names(self) -> None:
        """The names of an owner's series are told in order, from one, before another, and up to a limit."""
        for name in ("/3/0/7/1", "/3/0/7", "/3/0/70", "/3/0/7/0", "/3/0/6", "é"):
            await self.storage.commit(sampled("a", name, 1, 2, 3))
        await self.storage.commit(sampled("b", "/3/0/7/5", 1))
        every = ["/3/0/6", "/3/0/7", "/3/0/7/0", "/3/0/7/1", "/3/0/70", "é"]
        self.assertEqual(await self.storage.names("a"), every)
        self.assertEqual(await self.storage.names("a", "/3/0/7", "/3/0/70"), every[1:4])
        self.assertEqual(await self.storage.names("a", "/3/0/6a", limit=2), every[1:3])
        self.assertEqual(await self.storage.names("c"), [])

    async def test_dropping(self) -> None:
        """Dropping an owner removes its series and nobody else's, and comes before the samples of the same batch."""
        for owner in ("a", "a/1", "b"):
            await self.storage.commit(sampled(owner, "/3/0/9", 1, 2))
        await self.storage.commit(Batch(dropped=["a", "c"], samples=[("a", "/1/0/1", 3, b"3")]))
        self.assertEqual(await self.storage.names("a"), ["/1/0/1"])
        self.assertEqual(await self.storage.names("a/1"), ["/3/0/9"])
        self.assertEqual(await self.storage.names("b"), ["/3/0/9"])

    async def test_samples_are_part_of_the_batch(self) -> None:
        """A batch that can't be written leaves neither samples nor their removal."""
        await self.storage.commit(sampled("a", "x", 1))
        condition = Condition("devices", "a", b"1")
        refused = Batch(samples=[("b", "x", 1, b"")], dropped=["a"], conditions=[condition])
        self.assertFalse(await self.storage.commit(refused))
        await refusal(self.storage.commit(Batch([Write("none", "a", b"")], samples=[("b", "x", 1, b"")])))
        self.assertEqual((await self.storage.names("a"), await self.storage.names("b")), (["x"], []))

    async def test_thinning(self) -> None:
        """Old samples go, and those beyond the newest of each series, a few at a time, until all were seen."""
        await self.storage.commit(sampled("a", "x", *range(100)))
        await self.storage.commit(sampled("a", "y", 5, 95))
        await self.storage.commit(sampled("b", "x", 1, 2, 3))
        after, removed, steps = START, 0, 0
        while steps == 0 or after != START:
            after, gone = await self.storage.thin(after, 90, 8, limit=30)
            self.assertLessEqual(gone, 30)
            removed, steps = removed + gone, steps + 1
        self.assertEqual((removed, steps > 3), (92 + 1 + 3, True))
        self.assertEqual([time for time, _ in await self.storage.samples("a", "x", 0, 100)], list(range(92, 100)))
        self.assertEqual(await self.storage.samples("a", "y", 0, 100), [(95, b"95")])
        self.assertEqual(await self.storage.names("b"), [])
        self.assertEqual(await self.storage.thin(START, 90, 8), (START, 0))

    async def test_every_table(self) -> None:
        """Every table and every log of the contract is there, and they don't share rows."""
        for table in sorted(TABLES):
            await self.storage.commit(put("key", table.encode(), table))
        for log in sorted(LOGS):
            await self.storage.commit(Batch(appends=[Append(log, "key", log.encode())]))
        for table in sorted(TABLES):
            self.assertEqual(await self.storage.scan(table), [("key", table.encode())])
        for log in sorted(LOGS):
            self.assertEqual(await self.storage.read(log), [("key", log.encode())])

    async def test_batch_is_whole(self) -> None:
        """A batch of many rows and records is seen by a read after it, whole; one before it sees none of it."""
        writes = [Write("twin", f"{number:05}", b"x") for number in range(2000)]
        appends = [Append("events", f"{number:05}", b"y") for number in range(2000)]
        before = self.storage.scan("twin", limit=5000)
        done = self.storage.commit(Batch(writes, appends))
        after = self.storage.scan("twin", limit=5000)
        self.assertEqual((await before, await done, len(await after)), ([], True, 2000))
        self.assertEqual(len(await self.storage.read("events", limit=5000)), 2000)

    async def test_empty(self) -> None:
        """An empty batch succeeds, empty values are values, and limits of nothing give nothing."""
        self.assertTrue(await self.storage.commit(Batch()))
        await self.storage.commit(put("a", b""))
        self.assertEqual(await self.storage.get("devices", "a"), b"")
        self.assertEqual(await self.storage.scan("devices", "", 0), [])

    async def test_goes_on_after_failures(self) -> None:
        """What was asked wrongly fails alone; what comes after it is carried out."""
        wrong = self.storage.commit(Batch([Write("no such table", "a", b"1")]))
        right = self.storage.commit(put("b", b"2"))
        await refusal(wrong)
        self.assertTrue(await right)
        self.assertEqual(await self.storage.scan("devices"), [("b", b"2")])


class DurableConformance(StorageConformance):
    """The contract of a storage that keeps what it was told."""

    def again(self) -> Storage:
        """Return another storage, not open yet, on the place of the one that ``make`` returned last."""
        raise NotImplementedError

    async def reopened(self) -> None:
        """Close the storage and go on with another one on the same place."""
        await self.storage.close()
        self.storage = self.again()
        await self.storage.open()

    async def test_kept(self) -> None:
        """Rows, deletions, records and what was trimmed are there when it is opened again."""
        await self.storage.commit(Batch([Write("devices", "a", b"1"), Write("devices", "b", b"\x00\xff")]))
        await self.storage.commit(put("a", None))
        await self.storage.commit(record("1", "2", "3"))
        await self.storage.trim("events", 2)
        await self.reopened()
        self.assertEqual(await self.storage.scan("devices"), [("b", b"\x00\xff")])
        self.assertEqual(await self.storage.read("events"), [("2", b"2"), ("3", b"3")])
        self.assertEqual(await self.storage.trim("events", 2), "1")

    async def test_refused_is_not_kept(self) -> None:
        """A batch whose condition did not hold leaves nothing to be found later."""
        self.assertFalse(
            await self.storage.commit(Batch([Write("devices", "a", b"1")], (), [Condition("meta", "x", b"y")]))
        )
        await self.reopened()
        self.assertEqual(await self.storage.scan("devices"), [])

    async def test_closed_at_once(self) -> None:
        """What was submitted before the closing is kept, whether anybody waited for it or not."""
        for number in range(20):
            self.storage.commit(put(f"{number:02}", b"1"))
        await self.reopened()
        self.assertEqual(len(await self.storage.scan("devices")), 20)


class SnapshotConformance(TestCase):
    """A storage that keeps the contract of ``lwm2md.storage.snapshots``: ``make`` and ``again`` as above."""

    def make(self) -> Storage:
        """Return a new, empty storage that is not open yet."""
        raise NotImplementedError

    def again(self) -> Storage:
        """Return another one on the same place."""
        raise NotImplementedError

    async def copied(self) -> tuple[Any, Path, list[tuple[int, int]]]:
        """A storage with one row, a copy of it, and how far the copy was said to be; the row was changed since."""
        storage: Any = self.make()
        await storage.open()
        await storage.commit(put("a", b"then"))
        target, progress = storage.scratch(), list[tuple[int, int]]()
        await storage.snapshot(target, lambda done, of: progress.append((done, of)))
        await storage.commit(put("a", b"now"))
        return storage, target, progress

    async def test_there_and_back(self) -> None:
        """A copy has what was there; put in place it is the state, and the one before can be put back."""
        storage, target, progress = await self.copied()
        self.assertIsInstance(storage, Snapshots)
        self.assertEqual(progress[-1][0], progress[-1][1])
        staged = storage.staged(target, check=True)
        await staged.open()
        self.assertEqual(await staged.get("devices", "a"), b"then")
        await staged.commit(put("b", b"changed"))
        await staged.close()
        await storage.close()
        aside = await storage.swap(target)
        other: Any = self.again()
        await other.open()
        self.assertEqual(await other.get("devices", "a"), b"then")
        self.assertEqual(await other.get("devices", "b"), b"changed")
        await other.close()
        await other.swap(aside)
        last = self.again()
        await last.open()
        self.assertEqual(await last.get("devices", "a"), b"now")
        await last.close()

    async def test_left_alone(self) -> None:
        """What was copied and is not put in place is gone when the storage is opened again."""
        storage, target, _ = await self.copied()
        await storage.close()
        other = self.again()
        await other.open()
        self.assertFalse(target.exists())
        self.assertEqual(await other.get("devices", "a"), b"now")
        await other.close()

    async def test_refused(self) -> None:
        """What is no copy is not opened, and not put in place."""
        storage, target, _ = await self.copied()
        target.write_bytes(b"this is something else" * 1000)
        await refusal(storage.staged(target, check=True).open())
        await storage.close()
        await refusal(storage.swap(target))
        other = self.again()
        await other.open()
        self.assertEqual(await other.get("devices", "a"), b"now")
        await other.close()

    async def test_cancelled(self) -> None:
        """A copy that is given up leaves the storage at work, and no file."""
        storage: Any = self.make()
        await storage.open()
        target = storage.scratch()
        copying = storage.snapshot(target, lambda *_: None)
        copying.addErrback(lambda failure: failure.trap(CancelledError))
        copying.cancel()
        await copying
        self.assertTrue(await storage.commit(put("a", b"1")))
        await storage.close()
        other = self.again()
        await other.open()
        self.assertFalse(target.exists())
        await other.close()
