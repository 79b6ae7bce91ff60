"""Runs of samples, as a row of the history has them: pieces, one behind the other, each packed.

RULES: the samples of a run are in the order of time, no two of one time. A piece is its length in four bytes and a
MessagePack array of two: the first time and the steps to the others, in microseconds, and the values. So a run is
made longer by what stands behind it, and nobody reads it for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import Final

import msgspec

from lwm2md.storage.interface import Samples

MOST: Final = 880
"""Bytes of a run of more than one sample at most: a page of the database has four such rows, and needs no other."""

_LENGTH: Final = 4

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[list[int], list[bytes]]).decode


Run = tuple[int, int, int, bytes]
"""Samples side by side: the first and the last time, how many there are, and all of them, packed."""


def pack(times: Sequence[int], values: Sequence[bytes]) -> list[Run]:
    """The runs of some samples that are in order: one, where it is not too long."""
    first, count = times[0], len(times)
    piece = _encode(((first, *map(sub, times[1:], times)), values))
    if count == 1 or len(piece) <= MOST - _LENGTH:
        return [(first, times[-1], count, len(piece).to_bytes(_LENGTH, "big") + piece)]
    found: list[Run] = []
    size = max(1, count * MOST // (len(piece) + MOST))
    for start in range(0, count, size):
        found += pack(times[start : start + size], values[start : start + size])
    return found


def unpack(first: int, count: int, value: bytes) -> Samples:
    """The samples of a row; with a count of 0 it is one, as it is."""
    if not count:
        return [(first, value)]
    found: Samples = []
    start = 0
    while start < len(value):
        begin = start + _LENGTH
        start = begin + int.from_bytes(value[start:begin], "big")
        steps, values = _decode(value[begin:start])
        found += zip(accumulate(steps), values, strict=True)
    return found
