"""Which options are understood, and what is answered where one is not (RFC 7252 5.4, 5.7.2, 5.8; RFC 8768 3).

Rules: odd numbers are critical. A value of a length out of range, and each further occurrence of an option that may
stand once, count as an option that is not understood: elective ones are ignored (by the accessors of `Message`),
critical ones refuse the message.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Options

_LONGEST: Final = 255
_MOST_HOPS: Final = 255
# number: shortest, longest value
_URI: Final = (numbers.URI_PATH, numbers.URI_QUERY)
_BLOCK: Final = (numbers.BLOCK2, numbers.BLOCK1)
_ONCE: Final = {
    numbers.URI_HOST: (1, _LONGEST),
    numbers.URI_PORT: (0, 2),
    numbers.ACCEPT: (0, 2),
    numbers.BLOCK2: (0, 3),
    numbers.BLOCK1: (0, 3),
}
_UNKNOWN: Final = Response(numbers.BAD_OPTION, b"unknown critical option")
_TWICE: Final = Response(numbers.BAD_OPTION, b"critical option repeated")
_LENGTH: Final = Response(numbers.BAD_OPTION, b"critical option of a wrong length")
_PROXY: Final = Response(numbers.PROXYING_NOT_SUPPORTED, b"no proxy here")
_TEXT: Final = Response(numbers.BAD_REQUEST, b"URI is not UTF-8")
_HOPS: Final = Response(numbers.BAD_REQUEST, b"Hop-Limit is not 1 to 255")
_BLOCK_SIZE: Final = Response(numbers.BAD_REQUEST, b"reserved block size")
_METHOD: Final = Response(numbers.METHOD_NOT_ALLOWED, b"unknown method")

SPECIAL: Final = Response(numbers.CONTINUE)
"""What `request_fault` returns for a request that is fine and whose options `terms` should look at."""

FINE: Final = 0
UNUSABLE: Final = 1
BLOCKS: Final = 2


def request_fault(code: int, options: Options) -> Response | None:
    """Return what a request with these options is refused with, None if it is fine, or `SPECIAL`."""
    result = None
    previous = 0
    for number, value in options:
        if number in _URI:
            if len(value) > _LONGEST:
                return _LENGTH
            if not value.isascii() and not _is_text(value):
                return _TEXT
        elif number & 1:
            fault = _critical_fault(number, value, number == previous)
            if fault is SPECIAL:
                result = fault
            elif fault is not None:
                return fault
        elif number == numbers.OBSERVE or number >= numbers.ECHO:
            result = SPECIAL
        elif number == numbers.HOP_LIMIT and not 1 <= int.from_bytes(value, "big") <= _MOST_HOPS:
            return _HOPS
        previous = number
    return result if code <= numbers.IPATCH else _METHOD


def response_kind(options: Options) -> int:
    """Return `UNUSABLE` for a response with a critical option that is not understood, `BLOCKS` if it is one of many."""
    kind = FINE
    previous = 0
    for number, value in options:
        if number & 1:
            if number not in _BLOCK or len(value) > 3 or number == previous or _reserved(value):
                return UNUSABLE
            if number == numbers.BLOCK1 or _more(value) or _number(value):
                kind = BLOCKS
        previous = number
    return kind


def _critical_fault(number: int, value: bytes, repeated: bool) -> Response | None:
    if number in (numbers.PROXY_URI, numbers.PROXY_SCHEME):
        return _PROXY
    bounds = _ONCE.get(number)
    if bounds is None:
        return _UNKNOWN
    if repeated:
        return _TWICE
    if not bounds[0] <= len(value) <= bounds[1]:
        return _LENGTH
    if number not in _BLOCK:
        return None
    return _BLOCK_SIZE if _reserved(value) else SPECIAL


def _number(block: bytes) -> int:
    return int.from_bytes(block, "big") >> 4


def _reserved(block: bytes) -> bool:
    return bool(block) and block[-1] & 7 == 7


def _more(block: bytes) -> bool:
    return bool(block and block[-1] & 8)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
