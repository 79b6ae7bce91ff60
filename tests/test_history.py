"""Tests of lwm2md.history: what is removed, when, and in which steps."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.history import PAUSE, SWEEP, History
from lwm2md.storage.interface import Batch, StorageError
from lwm2md.storage.memory import MemoryStorage

NOW = 1_767_225_600.0


class SweepTests(SynchronousTestCase):
    """Removing what is too old or too much."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.storage = MemoryStorage()
        self.storage.open()
        self.history = History(self.storage, self.clock, retention=100.0, values=3)

    def add(self, owner: str, *ages: float) -> None:
        """Add values that are so old, in seconds."""
        samples = [(owner, "/3/0/9", round((NOW - age) * 1e6), b"1") for age in ages]
        self.storage.commit(Batch(samples=samples))

    def ages(self, owner: str) -> list[float]:
        """How old the values are that there are."""
        found = self.successResultOf(self.storage.samples(owner, "/3/0/9", 0, 2**62, 5000))
        return [NOW - time / 1e6 for time, _ in found]

    def test_limits(self) -> None:
        """A sweep leaves what is young enough and not too much; the next one comes after a while."""
        self.add("a", 1, 2, 3, 4, 5)
        self.add("b", 99, 100, 101)
        self.history.start()
        self.clock.advance(PAUSE)
        self.assertEqual((self.ages("a"), self.ages("b")), ([3, 2, 1], [99, 100][:1]))
        self.assertEqual(self.history.counters, {"removed": 4, "sweeps": 1})
        self.clock.advance(SWEEP - 1)
        self.assertEqual(self.ages("b"), [99])
        self.clock.advance(1)
        self.assertEqual((self.ages("a"), self.ages("b")), ([], []))

    def test_steps(self) -> None:
        """Much is removed in steps, with a pause after each."""
        self.add("a", *range(1, 9501))
        self.history.start()
        left = []
        for _ in range(2):
            self.clock.advance(PAUSE)
            left.append(len(self.ages("a")))
        self.assertEqual((left, self.history.counters["sweeps"]), ([4500, 3], 1))

    def test_configure(self) -> None:
        """Without a retention everything goes with the next sweep."""
        self.add("a", 0.5)
        self.history.start()
        self.clock.advance(PAUSE)
        self.assertEqual(self.ages("a"), [0.5])
        self.history.configure(0.0, 3)
        self.clock.advance(SWEEP)
        self.assertEqual(self.ages("a"), [])

    def test_stop(self) -> None:
        """When it was stopped nothing is removed any more, and no timer is left."""
        self.add("a", 200)
        self.history.start()
        self.history.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(SWEEP)
        self.assertEqual(self.ages("a"), [200])

    def test_stop_in_between(self) -> None:
        """Neither is it when the storage answers after that."""
        answer: Deferred[tuple[tuple[str, str], int]] = Deferred()
        self.storage.thin = lambda *_: answer  # type: ignore[method-assign]
        self.history.start()
        self.clock.advance(PAUSE)
        self.history.stop()
        answer.callback((("a", "x"), 5))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A sweep that fails is logged, and the next one comes in its time."""
        whole = self.storage.thin
        self.storage.thin = lambda *_: fail(StorageError("full"))  # type: ignore[method-assign]
        self.add("a", 200)
        self.history.start()
        self.clock.advance(PAUSE)
        self.storage.thin = whole  # type: ignore[method-assign]
        self.clock.advance(SWEEP)
        self.assertEqual(self.ages("a"), [])
