"""A device of LwM2M 1.0 on the npm package lwm2m-node-lib against the daemon, through ``/v1``.

It names no Content-Format in any answer, has no Read above a Resource, and knows neither Create nor Delete.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon
from tests.interop.through import Through, values
from tests.peers.node_lwm2m import NodeClient
from tests.web import EventStream


class NodeDeviceTests(TestCase):
    """A process of node, and all that its library can do."""

    timeout = 120

    async def test_whole_life(self) -> None:
        """It registers, is read, written, executed, discovered and observed, updates its registration and goes."""
        daemon = await Daemon.start(self)
        events = await daemon.events()
        client = NodeClient.start(self, daemon.coap, "node-1")
        device = Through(self, daemon, "node-1")
        location = await client.registered()
        registered = (await events.next("device.registered")).data
        self.assertEqual(location, f"rd/{registered['registration_id']}")
        self.assertEqual((registered["version"], registered["binding"], registered["lifetime"]), ("1.0", "U", 300))
        self.assertEqual(registered["objects"], ["/1/0", "/3/0", "/3303/0", "/3303/1"])

        await self._values(device, client)
        await self._attributes(device)
        await client.command("update", "updated")
        self.assertEqual(await device.read("/3/0/0"), {"/3/0/0": "Node Works"})
        await self._observation(device, client, events)
        await client.command("stop", "deregistered")
        self.assertEqual((await events.next("device.deregistered")).data["reason"], "deregistered")

    async def _values(self, device: Through, client: NodeClient) -> None:
        for path, value in (
            ("/3/0/0", "Node Works"),
            ("/3/0/9", 80),
            ("/3/0/13", "2023-11-14T22:13:20Z"),
            ("/1/0/6", True),
            ("/3303/1/5700", -4.25),
        ):
            self.assertEqual(await device.read(path), {path: value})
        await client.done("read /3/0/0 Node Works")
        await device.do("read", "/3/0/2", code="4.04")
        await device.do("write", "/3/0/14", value="+02")
        await client.done(r"write /3/0/14 \+02")
        self.assertEqual(await device.read("/3/0/14"), {"/3/0/14": "+02"})
        await device.do("execute", "/3/0/4")
        await client.done("execute /3/0/4")
        await device.do("execute", "/3303/0/5605", arguments={"0": "now"})
        await client.done("execute /3303/0/5605 0='now'")
        self.assertEqual({*await device.deviations()}, {"no-content-format", "odd-boolean"})

    async def _attributes(self, device: Through) -> None:
        await device.do("write-attributes", "/3303/1/5700", attributes={"pmin": 1, "pmax": 60})
        for path, expected in (
            ("/3303/1/5700", {"/3303/1/5700": {"pmin": "1", "pmax": "60"}}),
            ("/3303/0", {"/3303/0": {}, "/3303/0/5700": {}, "/3303/0/5701": {}}),
            ("/3303", {"/3303": {}, "/3303/0": {}, "/3303/1": {}}),
        ):
            self.assertEqual(await device.links(path), expected)

    async def _observation(self, device: Through, client: NodeClient, events: EventStream) -> None:
        wish = await device.call("PUT", "/observations/3303/0/5700", 201, body={})
        self.assertEqual(wish["state"], "active")
        for value in (21.5, 22.5):
            client.set("/3303/0/5700", value)
            while values((await events.next("device.value")).data) != {"/3303/0/5700": value}:
                pass
        # The library takes an Observe of 1 for another observation, and never answers it.
        await device.call("DELETE", "/observations/3303/0/5700", 204)
        await device.call("GET", "/observations/3303/0/5700", 404)
