"""Where the values of an observation go: everything that is looked up for one notification, kept for the next.

RULES: nothing is decided by what is kept here. Nobody has to throw it away: who uses it asks first whether it holds.
"""

from __future__ import annotations

import msgspec

from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.models import Models
from lwm2md.lwm2m.nodes import ValueReader
from lwm2md.server.reading import Line
from lwm2md.server.records import Device, Registration, TwinValue
from lwm2md.server.wish import Observation


class Place(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The known value of a single Resource, who tells it, and what reads it. It refers to nothing that refers to it."""

    wish: Observation
    device: Device
    registration: Registration
    objects: ObjectList
    known: TwinValue
    line: Line
    read: ValueReader

    def holds(self, content_format: int, models: Models) -> bool:
        """Whether it would be found again; but for a value that is known no more, which has no time any more."""
        registration, line = self.registration, self.line
        return (
            line.content_format == content_format
            and line.models is models
            and self.device.registration is registration
            and self.objects is registration.objects
            and self.wish.state == "active"
        )
