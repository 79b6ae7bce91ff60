"""The keys of the maps in a CBOR payload, looked at before a decoder makes dictionaries of them.

Rules: a key may be a number, a string, or an array of up to four ids. The hashes of other arrays can be made to
collide, and a dictionary of such keys takes quadratic time. Whatever is malformed ends the check: the decoder gets no
further than that either, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from lwm2md.lwm2m.nodes import ContentError
from lwm2md.lwm2m.paths import MAX_DEPTH, MAX_ID

DEPTH: Final = 32
"""How deep containers and tags may be nested."""

_UNSIGNED, _, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE, _BREAK = range(9)
"""The major types, and the end of a container without a length."""
_ENDLESS: Final = -1


def check_keys(payload: bytes) -> None:
    """Walk over the items of one payload, in linear time. Raises ContentError for a key that is none of those."""
    frames = [_Frame(1)]
    for major, number in _heads(payload):
        if major == _BREAK:
            frames.pop()
        else:
            opened = frames[-1].take(major, number)
            if opened is not None:
                frames.append(opened)
        while frames and frames[-1].left == 0:
            frames.pop()
        if not 0 < len(frames) <= DEPTH:
            return


@attrs.define
class _Frame:
    """An open container: how many items it still takes (below zero: it has no length), and where it stands."""

    left: int
    is_map: bool = False
    is_key: bool = False
    count: int = 0

    def take(self, major: int, number: int) -> _Frame | None:
        """Take one item, and return the container that it opens."""
        at_key = self.is_map and self.count % 2 == 0
        if (at_key or self.is_key) and major in (_MAP, _TAG):
            raise ContentError("a map has a key that is no id, name or path")
        if major == _TAG:
            return None
        self.count += 1
        self.left -= 1
        if self.is_key and (major != _UNSIGNED or number > MAX_ID or self.count > MAX_DEPTH):
            raise ContentError("a map has an array as a key that is no path")
        if major == _MAP:
            return _Frame(2 * number, is_map=True)
        if major == _ARRAY:
            return _Frame(number, is_key=at_key)
        return _Frame(_ENDLESS) if number == _ENDLESS else None


def _heads(payload: bytes) -> Iterator[tuple[int, int]]:
    """The major type and the value or length of each item, the contents of strings left out."""
    at, end = 0, len(payload)
    while at < end:
        major, low = payload[at] >> 5, payload[at] & 0x1F
        at += 1
        number = low
        if 24 <= low < 28:
            width = 1 << low - 24
            number = int.from_bytes(payload[at : at + width], "big")
            at += width
        elif low == 31:
            number = _ENDLESS
            major = _BREAK if major == _SIMPLE else major
        if major in (_BYTES, _TEXT) and number > 0:
            at += number
        yield major, number
