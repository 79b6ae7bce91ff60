"""How a record is sealed and opened: one function for each direction of a session, made while that is in use.

RULES: what could be done when the function is made is done then: these are on the way of every message. Sources: RFC
5246 section 6.2.3.3 and RFC 6347 section 4.1.2.1 for the additional data; RFC 6655 section 3 and RFC 5288 section 3 for
nonces with a part in the record, for which we send the record's number; RFC 7905 section 2 for those without; RFC 9146
section 5 for records with a Connection ID. Numbers are those of records with their epoch in front, 64 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from lwm2md.security.dtls.records import CID_HEADER, CID_LENGTH, HEADER, MAX_PLAINTEXT, TLS12_CID, VERSION
from lwm2md.security.dtls.suites import Suite

Open = Callable[[bytes, int], tuple[int, bytes] | None]
"""Takes a whole record and its number; returns content type and plaintext, None if it is malformed. Raises InvalidTag
if it is not authentic.
"""
Seal = Callable[[int, int, bytes], bytes]
"""Takes a number, a content type and plaintext; returns the record."""

_MAX_PADDING: Final = 256
_CID_MARK: Final = b"\xff" * 8 + bytes((TLS12_CID,))
_head: Final = struct.Struct(">BHQH").pack
_head_explicit: Final = struct.Struct(">BHQHQ").pack
_head_cid: Final = struct.Struct(">BHQ").pack
_data: Final = struct.Struct(">QBHH").pack
_nonce: Final = struct.Struct(">4sQ").pack
_two: Final = struct.Struct(">H").pack
_eight: Final = struct.Struct(">Q").pack


def opener(suite: Suite, key: bytes, iv: bytes, *, cid: bool) -> Open:
    """Return what opens records sealed with a key; ``cid`` says whether they have a Connection ID of ours."""
    assert suite.aead is not None
    decrypt = suite.aead(key).decrypt
    explicit, overhead = bool(suite.explicit), suite.overhead
    start = CID_HEADER if cid else HEADER
    body = start + suite.explicit
    front = start + overhead
    added = int.from_bytes(iv, "big")

    def open_plain(record: bytes, number: int) -> tuple[int, bytes] | None:
        size = len(record) - front
        if not 0 <= size <= MAX_PLAINTEXT:
            return None
        kind = record[0]
        nonce = iv + record[HEADER:body] if explicit else (added ^ number).to_bytes(12, "big")
        return kind, decrypt(nonce, record[body:], _data(number, kind, VERSION, size))

    mark = _CID_MARK + bytes((CID_LENGTH,))

    def open_cid(record: bytes, number: int) -> tuple[int, bytes] | None:
        size = len(record) - front
        if not 0 < size <= MAX_PLAINTEXT + _MAX_PADDING:
            return None
        nonce = iv + record[CID_HEADER:body] if explicit else (added ^ number).to_bytes(12, "big")
        inner = decrypt(nonce, record[body:], mark + record[: CID_HEADER - 2] + _two(size))
        if not inner[-1]:
            inner = inner.rstrip(b"\0")
            if not inner:
                return None
        return inner[-1], inner[:-1]

    return open_cid if cid else open_plain


def sealer(suite: Suite, key: bytes, iv: bytes, cid: bytes) -> Seal:
    """Return what seals records with a key, for a peer that wants this Connection ID in them, empty for none."""
    assert suite.aead is not None
    encrypt = suite.aead(key).encrypt
    explicit, overhead = bool(suite.explicit), suite.overhead
    added = int.from_bytes(iv, "big")

    def seal_plain(number: int, kind: int, plaintext: bytes) -> bytes:
        size = len(plaintext)
        data = _data(number, kind, VERSION, size)
        if explicit:
            head = _head_explicit(kind, VERSION, number, size + overhead, number)
            return head + encrypt(_nonce(iv, number), plaintext, data)
        nonce = (added ^ number).to_bytes(12, "big")
        return _head(kind, VERSION, number, size + overhead) + encrypt(nonce, plaintext, data)

    mark = _CID_MARK + bytes((len(cid),))

    def seal_cid(number: int, kind: int, plaintext: bytes) -> bytes:
        inner = plaintext + bytes((kind,))
        size = len(inner)
        head = _head_cid(TLS12_CID, VERSION, number) + cid
        data = mark + head + _two(size)
        if explicit:
            eight = _eight(number)
            return head + _two(size + overhead) + eight + encrypt(iv + eight, inner, data)
        nonce = (added ^ number).to_bytes(12, "big")
        return head + _two(size + overhead) + encrypt(nonce, inner, data)

    return seal_cid if cid else seal_plain
