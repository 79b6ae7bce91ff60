"""How registrations and their refreshes are written to storage and read back: fast, since a fleet is read as a whole.

RULES: values are JSON, as everywhere (`lwm2md.server.stored`), and short: what a row does not say takes no time to
write, to deflate and to read. A fleet of one model has one list of Objects, so what a list is as JSON, and which list
some JSON is, is kept for a thousand lists; devices share it then. A row that can't be read raises
``msgspec.ValidationError``, ``msgspec.DecodeError`` or ``PathError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.models import default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.server.records import NO_LABELS, Registration

_MOST: Final = 1024
_ENABLERS: Final = ("1.0", "1.1", "1.2")
_NULL: Final = Raw(b"null")
_NO_PARTS: Final = (b"null", b"null", b"null")
_Listed = tuple[str, str, tuple[bytes, bytes, bytes]]
"""A list of Objects as a row has it: root, paths, and formats, versions and deviations as JSON."""
_USUAL: Final = ("coap", False, None, None, NO_LABELS)
"""What nearly every device has: transport, queue mode, identity, SMS number, labels."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A registration. A row ends behind ``paths`` where the rest is as nearly every device has it.

    ``updated_at`` is null for the time of the registration, ``versions`` where each Object has the one that the LwM2M
    ``version`` implies, other parts of the list where they are empty.
    """

    id: str
    peer: bytes
    registered_at: float
    updated_at: float | None
    version: str
    lifetime: int | None
    binding: str
    paths: str
    transport: str = "coap"
    queue_mode: bool = False
    identity: str | None = None
    sms: str | None = None
    root: str = "/"
    formats: Raw = _NULL
    versions: Raw = _NULL
    deviations: Raw = _NULL
    labels: dict[str, str] | None = None


class _FormerRow(msgspec.Struct, gc=False):
    """A registration as the first nine schemas had it."""

    id: str
    peer: bytes
    transport: str
    version: str
    lifetime: int | None
    binding: str
    registered_at: float
    updated_at: float
    paths: tuple[str, ...]
    identity: str | None = None
    queue_mode: bool = False
    sms: str | None = None
    root: str = "/"
    formats: Raw = _NULL
    versions: Raw = Raw(b"{}")
    deviations: Raw = _NULL
    labels: dict[str, str] | None = None


class _Id(msgspec.Struct, array_like=True, gc=False):
    id: str


class _FormerId(msgspec.Struct, gc=False):
    id: str


class _Refresh(msgspec.Struct, array_like=True, gc=False):
    """More than this in a row is passed over: other versions wrote more."""

    updated_at: float
    peer: bytes


class _Parts(NamedTuple):
    """A list of Objects as a row has it; ``implied`` says with which LwM2M versions it need not name those of Objects,
    ``plain`` with which it need say nothing but the paths.
    """

    objects: ObjectList
    texts: tuple[str, ...]
    paths: str
    formats: Raw
    versions: Raw
    deviations: Raw
    implied: frozenset[str]
    plain: frozenset[str]


_encode = msgspec.json.Encoder().encode
_read_row = msgspec.json.Decoder(_Row).decode
_read_former = msgspec.json.Decoder(_FormerRow).decode
_read_id = msgspec.json.Decoder(_Id).decode
_read_former_id = msgspec.json.Decoder(_FormerId).decode
_read_refresh = msgspec.json.Decoder(_Refresh).decode
_read_texts = msgspec.json.Decoder(tuple[str, ...] | None).decode
_read_numbers = msgspec.json.Decoder(tuple[int, ...] | None).decode
_read_versions = msgspec.json.Decoder(dict[int, str] | None).decode
_parts: Final[dict[int, _Parts]] = {}


def registration_row(registration: Registration) -> bytes:
    """The whole registration, as table ``registrations`` keeps it by Endpoint Client Name."""
    found = registration
    parts = _parts_of(found.objects)
    updated_at = None if found.updated_at == found.registered_at else found.updated_at
    row: tuple[object, ...] = (
        found.id,
        found.peer,
        found.registered_at,
        updated_at,
        found.version,
        found.lifetime,
        found.binding,
        parts.paths,
    )
    more = (found.transport, found.queue_mode, found.identity, found.sms, found.labels)
    if more == _USUAL and found.version in parts.plain:
        return _encode(row)
    versions = _NULL if found.version in parts.implied else parts.versions
    rest = (found.objects.root, parts.formats, versions, parts.deviations, dict(found.labels) or None)
    return _encode((*row, *more[:-1], *rest))


def read_registration(value: bytes, endpoint: str) -> Registration:
    """The registration of the row of an endpoint."""
    row: _Row | _FormerRow
    if value[:1] == b"{":
        row = _read_former(value)
        paths, updated_at = " ".join(row.paths), row.updated_at
    else:
        row = _read_row(value)
        paths, updated_at = row.paths, row.registered_at if row.updated_at is None else row.updated_at
    formats, versions, deviations = row.formats, row.versions, row.deviations
    parts = _NO_PARTS
    if not (formats is versions is deviations is _NULL):
        parts = (bytes(formats), bytes(versions), bytes(deviations))
    listed = (row.root, paths, parts)
    transport, version, lifetime, binding, objects = _shared(
        row.transport, row.version, row.lifetime, row.binding, listed
    )
    return Registration(
        row.id,
        endpoint,
        row.peer,
        transport,
        row.identity,
        version,
        lifetime,
        binding,
        row.queue_mode,
        row.sms,
        objects,
        row.labels or NO_LABELS,
        row.registered_at,
        updated_at,
    )


def read_id(value: bytes) -> str | None:
    """The id in the Location of a registration of a row; None where the row can't be read."""
    try:
        return _read_former_id(value).id if value[:1] == b"{" else _read_id(value).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def refresh_row(registration: Registration) -> bytes:
    """What a pure refresh changes, written behind: a small row beside the registration's."""
    return _encode((registration.updated_at, registration.peer))


def read_refresh(value: bytes) -> tuple[float, bytes]:
    """When a registration was refreshed, and from where."""
    row = _read_refresh(value)
    return row.updated_at, row.peer


@lru_cache(maxsize=_MOST)
def _shared(
    transport: str, version: str, lifetime: int | None, binding: str, listed: _Listed
) -> tuple[str, str, int | None, str, ObjectList]:
    """What a fleet shares of its rows, the same objects for all: those of its own would cost memory for each device."""
    seconds = None if lifetime is None else _seconds(lifetime)
    return intern(transport), intern(version), seconds, intern(binding), _objects(version, listed)


@lru_cache(maxsize=_MOST)
def _seconds(lifetime: int) -> int:
    """The same number for a whole fleet: each of its own would take 32 bytes."""
    return lifetime


@lru_cache(maxsize=_MOST)
def _objects(version: str, listed: _Listed) -> ObjectList:
    root, paths, (formats, versions, deviations) = listed
    found = tuple(map(Path.parse, paths.split()))
    named = _read_versions(versions)
    return ObjectList(
        root,
        _read_numbers(formats) or (),
        found,
        _implied(found, version) if named is None else named,
        _read_texts(deviations) or (),
    )


def _implied(paths: Iterable[Path], version: str) -> dict[int, str]:
    return {path[0]: default_version(path[0], version) for path in paths}


def paths_of(objects: ObjectList) -> tuple[str, ...]:
    """The paths of a list as text, which is the same tuple each time."""
    return _parts_of(objects).texts


def _parts_of(objects: ObjectList) -> _Parts:
    known = _parts.get(id(objects))
    if known is not None and known.objects is objects:
        return known
    texts = tuple(map(str, objects.paths))
    implied = frozenset(each for each in _ENABLERS if _implied(objects.paths, each) == objects.versions)
    plain = objects.root == "/" and not (objects.formats or objects.deviations)
    if len(_parts) >= _MOST:
        _parts.clear()
    parts = _parts[id(objects)] = _Parts(
        objects,
        texts,
        " ".join(texts),
        _raw(objects.formats),
        Raw(_encode(dict(objects.versions))),
        _raw(objects.deviations),
        implied,
        implied if plain else frozenset(),
    )
    return parts


def _raw(part: object) -> Raw:
    return Raw(_encode(part)) if part else _NULL
