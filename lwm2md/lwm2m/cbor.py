"""Content-Format 60, CBOR: one Resource or Resource Instance as one item (OMA LwM2M Core 1.1.1, CBOR).

Rules: a Time is written with tag 1 and read with it, with tag 0, or without.
"""

from __future__ import annotations

from lwm2md.lwm2m.cboritems import dump, load, tagged
from lwm2md.lwm2m.leaves import model_of, only_value, single
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note, ignore
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.typed import read, write
from lwm2md.lwm2m.values import ObjectLink, ResourceType

_EPOCH_TIME = 1


def decode(base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, _root: str = "") -> Nodes:
    """Read the value of ``base``. Raises ContentError."""
    model = model_of(base, type_of)
    try:
        value = read(load(payload), model, note)
    except ContentError as error:
        raise ContentError(f"{base}: {error}") from None
    return single(base, value, model, note)


def encode(base: Path, nodes: Nodes, type_of: TypeOf, _root: str = "") -> bytes:
    """Write the one value at ``base``. Raises ContentError."""
    model = type_of(base)
    try:
        value = write(only_value(base, nodes), model)
        item = dump(str(value) if isinstance(value, ObjectLink) else value)
    except ContentError as error:
        raise ContentError(f"{base}: {error}") from None
    return tagged(_EPOCH_TIME, item) if model is not None and model.type is ResourceType.TIME else item
