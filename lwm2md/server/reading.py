"""The values in an answer or a notification, and the deviations that were passed over to read them.

RULES: a value below a path that nobody asked for never becomes known. Time stamps are made absolute here, by the time
of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.formats import ALIASES
from lwm2md.lwm2m.models import Models
from lwm2md.lwm2m.nodes import ContentError, ValueReader
from lwm2md.lwm2m.paths import Path, covered
from lwm2md.lwm2m.rows import Heading, ValueRow
from lwm2md.server.answers import UNASKED, decode_nodes, rows
from lwm2md.server.deviations import noting
from lwm2md.server.records import Device, Registration
from lwm2md.server.requests import root_of
from lwm2md.server.state import State
from lwm2md.server.twin import meaningful

OTHER_FORMAT: Final = "other-format"
_MOST_LINES: Final = 4096


class Reading:
    """Reads what devices answer and notify."""

    def __init__(self, state: State) -> None:
        self._state = state
        # Of the object models that these lines were made from.
        self._models = state.models
        self._lines: dict[tuple[int | None, str | None], dict[Path, Line]] = {}
        self._count = 0

    def values(
        self,
        device: Device,
        path: Path,
        paths: tuple[Path, ...],
        message: Message,
        *,
        accept: int | None,
        now: float,
    ) -> tuple[tuple[ValueRow, ...], str]:
        """The values of ``path``, or of all ``paths`` of a composite operation, and the name of their format.

        ``accept`` is the format that was asked for, where the message does not say its own. Raises BadAnswer.
        """
        content_format = message.content_format
        if accept is None or accept == content_format:
            row = self.one(device, path, message, content_format, now=now)
            if row is not None:
                return (row,), formats.NAMES[content_format or 0]
        note = noting(self._state, device, message.payload, now)
        registration = device.registration
        type_of = self._state.resource_model(device)
        root = root_of(registration) if registration is not None else ""
        nodes, name = decode_nodes(message, path, accept, type_of, note=note, root=root)
        if accept is not None and content_format is not None and ALIASES.get(content_format, content_format) != accept:
            note(OTHER_FORMAT)
        if paths:
            whole = frozenset(paths)
            asked = tuple(entry for entry in nodes if covered(entry.path, whole))
            if len(asked) < len(nodes):
                note(UNASKED)
            nodes = asked
        return rows(nodes, type_of, now, note), name

    def one(
        self, device: Device, path: Path, message: Message, content_format: int | None, *, now: float
    ) -> ValueRow | None:
        """The row of a single Resource's value; None where the answer is something else, or needs a closer look."""
        registration = device.registration
        if len(path) != 3 or message.code != n.CONTENT or registration is None:
            return None
        line = self.line(registration, path, content_format)
        if line.read is None:
            return None
        deviations: list[str] = []
        try:
            value = line.read(message.payload, deviations.append)
        except ContentError:
            return None
        if value is None:
            return None
        if deviations:
            note = noting(self._state, device, message.payload, now)
            for deviation in deviations:
                note(deviation)
        return line.heading.row(value, now)

    def line(self, registration: Registration, path: Path, content_format: int | None) -> Line:
        """How the value of a single Resource is read that a device tells in a format."""
        models = self._state.models
        if models is not self._models or self._count > _MOST_LINES:
            self._models, self._count, self._lines = models, 0, {}
        versions = registration.objects.versions
        version = versions.get(path[0]) if versions else None
        lines = self._lines.get((content_format, version))
        if lines is None:
            lines = self._lines[content_format, version] = {}
        line = lines.get(path)
        if line is None:
            self._count += 1
            line = lines[path] = _line(path, content_format, models, versions)
        return line


class Line(msgspec.Struct, frozen=True):
    """How the row of a Resource is made: what reads the value, if it can be read the short way, and all the rest.

    ``content_format`` and ``models`` are what it was made for. The value is ``bare`` where it changes nothing but what
    is known of the Resource.
    """

    heading: Heading
    content_format: int | None
    models: Models
    read: ValueReader | None
    bare: bool


def refuse(deviation: str) -> None:
    """A note for those who want no value with a deviation: raises ContentError."""
    raise ContentError(deviation)


def _line(path: Path, content_format: int | None, models: Models, versions: Mapping[int, str]) -> Line:
    model = models.resource(path, versions)
    if model is None:
        return Line(Heading(str(path), ""), content_format, models, None, False)
    heading = Heading(str(path), model.type.value, model.name, model.unit or None)
    read = formats.value_reader(content_format, path, model)
    return Line(heading, content_format, models, read, not meaningful(path))
