"""Devices that depart from the specifications, each over a socket: what comes of it in the API, and what is noted.

The numbers are those of the list of quirks of real devices that the project keeps: 1 to 7 of links, 8 to 19 of formats,
25 to 38 of registrations, streams and operations. Those of single messages take a device that makes its octets itself:
`tests.server.test_quirks_of_exchanges`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.formats import ALIASES
from tests.daemons import Daemon
from tests.interop.through import Through, values
from tests.peers.aiocoap_device import ScriptedDevice

PLAIN = ["/1/0", "/3/0", "/3442/0"]
LINKS = "</1/0>,</3/0>,</3442/0>"


@attrs.frozen
class Listed:
    """A Register: its payload, what it is taken for, and the deviations that are told."""

    number: str
    payload: str
    deviations: frozenset[str]
    objects: list[str] = PLAIN
    versions: Mapping[str, str] = MappingProxyType({})
    format: int | None = n.LINK_FORMAT


def _noted(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


LISTS = (
    Listed("1", f'</>;rt="oma.lwm2m";ct=110;ct=112,{LINKS}', _noted("attribute-twice")),
    Listed("2", f"</>;rt=oma.lwm2m;ct=60 110 112,{LINKS}", _noted("unquoted-list")),
    Listed("3", "</1/0>;ver=1.1,</3/0>,</3442/0>", _noted(), versions={"1": "1.1"}),
    Listed(
        "3, in conflict",
        "</1/0>,</3/0>,</5/0>;ver=1.0,</5/1>;ver=1.1",
        _noted("ver-conflict", "ver-on-instance"),
        ["/1/0", "/3/0", "/5/0", "/5/1"],
        {"5": "1.1"},
    ),
    Listed("4, spaces", "</1/0>, </3/0>,\r\n </3442/0>", _noted("white-space")),
    Listed("4, commas", "</1/0>,,</3/0>,</3442/0>,", _noted("empty-link")),
    Listed("5", "</1/0/1>,</3/0/11/0>,</3442/0>", _noted("resource-path-in-list")),
    Listed("6, text", LINKS, _noted(), format=n.TEXT),
    Listed("6, nothing", LINKS, _noted(), format=None),
    Listed("7, no root", LINKS, _noted()),
    Listed("7, formats only", f"</>;ct=11543,{LINKS}", _noted()),
    Listed("draft formats", f'</>;rt="oma.lwm2m";ct="1542 1543",{LINKS}', _noted()),
    Listed("secrets", f"</0/0>,{LINKS},</21/0>", _noted("security-object-listed")),
    Listed("slashes", "</1/0/>,</3/0/>,</3442/0/>", _noted("trailing-slash")),
    Listed("ids", f"{LINKS},</65535/0>,</03/0>", _noted("id-out-of-range")),
    Listed("names", f'{LINKS},</hello>;title="x",</.well-known/core>', _noted()),
)


@attrs.frozen
class Answered:
    """An answer to a Read: what it is taken for, None for an error, and the deviations that are told."""

    number: str
    path: str
    payload: bytes
    format: int | None
    expected: dict[str, Any] | None
    deviations: frozenset[str] = frozenset()


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


ONE, MULTI, WHOLE = "/3442/0/120", "/3442/0/1120", "/3442/0"
ANSWERS = (
    Answered("8, text", ONE, b"7", 1541, {ONE: 7}, _noted("draft-content-format")),
    Answered("8, TLV", ONE, _hex("c17807"), 1542, {ONE: 7}, _noted("draft-content-format")),
    Answered(
        "8, JSON", WHOLE, b'{"bn":"/3442/0/","e":[{"n":"120","v":7}]}', 1543, {ONE: 7}, _noted("draft-content-format")
    ),
    Answered("8, opaque", "/3442/0/150", b"\x01\x02", 1544, {"/3442/0/150": "AQI="}, _noted("draft-content-format")),
    Answered("9, text", ONE, b"7", None, {ONE: 7}, _noted("no-content-format")),
    Answered("9, TLV", ONE, _hex("c17807"), None, {ONE: 7}, _noted("no-content-format")),
    Answered("9, an instance", WHOLE, _hex("c17807"), None, None, _noted("no-content-format", "undecodable")),
    Answered("10", ONE, b"7", n.TEXT, {ONE: 7}),
    Answered("11, wrapped", ONE, _hex("0300c17807"), n.TLV, {ONE: 7}, _noted("tlv-wrapped")),
    Answered("11, another id", ONE, _hex("c17907"), n.TLV, None, _noted("undecodable")),
    Answered("12, three octets", ONE, _hex("c378010000"), n.TLV, {ONE: 65536}, _noted("tlv-odd-integer")),
    Answered("12, six octets", ONE, _hex("c678ffffffffffff"), n.TLV, {ONE: -1}, _noted("tlv-odd-integer")),
    Answered(
        "12, digits",
        "/3442/0/160",
        b"\xc8\xa0\x0a1367491215",
        n.TLV,
        {"/3442/0/160": "2013-05-02T10:40:15Z"},
        _noted("tlv-time-as-text"),
    ),
    Answered("13", WHOLE, _hex("c17807c8790a01"), n.TLV, None, _noted("undecodable")),
    Answered("14, instances", ONE, _hex("8378410007"), n.TLV, {ONE: 7}, _noted("multiple-for-single")),
    Answered("14, one value", MULTI, _hex("e1046007"), n.TLV, {f"{MULTI}/0": 7}, _noted("single-for-multiple")),
    Answered(
        "14, bare", MULTI, _hex("410007410108"), n.TLV, {f"{MULTI}/0": 7, f"{MULTI}/1": 8}, _noted("tlv-bare-instances")
    ),
    Answered(
        "15",
        "/3442/0/1170",
        _hex("e4049200030000e4049200040000"),
        n.TLV,
        {"/3442/0/1170/0": "3:0", "/3442/0/1170/1": "4:0"},
        _noted("tlv-repeated-resource", "single-for-multiple"),
    ),
    Answered("16", ONE, b'[{"n":"/3442/0/120","v":7,"t":5}]', n.SENML_JSON, {ONE: 7}),
    Answered("17, a float", ONE, b'[{"n":"/3442/0/120","v":5.0}]', n.SENML_JSON, {ONE: 5}, _noted("float-for-integer")),
    Answered("17, a fraction", ONE, b'[{"n":"/3442/0/120","v":5.5}]', n.SENML_JSON, None, _noted("undecodable")),
    Answered(
        "17, text for a time",
        "/3442/0/160",
        b'[{"n":"/3442/0/160","vs":"1367491215"}]',
        n.SENML_JSON,
        {"/3442/0/160": "2013-05-02T10:40:15Z"},
        _noted("time-as-text"),
    ),
    Answered("17, a tag", "/3442/0/160", _hex("c11a5182428f"), n.CBOR, {"/3442/0/160": "2013-05-02T10:40:15Z"}),
    Answered("18, all in bn", ONE, b'[{"bn":"/3442/0/120","v":7}]', n.SENML_JSON, {ONE: 7}),
    Answered("18, anywhere", ONE, b'[{"bn":"/3442/0/1","n":"20","v":7}]', n.SENML_JSON, {ONE: 7}),
    Answered("18, JSON", ONE, b'{"bn":"/3442/0/120","e":[{"n":"","v":7}]}', n.JSON, {ONE: 7}),
    Answered("19", "/3442", b"", None, {}, _noted("no-content-format")),
    Answered("NUL", "/3442/0/110", b"abc\0", n.TEXT, {"/3442/0/110": "abc"}, _noted("nul-terminated-string")),
    Answered("true", "/3442/0/140", b"true", n.TEXT, {"/3442/0/140": True}, _noted("odd-boolean")),
    Answered("not UTF-8", "/3442/0/110", b"\xff\xfe", n.TEXT, {"/3442/0/110": "//4="}, _noted("string-not-utf8")),
    Answered("nobody's", ONE, b'[{"n":"/3/0/9","v":7}]', n.SENML_JSON, None, _noted("undecodable")),
    Answered("no object", ONE, b'{"n":1}', n.SENML_JSON, None, _noted("undecodable")),
    Answered("an unknown format", ONE, b"x", 666, None, _noted("undecodable")),
)


PARAMETERS: tuple[tuple[str, int | None, bool, frozenset[str]], ...] = (
    ("lwm2m=1.0", 86400, False, _noted()),
    ("lwm2m=1.0&lt=0", 86400, False, _noted()),
    ("lwm2m=1.1&lt=0", None, False, _noted()),
    ("lwm2m=1.1&lt=30", 30, False, _noted()),
    ("lwm2m=1.0&lt=60&b=UQS&sms=491234", 60, True, _noted()),
    ("lwm2m=1.1&lt=60&b=UQ", 60, True, _noted("queue-letter-in-binding")),
    ("lwm2m=1.2&lt=60&b=U&Q", 60, True, _noted()),
)
"""The query of a Register, the lifetime and whether it is queue mode, and the deviations that are told."""


class DeviatingDeviceTests(TestCase):
    """One daemon, and a device for each quirk, all on one port."""

    timeout = 120

    async def _start(self) -> None:
        self.daemon = await Daemon.start(self)
        self.device = await ScriptedDevice.start(self, self.daemon.coap)

    async def test_lists(self) -> None:
        """Each list of Objects is taken for what it means, and told to deviate where it does."""
        await self._start()
        for number, row in enumerate(LISTS):
            endpoint = f"lister-{number}"
            code = await self.device.register(endpoint, row.payload, content_format=row.format)
            self.assertEqual(code, "2.01", row)
            through = Through(self, self.daemon, endpoint)
            shown = await through.call("GET", "")
            self.assertEqual(shown["objects"], row.objects, row)
            self.assertEqual({key: shown["object_versions"].get(key) for key in row.versions}, row.versions, row)
            self.assertEqual({*await through.deviations()}, row.deviations, row)

    async def test_answers(self) -> None:
        """Each answer gives its value or an error, never another value, and its deviation is told."""
        await self._start()
        for number, row in enumerate(ANSWERS):
            endpoint = f"answerer-{number}"
            await self.device.register(endpoint, LINKS)
            await self.device.answers("GET", row.path, row.payload, row.format)
            through = Through(self, self.daemon, endpoint)
            operation = await through.call("POST", "/operations", body={"op": "read", "path": row.path})
            accepted = (await self.device.asked()).accept
            self.assertEqual(operation["state"], "failed" if row.expected is None else "done", (row, operation))
            if row.expected is None:
                self.assertIn("undecodable answer", operation["error"])
                await through.call("GET", f"/resources{row.path}?source=twin", 404)
            else:
                self.assertEqual(values(operation["result"]), row.expected, row)
            given = row.format and ALIASES.get(row.format, row.format)
            other = row.expected is not None and given not in (None, accepted)
            expected = row.deviations | (_noted("other-format") if other else _noted())
            self.assertEqual({*await through.deviations()}, expected, row)

    async def test_parameters(self) -> None:
        """25 and 26: lifetimes of 0, none or short ones, and the letter Q in every version."""
        await self._start()
        for number, (query, lifetime, queue_mode, deviations) in enumerate(PARAMETERS):
            endpoint = f"parametrized-{number}"
            payload = LINKS.encode()
            code, _ = await self.device.ask("POST", f"rd?ep={endpoint}&{query}", payload, n.LINK_FORMAT)
            self.assertEqual(code, "2.01", query)
            through = Through(self, self.daemon, endpoint)
            shown = await through.call("GET", "")
            self.assertEqual((shown["lifetime"], shown["queue_mode"]), (lifetime, queue_mode), query)
            self.assertEqual({*await through.deviations()}, deviations, query)

    async def test_updates(self) -> None:
        """27 to 29 and 38: odd Updates lose nothing, and the same Register after a sleep is no other registration."""
        await self._start()
        await self.device.register("updater", LINKS)
        through, location = Through(self, self.daemon, "updater"), self.device.location
        before = await through.call("GET", "")
        for query, payload, number, objects in (
            ("", b"", None, PLAIN),
            ("", b"", n.LINK_FORMAT, PLAIN),
            ("?ep=other&lwm2m=1.0", b"", None, PLAIN),
            ("", b"</1/0>,</3/0>", None, ["/1/0", "/3/0"]),
            ("", LINKS.encode(), n.LINK_FORMAT, PLAIN),
        ):
            self.assertEqual((await self.device.ask("POST", location + query, payload, number))[0], "2.04", query)
            shown = await through.call("GET", "")
            self.assertEqual((shown["objects"], shown["version"]), (objects, before["version"]), query)
        await self.device.register("updater", LINKS)
        shown = await through.call("GET", "")
        self.assertEqual((self.device.location, shown["registered_at"]), (location, before["registered_at"]))

    async def test_streams(self) -> None:
        """32 and 34: what has to be observed is, after each Register; notifications are taken at any pace."""
        await self._start()
        template = {"match": {"objects": ["/19/0"]}, "observe": [{"path": "/19/0/0"}]}
        await self.daemon.api("PUT", "/v1/observation-templates/silent", body=template)
        await self.device.answers("GET", "/19/0/0", b"", n.OPAQUE)
        events = await self.daemon.events("types=device.value")
        for _ in range(2):
            await self.device.register("streamer", f"{LINKS},</19/0>")
            asked = await self.device.asked()
            self.assertEqual((asked.method, asked.path, asked.observe), ("GET", "/19/0/0", 0))
            await events.next("device.value")
        through = Through(self, self.daemon, "streamer")
        await self.device.answers("PUT", ONE, code="2.04")
        await self.device.answers("GET", ONE, b"1", n.TEXT)
        await through.call("PUT", f"/observations{ONE}", 201, body={"pmin": 60, "pmax": 600})
        for value in (1, 2, 3, 4):
            self.assertEqual(values((await events.next("device.value")).data), {ONE: value})
            await self.device.notify(ONE, b"%d" % (value + 1), n.TEXT)
        await events.next("device.value")
        wish = await through.call("GET", f"/observations{ONE}")
        self.assertEqual((wish["state"], wish["notifications"], wish["rate"] > 4), ("active", 4, True))

    async def test_fetch(self) -> None:
        """35: a device without composite operations is read path by path, which is remembered."""
        await self._start()
        await self.device.register("unable", LINKS)
        await self.device.answers("FETCH", "/", code="4.05")
        await self.device.answers("GET", ONE, b"7", n.TEXT)
        await self.device.answers("GET", "/3/0/9", b"95", n.TEXT)
        through = Through(self, self.daemon, "unable")
        for asked in (["FETCH", "GET", "GET"], ["GET", "GET"]):
            done = await through.do("read-composite", paths=[ONE, "/3/0/9"])
            self.assertEqual(values(done["result"]), {ONE: 7, "/3/0/9": 95})
            self.assertEqual([(await self.device.asked()).method for _ in asked], asked)
        self.assertIn("composite-refused", await through.deviations())
