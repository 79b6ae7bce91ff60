"""One CoAP message over UDP: the record, its strict decoder, its encoder (RFC 7252 3, 5.10, 7641 2).

Rules: a datagram either decodes into a `Message` that encodes to the same meaning, or raises `FormatError` and nothing
else. The decoder knows the frame only; what an option may hold, and which are understood, is decided in `options`.
Values of options stay bytes; the typed accessors compute on each call, because most are asked for once or never, and
treat an elective option of a wrong length as absent (RFC 7252 5.4.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from lwm2md.coap import numbers

Options = tuple[tuple[int, bytes], ...]
"""Options in the order of their numbers, each with its raw value."""

MAX_TOKEN: Final = 8
_VERSION: Final = 1
_CONTENT_FORMAT: Final = numbers.CONTENT_FORMAT  # asked for with every value that a device sends
_MARKER: Final = 0xFF
_HEADER: Final = 4
_ONE_BYTE: Final = 13
_TWO_BYTES: Final = 14
_BASE_TWO: Final = 269
_MAX_NUMBER: Final = 0xFFFF


class FormatError(ValueError):
    """A datagram that is no CoAP message; `str()` says why.

    `type` and `mid` are those of the datagram, or None where nothing may be answered (too short, other version).
    """

    def __init__(self, reason: str, type: int | None = None, mid: int | None = None) -> None:  # noqa: A002
        super().__init__(reason)
        self.type = type
        self.mid = mid


class Message(msgspec.Struct, gc=False):
    """A CoAP message: `type` and `code` from `numbers`, `mid` 0..65535, `token` of 0 to 8 bytes."""

    type: int
    code: int
    mid: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""

    def get(self, number: int) -> bytes | None:
        """Return the value of the first option `number`, or None."""
        for found, value in self.options:
            if found == number:
                return value
        return None

    def all(self, number: int) -> tuple[bytes, ...]:
        """Return the values of every option `number`."""
        return tuple([value for found, value in self.options if found == number])

    @property
    def path(self) -> tuple[str, ...]:
        """Uri-Path, segment by segment; the root is `()`, also when written as one empty segment."""
        path = tuple([value.decode("utf-8", "replace") for number, value in self.options if number == numbers.URI_PATH])
        return () if path == ("",) else path

    @property
    def query(self) -> tuple[str, ...]:
        """Uri-Query, argument by argument."""
        return tuple(
            [value.decode("utf-8", "replace") for number, value in self.options if number == numbers.URI_QUERY]
        )

    @property
    def location(self) -> tuple[str, ...]:
        """Location-Path, segment by segment."""
        return tuple(value.decode("utf-8", "replace") for value in self.all(numbers.LOCATION_PATH))

    @property
    def content_format(self) -> int | None:
        """Content-Format, or None."""
        for number, value in self.options:
            if number == _CONTENT_FORMAT:
                return int.from_bytes(value, "big") if len(value) <= 2 else None
        return None

    @property
    def accept(self) -> int | None:
        """Accept, or None."""
        return self._uint(numbers.ACCEPT, 2)

    @property
    def observe(self) -> int | None:
        """Observe: 0 and 1 in a request, the 24-bit sequence number in a response, or None."""
        return self._uint(numbers.OBSERVE, 3)

    @property
    def max_age(self) -> int | None:
        """Max-Age in seconds, or None."""
        return self._uint(numbers.MAX_AGE, 4)

    def _uint(self, number: int, longest: int) -> int | None:
        for found, value in self.options:
            if found == number:
                return int.from_bytes(value, "big") if len(value) <= longest else None
        return None


def decode(data: bytes) -> Message:
    """Return the message that the datagram `data` holds; raise FormatError where it holds none."""
    end = len(data)
    if end < _HEADER:
        raise FormatError("shorter than a header")
    first = data[0]
    if first >> 6 != _VERSION:
        raise FormatError("another version of CoAP")
    code = data[1]
    position = _HEADER + (first & 0x0F)
    if not (0 < code < 0x20 or 0x40 <= code < 0xC0) or position > _HEADER + MAX_TOKEN:
        _check_head(data)
    token = data[_HEADER:position]
    options = []
    number = 0
    payload = b""
    try:
        while position < end:
            byte = data[position]
            if byte == _MARKER:
                payload = data[position + 1 :]
                break
            delta = byte >> 4
            length = byte & 0x0F
            position += 1
            if delta >= _ONE_BYTE:
                delta, position = _extended(data, delta, position)
            # Of the extended ones the most frequent: a segment of a path that is an ID.
            if length == _ONE_BYTE:
                length = data[position] + _ONE_BYTE
                position += 1
            elif length > _ONE_BYTE:
                length, position = _extended(data, length, position)
            number += delta
            start = position
            position += length
            options.append((number, data[start:position]))
    except IndexError:
        raise _broken(data, "an option overruns the datagram") from None
    if position >= end and (position > end or number > _MAX_NUMBER):
        raise _broken(data, "the token or an option overruns the datagram")
    if position < end and (not payload or number > _MAX_NUMBER):
        raise _broken(data, "a payload marker without a payload, or an option number beyond 65535")
    return Message(first >> 4 & 3, code, data[2] << 8 | data[3], token, tuple(options), payload)


def encode(message: Message) -> bytes:
    """Return the datagram of `message`; raise ValueError for a field out of range or options out of order."""
    token = message.token
    if len(token) > MAX_TOKEN:
        raise ValueError("a token has 0 to 8 bytes")
    if message.code == numbers.EMPTY and (token or message.options or message.payload):
        raise ValueError("an Empty message has nothing but a header")
    head = bytes((_VERSION << 6 | message.type << 4 | len(token), message.code, message.mid >> 8, message.mid & 0xFF))
    return head + token + encode_body(message.options, message.payload)


def encode_body(options: Options, payload: bytes) -> bytes:
    """Return what follows the token: options, and the payload behind its marker."""
    out = bytearray()
    previous = 0
    for number, value in options:
        delta = number - previous
        length = len(value)
        previous = number
        if 0 <= delta < _ONE_BYTE and length < _ONE_BYTE:
            out.append(delta << 4 | length)
        elif 0 <= delta < _ONE_BYTE and length < _BASE_TWO:
            # Of the extended ones the most frequent: a name that is a segment of a path.
            out.append(delta << 4 | _ONE_BYTE)
            out.append(length - _ONE_BYTE)
        else:
            delta_nibble, delta_bytes = _nibble(delta)
            length_nibble, length_bytes = _nibble(length)
            out.append(delta_nibble << 4 | length_nibble)
            out += delta_bytes
            out += length_bytes
        out += value
    if payload:
        out.append(_MARKER)
        out += payload
    return bytes(out)


def uint(value: int) -> bytes:
    """Return an option's unsigned integer in as few bytes as it takes; 0 takes none."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def parse_uint(value: bytes) -> int:
    """Return the unsigned integer of an option; leading zero bytes are accepted."""
    return int.from_bytes(value, "big")


def options(
    *,
    path: Iterable[str] = (),
    query: Iterable[str] = (),
    content_format: int | None = None,
    accept: int | None = None,
    observe: int | None = None,
    max_age: int | None = None,
    location: Iterable[str] = (),
    extra: Iterable[tuple[int, bytes]] = (),
) -> Options:
    """Return options in order; those that have no argument of their own come in `extra`."""
    found = [(numbers.URI_PATH, segment.encode()) for segment in path]
    found += [(numbers.URI_QUERY, argument.encode()) for argument in query]
    found += [(numbers.LOCATION_PATH, segment.encode()) for segment in location]
    integers = (
        (numbers.CONTENT_FORMAT, content_format),
        (numbers.ACCEPT, accept),
        (numbers.OBSERVE, observe),
        (numbers.MAX_AGE, max_age),
    )
    found += [(number, uint(value)) for number, value in integers if value is not None]
    found += extra
    # Stable, so repeated options such as the segments of a path keep their order.
    found.sort(key=_by_number)
    return tuple(found)


def _by_number(option: tuple[int, bytes]) -> int:
    return option[0]


def _broken(data: bytes, reason: str) -> FormatError:
    return FormatError(reason, data[0] >> 4 & 3, data[2] << 8 | data[3])


def _check_head(data: bytes) -> None:
    """Refuse what cannot be: long tokens, reserved code classes, an Empty message with anything in it."""
    code = data[1]
    if data[0] & 0x0F > MAX_TOKEN:
        raise _broken(data, "a token of more than 8 bytes")
    if code == numbers.EMPTY:
        if len(data) > _HEADER or data[0] & 0x0F:
            raise _broken(data, "an Empty message with more than a header")
    elif not (numbers.is_request(code) or numbers.is_response(code)):
        raise _broken(data, "a code of a reserved class")


def _extended(data: bytes, nibble: int, position: int) -> tuple[int, int]:
    """Return the value of an extended delta or length, and the position behind its bytes."""
    if nibble == _ONE_BYTE:
        return data[position] + _ONE_BYTE, position + 1
    if nibble == _TWO_BYTES:
        return (data[position] << 8 | data[position + 1]) + _BASE_TWO, position + 2
    raise _broken(data, "a reserved option delta or length of 15")


def _nibble(value: int) -> tuple[int, bytes]:
    """Return the nibble and the extension bytes of a delta or length."""
    if value < 0:
        raise ValueError("options out of order")
    if value < _ONE_BYTE:
        return value, b""
    if value < _BASE_TWO:
        return _ONE_BYTE, bytes((value - _ONE_BYTE,))
    if value - _BASE_TWO > _MAX_NUMBER:
        raise ValueError("an option is too long")
    return _TWO_BYTES, (value - _BASE_TWO).to_bytes(2, "big")
