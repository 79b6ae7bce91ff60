"""Tests of lwm2md.coap.timers: many deadlines, soon and late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.timers import Timers


class Item:
    """Something that is due."""

    def __init__(self) -> None:
        self.due: float | None = None


class TimersTests(SynchronousTestCase):
    """Deadlines, moved and cancelled."""

    def test_order(self) -> None:
        """Items come when they are due, earliest first, each once."""
        timers: Timers[Item] = Timers()
        one, two, three = Item(), Item(), Item()
        timers.schedule(one, 3.0)
        timers.schedule(two, 1.0)
        timers.schedule(three, 2.0)
        timers.schedule(one, 0.5)
        self.assertEqual(timers.next_deadline(), 0.5)
        self.assertIs(timers.take(1.0), one)
        self.assertIs(timers.take(1.0), two)
        self.assertIsNone(timers.take(1.0))
        timers.cancel(three)
        timers.cancel(three)
        self.assertIsNone(timers.next_deadline())

    @given(st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 9))), max_size=80))
    def test_like_a_dictionary(self, steps: list[tuple[int, int | None]]) -> None:
        """Whatever is scheduled and cancelled, the next deadline is that of a plain dictionary."""
        timers: Timers[Item] = Timers()
        items = [Item() for _ in range(5)]
        model: dict[int, float] = {}
        for index, when in steps:
            if when is None:
                timers.cancel(items[index])
                model.pop(index, None)
            else:
                timers.schedule(items[index], float(when))
                model[index] = float(when)
            self.assertEqual(timers.next_deadline(), min(model.values(), default=None))
            self.assertEqual(len(timers), len(model))
        taken = []
        while (item := timers.take(100.0)) is not None:
            taken.append(items.index(item))
        self.assertEqual(sorted(taken), sorted(model))

    def test_bounded(self) -> None:
        """Moving one item a hundred thousand times does not let the heap grow."""
        timers: Timers[Item] = Timers()
        item = Item()
        for when in range(100_000):
            timers.schedule(item, float(when))
        self.assertLess(len(timers._soon) + sum(map(len, timers._later.values())), 2000)
        self.assertLess(len(timers._parts), 2000)
        self.assertEqual(timers.next_deadline(), 99_999.0)

    def test_same_time(self) -> None:
        """What is due at the same time comes in the order in which it was scheduled, however it was kept until then."""
        timers: Timers[Item] = Timers()
        items = [Item() for _ in range(6)]
        for item in items[:2]:
            timers.schedule(item, 90.0)
        self.assertEqual(timers.next_deadline(), 90.0)
        timers.schedule(items[2], 90.0)
        timers.schedule(items[3], 3.0)
        timers.schedule(items[4], 90.0)
        timers.schedule(items[5], 3.0)
        order = [items[index] for index in (3, 5, 0, 1, 2, 4)]
        self.assertEqual(timers.take_all(100.0), order)
        self.assertEqual((len(timers), timers.next_deadline(), timers._entries), (0, None, 0))

    def test_latest(self) -> None:
        """Something may be due at the end of all time, and before its beginning."""
        timers: Timers[Item] = Timers()
        never, soon, overdue = Item(), Item(), Item()
        timers.schedule(never, float("inf"))
        timers.schedule(soon, 1.0)
        timers.schedule(overdue, float("-inf"))
        self.assertEqual(timers.take_all(2.0), [overdue, soon])
        self.assertEqual(timers.next_deadline(), float("inf"))

    @given(
        st.lists(
            st.tuples(st.integers(0, 50), st.one_of(st.none(), st.floats(0.0, 5.0), st.sampled_from((-1.0, 900.0)))),
            max_size=200,
        ),
        st.lists(st.integers(0, 199)),
    )
    def test_with_time(self, steps: list[tuple[int, float | None]], taken_after: list[int]) -> None:
        """However often what is due is taken in between, it is what a plain dictionary says, earliest first."""
        timers: Timers[Item] = Timers()
        items = [Item() for _ in range(51)]
        model: dict[int, float] = {}
        now = 0.0
        for step, (index, when) in enumerate(steps):
            if when is None:
                timers.cancel(items[index])
                model.pop(index, None)
            else:
                timers.schedule(items[index], now + when)
                model[index] = now + when
            if step in taken_after:
                now += 0.3
                due = sorted(time for time in model.values() if time <= now)
                found = [items.index(item) for item in timers.take_all(now)]
                self.assertEqual([model.pop(index) for index in found], due)
            if step % 3:
                self.assertEqual(timers.next_deadline(), min(model.values(), default=None))
        self.assertEqual(len(timers), len(model))
