"""A device that others wrote, at a broker that others wrote: Eclipse Leshan's client through mosquitto."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from lwm2md_mqtt.requests import METHODS
from tests.mqtt.bridges import Bridge
from tests.peers.leshan_client import LeshanClient


class LeshanTests(TestCase):
    """Every method against Leshan's client engine."""

    timeout = 120

    async def test_every_method(self) -> None:
        """It does what it is asked and says so, and what it measures arrives at the broker."""
        bridge = await Bridge.start(self)
        client = LeshanClient.start(self, bridge.daemon.coap, "leshan-1", period=0.5)
        await client.registered()
        await bridge.listener.message("^lwm2m/leshan-1/registered ")
        asked: set[str] = set()

        async def ask(code: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            asked.add(method)
            answer = await bridge.ask("leshan-1", method, path, body)
            self.assertEqual((answer["code"], answer["state"] == "done"), (code, code.startswith("2.")), answer)
            return answer

        read = await ask("2.05", "GET", "/3/0/0")
        self.assertEqual([row["value"] for row in read["values"]], ["Example Works"])
        await ask("2.04", "PUT", "/3/0/14", {"payload": "+05"})
        await client.done(r"write /3/0/14 2\.04 replace \+05")
        await ask("2.04", "POST", "/3441/0/3", {"payload": "0='a',1"})
        await client.done(r"execute /3441/0/3 2\.04 0='a',1")
        await ask("2.04", "POST", "/3441/0", {"payload": {"110": "hej", "120": -7}})
        await ask("2.01", "POST", "/3441", {"instance": 7, "payload": {"110": "made", "120": 5}})
        links = (await ask("2.05", "DISCOVER", "/3441"))["links"]
        self.assertIn("/3441/7/110", [link["path"] for link in links])
        await ask("2.02", "DELETE", "/3441/7")
        await ask("2.04", "WRITE-ATTRIBUTES", "/3303/0/5700", {"payload": {"pmax": 60}})
        since = bridge.listener.mark()
        await ask("2.05", "OBSERVE", "/3303/0/5700")
        for _ in range(3):
            value = await bridge.listener.message("^lwm2m/leshan-1/sensor/3303/0/5700 ", since=since)
            self.assertIsInstance(value["value"], float)
            since = bridge.listener.mark()
        await ask("2.05", "CANCEL-OBSERVE", "/3303/0/5700")
        await ask("2.05", "GET", "", {"payload": ["/3/0/14", "/3/0/0"]})
        refused = await ask("4.05", "GET", "/3/0/4", {"force": True})
        self.assertEqual(refused["reason"], "device-error")
        self.assertEqual(asked, set(METHODS))
