"""Content-Format 11543, application/vnd.oma.lwm2m+json, of LwM2M 1.0 (OMA LwM2M TS 1.0, JSON).

Rules: a name is the base name and the entry's name, one after the other; where that gives no path for want of a slash,
they are joined with one. What is written has the last id in every entry's name, as some readers need one there. Empty
Instances and Resources have no form below the base, and are left out.
"""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import Any, Final

import msgspec

from lwm2md.lwm2m.leaves import empty, placed, shaped
from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note, ignore
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.typed import read, write
from lwm2md.lwm2m.values import (
    ObjectLink,
    ResourceType,
    Value,
    ValueError_,
    check,
    decode_base64,
    parse_decimal,
    parse_link,
)

LINK_AS_TEXT: Final = "json-link-as-text"
JOINED: Final = "json-name-without-slash"

_Unset = msgspec.UnsetType
_UNSET: Final = msgspec.UNSET


class _Incoming(msgspec.Struct):
    """An element of ``e``; a time stays text, so that a sum of two loses no digit."""

    n: str = ""
    v: int | float | _Unset = _UNSET
    sv: str | _Unset = _UNSET
    bv: bool | _Unset = _UNSET
    ov: str | _Unset = _UNSET
    t: msgspec.Raw | _Unset = _UNSET


class _Payload(msgspec.Struct):
    e: list[_Incoming]
    bn: str = ""
    bt: msgspec.Raw | _Unset = _UNSET


class _Outgoing(msgspec.Struct, omit_defaults=True):
    n: str
    v: int | float | _Unset = _UNSET
    sv: str | _Unset = _UNSET
    bv: bool | _Unset = _UNSET
    ov: str | _Unset = _UNSET
    t: Decimal | _Unset = _UNSET


class _Document(msgspec.Struct):
    bn: str
    bt: Decimal | _Unset
    e: list[_Outgoing]


_DECODER: Final = msgspec.json.Decoder(_Payload)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def decode(base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, root: str = "") -> Nodes:
    """Read what was sent for ``base``; without entries it is an empty Object, Instance or Resource.

    ``root`` may stand before the names, though nobody is known to write it. Raises ContentError.
    """
    if not base:
        raise ContentError("LwM2M JSON cannot stand for the root")
    try:
        found = _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:
        raise ContentError(f"not LwM2M JSON: {error}") from error
    if not found.e:
        return empty(base, type_of)
    base_name = found.bn.removeprefix(root)
    entries: list[Entry] = []
    seen: set[tuple[str, float | None]] = set()
    for each in found.e:
        path = _path(base, base_name, each.n if found.bn else each.n.removeprefix(root), type_of, note)
        model = type_of(path)
        try:
            time = _time(found.bt, each.t)
            entry = Entry(placed(path, model, note), _read(each, model, note), time)
        except (ContentError, ValueError_) as error:
            raise ContentError(f"{path}: {error}") from None
        # Strings hash unforeseeably, so that nobody can make these keys collide.
        key = (str(entry.path), time)
        if key in seen:
            raise ContentError(f"{entry.path} is there twice")
        seen.add(key)
        entries.append(entry)
    return tuple(entries)


def _path(base: Path, base_name: str, name: str, type_of: TypeOf, note: Note) -> Path:
    """The one Resource or Resource Instance below ``base`` that the two parts of a name can mean."""
    whole = base_name + name
    found = _below(base, whole)
    separated = base_name and (base_name[-1] == "/" or name[:1] in ("", "/"))
    if found and separated:
        return found[0]
    found = _below(base, whole, f"{base_name or base}/{name}", f"/{whole}", f"{base}/{whole}")
    if len(found) > 1:
        found = [each for each in found if type_of(each) is not None]
    if len(found) != 1:
        raise ContentError(f"{base_name[:40]!r} and {name[:40]!r} name no value below {base}, or more than one")
    if str(found[0]) != whole:
        note(JOINED)
    return found[0]


def _below(base: Path, *names: str) -> list[Path]:
    """What the names mean as Resources or Resource Instances below ``base``, each once."""
    found: list[Path] = []
    for name in names:
        try:
            path = Path.parse(name.replace("//", "/").rstrip("/"))
        except PathError:
            continue
        if len(path) > 2 and base.covers(path) and path not in found:
            found.append(path)
    return found


def _time(base: msgspec.Raw | _Unset, relative: msgspec.Raw | _Unset) -> float | None:
    """The sum of two times exactly as they were written, None for none."""
    time = sum(parse_decimal(ResourceType.TIME, _ascii(each)) for each in (base, relative) if each is not _UNSET)
    if not math.isfinite(float(time)):
        raise ValueError_("a time is infinite")
    return float(time) if time else None


def _ascii(number: msgspec.Raw) -> str:
    return bytes(number).decode("ascii", "replace")


def _read(entry: _Incoming, model: ResourceModel | None, note: Note) -> Value:
    number, text, boolean, link = entry.v, entry.sv, entry.bv, entry.ov
    if (number, text, boolean, link).count(_UNSET) != 3:
        raise ContentError("exactly one of v, sv, bv and ov is needed")
    kind = None if model is None else model.type
    if isinstance(link, str):
        return check(kind or ResourceType.OBJLNK, parse_link(link))
    if isinstance(text, str) and kind is ResourceType.OPAQUE:
        return decode_base64(text)
    if isinstance(text, str) and kind is ResourceType.OBJLNK:
        note(LINK_AS_TEXT)
    return read(next(each for each in (number, text, boolean) if each is not _UNSET), model, note)


def encode(base: Path, nodes: Nodes, type_of: TypeOf, _root: str = "") -> bytes:
    """Write nodes that all lie at or below ``base``, in names without an alternate path. Raises ContentError."""
    if not base:
        raise ContentError("LwM2M JSON cannot stand for the root")
    start = base if len(base) < 3 else base.parent
    base_time = _base_time(nodes)
    skipped = len(str(start)) + 1
    records: list[_Outgoing] = []
    seen: set[tuple[Path, float | None]] = set()
    for entry in nodes:
        path = entry.path
        if not base.covers(path) or (entry.value is not None and len(path) < 3) or (path, entry.time) in seen:
            raise ContentError(f"{path} is not below {base}, is no resource or is there twice")
        seen.add((path, entry.time))
        if entry.value is not None:
            model = type_of(path)
            shaped(path, model)
            try:
                form = _form(write(entry.value, model))
            except ContentError as error:
                raise ContentError(f"{path}: {error}") from None
            records.append(_Outgoing(str(path)[skipped:], **form, t=_relative(entry.time, base_time)))
    payload = _Document(f"{start}/", _UNSET if base_time is None else base_time, records)
    return _ENCODER.encode(payload)


def _base_time(nodes: Nodes) -> Decimal | None:
    """The latest time where all nodes have one; else the times are absolute."""
    times = [entry.time for entry in nodes if entry.time is not None]
    if not all(map(math.isfinite, times)):
        raise ContentError("a time is infinite")
    return _exactly(max(times)) if times and len(times) == len(nodes) else None


def _relative(time: float | None, base: Decimal | None) -> Decimal | _Unset:
    return _UNSET if time is None else _exactly(time) - (base or 0) or _UNSET


def _exactly(time: float) -> Decimal:
    return Decimal(int(time) if time.is_integer() else repr(time))


def _form(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bv": value}
    if isinstance(value, float) and not math.isfinite(value):
        raise ContentError(f"{value} has no form in JSON")
    if isinstance(value, int | float):
        return {"v": value}
    if isinstance(value, bytes):
        return {"sv": base64.b64encode(value).decode("ascii")}
    return {"ov": str(value)} if isinstance(value, ObjectLink) else {"sv": value}
