"""Tests of `lwm2md.http.resources` and `lwm2md.http.times`."""

from __future__ import annotations

from typing import Any

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.nodes import Entry
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.tlv import encode
from tests.http.node import MODELS, Answer
from tests.http.support import ApiTestCase

BASE = "/v1/devices/a/resources"


class ResourcesTests(ApiTestCase):
    """Read, write, execute, create and delete by the path of a Resource."""

    def setUp(self) -> None:
        super().setUp()
        self.device = self.node.device("a")

    def answer(self, code: int, path: str, *answer: object) -> None:
        """Let the device answer."""
        self.device.answers[code, path] = Answer(*answer)  # type: ignore[arg-type]

    async def test_read(self) -> None:
        """A read answers the values with names, types, units and times."""
        self.answer(n.GET, "/3/0/9", n.CONTENT, b"88")
        seen = await self.call("GET", f"{BASE}/3/0/9")
        self.assertEqual((seen.status, seen.headers["cache-control"]), (200, "no-store"))
        (value,) = seen.json["values"]
        self.assertEqual((value["path"], value["value"], value["type"]), ("/3/0/9", 88, "integer"))
        self.assertEqual((value["name"], value["time"]), ("Battery Level", "2026-01-01T00:00:00Z"))

    async def test_read_instance(self) -> None:
        """A read of an instance answers a row per Resource."""
        entries = (Entry(Path((3, 0, 0)), "Acme"), Entry(Path((3, 0, 6, 1)), 5))
        payload = encode(Path((3, 0)), entries, MODELS.type_of({}))
        self.answer(n.GET, "/3/0", n.CONTENT, payload, n.TLV)
        rows = (await self.call("GET", f"{BASE}/3/0")).json["values"]
        self.assertEqual([(row["path"], row["value"]) for row in rows], [("/3/0/0", "Acme"), ("/3/0/6/1", 5)])

    async def test_twin(self) -> None:
        """What was last read can be had without asking the device."""
        await self.refused(404, "no-value", "GET", f"{BASE}/3/0/9?source=twin")
        self.answer(n.GET, "/3/0/9", n.CONTENT, b"88")
        await self.call("GET", f"{BASE}/3/0/9")
        asked = len(self.device.requests)
        seen = await self.call("GET", f"{BASE}/3/0?source=twin")
        self.assertEqual(seen.json["values"][0]["value"], 88)
        self.assertEqual(len(self.device.requests), asked)

    async def test_int64(self) -> None:
        """Integers are exact, and strings for those who can't hold them."""
        self.answer(n.GET, "/3/0/9", n.CONTENT, b"9007199254740993")
        seen = await self.call("GET", f"{BASE}/3/0/9")
        self.assertIn(b"9007199254740993,", seen.body)
        seen = await self.call("GET", f"{BASE}/3/0/9?int64=string")
        self.assertIn(b'"9007199254740993"', seen.body)

    async def test_write(self) -> None:
        """A write sends the value and answers the operation."""
        self.answer(n.PUT, "/3/0/14", n.CHANGED)
        seen = await self.call("PUT", f"{BASE}/3/0/14", {"value": "+02"})
        self.assertEqual((seen.status, seen.json["op"], seen.json["state"]), (200, "write", "done"))
        self.assertEqual(self.device.requests[-1].payload, b"+02")

    async def test_write_time(self) -> None:
        """A time is written as RFC 3339 with any offset, or as seconds."""
        self.answer(n.PUT, "/3/0/13", n.CHANGED)
        for value in ("2026-01-01T02:00:00+02:00", 1767225600):
            self.assertEqual((await self.call("PUT", f"{BASE}/3/0/13", {"value": value})).status, 200)
            self.assertEqual(self.device.requests[-1].payload, b"1767225600")

    async def test_write_part(self) -> None:
        """A partial write takes values by path below the instance, times among them."""
        self.answer(n.POST, "/3/0", n.CHANGED)
        body = {"values": {"14": "+02", "/3/0/13": "2026-01-01T00:00:00Z"}}
        seen = await self.call("PATCH", f"{BASE}/3/0", body)
        self.assertEqual((seen.status, seen.json["op"]), (200, "write-partial"))

    async def test_execute(self) -> None:
        """POST on a Resource executes it, with arguments or without a body."""
        self.answer(n.POST, "/3/0/4", n.CHANGED)
        self.assertEqual((await self.call("POST", f"{BASE}/3/0/4")).json["state"], "done")
        await self.call("POST", f"{BASE}/3/0/4", {"arguments": {"0": "soon"}})
        self.assertEqual(self.device.requests[-1].payload, b"0='soon'")

    async def test_create_and_delete(self) -> None:
        """POST on an Object creates an instance and says where; DELETE removes it."""
        self.answer(n.POST, "/3303", n.CREATED, b"", None, ("3303", "7"))
        seen = await self.call("POST", f"{BASE}/3303", {"values": {"5700": 21.5}})
        self.assertEqual((seen.status, seen.headers["location"]), (201, f"{BASE}/3303/7"))
        self.assertEqual(seen.json["result"], {"location": "/3303/7"})
        self.answer(n.DELETE, "/3303/7", n.DELETED)
        self.assertEqual((await self.call("DELETE", f"{BASE}/3303/7")).status, 200)

    async def test_resource_instances(self) -> None:
        """Resource Instances are written one by one, in part or all, and deleted, by devices of LwM2M 1.2."""
        device = self.node.device("new", registered=False)
        device.register("</2/0>,</3/0>", version="1.2")
        base = "/v1/devices/new/resources/2/0/2"
        for method, path, body, code in (
            ("PUT", "/1", {"value": 3}, n.PUT),
            ("PUT", "", {"value": {"1": 3, "2": 4}}, n.PUT),
            ("PATCH", "", {"value": {"1": 3}}, n.POST),
            ("DELETE", "/1", None, n.DELETE),
        ):
            device.answers[code, f"/2/0/2{path}"] = Answer(n.CHANGED, b"", None)
            seen = await self.call(method, base + path, body)
            self.assertEqual((seen.status, seen.json["state"]), (200, "done"), seen.body)

    async def test_force(self) -> None:
        """What the model speaks against is refused with what is wrong, and sent by force."""
        self.answer(n.GET, "/3/0/4", n.METHOD_NOT_ALLOWED)
        document = await self.refused(400, "bad-operation", "GET", f"{BASE}/3/0/4")
        self.assertEqual(document["errors"], [{"field": "path", "message": "/3/0/4 (Reboot) can't be read"}])
        await self.refused(502, "device-error", "GET", f"{BASE}/3/0/4?force=true")
        await self.refused(400, "bad-query", "GET", f"{BASE}/3/0/4?force=1")

    async def test_device_error(self) -> None:
        """A device's error is 502 with its code and what it said."""
        self.answer(n.PUT, "/3/0/0", n.METHOD_NOT_ALLOWED, b"read only")
        document = await self.refused(502, "device-error", "PUT", f"{BASE}/3/0/0?force=true", {"value": "x"})
        self.assertEqual(document["coap_code"], "4.05")
        self.assertIn("read only", document["detail"])

    async def test_no_answer(self) -> None:
        """A device that does not answer is 504, for an Execute too."""
        self.device.mute = True
        for method, path, code in (("GET", "3/0/0", "no-answer"), ("POST", "3/0/4", "outcome-unknown")):
            seen = len(self.device.requests)
            pending = self.start(method, f"{BASE}/{path}?timeout=3")
            await self.until(lambda seen=seen: len(self.device.requests) > seen)
            self.node.advance(4)
            self.assertProblem(await pending, 504, code)

    async def test_asleep(self) -> None:
        """A request for a sleeping device is 202 with the operation, and is carried out when it wakes up."""
        sleeper = self.node.device("s", registered=False)
        sleeper.register("</3/0>", "Q")
        sleeper.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"Acme")
        self.node.advance(100)
        seen = await self.call("GET", "/v1/devices/s/resources/3/0/0?wait=0&ttl=1000")
        self.assertEqual((seen.status, seen.json["state"]), (202, "queued"))
        sleeper.register("</3/0>", "Q")
        ended = await self.call("GET", seen.headers["location"])
        self.assertEqual(ended.json["state"], "done")

    async def test_bad_input(self) -> None:
        """What is wrong with a call is said, and nothing is sent."""
        cases: tuple[tuple[Any, ...], ...] = (
            (400, "bad-path", "GET", f"{BASE}/three"),
            (400, "bad-path", "GET", f"{BASE}/3/0/0/0/0"),
            (400, "bad-path", "GET", f"{BASE}/3//0"),
            (400, "bad-path", "GET", f"{BASE}/65535"),
            (404, "not-found", "GET", f"{BASE}/"),
            (400, "bad-query", "GET", f"{BASE}/3/0?source=moon"),
            (400, "bad-operation", "GET", f"{BASE}/3/0?format=xml"),
            (404, "unknown-device", "GET", "/v1/devices/ghost/resources/3/0"),
            (404, "unknown-device", "GET", "/v1/devices/ghost/resources/3/0?source=twin"),
            (400, "bad-body", "PUT", f"{BASE}/3/0/14", {}),
            (400, "bad-body", "PUT", f"{BASE}/3/0/14", {"value": 1, "values": {}}),
            (400, "bad-operation", "PUT", f"{BASE}/3/0/14", {"value": None}),
            (400, "bad-operation", "PUT", f"{BASE}/3/0/13", {"value": "2026-13-01T00:00:00Z"}),
            (400, "bad-operation", "PUT", f"{BASE}/3303/0", {"values": {"/3304/0/5700": 1}}),
            (400, "bad-operation", "POST", f"{BASE}/3303", {"arguments": {"0": "x"}}),
            (400, "bad-operation", "POST", f"{BASE}/3/0/4", {"values": {"1": 1}}),
            (400, "bad-operation", "POST", f"{BASE}/3/0", {}),
            (400, "bad-operation", "DELETE", f"{BASE}/3/0/1"),
        )
        for case in cases:
            await self.refused(*case)
        self.assertEqual(self.device.requests, [])
