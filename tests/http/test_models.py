"""Tests of `lwm2md.http.models`: the list of object models, and the operator's own."""

from __future__ import annotations

from typing import Any

from lwm2md.coap import numbers as n
from lwm2md.http.openapi import document
from lwm2md.http.table import ROUTES
from lwm2md.lwm2m import ddf
from lwm2md.server.settings import ServerSettings
from tests.http.node import Answer
from tests.http.support import ApiTestCase
from tests.lwm2m.descriptions import described, file, item

DOOR = "/v1/models/32770/1.2"
TEMPERATURE = described(
    item(5700, Name="Heat", Type="String", RangeEnumeration="", Units="K"),
    Name="Oven",
    ObjectID="3303",
    ObjectVersion="1.1",
)


class ListTests(ApiTestCase):
    """What is known."""

    async def test_pages(self) -> None:
        """Models are listed in pages, by Object and version."""
        page = (await self.call("GET", "/v1/models?limit=2")).json
        first = page["items"][0]
        self.assertEqual(
            first,
            {
                "id": 0,
                "version": "1.0",
                "name": "LWM2M Security",
                "multiple": True,
                "mandatory": True,
                "lwm2m_version": "1.0",
                "source": "built-in",
            },
        )
        rest = (await self.call("GET", f"/v1/models?limit=1000&after={page['next']}")).json
        known = [(item["id"], item["version"]) for item in page["items"] + rest["items"]]
        self.assertEqual(len(set(known)), len(list(self.node.server.models)))
        self.assertIsNone(rest["next"])
        await self.refused(400, "bad-query", "GET", "/v1/models?after=ghost")
        unknown = (await self.call("GET", "/v1/models?limit=1&after=3:0.5")).json
        self.assertEqual((unknown["items"][0]["id"], unknown["items"][0]["version"]), (3, "1.0"))

    async def test_versions(self) -> None:
        """All versions of one Object are listed, each with where it comes from."""
        page = (await self.call("GET", "/v1/models/4")).json
        self.assertEqual([item["version"] for item in page["items"]], ["1.0", "1.1", "1.2", "1.3"])
        self.assertEqual({item["source"] for item in page["items"]}, {"built-in"})
        self.assertIsNone(page["next"])
        for path in ("9999", "70000", "x", "٣"):
            await self.refused(404, "unknown-model", "GET", f"/v1/models/{path}")

    async def test_one(self) -> None:
        """One version is shown with its Resources, whole."""
        found = (await self.call("GET", "/v1/models/3/1.2")).json
        self.assertEqual((found["name"], found["lwm2m_version"], len(found["resources"])), ("Device", "1.1", 23))
        self.assertEqual(
            found["resources"][9],
            {
                "id": 9,
                "name": "Battery Level",
                "operations": "R",
                "type": "integer",
                "multiple": False,
                "mandatory": False,
                "range": "0..100",
                "unit": "/100",
            },
        )
        await self.refused(404, "unknown-model", "GET", "/v1/models/3/9.9")
        await self.refused(404, "unknown-model", "GET", "/v1/models/9999/1.0")


class PutTests(ApiTestCase):
    """What operators put."""

    async def put(self, status: int, *objects: str) -> Any:
        """Put a file and see what comes of it."""
        seen = await self.call("PUT", "/v1/models", file(*objects))
        self.assertEqual(seen.status, status, seen.body)
        return seen

    async def test_put(self) -> None:
        """A model that is put is answered whole with its place, and shown from then on; again, it is replaced."""
        seen = await self.put(201, described())
        self.assertEqual(seen.headers["location"], DOOR)
        (door,) = seen.json["items"]
        self.assertEqual((door["name"], door["source"], door["resources"][0]["range"]), ("Door", "api", "0..180"))
        self.assertEqual((await self.call("GET", DOOR)).json, door)
        self.assertNotIn("location", (await self.put(200, described(Name="Gate"))).headers)
        self.assertEqual((await self.call("GET", DOOR)).json["name"], "Gate")
        self.assertEqual((await self.put(201, described(), described(ObjectVersion="2.0"))).json["remarks"], [])

    async def test_example(self) -> None:
        """The example of the OpenAPI document is a file that is taken, with nothing odd in it."""
        put = document(ROUTES, "0")["paths"]["/v1/models"]["put"]
        example = put["requestBody"]["content"]["application/xml"]["example"]
        seen = await self.call("PUT", "/v1/models", example.encode())
        self.assertEqual((seen.status, seen.json["remarks"]), (201, []))

    async def test_remarks(self) -> None:
        """What was odd in a file is told."""
        seen = await self.put(201, described(item(0, RangeEnumeration="some")))
        self.assertEqual(
            seen.json["remarks"],
            ["line 4, Object 32770/Item 0/RangeEnumeration: says nothing that can be checked"],
        )

    async def test_types_a_device(self) -> None:
        """A model is in force for every device at once, and what it hid is back when it is deleted."""
        device = self.node.device("a", registered=False)
        device.register("</3303/0>;ver=1.1,</32770/0>")
        device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"20.5")
        device.answers[n.GET, "/32770/0/0"] = Answer(n.CONTENT, b"45")

        async def read(path: str) -> tuple[object, ...]:
            (row,) = (await self.call("GET", f"/v1/devices/a/resources/{path}?format=text")).json["values"]
            return row["value"], row["type"], row["name"], row["unit"]

        self.assertEqual(await read("3303/0/5700"), (20.5, "float", "Sensor Value", None))
        await self.put(201, TEMPERATURE, described())
        self.assertEqual(await read("3303/0/5700"), ("20.5", "string", "Heat", "K"))
        self.assertEqual(await read("32770/0/0"), (45, "integer", "Angle", "deg"))
        self.assertEqual((await self.call("DELETE", "/v1/models/3303/1.1")).status, 204)
        self.assertEqual(await read("3303/0/5700"), (20.5, "float", "Sensor Value", None))
        self.assertEqual((await self.call("GET", "/v1/models/3303/1.1")).json["source"], "built-in")
        self.assertEqual((await self.call("DELETE", DOOR)).status, 204)
        await self.refused(404, "unknown-model", "GET", DOOR)

    async def test_delete(self) -> None:
        """Only what was put can be deleted, and that once."""
        await self.refused(409, "built-in-model", "DELETE", "/v1/models/3/1.0")
        await self.refused(404, "unknown-model", "DELETE", "/v1/models/3/7.7")
        await self.refused(404, "unknown-model", "DELETE", "/v1/models/x/1.0")
        self.node.server.library.use(ddf.read(file()).models)
        self.assertEqual((await self.call("GET", DOOR)).json["source"], "directory")
        await self.refused(409, "built-in-model", "DELETE", DOOR)
        await self.put(201, described(Name="Gate"))
        self.assertEqual((await self.call("GET", DOOR)).json["name"], "Gate")
        self.assertEqual((await self.call("DELETE", DOOR)).status, 204)
        self.assertEqual((await self.call("GET", DOOR)).json["name"], "Door")

    async def test_faults(self) -> None:
        """A file with faults changes nothing, and each is told with line and element."""
        body = file(described(), described(item("x"), item(1, Type="Text"), ObjectVersion="2.0"))
        problem = await self.refused(400, "bad-model", "PUT", "/v1/models", body)
        self.assertEqual(
            [each["field"] for each in problem["errors"]],
            ["line 7, Object 32770/Item", "line 8, Object 32770/Item 1/Type"],
        )
        self.assertIn("line 7, Object 32770/Item: an id", problem["detail"])
        for wrong in (b"", b"{}", b"<LWM2M/>", b"\xff\xfe"):
            await self.refused(400, "bad-model", "PUT", "/v1/models", wrong)
        await self.refused(404, "unknown-model", "GET", DOOR)

    async def test_limit(self) -> None:
        """No more are kept than the configuration says; those that are there can be replaced."""
        self.node.server.configure(ServerSettings(models=2))
        await self.put(201, described(), described(ObjectVersion="2.0"))
        await self.refused(409, "limit-reached", "PUT", "/v1/models", file(described(ObjectVersion="3.0")))
        await self.put(200, described(Name="Gate"))

    async def test_storage_fails(self) -> None:
        """A model that was not stored is not in force, and one whose removal was not stays."""
        await self.put(201, described())
        self.node.storage.close()
        await self.refused(503, "storage-failed", "PUT", "/v1/models", file(described(Name="Gate")))
        await self.refused(503, "storage-failed", "DELETE", DOOR)
        self.assertEqual((await self.call("GET", DOOR)).json["name"], "Door")


class SubstituteTests(ApiTestCase):
    """Objects in versions that have no model."""

    async def test_told(self) -> None:
        """The version of the model that is used is shown, and a notice says where it is not the registered one."""
        device = self.node.device("a", registered=False)
        device.register("</3/0>;ver=1.1,</3303/0>;ver=2.7,</4/0>;ver=0.9,</9999/0>;ver=3.1")
        found = (await self.call("GET", "/v1/devices/a/objects")).json
        self.assertEqual(
            {item["id"]: (item["version"], item["model_version"]) for item in found["items"]},
            {3: ("1.1", "1.1"), 3303: ("2.7", "1.1"), 4: ("0.9", "1.0"), 9999: ("3.1", None)},
        )
        self.assertEqual(
            found["notices"],
            [
                "object 4 version 0.9: the model of version 1.0 is used",
                "object 3303 version 2.7: the model of version 1.1 is used",
                "object 9999 version 3.1: no model is known",
            ],
        )
        await self.call("PUT", "/v1/models", file(described(ObjectID="3303", ObjectVersion="2.7")))
        found = (await self.call("GET", "/v1/devices/a/objects")).json
        self.assertEqual([item["model_version"] for item in found["items"] if item["id"] == 3303], ["2.7"])
