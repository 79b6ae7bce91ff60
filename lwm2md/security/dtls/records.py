"""The records of DTLS 1.2 as they travel: RFC 6347 section 4.1, and with a Connection ID RFC 9146 section 4.

RULES: whatever arrives is cut or dropped, and never raises. A record is cut by the lengths that it states itself; what
stands behind a bad one in the same datagram goes with it. All Connection IDs of ours have one length, `CID_LENGTH`, so
that a record of type 25 can be cut before anybody knows whose it is.
"""

from __future__ import annotations

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

_FIRST_HELLO: Final = DTLS_1_0 + b"\0\0"
"""How the version and the epoch may be, too: before the versions are agreed on."""
_TYPES: Final = frozenset((CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, TLS12_CID))


def split(datagram: bytes, cid_length: int = CID_LENGTH) -> tuple[list[bytes], bool]:
    """Return the records of a datagram, each with its header, and whether the datagram was made of nothing else.

    ``cid_length`` is that of the Connection IDs in records of type 25; where it is 0 such records are none.
    """
    records: list[bytes] = []
    start, size = 0, len(datagram)
    while start < size:
        kind = datagram[start]
        end = start + HEADER + (cid_length if kind == TLS12_CID else 0)
        if kind not in _TYPES or end > size or (kind == TLS12_CID and not cid_length):
            return records, False
        version = datagram[start + 1 : start + 5]
        length = int.from_bytes(datagram[end - 2 : end], "big")
        end += length
        if end > size or length > MAX_FRAGMENT or (version[:2] != DTLS_1_2 and version != _FIRST_HELLO):
            return records, False
        records.append(datagram[start:end])
        start = end
    return records, bool(records)


def number(record: bytes) -> int:
    """Return the number of a record that `split` gave: its epoch and, in 48 bits, its sequence number."""
    return int.from_bytes(record[3:11], "big")


def plain(content_type: int, numbered: int, fragment: bytes, version: bytes = DTLS_1_2) -> bytes:
    """Return the unprotected record of epoch 0 with the sequence number ``numbered``."""
    return bytes((content_type,)) + version + numbered.to_bytes(8, "big") + len(fragment).to_bytes(2, "big") + fragment
