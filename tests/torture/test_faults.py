"""Faults below a running daemon: what it serves meanwhile, what it refuses and why, and that it recovers by itself."""

from __future__ import annotations

import errno
import resource
import sqlite3
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests import web
from tests.processes import directory, reactor
from tests.torture.daemon import Daemon, Place
from tests.torture.device import OBJECTS, Device
from tests.torture.model import Model, Violation
from tests.torture.power import Power
from tests.torture.reader import Reader

_PATH = "/3303/0/5700"
_LABEL = {"labels": {"x": "1"}}


class FaultTestCase(TestCase):
    """A daemon with one registered, observed device, and something wrong with its disk or clock."""

    timeout = 120
    below = True
    """Whether there is a library of ours below the daemon."""

    async def setUp(self) -> None:  # type: ignore[override]
        place = directory(self)
        self.power = Power(place)
        environment = self.power.environment if self.below else {}
        self.daemon = Daemon(place, Place.find(), ("coap.max-retransmit=2",), environment)
        self.addCleanup(self.daemon.close)
        self.daemon.spawn()
        await self.daemon.ready()
        self.model = Model()
        self.device = self.made("served")
        await self.device.register(900)
        status, _ = await self.daemon.api("PUT", f"/v1/devices/served/observations{_PATH}?wait=5")
        self.assertEqual(status, 201)
        self.reader = Reader(self.daemon, "?types=storage.*")
        self.addCleanup(self.reader.close)
        await self.reader.resume()

    def made(self, endpoint: str) -> Device:
        """A scripted device on the way to the daemon."""
        device = Device(endpoint, self.daemon.coap, self.model, Random(1), sleepy=False)
        self.addCleanup(device.transport.stopListening)
        self.addCleanup(device.abandon)
        return device

    async def patched(self) -> tuple[int, Any]:
        """Change a label."""
        return await self.daemon.api("PATCH", "/v1/devices/served", body=_LABEL)

    async def refusing(self, why: str, *, readable: bool = True) -> None:
        """While it can't write: refreshes are served, what is new is refused, and the API says why.

        A notification that comes meanwhile is not acknowledged. What is there is read, where it can be.
        """
        self.notifying = ensureDeferred(self.device.notify(_PATH))
        self.assertEqual(await self.device.update(), n.CHANGED)
        answer = await self.made("new").request(n.POST, ("rd",), ("ep=new", "lt=300", "lwm2m=1.0"), OBJECTS)
        self.assertEqual(answer.code, n.SERVICE_UNAVAILABLE)
        self.assertGreater(answer.max_age or 0, 0)
        sent = await self.device.request(n.POST, ("dp",), (), b'[{"n":"/3303/0/5601","v":1}]', n.SENML_JSON)
        self.assertEqual(sent.code, n.SERVICE_UNAVAILABLE)
        self.assertGreater(sent.max_age or 0, 0)
        status, problem = await self.patched()
        self.assertEqual((status, problem["code"]), (503, "storage-failed"))
        self.assertIn(why, problem["detail"])
        _, document = await self.daemon.api("GET", "/v1/status")
        self.assertIn(why, document["storage"]["error"])
        self.assertEqual(await self.failing(), 1)
        status, read = await self.daemon.api("GET", "/v1/devices/served/resources/3/0/0?wait=5")
        self.assertEqual((status, len(read["values"])), (200, 1))
        if readable:
            await self.reading()
        self.assertFalse(self.notifying.called)

    async def reading(self) -> None:
        """History, summed up too, events and the audit log are read from what was stored last."""
        for query in ("", "?aggregate=count"):
            status, told = await self.daemon.api("GET", f"/v1/devices/served/history{_PATH}{query}")
            self.assertEqual((status, [row["path"] for row in told.get("items", ())]), (200, [_PATH]), told)
        replay = Reader(self.daemon, "?types=device.value")
        self.addCleanup(replay.close)
        await replay.resume()
        await replay.until(lambda event: event.type == "device.value")
        self.assertEqual((await self.daemon.api("GET", "/v1/audit"))[0], 200)

    async def failing(self) -> int:
        """What the metric says."""
        headers = {"Authorization": f"Bearer {self.daemon.token}"}
        _, _, body = await web.exchange("GET", f"{self.daemon.url}/metrics", headers=headers)
        return int(body.partition(b"\nlwm2md_storage_failing ")[2].partition(b".")[0])

    async def recovered(self) -> None:
        """The fault is over: what was refused is taken now and is there after a kill, and nothing else is."""
        status, document = await self.daemon.api("GET", "/v1/devices/new")
        self.assertEqual(status, 404)
        await self.made("new").register(300)
        status, document = await self.patched()
        self.assertEqual((status, document["labels"]), (200, {"x": "1"}))
        _, document = await self.daemon.api("GET", "/v1/status")
        self.assertIsNone(document["storage"]["error"])
        self.assertEqual(await self.failing(), 0)
        await self.notifying
        await self.device.notify(_PATH)
        status, known = await self.daemon.api("GET", f"/v1/devices/served/resources{_PATH}?source=twin")
        self.assertEqual((status, known["values"][0]["value"]), (200, self.device.number))
        self.daemon.check_log()
        self.daemon.kill()
        self.daemon.spawn()
        await self.daemon.ready()
        self.assertEqual(await self.device.update(), n.CHANGED)
        for endpoint in ("served", "new"):
            self.assertEqual((await self.daemon.api("GET", f"/v1/devices/{endpoint}"))[0], 200)

    notifying: Deferred[None] = succeed(None)

    async def fault(self, why: str, *, readable: bool = True, **faults: Any) -> None:
        """One fault, and its end."""
        self.power.faults(**faults)
        await self.refusing(why, readable=readable)
        self.power.faults()
        await self.recovered()


class FaultTests(FaultTestCase):
    """What a library of ours, or somebody else, does to the files and the clock."""

    async def test_full(self) -> None:
        """The disk is full. Who reads events hears of it, and when that is over."""
        await self.fault("full", write=errno.ENOSPC)
        await self.reader.resume()
        if len(self.reader.events) < 2:
            await self.reader.until(lambda event: event.type == "storage.recovered")
        told = [(event.type, "full" in event.data["reason"]) for event in self.reader.events.values()]
        self.assertEqual(told, [("storage.failed", True), ("storage.recovered", True)])

    async def test_no_room_for_copies(self) -> None:
        """On a full disk neither a backup is made nor a restore begun; both say so, and leave nothing."""
        self.power.faults(write=errno.ENOSPC)
        for path, size in (("/v1/backup", 0), ("/v1/restore", 100_000)):
            status, problem = await self.daemon.api("POST", path, data=bytes(size))
            self.assertEqual((status, problem["code"]), (503, "storage-failed"), problem)
            self.assertIn("No space left", problem["detail"])
        self.power.faults()
        self.assertEqual([path for path in self.power.state.iterdir() if path.name.startswith(".")], [])
        self.daemon.check_log()

    async def test_started_on_a_full_disk(self) -> None:
        """A daemon that is started on a full disk serves the devices that it has, and the others once there is room."""
        self.daemon.kill()
        self.power.faults(write=errno.ENOSPC)
        self.daemon.spawn()
        await self.daemon.ready()
        await self.refusing("full")
        self.power.faults()
        await self.recovered()

    async def test_read_only(self) -> None:
        """The file system became read-only, as one does that found an error."""
        await self.fault("disk I/O error", write=errno.EROFS)

    async def test_broken_sync(self) -> None:
        """Writes go well and can't be synced."""
        await self.fault("disk I/O error", sync=errno.EIO)

    async def test_locked(self) -> None:
        """Somebody has locked the database, with a tool for example."""
        other = sqlite3.connect(self.power.state / "lwm2md.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        await self.refusing("locked")
        other.execute("ROLLBACK")
        await self.recovered()

    async def test_started_while_locked(self) -> None:
        """One that is started meanwhile serves the devices that it has."""
        self.daemon.kill()
        other = sqlite3.connect(self.power.state / "lwm2md.sqlite", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.daemon.spawn()
        await self.daemon.ready()
        await self.refusing("locked")
        other.execute("ROLLBACK")
        await self.recovered()

    async def test_slow(self) -> None:
        """A disk that takes two seconds for each sync holds up what must be durable, and nothing else."""
        self.power.faults(delay=2.0)
        began = reactor.seconds()
        registering = ensureDeferred(self.made("slowly").register(300))
        while reactor.seconds() < began + 1.5:
            asked = reactor.seconds()
            self.assertEqual(await self.device.update(), n.CHANGED)
            self.assertLess(reactor.seconds() - asked, 1.0)
            await deferLater(reactor, 0.1)
        self.assertFalse(registering.called)
        await registering
        self.assertGreater(reactor.seconds() - began, 2.0)
        self.power.faults()
        await self.recovered()

    async def test_broken(self) -> None:
        """The disk can neither be read nor written."""
        await self.fault("lwm2md.sqlite: ", readable=False, read=errno.EIO, write=errno.EIO)

    async def test_damaged(self) -> None:
        """The files are overwritten while it runs: devices are served, and nobody starts on what is left."""
        for path in self.power.state.glob("lwm2md.sqlite*"):
            if path.name.endswith(("sqlite", "-wal")):
                data = path.read_bytes()
                path.write_bytes(data[:100] + b"\xa5" * (len(data) - 100))
        for _ in range(20):
            self.assertEqual(await self.device.update(), n.CHANGED)
            self.assertIn((await self.patched())[0], (200, 503))
        self.daemon.check_log()
        self.daemon.kill()
        self.daemon.spawn()
        try:
            await self.daemon.ready()
        except Violation as refused:
            self.assertIn("lwm2md.sqlite: damaged", str(refused))
        else:
            self.fail("it started")

    async def test_clock(self) -> None:
        """The clock is set by a day, forward or back: nobody expires, and timers go on."""
        for jump in (86_400, -86_400, 0):
            self.power.faults(clock=jump)
            await deferLater(reactor, 1.2)
            self.assertEqual(await self.device.update(), n.CHANGED)
            status, document = await self.daemon.api("GET", "/v1/devices/served/resources/3/0/0?wait=5")
            self.assertEqual((status, len(document["values"])), (200, 1))
            began = reactor.seconds()
            self.device.deaf = True
            status, problem = await self.daemon.api("GET", "/v1/devices/served/resources/3/0/0?wait=30")
            self.device.deaf = False
            self.assertEqual((status, problem["code"]), (504, "no-answer"))
            self.assertLess(reactor.seconds() - began, 10)
            status, document = await self.daemon.api("GET", "/v1/devices/served")
            self.assertEqual(document["registration_id"], self.device.location)
        self.assertIn("clock jumped by 86400", self.daemon.text())
        await self.recovered()


class LimitTests(FaultTestCase):
    """What the system itself does."""

    below = False

    async def test_limit(self) -> None:
        """The system lets no file grow any more, without any help of ours: as with a full disk, or a quota."""
        size = max(path.stat().st_size for path in self.power.state.iterdir())
        process = self.daemon.pid or 0
        _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size + 8192, hard))
        while (await self.patched())[0] == 200:
            pass
        await self.refusing("lwm2md.sqlite: ")
        resource.prlimit(process, resource.RLIMIT_FSIZE, (hard, hard))
        await self.recovered()
