"""Tests of `lwm2md.lwm2m.values`."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.values import (
    NULL_LINK,
    ObjectLink,
    ResourceType,
    Value,
    ValueError_,
    check,
    decode_base64,
    from_json,
    from_text,
    infer,
    plain,
    to_text,
)
from tests.lwm2m.helpers import KINDS, STRATEGIES

T = ResourceType


class CheckTests(SynchronousTestCase):
    """A value fits its type exactly or is refused."""

    def test_bounds(self) -> None:
        """Integers are of 64 bits, signed or not; links of two times 16."""
        for kind, low, high in (
            (T.INTEGER, -(2**63), 2**63 - 1),
            (T.TIME, -(2**63), 2**63 - 1),
            (T.UNSIGNED, 0, 2**64 - 1),
        ):
            self.assertEqual((low, high), (check(kind, low), check(kind, high)))
            for value in (low - 1, high + 1):
                with self.assertRaises(ValueError_):
                    check(kind, value)
        for link in (ObjectLink(65536, 0), ObjectLink(0, -1)):
            with self.assertRaises(ValueError_):
                check(T.OBJLNK, link)
        self.assertEqual(NULL_LINK, check(T.OBJLNK, NULL_LINK))

    def test_types_are_not_mixed(self) -> None:
        """No type takes the value of another; only Float takes whole numbers."""
        samples: dict[T, Value] = {
            T.STRING: "x",
            T.INTEGER: 1,
            T.FLOAT: 1.5,
            T.BOOLEAN: True,
            T.OPAQUE: b"x",
            T.OBJLNK: ObjectLink(3, 0),
        }
        for kind, sample in samples.items():
            self.assertEqual(sample, check(kind, sample))
            for other, value in samples.items():
                if other is not kind and (kind, other) != (T.FLOAT, T.INTEGER):
                    with self.assertRaises(ValueError_):
                        check(kind, value)
        self.assertIs(float, type(check(T.FLOAT, 5)))
        with self.assertRaises(ValueError_):
            check(T.FLOAT, 10**400)

    def test_executable_has_no_value(self) -> None:
        """No value fits an executable Resource."""
        for value in ("", 0, b""):
            with self.assertRaises(ValueError_):
                check(T.NONE, value)

    def test_strings_are_unicode(self) -> None:
        """A lone surrogate, which JSON can smuggle in, is refused."""
        with self.assertRaises(ValueError_):
            check(T.STRING, "\ud800")

    def test_infer(self) -> None:
        """A value without a model has the type of its Python value; an integer beyond the signed ones is Unsigned."""
        values: list[Value] = ["x", 1, 2**63, 1.5, True, b"", ObjectLink(1, 2)]
        kinds = [T.STRING, T.INTEGER, T.UNSIGNED, T.FLOAT, T.BOOLEAN, T.OPAQUE, T.OBJLNK]
        self.assertEqual(kinds, [infer(value) for value in values])
        with self.assertRaises(ValueError_):
            infer([])  # type: ignore[arg-type]


class JsonTests(SynchronousTestCase):
    """Values that an API caller writes."""

    def test_accepted(self) -> None:
        """Each type takes its JSON form, and integers also whole floats and decimal strings."""
        table: list[tuple[T | None, object, Value]] = [
            (T.STRING, "1", "1"),
            (T.INTEGER, 5, 5),
            (T.INTEGER, 5.0, 5),
            (T.INTEGER, "-9223372036854775808", -(2**63)),
            (T.UNSIGNED, "18446744073709551615", 2**64 - 1),
            (T.TIME, 1700000000, 1700000000),
            (T.FLOAT, 3, 3.0),
            (T.FLOAT, "-Infinity", -math.inf),
            (T.BOOLEAN, True, True),
            (T.OPAQUE, "3q0=", b"\xde\xad"),
            (T.OBJLNK, "65535:65535", NULL_LINK),
            (T.CORELNK, "</3/0>", "</3/0>"),
            (None, "x", "x"),
            (None, 1, 1),
            (None, False, False),
        ]
        for kind, given_value, expected in table:
            found = from_json(kind, given_value)
            self.assertEqual((expected, type(expected)), (found, type(found)))
        self.assertTrue(math.isnan(from_json(T.FLOAT, "NaN")))  # type: ignore[arg-type]

    def test_refused(self) -> None:
        """What is not exactly of the type is refused."""
        table: list[tuple[T | None, object]] = [
            (T.STRING, 1),
            (T.INTEGER, 1.5),
            (T.INTEGER, True),
            (T.INTEGER, 2**63),
            (T.INTEGER, 1e300),
            (T.INTEGER, math.inf),
            (T.INTEGER, math.nan),
            (T.BOOLEAN, 1),
            (T.BOOLEAN, "1"),
            (T.FLOAT, "fast"),
            (T.OPAQUE, "%%%"),
            (T.OBJLNK, "3"),
            (T.NONE, ""),
            (T.STRING, None),
            (T.STRING, []),
            (None, {}),
            (None, None),
            (None, 2**64),
        ]
        for kind, value in table:
            with self.assertRaises(ValueError_, msg=f"{kind} {value!r}"):
                from_json(kind, value)


class TextTests(SynchronousTestCase):
    """Values as text/plain."""

    def test_accepted(self) -> None:
        """Decimals with or without exponent, 0 and 1, base64, links."""
        table: list[tuple[T, str, Value]] = [
            (T.INTEGER, "-0", 0),
            (T.INTEGER, "5.0", 5),
            (T.INTEGER, "1e3", 1000),
            (T.INTEGER, "0e9999", 0),
            (T.FLOAT, "1.5", 1.5),
            (T.FLOAT, ".5", 0.5),
            (T.FLOAT, "-1E-2", -0.01),
            (T.BOOLEAN, "0", False),
            (T.OPAQUE, "+/8=", b"\xfb\xff"),
            (T.OPAQUE, "-_8", b"\xfb\xff"),
            (T.OPAQUE, "", b""),
            (T.OBJLNK, "3:0", ObjectLink(3, 0)),
            (T.STRING, " x ", " x "),
        ]
        for kind, text, expected in table:
            self.assertEqual(expected, from_text(kind, text))

    def test_refused(self) -> None:
        """No plus sign, no white space, no words, no other digits, nothing out of range."""
        table = {
            T.INTEGER: [
                "",
                "+1",
                " 1",
                "1 ",
                "1\n",
                "1.5",
                "1e99",
                "1e-1",
                "9223372036854775808",
                "\u0661",
                "0x1",
                "1_0",
            ],
            T.UNSIGNED: ["-1", "18446744073709551616"],
            T.TIME: ["2013-05-02", "1" * 600],
            T.FLOAT: ["", ".", "nan", "inf", "1e999", "1e99999", "1,5", "--1", "9" * 400],
            T.BOOLEAN: ["", "true", "2", "00"],
            T.OPAQUE: ["a", "ab=", "a b=", "ab==\n", "====", "\u00e9"],
            T.OBJLNK: ["", "3", "3:", "3:65536", "99999:0", "3:0:1", "-1:0", "FFFF:FFFF"],
            T.NONE: ["", "x"],
        }
        for kind, texts in table.items():
            for text in texts:
                with self.assertRaises(ValueError_, msg=f"{kind} {text!r}"):
                    from_text(kind, text)

    def test_written(self) -> None:
        """Floats have no exponent, Opaque is standard base64 with padding; NaN has no text."""
        self.assertEqual("100000000000000000000", plain(1e20))
        self.assertEqual("0.00001", plain(1e-5))
        self.assertEqual("50", plain(50.0))
        self.assertEqual("+/8=", to_text(T.OPAQUE, b"\xfb\xff"))
        for value in (math.nan, math.inf):
            with self.assertRaises(ValueError_):
                to_text(T.FLOAT, value)

    @given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), STRATEGIES[kind])))
    def test_round_trip(self, pair: tuple[T, Value]) -> None:
        """What is written reads back as the same value of the same type."""
        kind, value = pair
        if value in (math.inf, -math.inf):
            return
        found = from_text(kind, to_text(kind, value))
        self.assertEqual((value, type(value)), (found, type(found)))

    @given(st.sampled_from(ResourceType), st.text(max_size=30))
    def test_any_text(self, kind: T, text: str) -> None:
        """Any text is a value of the type or raises the one error."""
        try:
            value = from_text(kind, text)
        except ValueError_:
            return
        self.assertEqual(value, check(kind, value))

    @given(st.binary())
    def test_base64(self, data: bytes) -> None:
        """Both alphabets are read, with padding and without."""
        text = to_text(T.OPAQUE, data)
        for variant in (text, text.rstrip("="), text.translate(str.maketrans("+/", "-_"))):
            self.assertEqual(data, decode_base64(variant))
