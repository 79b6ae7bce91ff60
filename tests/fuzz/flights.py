"""Seeds and mutations of DTLS: records of sessions, flights of handshakes as OpenSSL writes them.

RULES: everything is drawn from the given `random.Random`. Most mutations keep the headers of records whole, since most
random damage dies there; a header that is changed is one that another record might have.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from lwm2md.security.dtls.records import CID_HEADER, HEADER, TLS12_CID, split
from tests.fuzz import mutate

_TYPES: Final = (20, 21, 22, 23, 24, 25, 26, 0, 255)
_NUMBERS: Final = (0, 1, 63, 64, 65, 1 << 47, (1 << 48) - 1)
_LENGTHS: Final = (0, 1, 7, 8, 15, 16, 1 << 14, (1 << 14) + 2048, (1 << 14) + 2049, 65535)


def mutated(random: Random, datagram: bytes, others: list[bytes]) -> bytes:
    """A datagram changed in one way, perhaps with help of another one."""
    records, _ = split(datagram)
    if not records or not random.randrange(8):
        return mutate.raw(random, datagram)
    index = random.randrange(len(records))
    record = random.choice(_WAYS)(random, records[index], random.choice(others))
    return b"".join((*records[:index], record, *records[index + 1 :]))


def _fragment(random: Random, record: bytes, _other: bytes) -> bytes:
    """What it holds, with a length that fits."""
    start = _start(record)
    fragment = mutate.raw(random, record[start:])
    return record[: start - 2] + len(fragment).to_bytes(2, "big") + fragment


def _type(random: Random, record: bytes, _other: bytes) -> bytes:
    return bytes((random.choice(_TYPES),)) + record[1:]


def _version(random: Random, record: bytes, _other: bytes) -> bytes:
    return record[:1] + random.choice((b"\xfe\xff", b"\xfe\xfc", b"\x03\x03", b"\0\0")) + record[3:]


def _number(random: Random, record: bytes, _other: bytes) -> bytes:
    epoch = random.choice((0, 1, 1, 2, 65535))
    return record[:3] + epoch.to_bytes(2, "big") + random.choice(_NUMBERS).to_bytes(6, "big") + record[11:]


def _length(random: Random, record: bytes, _other: bytes) -> bytes:
    start = _start(record)
    return record[: start - 2] + random.choice(_LENGTHS).to_bytes(2, "big") + record[start:]


def _head(_random: Random, record: bytes, other: bytes) -> bytes:
    """Another one's header before this one's fragment."""
    return other[: _start(other)] + record[_start(record) :] if other else record


def _behind(_random: Random, record: bytes, other: bytes) -> bytes:
    return record + other


def _before(_random: Random, record: bytes, other: bytes) -> bytes:
    return other + record


def _short(random: Random, record: bytes, _other: bytes) -> bytes:
    return record[: random.randint(0, len(record))]


def _message(random: Random, record: bytes, _other: bytes) -> bytes:
    """A handshake message's lengths, offset or number, or a piece of it alone."""
    if len(record) < HEADER + 12 or record[0] != 22:
        return record
    at = HEADER + random.choice((0, 1, 3, 4, 5, 6, 8, 9, 11))
    return record[:at] + bytes((random.choice((0, 1, 2, 3, 14, 16, 20, 255)),)) + record[at + 1 :]


def _cid(random: Random, record: bytes, _other: bytes) -> bytes:
    if record[0] != TLS12_CID:
        return record[:1].replace(b"\x17", b"\x19") + record[1:11] + random.randbytes(8) + record[11:]
    return record[:11] + random.randbytes(8) + record[CID_HEADER - 2 :]


def _start(record: bytes) -> int:
    return CID_HEADER if record[:1] == bytes((TLS12_CID,)) else HEADER


_WAYS: Final[tuple[Callable[[Random, bytes, bytes], bytes], ...]] = (
    _fragment,
    _fragment,
    _fragment,
    _type,
    _version,
    _number,
    _length,
    _head,
    _behind,
    _before,
    _short,
    _message,
    _message,
    _cid,
)
