"""What every content format decodes to and encodes from: a flat, ordered tuple of entries.

Rules: a single Resource has a path of three ids, a Resource Instance one of four. An entry without a value is an empty
container at that path: an Object without Instances, an Instance without Resources, a Resource without Instances.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value


class ContentError(ValueError):
    """A payload cannot be decoded, or nodes cannot be encoded, in a content format; the message says why."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One value, or one empty container, with the Unix time that the device gave it, if it did."""

    path: Path
    value: Value | None
    time: float | None = None


Nodes = tuple[Entry, ...]

Note = Callable[[str], None]
"""Told the code of each deviation that a tolerant decoder passed over, such as ``"tlv-odd-integer"``."""


ValueReader = Callable[[bytes, Note], Value | None]
"""Reads a payload for one single Resource; None stands for all that a codec has to look at. May raise ContentError."""


def ignore(_deviation: str) -> None:
    """A Note for those who don't want to know."""
