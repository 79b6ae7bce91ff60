"""What a row has of many records, made smaller: pages that are not written cost more than what finds them superfluous.

RULES: MessagePack has no value that begins with the byte `_MARK`; behind it stands the rest, deflated (RFC 1951). What
is short, or does not become much smaller by it, stays as it is.
"""

from __future__ import annotations

import zlib
from typing import Final

_MARK: Final = b"\xc1"
_SHORT: Final = 1024
_SAMPLE: Final = 2048
_FASTEST: Final = 1
_RAW: Final = -zlib.MAX_WBITS


def squeeze(value: bytes, records: int) -> bytes:
    """MessagePack of so many records, smaller where that is worth the while."""
    if len(value) < _SHORT:
        return value
    # Short records are alike. Long ones may be noise, which takes long and comes to nothing.
    if len(value) > _SHORT * records and not _worth(value[:_SAMPLE]):
        return value
    found = _deflate(value)
    return _MARK + found if 2 * len(found) < len(value) else value


def unsqueeze(value: bytes) -> bytes:
    """What was given to `squeeze`. Raises ``zlib.error`` for what was damaged."""
    return zlib.decompress(value[1:], _RAW) if value[:1] == _MARK else value


def _worth(value: bytes) -> bool:
    return 2 * len(_deflate(value)) < len(value)


def _deflate(value: bytes) -> bytes:
    return zlib.compress(value, _FASTEST, _RAW)
