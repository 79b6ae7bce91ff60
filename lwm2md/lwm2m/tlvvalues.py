"""Values as the bytes of a TLV record (OMA LwM2M Core, data types).

Rules: integers are written in 1, 2, 4 or 8 bytes and read in any number up to 8; floats are single where that is exact.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from lwm2md.lwm2m.leaves import text_or_bytes
from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.nodes import ContentError, Note
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, ResourceType, Value, ValueError_, check, infer

ODD_INTEGER: Final = "tlv-odd-integer"
TIME_AS_TEXT: Final = "tlv-time-as-text"

_SINGLE: Final = struct.Struct(">f")
_DOUBLE: Final = struct.Struct(">d")
_PACKED: Final = {4: _SINGLE.unpack_from, 8: _DOUBLE.unpack_from}
_LINK: Final = struct.Struct(">HH")
_WIDTHS: Final = (1, 2, 4, 8)
_MAX_DIGITS: Final = 18
_LIMITS: Final = tuple((width, 1 << 8 * width - 1) for width in _WIDTHS)


def read_value(path: Path, payload: bytes, model: ResourceModel | None, note: Note) -> Value:
    """The value in a record; without a model it stays bytes. Raises ContentError with the path."""
    if model is None:
        return payload
    try:
        return _READERS[model.type](payload, note)
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None


def packed_in(model: ResourceModel, size: int) -> Callable[[bytes, int], tuple[Value, ...]] | None:
    """What unpacks the value in records of so many bytes, from a place in them; None where there is more to be seen."""
    return _PACKED.get(size) if model.type is ResourceType.FLOAT else None


def value_in(model: ResourceModel) -> Callable[[bytes, Note], Value]:
    """What reads the value in records of a Resource. It raises ContentError without the path."""
    return _READERS[model.type]


def write_value(path: Path, value: Value, model: ResourceModel | None) -> bytes:
    """The bytes of a value by its model, else by its own type. Raises ContentError with the path."""
    try:
        value = check(infer(value) if model is None else model.type, value)
    except ValueError_ as error:
        raise ContentError(f"{path}: {error}") from error
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"\1" if value else b"\0"
    if isinstance(value, int):
        return _write_integer(value)
    if isinstance(value, float):
        return _write_float(value)
    return _LINK.pack(*value)


def _write_integer(value: int) -> bytes:
    # The width leaves the top bit to the sign, of Unsigned too: some readers extend the sign of everything.
    for width, limit in _LIMITS:
        if -limit <= value < limit:
            return value.to_bytes(width, "big", signed=True)
    return value.to_bytes(8, "big")


def _write_float(value: float) -> bytes:
    try:
        short = _SINGLE.pack(value)
    except OverflowError:
        return _DOUBLE.pack(value)
    return short if value != value or _SINGLE.unpack(short)[0] == value else _DOUBLE.pack(value)  # noqa: PLR0124


def _read_text(value: bytes, note: Note) -> Value:
    return text_or_bytes(value, note)


def _read_bytes(value: bytes, _note: Note) -> Value:
    return value


def _read_integer(value: bytes, note: Note) -> Value:
    _check_width(value, note)
    return int.from_bytes(value, "big", signed=True)


def _read_unsigned(value: bytes, note: Note) -> Value:
    _check_width(value, note)
    return int.from_bytes(value, "big")


def _read_time(value: bytes, note: Note) -> Value:
    # Digits of one, two or four bytes may well be a binary time; of eight they would be one far beyond any calendar.
    if len(value) not in (1, 2, 4) and len(value) <= _MAX_DIGITS and value.isdigit():
        note(TIME_AS_TEXT)
        return int(value)
    return _read_integer(value, note)


def _check_width(value: bytes, note: Note) -> None:
    if not 1 <= len(value) <= 8:
        raise ContentError(f"an integer of {len(value)} bytes")
    if len(value) not in _WIDTHS:
        note(ODD_INTEGER)


def _read_float(value: bytes, _note: Note) -> Value:
    if len(value) not in (4, 8):
        raise ContentError(f"a float of {len(value)} bytes")
    number: float = (_SINGLE if len(value) == 4 else _DOUBLE).unpack(value)[0]
    return number


def _read_boolean(value: bytes, _note: Note) -> Value:
    if value not in (b"\0", b"\1"):
        raise ContentError("a boolean is one byte, 0 or 1")
    return value == b"\1"


def _read_link(value: bytes, _note: Note) -> Value:
    if len(value) != 4:
        raise ContentError(f"an object link of {len(value)} bytes")
    return ObjectLink(*_LINK.unpack(value))


_READERS: Final[dict[ResourceType, Callable[[bytes, Note], Value]]] = {
    ResourceType.STRING: _read_text,
    ResourceType.CORELNK: _read_text,
    ResourceType.OPAQUE: _read_bytes,
    ResourceType.NONE: _read_bytes,
    ResourceType.INTEGER: _read_integer,
    ResourceType.UNSIGNED: _read_unsigned,
    ResourceType.TIME: _read_time,
    ResourceType.FLOAT: _read_float,
    ResourceType.BOOLEAN: _read_boolean,
    ResourceType.OBJLNK: _read_link,
}
