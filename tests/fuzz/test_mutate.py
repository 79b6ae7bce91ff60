"""The mutations themselves: one seed is one sequence, and what starts from is sound."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.message import FormatError, decode, encode
from tests.fuzz import mutate, seeds

ALL = [*seeds.strangers(), *seeds.registers(1), *seeds.of_a_registration("abc")]


class Mutations(SynchronousTestCase):
    """`tests.fuzz.mutate` over `tests.fuzz.seeds`."""

    def test_seeds_are_sound(self) -> None:
        """Every seed is a message that decodes to itself."""
        for message in ALL:
            self.assertEqual(decode(encode(message)), message)

    def test_repeatable(self) -> None:
        """The same seed gives the same datagrams, another seed others."""
        self.assertEqual(_sequence(1), _sequence(1))
        self.assertNotEqual(_sequence(1), _sequence(2))

    def test_mixed(self) -> None:
        """Most datagrams are still messages, some are not, some are not changed at all, and all fit in one packet."""
        found = Counter[str]()
        originals = {encode(message) for message in ALL}
        for data in _sequence(3):
            found["original"] += data in originals
            found["too long"] += len(data) > 2000
            try:
                decode(data)
            except FormatError:
                found["broken"] += 1
        self.assertEqual(found["too long"], 0)
        self.assertGreater(found["original"], 50)
        self.assertGreater(found["broken"], 50)
        self.assertLess(found["broken"], 500)


def _sequence(seed: int) -> list[bytes]:
    random = Random(seed)
    return [mutate.mutated(random, random.choice(ALL)) for _ in range(1000)]
