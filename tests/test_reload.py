"""Reloading as an operator does it: a real daemon, its files, SIGHUP, and a fleet that goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests import web
from tests.daemons import Daemon, start_devices
from tests.lwm2m.descriptions import described, file, item
from tests.processes import directory, reactor
from tests.test_node import Device

FLEET = 200
SIGNALS = 50


class ReloadTests(TestCase):
    """SIGHUP and ``POST /v1/reload``."""

    timeout = 120

    def setUp(self) -> None:
        """A place for the INI file."""
        self.file = directory(self) / "lwm2md.ini"

    def write(self, text: str) -> Path:
        """Replace the INI file at once."""
        new = self.file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.file)
        return self.file

    async def test_signal(self) -> None:
        """What changed holds at once; what needs a restart is named; a second signal has nothing to tell but that."""
        daemon = await Daemon.start(self, config=self.write("[api]\nmetrics-open = no\n"))
        device = Device(self, daemon.coap.removeprefix("coap://"))
        self.assertEqual((await web.exchange("GET", f"{daemon.url}/metrics"))[0], 401)
        self.write(
            "[api]\nmetrics-open = yes\n[registration]\ndefault-lifetime = 77s\n"
            "[storage]\nurl = memory:\n[logging]\nlevels = lwm2md.x=debug\n[coap]\nack-timeout = 3s\n"
        )
        mark = daemon.process.mark()
        daemon.process.signal(signal.SIGHUP)
        changed = await daemon.process.await_line(r"reloaded, changed: (.*)", since=mark)
        self.assertEqual(
            changed[1], "[coap] ack-timeout, [registration] default-lifetime, [api] metrics-open, [logging] levels"
        )
        await daemon.process.await_line(r"warn lwm2md: not before a restart: \[storage\] url$", since=mark)
        self.assertEqual((await web.exchange("GET", f"{daemon.url}/metrics"))[0], 200)
        answer = await device.ask(n.POST, ("rd",), ("ep=d", "lwm2m=1.1"), b"</1/0>,</3/0>")
        self.assertEqual(answer.code, n.CREATED)
        self.assertEqual((await daemon.api("GET", "/v1/devices/d"))[1]["lifetime"], 77)
        status, told = await daemon.api("POST", "/v1/reload")
        self.assertEqual((status, told), (200, {"changed": [], "restart": ["[storage] url"]}))

    async def test_blocked(self) -> None:
        """Who is on the block list after a reload is registered no longer, and refused from then on."""
        daemon = await Daemon.start(self, config=self.write(""))
        stream = await daemon.events("types=device.deregistered")
        blocked, other = (Device(self, daemon.coap.removeprefix("coap://")) for _ in range(2))
        await blocked.register("pump-1")
        await other.register("pump-2")
        self.write("[security]\nblock = pump-1\n")
        daemon.process.signal(signal.SIGHUP)
        event = (await stream.next("device.deregistered")).data
        self.assertEqual((event["endpoint"], event["reason"]), ("pump-1", "blocked-endpoint"))
        self.assertEqual((await blocked.ask(n.POST, blocked.location)).code, n.NOT_FOUND)
        answer = await blocked.register("pump-1")
        self.assertEqual((answer.code, answer.payload), (n.FORBIDDEN, b"blocked-endpoint"))
        self.assertEqual((await other.ask(n.POST, other.location)).code, n.CHANGED)
        _, found = await daemon.api("GET", "/v1/devices/pump-1")
        self.assertEqual((found["state"], found["state_reason"]), ("offline", "blocked-endpoint"))

    async def test_log_level(self) -> None:
        """The log follows its level."""
        daemon = await Daemon.start(self, config=self.write(""))
        self.write("[logging]\nlevel = error\n")
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], ["[logging] level"])
        mark = daemon.process.mark()
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], [])
        self.write("")
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], ["[logging] level"])
        await daemon.process.await_line(r"reloaded, changed: \[logging\] level", since=mark)
        self.assertEqual(len(daemon.process.lines[mark:]), 1)

    async def test_models(self) -> None:
        """Object models in the directory that the configuration names are taken together with it, or not at all."""
        place = self.file.parent / "models"
        place.mkdir()
        (place / "door.xml").write_bytes(file())
        daemon = await Daemon.start(self, config=self.write("[lwm2md]\nmodels = models\n"))
        door = "/v1/models/32770/1.2"
        self.assertEqual((await daemon.api("GET", door))[1]["source"], "directory")
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], [])
        (place / "door.xml").write_bytes(file(described(Name="Gate")))
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], ["[lwm2md] models"])
        self.assertEqual((await daemon.api("GET", door))[1]["name"], "Gate")
        (place / "door.xml").write_bytes(file(described(Name="Wall")))
        (place / "wrong.xml").write_bytes(file(described(item(Type="Text"))))
        mark = daemon.process.mark()
        daemon.process.signal(signal.SIGHUP)
        await daemon.process.await_line(
            r"not reloaded: .*wrong\.xml, line 4: Object 32770/Item 0/Type: one of", since=mark
        )
        status, problem = await daemon.api("POST", "/v1/reload")
        self.assertEqual((status, problem["code"]), (422, "bad-configuration"))
        self.assertEqual((await daemon.api("GET", door))[1]["name"], "Gate")
        self.write("")
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], ["[lwm2md] models"])
        self.assertEqual((await daemon.api("GET", door))[0], 404)

    async def test_faults(self) -> None:
        """With a fault in it nothing of it is taken; every fault is logged, and told to who asked."""
        daemon = await Daemon.start(self, config=self.write(""))
        self.write("[api]\nmetrics-open = yes\n[queue]\nlimit = many\nttll = 1h\n[coop]\nlisten = x\n")
        mark = daemon.process.mark()
        daemon.process.signal(signal.SIGHUP)
        for part in ("limit = 'many'", "did you mean 'ttl'", r"\[coop\]"):
            await daemon.process.await_line(f"error lwm2md: not reloaded: .*{part}", since=mark)
        status, problem = await daemon.api("POST", "/v1/reload")
        self.assertEqual((status, problem["code"]), (422, "bad-configuration"))
        self.assertEqual([each["field"] for each in problem["errors"]], ["[queue] limit", "[queue] ttll", "[coop]"])
        self.assertEqual((await web.exchange("GET", f"{daemon.url}/metrics"))[0], 401)
        self.file.unlink()
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[0], 422)
        self.write("[api]\nmetrics-open = yes\n")
        self.assertEqual((await daemon.api("POST", "/v1/reload"))[1]["changed"], ["[api] metrics-open"])

    async def test_under_load(self) -> None:
        """Fifty signals while a fleet registers and updates: nothing is lost, nobody has to come back."""
        daemon = await Daemon.start(self, config=self.write("[queue]\nlimit = 1\n"))
        events = await daemon.events("types=device.registered,device.deregistered,device.expired")
        devices = start_devices(self, daemon.coap, "--fleet", str(FLEET), "--stagger", "2", "--lifetime", "4")
        busy = Device(self, daemon.coap.removeprefix("coap://"))
        await busy.register("busy")
        for number in range(2, SIGNALS + 2):
            self.write(f"[queue]\nlimit = {number}\n[registration]\ndefault-lifetime = {number + 1000}s\n")
            daemon.process.signal(signal.SIGHUP)
            for _ in range(10):
                self.assertEqual((await busy.ask(n.POST, busy.location)).code, n.CHANGED)
            await deferLater(reactor, 0.02)  # the fleet is another process: no clock that could be advanced
        await daemon.process.await_line(r"reloaded, changed: .*default-lifetime")
        for number in range(1, FLEET + 1):
            await devices.await_line(f"sensor-{number:06d} registered")
        status, told = await daemon.api("POST", "/v1/reload")
        self.assertEqual((status, told["restart"]), (200, []))
        late = Device(self, daemon.coap.removeprefix("coap://"))
        await late.ask(n.POST, ("rd",), ("ep=late", "lwm2m=1.1"), b"</1/0>")
        self.assertEqual((await daemon.api("GET", "/v1/devices/late"))[1]["lifetime"], SIGNALS + 1001)
        page = (await daemon.api("GET", "/v1/devices?limit=1000"))[1]
        self.assertEqual({each["state"] for each in page["items"]}, {"online"})
        self.assertEqual(len(page["items"]), FLEET + 2)
        await events.next("device.registered", endpoint="late")
        self.assertEqual([each.type for each in events.events], ["device.registered"] * (FLEET + 2))
        self.assertNotIn("Traceback", daemon.process.output())
        self.assertNotIn("failed", daemon.process.output())
