"""Tests of lwm2md.coap.blocks: the value of a block option."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, framed, merged, parse, size_of, szx_for, without
from lwm2md.coap.message import encode_body

VECTORS = {
    "": Block(0, False, 0),
    "0e": Block(0, True, 6),
    "16": Block(1, False, 6),
    "014a": Block(20, True, 2),
    "0c": Block(0, True, 4),
    "4c": Block(4, True, 4),
    "b4": Block(11, False, 4),
    "fffffe": Block(0xFFFFF, True, 6),
}


class BlockTests(SynchronousTestCase):
    """Block options and sizes."""

    def test_vectors(self) -> None:
        """Number, more and size stand in the value as the vectors show."""
        for value, block in VECTORS.items():
            self.assertEqual(parse(bytes.fromhex(value)), block)
            self.assertEqual(block.encode().hex(), value)

    def test_leading_zeros(self) -> None:
        """Zero bytes in front change nothing."""
        self.assertEqual(parse(bytes.fromhex("00000e")), Block(0, True, 6))

    @given(st.integers(0, (1 << 20) - 1), st.booleans(), st.integers(0, 7))
    def test_round_trip(self, number: int, more: bool, szx: int) -> None:
        """Each block survives encoding, in at most three bytes."""
        block = Block(number, more, szx)
        self.assertLessEqual(len(block.encode()), 3)
        self.assertEqual(parse(block.encode()), block)
        self.assertEqual(block.offset, number * block.size)

    def test_too_many(self) -> None:
        """A number of more than 20 bits can't be sent."""
        with self.assertRaises(ValueError):
            Block(1 << 20, False, 0).encode()

    def test_sizes(self) -> None:
        """Sizes are 16 to 1024, and the exponent for a size is the largest within it."""
        self.assertEqual([size_of(szx) for szx in range(7)], [16, 32, 64, 128, 256, 512, 1024])
        found = [szx_for(size) for size in (0, 15, 16, 31, 32, 1023, 1024, 100_000)]
        self.assertEqual(found, [-1, -1, 0, 0, 1, 5, 6, 6])

    def test_options(self) -> None:
        """Options are put in their place, and what is about blocks is taken out."""
        found = merged(((11, b"rd"), (60, b"")), (27, b"\x0e"), (23, b""))
        self.assertEqual([number for number, _ in found], [11, 23, 27, 60])
        self.assertEqual(without(found), ((11, b"rd"),))
        self.assertEqual(without(found, (numbers.SIZE1,)), found[:3])


class FrameTests(SynchronousTestCase):
    """Options that are encoded once, around a value that changes."""

    @given(
        st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=20)), max_size=6),
        st.binary(min_size=1, max_size=3),
        st.binary(min_size=1, max_size=20),
    )
    def test_same_as_encoding(self, others: list[tuple[int, bytes]], value: bytes, payload: bytes) -> None:
        """What stands before and behind, with value and payload, is what encoding all of it gives."""
        found = merged(tuple(others))
        before, behind = framed(found, numbers.BLOCK1, len(value))
        whole = encode_body(merged(found, (numbers.BLOCK1, value)), payload)
        self.assertEqual(before + value + behind + payload, whole)
