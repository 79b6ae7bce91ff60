"""Content-Format 42, application/octet-stream: the bytes of one Opaque Resource or Resource Instance.

Rules: for Opaque only; a Resource without a model is taken for one.
"""

from __future__ import annotations

from lwm2md.lwm2m.leaves import model_of, only_value, single
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note, ignore
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType


def decode(base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, _root: str = "") -> Nodes:
    """Read the value of ``base``. Raises ContentError if its type is another."""
    model = model_of(base, type_of)
    if model is not None and model.type is not ResourceType.OPAQUE:
        raise ContentError(f"{base} is of type {model.type.value}, not opaque")
    return single(base, payload, model, note)


def encode(base: Path, nodes: Nodes, type_of: TypeOf, _root: str = "") -> bytes:
    """Write the one value at ``base``. Raises ContentError if it is not opaque."""
    value = only_value(base, nodes)
    model = type_of(base)
    if not isinstance(value, bytes) or (model is not None and model.type is not ResourceType.OPAQUE):
        raise ContentError(f"{base} is not opaque")
    return value
