"""The plugin stopped, started and given other settings while the daemon runs."""

from __future__ import annotations

import os
import signal

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.mqtt.bridges import CONNECTED
from tests.peers.mosquitto import Mosquitto
from tests.processes import directory

CONFIGURATION = """
[plugins]
enable = mqtt

[plugin:mqtt]
url = {url}
project = {project}
shortest-pause = 100ms
"""


class ManagingTests(TestCase):
    """A daemon with an INI file, as an operator has it."""

    timeout = 60

    async def test_disable_and_enable(self) -> None:
        """What happened while it was disabled is published when it is enabled again, by the settings of then."""
        broker = await Mosquitto.start(self)
        listener = await broker.listen("#")
        file = directory(self) / "lwm2md.ini"
        file.write_text(CONFIGURATION.format(url=broker.url, project="before"), encoding="utf-8")
        daemon = await Daemon.start(self, config=file)
        await daemon.process.await_line(CONNECTED)
        await listener.process.await_line("^before/nodes/lwm2md/online online")
        start_devices(self, daemon.coap, "--endpoint", "first")
        await listener.message("^before/first/registered ")

        status, _ = await daemon.api("POST", "/v1/plugins/mqtt/disable")
        self.assertEqual(status, 200)
        await listener.process.await_line("^before/nodes/lwm2md/online offline")
        device = start_devices(self, daemon.coap, "--endpoint", "e")
        await device.await_line("registered at")
        since = daemon.process.mark()
        status, _ = await daemon.api("POST", "/v1/plugins/mqtt/enable")
        self.assertEqual(status, 200)
        await daemon.process.await_line(CONNECTED, since=since)
        await listener.message("^before/e/registered ")

        since = daemon.process.mark()
        file.write_text(CONFIGURATION.format(url=broker.url, project="after"), encoding="utf-8")
        os.kill(daemon.process.pid, signal.SIGHUP)
        await daemon.process.await_line(CONNECTED, since=since)
        await listener.process.await_line("^after/nodes/lwm2md/online online")
        await device.stop()
        await listener.message("^after/e/deregistered ")
        registered = [topic for topic, _ in listener.messages() if topic.endswith("/registered")]
        self.assertEqual(registered, ["before/first/registered", "before/e/registered"])

    async def test_wrong_settings(self) -> None:
        """A key that is wrong is told with what is expected; what does not fit together fails when it starts."""
        broker = await Mosquitto.start(self)
        for line, words in (("url = mqtt", "mqtt://HOST"), ("ca = /none.pem", "ca, certificate and key are for mqtts")):
            file = directory(self) / "lwm2md.ini"
            text = CONFIGURATION.format(url=broker.url, project="p").replace("shortest-pause = 100ms", "")
            text = text.replace(f"url = {broker.url}", line) if line.startswith("url") else text + line + "\n"
            file.write_text(text, encoding="utf-8")
            daemon = await Daemon.start(self, config=file)
            await daemon.process.await_line(words)
            _, plugin = await daemon.api("GET", "/v1/plugins/mqtt")
            self.assertEqual(plugin["state"], "failed")
            self.assertIn(words, plugin["failure"])
