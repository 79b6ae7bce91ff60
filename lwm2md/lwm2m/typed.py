"""Values as JSON and CBOR have them, typed already: what a string, number, boolean or byte string is in a Resource.

Rules: the model's type decides, and without a model the value's own. What has one meaning in another form is taken and
its deviation noted; what would have to be rounded is refused. OMA LwM2M Core, data types; `field.md` of real devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md.lwm2m.leaves import BOOLEAN_WORDS, NOT_UTF8, ODD_BOOLEAN, without_nul
from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.moments import seconds_of
from lwm2md.lwm2m.nodes import ContentError, Note
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_, check, infer, parse_link

FLOAT_FOR_INTEGER: Final = "float-for-integer"
TIME_AS_TEXT: Final = "time-as-text"

_EXACT: Final = 2.0**53
"""From it on a float may stand for another integer than the one that was meant."""
_LONGEST_DIGITS: Final = 20
_INT64: Final = 2**63
_UINT64: Final = 2**64

Reader = Callable[[object, Note], Value]
"""Makes the value of a Resource of what a payload has for it. Raises ContentError."""


def read(value: object, model: ResourceModel | None, note: Note) -> Value:
    """The value of a Resource with that model, or without one. Raises ContentError."""
    return READERS[None if model is None else model.type](value, note)


def write(value: Value, model: ResourceModel | None) -> Value:
    """The value as one of the model's type, else of its own. Raises ContentError."""
    try:
        return check(infer(value) if model is None else model.type, value)
    except ValueError_ as error:
        raise ContentError(str(error)) from None


def text_of(value: str, note: Note) -> str | bytes:
    """A string that a decoder gave, NUL at its end left out; what was no UTF-8 (surrogates stand for it) as bytes."""
    if value.isascii():
        return without_nul(value, note) if value[-1:] == "\0" else value
    try:
        value.encode()
    except UnicodeEncodeError:
        note(NOT_UTF8)
        return value.encode("utf-8", "surrogateescape")
    return without_nul(value, note)


def _read_text(value: object, note: Note) -> Value:
    if type(value) is not str:
        raise _mismatch(value, "a string")
    return text_of(value, note)


def _read_integer(value: object, note: Note) -> Value:
    if type(value) is not int:
        value = _whole(value, note)
    if not -_INT64 <= value < _INT64:
        raise ContentError("no signed integer of 64 bits")
    return value


def _read_unsigned(value: object, note: Note) -> Value:
    if type(value) is not int:
        value = _whole(value, note)
    if not 0 <= value < _UINT64:
        raise ContentError("no unsigned integer of 64 bits")
    return value


def _whole(value: object, note: Note) -> int:
    if type(value) is not float:
        raise _mismatch(value, "an integer")
    if not (abs(value) < _EXACT and value.is_integer()):
        raise ContentError(f"{value!r} is not exactly an integer")
    note(FLOAT_FOR_INTEGER)
    return int(value)


def _read_time(value: object, note: Note) -> Value:
    if type(value) is not str:
        return _read_integer(value, note)
    note(TIME_AS_TEXT)
    if len(value) <= _LONGEST_DIGITS and value.isascii() and value.isdigit():
        return _read_integer(int(value), note)
    try:
        seconds = seconds_of(value)
    except ValueError as error:
        raise ContentError(str(error)) from None
    return _read_integer(seconds, note)


def _read_float(value: object, _note: Note) -> Value:
    if type(value) is float:
        return value
    if type(value) is not int or not -_INT64 <= value < _UINT64:
        raise _mismatch(value, "a number")
    return float(value)


def _read_boolean(value: object, note: Note) -> Value:
    if type(value) is bool:
        return value
    if type(value) in (int, str) and value in _ODD_BOOLEANS:
        note(ODD_BOOLEAN)
        return _ODD_BOOLEANS[value]
    raise _mismatch(value, "a boolean")


def _read_bytes(value: object, _note: Note) -> Value:
    if type(value) is not bytes:
        raise _mismatch(value, "a byte string")
    return value


def _read_link(value: object, _note: Note) -> Value:
    if type(value) is not str:
        raise _mismatch(value, "an object link")
    try:
        return parse_link(value)
    except ValueError_ as error:
        raise ContentError(str(error)) from None


def _read_any(value: object, note: Note) -> Value:
    kind = type(value)
    if kind is int:
        return _read_integer(value, note) if value < 0 else _read_unsigned(value, note)  # type: ignore[operator]
    if kind is str:
        return text_of(value, note)  # type: ignore[arg-type]
    if kind in (float, bool, bytes):
        return value  # type: ignore[return-value]
    raise _mismatch(value, "a value")


_ODD_BOOLEANS: Final[dict[object, bool]] = {0: False, 1: True, **BOOLEAN_WORDS}
READERS: Final[dict[ResourceType | None, Reader]] = {
    ResourceType.STRING: _read_text,
    ResourceType.CORELNK: _read_text,
    ResourceType.INTEGER: _read_integer,
    ResourceType.UNSIGNED: _read_unsigned,
    ResourceType.TIME: _read_time,
    ResourceType.FLOAT: _read_float,
    ResourceType.BOOLEAN: _read_boolean,
    ResourceType.OPAQUE: _read_bytes,
    ResourceType.OBJLNK: _read_link,
    ResourceType.NONE: _read_any,
    None: _read_any,
}
"""The reader of each type; that of None goes by the value itself."""


def _mismatch(value: object, wanted: str) -> ContentError:
    return ContentError(f"{type(value).__name__} where {wanted} belongs")
