"""Send, twin and history as operators and devices see them: the running daemon, with Leshan's client and aiocoap."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests.daemons import Daemon
from tests.peers import aiocoap
from tests.peers.leshan_client import LeshanClient


class SendingTests(TestCase):
    """Devices that others wrote send, and what they sent is kept."""

    timeout = 120

    async def get(self, daemon: Daemon, path: str) -> Any:
        """What the API has at a path."""
        status, document = await daemon.api("GET", path)
        self.assertEqual(status, 200, document)
        return document

    async def test_leshan(self) -> None:
        """Leshan's client sends in both forms of SenML, now and with the times of what it collected.

        What it sent is told, known and kept, also after the daemon was killed.
        """
        daemon = await Daemon.start(self)
        client = LeshanClient.start(self, daemon.coap, "leshan")
        await client.registered()
        events = await daemon.events("types=device.value")
        await client.command("send SENML_CBOR /3/0/9 /3/0/1", "send 2.04")
        told = (await events.next("device.value", source="send")).data
        self.assertEqual({row["path"]: row["value"] for row in told["values"]}, {"/3/0/9": 95, "/3/0/1": "Model 7"})
        for value in (20.5, 21.5, 22.5):
            client.set("/3303/0/5700", value)
            client.process.say("collect /3303/0/5700")
            await deferLater(reactor, 0.02, lambda: None)  # times are shown to the millisecond
        client.process.say("flush SENML_JSON")
        told = (await events.next("device.value", source="send")).data
        self.assertEqual([row["value"] for row in told["values"]], [20.5, 21.5, 22.5])
        self.assertEqual(len({row["time"] for row in told["values"]}), 3)
        await daemon.process.kill()
        daemon = await daemon.again()
        found = await self.get(daemon, "/v1/devices/leshan/history/3303")
        self.assertEqual([row["value"] for row in found["items"]], [20.5, 21.5, 22.5])
        found = await self.get(daemon, "/v1/devices/leshan/history/3303?aggregate=mean")
        self.assertEqual([row["value"] for row in found["items"]], [21.5])
        found = await self.get(daemon, "/v1/devices/leshan/resources?source=twin")
        known = {row["path"]: (row["value"], row["source"]) for row in found["values"]}
        self.assertEqual(known, {"/3/0/1": ("Model 7", "send"), "/3/0/9": (95, "send"), "/3303/0/5700": (22.5, "send")})
        await client.command("send SENML_JSON /3303/0", "send 2.04")

    async def test_sleeping(self) -> None:
        """A sleeping device that sends gets what waits for it."""
        daemon = await Daemon.start(self, "queue.awake=1s")
        client = LeshanClient.start(self, daemon.coap, "sleeper", queue=True)
        await client.registered()
        path = "/v1/devices/sleeper"
        while (await self.get(daemon, path))["state"] != "sleeping":
            await deferLater(reactor, 0.05, lambda: None)
        status, operation = await daemon.api("GET", f"{path}/resources/3/0/0?wait=0")
        self.assertEqual((status, operation["state"]), (202, "queued"))
        await client.command("send SENML_CBOR /3/0/9", "read /3/0/0 2.05")
        while (operation := await self.get(daemon, f"/v1/operations/{operation['id']}"))["state"] != "done":
            await deferLater(reactor, 0.05, lambda: None)
        self.assertEqual(operation["result"]["values"][0]["value"], "Example Works")

    async def test_aiocoap(self) -> None:
        """A device of aiocoap sends, Confirmable or not, in blocks too; unknown and wrong ones are refused."""
        daemon = await Daemon.start(self)
        device, stranger = await aiocoap.client(self), await aiocoap.client(self)

        async def post(peer: Any, path: str, payload: bytes, content_format: int, **how: Any) -> str:
            answer = await peer.request(f"{daemon.coap}{path}", "POST", payload=payload, format=content_format, **how)
            code: str = answer.code
            return code

        battery = bytes.fromhex("81a221662f332f302f3902185f")
        self.assertEqual(await post(stranger, "/dp", battery, n.SENML_CBOR), "4.04")
        register = "/rd?ep=aiocoap&lt=300&lwm2m=1.2"
        self.assertEqual(await post(device, register, b"</1/0>,</3/0>,</3303/0>", n.LINK_FORMAT), "2.01")
        self.assertEqual(await post(device, "/dp", battery, n.SENML_CBOR), "2.04")
        self.assertEqual(await post(device, "/dp", b'[{"n":"/3/0/1","vs":"m"}]', n.SENML_JSON, non=True), "2.04")
        self.assertEqual(
            await post(device, "/dp", bytes.fromhex("a2830300091864830100011a00015180"), n.LWM2M_CBOR), "2.04"
        )
        records = ",".join(f'{{"n":"/3303/0/5700","v":{each},"t":{each - 500}}}' for each in range(400))
        self.assertEqual(await post(device, "/dp", f"[{records}]".encode(), n.SENML_JSON, szx=5), "2.04")
        self.assertEqual(await post(device, "/dp", b"95", n.TEXT), "4.15")
        self.assertEqual(await post(device, "/dp", b"[", n.SENML_JSON), "4.00")
        where = "/v1/devices/aiocoap"
        found = await self.get(daemon, f"{where}/resources?source=twin")
        known = {row["path"]: row["value"] for row in found["values"]}
        self.assertEqual(known, {"/1/0/1": 86400, "/3/0/1": "m", "/3/0/9": 100, "/3303/0/5700": 399.0})
        found = await self.get(daemon, f"{where}/history/3303/0/5700?every=1d&aggregate=count")
        self.assertEqual(sum(row["value"] for row in found["items"]), 400)
        status, _ = await daemon.api("DELETE", where)
        self.assertEqual(status, 204)
        self.assertEqual(await post(device, "/dp", battery, n.SENML_CBOR), "4.04")
