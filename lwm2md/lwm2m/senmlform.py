"""What SenML in JSON and in CBOR have in common, as a table of one form: labels, and what a value may stand under.

Facts from RFC 8428 (labels, section 6 for CBOR) and OMA LwM2M Core (``vlo``). Rules: a type has one label that is
written; what devices put under another, and has one meaning, is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import attrs

from lwm2md.lwm2m.nodes import ContentError, Note
from lwm2md.lwm2m.typed import READERS, Reader
from lwm2md.lwm2m.values import ObjectLink, ResourceType, Value

Label = str | int
Record = dict[Any, Any]
"""A record as the library reads and writes it: its keys are labels, its values strings, numbers, booleans or bytes."""


Plan = tuple[type | None, Label, Reader]
"""How values of a type are read: the Python type that needs no look, the label of such values, and who looks else."""

_AS_THEY_ARE: Final = {ResourceType.FLOAT: float, ResourceType.BOOLEAN: bool}
_SIGNED: Final = (int, -(2**63), 2**63)
PLAIN: Final[dict[ResourceType, tuple[type, int, int]]] = {
    ResourceType.FLOAT: (float, 0, 0),
    ResourceType.BOOLEAN: (bool, 0, 0),
    ResourceType.STRING: (str, 0, 0),
    ResourceType.CORELNK: (str, 0, 0),
    ResourceType.INTEGER: _SIGNED,
    ResourceType.TIME: _SIGNED,
    ResourceType.UNSIGNED: (int, 0, 2**64),
}
"""The types whose values are written as they are: their Python type, integers from one bound to below another."""


class Labels(NamedTuple):
    """The labels of one form."""

    base_version: Label
    base_name: Label
    base_time: Label
    base_unit: Label
    base_value: Label
    base_sum: Label
    name: Label
    unit: Label
    sum: Label
    time: Label
    update_time: Label
    number: Label
    string: Label
    boolean: Label
    data: Label
    link: Label


@attrs.frozen
class Form:
    """How records look: their labels, and what turns them into a payload and back (both raise ContentError).

    ``read_data`` and ``write_data`` are for byte strings, which only one of the two forms has. ``etch``: null stands
    for a Resource Instance to be deleted.
    """

    labels: Labels
    load: Callable[[bytes], list[Record]]
    dump: Callable[[list[Record]], bytes]
    read_data: Reader
    write_data: Callable[[bytes], object]
    etch: bool = False
    known: frozenset[Label] = attrs.field(init=False)
    bases: frozenset[Label] = attrs.field(init=False)
    values: tuple[Label, ...] = attrs.field(init=False)
    readers: dict[ResourceType | None, dict[Label, Reader]] = attrs.field(init=False)
    plans: dict[ResourceType, Plan] = attrs.field(init=False)
    label_of: dict[type, Label] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        labels = self.labels
        readers = _readers(labels, self.read_data)
        plans = {kind: (_AS_THEY_ARE.get(kind), *next(iter(readers[kind].items()))) for kind in ResourceType}
        found = {
            "known": frozenset(labels),
            "bases": frozenset(labels[:6]),
            "values": labels[-5:],
            "readers": readers,
            "plans": plans,
            "label_of": {
                str: labels.string,
                int: labels.number,
                float: labels.number,
                bool: labels.boolean,
                bytes: labels.data,
                ObjectLink: labels.link,
            },
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)


def _readers(labels: Labels, read_data: Reader) -> dict[ResourceType | None, dict[Label, Reader]]:
    """By type: the label that its values stand under, then those that are understood too, with their readers."""
    integer = {labels.number: READERS[ResourceType.INTEGER]}
    text = {labels.string: READERS[ResourceType.STRING]}
    link = READERS[ResourceType.OBJLNK]
    boolean = READERS[ResourceType.BOOLEAN]
    time = READERS[ResourceType.TIME]
    anything = {
        labels.number: _read_number,
        **text,
        labels.boolean: boolean,
        labels.data: read_data,
        labels.link: link,
    }
    return {
        ResourceType.STRING: text,
        ResourceType.CORELNK: text,
        ResourceType.INTEGER: integer,
        ResourceType.UNSIGNED: {labels.number: READERS[ResourceType.UNSIGNED]},
        ResourceType.TIME: {labels.number: time, labels.string: time},
        ResourceType.FLOAT: {labels.number: READERS[ResourceType.FLOAT]},
        ResourceType.BOOLEAN: {labels.boolean: boolean, labels.string: boolean, labels.number: boolean},
        ResourceType.OPAQUE: {labels.data: read_data},
        ResourceType.OBJLNK: {labels.link: link, labels.string: link},
        ResourceType.NONE: anything,
        None: anything,
    }


def _read_number(value: object, note: Note) -> Value:
    if type(value) not in (int, float):
        raise ContentError(f"{type(value).__name__} where a number belongs")
    return READERS[None](value, note)
