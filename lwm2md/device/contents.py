"""Which Content-Formats the device has in each LwM2M version, what each of them can carry, and what is chosen.

Source: OMA LwM2M Core TS 1.2 and Transport TS, table of Content-Formats. RULES: text, opaque and CBOR carry one value,
opaque only one of that type; the ETCH formats carry changes and lists of paths, never an answer; composite operations
know the formats that name every path. LwM2M JSON is understood in every version, as clients in the field do, and told
in 1.0 only, since later versions advise against it. Without Accept one value is text, or opaque where it is, and
several are TLV in 1.0 and SenML CBOR later.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from lwm2md.coap import numbers
from lwm2md.device.errors import Refused
from lwm2md.lwm2m.formats import ALIASES
from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType

_FROM: Final = {
    numbers.TEXT: "1.0",
    numbers.OPAQUE: "1.0",
    numbers.TLV: "1.0",
    numbers.JSON: "1.0",
    numbers.CBOR: "1.1",
    numbers.SENML_JSON: "1.1",
    numbers.SENML_CBOR: "1.1",
    numbers.SENML_ETCH_JSON: "1.2",
    numbers.SENML_ETCH_CBOR: "1.2",
    numbers.LWM2M_CBOR: "1.2",
}
_ONE_VALUE: Final = frozenset({numbers.TEXT, numbers.OPAQUE, numbers.CBOR})
_CHANGES: Final = frozenset({numbers.SENML_ETCH_JSON, numbers.SENML_ETCH_CBOR})
_LISTS: Final = frozenset({numbers.SENML_JSON, numbers.SENML_CBOR, *_CHANGES})
_COMPOSITE: Final = frozenset({numbers.SENML_JSON, numbers.SENML_CBOR, numbers.LWM2M_CBOR})
_TIMED: Final = (numbers.SENML_CBOR, numbers.SENML_JSON, numbers.JSON)
_UNTOLD: Final = frozenset({numbers.TEXT, numbers.OPAQUE})
_ANSWERED_IN: Final = {
    numbers.SENML_JSON: numbers.SENML_JSON,
    numbers.SENML_CBOR: numbers.SENML_CBOR,
    numbers.SENML_ETCH_JSON: numbers.SENML_JSON,
    numbers.SENML_ETCH_CBOR: numbers.SENML_CBOR,
}


@lru_cache(maxsize=64)
def available(version: str, limit: frozenset[int]) -> frozenset[int]:
    """The formats of a device in LwM2M ``version`` that has those of ``limit`` only, or, if that is empty, all."""
    return frozenset(number for number, since in _FROM.items() if since <= version and (not limit or number in limit))


def told(version: str, limit: frozenset[int]) -> tuple[int, ...]:
    """The formats that a Register names: those that its version does not imply."""
    if version == "1.0":
        return tuple(available(version, limit) & {numbers.JSON})
    return tuple(sorted(available(version, limit) - _UNTOLD - {numbers.JSON}))


def content_format(given: int | None, formats: frozenset[int]) -> int:
    """The format of a payload for one path. Raises Refused (4.15)."""
    return _known(given, formats - _CHANGES)


def change_format(given: int | None, formats: frozenset[int]) -> int:
    """The format of a Write-Composite. Raises Refused (4.15)."""
    return _known(given, formats & (_COMPOSITE | _CHANGES))


def list_format(given: int | None, formats: frozenset[int]) -> int:
    """The format of a list of paths. Raises Refused (4.15)."""
    return _known(given, formats & _LISTS)


def must_be_acceptable(accept: int | None, formats: frozenset[int]) -> None:
    """Refuse (4.06) a format that no answer is in, whatever it is about."""
    if accept is not None and accept not in formats - _CHANGES:
        raise _not_acceptable(accept)


def answer_format(
    path: Path, model: ResourceModel | None, accept: int | None, formats: frozenset[int], usual: int | None
) -> int:
    """The format of an answer about ``path``; ``usual`` is what several values are in. Raises Refused (4.06)."""
    one = model is not None and (len(path) == 4 or not model.multiple)
    opaque = model is not None and model.type is ResourceType.OPAQUE
    if accept is None:
        if one:
            return numbers.OPAQUE if opaque and numbers.OPAQUE in formats else numbers.TEXT
        return usual if usual in formats else _several(formats)
    if accept in _ONE_VALUE and not (one and (opaque or accept != numbers.OPAQUE)):
        raise Refused(numbers.NOT_ACCEPTABLE, f"{path} is not a single value of that format")
    return accept


def composite_format(content: int, accept: int | None, formats: frozenset[int]) -> int:
    """The format of the answer to a list of paths that came in ``content``. Raises Refused (4.06)."""
    if accept is None:
        return _ANSWERED_IN[content]
    if accept not in formats & _COMPOSITE:
        raise _not_acceptable(accept)
    return accept


def timed_format(accept: int | None, formats: frozenset[int], usual: int | None = None) -> int | None:
    """The format for values of several times, as accepted or by choice; None where what is accepted has no times."""
    if accept is not None:
        return accept if accept in _TIMED else None
    return next((number for number in (usual, *_TIMED) if number in _TIMED and number in formats), None)


def send_format(wished: int | None, formats: frozenset[int], usual: int | None = None) -> int:
    """The format of a Send: what is wished, else what the device reports in, else the first that it has."""
    order = (wished, usual, *(numbers.SENML_CBOR, numbers.SENML_JSON, numbers.LWM2M_CBOR))
    fitting = _COMPOSITE & formats
    return next((number for number in order if number in fitting and number is not None), numbers.SENML_CBOR)


def has_times(content: int) -> bool:
    """Whether a format tells times."""
    return content in _TIMED


def must_carry(content: int, path: Path) -> None:
    """Refuse (4.00) a payload of a single value for what is more."""
    if len(path) < 3 and content in _ONE_VALUE:
        raise Refused(numbers.BAD_REQUEST, "a single value for an instance")


def _several(formats: frozenset[int]) -> int:
    order = (numbers.SENML_CBOR, numbers.TLV, numbers.SENML_JSON, numbers.LWM2M_CBOR, numbers.JSON)
    return next((number for number in order if number in formats), numbers.TLV)


def _known(given: int | None, formats: frozenset[int]) -> int:
    content = ALIASES.get(given, given) if given is not None else None
    if content not in formats:
        raise Refused(numbers.UNSUPPORTED_CONTENT_FORMAT, f"format {given} is not supported")
    return content


def _not_acceptable(accept: int) -> Refused:
    return Refused(numbers.NOT_ACCEPTABLE, f"format {accept} is not supported")
