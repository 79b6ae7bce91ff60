"""Tests of `lwm2md.http.profiles`."""

from __future__ import annotations

from tests.http.support import ApiTestCase

LINKS = "</1/0>,</3/0>,</3303/0>;ver=1.1"


class ProfilesTests(ApiTestCase):
    """Profile ids and the lists that they stand for."""

    async def test_life(self) -> None:
        """One is made, shown, replaced, listed and removed."""
        made = await self.call("PUT", "/v1/profile-ids/oma:sensor", {"links": LINKS})
        self.assertEqual((made.status, made.json), (201, {"pid": "oma:sensor", "links": LINKS}))
        again = await self.call("PUT", "/v1/profile-ids/oma:sensor", {"links": "</3/0>"})
        self.assertEqual((again.status, again.json["links"]), (200, "</3/0>"))
        await self.call("PUT", "/v1/profile-ids/1%3Aab%2Fcd", {"links": LINKS})
        seen = await self.call("GET", "/v1/profile-ids/oma:sensor")
        self.assertEqual(seen.json, {"pid": "oma:sensor", "links": "</3/0>"})
        first = await self.call("GET", "/v1/profile-ids?limit=1")
        self.assertEqual(([item["pid"] for item in first.json["items"]], first.json["next"]), (["1:ab/cd"], "1:ab/cd"))
        gone = await self.call("DELETE", "/v1/profile-ids/oma:sensor")
        self.assertEqual(gone.status, 204)
        for method in ("GET", "DELETE"):
            missing = await self.call(method, "/v1/profile-ids/oma:sensor")
            self.assertEqual((missing.status, missing.json["code"]), (404, "unknown-profile-id"))

    async def test_used(self) -> None:
        """A device that registers with nothing but the id has the list."""
        await self.call("PUT", "/v1/profile-ids/oma:sensor", {"links": LINKS})
        device = self.node.device("d", registered=False)
        device.register("", "pid=oma:sensor")
        seen = await self.call("GET", "/v1/devices/d")
        self.assertEqual(seen.json["objects"], ["/1/0", "/3/0", "/3303/0"])

    async def test_refused(self) -> None:
        """What is no list, or no id that a device could name, is refused by its field."""
        for pid, links, field in (("a", "no links", "links"), ("a", "", "links"), ("a%2Cb", LINKS, "pid")):
            seen = await self.call("PUT", f"/v1/profile-ids/{pid}", {"links": links})
            self.assertEqual(
                (seen.status, seen.json["code"], seen.json["errors"][0]["field"]), (400, "bad-operation", field)
            )
        seen = await self.call("PUT", "/v1/profile-ids/a", {"links": 1})
        self.assertEqual((seen.status, seen.json["code"]), (400, "bad-body"))
