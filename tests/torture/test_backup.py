"""Backups of a real daemon under load, and going back to them, the good and the bad ones."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.ctl.arguments import parser
from lwm2md.ctl.client import Client, Token
from lwm2md.ctl.output import Output
from lwm2md.storage._database import schemas
from tests.processes import directory, reactor
from tests.torture.daemon import Daemon, Place
from tests.torture.device import Device
from tests.torture.model import Model
from tests.torture.power import Power
from tests.torture.reader import Reader


class BackupTests(TestCase):
    """A daemon with devices, labels and operations."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        place = directory(self)
        self.file = place / "b.backup"
        self.power = Power(place)
        self.daemon = Daemon(place, Place.find(), (), self.power.environment)
        self.addCleanup(self.daemon.close)
        self.daemon.spawn()
        await self.daemon.ready()
        self.model = Model()
        self.device = await self.registered("d")

    async def registered(self, endpoint: str) -> Device:
        """A device that has registered."""
        device = Device(endpoint, self.daemon.coap, self.model, Random(1), sleepy=False)
        self.addCleanup(device.transport.stopListening)
        self.addCleanup(device.abandon)
        await device.register(900)
        return device

    def ctl(self, *words: str) -> Deferred[int]:
        """Run lwm2mctl in a thread; its exit status."""
        options = parser({}).parse_args([*words, "--url", self.daemon.url])
        output = Output(io.StringIO(), True)
        return deferToThread(options.run, options, Client(self.daemon.url, Token(self.daemon.token)), output)

    async def backup(self) -> None:
        """Make one."""
        self.assertEqual(await self.ctl("backup", str(self.file)), 0)

    async def label(self, value: str) -> None:
        """Change something."""
        status, _ = await self.daemon.api("PATCH", "/v1/devices/d", body={"labels": {"x": value}})
        self.assertEqual(status, 200)

    async def labels(self) -> Any:
        """What is there now."""
        return (await self.daemon.api("GET", "/v1/devices/d"))[1]["labels"]

    async def test_there_and_back(self) -> None:
        """All is as it was at the time of the backup; the token stays, ids of events go on, and readers are told."""
        reader = Reader(self.daemon, "")
        await reader.resume()
        await self.label("before")
        status, asked = await self.daemon.api("PUT", "/v1/devices/d/observations/3303/0/5700?wait=5")
        self.assertEqual(status, 201)
        await self.backup()
        await self.label("after")
        new = await self.registered("new")
        await new.update(1000)
        await reader.until(lambda event: event.data.get("endpoint") == "new" and event.type == "device.updated")
        self.assertEqual(await self.ctl("restore", str(self.file)), 0)
        self.assertEqual(await self.labels(), {"x": "before"})
        self.assertEqual((await self.daemon.api("GET", "/v1/devices/new"))[0], 404)
        self.model.cell("registration", "new").set(None)
        self.assertEqual(await new.update(), n.NOT_FOUND)
        await new.register(900)
        self.assertEqual(await self.device.update(), n.CHANGED)
        await self.device.notify("/3303/0/5700")
        self.assertEqual((await self.daemon.api("GET", f"/v1/observations/{asked['id']}"))[0], 200)
        await reader.resume()
        await reader.until(lambda event: event.type == "storage.restored")
        await reader.until(lambda event: event.data.get("endpoint") == "new" and event.type == "device.registered")
        await reader.close()
        status, told = await self.daemon.api("GET", "/v1/restore")
        self.assertEqual((status, told["state"], told["error"]), (200, "done", None))
        await self.restarted(told["aside"])

    async def restarted(self, aside: str) -> None:
        """The daemon goes on after a kill; what was there before is a backup itself."""
        self.daemon.check_log()
        self.daemon.kill()
        self.daemon.spawn()
        await self.daemon.ready()
        self.assertEqual(await self.labels(), {"x": "before"})
        self.assertEqual(await self.ctl("restore", aside), 0)
        self.assertEqual(await self.labels(), {"x": "after"})
        self.assertEqual((await self.daemon.api("GET", "/v1/devices/new"))[0], 200)
        self.daemon.check_log()

    async def test_operations(self) -> None:
        """What waited or was under way then may have been done since: it is not sent again, and ends so."""
        self.device.deaf = True
        ids = []
        for body in ({"op": "write", "path": "/3/0/15", "value": "k1k"}, {"op": "execute", "path": "/3/0/4"}):
            status, document = await self.daemon.api("POST", "/v1/devices/d/operations?wait=0", body=body)
            self.assertEqual(status, 202)
            ids.append(document["id"])
        await self.backup()
        self.assertEqual(await self.ctl("restore", str(self.file)), 0)
        self.device.deaf = False
        await self.device.update()
        for each in ids:
            _, document = await self.daemon.api("GET", f"/v1/operations/{each}")
            self.assertEqual((document["state"], document["error"]), ("failed", "outcome-unknown"))
        self.assertEqual(await self.labels(), {})
        self.assertFalse(self.device.done["write"] or self.device.done["execute"])

    async def test_under_load(self) -> None:
        """While it is made, devices and callers are served; it is of one moment, and passes the check of a restore."""
        self.power.faults(delay=0.002)
        making = self.ctl("backup", str(self.file))
        turns = 0
        while not making.called:
            turns += 1
            await self.label(str(turns))
            self.assertEqual(await self.device.update(), n.CHANGED)
        self.assertEqual(await making, 0)
        with sqlite3.connect(self.file) as copied:
            self.assertEqual(copied.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(copied.execute("PRAGMA journal_mode").fetchone(), ("delete",))
        copied.close()
        self.assertEqual([path for path in self.daemon.state.iterdir() if path.name.startswith(".")], [])
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertEqual((await self.daemon.api("GET", "/v1/backup"))[1]["state"], "done")
        self.assertEqual(await self.ctl("restore", str(self.file)), 0)

    async def test_bad(self) -> None:
        """What is no backup, is damaged, newer, or has other tables is refused, and changes nothing."""
        await self.label("kept")
        await self.backup()
        whole = self.file.read_bytes()
        newer, other = self.file.with_name("newer"), self.file.with_name("other")
        for path, script in (
            (newer, f"PRAGMA user_version = {len(schemas()) + 1}"),
            (other, "CREATE TRIGGER t AFTER DELETE ON meta BEGIN SELECT 1; END"),
        ):
            path.write_bytes(whole)
            with sqlite3.connect(path) as connection:
                connection.execute(script)
            connection.close()
        torn = bytearray(whole)
        for place in range(4096, len(torn) - 100, 4096):
            torn[place : place + 100] = bytes(100)
        for bad, why in (
            (b"no backup" * 1000, "not a database"),
            (b"", "is expected"),
            (b"x", "not a database"),  # which SQLite takes for an empty one
            (bytes(torn), "damaged"),
            (whole[: len(whole) // 2], "damaged"),
            (newer.read_bytes(), "newer lwm2md"),
            (other.read_bytes(), "other tables"),
        ):
            status, problem = await self.daemon.api("POST", "/v1/restore", data=bad)
            self.assertEqual((status, problem["code"]), (422, "bad-backup"), problem)
            self.assertIn(why, problem["detail"])
            self.assertEqual(await self.device.update(), n.CHANGED)
        self.assertEqual(await self.labels(), {"x": "kept"})
        self.assertEqual((await self.daemon.api("GET", "/v1/restore"))[1]["state"], "failed")
        self.daemon.check_log()

    async def test_killed(self) -> None:
        """A daemon that is killed at any moment of a restore comes back with one state or the other, whole."""
        await self.label("before")
        await self.backup()
        for turn in range(6):
            await self.label("after")
            restoring = ensureDeferred(self.daemon.api("POST", "/v1/restore", data=self.file.read_bytes()))
            await deferLater(reactor, 0.15 * turn + 0.05)
            self.daemon.check_log()
            self.daemon.kill()
            self.power.cut(Random(turn))
            restoring.addErrback(lambda _: None)
            await restoring
            self.daemon.spawn()
            await self.daemon.ready()
            self.assertIn(await self.labels(), ({"x": "before"}, {"x": "after"}))
            self.assertEqual(await self.device.update(), n.CHANGED)
            self.assertEqual([path.name for path in self.daemon.state.iterdir() if path.name.startswith(".")], [])

    async def test_unwelcome(self) -> None:
        """Where the new state can't be taken up the old one is, and the caller learns why."""
        await self.label("before")
        await self.backup()
        await self.label("after")
        status, _ = await self.daemon.api("POST", "/v1/restore", data=self.file.read_bytes())
        self.assertEqual(status, 202)
        self.staged().write_bytes(b"not what was checked" * 1000)
        self.assertEqual(await self.came(), "failed")
        self.assertEqual(await self.labels(), {"x": "after"})

    def staged(self) -> Path:
        """The file that was sent."""
        (found,) = (
            path
            for path in self.daemon.state.iterdir()
            if path.name.startswith(".") and not path.name.endswith((".lock", "-wal", "-shm"))
        )
        return found

    async def came(self) -> str:
        """Wait for what comes of a restore."""
        while True:
            await deferLater(reactor, 0.1)
            try:
                _, document = await self.daemon.api("GET", "/v1/restore")
            except Exception:
                continue
            if document["state"] != "restoring":
                return str(document["state"])
