"""Tests of `lwm2md.http.operations` and `lwm2md.http.waiting`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lwm2md.coap import numbers as n
from lwm2md.storage.interface import Batch
from tests.http.node import Answer
from tests.http.support import ApiTestCase

POST = "/v1/devices/a/operations"


class OperationsTests(ApiTestCase):
    """Asking something of a device, looking at it, cancelling it."""

    def setUp(self) -> None:
        super().setUp()
        self.device = self.node.device("a")
        self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"Acme")

    async def test_done(self) -> None:
        """An operation that ends inside ``wait`` is answered with its result."""
        seen = await self.call("POST", POST, {"op": "read", "path": "/3/0/0"})
        self.assertEqual(seen.status, 200)
        document = seen.json
        self.assertEqual((document["state"], document["coap_code"], document["path"]), ("done", "2.05", "/3/0/0"))
        value = document["result"]["values"][0]
        self.assertEqual((value["path"], value["value"], value["name"]), ("/3/0/0", "Acme", "Manufacturer"))
        again = await self.call("GET", f"/v1/operations/{document['id']}")
        self.assertEqual(again.json, document)

    async def test_refused_by_device(self) -> None:
        """A device's error is the operation's, and no error of the call."""
        seen = await self.call("POST", POST, {"op": "read", "path": "/3/0/1"})
        self.assertEqual((seen.status, seen.json["state"], seen.json["coap_code"]), (200, "failed", "4.04"))

    async def test_queued(self) -> None:
        """An operation that does not end in time is answered 202 with the place where it can be looked at."""
        self.device.mute = True
        pending = self.start("POST", POST + "?wait=2", {"op": "read", "path": "/3/0/0"})
        await self.until(lambda: self.device.requests)
        self.node.clock.advance(2)
        seen = await pending
        self.assertEqual((seen.status, seen.json["state"]), (202, "sent"))
        self.assertEqual(seen.headers["location"], f"/v1/operations/{seen.json['id']}")
        listed = (await self.call("GET", "/v1/operations?endpoint=a&state=sent")).json["items"]
        self.assertEqual([item["id"] for item in listed], [seen.json["id"]])
        self.assertEqual((await self.call("GET", "/v1/operations?endpoint=b")).json["items"], [])

    async def test_ends_while_waiting(self) -> None:
        """A caller that waits is answered as soon as the operation ends."""
        self.device.mute = True
        pending = self.start("POST", POST, {"op": "read", "path": "/3/0/0", "timeout": 5})
        await self.until(lambda: self.device.requests)
        self.node.advance(6)
        seen = await pending
        self.assertEqual((seen.status, seen.json["state"], seen.json["error"]), (200, "failed", "no answer"))

    async def test_durable(self) -> None:
        """Nobody is told of an end that is not durable yet: neither who waits for the storage, nor who looks."""
        held: list[Deferred[bool]] = []
        real = self.node.storage.commit

        def commit(batch: Batch) -> Deferred[bool]:
            held.append(Deferred())
            return held[-1].addCallback(lambda _: real(batch))

        async def release() -> None:
            await self.until(lambda: held)
            held.pop(0).callback(True)

        self.patch(self.node.storage, "commit", commit)
        asked = self.start("POST", f"{POST}?wait=0", {"op": "execute", "path": "/3/0/4"})
        self.device.answers[n.POST, "/3/0/4"] = Answer(n.CHANGED)
        await release()  # that it is sent: then it is, and answered at once
        (operation,) = self.node.server.operations.values()
        await self.until(lambda: operation.ending)
        looked = self.start("GET", f"/v1/operations/{operation.id}")
        await self.until(lambda: len(operation.watchers or ()) > 0)
        self.assertFalse(asked.called or looked.called)
        (listed,) = (await self.call("GET", "/v1/operations")).json["items"]
        self.assertEqual([listed[name] for name in ("state", "ended", "coap_code")], ["sent", None, None])
        self.assertEqual((await self.call("GET", "/v1/operations?state=done")).json["items"], [])
        self.assertIsNotNone(listed["sent"])
        await release()
        self.assertEqual((await self.call("GET", "/v1/operations")).json["items"][0]["state"], "done")
        for pending in (asked, looked):
            seen = await pending
            self.assertEqual((seen.status, seen.json["state"]), (200, "done"))

    async def test_caller_gone(self) -> None:
        """A caller that goes away leaves the operation alone, and nothing of itself behind."""
        self.device.mute = True
        pending = self.start("POST", POST, {"op": "read", "path": "/3/0/0"})
        await self.until(lambda: self.device.requests)
        self.api.close()
        await self.assertFailure(pending, Exception)
        await self.until(lambda: not self.api.connections)
        (operation,) = self.node.server.operations.values()
        self.assertEqual((operation.state, operation.watchers), ("sent", []))

    async def test_cancel(self) -> None:
        """An operation that has not ended can be cancelled."""
        self.device.mute = True
        first = (await self.call("POST", POST + "?wait=0", {"op": "read", "path": "/3/0/0"})).json
        seen = await self.call("DELETE", f"/v1/operations/{first['id']}")
        self.assertEqual((seen.status, seen.json["state"]), (200, "cancelled"))

    async def test_list_pages(self) -> None:
        """Operations are listed in pages, oldest first."""
        ids = [(await self.call("POST", POST, {"op": "read", "path": "/3/0/0"})).json["id"] for _ in range(3)]
        page = (await self.call("GET", "/v1/operations?limit=2")).json
        self.assertEqual([item["id"] for item in page["items"]], ids[:2])
        rest = (await self.call("GET", f"/v1/operations?limit=2&after={page['next']}")).json
        self.assertEqual(([item["id"] for item in rest["items"]], rest["next"]), (ids[2:], None))

    async def test_key(self) -> None:
        """A call that is repeated with the same key finds its operation again; nothing is sent twice."""
        self.device.answers[n.POST, "/3/0/4"] = Answer(n.CHANGED)
        asked = {"op": "execute", "path": "/3/0/4", "key": "reboot-7"}
        first, again = await self.call("POST", POST, asked), await self.call("POST", POST, asked)
        self.assertEqual((again.status, again.json), (200, first.json))
        self.assertEqual(len(self.device.requests), 1)
        await self.refused(400, "bad-operation", "POST", POST, {**asked, "op": "read"})

    async def test_discover(self) -> None:
        """A discover's result holds links with their attributes."""
        links = b"</3/0>;pmin=10,</3/0/0>"
        self.device.answers[n.GET, "/3/0"] = Answer(n.CONTENT, links, n.LINK_FORMAT)
        seen = await self.call("POST", POST, {"op": "discover", "path": "/3/0"})
        self.assertEqual(
            seen.json["result"]["links"],
            [{"path": "/3/0", "attributes": {"pmin": "10"}}, {"path": "/3/0/0", "attributes": {}}],
        )

    async def test_composite(self) -> None:
        """Composite operations take paths, or values by whole path; times are RFC 3339 there as well."""
        values = b'[{"n":"/3/0/9","v":7}]'
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, values, n.SENML_JSON)
        seen = await self.call("POST", POST, {"op": "read-composite", "paths": ["/3/0/9", "/3303"]})
        self.assertEqual(
            (seen.json["state"], seen.json["path"], seen.json["paths"]), ("done", "/", ["/3/0/9", "/3303"])
        )
        self.assertEqual([row["value"] for row in seen.json["result"]["values"]], [7])
        self.device.answers[n.IPATCH, "/"] = Answer(n.CHANGED, b"", None)
        written = {"/3/0/13": "2026-01-01T00:00:00Z", "/1/0/1": 60}
        request = {"op": "write-composite", "values": written, "format": "senml-json"}
        self.assertEqual((await self.call("POST", POST, request)).json["state"], "done")
        self.assertEqual(self.device.requests[-1].payload, b'[{"n":"/3/0/13","v":1767225600},{"n":"/1/0/1","v":60}]')

    async def test_deviations(self) -> None:
        """What a device departs from is listed with a sample, in pages."""
        for payload, number in ((b"Acme", 1541), (b"\xff\x00", n.TLV)):
            self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, payload, number)
            await self.call("POST", POST, {"op": "read", "path": "/3/0/0"})
        where = "/v1/devices/a/deviations"
        first = (await self.call("GET", f"{where}?limit=2")).json
        second = (await self.call("GET", f"{where}?after={first['next']}")).json
        (draft, other), (broken,) = first["items"], second["items"]
        self.assertEqual(other["kind"], "other-format")
        self.assertEqual((draft["kind"], draft["count"], draft["sample"]), ("draft-content-format", 1, "Acme"))
        self.assertEqual((broken["kind"], broken["sample"], broken["encoding"]), ("undecodable", "ff00", "hex"))
        self.assertIsNone(second["next"])
        await self.refused(404, "unknown-device", "GET", "/v1/devices/ghost/deviations")

    async def test_queue_full(self) -> None:
        """A device has a bounded queue; beyond it the caller is asked to come back."""
        self.device.mute = True
        for number in range(4):
            await self.call("POST", POST + "?wait=0", {"op": "read", "path": f"/3/0/{number}"})
        seen = await self.call("POST", POST, {"op": "read", "path": "/3/0/9"})
        self.assertProblem(seen, 429, "queue-full")
        self.assertIn("retry-after", seen.headers)

    async def test_when(self) -> None:
        """What is to leave with the next contact waits, and is shown with what it waits for."""
        body = {"op": "read", "path": "/3/0/0", "when": "next-contact", "priority": 3, "ttl": 60}
        seen = await self.call("POST", POST + "?wait=0", body)
        document = seen.json
        self.assertEqual((seen.status, document["state"], document["when"]), (202, "queued", "next-contact"))
        self.assertEqual((document["priority"], document["expires"]), (3, "2026-01-01T00:01:00Z"))
        target = "/v1/devices/a/resources/3/0/0?wait=0&when=next-contact&retries=2"
        again = await self.call("GET", target)
        self.assertEqual((again.status, again.json["when"]), (202, "next-contact"))
        for query in ("when=soon", "retries=-1", "retries=101"):
            self.assertProblem(await self.call("GET", f"/v1/devices/a/resources/3/0/0?{query}"), 400, "bad-query")
        for fields in ({"when": "soon"}, {"retries": 101}, {"op": "execute", "path": "/3/0/4", "retries": 1}):
            seen = await self.call("POST", POST, {"op": "read", "path": "/3/0/0", **fields})
            self.assertEqual(seen.status, 400, fields)

    async def test_cancel_all(self) -> None:
        """All operations of a device are cancelled with one call, which says how many there were."""
        for number in (0, 1):
            body = {"op": "read", "path": f"/3/0/{number}", "when": "next-contact"}
            await self.call("POST", POST + "?wait=0", body)
        seen = await self.call("DELETE", POST)
        self.assertEqual((seen.status, seen.json), (200, {"cancelled": 2}))
        listed = (await self.call("GET", "/v1/operations?state=cancelled")).json
        self.assertEqual(len(listed["items"]), 2)
        self.assertEqual((await self.call("DELETE", POST)).json, {"cancelled": 0})
        self.assertProblem(await self.call("DELETE", "/v1/devices/nobody/operations"), 404, "unknown-device")

    async def test_bad_input(self) -> None:
        """What is wrong with an operation is said, and nothing is sent."""
        read = {"op": "read", "path": "/3/0/0"}
        cases: tuple[tuple[Any, ...], ...] = (
            (400, "bad-json", "POST", POST, b"nonsense"),
            (400, "bad-json", "POST", POST, b"\xff\xfe"),
            (400, "bad-json", "POST", POST, b'{"op":"read","path":"/3","value":' + b"[" * 50000),
            (400, "bad-body", "POST", POST, b""),
            (400, "bad-body", "POST", POST, b"[]"),
            (400, "bad-operation", "POST", POST, {"op": "read"}),
            (400, "bad-body", "POST", POST, {"op": "explode", "path": "/3"}),
            (400, "bad-body", "POST", POST, {**read, "timeout": "soon"}),
            (400, "bad-body", "POST", POST, {**read, "colour": "red"}),
            (400, "bad-operation", "POST", POST, {"op": "read", "path": "3/0"}),
            (400, "bad-operation", "POST", POST, {"op": "read", "path": "/70000"}),
            (400, "bad-operation", "POST", POST, {**read, "format": "xml"}),
            (400, "bad-operation", "POST", POST, {"op": "write", "path": "/3/0/14"}),
            (400, "bad-operation", "POST", POST, {"op": "write", "path": "/3/0/13", "value": "yesterday"}),
            (400, "bad-query", "POST", POST + "?wait=-1", read),
            (400, "bad-query", "POST", POST + "?wait=nan", read),
            (404, "unknown-device", "POST", "/v1/devices/ghost/operations", read),
            (404, "unknown-operation", "GET", "/v1/operations/ghost", None),
            (404, "unknown-operation", "DELETE", "/v1/operations/ghost", None),
            (400, "bad-query", "GET", "/v1/operations?state=lost", None),
        )
        for case in cases:
            await self.refused(*case)
        self.assertEqual(self.device.requests, [])

    async def test_not_registered(self) -> None:
        """A known device without a registration can't be asked."""
        await self.call("PATCH", "/v1/devices/a", {"labels": {"kept": "yes"}})
        self.node.advance(301)
        await self.refused(409, "not-registered", "POST", POST, {"op": "read", "path": "/3/0/0"})

    async def test_storage_failed(self) -> None:
        """A caller is not told 202 when the operation could not be made durable."""
        self.device.mute = True
        self.node.storage.close()
        await self.refused(503, "storage-failed", "POST", POST + "?wait=0", {"op": "read", "path": "/3/0/0"})

    async def test_storage_failed_why(self) -> None:
        """Whatever was asked for, who is refused for the storage's sake is told what is wrong with it."""
        await self.call("POST", POST + "?wait=0", {"op": "read", "path": "/3/0/0", "when": "next-contact"})
        self.node.storage.close()
        for method, path in (("POST", "/v1/devices/a/resources/3/0/4"), ("DELETE", POST)):
            refused = await self.refused(503, "storage-failed", method, path)
            self.assertIn(str(self.node.delivery.failure), refused["detail"])
