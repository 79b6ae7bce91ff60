"""What a gateway sends of several devices behind it in one payload, taken apart (OMA Gateway enabler; Core, Send).

Rules: the first segment of a name, and the first key in LwM2M CBOR, is the prefix of a device; what begins with none of
the prefixes is of the gateway itself. Base fields hold for the records behind them, whosever those are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Final

from lwm2md.coap.numbers import LWM2M_CBOR, SENML_CBOR, SENML_JSON
from lwm2md.lwm2m import lwm2mcbor, senmlcbor, senmljson
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import Nodes, Note
from lwm2md.lwm2m.paths import ROOT
from lwm2md.lwm2m.senmlform import Form, Label, Record
from lwm2md.lwm2m.senmlnames import base_name, full_name
from lwm2md.lwm2m.senmlreading import RecordReader

Part = Callable[[TypeOf, Note, str], Nodes]
"""Reads the values of one device, with its models and the root of its names. Raises ContentError."""

_FORMS: Final = {SENML_JSON: senmljson.FORM, SENML_CBOR: senmlcbor.FORM}

FORMATS: Final = frozenset({*_FORMS, LWM2M_CBOR})
"""The formats that a Send may have."""


def apart(content_format: int, payload: bytes, prefixes: Container[str]) -> Mapping[str, Part]:
    """The parts of a payload by prefix, with "" for the gateway's own, in one of `FORMATS`. Raises ContentError."""
    form = _FORMS.get(content_format)
    if form is None:
        items = lwm2mcbor.apart(payload, prefixes)
        return {prefix: partial(lwm2mcbor.decode_part, item) for prefix, item in items.items()}
    return {prefix: partial(_read, form, records) for prefix, records in _records(form, payload, prefixes).items()}


def _read(form: Form, records: list[Record], type_of: TypeOf, note: Note, root: str) -> Nodes:
    return RecordReader(form, ROOT, type_of, note, root).read(records)


def _records(form: Form, payload: bytes, prefixes: Container[str]) -> dict[str, list[Record]]:
    """The records of each device; every one with the base fields that hold for it."""
    found: dict[str, list[Record]] = {}
    bases: dict[Label, object] = {}
    name = ""
    for record in form.load(payload):
        bases.update((label, value) for label, value in record.items() if label in form.bases)
        name = base_name(record, form, name)
        if bases.keys() >= record.keys():
            continue  # base fields alone
        prefix = full_name(record, form, name).partition("/")[2].partition("/")[0]
        found.setdefault(prefix if prefix in prefixes else "", []).append({**bases, **record})
    return found
