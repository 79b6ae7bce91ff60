"""What the tests of the whole way share: a broker, a daemon whose plugin is connected to it, and a caller."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from tests.daemons import Daemon
from tests.peers.mosquitto import Listener, Mosquitto

CONNECTED = r"lwm2md.plugin.mqtt: connected to the broker"


@attrs.define
class Bridge:
    """A daemon and the broker that it is connected to; ``listener`` hears everything."""

    broker: Mosquitto
    daemon: Daemon
    listener: Listener

    @classmethod
    async def start(cls, case: TestCase, *settings: str, broker: Mosquitto | None = None, **how: Any) -> Bridge:
        """Start all three; ``settings`` are of ``[plugin:mqtt]``, ``how`` is for the daemon."""
        broker = broker or await Mosquitto.start(case)
        listener = await broker.listen("#")
        daemon = await start_daemon(case, broker, *settings, **how)
        return cls(broker, daemon, listener)

    async def ask(
        self, endpoint: str, method: str, path: str = "", body: dict[str, Any] | None = None, project: str = "lwm2m"
    ) -> dict[str, Any]:
        """Publish a request and return the first answer to it, which has the id of the request."""
        since = self.listener.mark()
        topic = f"{endpoint}/{method}{path}"
        identity = {"number": since, "list": [1.5, None, "ö"]}
        payload = json.dumps({"id": identity, **(body or {})}, ensure_ascii=False)
        await self.broker.publish(f"{project}/requests/{topic}", payload)
        found: dict[str, Any] = await self.listener.message(rf"^{project}/responses/{topic} ", since=since)
        assert found.pop("id") == identity, found
        return found


async def start_daemon(case: TestCase, broker: Mosquitto, *settings: str, connected: bool = True, **how: Any) -> Daemon:
    """Start a daemon with the plugin, and wait until it is ``connected``.

    ``settings`` are of ``[plugin:mqtt]``, those that begin with a bracket of any section.
    """
    own = ["plugins.enable=mqtt", f"plugin:mqtt.url={broker.url}", "plugin:mqtt.shortest-pause=100ms"]
    own += [each if each.startswith("[") else f"plugin:mqtt.{each}" for each in settings]
    daemon = await Daemon.start(case, *(each.removeprefix("[") for each in own), **how)
    if connected:
        await daemon.process.await_line(CONNECTED)
    return daemon
