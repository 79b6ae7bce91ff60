"""Secrets at rest: sealed, opened, and not opened."""

from __future__ import annotations

import contextlib
from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.sealing import Seal, SealError

KEY = "an operator's secret of some length"


class SealTests(SynchronousTestCase):
    """Rows with a key and without."""

    def setUp(self) -> None:
        self._numbers = count(1)

    def random(self, size: int) -> bytes:
        """Bytes that never repeat."""
        return next(self._numbers).to_bytes(size, "big")

    def seal(self, key: str | None = KEY) -> Seal:
        """A seal under a key."""
        return Seal(key, self.random)

    @given(st.binary(max_size=200), st.text(max_size=20))
    def test_there_and_back(self, data: bytes, name: str) -> None:
        """What was sealed opens again, with a key and without."""
        for seal in (Seal(KEY, bytes), Seal(None, bytes)):
            self.assertEqual(seal.open(seal.seal(data, name), name), data)

    def test_hidden(self) -> None:
        """A sealed row shows nothing of its data, and two of the same data differ."""
        seal = self.seal()
        rows = [seal.seal(b"secret-key-material", "a") for _ in range(2)]
        self.assertNotEqual(*rows)
        for row in rows:
            self.assertNotIn(b"secret", row)
            self.assertTrue(seal.is_sealed(row))

    def test_swapped(self) -> None:
        """A row does not open under another name: nobody gives a device the key of another."""
        seal = self.seal()
        self.assertRaises(SealError, seal.open, seal.seal(b"data", "a"), "b")

    def test_other_key(self) -> None:
        """A row does not open with another key, or without one, and the error says nothing of it."""
        row = self.seal().seal(b"secret", "a")
        for seal in (self.seal("another secret of some length"), self.seal(None)):
            error = self.assertRaises(SealError, seal.open, row, "a")
            self.assertNotIn("secret", str(error).replace("secret-key", ""))

    def test_plain_rows(self) -> None:
        """Rows from before there was a key open with one, and say that they are plain."""
        row = self.seal(None).seal(b"data", "a")
        self.assertEqual(self.seal().open(row, "a"), b"data")
        self.assertFalse(self.seal().is_sealed(row))

    @given(st.binary(max_size=60))
    def test_any_bytes(self, row: bytes) -> None:
        """Any bytes open, or raise SealError."""
        seal = Seal(KEY, bytes)
        with contextlib.suppress(SealError):
            seal.open(row)

    def test_damaged(self) -> None:
        """A bit that changed anywhere in a row is noticed."""
        seal = self.seal()
        row = seal.seal(b"data", "a")
        for place in range(1, len(row)):
            damaged = bytearray(row)
            damaged[place] ^= 1
            self.assertRaises(SealError, seal.open, bytes(damaged), "a")
