"""Tests of `lwm2md.lwm2m.lwm2mcbor`."""

from __future__ import annotations

import math
import time
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import LWM2M_CBOR
from lwm2md.lwm2m import formats, lwm2mcbor
from lwm2md.lwm2m.leaves import MULTIPLE_FOR_SINGLE, SINGLE_FOR_MULTIPLE
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.typed import FLOAT_FOR_INTEGER, TIME_AS_TEXT
from lwm2md.lwm2m.values import ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING_TYPES, TYPES, flat, nodes, objects, one, path, single_values

Vector = tuple[str, str, dict[str, Value | None]]

SERVERS: dict[str, Value | None] = {
    "/1/0/0": 101,
    "/1/0/1": 86400,
    "/1/0/2": 300,
    "/1/0/3": 6000,
    "/1/0/5": 86400,
    "/1/0/6": True,
    "/1/0/7": "U",
    "/1/1/0": 102,
    "/1/1/1": 86400,
    "/1/1/2": 600,
    "/1/1/3": 6000,
    "/1/1/5": 86400,
    "/1/1/6": False,
    "/1/1/7": "U",
}
DEVICE: dict[str, Value | None] = {
    "/3/0/0": "Open Mobile Alliance",
    "/3/0/1": "Lightweight M2M Client",
    "/3/0/2": "345000123",
    "/3/0/3": "1.0",
    "/3/0/6/0": 1,
    "/3/0/6/1": 5,
    "/3/0/7/0": 3800,
    "/3/0/7/1": 5000,
    "/3/0/8/0": 125,
    "/3/0/8/1": 900,
    "/3/0/9": 100,
    "/3/0/10": 15,
    "/3/0/11/0": 0,
    "/3/0/13": 1367491215,
    "/3/0/14": "+02:00",
    "/3/0/16": "U",
}
COMPOSITE: dict[str, Value | None] = {"/3/0/0": "Open Mobile Alliance", "/3/0/9": 100, "/1/0/1": 86400}

WRITTEN: list[Vector] = [
    ("/9999/26/1", "A18319270F181A01182A", {"/9999/26/1": 42}),
    ("/9999/26/1", "A18319270F181A01F5", {"/9999/26/1": True}),
    (
        "/3/0",
        "a103a100a4006441434d450918640ba10000106155",
        {"/3/0/0": "ACME", "/3/0/9": 100, "/3/0/11/0": 0, "/3/0/16": "U"},
    ),
    ("/", "a2830300091864830100011a00015180", {"/3/0/9": 100, "/1/0/1": 86400}),
    ("/3303", "a1190ce7a200a1191644f94d6001a1191644f94d90", {"/3303/0/5700": 21.5, "/3303/1/5700": 22.25}),
    ("/3/0/6", "a183030006a200010105", {"/3/0/6/0": 1, "/3/0/6/1": 5}),
    ("/3/0/6/1", "a1840300060105", {"/3/0/6/1": 5}),
    (
        "/1",
        "a101a200a7001865011a000151800219012c03191770051a0001518006f507615501a7001866011a00015180021902580319177005"
        "1a0001518006f4076155",
        SERVERS,
    ),
    ("/3/0/0", "a18303000074" + b"Open Mobile Alliance".hex(), {"/3/0/0": "Open Mobile Alliance"}),
    ("/3442", "a1190d72a0", {"/3442": None}),
    ("/3442/0", "a1190d72a100a0", {"/3442/0": None}),
    ("/3442/0/1120", "a183190d7200190460a0", {"/3442/0/1120": None}),
    ("/", "a0", {}),
]
"""Payloads that are what is written for the values, and read as them."""

READ: list[Vector] = [
    ("/9999/26/1", "BF9F19270F181A01FF182AFF", {"/9999/26/1": 42}),
    ("/9999", "A119270FA1181AA101182A", {"/9999/26/1": 42}),
    ("/9999", "A18219270F181AA201182A0215", {"/9999/26/1": 42, "/9999/26/2": 21}),
    ("/9999", "A28319270F181A01182A8319270F181A0215", {"/9999/26/1": 42, "/9999/26/2": 21}),
    ("/9999", "A18119270FA181181AA18101A18102C48220182D", {"/9999/26/1/2": 4.5}),
    (
        "/",
        "a2190ce7a200a1191644fb403580000000000019012ca1191676636f757483030007a200190ed801191388",
        {"/3303/0/5700": 21.5, "/3303/300/5750": "out", "/3/0/7/0": 3800, "/3/0/7/1": 5000},
    ),
    ("/", "a2820300a200744f70656e204d6f62696c6520416c6c69616e6365091864830100011a00015180", COMPOSITE),
    ("/3/0", "bf820300bf091864ffff", {"/3/0/9": 100}),
]
"""Payloads in other forms than ours, and what they are read as."""


def decode(base: str, payload: bytes | str, root: str = "") -> tuple[dict[str, Value | None], list[str]]:
    """Decode bytes or hexadecimal; return the values by path, and the deviations."""
    notes: list[str] = []
    data = bytes.fromhex(payload) if isinstance(payload, str) else payload
    return flat(lwm2mcbor.decode(path(base), data, TYPES, notes.append, root)), notes


def dumped(item: Any) -> bytes:
    """An item, arrays as keys being tuples."""
    return cbor2.dumps(item)


class VectorTests(SynchronousTestCase):
    """The byte strings of the specification and of other implementations."""

    def test_decode(self) -> None:
        """Every vector is read without a deviation, value by value and type by type."""
        for base, payload, expected in WRITTEN + READ:
            found, notes = decode(base, payload)
            self.assertEqual((expected, []), (found, notes), payload)
            self.assertEqual([type(value) for value in expected.values()], [type(value) for value in found.values()])

    def test_encode(self) -> None:
        """The vectors of our form are what is written for their values."""
        for base, payload, values in WRITTEN:
            self.assertEqual(payload.lower(), lwm2mcbor.encode(path(base), nodes(values), TYPES).hex())

    def test_sizes(self) -> None:
        """The samples of the specification are written in as many bytes as there."""
        for base, values, size in (
            ("/3/0/0", {"/3/0/0": DEVICE["/3/0/0"]}, 26),
            ("/3/0", DEVICE, 118),
            ("/1", SERVERS, 63),
            ("/", COMPOSITE, 39),
        ):
            self.assertEqual(size, len(lwm2mcbor.encode(path(base), nodes(values), TYPES)), base)

    def test_number_of_the_format(self) -> None:
        """The table of formats has it."""
        self.assertEqual("lwm2m-cbor", formats.NAMES[LWM2M_CBOR])
        payload = formats.encode(LWM2M_CBOR, path("/3/0"), one("/3/0/9", 5), TYPES)
        self.assertEqual(one("/3/0/9", 5), formats.decode(LWM2M_CBOR, path("/3/0"), payload, TYPES))


class ValueTests(SynchronousTestCase):
    """The types."""

    def test_every_type(self) -> None:
        """Each type has its item in the shortest form, and reads back from it."""
        table: list[tuple[int, Value, str]] = [
            (110, "grüß", "666772c3bcc39f"),
            (120, -(2**63), "3b7fffffffffffffff"),
            (125, 2**64 - 1, "1bffffffffffffffff"),
            (130, 21.5, "f94d60"),
            (130, 0.1, "fb3fb999999999999a"),
            (130, 16777216.0, "fa4b800000"),
            (130, math.inf, "f97c00"),
            (140, False, "f4"),
            (150, b"\xab\xcd", "42abcd"),
            (160, 1367491215, "1a5182428f"),
            (170, ObjectLink(3, 0), "63333a30"),
            (180, "</3/0>", "663c2f332f303e"),
        ]
        for number, value, item in table:
            here = f"/3442/0/{number}"
            payload = lwm2mcbor.encode(path(here), one(here, value), TYPES)
            self.assertEqual(f"a183190d720018{number:02x}{item}", payload.hex())
            self.assertEqual(({here: value}, []), decode(here, payload))

    def test_tolerated(self) -> None:
        """Times with a tag are times; a float for an integer and a time as text are taken where exact, and noted."""
        for item, notes in (
            ("c11a5182428f", []),
            ("c074323031332d30352d30325431303a34303a31355a", []),
            ("1a5182428f", []),
            ("fb41d46090a3c00000", [FLOAT_FOR_INTEGER]),
            ("6a31333637343931323135", [TIME_AS_TEXT]),
        ):
            self.assertEqual(({"/3/0/13": 1367491215}, notes), decode("/3/0", f"a18303000d{item}"), item)
        self.assertEqual(({"/3/0/9": 5}, [FLOAT_FOR_INTEGER]), decode("/3/0", "a183030009f94500"))
        self.assertEqual(({"/3303/0/5700": 4.5}, []), decode("/3303/0", "a183190ce700191644c48220182d"))
        self.assertEqual(({"/3303/0/5700": 4.0}, []), decode("/3303/0", "a183190ce70019164404"))

    def test_refused_values(self) -> None:
        """A value of another type, out of range, or no value at all is refused."""
        for number, item in (
            (120, "f93e00"),
            (120, "1b8000000000000000"),
            (125, "20"),
            (120, "6131"),
            (120, "f5"),
            (110, "01"),
            (110, "4161"),
            (150, "6161"),
            (170, "6133"),
            (170, "820300"),
            (140, "02"),
            (130, "c4821b000000010000000001"),
            (130, "c482390fff01"),
            (120, "c249010000000000000000"),
            (120, "f6"),
            (120, "f7"),
            (120, "8101"),
            (120, "d81c01"),
            (160, "c1f97e00"),
            (160, "c0613f"),
        ):
            with self.assertRaises(ContentError, msg=item):
                decode("/3442/0", f"a183190d720018{number:02x}{item}")

    def test_without_a_model(self) -> None:
        """An item tells the type of what no model knows."""
        values: list[Value] = [5, -5, 2**64 - 1, 5.5, True, "3:0", b"x"]
        found, notes = decode("/9999/0", dumped({9999: {0: dict(enumerate(values))}}))
        self.assertEqual((values, []), (list(found.values()), notes))
        self.assertEqual(list(map(type, values)), list(map(type, found.values())))

    def test_shape(self) -> None:
        """A value of the other shape than the model's is moved and noted."""
        self.assertEqual(
            ({"/3/0/7/0": 3800, "/3/0/9": 5}, [SINGLE_FOR_MULTIPLE, MULTIPLE_FOR_SINGLE]),
            decode("/3/0", dumped({3: {0: {7: 3800, 9: {0: 5}}}})),
        )
        with self.assertRaises(ContentError):
            decode("/3/0", dumped({3: {0: {9: {0: 5, 1: 6}}}}))


class PlaceTests(SynchronousTestCase):
    """Where the ids belong."""

    def test_relative(self) -> None:
        """Ids that start below the Object are taken where the path of the request leaves one place, and noted."""
        items: list[tuple[str, dict[Any, Any]]] = [
            ("/3/0", {9: 100}),
            ("/3", {0: {9: 100}}),
            ("/3", {(0, 9): 100}),
            ("/3/0", {0: {9: 100}}),
            ("/3/0/9", {9: 100}),
            ("/3/0/9", {(0, 9): 100}),
        ]
        for base, item in items:
            self.assertEqual(({"/3/0/9": 100}, [lwm2mcbor.RELATIVE]), decode(base, dumped(item)), item)
        found, _ = decode("/3/0/7", dumped({0: 3800, 1: 5000}))
        self.assertEqual({"/3/0/7/0": 3800, "/3/0/7/1": 5000}, found)
        self.assertEqual({"/3/0/7/1": 5000}, decode("/3/0/7/1", dumped({1: 5000}))[0])

    def test_absolute_first(self) -> None:
        """Ids that fit from the Object on are never read as anything else."""
        self.assertEqual(({"/3303/0/5700": 1.5}, []), decode("/3303", dumped({3303: {0: {5700: 1.5}}})))
        self.assertEqual(({"/9999/9999/1": 1}, []), decode("/9999", dumped({9999: {9999: {1: 1}}})))

    def test_ambiguous(self) -> None:
        """Ids that fit at two places, which no model tells apart, are refused."""
        for base, item in (("/9999/1", {1: {1: 5}}), ("/9999/1/1", {1: 5})):
            with self.assertRaises(ContentError, msg=str(item)):
                decode(base, dumped(item))

    def test_elsewhere(self) -> None:
        """Ids of another node than the one asked for, and values above Resources, are refused."""
        items: list[tuple[str, dict[Any, Any]]] = [
            ("/3/0", {3: {1: {9: 100}}}),
            ("/3/0", {4: {0: {9: 100}}}),
            ("/3/0/9", {3: {0: {9: 100, 10: 5}}}),
            ("/3/0", {3: {0: 5}}),
            ("/3/0", {3: 5}),
            ("/", {3: {0: 5}}),
            ("/", {9: 5}),
            ("/3/0/7/0", {3: {0: {7: {1: 5}}}}),
        ]
        for base, item in items:
            with self.assertRaises(ContentError, msg=str(item)):
                decode(base, dumped(item))

    def test_empty(self) -> None:
        """An empty map is an empty node wherever there may be one."""
        for base in ("/3", "/3/0", "/3/0/7", "/9999/0/1"):
            self.assertEqual(({base: None}, []), decode(base, "a0"))
        self.assertEqual(({}, []), decode("/", "a0"))
        self.assertEqual(({"/3/0/7": None, "/3/0/9": 5}, []), decode("/3/0", dumped({3: {0: {7: {}, 9: 5}}})))
        self.assertEqual(({"/3303/0": None, "/3303/1": None}, []), decode("/3303", dumped({3303: {0: {}, 1: {}}})))
        for base in ("/3/0/9", "/3/0/7/0"):
            with self.assertRaises(ContentError):
                decode(base, "a0")
        items: list[dict[Any, Any]] = [{3: {0: {9: {}}}}, {3: {0: {7: {0: {}}}}}]
        for item in items:
            with self.assertRaises(ContentError, msg=str(item)):
                decode("/3/0", dumped(item))

    def test_root(self) -> None:
        """The prefix of a gateway's device is the first key, and need not be there."""
        values: dict[str, Value | None] = {"/3/0/9": 100}
        written = lwm2mcbor.encode(path("/3/0"), nodes(values), TYPES, "/d01")
        self.assertEqual("a163643031a1830300091864", written.hex())
        self.assertEqual((values, []), decode("/3/0", written, "/d01"))
        self.assertEqual((values, []), decode("/3/0", "a1830300091864", "/d01"))
        for root in ("", "/d02"):
            with self.assertRaises(ContentError):
                decode("/3/0", written, root)
        items: list[dict[Any, Any]] = [{"d01": 5}, {"d01": {"d01": {}}}, {3: {"0": {9: 1}}}]
        for item in (*items, {"d01": {3: {0: {9: 1}}}, 3: {0: {9: 1}}}):
            with self.assertRaises(ContentError, msg=str(item)):
                decode("/3/0", dumped(item), "/d01")


class StructureTests(SynchronousTestCase):
    """What is refused whole, and quickly."""

    def test_twice(self) -> None:
        """A path that comes twice, in whatever keys, or that is a value and has values below, is refused."""
        for payload in (
            "a1 03a1 00a2 0901 0902",
            "a2 03a100a10901 8303000902",
            "a2 8303000901 8303000902",
            "a2 8303000901 830300180902",
            "a2 83030007 01 8403000700 02",
            "a2 8403000700 01 83030007a1 00 02",
            "a2 820300 a0 8303000901",
            "a2 03a100a107a0 8303000705",
        ):
            with self.assertRaises(ContentError, msg=payload):
                decode("/", payload)

    def test_keys(self) -> None:
        """A key that is not of ids from 0 to 65534, one to four, is refused."""
        good = dumped({3: {0: {9: 5}}})
        self.assertEqual({"/3/0/9": 5}, decode("/3/0", good)[0])
        keys = [65535, -1, 2**64 - 1, 9.0, True, None, "9", b"9", (), (9, "0"), (9, 65535), (9, 0, 0), (True,)]
        for key in keys:
            with self.assertRaises(ContentError, msg=str(key)):
                decode("/3/0", dumped({3: {0: {key: 5}}}))
        for payload in ("a103a100a1a005", "a103a100a181810905"):
            with self.assertRaises(ContentError, msg=payload):
                decode("/3/0", payload)

    def test_no_map(self) -> None:
        """Anything but one whole map is refused."""
        for payload in ("", "80", "01", "f6", "a1", "a103", "a0a0", "a183030009186400", "bf", "ff", "a1830300091c"):
            with self.assertRaises(ContentError, msg=payload):
                decode("/3/0", payload)

    def test_depth(self) -> None:
        """Maps in maps without end are refused."""
        for depth in (5, 100, 100000):
            with self.assertRaises(ContentError):
                decode("/3/0", b"\xa1\x03" * depth + b"\x05")

    def test_colliding_keys(self) -> None:
        """Keys that are made so that a dictionary takes quadratic time are refused before it does."""
        keys = [dumped([number * (2**61 - 1) % 2**64, number]) for number in range(20000)]
        start = time.process_time()
        with self.assertRaises(ContentError):
            decode("/3/0", b"\xb9" + len(keys).to_bytes(2, "big") + b"".join(key + b"\x00" for key in keys))
        self.assertLess(time.process_time() - start, 1)

    def test_unwritable(self) -> None:
        """Nodes elsewhere, twice, of another type or shape, or with ids that are none, are not written."""
        cases: list[tuple[str, Nodes]] = [
            ("/3/0", one("/3/1/9", 5)),
            ("/3/0", one("/3/0", 5)),
            ("/3/0", one("/3/0/9", "x")),
            ("/3/0", one("/3/0/7", 5)),
            ("/3/0", one("/3/0/9/0", 5)),
            ("/3/0", one("/3/0/0", b"\xff")),
            ("/3/0", one("/3/0/9", 5) * 2),
            ("/3/0", nodes({"/3/0/7/0": None})),
            ("/3/0", nodes({"/3/0/7/0": 5, "/3/0/7": None})),
            ("/9999", nodes({"/9999/0/1": 5, "/9999/0/1/0": 5})),
            ("/3", (Entry(Path((3, 0, 7, 70000)), 1),)),
        ]
        for base, found in cases:
            with self.assertRaises(ContentError, msg=str(found)):
                lwm2mcbor.encode(path(base), found, TYPES)

    def test_times_are_lost(self) -> None:
        """The format has no times, and so cannot have two values of one path either."""
        here = path("/3/0/9")
        self.assertEqual("a18303000905", lwm2mcbor.encode(here, (Entry(here, 5, 1500.0),), TYPES).hex())
        with self.assertRaises(ContentError):
            lwm2mcbor.encode(here, (Entry(here, 5, 1500.0), Entry(here, 6, 1501.0)), TYPES)


class PropertyTests(SynchronousTestCase):
    """For all nodes and all bytes."""

    @given(objects(), st.sampled_from(["", "/d01"]))
    def test_objects(self, found: Nodes, root: str) -> None:
        """An Object reads back as it was written, for itself and for the root."""
        for base in (Path(found[0].path[:1]), ROOT):
            written = lwm2mcbor.encode(base, found, ANYTHING_TYPES, root)
            notes: list[str] = []
            self.assertEqual(found, lwm2mcbor.decode(base, written, ANYTHING_TYPES, notes.append, root))
            self.assertNotIn(lwm2mcbor.RELATIVE, notes)

    @given(objects())
    def test_plain_maps(self, found: Nodes) -> None:
        """An Object reads the same from maps of single ids, of definite and indefinite lengths, that others write."""
        tree: dict[int, Any] = {}
        for entry in found:
            inner = tree
            for identifier in entry.path[:-1]:
                inner = inner.setdefault(identifier, {})
            value = str(entry.value) if isinstance(entry.value, ObjectLink) else entry.value
            inner[entry.path[-1]] = {} if value is None else value
        for indefinite in (False, True):
            payload = cbor2.dumps(tree, indefinite_containers=indefinite)
            self.assertEqual(found, lwm2mcbor.decode(Path(found[0].path[:1]), payload, ANYTHING_TYPES))

    @given(single_values())
    def test_values(self, pair: tuple[Path, Value]) -> None:
        """A single value reads back from every level it can be asked at, with its type."""
        here, value = pair
        for depth in range(1, len(here) + 1):
            base = Path(here[:depth])
            payload = lwm2mcbor.encode(base, (Entry(here, value),), ANYTHING_TYPES)
            [entry] = lwm2mcbor.decode(base, payload, ANYTHING_TYPES)
            self.assertEqual((here, value, type(value)), (entry.path, entry.value, type(entry.value)))

    @given(st.binary(max_size=200), st.sampled_from(["/", "/100", "/100/0", "/100/0/1", "/100/0/1001/0", "/9"]))
    def test_any_bytes(self, payload: bytes, base: str) -> None:
        """Any bytes raise the one error, or are nodes below the base."""
        try:
            found = lwm2mcbor.decode(path(base), payload, ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(path(base).covers(entry.path) for entry in found))

    @given(objects(), st.data())
    def test_mutations(self, found: Nodes, data: st.DataObject) -> None:
        """A payload with one byte changed raises the one error, or is nodes below the base."""
        base = Path(found[0].path[:1])
        payload = bytearray(lwm2mcbor.encode(base, found, ANYTHING_TYPES))
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        try:
            read = lwm2mcbor.decode(base, bytes(payload), ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(base.covers(entry.path) for entry in read))

    @given(st.data())
    def test_any_tree(self, data: st.DataObject) -> None:
        """Any maps in maps raise the one error, or are nodes below the base, each once."""
        ids = st.sampled_from([0, 3, 6, 7, 9, 65534, 65535])
        keys = ids | st.lists(ids, max_size=3).map(tuple) | st.sampled_from(["d01", b"", -1, 1.5, None])
        leaves = st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text(max_size=3) | st.none() | st.booleans()
        item = data.draw(st.recursive(leaves, lambda below: st.dictionaries(keys, below, max_size=3), max_leaves=8))
        base = path(data.draw(st.sampled_from(["/", "/3", "/3/0", "/3/0/6", "/3/0/9"])))
        try:
            read = lwm2mcbor.decode(base, dumped(item), TYPES)
        except ContentError:
            return
        self.assertTrue(all(base.covers(entry.path) for entry in read))
        self.assertEqual(len(read), len({entry.path for entry in read}))
