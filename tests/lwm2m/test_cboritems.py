"""Tests of `lwm2md.lwm2m.cboritems` and `lwm2md.lwm2m.cborkeys`: CBOR from anybody."""

from __future__ import annotations

import contextlib
import math
import struct
import sys

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.cboritems import array, dump, load, mapping, tagged
from lwm2md.lwm2m.cborkeys import DEPTH, check_keys
from lwm2md.lwm2m.nodes import ContentError

LARGE = 10_000
"""Bytes that make the keys of a payload worth a look."""


class DumpTests(SynchronousTestCase):
    """Items in their shortest form."""

    def test_known(self) -> None:
        """Each type, and each width of it."""
        for value, item in (
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65536, "1a00010000"),
            (2**32, "1b0000000100000000"),
            (2**64 - 1, "1bffffffffffffffff"),
            (-1, "20"),
            (-(2**63), "3b7fffffffffffffff"),
            (21.5, "f94d60"),
            (300.0, "f95cb0"),
            (100000.0, "fa47c35000"),
            (0.1, "fb3fb999999999999a"),
            (1e300, "fb7e37e43c8800759c"),
            (-0.0, "f98000"),
            (math.inf, "f97c00"),
            (math.nan, "f97e00"),
            (True, "f5"),
            (False, "f4"),
            (None, "f6"),
            ("U", "6155"),
            (b"\xab\xcd", "42abcd"),
        ):
            self.assertEqual(item, dump(value).hex())
        self.assertEqual("83", array(3).hex())
        self.assertEqual("b90100", mapping(256).hex())
        self.assertEqual("c11864", tagged(1, dump(100)).hex())

    def test_refused(self) -> None:
        """There is no item for larger integers and for half a character."""
        for value in (2**64, -(2**64) - 1, "\ud800"):
            with self.assertRaises(ContentError):
                dump(value)

    @given(st.one_of(st.integers(-(2**64), 2**64 - 1), st.floats(), st.text(), st.binary(), st.booleans(), st.none()))
    def test_like_the_library(self, value: object) -> None:
        """It is what the library makes of the same value in its canonical form, and it reads back."""
        self.assertEqual(cbor2.dumps(value, canonical=True), dump(value))
        self.assertEqual(repr(value), repr(load(dump(value))))


class LoadTests(SynchronousTestCase):
    """What is read, and what is refused whole."""

    def refused(self, payload: bytes) -> None:
        with self.assertRaises(ContentError):
            load(payload)

    def test_tags(self) -> None:
        """Times and decimal fractions are numbers, the mark of CBOR is passed over."""
        for item, value in (
            ("c11a5182428f", 1367491215),
            ("c1fb41d452d9ec200000", 1363896240.5),
            ("c074323031332d30332d32315432303a30343a30305a", 1363896240),
            ("c48220182d", 4.5),
            ("c482021901f4", 50000),
            ("c482211901f4", 5),
            ("c482381818ff", 255e-25),
            ("c4820000", 0),
            ("d9d9f70a", 10),
        ):
            found = load(bytes.fromhex(item))
            self.assertEqual(value, found, item)
            self.assertIs(type(value), type(found))

    def test_tags_refused(self) -> None:
        """Large integers, references, patterns, sets, dates, network addresses and unknown tags are refused."""
        for tag in (2, 3, 5, 21, 24, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 2**64 - 1):
            for content in (b"\x00", b"\x41\x01", b"\x61a", b"\x82\x01\x02", b"\x80"):
                self.refused(tagged(tag, content))
        for item in (
            "c16161",
            "c1f5",
            "c001",
            "c06161",
            "c401",
            "c48101",
            "c482f501",
            "c482c2410101",
            "c1c249" + "ff" * 9,
        ):
            self.refused(bytes.fromhex(item))

    def test_exponents(self) -> None:
        """A decimal fraction is never expanded beyond a double, however short it is written."""
        for exponent in (401, 2**31, 2**63 - 1, -401, -(2**63)):
            self.refused(tagged(4, array(2) + dump(exponent) + dump(1)))
        self.assertEqual(1e30, load(tagged(4, array(2) + dump(30) + dump(1))))
        self.assertEqual(math.inf, load(tagged(4, array(2) + dump(400) + dump(1))))

    def test_malformed(self) -> None:
        """Nothing, less or more than one item, wrong heads and breaks, keys that come twice."""
        wrong = " 0001 00ff ff 1c f818 18 62ff 9f 9f01 a1 a100 a2000100ff a200010002 bf00ff 5f6161ff"
        for item in wrong.split(" "):
            self.refused(bytes.fromhex(item))

    def test_lengths(self) -> None:
        """A length beyond the payload is refused at once and costs no memory."""
        before = sys.getallocatedblocks()
        for kind in (0x5B, 0x7B, 0x9B, 0xBB):
            for length in (2**64 - 1, 2**63 - 1, 2**31, 2**20):
                self.refused(bytes((kind,)) + struct.pack(">Q", length))
        self.assertLess(sys.getallocatedblocks() - before, 1000)

    def test_depth(self) -> None:
        """Containers and tags are not nested deeper than any format of ours does."""
        for kind in (b"\x81", b"\x9f", b"\xa1\x00", b"\xbf\x00", b"\xc1", b"\xd9\xd9\xf7", b"\xa1"):
            self.refused(kind * 100_000 + b"\x00")
        self.refused(b"\x81" * (DEPTH + 1) + b"\x00")

    def test_broken_text(self) -> None:
        """Broken UTF-8 is kept as surrogates, also beside good text."""
        self.assertEqual(["\udcff", "ü"], load(b"\x82\x61\xff\x62\xc3\xbc"))
        self.assertEqual("\udced\udca0\udc80", load(b"\x63\xed\xa0\x80"))

    def test_errors_are_short(self) -> None:
        """What is said of a payload is short and printable, whatever it holds."""
        for key in (b"\x63\xff\xfe\x00", dump("a" * LARGE), dump(bytes(LARGE))):
            with self.assertRaises(ContentError) as caught:
                load(mapping(2) + (key + b"\x00") * 2)
            self.assertLess(len(str(caught.exception)), 200)
            self.assertTrue(str(caught.exception).isprintable())
            self.assertTrue(str(caught.exception).isascii())

    def test_keys(self) -> None:
        """In a large payload no key may be an array that is no path, a map or in a tag, at any depth."""
        pad = dump(bytes(LARGE))
        for key in (
            array(2) + dump(2**40) + dump(1),
            array(1) + dump(-1),
            array(1) + dump("a"),
            array(5) + bytes(5),
            b"\x9f" + bytes(5) + b"\xff",
            array(1) + array(0),
            array(1) + dump(0.5),
            mapping(0),
            tagged(1, dump(0)),
            tagged(55799, array(1) + dump(1)),
        ):
            for map_ in (mapping(2) + key + b"\x00\x00" + pad, b"\xbf\x00" + pad + key + b"\x00\xff"):
                self.refused(map_)
                self.refused(array(2) + b"\x00" + map_)
                self.refused(mapping(1) + b"\x00" + map_)

    def test_good_keys(self) -> None:
        """Numbers, strings and paths are keys, in a large payload too, whatever stands under them."""
        keys = [0, -2, "vlo", b"x", 1.5, (), (3, 0, 9), (65534,) * 4, True]
        plain = {key: [bytes(LARGE), {"a": {(1, 2): [2**40, [[]], {}]}}] for key in keys}
        self.assertEqual(plain, load(cbor2.dumps(plain)))
        endless = b"\xbf\x9f\x03\x00\xff" + dump(bytes(LARGE)) + b"\x01\x5f\x41a\x41b\xff\x02\x7f\x61a\xff\xff"
        self.assertEqual({(3, 0): bytes(LARGE), 1: b"ab", 2: "a"}, load(endless))

    def test_every_item_once(self) -> None:
        """The look at the keys takes one step for an item, so that it is linear."""
        for count in (1000, 2000):
            steps = 0

            def counted(frame: object, event: str, _argument: object) -> None:
                nonlocal steps
                steps += event == "call"

            sys.setprofile(counted)
            try:
                check_keys(mapping(count) + (array(2) + b"\x01\x02\x81\x00") * count)
            finally:
                sys.setprofile(None)
            self.assertLess(abs(steps - 2 * 5 * count), 3 * count)

    @given(st.binary(max_size=60), st.booleans())
    def test_any_bytes(self, payload: bytes, large: bool) -> None:
        """Any bytes are one item or the one error."""
        with contextlib.suppress(ContentError):
            load(array(2) + dump(bytes(LARGE)) + payload if large else payload)

    @given(
        st.recursive(
            st.one_of(st.integers(-(2**64), 2**64 - 1), st.text(), st.binary(), st.booleans(), st.none()),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 99), inner, max_size=4)
            ),
            max_leaves=20,
        ),
        st.booleans(),
    )
    def test_any_structure(self, value: object, endless: bool) -> None:
        """What the library writes reads back, with and without lengths, whether it is looked at before or not."""
        payload = cbor2.dumps([value, bytes(LARGE)], indefinite_containers=endless)
        self.assertEqual([value, bytes(LARGE)], load(payload))
        self.assertEqual(value, load(cbor2.dumps(value, indefinite_containers=endless)))
