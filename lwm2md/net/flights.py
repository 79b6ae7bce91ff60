"""The way out of a handshake: OpenSSL's records packed into datagrams, and the last flight once more.

RULES: what is sent again has new record numbers (RFC 6347 section 4.2.4), which those of epoch 0 are just given and
those of epoch 1 sealed for. OpenSSL numbers its own records of epoch 1 from 0, ours begin with `AGAIN`, and those of
the session to come with `session.FIRST`: no number serves twice with one key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag

from lwm2md.security.dtls.ciphers import Open, Seal, opener, sealer
from lwm2md.security.dtls.crossing import Crossing
from lwm2md.security.dtls.records import HEADER, head, number, plain, split
from lwm2md.security.dtls.session import EPOCH_1, FIRST
from lwm2md.security.dtls.suites import Suite

AGAIN: Final = EPOCH_1 + 32


class Flights:
    """What one end of a handshake sends, in datagrams of at most ``mtu`` bytes where records allow it."""

    __slots__ = ("_ciphers", "_crossing", "_keys", "_mtu", "_next", "_sealed", "last")

    def __init__(self, crossing: Crossing, mtu: int) -> None:
        self.last = b""
        """The flight that was sent last, as OpenSSL wrote it."""
        self._crossing = crossing
        self._mtu = mtu
        self._next: int | None = None
        self._sealed = AGAIN
        self._keys: tuple[Suite, bytes] | None = None
        self._ciphers: tuple[Seal, Open] | None = None

    def know(self, suite: Suite, keys: bytes) -> None:
        """Take the keys of the handshake (`session.own_keys`), without which no record of epoch 1 is sent again."""
        if suite.aead is not None:
            self._keys = suite, keys

    def first(self, written: bytes) -> list[bytes]:
        """Return what OpenSSL wrote as datagrams, and keep it."""
        self.last = written
        begins = number(written)
        if self._next is None:
            self._next = begins
        if not self._crossing.cid and len(written) <= self._mtu and begins == self._next:
            self._next = _behind(written, begins)
            return [written]
        return self._packed(self._numbered(record) for record in split(written, 0)[0])

    def again(self) -> list[bytes]:
        """Return the last flight under new numbers."""
        return self._packed(self._numbered(record, sealed=True) for record in split(self.last, 0)[0])

    def alert(self, content_type: int, fragment: bytes) -> bytes:
        """Return a record of epoch 0 that is ours alone."""
        numbered, self._next = self._next or 0, (self._next or 0) + 1
        return plain(content_type, numbered, fragment)

    def _numbered(self, record: bytes, *, sealed: bool = False) -> bytes:
        if number(record) < EPOCH_1:
            assert self._next is not None
            numbered, self._next = self._next, self._next + 1
            return record[:3] + numbered.to_bytes(8, "big") + record[11:]
        if not sealed or self._keys is None:
            return record
        if self._ciphers is None:
            suite, keys = self._keys
            key, iv = keys[: suite.key_length], keys[2 * suite.key_length :][: suite.iv_length]
            self._ciphers = sealer(suite, key, iv, b""), opener(suite, key, iv, cid=False)
        seal, unseal = self._ciphers
        try:
            opened = unseal(record, number(record))
        except InvalidTag:
            # A hello was forged, and we have read another one than OpenSSL.
            opened = None
        if opened is None or self._sealed >= FIRST:
            return b""
        self._sealed += 1
        return seal(self._sealed - 1, *opened)

    def _packed(self, records: Iterable[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for record in records:
            data = self._crossing.outgoing(record) if record else b""
            if not data:
                continue
            if found and len(found[-1]) + len(data) <= self._mtu:
                found[-1] += data
            else:
                found.append(data)
        return found


def _behind(records: bytes, first: int) -> int:
    """The number behind that of the last record of epoch 0; ``first`` is that of the first."""
    at = 0
    while at < len(records):
        _, _, numbered, length = head(records, at)
        if numbered < EPOCH_1:
            first = numbered + 1
        at += HEADER + length
    return first
