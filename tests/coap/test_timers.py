"""Tests of lwm2md.coap.timers: many deadlines in one heap."""

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
        self.assertLess(len(timers._heap), 2000)
        self.assertEqual(timers.next_deadline(), 99_999.0)
