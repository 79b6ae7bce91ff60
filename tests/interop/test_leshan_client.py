"""Eclipse Leshan's client engine as the device, driven through ``/v1``: its integration tests' list, seen from here.

Every operation, level, format and type that it has; the object of types is 3442, Leshan's own test object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests.daemons import Daemon
from tests.interop.through import Through, values
from tests.peers.leshan_client import LeshanClient

SEVERAL = ("tlv", "json", "senml-json", "senml-cbor")
"""The formats that hold more than one value."""
SINGLE = ("text", "cbor", *SEVERAL)
COMPOSITE = ("senml-json", "senml-cbor")

VALUES: dict[int, tuple[Any, Any]] = {
    110: ("", "Zürich 5\u20ac"),
    120: (-(2**63), 2**63 - 1),
    125: (0, 2**63 - 1),
    130: (-0.125, 1.5e300),
    140: (True, False),
    150: ("3q2+7w==", ""),
    160: ("1970-01-01T00:00:01Z", "2026-11-22T10:00:00Z"),
    170: ("3:0", "65535:65535"),
    180: ("</3/0>", "</3442/0/120>;pmin=5"),
}
"""Two values of each type, by the Resource of 3442 that has it; the Resource 1000 above has several."""


class LeshanClientTestCase(TestCase):
    """A daemon and a client, each in a process of its own."""

    timeout = 120

    async def start(self, *, version: str = "1.1", formats: Sequence[int] = ()) -> Through:
        """Start both, and wait until the client is registered."""
        self.daemon = await Daemon.start(self)
        self.client = LeshanClient.start(self, self.daemon.coap, "leshan", version=version, formats=formats)
        await self.client.registered()
        return Through(self, self.daemon, "leshan")

    async def clear(self, device: Through) -> None:
        """Take all values of 3442 away."""
        await device.do("execute", "/3442/0/2")


class ValueTests(LeshanClientTestCase):
    """Read and Write of every type in every format on every level."""

    async def test_every_type_in_every_format(self) -> None:
        """Each value comes back as it was written, as Resource and as Resource Instance."""
        device = await self.start()
        for resource, pair in VALUES.items():
            path, several = f"/3442/0/{resource}", f"/3442/0/{resource + 1000}"
            formats = ("text", "cbor", "opaque", *SEVERAL) if resource == 150 else SINGLE
            for name in formats:
                for value in pair:
                    await device.do("write", path, value=value, format=name)
                    self.assertEqual(await device.read(path, name), {path: value}, name)
            for name in SEVERAL:
                written = {str(index): value for index, value in zip((0, 300), pair, strict=True)}
                await device.do("write", several, value=written, format=name)
                expected = {f"{several}/{index}": value for index, value in written.items()}
                self.assertEqual(await device.read(several, name), expected, name)
            for name in formats:
                for value in (pair[1], pair[0]):
                    await device.do("write", f"{several}/300", value=value, format=name)
                    self.assertEqual(await device.read(f"{several}/300", name), {f"{several}/300": value}, name)

    async def test_instances_and_objects(self) -> None:
        """Object Instances are replaced and written in part, and read alone and all together, in every format."""
        device = await self.start()
        one = {str(resource): pair[0] for resource, pair in VALUES.items()}
        several = {f"{resource + 1000}/7": pair[1] for resource, pair in VALUES.items()}
        whole = {f"/3442/0/{key}": value for key, value in {**one, **several}.items()}
        for name in SEVERAL:
            await self.clear(device)
            await device.do("write", "/3442/0", values={**one, **several}, format=name)
            self.assertEqual(await device.read("/3442/0", name), whole, name)
            await device.do("write-partial", "/3442/0", values={"110": "part", "1120/8": 8}, format=name)
            changed = {**whole, "/3442/0/110": "part", "/3442/0/1120/8": 8}
            self.assertEqual(await device.read("/3442/0", name), changed, name)
            self.assertEqual(await device.read("/3442", name), changed, name)
            await device.do("write", "/3442/0", values={"120": 5}, format=name)
            self.assertEqual(await device.read("/3442/0", name), {"/3442/0/120": 5}, name)

    async def test_defaults(self) -> None:
        """Without a format named each level is read and written in what the version and the device's list suggest."""
        device = await self.start()
        self.assertEqual((await device.do("read", "/3303"))["format"], "senml-cbor")
        self.assertEqual((await device.do("read", "/3303/0/5700"))["format"], "senml-cbor")
        await device.call("PUT", "/resources/3442/0/1120", body={"value": {"0": 1, "9": 2}})
        self.assertEqual(await device.read("/3442/0/1120"), {"/3442/0/1120/0": 1, "/3442/0/1120/9": 2})
        await device.call("PUT", "/resources/3442/0/1120", body={"value": {}})
        self.assertEqual(await device.read("/3442/0/1120"), {})
        await device.call("PUT", "/resources/3442/0/110", body={"value": "hej"})
        await self.client.done("write /3442/0/110 2.04 replace hej")
        await device.call("PUT", "/resources/3442/0/150", body={"value": "3q2+7w=="})
        await self.client.done("write /3442/0/150 2.04 replace deadbeef")

    async def test_older_version(self) -> None:
        """A client of LwM2M 1.0 is read and written in TLV, and asked nothing that its version has not."""
        device = await self.start(version="1.0")
        self.assertEqual((await device.do("read", "/3"))["format"], "tlv")
        await device.do("write-partial", "/3441/0", values={"110": "old", "1120": [4, 5]})
        for name in ("tlv", "json"):
            found = await device.read("/3441/0", name)
            self.assertEqual((found["/3441/0/110"], found["/3441/0/1120/1"]), ("old", 5))
        for op, fields in (
            ("read-composite", {"paths": ["/3/0/0"]}),
            ("write-composite", {"values": {"/3/0/14": "+01"}}),
            ("observe-composite", {"paths": ["/3/0/0"]}),
        ):
            self.assertIn("needs LwM2M 1.1", await device.refused(op, None, "op", **fields))
        self.assertIn("needs LwM2M 1.1", await device.refused("read", "/3/0/6/0", "path"))

    async def test_older_formats(self) -> None:
        """A client of LwM2M 1.1 that has the formats of 1.0 only is read and written in TLV, and has no composites."""
        device = await self.start(formats=(n.TLV, n.JSON, n.TEXT, n.OPAQUE))
        self.assertEqual((await device.do("read", "/3"))["format"], "tlv")
        await device.do("write-partial", "/3442/0", values={"110": "old", "1120": [4, 5]})
        self.assertEqual((await device.read("/3442/0/1120/1", "json")), {"/3442/0/1120/1": 5})
        for name in ("senml-json", "senml-cbor", "cbor"):
            await device.do("read", "/3442/0/110", format=name, code="4.06")
            await device.do("write", "/3442/0/110", value="x", format=name, code="4.15")
        await device.do("read-composite", paths=["/3/0/0"], code="4.06")


class OperationTests(LeshanClientTestCase):
    """Create, Delete, Execute, Discover, Write-Attributes, the composite operations, and their errors."""

    async def test_create_and_delete(self) -> None:
        """Instances come with and without an id, in every format, with their values, and go; the list follows."""
        device = await self.start()
        events = await self.daemon.events("types=device.updated")
        for identifier, name in enumerate(SEVERAL, 10):
            given = {"120": identifier, "1110/3": "three"}
            made = await device.do("create", "/3442", id=identifier, values=given, format=name)
            self.assertEqual((made["coap_code"], made["result"]["location"]), ("2.01", f"/3442/{identifier}"))
            found = await device.read(f"/3442/{identifier}")
            self.assertEqual(
                (found[f"/3442/{identifier}/120"], found[f"/3442/{identifier}/1110/3"]), (identifier, "three")
            )
        made = await device.do("create", "/3442", values={"110": "chosen"})
        self.assertEqual(made["result"]["location"], "/3442/14")
        self.assertEqual((await device.read("/3442/14/110"))["/3442/14/110"], "chosen")
        made = await device.do("create", "/3303", values={"5750": "cellar"})
        self.assertEqual(made["result"]["location"], "/3303/2")
        found = await device.read("/3303/2")
        self.assertEqual((found["/3303/2/5700"], found["/3303/2/5750"]), (0.0, "cellar"))
        self.assertIn("is there already", await device.refused("create", "/3442", "id", id=14, values={"110": "x"}))
        await device.do("create", "/3442", id=14, values={"110": "x"}, force=True, code="4.00")
        await device.refused("create", "/3", "path", values={"14": "x"})
        await device.do("create", "/3", id=0, values={"14": "x"}, force=True, code="4.00")
        await device.do("create", "/4242", id=0, values={"1": "x"}, force=True, code="4.04")
        for path in ("/3442/14", "/3303/2"):
            self.assertEqual((await device.do("delete", path))["coap_code"], "2.02")
            await device.do("read", path, force=True, code="4.04")
        await device.do("delete", "/3442/14", force=True, code="4.04")
        await device.do("delete", "/3/0", force=True, code="4.05")
        await device.do("delete", "/0/0", force=True, code="4.04")
        # Leshan tells its list a little later, and once for several changes.
        while "/3442/14" in (objects := (await device.call("GET", ""))["objects"]) or "/3303/2" in objects:
            await events.next("device.updated")
        self.assertIn("/3442/13", objects)
        await device.refused("read", "/3303/2", "path")
        await device.do("create", "/1", id=5, values={"1": 60}, force=True, code="4.00")
        await device.do("write", "/1/0", values={"1": 60}, force=True, code="4.00")
        for identifier in (0, 10, 11, 12, 13):
            await device.do("delete", f"/3442/{identifier}")
        for name in SEVERAL:
            self.assertEqual(await device.read("/3442", name), {})

    async def test_execute(self) -> None:
        """Arguments arrive in order and are kept; what can't be executed is refused here, and by the device."""
        device = await self.start()
        for arguments, text in (
            ({}, ""),
            ({"0": None}, "0"),
            ({"0": "a", "1": None, "9": "http://x/?y=1&z=!"}, "0='a',1,9='http://x/[?]y=1&z=!'"),
        ):
            await device.do("execute", "/3442/0/3", arguments=arguments or None)
            await self.client.done(f"execute /3442/0/3 2.04 ?{text}$")
        self.assertEqual((await device.read("/3442/0/4"))["/3442/0/4/0"], "a")
        await device.refused("execute", "/3442/0/3", "arguments", arguments={"0": "it's"})
        for path, code in (("/3/0/0", "4.05"), ("/3/0/14", "4.05"), ("/3/0/99", "4.04"), ("/77/0/1", "4.04")):
            await device.do("execute", path, force=True, code=code)
        await device.refused("execute", "/3/0/0", "path")
        await device.refused("execute", "/3", "path")

    async def test_discover_and_attributes(self) -> None:
        """Discover shows objects, instances, Resources and their attributes, which are set, inherited and unset."""
        device = await self.start()
        await device.do("write", "/3442/0/1120", value=[1, 2])
        whole = await device.links("/3442")
        self.assertIn("/3442/0", whole)
        self.assertEqual(whole["/3442/0/1120"], {"dim": "2"})
        self.assertIn("/3442/0/110", await device.links("/3442/0"))
        found = await device.links("/3442/0/1120")
        self.assertEqual((found["/3442/0/1120"]["dim"], sorted(found)[1:]), ("2", ["/3442/0/1120/0", "/3442/0/1120/1"]))
        self.assertEqual(list(await device.links("/3442/0/110")), ["/3442/0/110"])
        for path in ("/4242", "/3/9", "/3/0/99"):
            await device.do("discover", path, force=True, code="4.04")

        for path, given in (
            ("/3303", {"pmin": 5, "pmax": 600}),
            ("/3303/0", {"epmin": 1, "epmax": 9}),
            ("/3303/0/5700", {"gt": 30.5, "lt": -5, "st": 0.5}),
            ("/3442/0/1120/1", {"pmin": 3}),
        ):
            self.assertEqual((await device.do("write-attributes", path, attributes=given))["coap_code"], "2.04")
        links = await device.links("/3303")
        self.assertEqual(links["/3303"], {"ver": "1.1", "pmin": "5", "pmax": "600"})
        self.assertEqual(links["/3303/0"], {"epmin": "1", "epmax": "9"})
        shown = {name: float(value) for name, value in links["/3303/0/5700"].items()}
        self.assertEqual(shown, {"gt": 30.5, "lt": -5.0, "st": 0.5})
        await device.do("write-attributes", "/3303/0/5700", attributes={"gt": None, "st": None})
        self.assertEqual({*(await device.links("/3303/0"))["/3303/0/5700"]}, {"lt"})
        for wrong in (
            {"pmin": 9, "pmax": 2},
            {"epmin": 9, "epmax": 2},
            {"gt": 1, "lt": 2},
            {"gt": 3, "lt": 1, "st": 1},
        ):
            await device.refused("write-attributes", "/3303/0/5700", "attributes", attributes=wrong)
        # Each of these is right in itself, and wrong beside what the device has.
        await device.do("write-attributes", "/3303/0/5700", attributes={"gt": -7}, code="4.00")
        for name in ("edge", "con", "hqmax"):
            await device.refused("write-attributes", "/3442/0/140", "attributes", attributes={name: 1})

    async def test_composite(self) -> None:
        """Paths of every level are read together, and values of several Objects written together, in both formats."""
        device = await self.start()
        paths = ["/3/0/0", "/3303/1", "/3442/0/1120/4", "/3/0/99", "/1"]
        for number, name in enumerate(COMPOSITE):
            written = {"/3/0/14": f"+0{number}", "/3442/0/120": number, "/3442/0/1120": {"4": number, "5": 5}}
            await device.do("write-composite", values=written, format=name)
            found = values((await device.do("read-composite", paths=paths, format=name))["result"])
            expected = {"/3/0/0": "Example Works", "/3303/1/5700": -4.25, "/3442/0/1120/4": number, "/1/0/1": 300}
            self.assertEqual({path: found.get(path) for path in expected}, expected)
            self.assertNotIn("/3442/0/1120/5", found)
            everything = values((await device.do("read-composite", paths=["/"], format=name))["result"])
            self.assertEqual((everything["/3/0/14"], everything["/3442/0/120"]), (f"+0{number}", number))
            self.assertFalse([path for path in everything if path.startswith("/0/")])
        await device.refused("write-composite", None, "values", values={"/3/0/0": "read-only"})
        both = {"/3442/0/120": 77, "/3/0/0": "read-only"}
        await device.do("write-composite", values=both, force=True, code="4.05")
        self.assertNotEqual((await device.read("/3442/0/120"))["/3442/0/120"], 77)
        await device.refused("write-composite", None, "values", values={"/3442/0/1120/4": None})
        await device.refused("read-composite", None, "format", paths=paths, format="tlv")

    async def test_errors(self) -> None:
        """What a device refuses is shown with its code and its words, and what is refused here sends nothing."""
        device = await self.start()
        for path, code in (
            ("/3/0/4", "4.05"),
            ("/3/0/99", "4.04"),
            ("/3/7", "4.04"),
            ("/4242", "4.04"),
            ("/0", "4.04"),
        ):
            await device.do("read", path, force=True, code=code)
        failed = await device.do("read", "/3/0/0/0", force=True, code="4.00")
        self.assertIn("invalid path", failed["error"].lower())
        for path, code in (("/3/0/0", "4.05"), ("/3/0/99", "4.04"), ("/4242/0/1", "4.04")):
            await device.do("write", path, value="x", force=True, code=code)
        await device.do("write", "/3442/0/120", value="no number", force=True, format="text", code="4.00")
        # Leshan finds out too late that no text holds a whole Object.
        await device.do("read", "/3", format="text", force=True, code="5.00")
        problem = await device.call("GET", "/resources/3/0/4?force=true", 502)
        self.assertEqual((problem["coap_code"], problem["code"]), ("4.05", "device-error"))
        seen = self.client.process.mark()
        await device.refused("write", "/3442/0/120", "value", value="no number")
        await device.refused("write", "/3/0/0", "value", value="x")
        await device.refused("read", "/3/0/4", "path")
        await device.read("/3/0/0")
        self.assertEqual(self.client.process.lines[seen:], ["read /3/0/0 2.05"])


class ObserveTests(LeshanClientTestCase):
    """Observations of every level, and how they end."""

    async def test_levels_and_ends(self) -> None:
        """Resource Instance, Resource, Instance and Object are observed in every format, told of changes, cancelled."""
        device = await self.start()
        events = await self.daemon.events("types=device.value")
        instance = "/3442/0/1120/0"
        for number, name in enumerate((*SEVERAL, "text", "cbor")):
            await device.do("write", "/3442/0/1120", value=[number])
            await device.call("PUT", f"/observations{instance}", 201, body={"format": name})
            await events.next("device.value", source="observe")
            await device.do("write", instance, value=number + 10)
            told = values((await events.next("device.value", source="observe")).data)
            self.assertEqual(told, {instance: number + 10}, name)
            await device.call("DELETE", f"/observations{instance}", 204)
            await events.next("device.value", source="read")
        value = 30.0
        for path in ("/3303/0/5700", "/3303/0", "/3303"):
            for name in SEVERAL:
                wish = await device.call("PUT", f"/observations{path}", 201, body={"format": name})
                self.assertEqual((wish["state"], wish["format"]), ("active", name))
                await events.next("device.value", source="observe")
                value += 0.5
                self.client.set("/3303/0/5700", value)
                told = values((await events.next("device.value", source="observe")).data)
                self.assertEqual(told["/3303/0/5700"], value, (path, name))
                await device.call("DELETE", f"/observations{path}", 204)
                await events.next("device.value", source="read")  # the answer to the cancellation
        seen = self.client.process.mark()
        self.client.set("/3303/0/5700", 1.5)
        await device.read("/3303/0/5701")
        self.assertEqual(self.client.process.lines[seen:], ["read /3303/0/5701 2.05"])

    async def test_instances_that_go(self) -> None:
        """A notification of 4.04 ends the observation of an instance that is deleted, and the wish tells it."""
        device = await self.start()
        await device.do("create", "/3442", id=5, values={"120": 1})
        wish = await device.call("PUT", "/observations/3442/5", 201, body={})
        self.assertEqual(wish["state"], "active")
        await device.do("delete", "/3442/5")
        await self.client.done("observe /3442/5 4.04")
        while (ended := await device.call("GET", "/observations/3442/5"))["state"] == "active":
            await device.read("/3/0/0")
        self.assertEqual((ended["state"], ended["error"]), ("refused", "4.04 Not Found"))

    async def test_conditions(self) -> None:
        """Attributes of a wish are written first, and only what meets them is told."""
        device = await self.start()
        events = await self.daemon.events("types=device.value")
        await device.call("PUT", "/observations/3303/0/5700", 201, body={"gt": 40, "lt": -40})
        await self.client.done("write-attributes /3303/0/5700 2.04")
        self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": 20.5})
        for silent, loud in (((25.0, 39.5), 41.5), ((38.0, -39.5), -41.0)):
            for value in (*silent, loud):
                self.client.set("/3303/0/5700", value)
            self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": loud})
        refused = await device.call("PUT", "/observations/3442/0/3", 400, body={})
        self.assertEqual(refused["errors"][0]["field"], "path")

    async def test_composite(self) -> None:
        """Several paths are observed as one, told of a write to one of them, and cancelled."""
        device = await self.start()
        events = await self.daemon.events("types=device.value")
        for number, name in enumerate(COMPOSITE):
            body = {"paths": ["/3442/0/110", "/3442/0/1120/0", "/3/0/14"], "format": name}
            await device.do("write", "/3442/0/1120", value=[number])
            wish = await device.call("POST", "/observations", 201, body=body)
            self.assertEqual(wish["state"], "active")
            await events.next("device.value", source="observe")
            await device.do("write-composite", values={"/3442/0/110": name, "/3/0/14": f"+1{number}"}, format=name)
            told = values((await events.next("device.value", source="observe")).data)
            expected = {"/3442/0/110": name, "/3442/0/1120/0": number, "/3/0/14": f"+1{number}"}
            while told != expected:  # a notification for each of the two is as good
                told = values((await events.next("device.value", source="observe")).data)
            seen = self.client.process.mark()
            self.client.set("/3303/0/5700", 5.0 + number)
            await device.read("/3303/0/5701")
            self.assertEqual(self.client.process.lines[seen:], ["read /3303/0/5701 2.05"])
            status, _ = await self.daemon.api("DELETE", f"/v1/observations/{wish['id']}")
            self.assertEqual(status, 204)
