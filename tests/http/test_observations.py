"""Tests of `lwm2md.http.observations`."""

from __future__ import annotations

from typing import Any

from lwm2md.coap import numbers as n
from tests.http.node import Answer
from tests.http.support import ApiTestCase

PATH = "/v1/devices/a/observations/3303/0/5700"
COMPOSITE = "/v1/devices/a/observations"


class ObservationsTests(ApiTestCase):
    """Standing wishes, made, changed, shown and cancelled."""

    def setUp(self) -> None:
        super().setUp()
        self.device = self.node.device("a")
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"21.5")
        self.device.answers[n.PUT, "/3303/0/5700"] = Answer(n.CHANGED)

    async def test_life(self) -> None:
        """An observation is created, then replaced, shown by path and by id, and cancelled."""
        seen = await self.call("PUT", PATH)
        self.assertEqual((seen.status, seen.json["state"], seen.json["path"]), (201, "active", "/3303/0/5700"))
        again = await self.call("PUT", PATH, {"pmin": 1, "pmax": 60, "gt": 30.5})
        self.assertEqual((again.status, again.json["id"]), (200, seen.json["id"]))
        self.assertEqual(again.json["attributes"], {"pmin": 1, "pmax": 60, "gt": 30.5})
        for path in (PATH, f"/v1/observations/{again.json['id']}"):
            self.assertEqual((await self.call("GET", path)).json["id"], again.json["id"])
        for path in ("/v1/observations", "/v1/observations?endpoint=a", "/v1/devices/a/observations"):
            self.assertEqual([each["id"] for each in (await self.call("GET", path)).json["items"]], [again.json["id"]])
        self.assertEqual((await self.call("DELETE", PATH)).status, 204)
        await self.refused(404, "unknown-observation", "GET", PATH)

    async def test_composite(self) -> None:
        """Several paths are observed as one, found and cancelled by its id; the same set is the same one."""
        values = b'[{"n":"/3/0/9","v":7},{"n":"/3303/0/5700","v":21.5}]'
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, values, n.SENML_JSON)
        made = await self.call("POST", COMPOSITE, {"paths": ["/3/0/9", "/3303/0/5700"], "format": "senml-json"})
        self.assertEqual((made.status, made.json["state"], made.json["path"]), (201, "active", "/"))
        self.assertEqual((made.json["paths"], made.json["format"]), (["/3/0/9", "/3303/0/5700"], "senml-json"))
        again = await self.call("POST", COMPOSITE, {"paths": ["/3303/0/5700", "/3/0/9"]})
        self.assertEqual((again.status, again.json["id"]), (200, made.json["id"]))
        self.assertEqual((await self.call("GET", made.headers["location"])).json["id"], made.json["id"])
        self.assertEqual(len((await self.call("GET", COMPOSITE)).json["items"]), 1)
        twin = await self.call("GET", "/v1/devices/a/resources/3/0/9?source=twin")
        self.assertEqual(twin.json["values"][0]["value"], 7)
        self.assertEqual((await self.call("DELETE", made.headers["location"])).status, 204)
        self.assertEqual((await self.call("GET", COMPOSITE)).json["items"], [])

    async def test_attributes_of_a_composite(self) -> None:
        """Several paths have some attributes together; they are shown, and replaced when the wish is put again."""
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, b'[{"n":"/3/0/9","v":7}]', n.SENML_JSON)
        self.device.answers[n.PUT, "/3/0/9"] = Answer(n.CHANGED)
        made = await self.call("POST", COMPOSITE, {"paths": ["/3/0/9"], "pmin": 5, "epmax": 60})
        self.assertEqual((made.status, made.json["attributes"]), (201, {"pmin": 5, "epmax": 60}))
        operation = {"op": "observe-composite", "paths": ["/3/0/9"], "attributes": {"pmax": 9}}
        await self.call("POST", "/v1/devices/a/operations", operation)
        shown = (await self.call("GET", made.headers["location"])).json
        self.assertEqual(shown["attributes"], {"pmax": 9})

    async def test_rate(self) -> None:
        """How many notifications come in an hour is shown, at whatever pace the device sends them."""
        await self.call("PUT", PATH)
        self.assertIsNone((await self.call("GET", PATH)).json["rate"])
        for _ in range(6):
            self.node.clock.advance(300)
            self.device.notify(b"21")
        shown = (await self.call("GET", PATH)).json
        self.assertEqual((shown["notifications"], shown["rate"]), (6, 12.0))

    async def test_bad_composite(self) -> None:
        """What is wrong with a composite observation is said by its member."""
        for body, code, field in (
            ({}, "bad-body", "paths"),
            ({"paths": []}, "bad-operation", "paths"),
            ({"paths": ["3"]}, "bad-operation", "paths"),
            ({"paths": ["/3"] * 2}, "bad-operation", "paths"),
            ({"paths": ["/3/0/4"]}, "bad-operation", "paths"),
            ({"paths": ["/3"], "format": "tlv"}, "bad-operation", "format"),
            ({"paths": ["/3"], "gt": 1}, "bad-body", "gt"),
            ({"paths": ["/3"], "pmin": -1}, "bad-operation", "attributes"),
        ):
            document = await self.refused(400, code, "POST", COMPOSITE, body)
            self.assertEqual(document["errors"][0]["field"], field, body)
        self.assertEqual(self.device.requests, [])

    async def test_by_id(self) -> None:
        """An observation is cancelled by its id, too."""
        made = (await self.call("PUT", PATH)).json
        self.assertEqual((await self.call("DELETE", f"/v1/observations/{made['id']}")).status, 204)
        self.assertEqual((await self.call("GET", "/v1/observations")).json["items"], [])

    async def test_notified(self) -> None:
        """A notification shows in the observation and in the twin."""
        await self.call("PUT", PATH)
        self.device.notify(b"22")
        self.assertEqual((await self.call("GET", PATH)).json["notifications"], 1)
        seen = await self.call("GET", "/v1/devices/a/resources/3303/0/5700?source=twin")
        self.assertEqual(seen.json["values"][0]["value"], 22)

    async def test_queued(self) -> None:
        """A wish for a device that does not answer yet is 202, and stands."""
        self.device.mute = True
        seen = await self.call("PUT", PATH + "?wait=0")
        self.assertEqual((seen.status, seen.json["state"]), (202, "pending"))
        self.assertEqual((await self.call("GET", PATH)).json["state"], "pending")

    async def test_refused_by_device(self) -> None:
        """A wish that the device refuses stands, and says so."""
        seen = await self.call("PUT", "/v1/devices/a/observations/3/0/1")
        self.assertEqual((seen.status, seen.json["state"]), (201, "refused"))

    async def test_storage_failed(self) -> None:
        """A wish that could not be stored is not made."""
        self.node.storage.close()
        await self.refused(503, "storage-failed", "PUT", PATH)
        await self.refused(404, "unknown-observation", "GET", PATH)

    async def test_bad_input(self) -> None:
        """What is wrong with a call is said."""
        cases: tuple[tuple[Any, ...], ...] = (
            (400, "bad-body", "PUT", PATH, {"pmin": "often"}),
            (400, "bad-body", "PUT", PATH, {"colour": 1}),
            (400, "bad-operation", "PUT", PATH, {"pmin": -1}),
            (400, "bad-operation", "PUT", PATH, {"st": -1}),
            (400, "bad-json", "PUT", PATH, b"{"),
            (400, "bad-path", "PUT", "/v1/devices/a/observations/x"),
            (404, "unknown-device", "PUT", "/v1/devices/ghost/observations/3/0/1"),
            (404, "unknown-device", "GET", "/v1/devices/ghost/observations"),
            (404, "unknown-observation", "GET", PATH),
            (404, "unknown-observation", "DELETE", PATH),
            (404, "unknown-observation", "GET", "/v1/observations/ghost"),
            (404, "unknown-observation", "DELETE", "/v1/observations/ghost"),
        )
        for case in cases:
            await self.refused(*case)
