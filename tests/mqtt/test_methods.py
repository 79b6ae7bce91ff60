"""Every method from the broker to a device and back: a real daemon, a real mosquitto, our own device."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from lwm2md_mqtt.requests import METHODS
from tests.daemons import start_devices
from tests.mqtt.bridges import Bridge

DEVICE = "urn:dev%2F1"


def values(answer: dict[str, Any]) -> dict[str, Any]:
    """The values of an answer by path."""
    return {row["path"]: row["value"] for row in answer["values"]}


class MethodTests(TestCase):
    """Requests to a device that is online."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.bridge = await Bridge.start(self)
        since = self.bridge.listener.mark()
        self.asked: set[str] = set()
        start_devices(self, self.bridge.daemon.coap, "--endpoint", "urn:dev/1", "--version", "1.2")
        await self.bridge.listener.message(rf"^lwm2m/{DEVICE}/registered ", since=since)

    async def ask(self, code: str, method: str, path: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask, and expect this code."""
        self.asked.add(method)
        answer = await self.bridge.ask(DEVICE, method, path, body)
        self.assertEqual(answer["code"], code, answer)
        self.assertEqual(answer["state"], "done" if code.startswith("2.") else "failed", answer)
        return answer

    async def test_every_method(self) -> None:
        """Each is carried out by the device, and answered with its code and what it said."""
        await self._reading()
        await self._writing()
        await self._instances()
        await self._observing()
        await self._several()
        self.assertEqual(self.asked, set(METHODS))

    async def _reading(self) -> None:
        self.assertEqual(list(values(await self.ask("2.05", "GET", "/3/0/0"))), ["/3/0/0"])
        self.assertIn("/3/0/9", values(await self.ask("2.05", "GET", "/3/0", {"format": "tlv"})))
        links = (await self.ask("2.05", "DISCOVER", "/3/0", {"depth": 1}))["links"]
        self.assertIn("/3/0/0", [link["path"] for link in links])

    async def _writing(self) -> None:
        await self.ask("2.04", "PUT", "/3/0/14", {"payload": "+05"})
        self.assertEqual(values(await self.ask("2.05", "GET", "/3/0/14")), {"/3/0/14": "+05"})
        await self.ask("2.04", "POST", "/1/0", {"payload": {"1": 120}})
        self.assertEqual(values(await self.ask("2.05", "GET", "/1/0/1")), {"/1/0/1": 120})
        await self.ask("2.04", "POST", "/3303/0/5605")
        await self.ask("2.04", "WRITE-ATTRIBUTES", "/3303/0/5700", {"payload": {"pmin": 1, "pmax": 60}})
        (link,) = (await self.ask("2.05", "DISCOVER", "/3303/0/5700"))["links"]
        self.assertEqual(link["attributes"], {"pmin": "1", "pmax": "60"})

    async def _instances(self) -> None:
        made = await self.ask("2.01", "POST", "/3303", {"instance": 7})
        self.assertEqual(made.get("location", "/3303/7"), "/3303/7")
        await self.ask("2.05", "GET", "/3303/7")
        await self.ask("2.02", "DELETE", "/3303/7")
        gone = await self.ask("4.04", "GET", "/3303/7", {"force": True})
        self.assertEqual(gone["reason"], "device-error")

    async def _observing(self) -> None:
        since = self.bridge.listener.mark()
        await self.ask("2.05", "OBSERVE", "/3/0/14")
        await self.bridge.daemon.api("PUT", "/v1/devices/urn:dev%2F1/resources/3/0/14", body={"value": "-03"})
        sensor = rf"^lwm2m/{DEVICE}/sensor/3/0/14 .*-03"
        found = await self.bridge.listener.message(sensor, since=since)
        self.assertEqual((found["value"], found["unit"]), ("-03", None))
        await self.ask("2.05", "CANCEL-OBSERVE", "/3/0/14")

    async def _several(self) -> None:
        paths = {"payload": ["/3/0/14", "/3/0/0"]}
        self.assertEqual(set(values(await self.ask("2.05", "GET", "", paths))), {"/3/0/14", "/3/0/0"})
        await self.ask("2.04", "PUT", "", {"payload": {"/3/0/14": "+01", "/1/0/1": 60}})
        self.assertEqual(values(await self.ask("2.05", "GET", "/1/0/1")), {"/1/0/1": 60})
        await self.ask("2.05", "OBSERVE", "", paths)
        await self.ask("2.05", "CANCEL-OBSERVE", "", paths)

    async def test_refused(self) -> None:
        """What is not asked of the device is answered too, with code, word and sentence."""
        for method, path, body, code, reason in (
            ("PATCH", "/3", {}, "4.05", "method-not-allowed"),
            ("GET", "/3/0/0", {"payload": 1}, "4.00", "bad-request"),
            ("GET", "/3/x", {}, "4.00", "bad-operation"),
            ("GET", "/3/0/0", {"priority": "high"}, "4.00", "bad-body"),
            ("GET", "/4242/0", {}, "4.00", "bad-operation"),
        ):
            answer = await self.ask(code, method, path, body)
            self.assertEqual(answer["reason"], reason)
            self.assertTrue(answer["error"])
        unknown = await self.bridge.ask("nobody", "GET", "/3/0/0")
        self.assertEqual((unknown["code"], unknown["reason"]), ("4.04", "unknown-device"))
