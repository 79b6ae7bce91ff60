"""The numbers of CoAP as plain integers: types, codes, options, Content-Formats.

Facts from RFC 7252 12, 7641, 7959, 8132, 8613, 9175 and the IANA CoRE registries. Rules: every number is an `int`, so
that the path of a datagram compares integers; text for people is made by `dotted` and `code_name` only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

CON: Final = 0
NON: Final = 1
ACK: Final = 2
RST: Final = 3

EMPTY: Final = 0x00
GET: Final = 0x01
POST: Final = 0x02
PUT: Final = 0x03
DELETE: Final = 0x04
FETCH: Final = 0x05
PATCH: Final = 0x06
IPATCH: Final = 0x07

CREATED: Final = 0x41
DELETED: Final = 0x42
VALID: Final = 0x43
CHANGED: Final = 0x44
CONTENT: Final = 0x45
CONTINUE: Final = 0x5F
BAD_REQUEST: Final = 0x80
UNAUTHORIZED: Final = 0x81
BAD_OPTION: Final = 0x82
FORBIDDEN: Final = 0x83
NOT_FOUND: Final = 0x84
METHOD_NOT_ALLOWED: Final = 0x85
NOT_ACCEPTABLE: Final = 0x86
REQUEST_ENTITY_INCOMPLETE: Final = 0x88
CONFLICT: Final = 0x89
PRECONDITION_FAILED: Final = 0x8C
REQUEST_ENTITY_TOO_LARGE: Final = 0x8D
UNSUPPORTED_CONTENT_FORMAT: Final = 0x8F
UNPROCESSABLE_ENTITY: Final = 0x96
TOO_MANY_REQUESTS: Final = 0x9D
INTERNAL_SERVER_ERROR: Final = 0xA0
NOT_IMPLEMENTED: Final = 0xA1
BAD_GATEWAY: Final = 0xA2
SERVICE_UNAVAILABLE: Final = 0xA3
GATEWAY_TIMEOUT: Final = 0xA4
PROXYING_NOT_SUPPORTED: Final = 0xA5
HOP_LIMIT_REACHED: Final = 0xA8

IF_MATCH: Final = 1
URI_HOST: Final = 3
ETAG: Final = 4
IF_NONE_MATCH: Final = 5
OBSERVE: Final = 6
URI_PORT: Final = 7
LOCATION_PATH: Final = 8
OSCORE: Final = 9
URI_PATH: Final = 11
CONTENT_FORMAT: Final = 12
MAX_AGE: Final = 14
URI_QUERY: Final = 15
HOP_LIMIT: Final = 16
ACCEPT: Final = 17
LOCATION_QUERY: Final = 20
BLOCK2: Final = 23
BLOCK1: Final = 27
SIZE2: Final = 28
PROXY_URI: Final = 35
PROXY_SCHEME: Final = 39
SIZE1: Final = 60
ECHO: Final = 252
NO_RESPONSE: Final = 258
REQUEST_TAG: Final = 292

TEXT: Final = 0
LINK_FORMAT: Final = 40
OPAQUE: Final = 42
CBOR: Final = 60
SENML_JSON: Final = 110
SENML_CBOR: Final = 112
SENML_ETCH_JSON: Final = 320
SENML_ETCH_CBOR: Final = 322
TLV: Final = 11542
JSON: Final = 11543
LWM2M_CBOR: Final = 11544

_NAMES: Final = {
    EMPTY: "Empty",
    GET: "GET",
    POST: "POST",
    PUT: "PUT",
    DELETE: "DELETE",
    FETCH: "FETCH",
    PATCH: "PATCH",
    IPATCH: "iPATCH",
    CREATED: "Created",
    DELETED: "Deleted",
    VALID: "Valid",
    CHANGED: "Changed",
    CONTENT: "Content",
    CONTINUE: "Continue",
    BAD_REQUEST: "Bad Request",
    UNAUTHORIZED: "Unauthorized",
    BAD_OPTION: "Bad Option",
    FORBIDDEN: "Forbidden",
    NOT_FOUND: "Not Found",
    METHOD_NOT_ALLOWED: "Method Not Allowed",
    NOT_ACCEPTABLE: "Not Acceptable",
    REQUEST_ENTITY_INCOMPLETE: "Request Entity Incomplete",
    CONFLICT: "Conflict",
    PRECONDITION_FAILED: "Precondition Failed",
    REQUEST_ENTITY_TOO_LARGE: "Request Entity Too Large",
    UNSUPPORTED_CONTENT_FORMAT: "Unsupported Content-Format",
    UNPROCESSABLE_ENTITY: "Unprocessable Entity",
    TOO_MANY_REQUESTS: "Too Many Requests",
    INTERNAL_SERVER_ERROR: "Internal Server Error",
    NOT_IMPLEMENTED: "Not Implemented",
    BAD_GATEWAY: "Bad Gateway",
    SERVICE_UNAVAILABLE: "Service Unavailable",
    GATEWAY_TIMEOUT: "Gateway Timeout",
    PROXYING_NOT_SUPPORTED: "Proxying Not Supported",
    HOP_LIMIT_REACHED: "Hop Limit Reached",
}
_CLASSES: Final = {2: "Success", 3: "Reserved", 4: "Client Error", 5: "Server Error"}
_DOTTED: Final = re.compile(r"([0-7])\.([0-2][0-9]|3[01])", re.ASCII)


@lru_cache(maxsize=256)
def dotted(code: int) -> str:
    """Return a code as people write it: 0x45 as `"2.05"`."""
    return f"{code >> 5}.{code & 0x1F:02d}"


def parse_dotted(text: str) -> int:
    """Return the code that `text`, such as `"2.05"`, names; raise ValueError for anything else."""
    match = _DOTTED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no CoAP code such as 2.05")
    return int(match[1]) << 5 | int(match[2])


def is_request(code: int) -> bool:
    """Tell whether `code` is a method, known or not (class 0 without Empty)."""
    return 0 < code < 0x20


def is_response(code: int) -> bool:
    """Tell whether `code` is of a response (classes 2 to 5)."""
    return 0x40 <= code < 0xC0


def is_success(code: int) -> bool:
    """Tell whether `code` is of class 2."""
    return 0x40 <= code < 0x60


def code_name(code: int) -> str:
    """Return the registered name of a code; an unknown response code has the name of its class."""
    return _NAMES.get(code) or _CLASSES.get(code >> 5, "Unknown")
