"""SenML in JSON: Content-Formats 110 and, with null, 320 (RFC 8428 5, RFC 8790).

Rules: byte strings are base64 for URLs without padding, and read in either alphabet. Integers are exact whatever their
size. A label that is there twice in one record, and a number that JSON has no form for, are refused. Labels that are
unknown may have strings, numbers and booleans only, as all that are registered.
"""

from __future__ import annotations

import base64
import re
from math import isfinite
from typing import Final

import msgspec

from lwm2md.lwm2m.nodes import ContentError, Note
from lwm2md.lwm2m.senmlform import Form, Labels, Record
from lwm2md.lwm2m.values import Value, ValueError_, decode_base64

_LABELS: Final = Labels(
    base_version="bver",
    base_name="bn",
    base_time="bt",
    base_unit="bu",
    base_value="bv",
    base_sum="bs",
    name="n",
    unit="u",
    sum="s",
    time="t",
    update_time="ut",
    number="v",
    string="vs",
    boolean="vb",
    data="vd",
    link="vlo",
)
_DECODER: Final = msgspec.json.Decoder(list[dict[str, int | float | str | bool | None]])
_ENCODE: Final = msgspec.json.Encoder().encode
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*(:?)', re.DOTALL)
"""A string of valid JSON, and the colon behind it if it is a label."""


def _load(payload: bytes) -> list[Record]:
    try:
        records: list[Record] = _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:  # of the library, of broken UTF-8, of too many digits
        raise ContentError(f"malformed SenML: {error}") from None
    labels = sum(map(len, records))
    # The library keeps the last of two equal labels. Every label has a colon, and mostly nothing else has one.
    if payload.count(b":") != labels and sum(map(len, _STRING.findall(payload))) != labels:
        raise ContentError("a record has a label twice")
    return records


def _dump(records: list[Record]) -> bytes:
    try:
        payload = _ENCODE(records)
    except ValueError as error:
        raise ContentError(f"no SenML in JSON: {error}") from None
    # The library writes what is no finite number as null; SenML-ETCH has null of its own.
    if b"null" in payload and any(_infinite(record.get(_LABELS.number)) for record in records):
        raise ContentError("JSON has no infinite numbers and no NaN")
    return payload


def _infinite(value: object) -> bool:
    return type(value) is float and not isfinite(value)


def _read_data(value: object, _note: Note) -> Value:
    if type(value) is not str:
        raise ContentError(f"{type(value).__name__} where base64 belongs")
    try:
        return decode_base64(value)
    except ValueError_ as error:
        raise ContentError(str(error)) from None


def _write_data(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


FORM: Final = Form(_LABELS, _load, _dump, _read_data, _write_data)
"""SenML records as JSON objects."""
