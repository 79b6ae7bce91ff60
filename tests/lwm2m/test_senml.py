"""Tests of `lwm2md.lwm2m.senml` and what it is made of: the four formats through the table of formats."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cbor2
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import SENML_CBOR, SENML_ETCH_CBOR, SENML_ETCH_JSON, SENML_JSON, TLV
from lwm2md.lwm2m.formats import UnsupportedFormat, decode, decode_paths, encode, encode_paths
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.senmlnames import NAMES, PLACES
from lwm2md.lwm2m.values import NULL_LINK, ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING, ANYTHING_TYPES, STRATEGIES, TYPES, flat, nodes, objects, one, path

FORMATS = (SENML_JSON, SENML_CBOR, SENML_ETCH_JSON, SENML_ETCH_CBOR)
LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4}
LABELS |= {"s": 5, "t": 6, "ut": 7, "vd": 8}
START = 1700000000


@dataclass
class Vector:
    """A payload in CBOR for a base, and what it stands for."""

    base: str
    payload: str
    values: dict[str, Value | None]
    time: float | None = None
    written: bool = True


VECTORS = (
    Vector(
        "/3/0",
        "84a321652f332f302f006130036441434d45a2006139021864a2006431312f300200a200623136036155",
        {"/3/0/0": "ACME", "/3/0/9": 100, "/3/0/11/0": 0, "/3/0/16": "U"},
    ),
    Vector(
        "/3442/0",
        "86a421682f333434322f302f221a6553f10000633132300224a2006331333002f94d60a2006331343004f4a200633135300842deada20063"
        "31373063766c6f63333a30a20063313630021a5182428f",
        {
            "/3442/0/120": -5,
            "/3442/0/130": 21.5,
            "/3442/0/140": False,
            "/3442/0/150": b"\xde\xad",
            "/3442/0/170": ObjectLink(3, 0),
            "/3442/0/160": 1367491215,
        },
        START,
    ),
    Vector("/1/0/1", "81a221662f312f302f31021a00015180", {"/1/0/1": 86400}, written=False),
    Vector("/", "81a200692f36352f302f302f3063766c6f6436363a30", {"/65/0/0/0": ObjectLink(66, 0)}),
    Vector("/", "81a221662f302f302f330843abcdef", {"/0/0/3": b"\xab\xcd\xef"}, written=False),
    Vector("/", "81a202f95cb0216b2f333434322f302f313330", {"/3442/0/130": 300.0}, written=False),
    Vector(
        "/",
        "83a321612f0065312f302f32021865a20065312f302f3604f5a20066332f302f31330200",
        {"/1/0/2": 101, "/1/0/6": True, "/3/0/13": 0},
        written=False,
    ),
    Vector(
        "/0/1",
        "84a321652f302f312f0061300368636f61703a2f2f68a200613104f4a20061320203a20062313002187b",
        {"/0/1/0": "coap://h", "/0/1/1": False, "/0/1/2": 3, "/0/1/10": 123},
    ),
    Vector(
        "/",
        "82a221662f332f302f39021864a221662f312f302f31021a00015180",
        {"/3/0/9": 100, "/1/0/1": 86400},
        written=False,
    ),
    Vector(
        "/",
        "82a200662f312f302f3102190e10a200672f332f302f313403662b30313a3030",
        {"/1/0/1": 3600, "/3/0/14": "+01:00"},
    ),
)


def senml(*records: dict[str, object]) -> list[tuple[int, bytes]]:
    """The records in JSON and in CBOR, as anybody's library writes them."""
    written = [{LABELS.get(label, label): value for label, value in record.items()} for record in records]
    return [(SENML_JSON, json.dumps(records).encode()), (SENML_CBOR, cbor2.dumps(written))]


class VectorTests(SynchronousTestCase):
    """The payloads of the specification and of other implementations."""

    def test_cbor(self) -> None:
        """Each is read, and where it is of our form, written the same."""
        for vector in VECTORS:
            payload = bytes.fromhex(vector.payload)
            expected = tuple(Entry(path(where), value, vector.time) for where, value in vector.values.items())
            for number in (SENML_CBOR, SENML_ETCH_CBOR):
                found = decode(number, path(vector.base), payload, TYPES)
                self.assertEqual(expected, found, vector.payload)
                written = encode(number, path(vector.base), found, TYPES)
                self.assertEqual(vector.written, written == payload, written.hex())
                self.assertEqual(expected, decode(number, path(vector.base), written, TYPES))

    def test_json(self) -> None:
        """The sample in JSON is read, and written the same."""
        payload = b'[{"bn":"/3/0/","n":"0","vs":"ACME"},{"n":"9","v":100},{"n":"11/0","v":0},{"n":"16","vs":"U"}]'
        found = decode(SENML_JSON, path("/3/0"), payload, TYPES)
        self.assertEqual(VECTORS[0].values, flat(found))
        self.assertEqual(payload, encode(SENML_JSON, path("/3/0"), found, TYPES))

    def test_times(self) -> None:
        """A path has a value for each of its times, given as shifts of a base time."""
        history = decode(
            SENML_CBOR,
            path("/3303/0/5700"),
            bytes.fromhex("82a3216c2f333330332f302f35373030221a6553f10002f94d60a206383b02f94d50"),
            TYPES,
        )
        where = path("/3303/0/5700")
        self.assertEqual((Entry(where, 21.5, START), Entry(where, 21.25, START - 60)), history)
        found = decode(
            SENML_CBOR,
            ROOT,
            bytes.fromhex(
                "83a421652f332f302f221a6553f1000063372f3002190ed8a20063372f3102191388a30063372f30062902190ece"
            ),
            TYPES,
        )
        expected = [("/3/0/7/0", 3800, START), ("/3/0/7/1", 5000, START), ("/3/0/7/0", 3790, START - 10)]
        self.assertEqual(expected, [(str(entry.path), entry.value, entry.time) for entry in found])
        written = encode(SENML_CBOR, path("/3303/0/5700"), history, TYPES)
        self.assertEqual(
            "82a421682f333330332f302f221a6553f10000643537303002f94d60a300643537303006383b02f94d50", written.hex()
        )

    def test_device(self) -> None:
        """The Device Object of the specification's example is as small as it is said to be: 196 bytes in 16 records."""
        payload = bytes.fromhex(
            "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74C80209333435"
            "303030313233C303312E30860641000141010588070842000ED842011388870841007D42010384C10964C10A0F830B410000C40D5182"
            "428FC60E2B30323A3030C11055"
        )
        found = decode(TLV, path("/3/0"), payload, TYPES)
        written = encode(SENML_CBOR, path("/3/0"), found, TYPES)
        self.assertEqual((196, "90a321652f332f302f0061300374"), (len(written), written[:14].hex()))

    def test_paths(self) -> None:
        """The list of a FETCH is names."""
        wanted = (path("/3/0/16"), path("/1/0/1"))
        payload = bytes.fromhex("82a100672f332f302f3136a100662f312f302f31")
        for number in (SENML_CBOR, SENML_ETCH_CBOR):
            self.assertEqual(wanted, decode_paths(number, payload))
            self.assertEqual(payload, encode_paths(number, wanted))
        text = b'[{"n":"/3/0/9"},{"n":"/1/0/1"}]'
        wanted = (path("/3/0/9"), path("/1/0/1"))
        for number in (SENML_JSON, SENML_ETCH_JSON):
            self.assertEqual(wanted, decode_paths(number, text))
            self.assertEqual(text, encode_paths(number, wanted))

    def test_deletion(self) -> None:
        """Null deletes a Resource Instance in SenML-ETCH, and nowhere else and nothing else."""
        deleted = (Entry(path("/16/0/0/1"), None),)
        for number, plain, payload in (
            (SENML_ETCH_CBOR, SENML_CBOR, bytes.fromhex("81a200692f31362f302f302f3102f6")),
            (SENML_ETCH_JSON, SENML_JSON, b'[{"n":"/16/0/0/1","v":null}]'),
        ):
            self.assertEqual(deleted, decode(number, ROOT, payload, TYPES))
            self.assertEqual(payload, encode(number, ROOT, deleted, TYPES))
            with self.assertRaises(ContentError):
                decode(plain, ROOT, payload, TYPES)
            with self.assertRaises(ContentError):
                encode(plain, ROOT, deleted, TYPES)
            with self.assertRaises(ContentError):
                decode(
                    number, ROOT, payload.replace(b"i/16/0/0/1", b"g/16/0/0").replace(b'/16/0/0/1"', b'/16/0/0"'), TYPES
                )


class ValueTests(SynchronousTestCase):
    """Values in both forms."""

    def test_exact(self) -> None:
        """Integers are exact to the last of their 64 bits, and links, times and strings come as they are."""
        for where, text, value in (
            ("/3442/0/120", '"v":-9223372036854775808', -(2**63)),
            ("/3442/0/120", '"v":9007199254740993', 2**53 + 1),
            ("/3442/0/125", '"v":18446744073709551615', 2**64 - 1),
            ("/3442/0/130", '"v":0.1', 0.1),
            ("/3442/0/130", '"v":-1e+300', -1e300),
            ("/3442/0/140", '"vb":true', True),
            ("/3442/0/150", '"vd":"-_8"', b"\xfb\xff"),
            ("/3442/0/150", '"vd":""', b""),
            ("/3442/0/160", '"v":1367491215', 1367491215),
            ("/3442/0/170", '"vlo":"65535:65535"', NULL_LINK),
            ("/3442/0/180", '"vs":"</3/0>;x=\\"a\\""', '</3/0>;x="a"'),
            ("/3/0/0", '"vs":"gr\u00fc\u00df, \u2603"', "gr\u00fc\u00df, \u2603"),
        ):
            payload = f'[{{"n":"{where}",{text}}}]'.encode()
            self.assertEqual(one(where, value), decode(SENML_JSON, ROOT, payload, TYPES, self.fail))
            written = encode(SENML_JSON, ROOT, one(where, value), TYPES)
            self.assertEqual(json.loads(payload), json.loads(written))
            self.assertEqual(payload.replace(b"+", b""), written.replace(b"+", b""))

    def test_without_model(self) -> None:
        """Without a model each value speaks for itself."""
        values: dict[str, Value | None] = {
            "/9999/0/0": 5,
            "/9999/0/1": 5.5,
            "/9999/0/2": True,
            "/9999/0/3": "x",
            "/9999/0/4": b"x",
            "/9999/0/5": ObjectLink(3, 0),
            "/9999/0/6/7": 2**64 - 1,
            "/9999/0/8": -(2**63),
        }
        for number in FORMATS:
            self.assertEqual(values, flat(decode(number, ROOT, encode(number, ROOT, nodes(values), TYPES), TYPES)))

    def test_deviations(self) -> None:
        """What has one meaning is taken and noted."""
        for where, label, sent, value, deviation in (
            ("/3442/0/120", "v", 5.0, 5, "float-for-integer"),
            ("/3442/0/120", "v", 1e3, 1000, "float-for-integer"),
            ("/3442/0/140", "v", 1, True, "odd-boolean"),
            ("/3442/0/140", "vs", "false", False, "odd-boolean"),
            ("/3/0/13", "vs", "1367491215", 1367491215, "time-as-text"),
            ("/3/0/13", "vs", "2013-03-21T20:04:00Z", 1363896240, "time-as-text"),
            ("/3/0/0", "vs", "ACME\0", "ACME", "nul-terminated-string"),
        ):
            for number, payload in senml({"n": where, label: sent}):
                notes: list[str] = []
                self.assertEqual(one(where, value), decode(number, ROOT, payload, TYPES, notes.append))
                self.assertEqual([deviation], notes)
        broken = b"\x81\xa2\x00\x66/3/0/0\x03\x62\xc3A"
        notes = []
        self.assertEqual(one("/3/0/0", b"\xc3A"), decode(SENML_CBOR, ROOT, broken, TYPES, notes.append))
        self.assertEqual(["string-not-utf8"], notes)

    def test_number_of_instances(self) -> None:
        """A value for a multiple Resource is its Instance 0; the one Instance of a single Resource is its value."""
        for sent, where, deviation in (
            ("/3/0/7", "/3/0/7/0", "single-for-multiple"),
            ("/3/0/9/0", "/3/0/9", "multiple-for-single"),
        ):
            for number, payload in senml({"n": sent, "v": 5}):
                notes: list[str] = []
                self.assertEqual(one(where, 5), decode(number, ROOT, payload, TYPES, notes.append))
                self.assertEqual([deviation], notes)
        for number, payload in senml({"n": "/3/0/9/0", "v": 5}, {"n": "/3/0/9/1", "v": 5}):
            with self.assertRaises(ContentError):
                decode(number, ROOT, payload, TYPES)

    def test_what_leshan_writes(self) -> None:
        """Links stand in strings there, and base64 may be of either alphabet; nobody is blamed for it."""
        for number, payload in senml({"n": "/3442/0/170", "vs": "3:0"}):
            self.assertEqual(one("/3442/0/170", ObjectLink(3, 0)), decode(number, ROOT, payload, TYPES, self.fail))
        for text in ("+/8=", "-_8=", "+/8", "-_8"):
            payload = json.dumps([{"n": "/3442/0/150", "vd": text}]).encode()
            self.assertEqual(one("/3442/0/150", b"\xfb\xff"), decode(SENML_JSON, ROOT, payload, TYPES, self.fail))

    def test_tags(self) -> None:
        """Times in tags and decimal fractions are the numbers that they stand for."""
        for where, item, value in (
            ("/3/0/13", "c11a5182428f", 1367491215),
            ("/3/0/13", "c074323031332d30332d32315432303a30343a30305a", 1363896240),
            ("/3442/0/130", "c48220182d", 4.5),
        ):
            payload = b"\x81\xa2\x00" + cbor2.dumps(where) + b"\x02" + bytes.fromhex(item)
            self.assertEqual(one(where, value), decode(SENML_CBOR, ROOT, payload, TYPES))

    def test_base_value(self) -> None:
        """A base value is added to the numbers that follow, exactly for integers, and to nothing else."""
        for number, payload in senml(
            {"bn": "/3442/0/", "bv": 2**62, "n": "120", "v": 1},
            {"n": "140", "vb": True},
            {"bv": -1, "n": "130", "v": 1.5},
            {"bv": 0.5, "n": "160", "v": 1.5},
        ):
            found = flat(decode(number, ROOT, payload, TYPES))
            self.assertEqual(
                {"/3442/0/120": 2**62 + 1, "/3442/0/140": True, "/3442/0/130": 0.5, "/3442/0/160": 2}, found
            )

    def test_not_written(self) -> None:
        """What is out of range or of another type, what JSON has no number for, and half a character."""
        for where, value in (
            ("/3442/0/120", 2**63),
            ("/3442/0/125", -1),
            ("/3442/0/120", "5"),
            ("/3442/0/120", 5.0),
            ("/3442/0/130", "x"),
            ("/3442/0/140", 1),
            ("/3442/0/150", "x"),
            ("/3442/0/170", ObjectLink(65536, 0)),
            ("/3/0/0", "\ud800"),
            ("/3/0/0", b"\xff"),
            ("/9999/0/1", 2**64),
            ("/3/0/7", 5),
            ("/3/0/9/0", 5),
            ("/3/0", 5),
        ):
            for number in FORMATS:
                with self.assertRaises(ContentError):
                    encode(number, ROOT, one(where, value), TYPES)
        for special in (math.nan, math.inf, -math.inf):
            for number in (SENML_JSON, SENML_ETCH_JSON):
                for where in ("/3442/0/130", "/9999/0/1"):
                    with self.assertRaises(ContentError):
                        encode(number, ROOT, one(where, special), TYPES)
            payload = encode(SENML_CBOR, ROOT, one("/3442/0/130", special), TYPES)
            self.assertEqual(repr(special), repr(decode(SENML_CBOR, ROOT, payload, TYPES)[0].value))
        self.assertEqual(b'[{"n":"/3/0/0","vs":"null"}]', encode(SENML_JSON, ROOT, one("/3/0/0", "null"), TYPES))


class NameTests(SynchronousTestCase):
    """Base names, roots and bases."""

    def test_split_anywhere(self) -> None:
        """Base name and name are put together wherever they were split, and the base name holds until the next."""
        for first, second in (("/3/0/", "9"), ("/3/0", "/9"), ("", "/3/0/9"), ("/3/0/9", ""), ("/3", "/0/9")):
            for number, payload in senml({"bn": first, "n": second, "v": 5}):
                self.assertEqual(one("/3/0/9", 5), decode(number, ROOT, payload, TYPES))
        for number, payload in senml(
            {"bn": "/3/0/", "n": "9", "v": 1},
            {"n": "10", "v": 2},
            {"bn": "/1/0/", "n": "1", "v": 3},
            {"n": "2", "v": 4},
        ):
            found = flat(decode(number, ROOT, payload, TYPES))
            self.assertEqual({"/3/0/9": 1, "/3/0/10": 2, "/1/0/1": 3, "/1/0/2": 4}, found)

    def test_no_path(self) -> None:
        """A name that is no path of a value is refused."""
        for name in (
            "3/0/9",
            "/3/0/",
            "/3//9",
            "/3/0/09",
            "/3/0/65535",
            "/3/0/9/0/0",
            "/3/0",
            "/",
            "",
            "/a/0/9",
            "/3/0/9 ",
            "/٣/0/9",
        ):
            for number, payload in senml({"n": name, "v": 5}):
                with self.assertRaises(ContentError):
                    decode(number, ROOT, payload, TYPES)

    def test_outside(self) -> None:
        """A name that is not below the base is refused, first and later; the base itself is not."""
        for base, name in (
            ("/3/0", "/3/1/9"),
            ("/3/0", "/30/0/9"),
            ("/3/0/9", "/3/0/10"),
            ("/3/0/7/0", "/3/0/7/1"),
            ("/3", "/1/0/1"),
        ):
            for number, payload in senml({"n": name, "v": 5}):
                with self.assertRaises(ContentError):
                    decode(number, path(base), payload, TYPES)
                with self.assertRaises(ContentError):
                    encode(number, path(base), one(name, 5), TYPES)
        for number, payload in senml(
            {"bn": "/3/0/", "n": "9", "v": 5}, {"n": "10", "v": 5}, {"bn": "/3/1/", "n": "9", "v": 5}
        ):
            with self.assertRaises(ContentError):
                decode(number, path("/3/0"), payload, TYPES)
        for where in ("/3/0/9", "/3/0/7/0"):
            for number, payload in senml({"n": where, "v": 5}):
                self.assertEqual(one(where, 5), decode(number, path(where), payload, TYPES))

    def test_root(self) -> None:
        """An alternate root or the prefix of a gateway's device stands before the ids, in lists of paths too."""
        values = one("/3/0/9", 5) + one("/3/0/10", 6)
        for root in ("/lwm2m", "/d01", "/a/b"):
            for number in FORMATS:
                for base in ("/", "/3", "/3/0"):
                    payload = encode(number, path(base), values, TYPES, root=root)
                    self.assertIn(root.encode(), payload)
                    self.assertEqual(values, decode(number, path(base), payload, TYPES, root=root))
                wanted = (ROOT, path("/3"), path("/3/0/9"))
                self.assertEqual(wanted, decode_paths(number, encode_paths(number, wanted, root=root), root=root))
        self.assertEqual(
            b'[{"n":"/d01/3/0/9"},{"n":"/d01"}]', encode_paths(SENML_JSON, (path("/3/0/9"), ROOT), root="/d01")
        )
        self.assertEqual(b'[{"n":"/"}]', encode_paths(SENML_JSON, (ROOT,)))

    def test_root_left_out(self) -> None:
        """Names without the root are taken, and noted, where it is plain what was asked for; else they are refused."""
        for number, payload in senml({"bn": "/3/0/", "n": "9", "v": 5}):
            notes: list[str] = []
            found = decode(number, path("/3/0"), payload, TYPES, notes.append, root="/d01")
            self.assertEqual((one("/3/0/9", 5), ["senml-without-root"]), (found, notes))
            for base, root in (("/", "/d01"), ("/3/1", "/d01")):
                with self.assertRaises(ContentError):
                    decode(number, path(base), payload, TYPES, root=root)
            with self.assertRaises(ContentError):
                decode_paths(number, senml({"n": "/3/0/9"})[number == SENML_CBOR][1], root="/d01")

    def test_names_are_short(self) -> None:
        """Below a base the names have their last ids only, so that something is left of a single Resource too."""
        for base, where, name in (
            ("/3", "/3/0/9", "0/9"),
            ("/3/0", "/3/0/9", "9"),
            ("/3/0/9", "/3/0/9", "9"),
            ("/3/0/7", "/3/0/7/1", "7/1"),
            ("/3/0/7/1", "/3/0/7/1", "7/1"),
            ("/", "/3/0/9", "/3/0/9"),
        ):
            [record] = json.loads(encode(SENML_JSON, path(base), one(where, 5), TYPES))
            self.assertEqual((name, where), (record["n"], record.get("bn", "") + record["n"]))


class RecordTests(SynchronousTestCase):
    """Records as such."""

    def test_empty(self) -> None:
        """An empty list is an empty base, or nothing of all; a Resource that must have one value has none."""
        for number in FORMATS:
            empty = encode(number, ROOT, (), TYPES)
            self.assertEqual(b"[]" if number in (SENML_JSON, SENML_ETCH_JSON) else b"\x80", empty)
            self.assertEqual((), decode(number, ROOT, empty, TYPES))
            for where in ("/3", "/3/0", "/3/0/7", "/9999/0/1"):
                container = (Entry(path(where), None),)
                self.assertEqual(container, decode(number, path(where), empty, TYPES))
                self.assertEqual(empty, encode(number, path(where), container, TYPES))
            for where in ("/3/0/9", "/3/0/7/0"):
                with self.assertRaises(ContentError):
                    decode(number, path(where), empty, TYPES)

    def test_bases_alone(self) -> None:
        """A record of base fields alone has no value, which is noted."""
        for number, payload in senml({"bver": 10, "bn": "/3/0/", "bt": START}, {"n": "9", "v": 5}):
            notes: list[str] = []
            self.assertEqual((Entry(path("/3/0/9"), 5, START),), decode(number, ROOT, payload, TYPES, notes.append))
            self.assertEqual(["senml-without-value"], notes)

    def test_ignored(self) -> None:
        """Units, sums, update times and labels that nobody knows are passed over."""
        record = {"bu": "A", "bs": 1, "n": "/3/0/9", "u": "V", "s": 5, "ut": 9, "x": "?", "_y": 1.5, "v": 5}
        for number, payload in senml(record):
            self.assertEqual(one("/3/0/9", 5), decode(number, ROOT, payload, TYPES))
        payload = cbor2.dumps([{0: "/3/0/9", 2: 5, -7: [1], 99: {}, b"x": None, 1.5: 1}])
        self.assertEqual(one("/3/0/9", 5), decode(SENML_CBOR, ROOT, payload, TYPES))

    def test_refused(self) -> None:
        """What must be understood and is not, has no value or several, is twice there or of a wrong type."""
        good: dict[str, object] = {"n": "/3/0/9", "v": 5}
        for records in (
            [good | {"must_": 1}],
            [good | {"bver": 11}],
            [good | {"bver": 0}],
            [good | {"bver": "1"}],
            [good | {"bver": True}],
            [good | {"bver": 10.0}],
            [good | {"vs": "x"}],
            [{"n": "/3/0/9"}],
            [{"n": "/3/0/9", "s": 5}],
            [{"n": "/3/0/9", "bv": 5}],
            [{"n": "/3/0/9", "t": 5}],
            [good, good],
            [good, {"bn": "/3/0/", "n": "9", "v": 6}],
            [good | {"t": 5}, good | {"t": 5.0}],
            [good | {"bt": 5, "t": 1}, good | {"t": 1}],
            [{"n": "/3/0/7", "v": 1}, {"n": "/3/0/7/0", "v": 2}],
            [{"n": 5, "v": 5}],
            [{"bn": 5, "n": "/3/0/9", "v": 5}],
            [{"bn": None, "n": "/3/0/9", "v": 5}],
            [good | {"t": "5"}],
            [good | {"t": True}],
            [good | {"bt": "5"}],
            [good | {"t": 2**64}],
            [good | {"bt": 1e20}],
            [good | {"t": -1e20}],
            [good | {"bv": "5"}],
            [good | {"bv": None}],
            [good | {"bv": 2**63 - 1}],
            [{"n": "/3/0/9", "vs": "5"}],
            [{"n": "/3/0/9", "v": "5"}],
            [{"n": "/3/0/9", "v": True}],
            [{"n": "/3/0/9", "v": 5.5}],
            [{"n": "/3/0/9", "v": 2.0**60}],
            [{"n": "/3/0/9", "v": 2**63}],
            [{"n": "/3/0/9", "v": None}],
            [{"n": "/3/0/9", "vb": True}],
            [{"n": "/3/0/0", "vs": 5}],
            [{"n": "/3/0/0", "vs": None}],
            [{"n": "/3/0/0", "v": 5}],
            [{"n": "/3442/0/130", "v": "1.5"}],
            [{"n": "/3442/0/140", "vb": "yes"}],
            [{"n": "/3442/0/140", "v": 2}],
            [{"n": "/3442/0/150", "vs": "x"}],
            [{"n": "/3442/0/150", "vd": 5}],
            [{"n": "/3442/0/170", "vlo": "3"}],
            [{"n": "/3442/0/170", "vlo": 3}],
            [{"n": "/3442/0/160", "vs": "yesterday"}],
            [{"n": "/9999/0/1", "v": "5"}],
            [{"n": "/9999/0/1", "v": 2**65}],
            [{"n": "/9999/0/1", "vs": 5}],
        ):
            if any(type(value) is int and value > 2**64 for record in records for value in record.values()):
                payloads = [(SENML_JSON, json.dumps(records).encode())]
            else:
                payloads = senml(*records)
            for number, payload in payloads:
                with self.assertRaises(ContentError, msg=f"{number} {records}"):
                    decode(number, ROOT, payload, TYPES)

    def test_malformed(self) -> None:
        """What is no list of records, has something behind it, or a label twice, is refused."""
        good = '[{"n":"/3/0/9","v":5}]'
        values = ("05", "NaN", "1e999", "[5]", '5,"v":5', '5,"v" : 5', '5,"x":{}', '5,"x\\"":1,"x\\"":2', "9" * 5000)
        for text in (
            *(good.replace("5", value) for value in values),
            *("", "{}", "[", "[{]", "[1]", "[[]]", "null", "5", "[" * 100_000),
            *(good + " x", good + "[]", good.replace("]", ",]"), "\ufeff" + good, good.replace('"', "'")),
            '[{"n":"/3/0/0","vs":"\\ud800"}]',
            '[{"n":"/3442/0/150","vd":"a b"}]',
            '[{"n":"/3442/0/150","vd":"a"}]',
        ):
            with self.assertRaises(ContentError, msg=text[:60]):
                decode(SENML_JSON, ROOT, text.encode(), TYPES)
        self.assertEqual(one("/3/0/9", 5), decode(SENML_JSON, ROOT, good.encode(), TYPES))
        with self.assertRaises(ContentError):
            decode(SENML_JSON, ROOT, b'[{"n":"/3/0/0","vs":"\xff"}]', TYPES)
        for item in (
            "",
            "a0",
            "00",
            "8100",
            "8180",
            "80ff",
            "8080",
            "9f",
            "81a2006161",
            "81a3006161020102ff",
            "81a300616102010202",
        ):
            with self.assertRaises(ContentError, msg=item):
                decode(SENML_CBOR, ROOT, bytes.fromhex(item), TYPES)

    def test_huge(self) -> None:
        """Numbers of hundreds of digits are refused wherever they stand, whatever the type."""
        for where in ("/3442/0/120", "/3442/0/125", "/3442/0/130", "/3442/0/140", "/3442/0/160", "/9999/0/1"):
            for record in (
                f'"n":"{where}","v":HUGE',
                f'"n":"{where}","v":1,"t":HUGE',
                f'"bt":HUGE,"n":"{where}","v":1',
                f'"bt":HUGE,"n":"{where}","v":1,"t":-HUGE',
                f'"bv":HUGE,"n":"{where}","v":1',
                f'"bver":HUGE,"n":"{where}","v":1',
                f'"s":HUGE,"n":"{where}","v":1,"t":-HUGE',
            ):
                for digits in (20, 40, 400, 4000):
                    payload = f"[{{{record}}}]".replace("HUGE", "9" * digits).encode()
                    with self.assertRaises(ContentError):
                        decode(SENML_JSON, ROOT, b'[{"n":"/3442/0/130","v":1},' + payload[1:], TYPES)

    def test_labels_and_colons(self) -> None:
        """Colons, quotes and backslashes in strings are not taken for labels."""
        for text in ("a:b", 'a":"b', 'a\\":b', '\\": \\', "\\\\", ":", '":', "é:\n\t"):
            values = one("/3/0/0", text) + one("/3/0/9", 5)
            for spaces in (None, (", ", " \n: ")):
                payload = json.dumps([{"n": "/3/0/0", "vs": text}, {"n": "/3/0/9", "v": 5}], separators=spaces)
                self.assertEqual(values, decode(SENML_JSON, ROOT, payload.encode(), TYPES))

    def test_endless(self) -> None:
        """Arrays, maps and strings without a length are read."""
        payload = b"\x9f\xbf\x21\x7f\x62/3\x63/0/\xff\x00\x61\x39\x02\x05\xff\xff"
        self.assertEqual(one("/3/0/9", 5), decode(SENML_CBOR, ROOT, payload, TYPES))

    def test_twice_is_not_written(self) -> None:
        """A path is written once for each time."""
        for number in FORMATS:
            for time in (None, 5.0):
                with self.assertRaises(ContentError):
                    encode(number, ROOT, (Entry(path("/3/0/9"), 1, time), Entry(path("/3/0/9"), 2, time)), TYPES)

    def test_many_names(self) -> None:
        """More names than are remembered at a time are read and written all the same."""
        records = [{"n": f"/9999/{number}/1", "v": number} for number in range(5000)]
        for number, payload in senml(*records):
            found = decode(number, ROOT, payload, TYPES)
            self.assertEqual(5000, len(found))
            self.assertEqual(found, decode(number, ROOT, encode(number, ROOT, found, TYPES), TYPES))


class TimeTests(SynchronousTestCase):
    """Values with times."""

    def test_relative(self) -> None:
        """A time is base time plus shift; small sums stay as they are for who knows when the payload came."""
        for fields, time in (
            ({"t": -60}, -60.0),
            ({"t": 12}, 12.0),
            ({"t": 0}, 0.0),
            ({"bt": 0}, 0.0),
            ({"bt": START, "t": -0.5}, START - 0.5),
            ({"bt": START + 0.25}, START + 0.25),
            ({"bt": START, "t": 0}, float(START)),
            ({}, None),
        ):
            for number, payload in senml({"n": "/3/0/9", "v": 5, **fields}):
                self.assertEqual((Entry(path("/3/0/9"), 5, time),), decode(number, ROOT, payload, TYPES))

    def test_mixed(self) -> None:
        """Where only some values have a time there is no base time that the others would get."""
        found = (Entry(path("/3/0/9"), 5, 1700000000.0), Entry(path("/3/0/10"), 6))
        for number in FORMATS:
            self.assertEqual(found, decode(number, ROOT, encode(number, ROOT, found, TYPES), TYPES))

    def test_infinite(self) -> None:
        """No infinite time is written, and none that nobody reads."""
        for time in (math.inf, math.nan, 2.0**63):
            for number in FORMATS:
                with self.assertRaises(ContentError):
                    encode(number, ROOT, (Entry(path("/3/0/9"), 5, time),), TYPES)

    @given(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False, min_value=-9e18, max_value=9e18), unique=True, max_size=4
        ),
        st.sampled_from(FORMATS),
    )
    def test_any(self, times: list[float], number: int) -> None:
        """Any times read back exactly."""
        found = tuple(Entry(path("/3/0/9"), 5, time) for time in times)
        self.assertEqual(found, decode(number, ROOT, encode(number, ROOT, found, TYPES), TYPES))


class PathListTests(SynchronousTestCase):
    """The bodies of FETCH."""

    def test_bases(self) -> None:
        """Base names hold in lists too, each path comes once, and the root is all Objects."""
        for number, payload in senml(
            {"bn": "/3/0/", "n": "9"}, {"n": "10"}, {"bn": "/3"}, {"bn": "/3"}, {"bn": "", "n": "/"}
        ):
            self.assertEqual(tuple(map(path, ("/3/0/9", "/3/0/10", "/3", "/"))), decode_paths(number, payload))
        self.assertEqual((), decode_paths(SENML_CBOR, b"\x80"))
        self.assertEqual((ROOT,), decode_paths(SENML_JSON, b'[{"n":"/lwm2m/"}]', root="/lwm2m"))

    def test_refused(self) -> None:
        """Values, times, names that are no paths and labels that must be understood are refused."""
        refused: tuple[dict[str, object], ...] = (
            {"n": "/3/0/9", "v": 5},
            {"n": "/3/0/9", "vs": None},
            {"n": "/3/0/9", "t": 5},
            {"n": "3/0/9"},
            {"n": ""},
            {},
            {"n": 5},
            {"n": "/3/0/9", "bver": 11},
            {"n": "/3/0/9", "x_": 1},
        )
        for record in refused:
            for number, payload in senml(record):
                with self.assertRaises(ContentError):
                    decode_paths(number, payload)

    def test_other_formats(self) -> None:
        """Other formats have no lists of paths."""
        for number in (0, 42, 60, TLV, 99):
            with self.assertRaises(UnsupportedFormat):
                decode_paths(number, b"")
            with self.assertRaises(UnsupportedFormat):
                encode_paths(number, (ROOT,))

    @given(st.lists(st.lists(st.integers(0, 65534), max_size=4).map(Path), unique=True), st.sampled_from(FORMATS))
    def test_any(self, paths: list[Path], number: int) -> None:
        """Any list of paths reads back."""
        self.assertEqual(tuple(paths), decode_paths(number, encode_paths(number, paths)))


class EffortTests(SynchronousTestCase):
    """Twice the records take twice the steps, whether they are usual ones or not."""

    def steps(self, work: Callable[[], object]) -> int:
        """How many calls it takes, with all names known and none of others."""
        count = 0
        PLACES.clear()
        NAMES.clear()
        work()

        def counted(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            work()
        finally:
            sys.setprofile(None)
        return count

    def test_linear(self) -> None:
        """Values with and without a model, with names in parts, with times, and lists of paths, in both directions.

        All of them are large enough for a look at their keys.
        """
        kinds: tuple[Callable[[int], dict[str, object]], ...] = (
            lambda number: {"n": f"/3442/{number}/120", "v": number},
            lambda number: {"n": f"/9999/{number}/1", "v": number},
            lambda number: {"bn": "/3442/", "n": f"{number}/120", "v": 5.0, "u": "x"},
            lambda number: {"n": "/3442/0/120", "v": 5, "t": number},
        )
        for kind in kinds:
            for small, large in zip(senml(*map(kind, range(600))), senml(*map(kind, range(1200))), strict=True):
                effort = []
                for number, payload in (small, large):
                    found = decode(number, ROOT, payload, TYPES)
                    effort.append(self.steps(partial(decode, number, ROOT, payload, TYPES)))
                    effort.append(self.steps(partial(encode, number, ROOT, found, TYPES)))
                    self.assertIn(len(found), (600, 1200))
                self.assertLess(effort[2], 2.2 * effort[0])
                self.assertLess(effort[3], 2.2 * effort[1])
        paths = [
            self.steps(partial(decode_paths, SENML_CBOR, b"\x98" + bytes((n,)) + b"\xa1\x00\x62/3" * n))
            for n in (100, 200)
        ]
        self.assertLess(paths[1], 2.2 * paths[0])


class PropertyTests(SynchronousTestCase):
    """Everything at once."""

    @given(objects(), st.sampled_from(FORMATS), st.sampled_from([Path((ANYTHING,)), ROOT]), st.sampled_from(["", "/r"]))
    def test_objects(self, found: Nodes, number: int, base: Path, root: str) -> None:
        """Whole Objects read back, but for their empty containers and for what has no form."""
        values = tuple(entry for entry in found if entry.value is not None)
        try:
            payload = encode(number, base, found, ANYTHING_TYPES, root=root)
        except ContentError:
            self.assertTrue(any(entry.value in (math.inf, -math.inf) for entry in values))
            return
        assume(values)
        self.assertEqual(values, decode(number, base, payload, ANYTHING_TYPES, self.fail, root=root))

    @given(st.binary(max_size=60), st.sampled_from(FORMATS), st.sampled_from(["/", "/100", "/100/0/1"]))
    def test_any_bytes(self, payload: bytes, number: int, base: str) -> None:
        """Any bytes are nodes at or below the base, or the one error; the same goes for lists of paths."""
        for reading in (
            lambda: decode(number, path(base), payload, ANYTHING_TYPES),
            lambda: decode_paths(number, payload),
        ):
            try:
                found = reading()
            except ContentError:
                continue
            self.assertTrue(all(path(base).covers(entry.path) for entry in found if isinstance(entry, Entry)))

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from([*LABELS, "vlo", "x_", "x"]),
                st.one_of(
                    st.sampled_from(["/100/0/1", "/100/0/1003/2", "/100/0/", "5", "/", "", "3:0", "true", "a\0"]),
                    *STRATEGIES.values(),
                    st.none(),
                ).filter(lambda value: not isinstance(value, tuple)),
            ),
            max_size=4,
        )
    )
    def test_any_records(self, records: list[dict[str, object]]) -> None:
        """Any records are nodes or the one error, and what is taken from them is written and reads back."""
        written = [{LABELS.get(label, label): value for label, value in record.items()} for record in records]
        try:
            found = decode(SENML_ETCH_CBOR, ROOT, cbor2.dumps(written), ANYTHING_TYPES)
        except ContentError:
            return
        kept = tuple(entry for entry in found if not isinstance(entry.value, bytes))
        self.assertEqual(
            kept, decode(SENML_ETCH_CBOR, ROOT, encode(SENML_ETCH_CBOR, ROOT, kept, ANYTHING_TYPES), ANYTHING_TYPES)
        )
