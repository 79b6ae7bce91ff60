"""Tests of `lwm2md.http.deviceprofiles`, and of giving a device a profile by hand."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from lwm2md.coap import numbers as n
from lwm2md.server.known import Habits
from tests.http.node import Answer
from tests.http.support import ApiTestCase

SHIPPED = (files("lwm2md.server") / "deviceprofiles.json").read_text(encoding="utf-8")
BODY = {"match": {"endpoint": "d*"}, "set": {"awake": 20, "formats": ["tlv", "text"]}, "priority": 5, "note": "ours"}


class ProfilesTests(ApiTestCase):
    """Device profiles, and what they make of a device."""

    def setUp(self) -> None:
        super().setUp()
        self.node.server.device_profiles.ship(SHIPPED)

    async def effective(self, endpoint: str = "d") -> tuple[dict[str, Any], dict[str, tuple[Any, Any, Any]]]:
        """The document of a device's profile, and its values by name."""
        seen = await self.call("GET", f"/v1/devices/{endpoint}/profile")
        self.assertEqual(seen.status, 200, seen.body)
        rows = {row["name"]: (row["value"], row["source"], row["profile"]) for row in seen.json["values"]}
        return seen.json, rows

    async def test_life(self) -> None:
        """One is made, shown, replaced, listed and taken back."""
        made = await self.call("PUT", "/v1/profiles/ours", BODY)
        self.assertEqual((made.status, made.json), (201, {"name": "ours", **BODY, "source": "api"}))
        again = await self.call("PUT", "/v1/profiles/ours", {})
        plain = {"name": "ours", "match": {}, "set": {}, "priority": 0, "note": "", "source": "api"}
        self.assertEqual((again.status, again.json), (200, plain))
        listed = (await self.call("GET", "/v1/profiles?limit=1000")).json["items"]
        self.assertEqual([item["source"] for item in listed if item["name"] in ("ours", "zephyr")], ["api", "shipped"])
        self.assertEqual((await self.call("GET", "/v1/profiles/ours")).json, again.json)
        self.assertEqual((await self.call("DELETE", "/v1/profiles/ours")).status, 204)
        for method in ("GET", "DELETE"):
            await self.refused(404, "unknown-profile", method, "/v1/profiles/ours")

    async def test_shipped(self) -> None:
        """A shipped one can't be taken back, but another of its name stands in for it."""
        await self.refused(409, "shipped-profile", "DELETE", "/v1/profiles/zephyr")
        self.assertEqual((await self.call("PUT", "/v1/profiles/zephyr", {})).status, 200)
        self.assertEqual((await self.call("DELETE", "/v1/profiles/zephyr")).status, 204)
        self.assertEqual((await self.call("GET", "/v1/profiles/zephyr")).json["source"], "shipped")

    async def test_refused(self) -> None:
        """What does not fit is refused by its field."""
        for body, code, field in (
            ({"set": {"awake": 0}}, "bad-body", "set.awake"),
            ({"set": {"block_size": 100}}, "bad-body", "set.block_size"),
            ({"set": {"formats": ["xml"]}}, "bad-body", "set.formats[0]"),
            ({"set": {"name": "x"}}, "bad-body", "set.name"),
            ({"match": {"vendor": "x"}}, "bad-body", "match.vendor"),
            ({"match": {"labels": "x"}}, "bad-operation", "match.labels"),
        ):
            found = await self.refused(400, code, "PUT", "/v1/profiles/p", body)
            self.assertEqual(found["errors"][0]["field"], field, body)

    async def test_whole_numbers(self) -> None:
        """An integer may be written with a fraction of nothing, as some languages do; another fraction is refused."""
        seen = await self.call("PUT", "/v1/profiles/p", b'{"set": {"observations": 1e1}, "priority": -2.0}')
        self.assertEqual((seen.status, seen.json["set"], seen.json["priority"]), (201, {"observations": 10}, -2))
        await self.refused(400, "bad-body", "PUT", "/v1/profiles/p", b'{"priority": 2.5}')
        await self.refused(400, "bad-body", "PUT", "/v1/profiles/p", b'{"priority": 1e300}')

    async def test_effective(self) -> None:
        """Each value is shown with who says it; what nobody says is the settings', or nothing."""
        device = self.node.device("d")
        device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"Zephyr Project")
        await self.call("GET", "/v1/devices/d/resources/3/0/0")
        await self.call("PUT", "/v1/profiles/ours", BODY)
        await self.call("PUT", "/v1/profiles/mine", {"set": {"nat": 30}})
        await self.call("PATCH", "/v1/devices/d", {"profile": "mine"})
        document, rows = await self.effective()
        self.assertEqual((document["hand"], document["profiles"]), ("mine", ["mine", "ours", "zephyr"]))
        self.assertEqual((document["manufacturer"], document["model"]), ("Zephyr Project", None))
        self.assertEqual(rows["nat"], (30, "hand", "mine"))
        self.assertEqual(rows["awake"], (20, "profile", "ours"))
        self.assertEqual(rows["formats"], (["tlv", "text"], "profile", "ours"))
        self.assertEqual(rows["observations"], (16, "shipped", "zephyr"))
        self.assertEqual(rows["ack_timeout"], (2.0, "settings", None))
        self.assertEqual((rows["send"], rows["fetch"]), (("accept", "settings", None), (None, None, None)))
        await self.refused(404, "unknown-device", "GET", "/v1/devices/ghost/profile")

    async def test_learned(self) -> None:
        """What the device has shown is there, and the formats that it has refused."""
        device = self.node.device("d")
        device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        await self.call("POST", "/v1/devices/d/operations", {"op": "read-composite", "paths": ["/3/0/0"]})
        device.answers[n.GET, "/3/0"] = Answer(n.NOT_ACCEPTABLE)
        await self.call("GET", "/v1/devices/d/resources/3/0")
        self.node.server.devices["d"].habits = Habits(awake=12.5)
        document, rows = await self.effective()
        self.assertEqual(rows["awake"], (12.5, "learned", None))
        self.assertEqual((rows["fetch"], rows["composite"]), ((True, "learned", None), (False, "learned", None)))
        self.assertEqual(document["retry"], "2026-01-08T00:00:00Z")
        self.assertIn({"use": "read", "format": "tlv"}, document["refused_formats"])

    async def test_by_hand(self) -> None:
        """A profile is given and taken beside labels; a name that is none changes nothing."""
        self.node.device("d")
        seen = await self.call("PATCH", "/v1/devices/d", {"labels": {"a": "1"}, "profile": "nb-iot"})
        self.assertEqual((seen.json["profile"], seen.json["labels"]), ("nb-iot", {"a": "1"}))
        found = await self.refused(
            400, "bad-operation", "PATCH", "/v1/devices/d", {"labels": {"a": None}, "profile": "x"}
        )
        self.assertEqual(found["errors"][0]["field"], "profile")
        seen = await self.call("PATCH", "/v1/devices/d", {"labels": {"b": "2"}})
        self.assertEqual((seen.json["profile"], seen.json["labels"]), ("nb-iot", {"a": "1", "b": "2"}))
        seen = await self.call("PATCH", "/v1/devices/d", {"profile": None})
        self.assertEqual((seen.status, seen.json["profile"]), (200, None))


class DeviationsTests(ApiTestCase):
    """The overview of deviations."""

    async def test_overview(self) -> None:
        """Kinds have the number of their devices, meaning and advice, in pages; of a kind the devices are listed."""
        for name in ("a", "b"):
            self.node.device(name, registered=False).register("</3/0>, </1/0>,")
        self.node.device("c", registered=False).register("</3/0>, </1/0>")
        seen = (await self.call("GET", "/v1/deviations")).json
        kinds = {item["kind"]: (item["devices"], item["count"]) for item in seen["items"]}
        self.assertEqual(kinds, {"empty-link": (2, 2), "white-space": (3, 3)})
        self.assertTrue(all(item["meaning"] and item["advice"] for item in seen["items"]))
        first = (await self.call("GET", "/v1/deviations?limit=1")).json
        self.assertEqual(([item["kind"] for item in first["items"]], first["next"]), (["empty-link"], "empty-link"))
        devices = (await self.call("GET", "/v1/deviations/white-space?after=a")).json
        self.assertEqual([(item["endpoint"], item["count"]) for item in devices["items"]], [("b", 1), ("c", 1)])
        self.assertEqual((await self.call("GET", "/v1/deviations/nothing")).json, {"items": [], "next": None})

    async def test_metrics(self) -> None:
        """They are counted by kind, and so are the devices that have them."""
        self.node.device("a", registered=False).register("</3/0>, </1/0>")
        self.node.device("a2", registered=False).register("</3/0>, </1/0>")
        text = (await self.call("GET", "/metrics")).body.decode()
        self.assertIn('lwm2md_deviations_total{kind="white-space"} 2.0', text)
        self.assertIn('lwm2md_deviating_devices{kind="white-space"} 2.0', text)
