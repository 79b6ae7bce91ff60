"""Which options are understood, and what is answered where one is not (RFC 7252 5.4, 5.7.2, 5.8).

Rules: odd numbers are critical. A value of a length out of range, and each further occurrence of an option that may
stand once, count as an option that is not understood: elective ones are ignored (by the accessors of `Message`),
critical ones refuse the message. Block-wise transfer is understood as far as one block holds the whole body.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Options

_LONGEST: Final = 255
# number: shortest, longest value
_URI: Final = (numbers.URI_PATH, numbers.URI_QUERY)
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
_FRAGMENT: Final = Response(numbers.BAD_OPTION, b"block-wise transfer is not supported")
_BLOCK_SIZE: Final = Response(numbers.BAD_REQUEST, b"reserved block size")
_METHOD: Final = Response(numbers.METHOD_NOT_ALLOWED, b"unknown method")

WHOLE_BODY: Final = Response(numbers.CONTINUE)
"""What `request_fault` returns for a request that is fine and carries a Block1 which holds the whole body."""


def request_fault(code: int, options: Options) -> Response | None:
    """Return what a request with these options is refused with, None if it is fine, or `WHOLE_BODY`."""
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
            if fault is WHOLE_BODY:
                result = fault
            elif fault is not None:
                return fault
        previous = number
    return result if code <= numbers.IPATCH else _METHOD


def response_fault(options: Options) -> bool:
    """Tell whether a response cannot be used: a critical option that is not understood, or more blocks to come."""
    previous = 0
    for number, value in options:
        if number & 1:
            if number not in (numbers.BLOCK1, numbers.BLOCK2) or len(value) > 3 or number == previous:
                return True
            if number == numbers.BLOCK2 and (_more(value) or _number(value)):
                return True
        previous = number
    return False


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
    if number not in (numbers.BLOCK1, numbers.BLOCK2):
        return None
    if value and value[-1] & 7 == 7:
        return _BLOCK_SIZE
    if _number(value) or (_more(value) and number == numbers.BLOCK1):
        return _FRAGMENT
    return WHOLE_BODY if number == numbers.BLOCK1 else None


def _number(block: bytes) -> int:
    return int.from_bytes(block, "big") >> 4


def _more(block: bytes) -> bool:
    return bool(block and block[-1] & 8)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
