"""Values of Resources: their types, exact ranges, and their forms in JSON and in text (OMA LwM2M Core, data types).

Rules: the Python value of a String or Corelnk is str, of an Integer, Unsigned or Time (Unix seconds) int, of a Float
float, of a Boolean bool, of an Opaque bytes, of an Objlnk ObjectLink. Nothing is rounded or guessed: what has no exact
value of the type is refused. A String that a device sent in broken UTF-8 is kept as bytes by the decoders.
"""

from __future__ import annotations

import base64
import math
import re
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple


class ResourceType(StrEnum):
    """The data types of LwM2M; NONE is that of an executable Resource."""

    __hash__ = str.__hash__  # a codec looks one up for each value, and Enum's own takes longer than the rest of that

    STRING = "string"
    INTEGER = "integer"
    UNSIGNED = "unsigned"
    FLOAT = "float"
    BOOLEAN = "boolean"
    OPAQUE = "opaque"
    TIME = "time"
    OBJLNK = "objlnk"
    CORELNK = "corelnk"
    NONE = "none"


class ObjectLink(NamedTuple):
    """A reference to an Object Instance; 65535 stands for none, at either place."""

    object: int
    instance: int

    def __str__(self) -> str:
        return f"{self.object}:{self.instance}"


NULL_LINK: Final = ObjectLink(65535, 65535)

Value = str | int | float | bool | bytes | ObjectLink


class ValueError_(ValueError):  # noqa: N801, N818 - the type is named after what it narrows
    """The value does not fit the type; the message says why."""


_BOUNDS: Final = {
    ResourceType.INTEGER: (-(2**63), 2**63 - 1),
    ResourceType.UNSIGNED: (0, 2**64 - 1),
    ResourceType.TIME: (-(2**63), 2**63 - 1),
}
_PYTHON: Final[dict[type, ResourceType]] = {
    str: ResourceType.STRING,
    int: ResourceType.INTEGER,
    float: ResourceType.FLOAT,
    bool: ResourceType.BOOLEAN,
    bytes: ResourceType.OPAQUE,
    ObjectLink: ResourceType.OBJLNK,
}
_TEXTS: Final = (ResourceType.STRING, ResourceType.CORELNK)
_LONGEST_NUMBER: Final = 512
_MAX_INTEGER_DIGITS: Final = 20
_DECIMAL: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LINK: Final = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")
_STANDARD: Final = str.maketrans("-_", "+/")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_SPECIAL_FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def infer(value: Value) -> ResourceType:
    """The type that a Python value has by itself, for Resources without a model. Raises ValueError_."""
    found = _PYTHON.get(type(value))
    if found is None:
        raise ValueError_(f"{type(value).__name__} is no type of a value")
    return found if found is not ResourceType.INTEGER or value < 2**63 else ResourceType.UNSIGNED  # type: ignore[operator]


def check(kind: ResourceType, value: Value) -> Value:
    """Return the value as one of that type (an int becomes a float for Float). Raises ValueError_."""
    given = type(value)
    if kind in _BOUNDS:
        if given is not int:
            raise _mismatch(kind, value)
        low, high = _BOUNDS[kind]
        if not low <= value <= high:  # type: ignore[operator]
            raise ValueError_(f"{value!r} is out of the range of {kind.value}")
        return value
    if kind is ResourceType.FLOAT and given is int:
        return _to_float(value)  # type: ignore[arg-type]
    if kind is ResourceType.OBJLNK:
        return _check_link(value)
    if _PYTHON.get(given) is not (ResourceType.STRING if kind in _TEXTS else kind):
        raise _mismatch(kind, value)
    if given is str and not _encodable(value):  # type: ignore[arg-type]
        raise ValueError_("the string is not valid Unicode")
    return value


def from_json(kind: ResourceType | None, value: object) -> Value:
    """The value that an API caller wrote in JSON, by type; without a type as it stands.

    Times are Unix seconds, Opaque is base64, Objlnk ``"3:0"``; integers may be decimal strings, as some JSON readers
    cannot hold 64 bits, and floats ``"NaN"`` and ``"Infinity"``. Raises ValueError_.
    """
    if not isinstance(value, str | int | float):
        raise ValueError_(f"a value is a string, a number or a boolean, not {_json_name(value)}")
    if kind is None:
        return check(infer(value), value)
    if isinstance(value, str):
        if kind in (ResourceType.BOOLEAN, ResourceType.NONE):
            raise _mismatch(kind, value)
        if kind is ResourceType.FLOAT and value in _SPECIAL_FLOATS:
            return _SPECIAL_FLOATS[value]
        return from_text(kind, value)
    if kind in _BOUNDS and isinstance(value, float):
        if not value.is_integer():
            raise _mismatch(kind, value)
        value = int(value)
    return check(kind, value)


def from_text(kind: ResourceType, text: str) -> Value:
    """The value of a text/plain payload, by type. Raises ValueError_."""
    if kind in _BOUNDS:
        return check(kind, _integer(kind, text))
    if kind is ResourceType.FLOAT:
        return _float(text)
    if kind is ResourceType.BOOLEAN:
        if text not in ("0", "1"):
            raise ValueError_("a boolean is 0 or 1")
        return text == "1"
    if kind is ResourceType.OPAQUE:
        return decode_base64(text)
    if kind is ResourceType.OBJLNK:
        return parse_link(text)
    return check(kind, text)


def to_text(kind: ResourceType, value: Value) -> str:
    """The text/plain form of a value of that type. Raises ValueError_ for what has none (NaN, Infinity)."""
    value = check(kind, value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def plain(number: float) -> str:
    """A number in decimals without exponent, the shortest that reads back equal. Raises ValueError_ for NaN."""
    if not math.isfinite(number):
        raise ValueError_(f"{number} has no decimal form")
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def decode_base64(text: str) -> bytes:
    """Base64 in the standard or URL alphabet, with or without padding. Raises ValueError_."""
    if _BASE64.fullmatch(text) is None:
        raise ValueError_("not base64")
    bare = text.rstrip("=")
    if len(bare) % 4 == 1 or (bare != text and len(text) % 4):
        raise ValueError_("base64 of a wrong length")
    return base64.b64decode(bare.translate(_STANDARD) + "=" * (-len(bare) % 4))


def parse_decimal(kind: ResourceType, text: str) -> Decimal:
    """Read a number in decimals, whose length and exponent are bounded. Raises ValueError_."""
    if len(text) > _LONGEST_NUMBER or _DECIMAL.fullmatch(text) is None:
        raise ValueError_(f"not a decimal number for {kind.value}")
    return Decimal(text)


def parse_link(text: str) -> ObjectLink:
    """Read ``3:0``. Raises ValueError_."""
    found = _LINK.fullmatch(text)
    if found is None:
        raise ValueError_("an object link is OBJECT:INSTANCE")
    return _check_link(ObjectLink(int(found[1]), int(found[2])))


def _check_link(value: Value) -> ObjectLink:
    if not isinstance(value, ObjectLink):
        raise _mismatch(ResourceType.OBJLNK, value)
    if not (0 <= value.object <= 0xFFFF and 0 <= value.instance <= 0xFFFF):
        raise ValueError_(f"{value} is out of the range of objlnk")
    return value


def _integer(kind: ResourceType, text: str) -> int:
    number = parse_decimal(kind, text)
    # A huge exponent must never be expanded, and more digits than 64 bits have are out of range anyway.
    if number and number.adjusted() >= _MAX_INTEGER_DIGITS:
        raise ValueError_(f"out of the range of {kind.value}")
    if number != number.to_integral_value():
        raise ValueError_(f"not a whole number for {kind.value}")
    return int(number)


def _float(text: str) -> float:
    number = float(parse_decimal(ResourceType.FLOAT, text))
    if math.isinf(number):
        raise ValueError_("out of the range of float")
    return number


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError_("out of the range of float") from None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mismatch(kind: ResourceType, value: object) -> ValueError_:
    return ValueError_(f"{_json_name(value)} does not fit the type {kind.value}")


def _json_name(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", bytes: "opaque"}
    return names.get(type(value), type(value).__name__)
