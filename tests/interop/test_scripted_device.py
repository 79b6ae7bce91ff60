"""Devices under a script of ours on aiocoap, driven through ``/v1``: what no other peer can do, octet by octet.

The vectors are those of the specification where it has some.
"""

from __future__ import annotations

import time
from typing import Any

import cbor2
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.timestamps import parse
from tests.daemons import Daemon
from tests.interop.through import Through, values
from tests.peers.aiocoap_device import Asked, ScriptedDevice

ROOT_1_2 = '</>;rt="oma.lwm2m";ct="112 322 11544"'
OBJECTS = "</1/0>,</3/0>,</16/0>,</3303/0>,</3442/0>"

DEVICE = bytes.fromhex("a103a100a4006441434d450918640ba10000106155")
"""{3: {0: {0: "ACME", 9: 100, 11: {0: 0}, 16: "U"}}} in LwM2M CBOR."""


class ScriptedTestCase(TestCase):
    """A daemon and a scripted device, each in a process of its own."""

    timeout = 120

    async def start(self, endpoint: str = "scripted") -> tuple[ScriptedDevice, Through]:
        """Start both; the device has not registered yet."""
        self.daemon = await Daemon.start(self)
        return await ScriptedDevice.start(self, self.daemon.coap), Through(self, self.daemon, endpoint)


class NewestVersionTests(ScriptedTestCase):
    """A device of LwM2M 1.2, which no other peer is."""

    async def _registered(self) -> tuple[ScriptedDevice, Through]:
        device, through = await self.start()
        self.assertEqual(await device.register("scripted", f"{ROOT_1_2},{OBJECTS}", version="1.2"), "2.01")
        self.assertEqual((await through.call("GET", ""))["version"], "1.2")
        return device, through

    async def test_lwm2m_cbor(self) -> None:
        """It is read, written, created on and observed in LwM2M CBOR, since it lists it."""
        device, through = await self._registered()
        await device.answers("GET", "/3/0", DEVICE, n.LWM2M_CBOR)
        found = await through.read("/3/0", "lwm2m-cbor")
        self.assertEqual(found, {"/3/0/0": "ACME", "/3/0/9": 100, "/3/0/11/0": 0, "/3/0/16": "U"})
        self.assertEqual((await device.asked()).accept, n.LWM2M_CBOR)
        two = bytes.fromhex("a1190ce7a200a1191644f94d6001a1191644f94d90")
        await device.answers("GET", "/3303", two, n.LWM2M_CBOR)
        self.assertEqual(await through.read("/3303"), {"/3303/0/5700": 21.5, "/3303/1/5700": 22.25})
        await device.asked()

        await device.answers("PUT", "/3442/0", code="2.04")
        await through.do("write", "/3442/0", values={"110": "a", "120": -5, "1120": [1, 2], "170": "3:0"})
        content = {3442: {0: {110: "a", 120: -5, 1120: {0: 1, 1: 2}, 170: "3:0"}}}
        self._assert_content(await device.asked(), "PUT", content)
        await device.answers("POST", "/3442/0/1120", code="2.04")
        await through.do("write-partial", "/3442/0/1120", value={"7": 7})
        self._assert_content(await device.asked(), "POST", {3442: {0: {1120: {7: 7}}}})
        await device.answers("POST", "/3442", code="2.01")
        made = await through.do("create", "/3442", id=5, values={"110": "new"})
        self.assertEqual(made["result"]["location"], "/3442/5")
        self._assert_content(await device.asked(), "POST", {3442: {5: {110: "new"}}})

        one = {3303: {0: {5700: 20.5}}}
        await device.answers("GET", "/3303/0/5700", cbor2.dumps(one), n.LWM2M_CBOR)
        events = await self.daemon.events("types=device.value")
        wish = await through.call("PUT", "/observations/3303/0/5700", 201, body={})
        self.assertEqual(wish["state"], "active")
        self.assertEqual(((asked := await device.asked()).observe, asked.accept), (0, n.LWM2M_CBOR))
        self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": 20.5})
        for value in (
            b"\xa1\x83\x19\x0c\xe7\x00\x19\x16\x44\xf9\x4d\x60",
            b"\xbf\x19\x0c\xe7\xbf\x82\x00\x19\x16\x44\xf9\x4d\x60\xff\xff",
        ):
            await device.notify("/3303/0/5700", value, n.LWM2M_CBOR)
            self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": 21.5})

    def _assert_content(self, asked: Asked, method: str, content: object) -> None:
        self.assertEqual((asked.method, asked.format), (method, n.LWM2M_CBOR))
        self.assertEqual(_nested(cbor2.loads(asked.payload)), content)

    async def test_operations(self) -> None:
        """Discover has a depth, the Update Trigger a binding, Resource Instances are deleted, attributes all of 1.2."""
        device, through = await self._registered()
        await device.answers("GET", "/3/0", b"</3/0>;pmin=10,</3/0/7>;dim=2,</3/0/7/0>,</3/0/7/1>;con=1", 40, accept=40)
        links = await through.links("/3/0", depth=2)
        self.assertEqual(links["/3/0/7"], {"dim": "2"})
        self.assertEqual(links["/3/0/7/1"], {"con": "1"})
        asked = await device.asked()
        self.assertEqual((asked.query, asked.accept), (["depth=2"], n.LINK_FORMAT))
        await device.answers("POST", "/1/0/8", code="2.04")
        await through.do("execute", "/1/0/8", arguments={"0": "U"})
        self.assertEqual(((asked := await device.asked()).format, asked.payload), (n.TEXT, b"0='U'"))
        await device.answers("DELETE", "/3442/0/1120/3", code="2.02")
        self.assertEqual((await through.do("delete", "/3442/0/1120/3"))["coap_code"], "2.02")
        self.assertEqual((await device.asked()).payload, b"")
        await device.answers("PUT", "/3442/0/140", code="2.04")
        await through.do("write-attributes", "/3442/0/140", attributes={"edge": 1, "con": 0, "hqmax": 5, "epmin": None})
        asked = await device.asked()
        self.assertEqual((sorted(asked.query), asked.format), (["con=0", "edge=1", "epmin", "hqmax=5"], None))

    async def test_composite(self) -> None:
        """Composites are asked for in SenML and answered in LwM2M CBOR; null in SenML-ETCH deletes."""
        device, through = await self._registered()
        answer = bytes.fromhex("a2830300091864830100011a00015180")
        await device.answers("FETCH", "/", answer, n.LWM2M_CBOR, accept=n.LWM2M_CBOR)
        read: dict[str, Any] = {"paths": ["/3/0/9", "/1/0/1"]}
        found = values((await through.do("read-composite", format="lwm2m-cbor", **read))["result"])
        self.assertEqual(found, {"/3/0/9": 100, "/1/0/1": 86400})
        asked = await device.asked()
        self.assertEqual((asked.format, asked.accept), (n.SENML_CBOR, n.LWM2M_CBOR))
        self.assertEqual(asked.payload.hex(), "82a100662f332f302f39a100662f312f302f31")
        for name, number, answer in (
            ("senml-etch-json", n.SENML_ETCH_JSON, b'[{"n":"/3/0/9","v":7},{"n":"/1/0/1","v":60}]'),
            ("senml-json", n.SENML_JSON, b'[{"bn":"/3/0/9","v":7},{"bn":"/1/0/1","v":60}]'),
        ):
            await device.answers("FETCH", "/", answer, n.SENML_JSON, format_=number)
            found = values((await through.do("read-composite", format=name, **read))["result"])
            self.assertEqual(found, {"/3/0/9": 7, "/1/0/1": 60})
            self.assertEqual((await device.asked()).payload, b'[{"n":"/3/0/9"},{"n":"/1/0/1"}]')

        await device.answers("iPATCH", "/", code="2.04")
        await through.do("write-composite", values={"/16/0/0/1": None})
        asked = await device.asked()
        self.assertEqual((asked.format, asked.payload.hex()), (n.SENML_ETCH_CBOR, "81a200692f31362f302f302f3102f6"))
        await through.do("write-composite", values={"/16/0/0/1": None, "/16/0/0/2": "v2"}, format="senml-etch-json")
        asked = await device.asked()
        self.assertEqual(asked.payload, b'[{"n":"/16/0/0/1","v":null},{"n":"/16/0/0/2","vs":"v2"}]')
        await through.do("write-composite", values={"/1/0/1": 3600, "/3/0/14": "+01:00"}, format="lwm2m-cbor")
        content = {1: {0: {1: 3600}}, 3: {0: {14: "+01:00"}}}
        asked = await device.asked()
        self.assertEqual((asked.format, _nested(cbor2.loads(asked.payload))), (n.LWM2M_CBOR, content))

    async def test_observe_composite(self) -> None:
        """Several paths are observed as one, with parameters of its own; the request that cancels it has them too."""
        device, through = await self._registered()
        answer = b'[{"n":"/3/0/9","v":7},{"n":"/1/0/1","v":60}]'
        await device.answers("FETCH", "/", answer, n.SENML_JSON)
        events = await self.daemon.events("types=device.value")
        body = {"paths": ["/3/0/9", "/1/0/1"], "pmin": 5, "con": True, "format": "senml-json"}
        made = await through.call("POST", "/observations", 201, body=body)
        self.assertEqual((made["state"], made["attributes"]), ("active", {"pmin": 5, "con": True}))
        await events.next("device.value")
        asked = await device.asked()
        self.assertEqual((asked.method, asked.query, asked.observe), ("FETCH", ["pmin=5", "con=1"], 0))
        await device.notify("/", b'[{"n":"/3/0/9","v":8}]', n.SENML_JSON)
        self.assertEqual(values((await events.next("device.value")).data), {"/3/0/9": 8})
        await through.do("cancel-observe", paths=body["paths"])
        asked = await device.asked()
        self.assertEqual((asked.query, asked.observe), (["pmin=5", "con=1"], 1))

    async def test_profiles(self) -> None:
        """A profile id that nobody knows is refused with 4.09, and stands for the list that came with it after that."""
        device, through = await self.start()
        self.assertEqual(await device.register("scripted", "", "pid=6:27354b9a", version="1.2"), "4.09")
        await through.call("GET", "", 404)
        links = f"{ROOT_1_2},{OBJECTS}"
        self.assertEqual(await device.register("scripted", links, "pid=6:27354b9a", version="1.2"), "2.01")
        self.assertEqual((await device.ask("DELETE", device.location))[0], "2.02")
        self.assertEqual(await device.register("scripted", "", "pid=6:27354b9a", version="1.2"), "2.01")
        objects = (await through.call("GET", ""))["objects"]
        self.assertEqual(objects, ["/1/0", "/3/0", "/16/0", "/3303/0", "/3442/0"])
        await device.answers("GET", "/3/0", DEVICE, n.LWM2M_CBOR, accept=n.LWM2M_CBOR)
        self.assertEqual((await through.read("/3/0"))["/3/0/0"], "ACME")

    async def test_gateway(self) -> None:
        """Devices behind a gateway are reached by their prefix, in paths and in names."""
        device, through = await self.start("gw/d01")
        content = {25: {0: {0: "sensor", 1: "d01", 3: "</3/0>,</3303/0>;ver=1.1"}}}
        await device.answers("GET", "/25", cbor2.dumps(content), n.LWM2M_CBOR)
        events = await self.daemon.events("types=device.registered")
        await device.register("gw", f"{ROOT_1_2},</3/0>,</25/0>", version="1.2")
        await events.next("device.registered", endpoint="gw/d01")
        await device.asked()
        child = await through.call("GET", "")
        self.assertEqual(
            (child["gateway"], child["device_id"], child["objects"]), ("gw", "sensor", ["/3/0", "/3303/0"])
        )
        answer = cbor2.dumps({"d01": {3303: {0: {5700: 19.5}}}})
        await device.answers("GET", "/d01/3303/0/5700", answer, n.LWM2M_CBOR)
        self.assertEqual(await through.read("/3303/0/5700"), {"/3303/0/5700": 19.5})
        self.assertEqual((await device.asked()).path, "/d01/3303/0/5700")
        answer = b'[{"n":"/d01/3303/0/5700","v":20.5},{"n":"/d01/3/0/14","vs":"+01"}]'
        await device.answers("FETCH", "/", answer, n.SENML_JSON)
        read: dict[str, Any] = {"paths": ["/3303/0/5700", "/3/0/14"], "format": "senml-json"}
        found = values((await through.do("read-composite", **read))["result"])
        self.assertEqual(found, {"/3303/0/5700": 20.5, "/3/0/14": "+01"})
        asked = await device.asked()
        self.assertEqual(asked.payload, b'[{"n":"/d01/3303/0/5700"},{"n":"/d01/3/0/14"}]')
        sent = b'[{"bn":"/d01/3303/0/5700","v":21.5},{"bn":"/3/0/9","v":95}]'
        self.assertEqual((await device.ask("POST", "dp", sent, n.SENML_JSON))[0], "2.04")
        for endpoint, path, value in (("gw/d01", "/3303/0/5700", 21.5), ("gw", "/3/0/9", 95)):
            known = Through(self, self.daemon, endpoint)
            self.assertEqual(values(await known.call("GET", f"/resources{path}?source=twin")), {path: value})


class NegotiationTests(ScriptedTestCase):
    """A device that refuses formats, and one that sends times and what nobody can read."""

    async def test_fallback_is_remembered(self) -> None:
        """After 4.06 and 4.15 the next format is asked for at once, and first from then on, until it registers anew."""
        device, through = await self.start()
        await device.register("scripted", OBJECTS)
        await device.answers("GET", "/3/0", code="4.06")
        await device.answers("GET", "/3/0", b'[{"bn":"/3/0/","n":"0","vs":"ACME"}]', n.SENML_JSON, accept=None)
        self.assertEqual(await through.read("/3/0"), {"/3/0/0": "ACME"})
        tried = [(await device.asked()).accept for _ in range(3)]
        self.assertEqual((len(set(tried)), tried[-1]), (3, None))
        await through.read("/3/0")
        self.assertEqual((await device.asked()).accept, None)

        for number in (n.TLV, n.SENML_CBOR):
            await device.answers("PUT", "/3442/0", code="4.15", format_=number)
        await device.answers("PUT", "/3442/0", code="2.04", format_=n.SENML_JSON)
        await through.do("write", "/3442/0", values={"120": 1, "110": "x"})
        tried = [(await device.asked()).format for _ in range(3)]
        self.assertEqual((set(tried), tried[-1]), ({n.TLV, n.SENML_CBOR, n.SENML_JSON}, n.SENML_JSON))
        await through.do("write", "/3442/0", values={"120": 2})
        self.assertEqual((await device.asked()).format, n.SENML_JSON)
        await through.do("write", "/3442/0", values={"120": 2}, format="tlv", code="4.15")
        await device.asked()

        await device.answers("FETCH", "/", code="4.15", format_=n.SENML_CBOR)
        await device.answers("FETCH", "/", b"[]", n.SENML_JSON, format_=n.SENML_JSON)
        for expected in ((n.SENML_CBOR, n.SENML_JSON), (n.SENML_JSON,)):
            await through.do("read-composite", paths=["/3/0/0"])
            self.assertEqual(tuple([(await device.asked()).format for _ in expected]), expected)
        await device.register("scripted", OBJECTS, "b=U")
        await device.register("scripted", f"{OBJECTS},</5/0>")
        await through.read("/3/0")
        self.assertEqual((await device.asked()).accept, tried[0])

    async def test_times(self) -> None:
        """Values have the times that the device gave them: absolute, relative to their arrival, several of a path."""
        device, through = await self.start()
        await device.register("scripted", OBJECTS)
        vector = "83a421652f332f302f221a6553f1000063372f3002190ed8a20063372f3102191388a30063372f30062902190ece"
        await device.answers("GET", "/3/0", bytes.fromhex(vector), n.SENML_CBOR)
        operation = await through.do("read", "/3/0")
        rows = [(row["path"], row["value"], row["time"]) for row in operation["result"]["values"]]
        base = "2023-11-14T22:13:20Z"
        self.assertIn(("/3/0/7/0", 3800, base), rows)
        self.assertIn(("/3/0/7/1", 5000, base), rows)
        self.assertIn(("/3/0/7/0", 3790, "2023-11-14T22:13:10Z"), rows)
        relative = b'[{"bn":"/3303/0/5700","v":21.5},{"v":21.25,"t":-60},{"v":9,"t":999999999999}]'
        await device.answers("GET", "/3303/0/5700", relative, n.SENML_JSON)
        operation = await through.do("read", "/3303/0/5700")
        times = {row["value"]: time.time() - parse(row["time"]) for row in operation["result"]["values"]}
        self.assertLess(abs(times[21.5]), 10)
        self.assertLess(abs(times[21.25] - 60), 10)
        self.assertLess(abs(times[9]), 10)
        self.assertEqual(await through.deviations(), {"absurd-time": 1, "other-format": 2})

    async def test_unreadable_notifications(self) -> None:
        """A notification in an unknown format is told as the wish's error and does not end it; one of 4.04 does."""
        device, through = await self.start()
        await device.register("scripted", OBJECTS)
        await device.answers("GET", "/3303/0/5700", b"20.5", n.TEXT)
        events = await self.daemon.events("types=device.value")
        where = "/observations/3303/0/5700"
        await through.call("PUT", where, 201, body={})
        await events.next("device.value")
        await device.notify("/3303/0/5700", b"\x01\x02", 666)
        await device.notify("/3303/0/5700", b"22.5", n.TEXT)
        self.assertEqual(values((await events.next("device.value")).data), {"/3303/0/5700": 22.5})
        self.assertIn("undecodable", await through.deviations())
        await device.notify("/3303/0/5700", b"gone for good", code="4.04")
        while (ended := await through.call("GET", where))["state"] == "active":
            await through.do("read", "/3303/0/5700")
        self.assertEqual((ended["state"], ended["error"]), ("refused", "4.04 gone for good"))

    async def test_errors(self) -> None:
        """The code and the words of a device are shown, whatever they are."""
        device, through = await self.start()
        await device.register("scripted", OBJECTS)
        for code, words, shown in (
            ("4.00", b"you said what?", "you said what?"),
            ("4.01", b"", "Unauthorized"),
            ("5.03", b"\xff\x00", "Service Unavailable"),
        ):
            await device.answers("PUT", "/3/0/14", words, code=code)
            failed = await through.do("write", "/3/0/14", value="+01", code=code)
            self.assertEqual(failed["error"], shown)


def _nested(content: Any) -> Any:
    """Maps of LwM2M CBOR with the keys of arrays taken apart."""
    if not isinstance(content, dict):
        return content
    found: dict[Any, Any] = {}
    for key, value in content.items():
        *above, last = key if isinstance(key, tuple) else (key,)
        place = found
        for each in above:
            place = place.setdefault(each, {})
        below = _nested(value)
        place[last] = {**place[last], **below} if isinstance(place.get(last), dict) else below
    return found
