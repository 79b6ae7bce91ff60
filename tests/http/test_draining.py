"""Tests of `lwm2md.http.draining`, and of what a drained daemon answers."""

from __future__ import annotations

from twisted.internet.defer import fail

from lwm2md.coap import numbers as n
from lwm2md.storage.interface import StorageError
from tests.http.node import Answer
from tests.http.support import ApiTestCase

DRAIN = "/v1/drain"


class DrainingTests(ApiTestCase):
    """A node with one device."""

    def setUp(self) -> None:
        super().setUp()
        self.device = self.node.device("a")
        self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"Acme")

    async def test_there_and_back(self) -> None:
        """It is drained, is not ready, takes no operation and says why, and takes all again when it is told to."""
        self.assertEqual((await self.call("GET", DRAIN)).json["state"], "off")
        seen = await self.call("POST", DRAIN)
        self.assertEqual((seen.status, seen.json["state"], seen.json["under_way"]), (200, "drained", 0))
        self.assertEqual((await self.call("GET", DRAIN)).json, seen.json)
        ready = await self.call("GET", "/health/ready")
        self.assertEqual((ready.status, ready.body), (503, b"draining\n"))
        self.assertEqual((await self.call("GET", "/v1/status")).json["drain"], "drained")
        self.assertIn(b"lwm2md_draining 1.0", (await self.call("GET", "/metrics")).body)
        await self.refused(503, "draining", "POST", "/v1/devices/a/operations", {"op": "read", "path": "/3/0/0"})
        await self.refused(503, "draining", "GET", "/v1/devices/a/resources/3/0/0")
        refused = await self.call("PUT", "/v1/devices/a/observations/3/0/0", {})
        self.assertProblem(refused, 503, "draining")
        self.assertEqual(refused.headers["retry-after"], "5")
        self.assertEqual((await self.call("DELETE", DRAIN)).json["state"], "off")
        self.assertEqual((await self.call("GET", "/health/ready")).status, 200)
        self.assertEqual((await self.call("GET", "/v1/devices/a/resources/3/0/0")).status, 200)

    async def test_failing(self) -> None:
        """As long as it is not drained because nothing can be stored, it says so and why."""
        self.patch(self.node.storage, "commit", lambda batch: fail(StorageError("the disk is full")))
        seen = (await self.call("POST", DRAIN)).json
        self.assertEqual((seen["state"], seen["error"]), ("draining", "the disk is full"))
