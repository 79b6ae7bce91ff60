"""Standing wishes at Eclipse Leshan's client engine: over its restarts, over those of the daemon, made by templates."""

from __future__ import annotations

from tests.interop.test_leshan_client import LeshanClientTestCase
from tests.interop.through import Through, values
from tests.peers.leshan_client import LeshanClient

TEMPLATE = {"match": {"objects": ["/3303"]}, "observe": [{"path": "/3303/*/5700", "attributes": {"pmax": 60}}]}


class StandingTests(LeshanClientTestCase):
    """What is wished for is observed, whatever restarts."""

    async def test_composite_over_restarts(self) -> None:
        """A composite wish goes on after a restart of the daemon, and is made anew after one of the client.

        Its attributes are written to each path, since the client is of LwM2M 1.1.
        """
        device = await self.start()
        paths = ["/3442/0/110", "/3303/0/5700"]
        body = {"paths": paths, "format": "senml-cbor", "pmax": 3600}
        wish = await device.call("POST", "/observations", 201, body=body)
        self.assertEqual((wish["state"], wish["attributes"]), ("active", {"pmax": 3600}))
        for path in paths:
            await self.client.done(f"write-attributes {path} 2.04")
        await self.daemon.process.stop()
        self.daemon = await self.daemon.again()
        events = await self.daemon.events("types=device.value")
        self.client.set("/3303/0/5700", 31.5)
        told = values((await events.next("device.value", source="observe")).data)
        self.assertEqual(told["/3303/0/5700"], 31.5)
        await self.client.process.kill()
        self.client = LeshanClient.start(self, self.daemon.coap, "leshan")
        await self.client.registered()
        await self.client.done("write-attributes /3303/0/5700 2.04")
        told = values((await events.next("device.value", source="observe")).data)
        self.assertEqual(set(told), {"/3442/0/110", "/3303/0/5700"})
        self.client.set("/3303/0/5700", 32.5)
        told = values((await events.next("device.value", source="observe")).data)
        self.assertEqual(told["/3303/0/5700"], 32.5)
        _, shown = await self.daemon.api("GET", f"/v1/observations/{wish['id']}")
        self.assertEqual((shown["state"], shown["retry_at"]), ("active", None))

    async def test_folded(self) -> None:
        """Of more wishes than the profile allows the client observes one, and all the others by one composite."""
        device = await self.start()
        body = {"match": {"endpoint": "leshan"}, "set": {"observations": 2, "composite": True}}
        await self.daemon.api("PUT", "/v1/profiles/small", body=body)
        paths = ("/3442/0/110", "/3303/0/5700", "/3303/1/5700")
        events = await self.daemon.events("types=device.value")
        for path in paths:
            await self.daemon.api("PUT", f"/v1/devices/leshan/observations{path}", body={})
        while set(values((await events.next("device.value", source="observe")).data)) != set(paths[1:]):
            pass  # the first answers of each
        self.client.set("/3303/1/5700", 34.5)
        told = values((await events.next("device.value", source="observe")).data)
        self.assertEqual((set(told), told["/3303/1/5700"]), (set(paths[1:]), 34.5))
        states = [(await device.call("GET", f"/observations{path}"))["state"] for path in paths]
        self.assertEqual(states, ["active", "folded", "folded"])

    async def test_template(self) -> None:
        """A template observes each instance of a client that registers, with its attributes, until it is taken back."""
        device: Through = await self.start()
        events = await self.daemon.events("types=device.value")
        status, _ = await self.daemon.api("PUT", "/v1/observation-templates/heat", body=TEMPLATE)
        self.assertEqual(status, 201)
        await self.client.done("write-attributes /3303/0/5700 2.04")
        first = [values((await events.next("device.value", source="observe")).data) for _ in range(2)]
        self.assertEqual({path for each in first for path in each}, {"/3303/0/5700", "/3303/1/5700"})
        shown = await device.call("GET", "/observations/3303/0/5700")
        self.assertEqual((shown["state"], shown["template"], shown["attributes"]), ("active", "heat", {"pmax": 60}))
        self.client.set("/3303/0/5700", 33.5)
        told = values((await events.next("device.value", source="observe")).data)
        self.assertEqual(told, {"/3303/0/5700": 33.5})
        status, _ = await self.daemon.api("DELETE", "/v1/observation-templates/heat")
        self.assertEqual(status, 204)
        for _ in range(2):
            await events.next("device.value", source="read")  # the answers to the cancellations
        await device.call("GET", "/observations/3303/0/5700", 404)
