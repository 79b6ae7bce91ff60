"""Requests to a device that sleeps: queued now, answered when it wakes, also by the next process."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import TestCase

from tests.daemons import start_devices
from tests.mqtt.bridges import CONNECTED, Bridge
from tests.processes import Process, directory, free_port

WORLD = """
[device]
endpoint = "sleeper"
queue = true

[behaviour]
sleep = { awake = 2, asleep = 6, keep-port = true }
"""
SETTINGS = ("[queue.awake=1s", "wait=200ms")


class SleeperTests(TestCase):
    """A device that is asleep most of the time."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.bridge = await Bridge.start(self, *SETTINGS, coap=f"127.0.0.1:{free_port()}")
        world = directory(self) / "world.toml"
        world.write_text(WORLD, encoding="utf-8")
        self.device = start_devices(self, self.bridge.daemon.coap, "--world", str(world))

    async def asleep(self, device: Process, since: int = 0) -> None:
        """Wait until the device sleeps."""
        await device.await_line("asleep", since=since)

    async def ended(self, topic: str, since: int) -> dict[str, Any]:
        """The answer that tells the end."""
        line = await self.bridge.listener.process.await_line(rf'^lwm2m/responses/{topic} .*"state":"done"', since=since)
        found: dict[str, Any] = json.loads(line.string.partition(" ")[2])
        return found

    async def test_queued_and_done(self) -> None:
        """It is told at once that the request waits, and in the end what came of it, both with its id."""
        await self.asleep(self.device)
        since = self.bridge.listener.mark()
        queued = await self.bridge.ask("sleeper", "PUT", "/3/0/14", {"payload": "+03"})
        self.assertEqual((queued["state"], queued["code"]), ("queued", None))
        _, document = await self.bridge.daemon.api("GET", f"/v1/operations/{queued['operation']}")
        self.assertEqual(document["state"], "queued")
        found = await self.ended("sleeper/PUT/3/0/14", since)
        self.assertEqual((found["operation"], found["code"]), (queued["operation"], "2.04"))
        self.assertIn("list", found["id"])

    async def test_the_next_process_answers(self) -> None:
        """What a daemon has told that it is queued, the one after a kill answers, once."""
        await self.asleep(self.device)
        since = self.bridge.listener.mark()
        queued = await self.bridge.ask("sleeper", "GET", "/3/0/0")
        self.assertEqual(queued["state"], "queued")
        await self.bridge.daemon.process.kill()
        daemon = await self.bridge.daemon.again()
        await daemon.process.await_line(CONNECTED)
        found = await self.ended("sleeper/GET/3/0/0", since)
        self.assertEqual(found["operation"], queued["operation"])
        self.assertEqual([row["path"] for row in found["values"]], ["/3/0/0"])
        await daemon.process.stop()
        after = self.bridge.listener.mark()
        daemon = await daemon.again()
        await daemon.process.await_line(CONNECTED)
        await self.bridge.listener.process.await_line("/online online", since=after)
        answers = [topic for topic, _ in self.bridge.listener.messages() if topic.startswith("lwm2m/responses/")]
        self.assertEqual(len(answers), 2, "one queued, one done, and none again")

    async def test_expired(self) -> None:
        """A request whose time is over before the device wakes is answered, too."""
        await self.asleep(self.device)
        since = self.bridge.listener.mark()
        await self.bridge.ask("sleeper", "GET", "/3/0/0", {"ttl": 1, "wait": 0})
        line = await self.bridge.listener.process.await_line(r'"state":"expired"', since=since)
        found = json.loads(line.string.partition(" ")[2])
        self.assertEqual((found["code"], found["reason"]), ("5.04", "expired"))
