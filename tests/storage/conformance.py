"""What every storage must do, as a mixin: a storage's own test case says how to make one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from lwm2md.storage.interface import Append, Batch, Condition, Storage, StorageError, Write


def put(key: str, value: bytes | None, table: str = "devices") -> Batch:
    """Return a batch of one write."""
    return Batch(writes=(Write(table, key, value),))


def record(*ids: str) -> Batch:
    """Return a batch that appends records of these ids to the log."""
    return Batch(appends=[Append("events", id_, id_.encode()) for id_ in ids])


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
    """The contract of ``lwm2md.storage.interface``, for the storage that ``make`` returns."""

    storage: Storage

    def make(self) -> Storage:
        """Return a new, empty storage."""
        raise NotImplementedError

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
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
