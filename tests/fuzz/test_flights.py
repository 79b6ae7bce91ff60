"""The mutations of DTLS: one seed is one sequence, and most of what is made gets behind the header of a record."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.records import split
from lwm2md.security.dtls.suites import BY_NAME
from tests.fuzz import dtls, flights
from tests.security.dtls.pair import Handshake


class Mutations(SynchronousTestCase):
    """`tests.fuzz.flights` over flights of OpenSSL, and the attack with them."""

    def test_repeatable(self) -> None:
        """The same seed gives the same datagrams, another seed others."""
        seeds = _seeds()
        self.assertEqual(_sequence(1, seeds), _sequence(1, seeds))
        self.assertNotEqual(_sequence(1, seeds), _sequence(2, seeds))

    def test_mixed(self) -> None:
        """Most datagrams are still records, some are not, and few are not changed."""
        seeds = _seeds()
        found = Counter[str]()
        for data in _sequence(3, seeds):
            found["original"] += data in seeds
            found["broken"] += not split(data)[1]
        self.assertLess(found["original"], 200)
        self.assertGreater(found["broken"], 100)
        self.assertLess(found["broken"], 600)

    def test_the_attack(self) -> None:
        """A short attack ends well and says what it did."""
        self.assertRegex(dtls.fuzz(500, Random(1)), r"^\d+ records, \d+ flights, \d+ rows, \d+ at ")


def _seeds() -> list[bytes]:
    shake = Handshake(BY_NAME["PSK-AES128-CCM8"], own_cid=b"SERVERID")
    shake.shake()
    return [datagram for datagram, _ in shake.flights]


def _sequence(seed: int, seeds: list[bytes]) -> list[bytes]:
    random = Random(seed)
    return [flights.mutated(random, random.choice(seeds), seeds) for _ in range(1000)]
