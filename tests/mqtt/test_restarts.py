"""Broker and daemon are stopped and killed under load: every value arrives, in order, and twice only after a kill."""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.daemons import start_devices
from tests.mqtt.bridges import CONNECTED, start_daemon
from tests.peers.mosquitto import Mosquitto
from tests.processes import Process, free_port, reactor

FLEET = 16
PATH = "/3303/0/5700"
Value = tuple[str, Any]
Series = dict[str, list[Value]]


def once(values: Iterable[Value]) -> list[Value]:
    """The values in order, each where it came first."""
    return list(dict.fromkeys(values))


class RestartTests(TestCase):
    """A fleet whose values are observed; what the daemon stored is what has to arrive."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.broker = await Mosquitto.start(self)
        self.listener = await self.broker.count("counter", "lwm2m/+/sensor/#")
        self.daemon = await start_daemon(self, self.broker, "keepalive=2s", coap=f"127.0.0.1:{free_port()}")
        self.fleet = await self._fleet()

    async def _fleet(self) -> Process:
        fleet = start_devices(self, self.daemon.coap, "--fleet", str(FLEET), "--interval", "0.1", "--stagger", "0.1")
        for number in range(1, FLEET + 1):
            await fleet.await_line(rf"sensor-{number:06d} registered")
            where = f"/v1/devices/sensor-{number:06d}/observations{PATH}"
            status, document = await self.daemon.api("PUT", where, body={})
            self.assertIn(status, (200, 201), document)
        return fleet

    async def load(self, seconds: float) -> None:
        """Let the fleet send values for a while."""
        await deferLater(reactor, seconds)

    async def stored(self) -> Series:
        """Every value that the daemon stored, by device."""
        stream = await self.daemon.events("types=device.value,device.deregistered", Last_Event_ID="0" * 16)
        found: Series = defaultdict(list)
        left = FLEET
        while left:
            event = await stream.next()
            if event.type == "device.deregistered":
                left -= 1
                continue
            for row in event.data.get("values", ()):  # a gap has none
                found[event.data["endpoint"]].append((row["time"], row["value"]))
        return found

    def arrived(self) -> Series:
        """Every value that has arrived at the subscriber, by device."""
        found: Series = defaultdict(list)
        for topic, payload in self.listener.messages():
            document = json.loads(payload)
            _, endpoint, _, *path = topic.split("/")
            self.assertEqual("/" + "/".join(path), PATH)
            found[endpoint].append((document["time"], document["value"]))
        return found

    async def finished(self) -> tuple[Series, Series]:
        """End the load; what was stored, and what has arrived when the last of it has."""
        since = self.listener.mark()
        await self.fleet.stop()
        stored = await self.stored()
        for endpoint, values in stored.items():
            time, _ = values[-1]
            await self.listener.process.await_line(f"^lwm2m/{endpoint}/.*{time}", since=max(0, since - 2000))
        return stored, self.arrived()

    async def test_kills(self) -> None:
        """Both are killed again and again: nothing that was stored is missing, and the order stays."""
        for _ in range(2):
            await self.load(0.5)
            await self.broker.process.kill()
            await self.load(0.3)
            since = self.daemon.process.mark()
            self.broker = await self.broker.again()
            await self.daemon.process.await_line(CONNECTED, since=since)
            await self.load(0.3)
            await self.daemon.process.kill()
            self.daemon = await self.daemon.again()
            await self.daemon.process.await_line(CONNECTED)
        await self.load(0.5)
        stored, arrived = await self.finished()
        self.assertEqual(len(stored), FLEET)
        self.assertGreater(sum(map(len, stored.values())), 100)
        for endpoint, values in stored.items():
            self.assertEqual(once(arrived[endpoint]), once(values), endpoint)

    async def test_stops(self) -> None:
        """Stopped and started as an operator does it, the daemon publishes everything exactly once."""
        for _ in range(2):
            await self.load(0.3)
            await self.daemon.process.stop()
            self.daemon = await self.daemon.again()
            await self.daemon.process.await_line(CONNECTED)
        await self.load(0.3)
        stored, arrived = await self.finished()
        for endpoint, values in stored.items():
            self.assertEqual(arrived[endpoint], values, endpoint)

    async def test_trimmed(self) -> None:
        """What the log had no room for while the broker was away is told as a gap, and the rest follows."""
        gaps = await self.broker.count("gaps", "lwm2m/nodes/+/gap")
        await self.load(0.2)
        await self.broker.process.stop()
        await self.daemon.process.stop()
        self.daemon.settings += ("storage.events=100",)
        self.daemon = await self.daemon.again()
        await self.load(2.0)
        await self.daemon.process.stop()
        self.daemon = await self.daemon.again()
        self.broker = await self.broker.again()
        await self.daemon.process.await_line("events are missing")
        await gaps.message("^lwm2m/nodes/lwm2md/gap ")
        stored, arrived = await self.finished()
        for endpoint, values in stored.items():
            self.assertEqual(arrived[endpoint][-len(values) :], values, endpoint)

    async def test_frozen_broker(self) -> None:
        """A broker that holds the connection and says nothing is left, and caught up with when it goes on."""
        since = self.daemon.process.mark()
        self.broker.process.signal(signal.SIGSTOP)
        await self.daemon.process.await_line(r"lwm2md.plugin.mqtt: ", since=since)
        self.broker.process.signal(signal.SIGCONT)
        await self.daemon.process.await_line(CONNECTED, since=since)
        await self.load(0.2)
        stored, arrived = await self.finished()
        for endpoint, values in stored.items():
            self.assertEqual(once(arrived[endpoint]), once(values), endpoint)

    async def test_lost_connections(self) -> None:
        """While the broker is stopped the daemon goes on, says so, and catches up when the broker is back."""
        await self.load(0.2)
        since = self.daemon.process.mark()
        await self.broker.process.stop()
        await self.daemon.process.await_line(r"lwm2md.plugin.mqtt: .*[Cc]onnect", since=since)
        _, status = await self.daemon.api("GET", "/v1/status")
        (plugin,) = status["plugins"]
        self.assertIn("onnect", plugin["health"])
        await self.load(0.5)
        self.broker = await self.broker.again()
        await self.daemon.process.await_line(CONNECTED, since=since)
        await self.load(0.2)
        stored, arrived = await self.finished()
        for endpoint, values in stored.items():
            self.assertEqual(once(arrived[endpoint]), once(values), endpoint)
