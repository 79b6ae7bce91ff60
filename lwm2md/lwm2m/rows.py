"""One value as people read it: the row of a ``values`` list in events, operations and the twin.

RULES: a row is made where the object model is known; what shows it needs no model any more.
"""

from __future__ import annotations

import msgspec

from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.values import Value, infer


class ValueRow(msgspec.Struct, frozen=True, gc=False):
    """A Resource or Resource Instance with its value.

    ``type`` is the name of the resource's type (``"string"``, ``"time"``, ...), ``time`` the Unix time of the value
    where the device or the server's clock gave one. A string that is not UTF-8 is carried as bytes.
    """

    path: str
    value: Value
    type: str
    name: str | None = None
    unit: str | None = None
    time: float | None = None


class Heading(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What is the same in all rows of a Resource; one that was made is one object, found by itself."""

    path: str
    type: str
    name: str | None = None
    unit: str | None = None

    def row(self, value: Value, time: float | None) -> ValueRow:
        """The row of a value."""
        return ValueRow(self.path, value, self.type, self.name, self.unit, time)


def row_of(path: str, value: Value, model: ResourceModel | None, time: float | None) -> ValueRow:
    """The row of a value; without a model its type is what it looks like."""
    if model is None:
        return ValueRow(path, value, infer(value).value, None, None, time)
    return ValueRow(path, value, model.type.value, model.name, model.unit or None, time)
