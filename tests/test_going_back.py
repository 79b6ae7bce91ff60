"""Going back to a backup as an operator does it: a real daemon with devices over DTLS, and one with plugins."""

from __future__ import annotations

import re
import socket
from typing import Any

from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from lwm2md.coap import numbers as n
from tests import web
from tests.daemons import Daemon, start_devices
from tests.mqtt.bridges import CONNECTED, Bridge
from tests.processes import ROOT, Process, directory, free_port, reactor
from tests.test_node import Device

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
VALUE = "/3303/0/5700"
_TURNS = 400
_PLUGINS = ("mqtt", "gatekeeper")
GONE = (ConnectError, ConnectionClosed, ResponseFailed, ResponseNeverReceived)


class GoingBackTests(TestCase):
    """A daemon that is given a backup while it runs."""

    timeout = 60
    daemon: Daemon

    async def start(self, *settings: str) -> None:
        """Start it at ports that it finds again."""
        self.daemon = await Daemon.start(self, *settings, coap=_free(), api=_free(socket.SOCK_STREAM))

    async def registered(self, endpoint: str) -> None:
        """Wait until a device is."""
        while (await self.daemon.api("GET", f"/v1/devices/{endpoint}"))[1].get("registration_id") is None:
            await deferLater(reactor, 0.05)

    async def backup(self) -> bytes:
        """Make one."""
        headers = {"Authorization": f"Bearer {self.daemon.token}"}
        status, _, data = await web.exchange("POST", f"{self.daemon.url}/v1/backup", headers=headers)
        self.assertEqual(status, 200)
        return data

    async def restore(self, data: bytes) -> None:
        """Go back, and wait until the daemon serves again."""
        status, told = await self.daemon.api("POST", "/v1/restore", data=data)
        self.assertEqual(status, 202, told)
        for _ in range(_TURNS):
            if told is not None and told["state"] not in ("checking", "restoring"):
                break
            await deferLater(reactor, 0.05)
            try:
                status, told = await self.daemon.api("GET", "/v1/restore")
            except GONE:
                told = None
        self.assertEqual(told and (told["state"], told["error"]), ("done", None), self.daemon.process.output())

    async def metric(self, name: str) -> float:
        """What a counter has."""
        headers = {"Authorization": f"Bearer {self.daemon.token}"}
        _, _, text = await web.exchange("GET", f"{self.daemon.url}/metrics", headers=headers)
        found = re.search(rf"^lwm2md_{name} (\S+)$", text.decode(), re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    async def read(self, endpoint: str) -> Any:
        """Ask a device for its manufacturer."""
        status, document = await self.daemon.api("GET", f"/v1/devices/{endpoint}/resources/3/0/0")
        self.assertEqual(status, 200, document)
        return document

    def device(self, endpoint: str, *words: str) -> Process:
        """Start a device with a key."""
        path = directory(self) / "keys.csv"
        path.write_text(f"{endpoint},{KEY}\n", "ascii")
        how = ("--psk-file", str(path), "--lifetime", "30", *words)
        return start_devices(self, self.daemon.coaps, "--endpoint", endpoint, *how)

    async def test_sessions(self) -> None:
        """Sessions of DTLS go on, also those of devices that register anew; nobody shakes hands again."""
        keys = directory(self) / "fleet.csv"
        modes = {"d-none": "none", "d-server": "server", "d-both": "both"}
        keys.write_text("".join(f"{name},{KEY},{name}\n" for name in (*modes, "d-late")), "ascii")
        await self.start(f"coaps.listen={_free()}", f"security.psk={keys}")
        devices = {name: self.device(name, "--connection-id", mode) for name, mode in modes.items()}
        for name in modes:
            await self.registered(name)
        data = await self.backup()
        late = self.device("d-late")
        await self.registered("d-late")
        for _ in range(2):
            marks = {name: process.mark() for name, process in devices.items()}
            await self.restore(data)
            for name in modes:
                await self.read(name)
            self.assertEqual(await self.metric("dtls_handshakes_begun_total"), 0)
            self.assertEqual(await self.metric("dtls_sessions"), 4)
            for name, process in devices.items():
                self.assertEqual([line for line in process.lines[marks[name] :] if "session" in line], [])
        self.assertEqual((await self.daemon.api("GET", "/v1/devices/d-late"))[0], 404)
        await self.registered("d-late")
        await self.read("d-late")
        self.assertEqual(await self.metric("dtls_handshakes_begun_total"), 0)
        self.assertEqual(len([line for line in late.lines if "session with" in line]), 1)
        await self.daemon.process.stop()

    async def test_plugins(self) -> None:
        """Plugins that ran run again: who has a say in who may register has it, and the broker is told what happens."""
        plugins = ("[plugins.enable=mqtt,gatekeeper", f"[plugins.path={ROOT / 'examples'}")
        bridge = await Bridge.start(self, *plugins, coap=_free(), api=_free(socket.SOCK_STREAM))
        self.daemon = bridge.daemon
        device = Device(self, self.daemon.coap.removeprefix("coap://"))
        self.assertEqual((await device.register("farm-1")).code, n.CREATED)
        data = await self.backup()
        mark = self.daemon.process.mark()
        await self.restore(data)
        await self.daemon.process.await_line(CONNECTED, since=mark)
        self.assertEqual((await device.register("other")).code, n.FORBIDDEN)
        since = bridge.listener.mark()
        self.assertEqual((await device.register("farm-2")).code, n.CREATED)
        told = await bridge.listener.message(r"^lwm2m/farm-2/registered ", since=since)
        self.assertEqual(told["endpoint"], "farm-2")
        _, document = await self.daemon.api("GET", "/v1/devices/farm-2")
        self.assertEqual(document["labels"], {"gate": "passed"})
        answer = await bridge.ask("nobody", "GET", VALUE)
        self.assertEqual(answer["reason"], "unknown-device")
        _, found = await self.daemon.api("GET", "/v1/plugins")
        self.assertEqual({each["name"]: each["state"] for each in found["items"]}, dict.fromkeys(_PLUGINS, "running"))
        self.assertNotIn("Traceback", self.daemon.process.output())


def _free(kind: socket.SocketKind = socket.SOCK_DGRAM) -> str:
    return f"127.0.0.1:{free_port(kind)}"
