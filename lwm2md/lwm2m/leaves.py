"""What the content formats share: which node a value given for a path is, and whether one may be written.

Rules: the model decides. A value given for a multiple Resource as a whole is its Instance 0, which is noted.
"""

from __future__ import annotations

from typing import Final

from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

SINGLE_FOR_MULTIPLE: Final = "single-for-multiple"
MULTIPLE_FOR_SINGLE: Final = "multiple-for-single"
NOT_UTF8: Final = "string-not-utf8"
NUL_TERMINATED: Final = "nul-terminated-string"
ODD_BOOLEAN: Final = "odd-boolean"

BOOLEAN_WORDS: Final[dict[object, bool]] = {"false": False, "true": True}
"""What devices write for a boolean where it is no text."""


def model_of(base: Path, type_of: TypeOf) -> ResourceModel | None:
    """The model for a single value at that path. Raises ContentError above Resources."""
    if len(base) < 3:
        raise ContentError(f"a single value cannot stand for {base}")
    return type_of(base)


def single(base: Path, value: Value, model: ResourceModel | None, note: Note) -> Nodes:
    """The nodes for one value that was given for that path."""
    return (Entry(placed(base, model, note) if len(base) == 3 else base, value),)


def empty(path: Path, type_of: TypeOf) -> Nodes:
    """The nodes for nothing at all given for that path. Raises ContentError where there must be a value."""
    model = type_of(path)
    if len(path) > 3 or (model is not None and not model.multiple):
        raise ContentError(f"there is no value for {path}")
    return (Entry(path, None),)


def placed(path: Path, model: ResourceModel | None, note: Note) -> Path:
    """Where a value belongs that was given for a Resource or Resource Instance."""
    if model is None or model.multiple == (len(path) == 4):
        return path
    note(SINGLE_FOR_MULTIPLE if model.multiple else MULTIPLE_FOR_SINGLE)
    return path.child(0) if model.multiple else path.parent


def shaped(path: Path, model: ResourceModel | None) -> None:
    """Raise ContentError if a value at that path is of a single Resource where the model has a multiple one, or not."""
    if model is not None and model.multiple != (len(path) == 4):
        raise ContentError(f"{path} is of a {'multiple' if model.multiple else 'single'} resource")


def only_value(base: Path, nodes: Nodes) -> Value:
    """The value of the one node at exactly that path. Raises ContentError if there is another, or none."""
    if len(nodes) != 1 or nodes[0].path != base or nodes[0].value is None or len(base) < 3:
        raise ContentError(f"exactly one value for {base} is needed")
    return nodes[0].value


def text_or_bytes(payload: bytes, note: Note) -> str | bytes:
    """A string that came as bytes: broken UTF-8 stays as bytes, which is noted, as is a NUL at its end."""
    try:
        return without_nul(payload.decode(), note)
    except UnicodeDecodeError:
        note(NOT_UTF8)
        return payload


def without_nul(text: str, note: Note) -> str:
    """The string that a device ended with NUL as C does, which is noted."""
    if text[-1:] != "\0":
        return text
    note(NUL_TERMINATED)
    return text.rstrip("\0")
