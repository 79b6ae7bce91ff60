"""Tests of `lwm2md.lwm2m.tlv` and `lwm2md.lwm2m.tlvvalues`."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m import tlv
from lwm2md.lwm2m.leaves import MULTIPLE_FOR_SINGLE
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING_TYPES, MODELS, TYPES, flat, nodes, objects, one, path, single_values

DEVICE = (
    "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74C80209333435303030"
    "313233C303312E30860641000141010588070842000ED842011388870841007D42010384C10964C10A0F830B410000C40D5182428FC60E2B30"
    "323A3030C11055"
)
DEVICE_VALUES: dict[str, Value | None] = {
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

VECTORS: list[tuple[str, str, dict[str, Value | None]]] = [
    ("/3/0", DEVICE, DEVICE_VALUES),
    ("/3", "080079" + DEVICE, DEVICE_VALUES),
    (
        "/1",
        "08000FC10001C40100015180C10601C10755",
        {"/1/0/0": 1, "/1/0/1": 86400, "/1/0/6": True, "/1/0/7": "U"},
    ),
    (
        "/2",
        "08000EC10001C101008302417F07C1037F080212C10003C101008702417F0761013601C1037F",
        {
            "/2/0/0": 1,
            "/2/0/1": 0,
            "/2/0/2/127": 7,
            "/2/0/3": 127,
            "/2/2/0": 3,
            "/2/2/1": 0,
            "/2/2/2/127": 7,
            "/2/2/2/310": 1,
            "/2/2/3": 127,
        },
    ),
    ("/3442/0", "C178FB", {"/3442/0/120": -5}),
    ("/3442/0", "C48241AC0000", {"/3442/0/130": 21.5}),
    ("/3442/0", "C878088000000000000000", {"/3442/0/120": -(2**63)}),
    ("/3442/0", "C2780080", {"/3442/0/120": 128}),
    ("/3442/0", "C27D00C8", {"/3442/0/125": 200}),
    ("/3442/0", "C87D08FFFFFFFFFFFFFFFF", {"/3442/0/125": 2**64 - 1}),
    ("/3442/0", "C18C01", {"/3442/0/140": True}),
    ("/3442/0", "A00460", {"/3442/0/1120": None}),
    ("/3442/0", "C4AA00030000", {"/3442/0/170": ObjectLink(3, 0)}),
    ("/3442/0", "C8A0080000000100000000", {"/3442/0/160": 2**32}),
    ("/3303/0", "E4164441AC0000", {"/3303/0/5700": 21.5}),
    ("/3303", "0700E4164441AC00000701E4164441B20000", {"/3303/0/5700": 21.5, "/3303/1/5700": 22.25}),
    ("/3/0/0", "C000", {"/3/0/0": ""}),
    ("/3/0/11", "830B410000", {"/3/0/11/0": 0}),
    ("/3/0/7/1", "42011388", {"/3/0/7/1": 5000}),
    (
        "/3442",
        "080011C178FFA804600A41000164012C0001117024012CC26E6869",
        {"/3442/0/120": -1, "/3442/0/1120/0": 1, "/3442/0/1120/300": 70000, "/3442/300/110": "hi"},
    ),
    ("/3442/300/1150/1000", "7803E8010000" + "00" * 65536, {"/3442/300/1150/1000": bytes(65536)}),
    (
        "/3442",
        "38012C01000CB8047E0100067803E8010000" + "00" * 65536,
        {"/3442/300/1150/1000": bytes(65536)},
    ),
    ("/19/0/0/0", "50000100" + "AB" * 256, {"/19/0/0/0": b"\xab" * 256}),
    ("/5/0/0", "D0000100" + "AB" * 256, {"/5/0/0": b"\xab" * 256}),
    ("/5/0/0", "D800010000" + "00" * 65536, {"/5/0/0": bytes(65536)}),
    (
        "/1/0",
        "C10265C20303F2C20507D0C10601C10755",
        {"/1/0/2": 101, "/1/0/3": 1010, "/1/0/5": 2000, "/1/0/6": True, "/1/0/7": "U"},
    ),
    (
        "/3/0",
        "C40D5182428FC60E2B30323A3030C80F0C4575726F70652F5061726973",
        {"/3/0/13": 1367491215, "/3/0/14": "+02:00", "/3/0/15": "Europe/Paris"},
    ),
    (
        "/16",
        "08012E88002B480011" + b"Host Device ID #2".hex() + "480114" + b"Host Device Model #2".hex(),
        {"/16/1/0/0": "Host Device ID #2", "/16/1/0/1": "Host Device Model #2"},
    ),
    ("/3", "", {"/3": None}),
    ("/3/0", "", {"/3/0": None}),
    ("/3442", "0000", {"/3442/0": None}),
]


def decode(base: str, payload: str, type_of: TypeOf = TYPES) -> tuple[dict[str, Value | None], list[str]]:
    """Decode hexadecimal; return the values by path, and the deviations."""
    deviations: list[str] = []
    found = tlv.decode(path(base), bytes.fromhex(payload), type_of, deviations.append)
    return flat(found), deviations


class VectorTests(SynchronousTestCase):
    """The byte strings of the specification and of other implementations."""

    def test_decode(self) -> None:
        """Every vector is read without a deviation, value by value and type by type."""
        for base, payload, expected in VECTORS:
            found, deviations = decode(base, payload)
            self.assertEqual(expected, found)
            self.assertEqual([], deviations)
            self.assertEqual([type(value) for value in expected.values()], [type(value) for value in found.values()])

    def test_encode(self) -> None:
        """Every vector is what is written for its values."""
        for base, payload, values in VECTORS:
            self.assertEqual(payload.upper(), tlv.encode(path(base), nodes(values), TYPES).hex().upper())

    def test_long_header(self) -> None:
        """A resource with a long id and a long value has both in the header."""
        payload = tlv.encode(path("/3442/0/300"), one("/3442/0/300", b"x" * 300), TYPES)
        self.assertEqual("f0012c012c", payload[:5].hex())
        self.assertEqual(305, len(payload))

    def test_double(self) -> None:
        """A float is read from eight bytes too, and written in eight where four would change it."""
        self.assertEqual(({"/3442/0/130": 21.5}, []), decode("/3442/0", "C882084035800000000000"))
        self.assertEqual("c882083fb999999999999a", tlv.encode(path("/3442/0"), one("/3442/0/130", 0.1), TYPES).hex())
        self.assertEqual("c882087e37e43c8800759c", tlv.encode(path("/3442/0"), one("/3442/0/130", 1e300), TYPES).hex())

    def test_special_floats(self) -> None:
        """Infinity and NaN fit."""
        for value in (math.inf, -math.inf):
            payload = tlv.encode(path("/3442/0"), one("/3442/0/130", value), TYPES)
            self.assertEqual(value, tlv.decode(path("/3442/0"), payload, TYPES)[0].value)
        payload = tlv.encode(path("/3442/0"), one("/3442/0/130", math.nan), TYPES)
        self.assertTrue(math.isnan(tlv.decode(path("/3442/0"), payload, TYPES)[0].value))  # type: ignore[arg-type]

    def test_object_links_with_integer(self) -> None:
        """Several object links beside single values are read in place."""
        payload = "88000C440000420000440100420001C8010D38363133383030373535353030C40212345678"
        model = MODELS.resource((3442, 0, 1170), {})
        found, _ = decode("/66/0", payload, lambda here: model if here[2] == 0 else None)
        self.assertEqual(
            {
                "/66/0/0/0": ObjectLink(66, 0),
                "/66/0/0/1": ObjectLink(66, 1),
                "/66/0/1": b"8613800755500",
                "/66/0/2": b"\x12\x34\x56\x78",
            },
            found,
        )


class ToleranceTests(SynchronousTestCase):
    """What real devices send beside the specification, taken where it has one meaning."""

    def test_wrapped_instance(self) -> None:
        """An Instance may come wrapped in itself, which the specification allows."""
        self.assertEqual(({"/3/0/9": 100}, []), decode("/3/0", "0300C10964"))

    def test_wrapped_resource(self) -> None:
        """A Resource wrapped in its Instance is unwrapped and noted."""
        self.assertEqual(({"/3/0/9": 100}, [tlv.WRAPPED]), decode("/3/0/9", "0300C10964"))

    def test_wrong_ids(self) -> None:
        """An id that is not the one asked for is an error at every level."""
        for base, payload in (
            ("/3/0", "0301C10964"),
            ("/3/0", "0300C109640301C10964"),
            ("/3/0/9", "C10A64"),
            ("/3/0/9", "0301C10964"),
            ("/3/0/9", "C10964C10A64"),
            ("/3/0/7/1", "4100FF"),
            ("/3/0/7/1", "83084101FF"),
            ("/3/0/7/1", "83074100FF"),
            ("/3/0/7/1", "C101FF"),
            ("/3", "C10964"),
        ):
            with self.assertRaises(ContentError, msg=f"{base} {payload}"):
                decode(base, payload)

    def test_odd_integers(self) -> None:
        """Integers and times of three, five, six and seven bytes are read with their sign, and noted."""
        for width in (3, 5, 6, 7):
            for rid, number in (("78", 120), ("A0", 160)):
                found, deviations = decode("/3442/0", f"C{width}{rid}" + "FF" * (width - 1) + "FE")
                self.assertEqual({f"/3442/0/{number}": -2}, found)
                self.assertEqual(["tlv-odd-integer"], deviations)
        self.assertEqual({"/3442/0/125": 0xFFFFFE}, decode("/3442/0", "C37DFFFFFE")[0])

    def test_time_as_text(self) -> None:
        """A time in digits is read as such, but only where it cannot be a binary one."""
        self.assertEqual(
            ({"/3/0/13": 1367491215}, ["tlv-time-as-text"]), decode("/3/0", "C80D0A" + b"1367491215".hex())
        )
        self.assertEqual(({"/3/0/13": 0x31323334}, []), decode("/3/0", "C40D" + b"1234".hex()))
        for payload in ("C80D0A" + b"136749121x".hex(), "C80D14" + b"1".hex() * 20, "C80D13" + b"9".hex() * 19):
            with self.assertRaises(ContentError):
                decode("/3/0", payload)
        with self.assertRaises(ContentError):
            decode("/3/0", "C8090A" + b"1367491215".hex())

    def test_multiple_for_single(self) -> None:
        """A single Resource that comes as one Instance is taken as the value; as several, as Instances; both noted."""
        self.assertEqual(({"/3/0/9": 100}, [MULTIPLE_FOR_SINGLE]), decode("/3/0/9", "8309410064"))
        found, deviations = decode("/3/0", "8609410064410132")
        self.assertEqual(({"/3/0/9/0": 100, "/3/0/9/1": 50}, [MULTIPLE_FOR_SINGLE]), (found, deviations))

    def test_single_for_multiple(self) -> None:
        """A multiple Resource that comes as one value is its Instance 0."""
        self.assertEqual(({"/3/0/7/0": 3800}, ["single-for-multiple"]), decode("/3/0/7", "C2070ED8"))

    def test_repeated(self) -> None:
        """A multiple Resource that comes as several values is Instances in their order."""
        found, deviations = decode("/3/0", "C416000300 00C41600030001C41600030002")
        links = {f"/3/0/22/{number}": ObjectLink(3, number) for number in range(3)}
        self.assertEqual(links, found)
        self.assertEqual(["single-for-multiple", tlv.REPEATED, tlv.REPEATED], deviations)

    def test_bare_instances(self) -> None:
        """Resource Instances that come for a Resource without their wrapping are taken and noted."""
        found, deviations = decode("/3/0/7", "42000ED842011388")
        self.assertEqual({"/3/0/7/0": 3800, "/3/0/7/1": 5000}, found)
        self.assertEqual([tlv.BARE_INSTANCES], deviations)

    def test_instance_in_multiple(self) -> None:
        """A Resource Instance may come inside its Resource."""
        self.assertEqual(({"/3/0/7/1": 5000}, []), decode("/3/0/7/1", "840742011388"))

    def test_lengths_need_not_be_shortest(self) -> None:
        """Longer forms of id and length mean the same."""
        for payload in ("C10964", "C8090164", "D009000164", "D80900000164", "E1000964", "E80009 0164"):
            self.assertEqual(({"/3/0/9": 100}, []), decode("/3/0", payload))

    def test_broken_string(self) -> None:
        """A string that is not UTF-8 is kept as bytes."""
        self.assertEqual(({"/3/0/0": b"\xff"}, ["string-not-utf8"]), decode("/3/0", "C100FF"))

    def test_unknown_resources(self) -> None:
        """Without a model values stay bytes, and multiple Resources are still told apart."""
        found, deviations = decode("/9999/0", "C10164830241000 1".replace(" ", ""))
        self.assertEqual({"/9999/0/1": b"d", "/9999/0/2/0": b"\x01"}, found)
        self.assertEqual([], deviations)


class RefusalTests(SynchronousTestCase):
    """What has no meaning is refused whole."""

    def test_every_truncation(self) -> None:
        """A payload cut anywhere is refused, or ends exactly between two records."""
        whole = bytes.fromhex(DEVICE)
        ends = {0}
        for _, _, value in tlv.records(whole):
            ends.add(whole.index(value, max(ends)) + len(value))
        for length in range(1, len(whole)):
            if length in ends:
                tlv.decode(path("/3/0"), whole[:length], TYPES)
                continue
            with self.assertRaises(ContentError, msg=str(length)):
                tlv.decode(path("/3/0"), whole[:length], TYPES)

    def test_wrong_values(self) -> None:
        """A width or a byte that the type does not have is refused."""
        for payload in ("C078", "C87809" + "00" * 9, "C08C", "C18C02", "C28C0001", "C38241AC00", "C082", "C3AA000300"):
            with self.assertRaises(ContentError, msg=payload):
                decode("/3442/0", payload)

    def test_wrong_structure(self) -> None:
        """Doubles, wrong kinds and reserved ids are refused."""
        for base, payload in (
            ("/", DEVICE),
            ("/3", "0300C109640300C10964"),
            ("/3", "03000100 00".replace(" ", "")),
            ("/3/0", "C10964C10964"),
            ("/3/0", "8307410001C10701"),
            ("/3/0", "83074100018307410001"),
            ("/3/0", "410001"),
            ("/3/0", "8607410001410001"),
            ("/3/0", "8307C10001"),
            ("/9999/0", "C10101C10101"),
            ("/3/0", "E1FFFF64"),
            ("/3/0/9", ""),
            ("/3/0/7/0", ""),
        ):
            with self.assertRaises(ContentError, msg=f"{base} {payload}"):
                decode(base, payload)

    def test_encode(self) -> None:
        """Nodes that are elsewhere, of another shape or of another type are not written."""
        cases: list[tuple[str, dict[str, Value | None]]] = [
            ("/", {"/3/0/9": 1}),
            ("/3/0", {"/3/1/9": 1}),
            ("/3/0", {"/3": None}),
            ("/3/0/9", {}),
            ("/3/0/7/1", {}),
            ("/3/0/9", {"/3/0/9": "x"}),
            ("/3/0/9", {"/3/0/9/0": 1}),
            ("/3/0/7", {"/3/0/7": 1}),
            ("/3/0/0", {"/3/0/0": b"\xff"}),
            ("/3/0/4", {"/3/0/4": ""}),
            ("/3/0", {"/3/0": 1}),
            ("/3/0", {"/3/0/7/0": None}),
        ]
        for base, values in cases:
            with self.assertRaises(ContentError, msg=f"{base} {values}"):
                tlv.encode(path(base), nodes(values), TYPES)
        for doubled in (one("/3/0/9", 1), one("/3/0/7/0", 1)):
            with self.assertRaises(ContentError):
                tlv.encode(path("/3/0"), doubled + doubled, TYPES)
        with self.assertRaises(ContentError):
            tlv.encode(path("/9999/0"), one("/9999/0/1", b"") + one("/9999/0/1/0", b""), TYPES)
        with self.assertRaises(ContentError):
            tlv.encode(path("/5/0/0"), one("/5/0/0", bytes(2**24)), TYPES)

    def test_unknown_resource_instance(self) -> None:
        """An id that a record cannot hold is refused."""
        with self.assertRaises(ContentError):
            tlv.encode(Path((3, 0)), (Entry(Path((3, 0, 7, 70000)), 1),), TYPES)


class WrappedTests(SynchronousTestCase):
    """Create: the first record says whether the payload names the Instance."""

    def test_wrapped(self) -> None:
        """Only a payload that starts with an Instance is wrapped."""
        self.assertTrue(tlv.wrapped(bytes.fromhex("0300C10964")))
        self.assertFalse(tlv.wrapped(bytes.fromhex("C10964")))
        self.assertFalse(tlv.wrapped(b""))


class PropertyTests(SynchronousTestCase):
    """For all nodes and all bytes."""

    @given(objects())
    def test_objects(self, found: Nodes) -> None:
        """An Object of any Instances reads back as it was written."""
        base = Path(found[0].path[:1])
        self.assertEqual(found, tlv.decode(base, tlv.encode(base, found, ANYTHING_TYPES), ANYTHING_TYPES))

    @given(single_values())
    def test_values(self, pair: tuple[Path, Value]) -> None:
        """A single value reads back from every level it can be asked at, with its type."""
        here, value = pair
        for depth in range(1, len(here) + 1):
            base = Path(here[:depth])
            payload = tlv.encode(base, (Entry(here, value),), ANYTHING_TYPES)
            [entry] = tlv.decode(base, payload, ANYTHING_TYPES)
            self.assertEqual((here, value, type(value)), (entry.path, entry.value, type(entry.value)))

    @given(st.binary(max_size=200), st.sampled_from(["/100", "/100/0", "/100/0/1", "/100/0/1001/0", "/9"]))
    def test_any_bytes(self, payload: bytes, base: str) -> None:
        """Any bytes raise the one error, or are nodes below the base."""
        try:
            found = tlv.decode(path(base), payload, ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(path(base).covers(entry.path) for entry in found))

    @given(objects(), st.data())
    def test_mutations(self, found: Nodes, data: st.DataObject) -> None:
        """A payload with one byte changed raises the one error, or is nodes below the base."""
        base = Path(found[0].path[:1])
        payload = bytearray(tlv.encode(base, found, ANYTHING_TYPES))
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        try:
            read = tlv.decode(base, bytes(payload), ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(base.covers(entry.path) for entry in read))
