"""The records of DTLS 1.2 as they travel: RFC 6347 section 4.1, and with a Connection ID RFC 9146 section 4.

RULES: whatever arrives is cut or dropped, and never raises. A record is cut by the lengths that it states itself; what
stands behind a bad one in the same datagram goes with it. All Connection IDs of ours have one length, `CID_LENGTH`, so
that a record of type 25 can be cut before anybody knows whose it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
TLS12_CID: Final = 25

DTLS_1_0: Final = b"\xfe\xff"
DTLS_1_2: Final = b"\xfe\xfd"

HEADER: Final = 13
"""Octets of a header: type, version (2), epoch (2), sequence number (6), length (2)."""
CID_LENGTH: Final = 8
"""Octets of every Connection ID that we give out; it stands between the sequence number and the length."""
CID_HEADER: Final = HEADER + CID_LENGTH

MAX_PLAINTEXT: Final = 1 << 14
MAX_FRAGMENT: Final = MAX_PLAINTEXT + 2048
"""What a record may hold once it is protected (RFC 6347 section 4.1.2.2, RFC 5246 section 6.2.3)."""
MAX_SEQUENCE: Final = (1 << 48) - 1

VERSION: Final = int.from_bytes(DTLS_1_2, "big")
head: Final[Callable[..., tuple[int, int, int, int]]] = struct.Struct(">BHQH").unpack_from
"""Unpacks what every header begins with: type, version, number, and, unless there is a Connection ID, the length."""

_FIRST_HELLO: Final = int.from_bytes(DTLS_1_0, "big")
"""The version that records may have in epoch 0, before it is agreed on."""
_TYPES: Final = frozenset((CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA))
_eight: Final[Callable[..., tuple[int]]] = struct.Struct(">Q").unpack_from


def split(datagram: bytes, cid_length: int = CID_LENGTH) -> tuple[list[bytes], bool]:
    """Return the records of a datagram, each with its header, and whether the datagram was made of nothing else.

    ``cid_length`` is that of the Connection IDs in records of type 25; where it is 0 such records are none.
    """
    records: list[bytes] = []
    start, size = 0, len(datagram)
    while start + HEADER <= size:
        kind, version, numbered, length = head(datagram, start)
        end = start + HEADER + length
        if kind == TLS12_CID and cid_length:
            end = start + HEADER + cid_length
            if end > size:
                break
            length = datagram[end - 2] << 8 | datagram[end - 1]
            end += length
        elif kind not in _TYPES:
            break
        if end > size or length > MAX_FRAGMENT or (version != VERSION and (version != _FIRST_HELLO or numbered >> 48)):
            break
        records.append(datagram[start:end])
        start = end
    return records, start == size > 0


def span(datagram: bytes) -> int:
    """Return where the first record of a datagram ends, if that has no Connection ID; 0 if it begins with no such."""
    if len(datagram) < HEADER:
        return 0
    kind, version, numbered, length = head(datagram)
    end = HEADER + length
    if kind not in _TYPES or end > len(datagram) or length > MAX_FRAGMENT:
        return 0
    return end if version == VERSION or (version == _FIRST_HELLO and not numbered >> 48) else 0


def number(record: bytes) -> int:
    """Return the number of a record that `split` gave: its epoch and, in 48 bits, its sequence number."""
    return _eight(record, 3)[0]


def plain(content_type: int, numbered: int, fragment: bytes, version: bytes = DTLS_1_2) -> bytes:
    """Return the unprotected record of epoch 0 with the sequence number ``numbered``."""
    return bytes((content_type,)) + version + numbered.to_bytes(8, "big") + len(fragment).to_bytes(2, "big") + fragment
