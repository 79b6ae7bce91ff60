"""The parameters of Register and Update (OMA Core 6.2.1, 6.2.2), read from Uri-Query options.

Tolerant where one meaning is left, and then a deviation says so; everything else is refused with the code that the
specification names and a short diagnostic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Options
from lwm2md.server.records import NO_LABELS

SUPPORTED_VERSIONS: Final = ("1.0", "1.1", "1.2")
DEFAULT_LIFETIME: Final = 86400
MAX_PROFILE: Final = 128
"""The longest profile id, in characters."""
NAME: Final = b"ep="
"""How the argument of the Endpoint Client Name begins."""
_URI_QUERY: Final = n.URI_QUERY
_KNOWN: Final = frozenset({"ep", "lt", "lwm2m", "b", "Q", "sms", "pid"})
_VERSION: Final = re.compile(r"(0|[1-9]\d?)\.(0|[1-9]\d?)", re.ASCII)
_BINDINGS_1_0: Final = frozenset({"U", "UQ", "S", "SQ", "US", "UQS"})
_BINDING_LETTERS: Final = frozenset("UMHTSN")
_MAX_PROFILES: Final = 8
_MAX_LABELS: Final = 16
_MAX_LABEL: Final = 128


class Rejected(Exception):  # noqa: N818 - it is the answer, not a fault of ours
    """A request of a device that is answered with an error ``code`` (a CoAP response code) and ``text``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class RegistrationParameters(msgspec.Struct, frozen=True):
    """What a Register or Update said but the name; None where it said nothing. ``lifetime`` is as sent, in seconds."""

    lifetime: int | None = None
    version: str | None = None
    binding: str | None = None
    queue_mode: bool = False
    sms: str | None = None
    profiles: tuple[str, ...] = ()
    labels: Mapping[str, str] = NO_LABELS
    deviations: tuple[str, ...] = ()


def parse(options: Options) -> tuple[str | None, RegistrationParameters]:
    """Read the Endpoint Client Name, if there is one, and the rest of the Uri-Query; raises `Rejected`.

    Of a parameter that appears twice the last one counts: a client's Server URI may bring a query of its own.
    """
    rest = []
    named: bytes | None = None
    for number, value in options:
        if number == _URI_QUERY:
            if value[:3] == NAME or value == b"ep":
                named = value
            else:
                rest.append(value)
    said = _parse(tuple(rest))
    return None if named is None else name_of(named), said


@lru_cache(maxsize=1024)
def _parse(query: tuple[bytes, ...]) -> RegistrationParameters:
    """All but the name: of a fleet all devices say the same."""
    found: dict[str, str | None] = {}
    for item in query:
        name, equals, value = item.decode("utf-8", "replace").partition("=")
        found[name] = value if equals else None
    version = _version(found)
    binding, queue_mode, deviations = _binding(found, version)
    return RegistrationParameters(
        lifetime=_lifetime(found),
        version=version,
        binding=binding,
        queue_mode=queue_mode,
        sms=_sms(found),
        profiles=_profiles(found),
        labels=_labels(found),
        deviations=deviations,
    )


def effective_lifetime(asked: int | None, version: str, default: int, floor: int, cap: int) -> int | None:
    """The lifetime in seconds that holds; None for an infinite one.

    0 means infinite from LwM2M 1.1 on, the default before (OMA Core, ``/1/x/1``); a ``cap`` of 0 leaves it unlimited.
    """
    if asked is None:
        asked = default
    if asked == 0:
        if version != "1.0":
            return cap or None
        asked = default
    return min(max(asked, floor), cap) if cap else max(asked, floor)


def name_of(item: bytes) -> str:
    """The Endpoint Client Name in its argument; raises `Rejected`."""
    name = item[3:].decode("utf-8", "replace")
    if not name or "\0" in name:
        raise Rejected(n.BAD_REQUEST, "ep is empty, or has a NUL in it")
    return name


def _version(found: Mapping[str, str | None]) -> str | None:
    if "lwm2m" not in found:
        return None
    version = found["lwm2m"] or ""
    if not _VERSION.fullmatch(version):
        raise Rejected(n.BAD_REQUEST, "lwm2m must look like 1.1")
    # The known text and not that of the message: a fleet shares it.
    known = next((each for each in SUPPORTED_VERSIONS if each == version), None)
    if known is None:
        raise Rejected(n.PRECONDITION_FAILED, "supported: " + " ".join(SUPPORTED_VERSIONS))
    return known


def _lifetime(found: Mapping[str, str | None]) -> int | None:
    if "lt" not in found:
        return None
    text = found["lt"] or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Rejected(n.BAD_REQUEST, "lt must be a number of seconds")
    return int(text)


def _binding(found: Mapping[str, str | None], version: str | None) -> tuple[str | None, bool, tuple[str, ...]]:
    """Binding, queue mode and deviations; in LwM2M 1.0 the Q is a letter of the binding, later a flag of its own."""
    queue_mode = "Q" in found
    if queue_mode and found["Q"] is not None:
        raise Rejected(n.BAD_REQUEST, "Q takes no value")
    binding = found.get("b")
    if "b" not in found:
        return None, queue_mode, ()
    if not binding:
        raise Rejected(n.BAD_REQUEST, "b is empty")
    if binding in _BINDINGS_1_0 and version in (None, "1.0"):
        return binding.replace("Q", ""), queue_mode or "Q" in binding, ()
    letters = binding.replace("Q", "")
    if version == "1.0" or not letters or len(set(letters)) != len(letters) or not _BINDING_LETTERS.issuperset(letters):
        raise Rejected(n.BAD_REQUEST, "b is not a binding of this version")
    deviations = ("queue-letter-in-binding",) if "Q" in binding and version is not None else ()
    return letters, queue_mode or "Q" in binding, deviations


def _sms(found: Mapping[str, str | None]) -> str | None:
    if "sms" not in found:
        return None
    number = (found["sms"] or "").removeprefix("+")
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        raise Rejected(n.BAD_REQUEST, "sms must be an MSISDN")
    return number


def _profiles(found: Mapping[str, str | None]) -> tuple[str, ...]:
    """The profile ids of LwM2M 1.2: one, or several in quotation marks with commas between."""
    if "pid" not in found:
        return ()
    text = found["pid"] or ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    profiles = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if len(profiles) > _MAX_PROFILES or not all(0 < len(profile) <= MAX_PROFILE for profile in profiles):
        raise Rejected(n.BAD_REQUEST, "pid must be one or a few profile ids")
    return profiles


def _labels(found: Mapping[str, str | None]) -> Mapping[str, str]:
    return bounded({name: value or "" for name, value in found.items() if name not in _KNOWN and name}) or NO_LABELS


def bounded(labels: dict[str, str]) -> dict[str, str]:
    """The labels of one registration, if they are few and short enough; raises `Rejected`."""
    if len(labels) > _MAX_LABELS or any(len(k) > _MAX_LABEL or len(v) > _MAX_LABEL for k, v in labels.items()):
        raise Rejected(n.BAD_REQUEST, "too many or too long parameters")
    return labels
