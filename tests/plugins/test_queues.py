"""Tests of lwm2md.plugins.queues: what waits for a plugin, what is dropped, and what is not lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.delivery import Delivery
from lwm2md.events import Event
from lwm2md.plugins.plugin import Plugin
from lwm2md.plugins.queues import AHEAD, AHEAD_BYTES, BATCH, BEHIND, CURSORS, Cursor, Queue
from lwm2md.server.effects import Commit
from lwm2md.storage.interface import StorageError
from lwm2md.storage.memory import MemoryStorage
from lwm2md.subscriptions import Delivered


class QueueTestCase(SynchronousTestCase):
    """A delivery whose events go to one handler, which the test answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage()
        self.storage.open()
        self.delivery = self.deliver()
        self.plugin = Plugin("p")
        self.batches: list[tuple[str, ...]] = []
        self.answers: list[Deferred[None]] = []
        self.answering = True

    def deliver(self) -> Delivery:
        """A delivery on the storage, as of a daemon that starts."""
        delivery = Delivery(self.storage, self.clock)
        delivery.start()
        return delivery

    def handle(self, events: Sequence[Delivered]) -> Deferred[Any]:
        """Take a batch, and answer at once or when the test does."""
        self.batches.append(tuple(event.endpoint or event.type for event in events))
        if self.answering:
            return succeed(None)
        self.answers.append(Deferred())
        return self.answers[-1]

    def happen(self, *endpoints: str, stored: bool = True) -> None:
        """Let events happen."""
        events = tuple(Event("device.value", 0.0, each, stored=stored) for each in endpoints)
        self.delivery.submit((Commit((), events),))
        self.clock.advance(0.1)


class QueueTests(QueueTestCase):
    """The queue that drops its oldest."""

    def queue(self, most: int = 1000) -> Queue:
        """A queue for the handler."""
        return Queue(self.delivery, self.plugin, ("device.*",), self.handle, most)

    def test_one_batch_at_a_time(self) -> None:
        """While a batch is handled events wait, and come together afterwards, in order."""
        self.answering = False
        self.queue()
        self.happen("a")
        self.happen("b", "c")
        self.assertEqual(self.batches, [("a",)])
        self.answers[0].callback(None)
        self.assertEqual(self.batches, [("a",), ("b", "c")])

    def test_drops_the_oldest(self) -> None:
        """What it has no room for is dropped, the oldest first, and counted; the source is not held up."""
        self.answering = False
        self.queue(3)
        self.happen(*"abcdefg")
        self.answers[0].callback(None)
        self.happen("h")
        self.happen(*"ijkl")
        self.answers[1].callback(None)
        self.answers[2].callback(None)
        self.assertEqual(self.batches, [("e", "f", "g"), ("h",), ("j", "k", "l")])
        counters = self.plugin.counters
        self.assertEqual((counters["events"], counters["events_dropped"]), (7, 5))

    def test_batches_are_bounded(self) -> None:
        """A handler gets no more than so many at once."""
        self.answering = False
        self.queue()
        for number in range(3 * BATCH):
            self.happen(str(number))
        for answer in self.answers:
            answer.callback(None)
        self.assertEqual([len(batch) for batch in self.batches], [1, BATCH, BATCH, BATCH - 1])

    def test_failure(self) -> None:
        """A batch whose handler fails is lost and counted, and the next one comes."""
        self.answering = False
        self.queue()
        self.happen("a")
        self.answers[0].errback(ValueError())
        self.happen("b")
        self.answers[1].callback(None)
        self.assertEqual((self.plugin.counters["events"], self.plugin.counters["events_dropped"]), (1, 1))

    def test_closed(self) -> None:
        """After its end nothing comes."""
        self.answering = False
        queue = self.queue()
        self.happen("a")
        closed = queue.close()
        self.happen("b")
        self.assertNoResult(closed)
        queue.cancel()
        self.successResultOf(closed)
        self.assertEqual((self.batches, self.delivery.readers), ([("a",)], 0))


class CursorTests(QueueTestCase):
    """The cursor over what was stored."""

    def cursor(self) -> Cursor:
        """A cursor for the handler."""
        return Cursor(
            self.delivery,
            self.storage,
            self.clock,
            plugin=self.plugin,
            key="p/events",
            types=("device.*",),
            handle=self.handle,
        )

    def stored(self) -> bytes | None:
        """Where the stored cursor is."""
        return self.successResultOf(self.storage.get(CURSORS, "p/events"))

    def seen(self) -> list[str]:
        """All endpoints of all batches."""
        return [each for batch in self.batches for each in batch]

    def test_new(self) -> None:
        """A new cursor begins with what happens from now on, and is written at once."""
        self.happen("before")
        self.cursor()
        self.assertIsNotNone(self.stored())
        self.happen("a", "b")
        self.assertEqual(self.seen(), ["a", "b"])

    def test_survives(self) -> None:
        """What happened while nobody was there comes when the cursor is taken up, once and in order."""
        cursor = self.cursor()
        self.happen("a")
        cursor.close()
        self.happen(*"bcd")
        self.delivery = self.deliver()
        self.happen("e")
        self.cursor()
        self.clock.pump([0.1] * 20)
        self.happen("f")
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.seen(), list("abcdef"))

    def test_long_replay(self) -> None:
        """Far more than one batch comes, each event once, in order, while more happens."""
        self.cursor().close()
        names = [str(number) for number in range(1000)]
        self.happen(*names)
        self.cursor()
        for number in range(1000, 1100):
            self.happen(str(number))
        self.clock.pump([0.1] * 200)
        self.assertEqual(self.seen(), [str(number) for number in range(1100)])

    def test_gathers(self) -> None:
        """While a handler is at work its next batch is gathered, which has a bound in events and in bytes."""
        self.answering = False
        self.cursor()
        self.happen("a")
        self.happen("b")
        self.happen("c")
        self.answers[0].callback(None)
        self.assertEqual(self.batches, [("a",), ("b", "c")])
        for bound, size in ((AHEAD, 1), (AHEAD_BYTES // 10_000, 10_000)):
            self.answers[-1].callback(None)
            self.batches.clear()
            self.happen("first")
            self.happen(*("x" * size for _ in range(2 * bound)))
            self.answers[-1].callback(None)
            self.assertLessEqual(bound - 10, len(self.batches[1]))
            self.assertLess(len(self.batches[1]), bound + 100)
            while len(self.seen()) <= 2 * bound:
                self.answers[-1].callback(None)
                self.clock.advance(0.1)

    def test_repeats(self) -> None:
        """A batch whose handler fails comes again, later each time; what comes after waits; the cursor stays."""
        self.answering = False
        self.cursor()
        self.clock.advance(BEHIND)
        before = self.stored()
        self.happen("a")
        moments = []
        for _ in range(4):
            self.answers[-1].errback(ValueError())
            count, began = len(self.batches), self.clock.seconds()
            while len(self.batches) == count:
                self.clock.advance(0.5)
            moments.append(round(self.clock.seconds() - began, 6))
        self.happen("b")
        self.assertEqual((self.seen(), moments, self.stored()), (["a"] * 5, [1.0, 2.0, 4.0, 8.0], before))
        self.answering = True
        self.answers[-1].callback(None)
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.seen()[5:], ["b"])
        self.assertNotEqual(self.stored(), before)

    def test_too_slow(self) -> None:
        """What a handler is too slow for is read from the log when it is ready: nothing that was stored is lost."""
        self.answering = False
        self.cursor()
        for number in range(3000):
            self.happen(str(number))
        self.answering = True
        self.answers[0].callback(None)
        self.clock.pump([0.1] * 200)
        self.assertEqual(self.seen(), [str(number) for number in range(3000)])

    def test_trimmed(self) -> None:
        """Where the log does not go back far enough a gap is told first."""
        self.cursor().close()
        self.happen(*"abc")
        self.storage.trim("events", 1)
        self.delivery = self.deliver()
        self.cursor()
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.seen(), ["gap", "c"])

    def test_unreadable(self) -> None:
        """A storage that fails is asked again."""
        get, self.storage.get = self.storage.get, lambda *_: fail(StorageError("no"))  # type: ignore[method-assign]
        self.cursor()
        self.happen("a")
        self.storage.get = get  # type: ignore[method-assign]
        self.clock.advance(1.0)
        self.happen("b")
        self.assertEqual(self.seen(), ["b"])

    def test_closed_while_handling(self) -> None:
        """What a handler is at when it is closed moves the cursor if it ends well, and comes again if not."""
        self.answering = False
        cursor = self.cursor()
        self.happen("a", "b")
        closed = cursor.close()
        self.assertNoResult(closed)
        self.answers[0].callback(None)
        self.successResultOf(closed)
        self.happen("c")
        for _ in range(2):
            cursor = self.cursor()
            self.clock.pump([0.1] * 20)
            cursor.close()
            cursor.cancel()
        self.assertEqual(self.batches, [("a", "b"), ("c",), ("c",)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
