"""SenML in CBOR: Content-Formats 112 and, with null, 322 (RFC 8428 6, RFC 8790).

Rules: labels are small integers, but that of links, which is the text ``vlo``. Times are plain numbers when written.
"""

from __future__ import annotations

from typing import Final

from lwm2md.lwm2m.cboritems import array, dump, load, mapping
from lwm2md.lwm2m.nodes import ContentError
from lwm2md.lwm2m.senmlform import Form, Label, Labels, Record
from lwm2md.lwm2m.typed import READERS
from lwm2md.lwm2m.values import ResourceType

_LABELS: Final = Labels(
    base_version=-1,
    base_name=-2,
    base_time=-3,
    base_unit=-4,
    base_value=-5,
    base_sum=-6,
    name=0,
    unit=1,
    sum=5,
    time=6,
    update_time=7,
    number=2,
    string=3,
    boolean=4,
    data=8,
    link="vlo",
)
_MAPS: Final = {dict}
_WRITTEN: Final[dict[Label, bytes]] = {label: dump(label) for label in _LABELS}


def _load(payload: bytes) -> list[Record]:
    records = load(payload)
    if type(records) is not list or not set(map(type, records)) <= _MAPS:
        raise ContentError("malformed SenML: not an array of maps")
    return records


def _dump(records: list[Record]) -> bytes:
    parts = [array(len(records))]
    for record in records:
        parts.append(mapping(len(record)))
        for label, value in record.items():
            parts.append(_WRITTEN[label])
            parts.append(dump(value))
    return b"".join(parts)


def _written(value: bytes) -> bytes:
    return value


FORM: Final = Form(_LABELS, _load, _dump, READERS[ResourceType.OPAQUE], _written)
"""SenML records as maps."""
