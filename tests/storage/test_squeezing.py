"""Tests of lwm2md.storage._squeezing."""

from __future__ import annotations

import zlib
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.storage._squeezing import squeeze, unsqueeze

TOLD = b'{"id":"%016d","type":"device.value","endpoint":"sensor-%d","values":[{"path":"/3303/0/5700","value":%f}]}'


class SqueezingTests(SynchronousTestCase):
    """What is made smaller, and what is not."""

    @given(st.lists(st.binary(max_size=3000), max_size=20))
    def test_round_trip(self, values: list[bytes]) -> None:
        """What was squeezed comes back as it was."""
        value = msgspec.msgpack.encode(values)
        self.assertEqual(unsqueeze(squeeze(value, len(values))), value)

    def test_events(self) -> None:
        """Two hundred events of a value each take a fifth of their room at most."""
        chance = Random(7)
        events = [TOLD % (number, chance.randrange(1000), chance.uniform(15, 25)) for number in range(200)]
        value = msgspec.msgpack.encode(events)
        self.assertLess(5 * len(squeeze(value, 200)), len(value))
        self.assertEqual(unsqueeze(squeeze(value, 200)), value)

    def test_noise(self) -> None:
        """What does not become smaller, or is short anyway, stays as it is."""
        chance = Random(7)
        noise = msgspec.msgpack.encode([chance.randbytes(1000) for _ in range(100)])
        for value in (noise, noise[:3000], msgspec.msgpack.encode([b"a" * 500])):
            self.assertTrue(squeeze(value, 2) is value)

    def test_noise_behind(self) -> None:
        """Where only the beginning becomes smaller it stays as it is, too."""
        value = msgspec.msgpack.encode([b"a" * 3000, Random(7).randbytes(50_000)])
        self.assertTrue(squeeze(value, 2) is value)

    def test_damaged(self) -> None:
        """What was damaged is not taken for something else."""
        value = squeeze(msgspec.msgpack.encode([b"a" * 5000]), 1)
        self.assertRaises(zlib.error, unsqueeze, value[:-1])
