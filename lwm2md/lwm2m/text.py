"""Content-Format 0, text/plain: one Resource or Resource Instance (OMA LwM2M Core, data types).

Rules: a value without a model is a string; Opaque is base64, standard and padded when written.
"""

from __future__ import annotations

from lwm2md.lwm2m.leaves import BOOLEAN_WORDS, ODD_BOOLEAN, model_of, only_value, single, text_or_bytes
from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note, ValueReader, ignore
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType, ValueError_, from_text, infer, to_text


def decode(base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, _root: str = "") -> Nodes:
    """Read the value of ``base``. Raises ContentError."""
    model = model_of(base, type_of)
    text = text_or_bytes(payload, note)
    if model is None or model.type in (ResourceType.STRING, ResourceType.CORELNK):
        return single(base, text, model, note)
    if isinstance(text, bytes):
        raise ContentError("not UTF-8")
    if model.type is ResourceType.BOOLEAN and text in BOOLEAN_WORDS:
        note(ODD_BOOLEAN)
        return single(base, BOOLEAN_WORDS[text], model, note)
    try:
        return single(base, from_text(model.type, text), model, note)
    except ValueError_ as error:
        raise ContentError(f"{base}: {error}") from error


def value_reader(path: Path, model: ResourceModel) -> ValueReader | None:
    """What reads the value of that single Resource; None for others."""
    if model.multiple or len(path) != 3:
        return None
    return lambda payload, note: decode(path, payload, lambda _: model, note)[0].value


def encode(base: Path, nodes: Nodes, type_of: TypeOf, _root: str = "") -> bytes:
    """Write the one value at ``base``. Raises ContentError."""
    value = only_value(base, nodes)
    model = type_of(base)
    try:
        return to_text(infer(value) if model is None else model.type, value).encode()
    except ValueError_ as error:
        raise ContentError(f"{base}: {error}") from error
