"""From a device's answer to the result that the operator sees: values by name and unit, links, locations, errors.

RULES: the payload is decoded by the Content-Format it says it has; only where a single Resource was asked for and none
is given, what was asked for is tried, then text (`field.md` of real devices). What can't be decoded is an error that
shows its first bytes; it never becomes a value.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.linkformat import LinkError, parse
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note, ignore
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.rows import ValueRow, row_of
from lwm2md.server.records import Link, Result

UNDECODABLE: Final = "undecodable"
ABSURD_TIME: Final = "absurd-time"
UNASKED: Final = "unasked-path"

_ABSOLUTE: Final = 2.0**28
_AHEAD: Final = 86400.0
_SAMPLE: Final = 32
_DIAGNOSTIC: Final = 200


class BadAnswer(Exception):  # noqa: N818 - it is what the device sent, no fault of ours
    """The device's answer makes no sense; the text says what was wrong with it."""


def diagnostic(message: Message) -> str:
    """What an error answer says of itself: its diagnostic payload, else the name of the code."""
    text = message.payload[:_DIAGNOSTIC].decode("utf-8", "replace").strip()
    return text if text and text.isprintable() else n.code_name(message.code)


def decode_nodes(
    message: Message, path: Path, accept: int | None, type_of: TypeOf, *, note: Note = ignore, root: str = ""
) -> tuple[Nodes, str]:
    """The nodes of an answer to a Read or Observe of ``path``, and the name of their format. Raises BadAnswer.

    The path of a composite one is the root; ``root`` is what stands before the ids in the names of its payload.
    """
    if message.code != n.CONTENT:
        raise BadAnswer(f"a Read is answered with 2.05, not {n.dotted(message.code)}")
    try:
        return formats.decode_answer(
            message.content_format, accept, path, message.payload, type_of, note=note, root=root
        )
    except ContentError as error:
        note(UNDECODABLE)
        sample = message.payload[:_SAMPLE].hex()
        raise BadAnswer(f"undecodable answer: {error}; it starts with {sample}") from None


def rows(nodes: Nodes, type_of: TypeOf, now: float, note: Note = ignore) -> tuple[ValueRow, ...]:
    """Nodes as value rows, named and typed by the model; values without a time of their own get ``now``."""
    found = []
    for entry in nodes:
        if entry.value is None:
            continue
        time = now if entry.time is None else resolved(entry.time, now, note)
        found.append(row_of(str(entry.path), entry.value, type_of(entry.path), time))
    return tuple(found)


def resolved(time: float, now: float, note: Note = ignore) -> float:
    """The Unix time of a value that came at ``now`` with this time: one below 2^28 is relative to that (RFC 8428).

    What is no time that a value can have, from before 2^28 or from more than a day ahead, is the time of arrival.
    """
    found = time if time >= _ABSOLUTE else now + time
    if _ABSOLUTE <= found <= now + _AHEAD:
        return found
    note(ABSURD_TIME)
    return now


def discovered(message: Message, root: str) -> Result:
    """The links of a Discover's answer, without the device's alternate root path. Raises BadAnswer."""
    try:
        links, _ = parse(message.payload.decode("utf-8", "replace"))
    except LinkError as error:
        raise BadAnswer(f"undecodable links: {error}") from None
    prefix = root.rstrip("/")
    return Result(links=tuple(Link(link.target.removeprefix(prefix), dict(link.attributes)) for link in links))


def created(message: Message, path: Path, identifier: int | None, root: str) -> Result:
    """Where a Create put the new Object Instance: as the device says, else as it was asked to."""
    depth = len([segment for segment in root.split("/") if segment])
    location = "/" + "/".join(message.location[depth:])
    if message.location:
        try:
            return Result(location=str(Path.parse(location)))
        except PathError:
            raise BadAnswer(f"the new instance has no valid path: {location[:40]}") from None
    return Result(location=None if identifier is None else str(path.child(identifier)))
