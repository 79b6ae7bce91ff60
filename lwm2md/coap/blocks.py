"""Block options: their value, their sizes, and options without them (RFC 7959 2.1, 2.2).

Rules: a block is a number, a flag whether more follow, and a size exponent SZX; the size is 2 ** (SZX + 4). SZX 7 is
reserved over datagrams; who parses has refused it before. What counts in a transfer is the byte offset, since the
size may change on the way.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from lwm2md.coap import numbers
from lwm2md.coap.message import Options, encode_body, uint

MAX_SZX: Final = 6
"""The exponent of the largest block, 1024 bytes."""
MOST: Final = 1 << 20
"""How many blocks a body may have."""

_SMALLEST: Final = 16
_ANY: Final = b"x"
_PARTS: Final = (numbers.BLOCK1, numbers.BLOCK2, numbers.SIZE1, numbers.SIZE2)


class Block(NamedTuple):
    """The value of a Block1 or Block2 option."""

    number: int
    more: bool
    szx: int

    @property
    def size(self) -> int:
        """The size of a block in bytes."""
        return _SMALLEST << self.szx

    @property
    def offset(self) -> int:
        """Where in the body the block begins."""
        return self.number * (_SMALLEST << self.szx)

    def encode(self) -> bytes:
        """Return the option's value; raise ValueError for a number of more than 20 bits."""
        return encoded(self.number, self.more, self.szx)


def encoded(number: int, more: bool, szx: int) -> bytes:
    """Return the option's value; raise ValueError for a number of more than 20 bits."""
    if number >= MOST:
        raise ValueError("a body of too many blocks")
    return uint(number << 4 | more << 3 | szx)


def parse(value: bytes) -> Block:
    """Return the block that an option's value of 0 to 3 bytes stands for."""
    found = int.from_bytes(value, "big")
    return Block(found >> 4, bool(found & 8), found & 7)


def size_of(szx: int) -> int:
    """Return the size in bytes for a size exponent."""
    return _SMALLEST << szx


def szx_for(size: int) -> int:
    """Return the exponent of the largest block within `size` bytes, -1 if there is none."""
    return min(size.bit_length() - 5, MAX_SZX) if size >= _SMALLEST else -1


def without(options: Options, numbers_: Container[int] = _PARTS) -> Options:
    """Return `options` without those of the given numbers: by default everything about blocks."""
    return tuple([option for option in options if option[0] not in numbers_])


def merged(options: Options, *extra: tuple[int, bytes]) -> Options:
    """Return `options` and `extra` in the order of their numbers."""
    return tuple(sorted((*options, *extra), key=_by_number))


def framed(options: Options, number: int, length: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the value, of that length, of one more option; then a payload follows."""
    found = merged(options, (number, bytes(length)))
    place = max(index for index, option in enumerate(found) if option[0] == number) + 1
    before = encode_body(found[:place], b"")
    whole = encode_body(found, _ANY)
    return before[: len(before) - length], whole[len(before) : -len(_ANY)]


def _by_number(option: tuple[int, bytes]) -> int:
    return option[0]
