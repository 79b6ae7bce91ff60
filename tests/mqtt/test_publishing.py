"""What is published how: names, bare and retained values, several daemons, and who may ask for what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests import web
from tests.daemons import Daemon, start_devices
from tests.mqtt.bridges import CONNECTED, Bridge, start_daemon
from tests.peers.mosquitto import Mosquitto
from tests.processes import directory

NAME = "größe/1+#%"
LEVEL = "größe%2F1%2B%23%25"
GUARD = '''
"""Lets nobody execute anything."""

import lwm2md
from lwm2md.plugins import deny

API_VERSION = 1


@lwm2md.hookimpl
def lwm2md_authorize_operation(operation):
    return deny(f"{operation.principal} may not") if operation.op == "execute" else None
'''


class PublishingTests(TestCase):
    """A daemon, a broker and a device."""

    timeout = 60

    async def device(self, daemon: Daemon, name: str = NAME) -> None:
        """Start a device and wait until it is registered."""
        device = start_devices(self, daemon.coap, "--endpoint", name)
        await device.await_line("registered at")

    async def test_names(self) -> None:
        """A device whose name means something in topics has topics of its own, both ways, with any project."""
        bridge = await Bridge.start(self, "project=site/7")
        await self.device(bridge.daemon)
        registered = await bridge.listener.message(f"^site/7/{LEVEL}/registered ")
        self.assertEqual((registered["endpoint"], registered["type"]), (NAME, "device.registered"))
        answer = await bridge.ask(LEVEL, "GET", "/3/0/0", project="site/7")
        self.assertEqual(answer["code"], "2.05")
        value = await bridge.listener.message(f"^site/7/{LEVEL}/sensor/3/0/0 ")
        self.assertEqual(value["value"], answer["values"][0]["value"])

    async def test_live(self) -> None:
        """An Update that changes nothing is published where that is asked for."""
        broker = await Mosquitto.start(self)
        listener = await broker.listen("#")
        for live in ("no", "yes"):
            daemon = await start_daemon(self, broker, f"live={live}", f"client-id={live}", f"project={live}")
            device = start_devices(self, daemon.coap, "--endpoint", "e", "--lifetime", "60")
            await device.await_line("registered at")
            status, document = await daemon.api("POST", "/v1/devices/e/resources/1/0/8", body={})
            self.assertEqual(status, 200, document)
            await device.await_line("Update → 2.04")
            await device.stop()
            await listener.message(f"^{live}/e/deregistered ")
        updated = [topic for topic, _ in listener.messages() if topic.endswith("/updated")]
        self.assertEqual(updated, ["yes/e/updated"])

    async def test_bare_and_retained(self) -> None:
        """Bare values are bytes that anybody can read, and the last one is there for who comes later."""
        bridge = await Bridge.start(self, "payload=plain", "retain=yes")
        await self.device(bridge.daemon, "e")
        await bridge.ask("e", "PUT", "/3/0/14", {"payload": "+07"})
        await bridge.ask("e", "GET", "/3/0/14")
        late = await bridge.broker.listen("lwm2m/e/sensor/#")
        line = await late.process.await_line("^lwm2m/e/sensor/3/0/14 ")
        self.assertEqual(line.string, "lwm2m/e/sensor/3/0/14 +07")

    async def test_several_daemons(self) -> None:
        """Two daemons with the same topics answer for their own devices only."""
        bridge = await Bridge.start(self, "endpoints=north-*", "[lwm2md.name=north")
        south = await start_daemon(self, bridge.broker, "endpoints=south-*", "[lwm2md.name=south")
        await self.device(bridge.daemon, "north-1")
        await self.device(south, "south-1")
        await self.device(south, "north-1")
        for name in ("north-1", "south-1"):
            answer = await bridge.ask(name, "GET", "/3/0/0")
            self.assertEqual(answer["code"], "2.05")
        topics = [topic for topic, _ in bridge.listener.messages()]
        self.assertEqual(topics.count("lwm2m/north-1/registered"), 1)
        self.assertEqual(topics.count("lwm2m/responses/north-1/GET/3/0/0"), 1)

    async def test_shared(self) -> None:
        """Of a group that shares the requests one answers each."""
        bridge = await Bridge.start(self, "share=twins", "[lwm2md.name=one")
        await start_daemon(self, bridge.broker, "share=twins", "[lwm2md.name=two")
        for number in range(6):
            answer = await bridge.ask(f"nobody-{number}", "GET", "/3")
            self.assertEqual(answer["reason"], "unknown-device")
        answers = [topic for topic, _ in bridge.listener.messages() if topic.startswith("lwm2m/responses/")]
        self.assertEqual(len(answers), 6)

    async def test_session(self) -> None:
        """With a session requests that come while the daemon is away wait for it at the broker; without, they don't."""
        for session, protocol in (("1h", "5"), ("1h", "3.1.1"), ("0s", "5")):
            bridge = await Bridge.start(self, f"session={session}", f"protocol={protocol}")
            await bridge.daemon.process.stop()
            await bridge.broker.publish("lwm2m/requests/nobody/GET/3", '{"id": "while away"}')
            since = bridge.listener.mark()
            daemon = await bridge.daemon.again()
            await daemon.process.await_line(CONNECTED)
            await bridge.listener.process.await_line("/online online", since=since)
            answer = await Bridge(bridge.broker, daemon, bridge.listener).ask("somebody", "GET", "/3")
            self.assertEqual(answer["reason"], "unknown-device")
            waited = [payload for _, payload in bridge.listener.messages() if '"id":"while away"' in payload]
            self.assertEqual(len(waited), session != "0s", (session, protocol))

    async def test_without_requests(self) -> None:
        """A daemon that takes no requests does not hear them."""
        broker = await Mosquitto.start(self)
        await start_daemon(self, broker, "requests=no")
        self.assertNotIn("lwm2m/requests/#", broker.process.output())

    async def test_principal(self) -> None:
        """A plugin that authorizes operations is asked for ``plugin:mqtt``, and its no is the answer."""
        place = directory(self)
        Path(place, "guard.py").write_text(GUARD, encoding="utf-8")
        broker = await Mosquitto.start(self)
        listener = await broker.listen("#")
        own = (f"[plugins.path={place}", "[plugins.enable=guard, mqtt")
        bridge = Bridge(broker, await start_daemon(self, broker, *own), listener)
        await self.device(bridge.daemon, "e")
        answer = await bridge.ask("e", "POST", "/3/0/4")
        self.assertEqual((answer["code"], answer["reason"]), ("4.03", "forbidden"))
        self.assertIn("plugin:mqtt may not", answer["error"])
        self.assertEqual((await bridge.ask("e", "GET", "/3/0/0"))["code"], "2.05")

    async def test_status_and_metrics(self) -> None:
        """Status and metrics show the plugin at work."""
        bridge = await Bridge.start(self)
        await bridge.ask("nobody", "GET", "/3")
        _, status = await bridge.daemon.api("GET", "/v1/status")
        (plugin,) = status["plugins"]
        self.assertEqual((plugin["name"], plugin["state"], plugin["health"]), ("mqtt", "running", None))
        found = await self.metrics(bridge.daemon)
        for name, value in (("connected", 1), ("requests_total", 1), ("requests_refused_total", 1), ("lost_total", 0)):
            self.assertEqual(found[f'lwm2md_plugin_mqtt_{name}{{plugin="mqtt"}}'], value, name)
        self.assertGreater(found['lwm2md_plugin_mqtt_published_total{plugin="mqtt"}'], 0)

    async def metrics(self, daemon: Daemon) -> dict[str, Any]:
        """The samples of ``/metrics``."""
        _, _, body = await web.exchange(
            "GET", f"{daemon.url}/metrics", headers={"Authorization": f"Bearer {daemon.token}"}
        )
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
