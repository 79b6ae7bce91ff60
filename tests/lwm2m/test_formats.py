"""Tests of `lwm2md.lwm2m.formats` and of the formats of a single value."""

from __future__ import annotations

from math import inf

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import (
    CBOR,
    OPAQUE,
    SENML_CBOR,
    SENML_ETCH_CBOR,
    SENML_ETCH_JSON,
    SENML_JSON,
    TEXT,
    TLV,
)
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.formats import UnsupportedFormat, decode, decode_answer, encode
from lwm2md.lwm2m.nodes import ContentError, Entry, ignore
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING_TYPES, TYPES, flat, one, path, single_values


class TextTests(SynchronousTestCase):
    """Content-Format 0."""

    def test_by_type(self) -> None:
        """Each type has its text, and reads back from it."""
        table: list[tuple[str, bytes, Value]] = [
            ("/3/0/0", b"ACME", "ACME"),
            ("/3/0/0", b"", ""),
            ("/3442/0/120", b"-5", -5),
            ("/3442/0/125", b"18446744073709551615", 2**64 - 1),
            ("/3442/0/130", b"21.5", 21.5),
            ("/3442/0/140", b"1", True),
            ("/3442/0/150", b"3q0=", b"\xde\xad"),
            ("/3442/0/160", b"1367491215", 1367491215),
            ("/3442/0/170", b"3:0", ObjectLink(3, 0)),
            ("/3442/0/180", b"</3/0>", "</3/0>"),
            ("/3/0/7/1", b"5000", 5000),
            ("/9999/0/1", b"12", "12"),
        ]
        for where, payload, value in table:
            self.assertEqual(one(where, value), decode(TEXT, path(where), payload, TYPES))
            self.assertEqual(payload, encode(TEXT, path(where), one(where, value), TYPES))

    def test_refused(self) -> None:
        """A boolean in upper case, a padded number, broken UTF-8 and an Instance are refused."""
        for where, payload in (
            ("/3442/0/140", b"TRUE"),
            ("/3442/0/120", b" 5"),
            ("/3442/0/120", b"\xff"),
            ("/3442/0/120", b""),
            ("/3/0", b"x"),
            ("/", b""),
        ):
            with self.assertRaises(ContentError):
                decode(TEXT, path(where), payload, TYPES)

    def test_deviations(self) -> None:
        """What has one meaning is taken and noted.

        Broken UTF-8 in a string stays bytes, NUL ends it, a value for a multiple Resource is its Instance 0, and words
        are booleans.
        """
        notes: list[str] = []
        self.assertEqual(one("/3/0/0", b"\xff"), decode(TEXT, path("/3/0/0"), b"\xff", TYPES, notes.append))
        self.assertEqual(one("/3/0/7/0", 5), decode(TEXT, path("/3/0/7"), b"5", TYPES, notes.append))
        self.assertEqual(one("/3/0/0", "a\0b"), decode(TEXT, path("/3/0/0"), b"a\0b\0\0", TYPES, notes.append))
        for word, value in ((b"true", True), (b"false", False)):
            self.assertEqual(one("/3442/0/140", value), decode(TEXT, path("/3442/0/140"), word, TYPES, notes.append))
        self.assertEqual(
            ["string-not-utf8", "single-for-multiple", "nul-terminated-string", "odd-boolean", "odd-boolean"], notes
        )

    def test_not_one_value(self) -> None:
        """None, several, or a value of another type are not written."""
        for nodes in ((), one("/3/0/9", 1) * 2, one("/3/0/10", 1), (Entry(path("/3/0/9"), None),), one("/3/0/9", "x")):
            with self.assertRaises(ContentError):
                encode(TEXT, path("/3/0/9"), nodes, TYPES)
        with self.assertRaises(ContentError):
            encode(TEXT, path("/3442/0/130"), one("/3442/0/130", float("nan")), TYPES)


class OpaqueTests(SynchronousTestCase):
    """Content-Format 42."""

    def test_bytes(self) -> None:
        """The payload is the value, empty too, with or without a model."""
        for where in ("/5/0/0", "/19/0/0/0", "/9999/0/1"):
            for payload in (b"", b"\xde\xad"):
                self.assertEqual(one(where, payload), decode(OPAQUE, path(where), payload, TYPES))
                self.assertEqual(payload, encode(OPAQUE, path(where), one(where, payload), TYPES))

    def test_other_types(self) -> None:
        """No other type is read or written so."""
        for where, value in (("/3/0/0", "x"), ("/9999/0/1", "x"), ("/3/0/0", b"x")):
            with self.assertRaises(ContentError):
                encode(OPAQUE, path(where), one(where, value), TYPES)
        for where in ("/3/0/0", "/5/0"):
            with self.assertRaises(ContentError):
                decode(OPAQUE, path(where), b"x", TYPES)


class CborTests(SynchronousTestCase):
    """Content-Format 60."""

    def test_by_type(self) -> None:
        """Each type has its item, and reads back from it."""
        table: list[tuple[str, str, Value]] = [
            ("/3/0/9", "1864", 100),
            ("/3442/0/120", "24", -5),
            ("/3442/0/120", "3b7fffffffffffffff", -(2**63)),
            ("/3442/0/125", "1bffffffffffffffff", 2**64 - 1),
            ("/3442/0/130", "f94d60", 21.5),
            ("/3442/0/130", "f90000", 0.0),
            ("/3442/0/130", "f97c00", float("inf")),
            ("/3442/0/140", "f5", True),
            ("/3/0/16", "6155", "U"),
            ("/3442/0/170", "63333a30", ObjectLink(3, 0)),
            ("/3442/0/170", "6b36353533353a3635353335", ObjectLink(65535, 65535)),
            ("/3442/0/150", "42abcd", b"\xab\xcd"),
            ("/3/0/13", "c11a5182428f", 1367491215),
            ("/3442/0/180", "663c2f332f303e", "</3/0>"),
            ("/3/0/7/1", "191388", 5000),
            ("/9999/0/1", "1864", 100),
            ("/9999/0/1", "42abcd", b"\xab\xcd"),
        ]
        for where, item, value in table:
            self.assertEqual(one(where, value), decode(CBOR, path(where), bytes.fromhex(item), TYPES), item)
            self.assertEqual(item, encode(CBOR, path(where), one(where, value), TYPES).hex())

    def test_other_forms(self) -> None:
        """Times with any tag or none, integers and fractions for numbers are what CBOR allows."""
        for where, item, value in (
            ("/3/0/13", "1a5182428f", 1367491215),
            ("/3/0/13", "c074323031332d30332d32315432303a30343a30305a", 1363896240),
            ("/3442/0/130", "05", 5.0),
            ("/3442/0/130", "c48220182d", 4.5),
            ("/3442/0/130", "fb3fb999999999999a", 0.1),
            ("/3442/0/120", "c4820105", 50),
        ):
            self.assertEqual(one(where, value), decode(CBOR, path(where), bytes.fromhex(item), TYPES, refuse), item)

    def test_deviations(self) -> None:
        """What has one meaning is taken and noted."""
        for asked, where, item, value, deviation in (
            ("/3442/0/120", "/3442/0/120", "f94500", 5, "float-for-integer"),
            ("/3442/0/120", "/3442/0/120", "fb433fffffffffffff", 2**53 - 1, "float-for-integer"),
            ("/3/0/13", "/3/0/13", "c1f94500", 5, "float-for-integer"),
            ("/3442/0/140", "/3442/0/140", "01", True, "odd-boolean"),
            ("/3442/0/140", "/3442/0/140", "6566616c7365", False, "odd-boolean"),
            ("/3/0/13", "/3/0/13", "6a31333637343931323135", 1367491215, "time-as-text"),
            ("/3/0/13", "/3/0/13", "74323031332d30332d32315432303a30343a30305a", 1363896240, "time-as-text"),
            ("/3/0/0", "/3/0/0", "624100", "A", "nul-terminated-string"),
            ("/3/0/0", "/3/0/0", "63c3bc00", "ü", "nul-terminated-string"),
            ("/3/0/0", "/3/0/0", "62c341", b"\xc3A", "string-not-utf8"),
            ("/9999/0/1", "/9999/0/1", "61ff", b"\xff", "string-not-utf8"),
            ("/3/0/7", "/3/0/7/0", "05", 5, "single-for-multiple"),
        ):
            notes: list[str] = []
            found = decode(CBOR, path(asked), bytes.fromhex(item), TYPES, notes.append)
            self.assertEqual((one(where, value), [deviation]), (found, notes))

    def test_refused(self) -> None:
        """What would be rounded, is of another type or out of range, and what is no single value, is refused."""
        for where, item in (
            ("/3442/0/120", "f93e00"),
            ("/3442/0/120", "fb4340000000000000"),
            ("/3442/0/120", "1b8000000000000000"),
            ("/3442/0/120", "3b8000000000000000"),
            ("/3442/0/120", "6135"),
            ("/3442/0/120", "f5"),
            ("/3442/0/120", "f97e00"),
            ("/3442/0/125", "20"),
            ("/3442/0/130", "f5"),
            ("/3442/0/130", "63312e35"),
            ("/3442/0/140", "02"),
            ("/3442/0/140", "f90000"),
            ("/3442/0/150", "6161"),
            ("/3442/0/170", "6133"),
            ("/3442/0/170", "01"),
            ("/3/0/0", "01"),
            ("/3/0/0", "4161"),
            ("/3/0/13", "c1fb41d452d9ec200000"),
            ("/3/0/13", "61ff"),
            ("/3/0/13", "6a2d313336373439313231"),
            ("/9999/0/1", "f6"),
            ("/9999/0/1", "f7"),
            ("/9999/0/1", "e0"),
            ("/9999/0/1", "80"),
            ("/9999/0/1", "3bffffffffffffffff"),
            ("/3/0", "01"),
            ("/", "01"),
        ):
            with self.assertRaises(ContentError):
                decode(CBOR, path(where), bytes.fromhex(item), TYPES)
        for where, value in (("/3/0/9", 2**63), ("/3/0/9", "x"), ("/3/0/10", -1.5), ("/9999/0/1", 2**64)):
            with self.assertRaises(ContentError):
                encode(CBOR, path(where), one(where, value), TYPES)
        with self.assertRaises(ContentError):
            encode(CBOR, path("/3/0/9"), (), TYPES)


def refuse(deviation: str) -> None:
    """A note for what is no deviation."""
    raise AssertionError(deviation)


class TableTests(SynchronousTestCase):
    """The table of formats."""

    def test_unsupported(self) -> None:
        """A format that is not in the table has its own error, in both directions."""
        for number in (40, 99, 65535):
            with self.assertRaises(UnsupportedFormat):
                decode(number, path("/3/0/0"), b"", TYPES)
            with self.assertRaises(UnsupportedFormat):
                encode(number, path("/3/0/0"), one("/3/0/0", ""), TYPES)

    def test_drafts(self) -> None:
        """The numbers of the drafts are read and noted, and never written."""
        notes: list[str] = []
        self.assertEqual(one("/3/0/9", 5), decode(1541, path("/3/0/9"), b"5", TYPES, notes.append))
        self.assertEqual(one("/3/0/9", 5), decode(1542, path("/3/0/9"), b"\xc1\x09\x05", TYPES, notes.append))
        self.assertEqual(one("/5/0/0", b"5"), decode(1544, path("/5/0/0"), b"5", TYPES, notes.append))
        self.assertEqual(["draft-content-format"] * 3, notes)
        with self.assertRaises(UnsupportedFormat):
            encode(1542, path("/3/0/9"), one("/3/0/9", 5), TYPES)

    def test_names(self) -> None:
        """Names and numbers go both ways."""
        known = {
            "text": TEXT,
            "opaque": OPAQUE,
            "cbor": CBOR,
            "senml-json": SENML_JSON,
            "senml-cbor": SENML_CBOR,
            "senml-etch-json": SENML_ETCH_JSON,
            "senml-etch-cbor": SENML_ETCH_CBOR,
            "tlv": TLV,
        }
        self.assertEqual(known, {name: formats.NUMBERS[name] for name in known})
        self.assertEqual({number: name for name, number in formats.NUMBERS.items()}, formats.NAMES)

    @given(single_values(), st.sampled_from([number for number in formats.CODECS if number != OPAQUE]))
    def test_round_trip(self, pair: tuple[Path, Value], number: int) -> None:
        """Any value of any type reads back from every format that has a form for it."""
        where, value = pair
        nodes = (Entry(where, value),)
        try:
            payload = encode(number, where, nodes, ANYTHING_TYPES)
        except ContentError:
            self.assertIn(value, (float("inf"), float("-inf")))
            return
        self.assertEqual(nodes, decode(number, where, payload, ANYTHING_TYPES))

    @given(st.integers(1, 9), st.binary(max_size=40), st.sampled_from(list(formats.CODECS)))
    def test_any_bytes(self, resource: int, payload: bytes, number: int) -> None:
        """Any bytes in any format raise the one error, or are a value at the path."""
        where = Path((100, 0, resource))
        try:
            nodes = decode(number, where, payload, ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(where.covers(entry.path) for entry in nodes))


class AnswerTests(SynchronousTestCase):
    """Answers with and without a Content-Format."""

    def test_named(self) -> None:
        """The format of the answer counts, not the one that was asked for."""
        self.assertEqual((one("/3/0/9", 5), "text"), decode_answer(TEXT, TLV, path("/3/0/9"), b"5", TYPES))

    def test_unnamed(self) -> None:
        """Without a format a single value is tried as what was accepted, then as text."""
        notes: list[str] = []
        where = path("/3/0/9")
        for accept, payload, name in (
            (TLV, b"\xc1\x09\x05", "tlv"),
            (TLV, b"5", "text"),
            (None, b"5", "text"),
            (CBOR + 1, b"5", "text"),
        ):
            found = decode_answer(None, accept, where, payload, TYPES, note=notes.append)
            self.assertEqual((one("/3/0/9", 5), name), found)
        self.assertEqual(["no-content-format"] * 4, notes)
        with self.assertRaises(ContentError):
            decode_answer(None, TLV, where, b"\xff", TYPES)

    def test_empty(self) -> None:
        """An empty answer without a format is an empty Object or Instance, or an empty string."""
        for where in (path("/3303"), path("/3303/0")):
            self.assertEqual(((Entry(where, None),), "text"), decode_answer(None, TLV, where, b"", TYPES))
        self.assertEqual((one("/3/0/0", ""), "text"), decode_answer(None, TLV, path("/3/0/0"), b"", TYPES))

    def test_unnamed_structures(self) -> None:
        """What was accepted is tried first where it is CBOR or SenML too, names below the root that was asked."""
        where = path("/3/0/9")
        senml = b'[{"n":"/lwm2m/3/0/9","v":5}]'
        for accept, payload, name in (
            (CBOR, b"\x05", "cbor"),
            (CBOR, b"55", "text"),
            (SENML_CBOR, b"\x81\xa2\x00\x6c/lwm2m/3/0/9\x02\x05", "senml-cbor"),
            (SENML_JSON, senml, "senml-json"),
            (SENML_JSON, b"5", "text"),
        ):
            nodes, found = decode_answer(None, accept, where, payload, TYPES, root="/lwm2m")
            self.assertEqual(name, found)
            self.assertIn(nodes, (one("/3/0/9", 5), one("/3/0/9", 55)))
        for above in ("/3/0", "/3", "/"):
            for accept in (CBOR, SENML_JSON, SENML_CBOR):
                with self.assertRaises(ContentError):
                    decode_answer(None, accept, path(above), senml, TYPES, root="/lwm2m")
        self.assertEqual(((), "text"), decode_answer(None, SENML_CBOR, path("/"), b"", TYPES))

    def test_never_guessed(self) -> None:
        """An Object without a format is an error that names it."""
        with self.assertRaises(ContentError) as raised:
            decode_answer(None, TLV, path("/3"), b"\xc1\x09\x05" * 100, TYPES)
        self.assertIn("/3", str(raised.exception))


_NO_DECIMALS = (inf, -inf)


class ValueReaderTests(SynchronousTestCase):
    """The short way to the value of a single Resource."""

    @given(single_values(), st.sampled_from([TLV, TEXT]), st.binary(max_size=6))
    def test_same(self, sample: tuple[Path, Value], content_format: int, odd: bytes) -> None:
        """What it reads is what the codec reads; whatever else a payload has in it, it leaves to the codec."""
        where, value = sample
        assume(content_format != TEXT or value not in _NO_DECIMALS)
        read = formats.value_reader(content_format, where, ANYTHING_TYPES(where))
        if read is None:
            self.assertEqual(len(where), 4)
            return
        written = encode(content_format, where, (Entry(where, value),), ANYTHING_TYPES)
        self.assertEqual(
            repr(read(written, ignore)),
            repr(flat(decode(content_format, where, written, ANYTHING_TYPES))[str(where)]),
        )
        for payload in (odd, written + odd, odd + written, written[:-1]):
            try:
                found = read(payload, ignore)
            except ContentError:
                continue
            if found is not None:
                expected = decode(content_format, where, payload, ANYTHING_TYPES)
                self.assertEqual(repr(expected), repr((Entry(where, found),)))

    def test_others(self) -> None:
        """There is none for formats with names in them, multiple Resources and what has no model."""
        for content_format, where in ((SENML_CBOR, "/3/0/0"), (TLV, "/3/0/7"), (TLV, "/9999/0/1"), (None, "/3/0/0")):
            self.assertIsNone(formats.value_reader(content_format, path(where), TYPES(path(where))))
