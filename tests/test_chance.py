"""Tests of lwm2md.chance: bytes from the system, none of them twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.chance import PIECE, Chance


class ChanceTests(SynchronousTestCase):
    """Bytes that are drawn in pieces."""

    @given(st.lists(st.integers(0, 600), max_size=60), st.integers(0, 2 * PIECE))
    def test_never_twice(self, sizes: list[int], large: int) -> None:
        """Every call gets as many bytes as it asks for, and no byte of the source is given twice."""
        drawn = bytearray()

        def source(size: int) -> bytes:
            piece = b"".join((len(drawn) + index).to_bytes(4, "big") for index in range(0, size, 4))[:size]
            drawn.extend(bytes(size))
            return piece

        chance = Chance(source)
        given_ = [chance(4 * size) for size in (*sizes, large, *sizes)]
        self.assertEqual([len(each) for each in given_], [4 * size for size in (*sizes, large, *sizes)])
        words = [each[at : at + 4] for each in given_ for at in range(0, len(each), 4)]
        self.assertEqual(len(words), len(set(words)))

    def test_system(self) -> None:
        """The system's bytes differ from call to call, and one call of the system is enough for many."""
        chance = Chance()
        self.assertEqual(len({chance(8) for _ in range(1000)}), 1000)
