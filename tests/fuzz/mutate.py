"""Mutations of a datagram: bytes, options, header, payload.

RULES: everything is drawn from the given `random.Random`, so a seed names one sequence. Some mutations keep the frame
whole and spoil what is in it, since most random damage dies in the decoder of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from lwm2md.coap.message import Message, encode, encode_body

_NUMBERS: Final = (
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
    12,
    14,
    15,
    16,
    17,
    20,
    23,
    27,
    28,
    35,
    39,
    60,
    252,
    258,
    292,
    65000,
    65535,
)
_CODES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 0x41, 0x44, 0x45, 0x5F, 0x60, 0x80, 0x84, 0x88, 0xA0, 0xE1, 0xFF)
_BYTES: Final = (
    0,
    1,
    0x0D,
    0x0E,
    0x0F,
    0x1F,
    0x22,
    0x2C,
    0x3B,
    0x3C,
    0x3E,
    0x7F,
    0x80,
    0xC0,
    0xD0,
    0xE0,
    0xF0,
    0xFE,
    0xFF,
)
_WORDS: Final = (
    b"\x00", b"\xff" * 8, b"65535", b"-1", b"1e400", b"99999999999999999999", b"</", b">;", b"%2F", b'"', b"\\",
    b"\xc3\x28", b"</3/0>,", b"NaN", b"\xed\xa0\x80", b"=", b"&", b"ep=", b"lt=",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"/" * 9,
)  # fmt: skip
_LONGEST: Final = 1400

Change = Callable[[Random, bytearray], None]


def raw(random: Random, data: bytes) -> bytes:
    """One to four changes of bytes anywhere."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_CHANGES)(random, changed)
    return bytes(changed[:_LONGEST])


def options(random: Random, message: Message) -> bytes:
    """An option dropped, doubled, changed or added; in the order of numbers, so that the frame stays whole."""
    found = list(message.options)
    how = random.randrange(4)
    index = random.randrange(len(found)) if found else 0
    if how == 0 and found:
        del found[index]
    elif how == 1 and found:
        found.insert(index, found[index])
    elif how == 2 and found:
        number, value = found[index]
        found[index] = (number, raw(random, value))
    else:
        found.append((random.choice(_NUMBERS), random.randbytes(random.choice((0, 1, 2, 3, 4, 8, 9, 13, 255, 270)))))
    found.sort(key=lambda option: option[0])
    return _whole(message, tuple(found), message.payload)


def payload(random: Random, message: Message) -> bytes:
    """The payload changed, the rest as it was."""
    return _whole(message, message.options, raw(random, message.payload or random.choice(_WORDS)))


def header(random: Random, message: Message) -> bytes:
    """Another type, code, message ID, or token of any length that the nibble can say."""
    data = bytearray(encode(message))
    how = random.randrange(3)
    if how == 0:
        data[0] = data[0] & 0xCF | random.randrange(4) << 4
    elif how == 1:
        data[1] = random.choice(_CODES)
    else:
        data[0] = data[0] & 0xF0 | random.randrange(16)
    return bytes(data)


def mutated(random: Random, message: Message) -> bytes:
    """The message changed in one way, or, one time in ten, as it is."""
    way = random.randrange(10)
    if message.code and way > 6:
        return options(random, message)
    if message.code and way > 3:
        return payload(random, message)
    if way > 2:
        return header(random, message)
    return raw(random, encode(message)) if way else encode(message)


def _whole(message: Message, options_: tuple[tuple[int, bytes], ...], payload_: bytes) -> bytes:
    head = bytes((0x40 | message.type << 4 | len(message.token), message.code))
    return head + message.mid.to_bytes(2, "big") + message.token + encode_body(options_, payload_)


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_BYTES)


def _insert(random: Random, data: bytearray) -> None:
    where = random.randint(0, len(data))
    data[where:where] = random.choice(_WORDS)


def _random(random: Random, data: bytearray) -> None:
    where = random.randint(0, len(data))
    data[where:where] = random.randbytes(random.randint(1, 16))


def _delete(random: Random, data: bytearray) -> None:
    where = random.randint(0, len(data))
    del data[where : where + random.randint(1, 8)]


def _truncate(random: Random, data: bytearray) -> None:
    del data[random.randint(0, len(data)) :]


def _double(random: Random, data: bytearray) -> None:
    where = random.randint(0, len(data))
    data[where:where] = data[where : where + random.randint(1, 64)] * random.choice((1, 1, 2, 20))


_CHANGES: Final[tuple[Change, ...]] = (_flip, _flip, _set, _set, _insert, _random, _delete, _truncate, _double)
