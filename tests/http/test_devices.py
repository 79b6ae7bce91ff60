"""Tests of `lwm2md.http.devices`."""

from __future__ import annotations

from typing import Any

from tests.http.support import ApiTestCase


class DevicesTests(ApiTestCase):
    """The list of devices, one device, its labels and Objects."""

    async def test_document(self) -> None:
        """A device shows what it registered."""
        self.node.device("urn:dev:1")
        seen = await self.call("GET", "/v1/devices/urn:dev:1")
        self.assertEqual(seen.status, 200)
        document = seen.json
        self.assertEqual(document["objects"], ["/1/0", "/3/0", "/5/0", "/3303/0"])
        expected = {
            "endpoint": "urn:dev:1",
            "state": "online",
            "version": "1.1",
            "lifetime": 300,
            "address": "127.0.0.1:56830",
            "transport": "coap",
            "registered_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T00:05:00Z",
            "root_path": "/",
            "queue_mode": False,
            "state_since": "2026-01-01T00:00:00Z",
            "state_reason": "registered",
            "awake_until": None,
            "reachable_until": None,
            "next_expected": "2026-01-01T00:05:00Z",
            "overdue": False,
        }
        self.assertEqual({name: document[name] for name in expected}, expected)

    async def test_endpoint_with_slash(self) -> None:
        """An Endpoint Client Name with slashes and spaces is one segment when it is percent-encoded."""
        self.node.device("a/b c")
        seen = await self.call("GET", "/v1/devices/a%2Fb%20c")
        self.assertEqual(seen.json["endpoint"], "a/b c")

    async def test_pages(self) -> None:
        """A list comes in pages, ordered by endpoint, each with the cursor of the next."""
        for name in ("c", "a", "b"):
            self.node.device(name)
        first = (await self.call("GET", "/v1/devices?limit=2")).json
        self.assertEqual(([item["endpoint"] for item in first["items"]], first["next"]), (["a", "b"], "b"))
        second = (await self.call("GET", "/v1/devices?limit=2&after=b")).json
        self.assertEqual(([item["endpoint"] for item in second["items"]], second["next"]), (["c"], None))

    async def test_filters(self) -> None:
        """A list can be narrowed by labels and by state."""
        self.node.device("a")
        self.node.device("b")
        await self.call("PATCH", "/v1/devices/a", {"labels": {"farm": "north"}})
        for query, names in (("selector=farm=north", ["a"]), ("selector=farm!=north", ["b"]), ("state=offline", [])):
            page = (await self.call("GET", f"/v1/devices?{query}")).json
            self.assertEqual([item["endpoint"] for item in page["items"]], names, query)

    async def test_labels(self) -> None:
        """Labels are set, shown and removed by null."""
        self.node.device("a")
        seen = await self.call("PATCH", "/v1/devices/a", {"labels": {"farm": "north", "row": "7"}})
        self.assertEqual((seen.status, seen.json["labels"]), (200, {"farm": "north", "row": "7"}))
        seen = await self.call("PATCH", "/v1/devices/a", {"labels": {"farm": None}})
        self.assertEqual(seen.json["labels"], {"row": "7"})

    async def test_forget(self) -> None:
        """A device that is removed is unknown from then on."""
        self.node.device("a")
        seen = await self.call("DELETE", "/v1/devices/a")
        self.assertEqual((seen.status, seen.body), (204, b""))
        await self.refused(404, "unknown-device", "GET", "/v1/devices/a")

    async def test_objects(self) -> None:
        """The Objects of a device have instances, and names and types from their models."""
        self.node.device("a")
        items = {item["id"]: item for item in (await self.call("GET", "/v1/devices/a/objects")).json["items"]}
        self.assertEqual((items[3]["name"], items[3]["instances"]), ("Device", [0]))
        manufacturer = items[3]["resources"][0]
        self.assertEqual((manufacturer["name"], manufacturer["operations"]), ("Manufacturer", "R"))

    async def test_bad_input(self) -> None:
        """What is wrong with a request is a problem document that names it."""
        self.node.device("a")
        cases: tuple[tuple[Any, ...], ...] = (
            (404, "unknown-device", "GET", "/v1/devices/ghost", None),
            (404, "unknown-device", "DELETE", "/v1/devices/ghost", None),
            (404, "unknown-device", "GET", "/v1/devices/ghost/objects", None),
            (404, "unknown-device", "PATCH", "/v1/devices/ghost", {"labels": {}}),
            (400, "bad-json", "PATCH", "/v1/devices/a", b"{"),
            (400, "bad-body", "PATCH", "/v1/devices/a", b""),
            (400, "bad-body", "PATCH", "/v1/devices/a", {"labels": {"a": 1}}),
            (400, "bad-body", "PATCH", "/v1/devices/a", {"label": {}}),
            (400, "bad-body", "PATCH", "/v1/devices/a", {"labels": {"a=b": "c"}}),
            (409, "limit-reached", "PATCH", "/v1/devices/a", {"labels": {str(each): "" for each in range(2000)}}),
            (400, "bad-query", "GET", "/v1/devices?limit=0", None),
            (400, "bad-query", "GET", "/v1/devices?limit=1001", None),
            (400, "bad-query", "GET", "/v1/devices?limit=many", None),
            (400, "bad-query", "GET", "/v1/devices?state=asleep", None),
            (400, "bad-query", "GET", "/v1/devices?selector=farm", None),
            (400, "bad-query", "GET", "/v1/devices?colour=red", None),
            (400, "bad-query", "GET", "/v1/devices?limit=1&limit=2", None),
            (400, "bad-request", "GET", "/v1/devices/%ff", None),
        )
        for case in cases:
            await self.refused(*case)

    async def test_errors_name_the_member(self) -> None:
        """A problem about a body lists the member that is wrong."""
        self.node.device("a")
        document = await self.refused(400, "bad-body", "PATCH", "/v1/devices/a", {"labels": 5})
        self.assertEqual(document["errors"][0]["field"], "labels")
