"""CoAP messages as people read them: names of options, their values, the payload, and a whole message in one line.

Rules: whatever a peer sent can be shown, and never raises; what a terminal would not print is escaped, so that a
message cannot begin a line of its own. Names are those of RFC 7252, 7641, 7959, 8516 and the IANA CoRE registries.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message

TYPES: Final = ("CON", "NON", "ACK", "RST")
LONGEST: Final = 512
"""Characters of a payload in a line; what is beyond is counted only."""

_UINT: Final = "uint"
_TEXT: Final = "text"
_HEX: Final = "hex"
_BLOCK: Final = "block"
_FORMAT: Final = "format"
_LARGEST_UINT: Final = 8
_LARGEST_BLOCK: Final = 3
_OPTIONS: Final = {
    n.IF_MATCH: ("If-Match", _HEX),
    n.URI_HOST: ("Uri-Host", _TEXT),
    n.ETAG: ("ETag", _HEX),
    n.IF_NONE_MATCH: ("If-None-Match", _HEX),
    n.OBSERVE: ("Observe", _UINT),
    n.URI_PORT: ("Uri-Port", _UINT),
    n.LOCATION_PATH: ("Location-Path", _TEXT),
    n.OSCORE: ("OSCORE", _HEX),
    n.URI_PATH: ("Uri-Path", _TEXT),
    n.CONTENT_FORMAT: ("Content-Format", _FORMAT),
    n.MAX_AGE: ("Max-Age", _UINT),
    n.URI_QUERY: ("Uri-Query", _TEXT),
    n.HOP_LIMIT: ("Hop-Limit", _UINT),
    n.ACCEPT: ("Accept", _FORMAT),
    n.LOCATION_QUERY: ("Location-Query", _TEXT),
    n.BLOCK2: ("Block2", _BLOCK),
    n.BLOCK1: ("Block1", _BLOCK),
    n.SIZE2: ("Size2", _UINT),
    n.PROXY_URI: ("Proxy-Uri", _TEXT),
    n.PROXY_SCHEME: ("Proxy-Scheme", _TEXT),
    n.SIZE1: ("Size1", _UINT),
    n.ECHO: ("Echo", _HEX),
    n.NO_RESPONSE: ("No-Response", _UINT),
    n.REQUEST_TAG: ("Request-Tag", _HEX),
}
_FORMATS: Final = {
    n.TEXT: "text",
    n.LINK_FORMAT: "link-format",
    n.OPAQUE: "opaque",
    n.CBOR: "cbor",
    n.SENML_JSON: "senml-json",
    n.SENML_CBOR: "senml-cbor",
    n.SENML_ETCH_JSON: "senml-etch-json",
    n.SENML_ETCH_CBOR: "senml-etch-cbor",
    n.TLV: "tlv",
    n.JSON: "json",
    n.LWM2M_CBOR: "lwm2m-cbor",
}
_BINARY: Final = frozenset({n.OPAQUE, n.CBOR, n.SENML_CBOR, n.SENML_ETCH_CBOR, n.TLV, n.LWM2M_CBOR})
_WHITE: Final = frozenset("\t\n\r")
_IN_PLACE: Final = frozenset({n.URI_PATH, n.URI_QUERY, n.LOCATION_PATH, n.LOCATION_QUERY, n.CONTENT_FORMAT})


def plain(text: str) -> str:
    """Return `text` on one line, with what a terminal would not print written as escapes."""
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text])


def option_name(number: int) -> str:
    """Return the registered name of an option, or `Option-65000`."""
    known = _OPTIONS.get(number)
    return known[0] if known else f"Option-{number}"


def option_value(number: int, value: bytes) -> str:
    """Return an option's value by its format: a number, text, a Content-Format's name, `1/m/64` for blocks, or hex."""
    kind = _OPTIONS.get(number, ("", _HEX))[1]
    if kind == _TEXT:
        return plain(value.decode("utf-8", "replace"))
    if kind == _BLOCK and len(value) <= _LARGEST_BLOCK:
        block = _number(value)
        return f"{block >> 4}/{'m' if block & 8 else '-'}/{16 << (block & 7)}"
    if kind == _HEX or len(value) > _LARGEST_UINT:
        return value.hex()
    return format_name(_number(value)) if kind == _FORMAT else str(_number(value))


def format_name(content_format: int) -> str:
    """Return the name of a Content-Format, or its number as text."""
    return _FORMATS.get(content_format) or str(content_format)


def code_text(code: int) -> str:
    """Return a code as people know it: `GET`, `2.05 Content`, `Empty`."""
    if code == n.EMPTY or n.POST <= code <= n.IPATCH or code == n.GET:
        return n.code_name(code)
    return f"{n.dotted(code)} {n.code_name(code)}"


def payload_text(message: Message) -> str | None:
    """Return the payload as the text that it is, or None where it is none."""
    if message.content_format in _BINARY:
        return None
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in _WHITE for c in text) else None


def line(message: Message, *, hidden: bool = False) -> str:
    """Return a message in one line; with `hidden` its payload is counted but not shown.

    Such as `CON POST /rd?ep=a&lt=60 #4711 token=0a [link-format] </1/0>,</3/0>` and `ACK 2.05 Content #7 [text] 21.5`.
    """
    words = [TYPES[message.type], code_text(message.code)]
    if n.is_request(message.code):
        words.append(_uri(message, n.URI_PATH, n.URI_QUERY))
    words.append(f"#{message.mid}")
    if message.token:
        words.append(f"token={message.token.hex()}")
    if message.get(n.LOCATION_PATH) is not None or message.get(n.LOCATION_QUERY) is not None:
        words.append(f"Location={_uri(message, n.LOCATION_PATH, n.LOCATION_QUERY)}")
    response = not n.is_request(message.code)
    for number, value in message.options:
        if number not in _IN_PLACE or (response and number in (n.URI_PATH, n.URI_QUERY)):
            shown = option_value(number, value)
            words.append(f"{option_name(number)}={shown}" if shown else option_name(number))
    words += [f"[{option_value(n.CONTENT_FORMAT, value)}]" for value in message.all(n.CONTENT_FORMAT)]
    if message.payload:
        words.append(f"({len(message.payload)} bytes, not shown)" if hidden else _payload(message))
    return " ".join(words)


def shortened(text: str, size: int) -> str:
    """Return `text` for a line; where it is too long for one, its beginning and the `size` in bytes."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({size} bytes)"


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _uri(message: Message, path: int, query: int) -> str:
    segments = [plain(each.decode("utf-8", "replace")).replace("/", "%2F") for each in message.all(path)]
    arguments = [plain(each.decode("utf-8", "replace")) for each in message.all(query)]
    return "/" + "/".join(segments) + ("?" + "&".join(arguments) if arguments else "")


def _payload(message: Message) -> str:
    text = payload_text(message)
    return shortened(message.payload.hex() if text is None else plain(text), len(message.payload))
