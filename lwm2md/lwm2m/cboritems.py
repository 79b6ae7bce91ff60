"""CBOR items (RFC 8949) as the content formats need them: read with bounds, written in their shortest form.

Rules: reading takes linear time and bounded depth whatever comes. Tags 0, 1 and 4 are seen through (a time is a number
of seconds, a decimal fraction a number), 55799 means nothing, every other tag is refused: no dates, references, large
integers or patterns. A text in broken UTF-8 keeps its bytes as surrogates, for `typed.text_of`. A float is written in
the narrowest of three widths that holds it exactly, everything with a definite length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

from cbor2 import CBORDecodeError, CBORDecoder

from lwm2md.lwm2m.cborkeys import DEPTH, check_keys
from lwm2md.lwm2m.moments import seconds_of
from lwm2md.lwm2m.nodes import ContentError

_UNCHECKED: Final = 8192
"""Up to so many bytes the worst keys cost a few milliseconds, and are not looked at beforehand."""
_MAX_EXPONENT: Final = 400
_MAX_INTEGER_DIGITS: Final = 20
_MAX_HEAD: Final = 1 << 64

_HALF: Final = struct.Struct(">Be")
_SINGLE: Final = struct.Struct(">Bf")
_DOUBLE: Final = struct.Struct(">Bd")
_ONE: Final = struct.Struct(">BB")
_TWO: Final = struct.Struct(">BH")
_FOUR: Final = struct.Struct(">BI")
_EIGHT: Final = struct.Struct(">BQ")

_SHOWN: Final = 80
_NAN: Final = bytes.fromhex("f97e00")
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
"""The major types."""


def load(payload: bytes) -> Any:
    """The one item in the payload, in Python's types. Raises ContentError for anything else, and for what is behind it.

    Maps have no key twice. Arrays as keys come as tuples.
    """
    if len(payload) > _UNCHECKED:
        check_keys(payload)
    try:
        try:
            item, end = _load(payload, "strict")
        except CBORDecodeError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            item, end = _load(payload, "surrogateescape")
    except Exception as error:  # the library lets errors of several kinds through, and none of them is ours
        # The text may hold what came, at any length and with surrogates.
        raise ContentError(f"malformed CBOR: {str(error)[:_SHOWN]!a}") from None
    if end != len(payload):
        raise ContentError("there is something behind the CBOR item")
    return item


def _load(payload: bytes, errors: str) -> tuple[Any, int]:
    stream = BytesIO(payload)
    decoder = CBORDecoder(
        stream, semantic_decoders=_TAGS, str_errors=errors, max_depth=DEPTH, allow_duplicate_keys=False
    )
    return decoder.decode(), stream.tell()


def dump(value: object) -> bytes:
    """A string, number, boolean, byte string or None as an item. Raises ContentError for an integer above 64 bits."""
    return _WRITERS[type(value)](value)


def head(major: int, number: int) -> bytes:
    """The start of an item: its major type, and its value or length in the fewest bytes."""
    kind = major << 5
    if number < 24:
        return bytes((kind | number,))
    if number < 0x100:
        return _ONE.pack(kind | 24, number)
    if number < 0x10000:
        return _TWO.pack(kind | 25, number)
    if number < 0x100000000:
        return _FOUR.pack(kind | 26, number)
    return _EIGHT.pack(kind | 27, number)


def array(length: int) -> bytes:
    """The head of an array of so many items."""
    return head(_ARRAY, length)


def mapping(length: int) -> bytes:
    """The head of a map of so many pairs."""
    return head(_MAP, length)


def tagged(tag: int, item: bytes) -> bytes:
    """An item with a tag before it."""
    return head(_TAG, tag) + item


def _dump_integer(value: int) -> bytes:
    if not -_MAX_HEAD <= value < _MAX_HEAD:
        raise ContentError(f"an integer of {value.bit_length()} bits")
    return head(_UNSIGNED, value) if value >= 0 else head(_NEGATIVE, -1 - value)


def _dump_float(value: float) -> bytes:
    if value != value:  # noqa: PLR0124 - NaN is nothing's equal
        return _NAN
    for width, kind in ((_HALF, 0xF9), (_SINGLE, 0xFA)):
        try:
            short = width.pack(kind, value)
        except OverflowError:
            continue
        if width.unpack(short)[1] == value:
            return short
    return _DOUBLE.pack(0xFB, value)


def _dump_text(value: str) -> bytes:
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise ContentError("the string is not valid Unicode") from None
    return head(_TEXT, len(encoded)) + encoded


def _dump_bytes(value: bytes) -> bytes:
    return head(_BYTES, len(value)) + value


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    int: _dump_integer,
    float: _dump_float,
    str: _dump_text,
    bytes: _dump_bytes,
    bool: lambda value: b"\xf5" if value else b"\xf4",
    type(None): lambda _value: b"\xf6",
}


def _tag_0(text: Any, _immutable: bool) -> int | float:
    return seconds_of(text)


def _tag_1(seconds: Any, _immutable: bool) -> int | float:
    if type(seconds) not in (int, float):
        raise ContentError("a time that is no number")
    return seconds  # type: ignore[no-any-return]


def _tag_4(fraction: Any, _immutable: bool) -> int | float:
    exponent, mantissa = fraction
    # Never expanded beyond what a double or 64 bits can hold, whatever the exponent says.
    if type(exponent) is not int or type(mantissa) is not int or abs(exponent) > _MAX_EXPONENT:
        raise ContentError("no decimal fraction, or one of an insane size")
    number = Decimal(mantissa).scaleb(exponent)
    if number == number.to_integral_value() and number.adjusted() < _MAX_INTEGER_DIGITS:
        return int(number)
    return float(number)


def _transparent(item: Any, _immutable: bool) -> Any:
    return item


def _refused(_item: Any, _immutable: bool) -> Any:
    raise ContentError("a tag that has no place here")


class _Tags(dict[int, Callable[[Any, bool], Any]]):
    """What is made of the item in a tag; the library's own table is never asked."""

    def __missing__(self, _tag: int) -> Callable[[Any, bool], Any]:
        return _refused


_TAGS: Final = _Tags({0: _tag_0, 1: _tag_1, 4: _tag_4, 55799: _transparent})
