"""Guards: who may begin a handshake."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.guards import Bucket, GuardLimits, HandshakeGuard, Strangers


def guard(limits: GuardLimits, trusted: Callable[[bytes], bool] = lambda _: False) -> HandshakeGuard:
    """Return a guard to which the first octet of an address is its source."""
    return HandshakeGuard(limits, source=lambda address: address[:1], trusted=trusted)


def limits(**changes: float) -> GuardLimits:
    """Return wide limits, but for these."""
    values = {"half_open": 1000, "half_open_source": 1000, "rate": 1e6, "rate_source": 1e6, "burst": 1.0}
    return GuardLimits(**{**values, **changes})  # type: ignore[arg-type]


class BucketTests(SynchronousTestCase):
    """Tokens."""

    def test_tokens_come_back(self) -> None:
        """So many at once, and then as many as come back in the time."""
        bucket = Bucket(2.0, 3.0)
        self.assertEqual([bucket.take(0.0) for _ in range(4)], [True, True, True, False])
        self.assertFalse(bucket.take(0.4))
        self.assertTrue(bucket.take(0.5))
        self.assertFalse(bucket.take(0.6))
        self.assertEqual([bucket.take(100.0) for _ in range(4)], [True, True, True, False])

    def test_a_clock_that_goes_back(self) -> None:
        """An earlier time gives nothing and takes nothing."""
        bucket = Bucket(1.0, 1.0)
        self.assertTrue(bucket.take(100.0))
        self.assertFalse(bucket.take(50.0))
        self.assertTrue(bucket.take(101.0))


class HalfOpenTests(SynchronousTestCase):
    """Handshakes that have begun and not ended."""

    def test_overall(self) -> None:
        """Strangers get three quarters, those who are known the rest; an end makes room."""
        one = guard(limits(half_open=4))
        self.assertEqual([one.admit(bytes((index,)), 0.0) for index in range(4)], [None, None, None, "half_open"])
        self.assertIsNone(one.admit(b"k", 0.0, known=True))
        self.assertEqual(one.admit(b"l", 0.0, known=True), "half_open")
        one.release(b"k")
        self.assertEqual(one.admit(b"m", 0.0), "half_open")
        one.release(b"\0")
        self.assertIsNone(one.admit(b"m", 0.0))
        self.assertEqual((one.half_open, one.counters["half_open"]), (3, 3))

    def test_of_one_source(self) -> None:
        """One source has its own limit, which does not concern others."""
        one = guard(limits(half_open_source=2))
        self.assertEqual(
            [one.admit(b"a" + bytes((index,)), 0.0) for index in range(3)], [None, None, "half_open_source"]
        )
        self.assertIsNone(one.admit(b"b", 0.0))
        one.release(b"a\0")
        self.assertIsNone(one.admit(b"a", 0.0))

    def test_an_end_too_many(self) -> None:
        """What was never admitted is not released."""
        one = guard(limits())
        one.release(b"a")
        one.admit(b"a", 0.0)
        one.release(b"a")
        one.release(b"a")
        self.assertEqual(one.half_open, 0)


class RateTests(SynchronousTestCase):
    """Handshakes in a second."""

    def test_overall(self) -> None:
        """Beyond the rate nobody new begins; the last quarter is for those who are known."""
        one = guard(limits(rate=8.0))
        outcomes = [one.admit(bytes((index,)), 0.0) for index in range(8)]
        self.assertEqual(outcomes, [None] * 7 + ["rate"])
        self.assertIsNone(one.admit(b"k", 0.0, known=True))
        self.assertEqual(one.admit(b"l", 0.0, known=True), "rate")
        self.assertIsNone(one.admit(b"m", 1.0))

    def test_of_one_source(self) -> None:
        """One source has its own rate; a refusal costs nobody a token."""
        one = guard(limits(rate_source=2.0))
        self.assertEqual([one.admit(b"a", 0.0) for _ in range(3)], [None, None, "rate_source"])
        self.assertIsNone(one.admit(b"b", 0.0))
        self.assertIsNone(one.admit(b"a", 0.5))
        self.assertEqual(one.admit(b"a", 0.5), "rate_source")
        self.assertEqual(one.half_open, 4)

    def test_trusted_ones_are_spared(self) -> None:
        """Nothing limits who is trusted."""
        one = guard(limits(half_open=1, half_open_source=1, rate=1.0, rate_source=1.0), lambda address: address == b"t")
        self.assertEqual([one.admit(b"t", 0.0) for _ in range(100)], [None] * 100)
        self.assertEqual(one.admit(b"a", 0.0), "half_open")

    def test_trust_is_asked_for_when_it_matters(self) -> None:
        """While there is enough for all nobody is asked about; then those who are trusted cost strangers nothing."""
        asked: list[bytes] = []

        def trusted(address: bytes) -> bool:
            asked.append(address)
            return address == b"t"

        one = guard(limits(rate=8.0), trusted)
        self.assertEqual([one.admit(b"t", 0.0) for _ in range(5)], [None] * 5)
        self.assertEqual(asked, [])
        self.assertEqual([one.admit(b"t", 0.0) for _ in range(20)], [None] * 20)
        self.assertEqual([one.admit(b"a", 0.0) for _ in range(3)], [None, None, "rate"])

    def test_challenges(self) -> None:
        """Hellos without a cookie have a rate of their own."""
        one = guard(limits(challenges=2.0))
        self.assertEqual([one.challenge(0.0) for _ in range(3)], [True, True, False])
        self.assertTrue(one.challenge(1.0))
        self.assertEqual(one.counters["challenges"], 1)

    def test_sources_are_bounded(self) -> None:
        """However many sources there are, a bounded number is remembered."""
        one = HandshakeGuard(limits(sources=10, half_open=1e9), source=lambda address: address, trusted=lambda _: False)
        for index in range(1000):
            address = index.to_bytes(4, "big")
            one.admit(address, 0.0)
            one.release(address)
        self.assertLessEqual(len(one._rates), 20)
        self.assertEqual(one._half_open, {})


class StrangerTests(SynchronousTestCase):
    """Records of sessions that nobody has."""

    def test_who_they_are(self) -> None:
        """They are counted by address, and the oldest make room."""
        strangers = Strangers(limit=2)
        for now, address in enumerate((b"a", b"b", b"a", b"c")):
            strangers.heard(address, float(now))
        found = {address: (each.first, each.last, each.count) for address, each in strangers.known.items()}
        self.assertEqual(found, {b"a": (0.0, 2.0, 2), b"c": (3.0, 3.0, 1)})

    def test_who_is_told(self) -> None:
        """Each is told once in a while, and not too many in a second."""
        strangers = Strangers(pause=60.0, rate=2.0)
        self.assertEqual(
            [strangers.tell(address, 0.0) for address in (b"a", b"a", b"b", b"c")], [True, False, True, False]
        )
        self.assertTrue(strangers.tell(b"c", 1.0))
        self.assertFalse(strangers.tell(b"a", 30.0))
        self.assertTrue(strangers.tell(b"a", 200.0))
