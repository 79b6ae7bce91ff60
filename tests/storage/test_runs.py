"""Tests of lwm2md.storage._runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.storage._runs import MOST, Run, pack, unpack
from lwm2md.storage.interface import Samples

TIMES = st.integers(-(1 << 62), 1 << 62)


def packed(samples: dict[int, bytes]) -> list[Run]:
    """The runs of samples."""
    times, values = zip(*sorted(samples.items()), strict=True)
    return pack(times, values)


def unpacked(run: Run) -> Samples:
    """The samples of a run."""
    first, _, count, value = run
    return unpack(first, count, value)


class RunTests(SynchronousTestCase):
    """Samples, packed and unpacked."""

    @given(st.dictionaries(TIMES, st.binary(max_size=300), min_size=1, max_size=60))
    def test_round_trip(self, samples: dict[int, bytes]) -> None:
        """All that is packed is unpacked, in order; and no run of several samples is longer than it may be."""
        runs = packed(samples)
        self.assertEqual([each for run in runs for each in unpacked(run)], sorted(samples.items()))
        for run in runs:
            self.assertTrue(run[2] == 1 or len(run[3]) <= MOST)
            self.assertEqual(len(unpacked(run)), run[2])
            self.assertEqual(unpacked(run)[-1][0], run[1])

    @given(st.lists(st.dictionaries(TIMES, st.binary(max_size=20), min_size=1, max_size=5), min_size=1, max_size=5))
    def test_longer(self, parts: list[dict[int, bytes]]) -> None:
        """A run with another behind it has the samples of both."""
        runs = [run for part in parts for run in packed(part)]
        expected = [each for run in runs for each in unpacked(run)]
        value = b"".join(run[3] for run in runs)
        self.assertEqual(unpack(runs[0][0], len(expected), value), expected)

    def test_as_it_is(self) -> None:
        """A row that an older version wrote is one sample, whatever its value is."""
        self.assertEqual(unpack(7, 0, b"\x00\x00\x00\x00"), [(7, b"\x00\x00\x00\x00")])
        self.assertEqual(unpack(7, 0, b""), [(7, b"")])

    def test_dense(self) -> None:
        """A short value every ten seconds takes nine bytes, not a row of its own."""
        runs = packed({10_000_000 * number: b"21.5" for number in range(1000)})
        self.assertLess(sum(len(run[3]) for run in runs) / 1000, 12)
        self.assertLess(len(runs), 16)
