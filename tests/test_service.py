"""Tests of lwm2md.service: the daemon under twistd, what it keeps, and how it refuses to start."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lwm2md import service
from lwm2md.coap import numbers as n
from lwm2md.config import load
from lwm2md.plugins import StorageBackend
from lwm2md.storage.memory import MemoryStorage
from lwm2md.storage.sqlite import SQLiteStorage
from tests.daemons import Daemon
from tests.processes import ROOT, Process, directory, script
from tests.test_node import Device

SECRET_MODE = 0o600


class StateTests(SynchronousTestCase):
    """The state directory and what is in it."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())

    def test_prepared(self) -> None:
        """The directory is made for its owner only, with those above it, and is left as it was."""
        place = self.state / "a" / "b"
        service.prepare(place)
        service.prepare(place)
        self.assertEqual((stat.S_IMODE(place.stat().st_mode), list(place.iterdir())), (0o700, []))

    def test_token(self) -> None:
        """The administrator's token is made once, in a file of its owner only, and used again."""
        service.prepare(self.state)
        settings = load(None, [])
        token = service.administrator(self.state, settings)
        path = self.state / service.TOKEN
        self.assertEqual((stat.S_IMODE(path.stat().st_mode), path.read_text("ascii")), (SECRET_MODE, f"{token}\n"))
        self.assertGreaterEqual(len(token), 32)
        self.assertEqual(service.administrator(self.state, settings), token)
        path.write_text("", encoding="ascii")
        self.assertNotEqual(service.administrator(self.state, settings), token)

    def test_token_readable(self) -> None:
        """A token file that others could read before, and is empty, is theirs no more."""
        service.prepare(self.state)
        path = self.state / service.TOKEN
        path.touch(mode=0o644)
        service.administrator(self.state, load(None, []))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), SECRET_MODE)

    def test_token_configured(self) -> None:
        """A token of the configuration is used, and written nowhere."""
        service.prepare(self.state)
        settings = load(None, ["api.admin-token=from-the-operator"])
        self.assertEqual(service.administrator(self.state, settings), "from-the-operator")
        self.assertEqual(list(self.state.iterdir()), [])

    def test_token_garbage(self) -> None:
        """A token file that is no text is an error that names it."""
        service.prepare(self.state)
        (self.state / service.TOKEN).write_bytes(b"\xff\xfe\n")
        error = self.assertRaises(OSError, service.administrator, self.state, load(None, []))
        self.assertIn(service.TOKEN, str(error))

    def test_storage(self) -> None:
        """The URL names the storage."""
        for url, kind in (("memory:", MemoryStorage), ("sqlite:", SQLiteStorage), ("sqlite:x.db", SQLiteStorage)):
            found = service.storage(load(None, [f"storage.url={url}"]), self.state, reactor)
            self.assertIsInstance(found, kind)

    def test_storage_of_a_plugin(self) -> None:
        """The scheme of a plugin's storage names that; what it raises is the reason why there is no daemon."""

        def make(url: str, state: Path, reactor: object) -> MemoryStorage:
            if url == "mine:broken":
                raise ValueError("on purpose")
            return MemoryStorage()

        backends = {"mine": StorageBackend("mine", make)}
        # The scheme is known once the plugins are loaded.
        settings = load(None, ["storage.url=mine:x", "plugins.enable=mine"])
        self.assertIsInstance(service.storage(settings, self.state, reactor, backends), MemoryStorage)
        settings = load(None, ["storage.url=mine:broken", "plugins.enable=mine"])
        with self.assertRaisesRegex(OSError, "can't use the storage mine: on purpose"):
            service.storage(settings, self.state, reactor, backends)


class RefusalTests(TestCase):
    """What keeps the daemon from starting is one line, and exit status 1."""

    def setUp(self) -> None:
        self.state = directory(self) / "state"

    async def refused(self, *settings: str) -> str:
        """The line in which a daemon that can't start says why."""
        base = ("coap.listen=127.0.0.1:0", "api.listen=127.0.0.1:0", f"lwm2md.state={self.state}", *settings)
        options = [word for setting in base for word in ("--set", setting)]
        process = Process.start(self, [script("twistd"), "--pidfile=", "-n", "lwm2md", *options])
        self.assertEqual(await process.wait(), 1, process.output())
        self.assertNotIn("Traceback", process.output())
        lines = [line for line in process.lines if "can't" in line or str(self.state) in line]
        self.assertEqual(len(lines), 1, process.output())
        return lines[0]

    async def test_udp_taken(self) -> None:
        """The CoAP port is taken."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            line = await self.refused(f"coap.listen={address}")
        self.assertIn(f"can't listen on coap://{address}: Address already in use", line)

    async def test_tcp_taken(self) -> None:
        """The API's port is taken."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            line = await self.refused(f"api.listen={address}")
        self.assertIn(f"can't listen on http://{address}: Address already in use", line)

    async def test_unwritable(self) -> None:
        """The state directory is a file, or below one."""
        self.state.write_text("no directory", encoding="ascii")
        self.assertIn(f"can't use the state directory {self.state}: is no directory", await self.refused())
        line = await self.refused(f"lwm2md.state={self.state}/below")
        self.assertIn(f"can't use the state directory {self.state}/below: Not a directory", line)

    async def test_corrupt(self) -> None:
        """The database is none."""
        self.state.mkdir()
        (self.state / service.DATABASE).write_bytes(b"this is no database, whatever it says" * 200)
        self.assertIn(service.DATABASE, await self.refused())

    async def test_second(self) -> None:
        """Another daemon has the same state."""
        await Daemon.start(self, state=self.state)
        self.assertIn(service.DATABASE, await self.refused())


class LifeTests(TestCase):
    """Daemons that stop, are killed, and come back."""

    async def test_stopped_and_killed(self) -> None:
        """A registration outlives a stop and a kill; the token stays; a stop is clean."""
        daemon = await Daemon.start(self)
        device = Device(self, daemon.coap.removeprefix("coap://"))
        self.assertEqual((await device.register("d")).code, n.CREATED)
        for end in (signal.SIGTERM, signal.SIGKILL):
            daemon.process.signal(end)
            status = await daemon.process.wait()
            # Twisted ends as the signal would have ended it, once everything is stopped.
            self.assertEqual(status, -end, daemon.process.output())
            self.assertNotIn("did not stop", daemon.process.output())
            token = daemon.token
            daemon = await daemon.again()
            self.assertEqual(daemon.token, token)
            status, found = await daemon.api("GET", "/v1/devices/d")
            self.assertEqual((status, found["state"]), (200, "online"))
            again = Device(self, daemon.coap.removeprefix("coap://"))
            self.assertEqual((await again.ask(n.POST, device.location)).code, n.CHANGED)

    async def test_memory(self) -> None:
        """With storage in memory nothing is kept, and no database is made."""
        daemon = await Daemon.start(self, "storage.url=memory:")
        device = Device(self, daemon.coap.removeprefix("coap://"))
        await device.register("d")
        self.assertEqual([path.name for path in daemon.state.iterdir()], [service.TOKEN])
        await daemon.process.stop()
        daemon = await daemon.again()
        self.assertEqual((await daemon.api("GET", "/v1/devices/d"))[0], 404)

    async def test_plugins(self) -> None:
        """With a storage and a guard of plugins' it is killed and goes on; who is not let in is not."""
        place = ROOT / "examples"
        more = (f"plugins.path={place}", "plugins.enable=filelog,gatekeeper", "storage.url=filelog:log")
        daemon = await Daemon.start(self, *more)
        device = Device(self, daemon.coap.removeprefix("coap://"))
        self.assertEqual((await device.register("farm-1")).code, n.CREATED)
        self.assertEqual((await Device(self, daemon.coap.removeprefix("coap://")).register("x")).code, n.FORBIDDEN)
        await daemon.process.kill()
        again = await daemon.again()
        self.assertEqual((await device.ask(n.POST, device.location)).code, n.CHANGED)
        states = {each["name"]: each["state"] for each in (await again.api("GET", "/v1/status"))[1]["plugins"]}
        self.assertEqual(states, {"filelog": "running", "gatekeeper": "running"})

    async def test_strict(self) -> None:
        """A daemon that is to have no plugin fail ends with status 1 when one does not start."""
        file = directory(self) / "bad.py"
        file.write_text("import lwm2md\nAPI_VERSION = 1\n@lwm2md.hookimpl\ndef lwm2md_start(): 1 / 0\n")
        more = ("plugins.enable=bad", f"plugins.path={file.parent}", f"lwm2md.state={file.parent / 'state'}")
        base = ("coap.listen=127.0.0.1:0", "api.listen=127.0.0.1:0", "plugins.strict=yes", *more)
        options = [word for setting in base for word in ("--set", setting)]
        process = Process.start(self, [script("twistd"), "--pidfile=", "-n", "lwm2md", *options])
        self.assertEqual(await process.wait(), 1, process.output())
        self.assertIn("lwm2md can't start: [plugins] strict: bad: can't start: ZeroDivisionError", process.output())

    def test_stopped_while_starting(self) -> None:
        """A daemon that is told to end while it starts ends at once, with nothing to say about it."""
        code = (
            "from twisted.internet import reactor\n"
            "from lwm2md import service\n"
            "from lwm2md.config import load\n"
            "import sys\n"
            "sets = ['coap.listen=127.0.0.1:0', 'api.listen=127.0.0.1:0', f'lwm2md.state={sys.argv[1]}']\n"
            "daemon = service.make(load(None, sets), reactor)\n"
            "daemon.privilegedStartService()\n"
            "daemon.startService()\n"
            "reactor.addSystemEventTrigger('before', 'shutdown', daemon.stopService)\n"
            "reactor.callLater(0, reactor.stop)\n"
            "reactor.run()\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, str(directory(self) / "state")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))
