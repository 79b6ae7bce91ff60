"""Which Content-Format a request is made in, or asks for (OMA Core, data formats; `field.md` of real devices).

RULES: a caller's choice is never replaced. Else the device's profile, the LwM2M version and the formats that the device
listed decide, in this order, and what it refused since it registered comes last. There are few candidates: a device
that refuses them all is asked once more at most, with no Accept at all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

from lwm2md.coap import numbers as n
from lwm2md.lwm2m import formats
from lwm2md.server.deviceprofiles import ProfileValues
from lwm2md.server.records import Composed, Registration

READING: Final = "read"
WRITING: Final = "write"
COMPOSITE: Final = "composite"

ETCH: Final = frozenset({n.SENML_ETCH_JSON, n.SENML_ETCH_CBOR})
SINGLE: Final = frozenset({n.TEXT, n.OPAQUE, n.CBOR})
"""The formats of one value."""

_LISTED: Final = {
    "1.0": (n.TLV, n.JSON),
    "1.1": (n.SENML_CBOR, n.TLV, n.SENML_JSON, n.JSON),
    "1.2": (n.LWM2M_CBOR, n.SENML_CBOR, n.TLV, n.SENML_JSON, n.JSON),
}
_UNLISTED: Final = {
    "1.0": (n.TLV, n.JSON),
    "1.1": (n.TLV, n.SENML_CBOR, n.SENML_JSON),
    "1.2": (n.SENML_CBOR, n.TLV, n.SENML_JSON),
}
_REFUSALS: Final = {
    READING: frozenset({n.NOT_ACCEPTABLE}),
    WRITING: frozenset({n.UNSUPPORTED_CONTENT_FORMAT}),
    COMPOSITE: frozenset({n.NOT_ACCEPTABLE, n.UNSUPPORTED_CONTENT_FORMAT}),
}
_NOTHING: Final = frozenset[tuple[str, int | None]]()

T = TypeVar("T", bound=int | None)
Candidates = tuple[int | None, ...]


@lru_cache(maxsize=1024)
def accepts(version: str, listed: tuple[int, ...], one: bool, preferred: tuple[int, ...] = ()) -> Candidates:
    """What to ask for in a Read or Observe, the best first; ``one`` Resource may come as a bare value."""
    found = _known(_LISTED[version], listed) if listed else _known(_UNLISTED[version])
    if one and listed:
        found += _known((n.TEXT, n.CBOR), listed)
    return (*_before(_fitting(preferred, one=one), found[:2])[:3], None)


@lru_cache(maxsize=1024)
def contents(version: str, listed: tuple[int, ...], preferred: tuple[int, ...] = ()) -> tuple[int, ...]:
    """What to write values of several Resources in, the best first."""
    found = _before(_known(_LISTED[version], listed), _known(_UNLISTED[version]))
    return _before(_fitting(preferred, one=False), found)[:3]


@lru_cache(maxsize=1024)
def single_contents(
    number: int, version: str, listed: tuple[int, ...], preferred: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """What to write one value in, the best first; ``number`` is the format that every client takes for it."""
    return _before(_fitting(preferred, one=True), (number, *contents(version, listed)))[:3]


@lru_cache(maxsize=1024)
def composites(listed: tuple[int, ...], *, etch: bool, preferred: tuple[int, ...] = ()) -> tuple[int, ...]:
    """What a composite request is made in; with ``etch`` one that can say that something is to be deleted."""
    both = (n.SENML_ETCH_CBOR, n.SENML_ETCH_JSON) if etch else (n.SENML_CBOR, n.SENML_JSON)
    known = _known(both)
    found = tuple(sorted(known, key=lambda each: bool(listed) and each not in listed))
    return _before(tuple(each for each in preferred if each in known), found)


def ordered(registration: Registration, use: str, candidates: tuple[T, ...]) -> tuple[tuple[T, ...], int]:
    """The candidates, those that the device refused last; and how many it did not refuse."""
    refused = registration.refused_formats
    if refused is None:
        return candidates, len(candidates)
    good = tuple(each for each in candidates if (use, each) not in refused)
    return (*good, *(each for each in candidates if each not in good)), len(good)


def default_accept(
    registration: Registration, *, one: bool, preferred: tuple[int, ...] = ()
) -> tuple[int | None, tuple[str, int | None] | None]:
    """The format to ask for, and the same as what can be replaced, None where nothing is left to replace it."""
    candidates = accepts(registration.version, registration.objects.formats, one, preferred)
    found, good = ordered(registration, READING, candidates)
    return found[0], (READING, found[0]) if good > 1 else None


def learn(registration: Registration, composed: Composed, code: int) -> bool:
    """Remember a format that an answer's ``code`` refuses; whether the request can be made in another one."""
    if composed.replaceable is None or code not in _REFUSALS[composed.replaceable[0]]:
        return False
    registration.refused_formats = (registration.refused_formats or _NOTHING) | {composed.replaceable}
    return True


def number_of(name: str | None) -> int | None:
    """The number of a format by the name that a caller gave; None for none, and for one that is not known."""
    return None if name is None else formats.NUMBERS.get(name)


def preferred_by(profile: ProfileValues) -> tuple[int, ...]:
    """The numbers of the formats that a device's profile says are to be tried first."""
    return tuple(formats.NUMBERS[name] for name in profile.formats) if profile.formats else ()


def _fitting(preferred: tuple[int, ...], *, one: bool) -> tuple[int, ...]:
    """Those that can hold the values of more than one Resource, unless there is ``one``; and no list of changes."""
    return tuple(each for each in preferred if each not in ETCH and (one or each not in SINGLE))


def _before(first: tuple[int, ...], then: tuple[int, ...]) -> tuple[int, ...]:
    return (*first, *(each for each in then if each not in first))


def _known(numbers: tuple[int, ...], listed: tuple[int, ...] | None = None) -> tuple[int, ...]:
    return tuple(each for each in numbers if each in formats.CODECS and (listed is None or each in listed))
