"""Tests of lwm2md.delivery and lwm2md.subscriptions."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lwm2md import delivery as delivery_module
from lwm2md.delivery import Delivery
from lwm2md.events import Event
from lwm2md.gathering import GATHER, PATIENCE
from lwm2md.lwm2m.rows import Heading
from lwm2md.lwm2m.values import Value
from lwm2md.server.effects import Commit, Told, Write
from lwm2md.storage.interface import LAST, Append, Batch, Place, Rows, Samples, Storage, StorageError
from lwm2md.storage.memory import MemoryStorage
from lwm2md.storage.sqlite import SQLiteStorage
from lwm2md.subscriptions import Delivered, Filter, Subscription

_T = TypeVar("_T")


class SlowStorage:
    """A storage in memory that answers only when it is told to, in order, and can be told to fail."""

    def __init__(self, memory: MemoryStorage) -> None:
        self.memory = memory
        self.slow = False
        self.failing = False
        self.batches: list[Batch] = []
        self.waiting: deque[Callable[[], None]] = deque()

    def open(self) -> Deferred[None]:
        return self.memory.open()

    def close(self) -> Deferred[None]:
        return self.memory.close()

    def commit(self, batch: Batch) -> Deferred[bool]:
        self.batches.append(batch)
        if self.failing:
            return self._later(lambda: cast("Deferred[bool]", _failure()))
        return self._later(lambda: self.memory.commit(batch))

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        return self._later(lambda: self.memory.get(table, key))

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        return self._later(lambda: self.memory.scan(table, after, limit))

    def read(self, log: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        return self._later(lambda: self.memory.read(log, after, limit))

    def trim(self, log: str, keep: int) -> Deferred[str]:
        return self._later(lambda: self.memory.trim(log, keep))

    def names(self, owner: str, start: str = "", end: str = LAST, limit: int = 1000) -> Deferred[list[str]]:
        return self._later(lambda: self.memory.names(owner, start, end, limit))

    def samples(self, owner: str, name: str, start: int, end: int, limit: int = 1000) -> Deferred[Samples]:
        return self._later(lambda: self.memory.samples(owner, name, start, end, limit))

    def thin(self, after: Place, before: int, keep: int, limit: int = 1000) -> Deferred[tuple[Place, int]]:
        return self._later(lambda: self.memory.thin(after, before, keep, limit))

    def step(self) -> bool:
        """Carry out and answer the oldest thing asked; False when there is none."""
        if not self.waiting:
            return False
        self.waiting.popleft()()
        return True

    def run(self) -> None:
        """Answer everything."""
        while self.step():
            pass

    def _later(self, work: Callable[[], Deferred[_T]]) -> Deferred[_T]:
        if not self.slow:
            return work()
        answer: Deferred[_T] = Deferred()

        def carry_out() -> None:
            work().chainDeferred(answer)

        self.waiting.append(carry_out)
        return answer


def _failure() -> Deferred[Any]:
    answer: Deferred[Any] = Deferred()
    answer.errback(Failure(StorageError("the disk is full")))
    return answer


def event(number: int = 0, **changes: Any) -> Event:
    """Return a stored event that carries a number."""
    return Event(**{"type": "device.value", "time": 1.0, "endpoint": "e", "fields": {"n": number}, **changes})


def number(delivered: Delivered) -> object:
    """Return the number that an event carries, or its type."""
    document = msgspec.json.decode(delivered.document)
    assert document["id"] == delivered.id
    assert document["type"] == delivered.type
    return document.get("n", delivered.type)


class Reader:
    """Collects what is pushed to it."""

    def __init__(
        self, delivery: Delivery, after: str | None = None, wanted: Filter | None = None, limit: int = 1000
    ) -> None:
        self.seen: list[Delivered] = []
        self.reasons: list[str] = []
        self.subscription: Subscription = delivery.subscribe(
            wanted or Filter(), after, self.seen.extend, limit, self.reasons.append
        )

    @property
    def numbers(self) -> list[object]:
        return [number(delivered) for delivered in self.seen]


class DeliveryTestCase(SynchronousTestCase):
    """A started Delivery on a storage that the test controls."""

    def setUp(self) -> None:
        self.storage = SlowStorage(MemoryStorage())
        self.successResultOf(self.storage.open())
        self.clock = task.Clock()
        self.clock.advance(1000)
        self.resumed: list[tuple[object, bool, float]] = []
        self.delivery = self.started()

    def started(self, keep: int = 100_000) -> Delivery:
        """Return another Delivery on the same storage, as after a restart."""
        delivery = Delivery(self.storage, self.clock, keep)
        self.successResultOf(delivery.start())
        return delivery

    def commit(self, name: object, *events: Event, write: str | None = None) -> Commit:
        """Return a Commit that notes its outcome under a name."""
        writes = (Write("devices", write, b"x"),) if write else ()
        return Commit(writes, events, lambda ok, now: self.resumed.append((name, ok, now)))


class CommitTests(DeliveryTestCase):
    """Effects become durable in groups, in order."""

    def test_durable_then_resumed_then_delivered(self) -> None:
        """Nobody is resumed before the rows are written, and readers come after that."""
        order: list[str] = []
        self.delivery.subscribe(Filter(), None, lambda _: order.append("reader"))
        self.delivery.on_settled = lambda: order.append("settled")
        self.storage.slow = True
        self.delivery.submit([Commit((Write("twin", "a", b"1"),), (event(),), lambda ok, now: order.append("resumed"))])
        self.assertEqual(order, [])
        self.storage.run()
        self.assertEqual(order, ["resumed", "settled", "reader"])
        self.assertEqual(self.successResultOf(self.storage.memory.get("twin", "a")), b"1")

    def test_groups(self) -> None:
        """What arrives while a transaction is under way goes together into the next one."""
        self.storage.slow = True
        before = len(self.storage.batches)
        for name in range(10):
            self.delivery.submit([self.commit(name, write=str(name))])
        self.assertEqual(self.delivery.backlog, 9)
        self.storage.run()
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [1, 9])
        self.assertEqual(self.resumed, [(name, True, 1000.0) for name in range(10)])
        self.assertEqual(self.delivery.counters["largest_group"], 9)
        self.assertEqual(self.delivery.counters["commits"], 10)
        self.assertEqual(self.delivery.counters["transactions"], 2)

    def finish(self) -> None:
        """Let the storage do all of it, and the time pass in which changes are gathered."""
        for _ in range(5):
            self.storage.run()
            self.clock.advance(GATHER)

    def test_not_gathered_idly(self) -> None:
        """With a storage that answers at once nothing is gathered, and no timer is left behind."""
        before = len(self.storage.batches)
        self.delivery.submit([Commit((Write("devices", str(number), b""),)) for number in range(1500)])
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [1000, 500])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gathered(self) -> None:
        """While the storage is busy, what nobody waits for is gathered for a moment; what somebody waits for is not."""
        self.storage.slow = True
        before = len(self.storage.batches)
        for number in range(3):
            self.delivery.submit([Commit((Write("devices", str(number), b""),))])
        self.storage.run()
        self.delivery.submit([Commit((Write("devices", "3", b""),))])
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [1])
        self.clock.advance(GATHER)
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [1, 3])
        self.delivery.submit([Commit((Write("devices", "4", b""),))])
        self.storage.run()
        self.delivery.submit([self.commit("awaited", write="5")])
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [1, 3, 2])
        self.finish()
        self.assertEqual(self.resumed[-1][:2], ("awaited", True))

    def patient(self, number: int, events: int = 1) -> Commit:
        """A commit that is waited for, but not in a hurry."""
        told = tuple(event(number) for _ in range(events))
        return Commit((), told, lambda ok, now: self.resumed.append((str(number), ok, now)), patient=True)

    def test_patient(self) -> None:
        """What can wait goes at once when nothing went before, then waits a little for more, but not behind others."""
        self.storage.slow = True
        before = len(self.storage.batches)
        self.delivery.submit([self.patient(1)])
        self.delivery.submit([self.patient(2)])
        self.storage.run()
        self.delivery.submit([self.patient(3)])
        self.assertEqual([len(batch.appends) for batch in self.storage.batches[before:]], [1])
        self.clock.advance(PATIENCE)
        self.assertEqual([len(batch.appends) for batch in self.storage.batches[before:]], [1, 2])
        self.storage.run()
        self.delivery.submit([self.patient(4)])
        self.delivery.submit([self.commit("urgent", event(5))])
        self.assertEqual([len(batch.appends) for batch in self.storage.batches[before:]], [1, 2, 2])
        self.storage.run()
        self.delivery.submit([self.patient(6)])
        self.assertEqual(len(self.storage.batches), before + 3)
        self.delivery.submit([self.patient(7, 300)])
        self.assertEqual([len(batch.appends) for batch in self.storage.batches[before:]], [1, 2, 2, 301])
        self.finish()
        self.assertEqual([name for name, *_ in self.resumed], ["1", "2", "3", "4", "urgent", "6", "7"])

    def test_patient_for_once(self) -> None:
        """After a pause what can wait goes at once again."""
        self.storage.slow = True
        self.delivery.submit([self.patient(1)])
        self.storage.run()
        self.clock.advance(1.0)
        before = len(self.storage.batches)
        self.delivery.submit([self.patient(2)])
        self.assertEqual(len(self.storage.batches), before + 1)
        self.finish()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_group_is_bounded(self) -> None:
        """A transaction takes no more commits and bytes than its limits."""
        self.patch(delivery_module, "MAX_COMMITS", 3)
        self.patch(delivery_module, "MAX_BYTES", 100)
        self.storage.slow = True
        before = len(self.storage.batches)
        self.delivery.submit([self.commit(name, write=str(name)) for name in range(7)])
        self.delivery.submit([Commit((Write("devices", str(name), b"y" * 60),)) for name in range(4)])
        self.finish()
        self.assertEqual([len(batch.writes) for batch in self.storage.batches[before:]], [3, 3, 3, 2])

    def test_events_at_once_are_bounded(self) -> None:
        """Commits of many events are not put together beyond what a reader's queue takes."""
        self.patch(delivery_module, "MAX_EVENTS", 5)
        self.storage.slow = True
        before = len(self.storage.batches)
        self.delivery.submit([self.patient(1)])
        self.delivery.submit([self.patient(number, 3) for number in range(2, 7)])
        self.finish()
        self.assertEqual([len(batch.appends) for batch in self.storage.batches[before:]], [1, 6, 6, 3])
        self.assertEqual([name for name, *_ in self.resumed], list("123456"))

    def test_samples(self) -> None:
        """Values for the history go into the transaction of their commit, and alone they are written too."""
        before = len(self.storage.batches)
        sample = ("d", "/3/0/9", 5, b"95")
        self.delivery.submit([Commit((Write("twin", "a", b"1"),), (event(),), None, (sample,))])
        self.delivery.submit([Commit((), (), None, (sample,))])
        found = [
            (len(batch.writes), len(batch.appends), list(batch.samples)) for batch in self.storage.batches[before:]
        ]
        self.assertEqual(found, [(1, 1, [sample]), (0, 0, [sample])])
        self.assertEqual(self.delivery.counters["values_stored"], 2)

    def test_written_out(self) -> None:
        """What was told together is written out with its events, which have their turn among the others."""
        reader = Reader(self.delivery)
        heading = Heading("/3303/0/5700", "float", "Sensor Value", "Cel")
        values: list[tuple[str, Mapping[str, str], Heading, Value]] = [(name, {}, heading, 20.5) for name in "ab"]
        told = Commit(told=Told(5.0, True, values))
        self.storage.slow = True
        self.delivery.submit([Commit((Write("devices", "first", b""),))])
        self.delivery.submit([Commit((), (event(1),)), told, Commit((), (event(2),))])
        self.assertEqual(self.delivery.backlog, 4)
        self.finish()
        batch, seen = self.storage.batches[-1], reader.seen
        self.assertEqual([write.key for write in batch.writes], ["/3303/0/5700 a", "/3303/0/5700 b"])
        self.assertEqual(list(batch.samples), [(name, "/3303/0/5700", 5_000_000, b"20.5") for name in "ab"])
        self.assertEqual([each.endpoint for each in seen[1:3]], ["a", "b"])
        self.assertEqual(sorted({each.id for each in seen}), [each.id for each in seen])
        logged = [(record.id, record.value) for record in batch.appends]
        self.assertEqual([(each.id, each.document) for each in seen], logged)
        self.delivery.submit([Commit((), (event(3),))])
        self.finish()
        self.assertGreater(reader.seen[-1].id, seen[-2].id)

    def test_told_and_not_written_out(self) -> None:
        """A value that can not be written out is left out, logged and counted; those told with it are stored."""
        reader = Reader(self.delivery)
        heading = Heading("/3303/0/5700", "float", "Sensor Value", "Cel")
        found: dict[str, Any] = {"a": 1.5, "b": object(), "c": 3.5}
        told = Told(5.0, True, [(endpoint, {}, heading, value) for endpoint, value in found.items()])
        self.delivery.submit([msgspec.structs.replace(self.commit("told"), told=told), self.commit("next", event(1))])
        self.assertEqual(self.resumed, [("told", True, 1000.0), ("next", True, 1000.0)])
        self.assertEqual([each.endpoint for each in reader.seen], ["a", "c", "e"])
        self.assertEqual(sorted({each.id for each in reader.seen}), [each.id for each in reader.seen])
        self.assertEqual([sample[0] for batch in self.storage.batches for sample in batch.samples], ["a", "c"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(self.delivery.counters["events_dropped"], 1)

    def test_dropped(self) -> None:
        """In one transaction what an owner had before it was dropped goes, what it got after that stays."""
        self.storage.slow = True
        self.delivery.submit([Commit((Write("devices", "first", b""),))])
        for number, dropped in ((1, ()), (2, ("d",)), (3, ())):
            samples = tuple((owner, "x", number, b"") for owner in ("d", "e"))
            self.delivery.submit([Commit((), (), None, samples, dropped)])
        self.finish()
        self.assertEqual(len(self.storage.batches[-1].samples), 5)
        for owner, times in (("d", [2, 3]), ("e", [1, 2, 3])):
            found = self.successResultOf(self.storage.memory.samples(owner, "x", 0, 10))
            self.assertEqual([time for time, _ in found], times)

    def test_drops_are_bounded(self) -> None:
        """A transaction drops few owners: each may have very many samples."""
        self.storage.slow = True
        before = len(self.storage.batches)
        self.delivery.submit([Commit((), (), None, (), (str(number),)) for number in range(40)])
        self.finish()
        self.assertEqual([len(batch.dropped) for batch in self.storage.batches[before:]], [16, 16, 8])

    def test_nothing_to_write(self) -> None:
        """A commit without writes needs no transaction but keeps its place in the order."""
        before = len(self.storage.batches)
        self.delivery.submit([self.commit("alone")])
        self.assertEqual(self.resumed, [("alone", True, 1000.0)])
        self.storage.slow = True
        self.delivery.submit([self.commit("first", write="a")])
        self.delivery.submit([self.commit("second")])
        self.assertEqual(len(self.resumed), 1)
        self.storage.run()
        self.assertEqual([name for name, _, _ in self.resumed], ["alone", "first", "second"])
        self.assertEqual(len(self.storage.batches), before + 1)

    def test_submit_in_resume(self) -> None:
        """A resumed commit may submit the next one, as often as it likes."""
        left = [5000]

        def resume(ok: bool, now: float) -> None:
            left[0] -= 1
            if left[0]:
                self.delivery.submit([Commit((Write("devices", "a", b"1"),), (), resume)])

        self.delivery.submit([Commit((), (), resume)])
        self.assertEqual(left, [0])

    def test_raising_resume(self) -> None:
        """An error in one resume is logged and does not stop the others."""
        self.delivery.submit([Commit((), (), lambda ok, now: cast(None, 1 / 0)), self.commit("next", event(7))])
        self.assertEqual(self.resumed, [("next", True, 1000.0)])
        self.assertEqual(self.delivery.counters["resumes_failed"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure(self) -> None:
        """When the storage fails, all commits of the group learn it and their events reach nobody, now or later."""
        reader = Reader(self.delivery)
        self.storage.failing = True
        self.delivery.submit([self.commit("a", event(1), write="a"), self.commit("b", event(2))])
        self.delivery.submit([self.commit("c", event(3))])
        self.storage.failing = False
        self.delivery.submit([self.commit("d", event(4))])
        self.assertEqual(
            [(name, ok) for name, ok, _ in self.resumed], [("a", False), ("b", False), ("c", False), ("d", True)]
        )
        self.assertEqual(reader.numbers, ["storage.failed", 4, "storage.recovered"])
        self.assertEqual(Reader(self.delivery, "0" * 16).numbers, [4, "storage.recovered"])
        self.assertEqual(self.delivery.counters["failures"], 2)

    def test_told(self) -> None:
        """That nothing can be stored is told to those who read now, that it can again to all, once and with why."""
        reader = Reader(self.delivery)
        self.storage.failing = True
        for name in "ab":
            self.delivery.submit([self.commit(name, write="a")])
        self.clock.advance(60)
        self.storage.failing = False
        for name in "cd":
            self.delivery.submit([self.commit(name, write="a")])
        told = [msgspec.json.decode(each.document) for each in reader.seen]
        self.assertEqual(
            [(each["type"], each["reason"], each.get("since"), each["time"]) for each in told],
            [
                ("storage.failed", "the disk is full", None, "1970-01-01T00:16:40Z"),
                ("storage.recovered", "the disk is full", "1970-01-01T00:16:40Z", "1970-01-01T00:17:40Z"),
            ],
        )

    def test_one_line_per_streak(self) -> None:
        """A failing storage is logged once, with the cause, and once more when it works again."""
        with capturedLogs() as logs:
            self.storage.failing = True
            for name in range(5):
                self.delivery.submit([self.commit(name, write="a")])
            self.assertEqual(self.delivery.failure, "the disk is full")
            self.storage.failing = False
            for name in range(5):
                self.delivery.submit([self.commit(name, write="a")])
        self.assertEqual(
            [formatEvent(log) for log in logs],
            ["nothing can be made durable, requests are refused: the disk is full", "the storage works again"],
        )
        self.assertIsNone(self.delivery.failure)

    def test_storage_that_raises(self) -> None:
        """A storage that breaks the contract by raising counts as failed."""
        self.patch(self.storage, "commit", lambda batch: 1 / 0)
        self.delivery.submit([self.commit("a", write="a")])
        self.assertEqual(self.resumed, [("a", False, 1000.0)])

    def test_drain(self) -> None:
        """Draining waits for what is under way and what has gathered."""
        self.successResultOf(self.delivery.drain())
        self.storage.slow = True
        self.delivery.submit([self.commit("a", write="a")])
        self.delivery.submit([self.commit("b", event(1))])
        drained = self.delivery.drain()
        self.storage.step()
        self.assertNoResult(drained)
        self.storage.run()
        self.successResultOf(drained)
        self.assertEqual(len(self.resumed), 2)

    def test_stop(self) -> None:
        """Stopping ends the readers after they got everything."""
        reader = Reader(self.delivery)
        self.storage.slow = True
        self.delivery.submit([self.commit("a", event(1))])
        stopped = self.delivery.stop()
        self.assertEqual(reader.reasons, [])
        self.storage.run()
        self.successResultOf(stopped)
        self.assertEqual((reader.numbers, reader.reasons), ([1], ["stopped"]))

    def test_submitted_before_start(self) -> None:
        """What is submitted before the start waits for it."""
        delivery = Delivery(self.storage, self.clock)
        delivery.submit([self.commit("early", event(1))])
        self.assertEqual(self.resumed, [])
        self.successResultOf(delivery.start())
        self.assertEqual(self.resumed, [("early", True, 1000.0)])

    def test_hanging(self) -> None:
        """While the storage hangs so many commits wait; more fail at once, and there is room again when it goes on."""
        self.patch(delivery_module, "MAX_WAITING", 3)
        reader = Reader(self.delivery)
        self.storage.slow = True
        self.delivery.submit([self.commit(0, event(0))])
        self.delivery.submit(self.commit(number, event(number)) for number in range(1, 6))
        self.assertEqual([(name, ok) for name, ok, _ in self.resumed], [(4, False), (5, False)])
        self.assertEqual((self.delivery.backlog, self.delivery.counters["refused"]), (3, 2))
        self.assertEqual(self.delivery.failure, "3 changes wait for the storage, which is too slow")
        self.storage.run()
        self.delivery.submit([self.commit(6, event(6))])
        self.storage.run()
        self.assertEqual([name for name, ok, _ in self.resumed if ok], [0, 1, 2, 3, 6])
        self.assertEqual(
            (reader.numbers, self.delivery.failure), ([0, "storage.failed", 1, 2, 3, "storage.recovered", 6], None)
        )

    def test_started_while_failing(self) -> None:
        """Where nothing can be stored at the start, ids are given out once that is over, and none is given twice."""
        first = Reader(self.delivery)
        self.delivery.submit([self.commit("a", event(1))])
        self.storage.failing = True
        delivery = self.started()
        self.assertEqual(delivery.failure, "the disk is full")
        reader = Reader(delivery, first.seen[-1].id)
        delivery.publish(event(2, stored=False))
        delivery.submit([self.commit("b", event(3))])
        self.storage.failing = False
        delivery.submit([self.commit("c", event(4))])
        delivery.publish(event(5, stored=False))
        self.assertEqual([ok for _, ok, _ in self.resumed], [True, False, True])
        self.assertEqual((reader.numbers, delivery.failure), ([4, "storage.recovered", 5], None))
        ids = [each.id for each in (*first.seen, *reader.seen)]
        again = Reader(self.started())
        self.assertEqual(sorted(set(ids)), ids)
        self.assertEqual(again.numbers, [])

    def test_event_that_can_not_be_rendered(self) -> None:
        """An event with fields that are no document is left out, logged and counted; its commit holds."""
        reader = Reader(self.delivery)
        self.delivery.submit([self.commit("a", event(fields={"x": object()}), event(2), write="a")])
        self.assertEqual(self.resumed, [("a", True, 1000.0)])
        self.assertEqual(reader.numbers, [2])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(self.delivery.counters["events_dropped"], 1)


class IdTests(DeliveryTestCase):
    """Ids only grow and are never given twice."""

    def test_crashes(self) -> None:
        """Ids go on above all earlier ones after every crash, with stored and live-only events and small blocks."""
        self.patch(delivery_module, "BLOCK", 10)
        chance = random.Random(7)
        seen: list[str] = []
        for _ in range(30):
            delivery = self.started()
            reader = Reader(delivery)
            for step in range(chance.randrange(60)):
                if chance.random() < 0.6:
                    delivery.publish(event(step, stored=False))
                else:
                    delivery.submit([Commit((), tuple(event(n) for n in range(chance.randrange(30))))])
            seen += [delivered.id for delivered in reader.seen]
        self.assertGreater(len(seen), 1000)
        self.assertEqual(seen, sorted(set(seen)))
        self.assertEqual({len(id_) for id_ in seen}, {16})

    def test_clock_set(self) -> None:
        """Ids go on in their order, and a reader where it was, though each start finds the clock hours away."""
        seen: list[str] = []
        for hours in (0, 5, -5, -1000, 10_000):
            self.clock = task.Clock()
            self.clock.advance(1_767_225_600 + 3600 * hours)
            delivery = self.started()
            reader = Reader(delivery, seen[-1] if seen else None)
            delivery.submit([Commit((), tuple(event(n) for n in range(3)))])
            self.assertEqual(reader.numbers, [0, 1, 2], hours)
            seen += [delivered.id for delivered in reader.seen]
        self.assertEqual(seen, sorted(set(seen)))

    def test_crash_with_a_transaction_under_way(self) -> None:
        """Ids of a transaction that was not finished are not given to other events that a reader may see."""
        self.patch(delivery_module, "BLOCK", 4)
        delivery = self.started()
        self.storage.slow = True
        delivery.submit([Commit((), tuple(event(n) for n in range(50)))])
        self.storage.waiting.clear()
        self.storage.slow = False
        reader = Reader(delivery)
        for n in range(20):
            delivery.publish(event(n, stored=False))
        self.assertEqual(reader.seen, [])
        later = Reader(self.started(), "0" * 16)
        self.assertEqual(later.seen, [])

    def test_live_ids_run_out(self) -> None:
        """While no block can be reserved, live-only events are dropped and counted; afterwards they go on."""
        self.patch(delivery_module, "BLOCK", 10)
        delivery = self.started()
        reader = Reader(delivery)
        self.storage.failing = True
        for n in range(50):
            delivery.publish(event(n, stored=False))
        self.assertEqual(reader.numbers, [0, 1, 2, 3, 4, 5, "storage.failed", 6, 7, 8])
        self.assertEqual(delivery.counters["events_dropped"], 41)
        self.storage.failing = False
        delivery.submit([Commit((), (event(100),))])
        delivery.publish(event(101, stored=False))
        self.assertEqual(reader.numbers[10:], [100, "storage.recovered", 101])


class LiveTests(DeliveryTestCase):
    """Live-only events reach the readers there are."""

    def test_nobody(self) -> None:
        """Without a reader that wants the type nothing is made, and no id is used."""
        self.assertFalse(self.delivery.wants("device.updated"))
        self.delivery.publish(event(1, stored=False))
        reader = Reader(self.delivery, wanted=Filter(["operation.*"]))
        self.assertFalse(self.delivery.wants("device.updated"))
        self.assertTrue(self.delivery.wants("operation.done"))
        self.delivery.publish(event(1, stored=False))
        reader.subscription.close()
        self.assertFalse(self.delivery.wants("operation.done"))
        self.assertEqual(self.delivery.counters["events_live"], 0)
        everything = Reader(self.delivery)
        self.delivery.publish(event(2, stored=False))
        self.assertEqual([delivered.id for delivered in everything.seen], ["0000000000000001"])

    def test_never_overtakes(self) -> None:
        """A live-only event waits for the transaction that is under way, so that ids arrive in order."""
        reader = Reader(self.delivery)
        self.storage.slow = True
        self.delivery.submit([self.commit("a", event(1), event(2))])
        self.delivery.publish(event(3, stored=False))
        self.delivery.submit([self.commit("b", event(5))])
        self.delivery.publish(event(4, stored=False))
        self.assertEqual(reader.seen, [])
        self.storage.run()
        self.assertEqual(reader.numbers, [1, 2, 3, 4, 5])
        self.assertEqual(reader.seen, sorted(reader.seen, key=lambda delivered: delivered.id))

    def test_held_events_are_bounded(self) -> None:
        """While the storage hangs no more than so many live-only events wait; the rest is dropped and counted."""
        self.patch(delivery_module, "MAX_HELD", 5)
        reader = Reader(self.delivery)
        self.storage.slow = True
        self.delivery.submit([self.commit("a", event(100))])
        for n in range(8):
            self.delivery.publish(event(n, stored=False))
        self.storage.run()
        self.assertEqual(reader.numbers, [100, 0, 1, 2, 3, 4])
        self.assertEqual(self.delivery.counters["events_dropped"], 3)

    def test_live_only_in_a_commit(self) -> None:
        """A live-only event of a Commit goes out with it and is not stored."""
        reader = Reader(self.delivery)
        self.delivery.submit([self.commit("a", event(1), event(2, stored=False))])
        self.assertEqual(reader.numbers, [1, 2])
        self.assertEqual(Reader(self.delivery, "0" * 16).numbers, [1])
        self.assertEqual(self.delivery.counters["events_stored"], 1)
        self.assertEqual(self.delivery.counters["events_live"], 1)

    def test_reader_of_stored_events(self) -> None:
        """A reader that wants stored events only gets no other, though others do, and lets none be made."""
        only = Reader(self.delivery, wanted=Filter(["device.*"], stored=True))
        self.assertFalse(self.delivery.wants("device.value"))
        everything = Reader(self.delivery)
        self.delivery.publish(event(1, stored=False))
        self.delivery.submit([self.commit("a", event(2), event(3, stored=False))])
        self.assertEqual((only.numbers, everything.numbers), ([2], [1, 2, 3]))

    def test_id_of_a_live_event_is_no_gap(self) -> None:
        """A reader that comes back with the id of a live-only event gets what was stored after it, and no gap."""
        reader = Reader(self.delivery)
        self.delivery.submit([self.commit("a", event(1))])
        self.delivery.publish(event(2, stored=False))
        self.delivery.submit([self.commit("b", event(3))])
        self.assertEqual(Reader(self.delivery, reader.seen[1].id).numbers, [3])


class SubscriptionTests(DeliveryTestCase):
    """Readers get what they want, once, in order, at their own pace."""

    def fill(self, count: int, delivery: Delivery | None = None) -> None:
        """Store events numbered from 0."""
        for n in range(count):
            (delivery or self.delivery).submit([Commit((), (event(n),))])

    def test_filters(self) -> None:
        """Types match exactly or as globs, endpoints exactly, labels by the selector, live and in replay."""
        filters = [
            (Filter(["device.registered"]), [0]),
            (Filter(["device.*"]), [0, 1, 3]),
            (Filter(["operation.done", "device.v?lue"]), [1, 2, 3]),
            (Filter(endpoint="f"), [3]),
            (Filter(selector=lambda labels: labels.get("farm") == "north"), [1, 2]),
            (Filter(["device.*"], "e", lambda labels: "farm" in labels), [1]),
            (Filter([]), []),
        ]
        live = [Reader(self.delivery, None, wanted) for wanted, _ in filters]
        events = (
            event(0, type="device.registered"),
            event(1, labels={"farm": "north"}),
            event(2, labels={"farm": "north"}, type="operation.done"),
            event(3, endpoint="f"),
        )
        self.delivery.submit([Commit((), events)])
        for reader, (wanted, expected) in zip(live, filters, strict=True):
            self.assertEqual(reader.numbers, expected)
            self.assertEqual(Reader(self.delivery, "0" * 16, wanted).seen, reader.seen)

    def test_long_replay(self) -> None:
        """A log of many chunks is replayed whole, also by a storage that answers at once."""
        self.fill(3000)
        self.assertEqual(Reader(self.delivery, "0" * 16).numbers, list(range(3000)))

    def test_after_a_restart(self) -> None:
        """A reader goes on where it was after a restart, with no gap."""
        reader = Reader(self.delivery)
        self.fill(5)
        again = self.started()
        self.fill(2, again)
        self.assertEqual(Reader(again, reader.seen[2].id).numbers, [3, 4, 0, 1])

    def test_gap(self) -> None:
        """An id older than what is kept gives a gap first, also after a restart; a later one does not."""
        delivery = self.started(keep=20)
        reader = Reader(delivery)
        self.fill(100, delivery)
        late = Reader(delivery, reader.seen[5].id)
        self.assertEqual(late.numbers, ["gap", *range(80, 100)])
        self.assertEqual(Reader(self.started(keep=20), reader.seen[5].id).numbers, late.numbers)
        self.assertEqual(Reader(delivery, reader.seen[79].id).numbers, list(range(80, 100)))
        self.assertEqual(Reader(delivery, late.seen[0].id).numbers, list(range(80, 100)))

    def test_unknown_ids(self) -> None:
        """What was never an id of ours gives a gap and then what is there."""
        self.fill(3)
        for unknown in ("", "x", "9" * 16, "1", "-000000000000001", "٣" * 16, "0" * 17, "\x00", "x" * 10_000):
            self.assertEqual(Reader(self.delivery, unknown).numbers, ["gap", 0, 1, 2], unknown)
        delivery = self.started()
        self.assertEqual(Reader(delivery, "junk", Filter(["nothing"])).numbers, ["gap"])

    def test_overtaken_by_trimming(self) -> None:
        """A reader that is paused in its replay while the log is trimmed is told of the gap where it happens."""
        delivery = self.started(keep=50)
        self.fill(50, delivery)
        seen: list[Delivered] = []

        def push(delivered: Sequence[Delivered]) -> None:
            seen.extend(delivered)
            if len(seen) == 5:
                slow.pause()

        self.storage.slow = True
        slow = delivery.subscribe(Filter(), "0" * 16, push, 10)
        self.storage.run()
        self.storage.slow = False
        self.assertEqual([number(delivered) for delivered in seen], [0, 1, 2, 3, 4])
        self.fill(100, delivery)
        slow.resume()
        self.assertEqual([number(delivered) for delivered in seen], [0, 1, 2, 3, 4, "gap", *range(50, 100)])

    def test_back_pressure(self) -> None:
        """A paused reader gets nothing, replay reads no further, and all of it comes when it resumes."""
        self.fill(1000)
        reader = Reader(self.delivery, wanted=Filter(), after="0" * 16)
        self.assertEqual(len(reader.seen), 1000)
        self.storage.slow = True
        reader = Reader(self.delivery, "0" * 16, limit=100)
        reader.subscription.pause()
        self.storage.run()
        self.storage.slow = False
        self.assertEqual(reader.seen, [])
        self.fill(500)
        self.assertEqual(reader.reasons, [])
        reader.subscription.resume()
        self.assertEqual(reader.numbers, [*range(1000), *range(500)])

    def test_too_slow(self) -> None:
        """A live reader that is paused while more than the limit happens is closed, and nobody else notices."""
        slow, quick = Reader(self.delivery, limit=10), Reader(self.delivery, limit=10)
        slow.subscription.pause()
        self.fill(10)
        self.assertEqual(slow.reasons, [])
        self.fill(5)
        self.assertEqual((slow.reasons, slow.seen), (["too-slow"], []))
        self.assertEqual(len(quick.seen), 15)
        self.assertEqual(self.delivery.readers, 1)
        self.assertEqual(self.delivery.counters["readers_dropped"], 1)
        slow.subscription.resume()
        self.assertEqual(slow.seen, [])

    def test_raising_reader(self) -> None:
        """A reader whose push, filter or end raises is closed, logged and counted; the others go on."""

        def broken(_: object) -> bool:
            raise RuntimeError

        def failing(_: object) -> None:
            raise RuntimeError

        self.delivery.subscribe(Filter(), None, failing, on_close=failing)
        self.delivery.subscribe(Filter(selector=broken), None, failing)
        reader = Reader(self.delivery)
        self.fill(2)
        self.assertEqual(reader.numbers, [0, 1])
        self.assertEqual(self.delivery.readers, 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    def test_unreadable_log(self) -> None:
        """A reader whose replay can not be read is closed as failed."""
        self.patch(self.storage, "read", lambda *_: _failure())
        self.assertEqual(Reader(self.delivery, "0" * 16).reasons, ["failed"])

    def test_damaged_record(self) -> None:
        """A record of the log that is no event is left out."""
        self.fill(3)
        self.storage.memory.commit(Batch(appends=[Append("events", "0000000000000002", b"{")]))
        self.assertEqual(Reader(self.delivery, "0" * 16).numbers, [0, 2])

    def test_joining_between_commit_and_delivery(self) -> None:
        """A reader that joins when an event is durable but not delivered yet gets it once."""
        readers: list[Reader] = []
        commit = Commit((), (event(1),), lambda ok, now: readers.append(Reader(self.delivery, "0" * 16)))
        self.delivery.submit([commit])
        self.delivery.submit([commit])
        self.assertEqual([reader.numbers for reader in readers], [[1, 1], [1, 1]])

    def test_reader_that_closes_itself(self) -> None:
        """A reader may close, pause and subscribe others while it is pushed to."""
        seen: list[object] = []
        others: list[Reader] = []

        def push(delivered: Sequence[Delivered]) -> None:
            seen.extend(map(number, delivered))
            others.append(Reader(self.delivery))
            if len(seen) == 2:
                subscription.close()

        subscription = self.delivery.subscribe(Filter(), None, push)
        self.fill(5)
        self.assertEqual(seen, [0, 1])
        self.assertEqual([other.numbers for other in others], [[1, 2, 3, 4], [2, 3, 4]])


class SeamTests(SynchronousTestCase):
    """Replay and live meet without loss or doubling, whatever happens in between."""

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2**32), st.integers(10, 150))
    def test_random_interleavings(self, seed: int, steps: int) -> None:
        """Every reader gets each stored event after its first once and in order, and live ones between them."""
        chance = random.Random(seed)
        storage = SlowStorage(MemoryStorage())
        storage.open()
        delivery = Delivery(storage, cast(IReactorTime, task.Clock()))
        delivery.start()
        storage.slow = True
        readers: list[tuple[Reader, str]] = []
        witness = Reader(delivery)

        def subscribe() -> None:
            known = [delivered.id for delivered in witness.seen]
            after = chance.choice([*known, "0" * 16])
            readers.append((Reader(delivery, after, limit=chance.choice([4, 1000])), after))

        def toggle() -> None:
            if readers:
                subscription = chance.choice(readers)[0].subscription
                chance.choice([subscription.pause, subscription.resume])()

        def stored() -> None:
            delivery.submit([Commit((), tuple(event() for _ in range(chance.randrange(4))))])

        actions = [storage.step, storage.step, storage.step, stored, stored, toggle, subscribe]
        actions.append(lambda: delivery.publish(event(type="device.updated", stored=False)))
        for _ in range(steps):
            chance.choice(actions)()
        for reader, _ in readers:
            reader.subscription.resume()
        storage.run()
        everything = [id_ for id_, _ in self.successResultOf(storage.memory.read("events"))]
        for reader, after in readers:
            ids = [delivered.id for delivered in reader.seen]
            self.assertEqual(ids, sorted(set(ids)))
            replayed = [delivered.id for delivered in reader.seen if delivered.type == "device.value"]
            expected = [id_ for id_ in everything if id_ > after]
            if reader.reasons:
                self.assertEqual(reader.reasons, ["too-slow"])
                expected = expected[: len(replayed)]
            self.assertEqual(replayed, expected)


class SQLiteDeliveryTests(TestCase):
    """Delivery on the real thing."""

    async def test_group_commit_and_replay(self) -> None:
        """Many commits end in few transactions, a reader that joins in between misses nothing, and all is on disk."""
        path = Path(self.mktemp()) / "lwm2md.db"
        storage: Storage = SQLiteStorage(path, cast(IReactorFromThreads, reactor))
        await storage.open()
        delivery = Delivery(storage, cast(IReactorTime, reactor))
        await delivery.start()
        resumed: list[bool] = []
        readers = []
        for n in range(1000):
            write = Write("devices", str(n), b"x")
            delivery.submit([Commit((write,), (event(n),), lambda ok, now: resumed.append(ok))])
            if n % 100 == 0:
                readers.append(Reader(delivery, "0" * 16))
                await task.deferLater(cast(IReactorTime, reactor), 0)
        await delivery.drain()
        self.assertEqual(resumed, [True] * 1000)
        self.assertLess(delivery.counters["transactions"], 200)
        for reader in readers:
            while len(reader.seen) < 1000:
                await storage.get("devices", "1")
            self.assertEqual(reader.numbers, list(range(1000)))
        await delivery.stop()
        await storage.close()
