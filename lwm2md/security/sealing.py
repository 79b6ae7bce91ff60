"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) under a key that the operator keeps somewhere else.

RULES: a sealed row opens only under the name that it was sealed for, so that nobody swaps rows. Without a key rows are
stored plain and say so in their first byte; with one, plain rows still open, so that a store can be taken over. What
does not open raises `SealError`, whose text holds nothing of the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PLAIN: Final = b"\x00"
_SEALED: Final = b"\x01"
_NONCE: Final = 12
_PERSON: Final = b"lwm2md at rest"
SHORTEST: Final = 16
"""Characters of a key at least."""


class SealError(ValueError):
    """A row that can't be opened: sealed under another key, for another name, or damaged."""


class Seal:
    """Seals and opens rows under ``key``, the operator's text of `SHORTEST` characters or more; None stores them plain.

    ``random(size)`` gives unguessable bytes.
    """

    __slots__ = ("_aead", "_random")

    def __init__(self, key: str | None, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._aead = None if key is None else AESGCM(_derived(key))

    @property
    def active(self) -> bool:
        """Whether rows are encrypted."""
        return self._aead is not None

    @staticmethod
    def is_sealed(row: bytes) -> bool:
        """Whether a row is encrypted."""
        return row[:1] == _SEALED

    def seal(self, data: bytes, name: str = "") -> bytes:
        """The row that stands for ``data`` in the storage, under ``name``."""
        if self._aead is None:
            return _PLAIN + data
        nonce = self._random(_NONCE)
        return _SEALED + nonce + self._aead.encrypt(nonce, data, name.encode())

    def open(self, row: bytes, name: str = "") -> bytes:
        """What was sealed. Raises SealError."""
        if row[:1] == _PLAIN:
            return row[1:]
        if self._aead is None or row[:1] != _SEALED:
            raise SealError("sealed with a key that is not configured ([security] credentials-key)")
        try:
            return self._aead.decrypt(row[1 : 1 + _NONCE], row[1 + _NONCE :], name.encode())
        except (InvalidTag, ValueError):
            raise SealError("sealed with another key, or damaged") from None


def _derived(key: str) -> bytes:
    """The cipher's key: the operator's has as much chance in it as a file of random bytes, so that one hash will do."""
    return hashlib.blake2b(key.encode(), digest_size=32, person=_PERSON).digest()
