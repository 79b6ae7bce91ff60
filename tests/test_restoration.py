"""Tests of lwm2md.restoration: what becomes of a backup before it is taken up; a whole daemon is in `tests.torture`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from lwm2md.backup import BusyError
from lwm2md.restoration import Restoration, Swap
from lwm2md.storage.interface import Append, Batch, StorageError, Write
from lwm2md.storage.sqlite import SQLiteStorage


class RestorationTests(TestCase):
    """A storage with a copy of it."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp()) / "lwm2md.sqlite"
        self.storage = await self.opened()
        rows = [Write("meta", "event-ids", b"40"), Write("sessions", "s", b"keys"), Write("devices", "d", b"then")]
        await self.storage.commit(Batch(rows, [Append("events", f"{39:016}", b"{}")]))
        self.copy = self.storage.scratch()
        await self.storage.snapshot(self.copy, lambda *_: None)
        await self.storage.commit(Batch([Write("devices", "d", b"now")]))

    async def opened(self) -> SQLiteStorage:
        """The storage as it is now."""
        storage = SQLiteStorage(self.path, cast(IReactorFromThreads, reactor))
        await storage.open()
        self.addCleanup(self.closed, storage)
        return storage

    async def closed(self, storage: SQLiteStorage) -> None:
        """Close it, if it is open."""
        try:
            await storage.close()
        except StorageError:
            return

    async def test_there(self) -> None:
        """Ids go on behind those given out since, readers are told, sessions are gone, and the core is told."""
        await self.storage.close()
        await Swap(self.copy).there(self.storage, 1000, 5.0)
        storage = await self.opened()
        self.assertEqual(await storage.get("devices", "d"), b"then")
        self.assertEqual(await storage.scan("sessions"), [])
        self.assertEqual(await storage.get("meta", "event-ids"), b"1001")
        self.assertIsNotNone(await storage.get("meta", "restored"))
        (_, (last, told)) = await storage.read("events")
        self.assertEqual((last, msgspec.json.decode(told)["type"]), (f"{1000:016}", "storage.restored"))

    async def test_back(self) -> None:
        """What was put in place is taken back; nothing else is left of it."""
        await self.storage.close()
        swap = Swap(self.copy)
        await swap.there(self.storage, 1000, 5.0)
        await swap.back(self.storage)
        await swap.back(self.storage)
        storage = await self.opened()
        self.assertEqual(await storage.get("devices", "d"), b"now")
        self.assertEqual(await storage.scan("sessions"), [("s", b"keys")])
        self.assertEqual([path for path in self.path.parent.iterdir() if "before" in path.name], [])

    async def test_one_at_a_time(self) -> None:
        """While one is under way no other is begun; what came of the last one is said until then."""

        async def replace(swap: Swap) -> None:
            raise StorageError("no room")

        restoration = Restoration(lambda _: None, replace)
        await restoration.check(self.storage, self.copy)
        self.assertEqual(restoration.state, "restoring")
        self.assertRaises(BusyError, restoration.require, self.storage)
        await restoration.go_back(self.copy)
        self.assertEqual((restoration.state, restoration.error), ("failed", "no room"))
        restoration.require(self.storage)
        self.copy.write_bytes(b"no backup")
        await self.assertFailure(self.refused(restoration), StorageError)
        self.assertEqual((restoration.state, self.copy.exists()), ("failed", False))

    def refused(self, restoration: Restoration) -> Deferred[None]:
        """A check that fails."""
        return ensureDeferred(restoration.check(self.storage, self.copy))
