"""How registrations and their refreshes are written to storage and read back: fast, since a fleet is read as a whole.

RULES: values are JSON, as everywhere (`lwm2md.server.stored`). A fleet of one model has one list of Objects, so what a
list is as JSON, and which list some JSON is, is kept for a thousand lists; devices share it then. A row that can't be
read raises ``msgspec.ValidationError``, ``msgspec.DecodeError`` or ``PathError``.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.paths import Path
from lwm2md.server.records import NO_LABELS, Registration

_MOST: Final = 1024
_Part = Raw | UnsetType


class _Registration(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    endpoint: str
    peer: bytes
    transport: str
    version: str
    lifetime: int | None
    binding: str
    registered_at: float
    updated_at: float
    paths: Raw
    identity: str | None = None
    queue_mode: bool = False
    sms: str | None = None
    root: str = "/"
    formats: _Part = UNSET
    versions: _Part = UNSET
    deviations: _Part = UNSET
    labels: dict[str, str] | None = None


class _Id(msgspec.Struct, gc=False):
    id: str


class _Refresh(msgspec.Struct, array_like=True, gc=False):
    """More than this in a row is passed over: other versions wrote more."""

    updated_at: float
    peer: bytes


class _Parts(NamedTuple):
    """A list of Objects as a row has it."""

    objects: ObjectList
    texts: tuple[str, ...]
    paths: Raw
    formats: _Part
    versions: _Part
    deviations: _Part


_encode = msgspec.json.Encoder().encode
_read_registration = msgspec.json.Decoder(_Registration).decode
_read_id = msgspec.json.Decoder(_Id).decode
_read_refresh = msgspec.json.Decoder(_Refresh).decode
_read_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_read_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_read_versions = msgspec.json.Decoder(dict[int, str]).decode
_parts: Final[dict[int, _Parts]] = {}


def registration_row(registration: Registration) -> bytes:
    """The whole registration, as table ``registrations`` keeps it by Endpoint Client Name."""
    objects = registration.objects
    parts = _parts_of(objects)
    return _encode(
        _Registration(
            registration.id,
            registration.endpoint,
            registration.peer,
            registration.transport,
            registration.version,
            registration.lifetime,
            registration.binding,
            registration.registered_at,
            registration.updated_at,
            parts.paths,
            registration.identity,
            registration.queue_mode,
            registration.sms,
            objects.root,
            parts.formats,
            parts.versions,
            parts.deviations,
            dict(registration.labels) or None,
        )
    )


def read_registration(value: bytes, endpoint: str) -> Registration:
    """The registration of the row of an endpoint."""
    row = _read_registration(value)
    formats, versions, deviations = row.formats, row.versions, row.deviations
    objects = _objects(
        row.root,
        bytes(row.paths),
        b"" if formats is UNSET else bytes(formats),
        b"" if versions is UNSET else bytes(versions),
        b"" if deviations is UNSET else bytes(deviations),
    )
    return Registration(
        row.id,
        endpoint,
        row.peer,
        intern(row.transport),
        row.identity,
        intern(row.version),
        None if row.lifetime is None else _seconds(row.lifetime),
        intern(row.binding),
        row.queue_mode,
        row.sms,
        objects,
        row.labels or NO_LABELS,
        row.registered_at,
        row.updated_at,
    )


def read_id(value: bytes) -> str | None:
    """The id in the Location of a registration of a row; None where the row can't be read."""
    try:
        return _read_id(value).id
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
def _seconds(lifetime: int) -> int:
    """The same number for a whole fleet: each of its own would take 32 bytes."""
    return lifetime


@lru_cache(maxsize=_MOST)
def _objects(root: str, paths: bytes, formats: bytes, versions: bytes, deviations: bytes) -> ObjectList:
    return ObjectList(
        root,
        _read_numbers(formats) if formats else (),
        tuple(map(Path.parse, _read_texts(paths))),
        _read_versions(versions) if versions else {},
        _read_texts(deviations) if deviations else (),
    )


def paths_of(objects: ObjectList) -> tuple[str, ...]:
    """The paths of a list as text, which is the same tuple each time."""
    return _parts_of(objects).texts


def _parts_of(objects: ObjectList) -> _Parts:
    known = _parts.get(id(objects))
    if known is not None and known.objects is objects:
        return known
    texts = tuple(map(str, objects.paths))
    if len(_parts) >= _MOST:
        _parts.clear()
    parts = _parts[id(objects)] = _Parts(
        objects,
        texts,
        Raw(_encode(texts)),
        _raw(objects.formats),
        _raw(dict(objects.versions)),
        _raw(objects.deviations),
    )
    return parts


def _raw(part: object) -> _Part:
    return Raw(_encode(part)) if part else UNSET
