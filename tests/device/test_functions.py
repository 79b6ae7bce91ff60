"""Functions of time, as tables."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device.functions import NEVER, Counter, Cycle, Function, Replay, Sine, Walk, chance, key_of
from lwm2md.lwm2m.values import Value

KEY = key_of("device", "/3303/0/5700")


def sampled(function: Function, *times: float) -> list[Value]:
    """The values of one player at some times."""
    player = function.player(KEY)
    return [player.value(time) for time in times]


class TableTests(SynchronousTestCase):
    """What each function says at which time."""

    def test_sine(self) -> None:
        """A sine swings around its offset by its amplitude, once in a period, and holds between two samples."""
        wave = Sine(period=40, amplitude=5, offset=20, every=10)
        for time, expected in ((0, 20), (9.9, 20), (10, 25), (19, 25), (20, 20), (30, 15), (40, 20), (50, 25)):
            [value] = sampled(wave, time)
            assert isinstance(value, float)
            self.assertAlmostEqual(value, expected, msg=str(time))

    def test_phase(self) -> None:
        """A phase is a share of the period; without one every device has its own, and keeps it."""
        [value] = sampled(Sine(period=40, phase=0.25), 0)
        self.assertEqual(value, 1.0)
        free = Sine(period=40, phase=None)
        self.assertEqual(free.player(KEY).value(0), free.player(KEY).value(0))
        self.assertNotEqual(free.player(KEY).value(0), free.player(key_of("other")).value(0))

    def test_counter(self) -> None:
        """A counter counts and begins again above its limit."""
        counter = Counter(start=5, step=2, every=10, limit=9)
        self.assertEqual(sampled(counter, 0, 9, 10, 20, 29, 30, 40), [5, 5, 7, 9, 9, 5, 7])

    def test_cycle(self) -> None:
        """A toggle gives one value after the other."""
        self.assertEqual(sampled(Cycle((False, True), 5), 0, 4, 5, 9, 10, 15), [False, False, True, True, False, True])
        self.assertEqual(sampled(Cycle(("a", "b", "c"), 1), 0, 1, 2, 3), ["a", "b", "c", "a"])

    def test_replay(self) -> None:
        """A recording holds each value until the next; the first also before its time, the last for ever."""
        recording = Replay((5.0, 15.0, 20.0), (1, 2, 3))
        self.assertEqual(sampled(recording, 0, 5, 14, 15, 19, 20, 1000), [1, 1, 1, 2, 2, 3, 3])
        player = recording.player(KEY)
        self.assertEqual([player.after(time) for time in (0, 5, 15, 20)], [5, 15, 20, NEVER])

    def test_replay_in_a_loop(self) -> None:
        """In a loop the first row comes as long after the last as that after the one before."""
        recording = Replay((0.0, 10.0, 20.0), (1, 2, 3), loop=True)
        self.assertEqual(sampled(recording, 0, 10, 20, 29, 30, 40, 50, 60), [1, 2, 3, 3, 1, 2, 3, 1])
        player = recording.player(KEY)
        self.assertEqual([player.after(time) for time in (0, 15, 20, 30, 55)], [10, 20, 30, 40, 60])
        late = Replay((5.0, 15.0), (1, 2), loop=True)
        self.assertEqual(sampled(late, 0, 5, 15, 24, 25, 35, 45), [1, 1, 2, 2, 1, 2, 1])
        self.assertEqual(late.player(KEY).after(15), 25)

    def test_single_row(self) -> None:
        """A recording of one row never changes, in a loop neither."""
        self.assertEqual(sampled(Replay((3.0,), (7,), loop=True), 0, 3, 99), [7, 7, 7])
        self.assertEqual(Replay((3.0,), (7,), loop=True).player(KEY).after(3), NEVER)

    def test_walk(self) -> None:
        """A walk starts where it is told, moves by at most a step, and turns back at its bounds."""
        walk = Walk(start=10, step=4, low=8, high=12, every=1)
        values = sampled(walk, *range(200))
        self.assertEqual(values[0], 10)
        numbers = [value for value in values if isinstance(value, float | int)]
        self.assertTrue(all(8 <= number <= 12 for number in numbers))
        self.assertTrue(all(abs(b - a) <= 4 for a, b in pairwise(numbers)))
        self.assertGreater(len(set(numbers)), 100)


class ReproducibleTests(SynchronousTestCase):
    """The same key gives the same world."""

    def test_chance(self) -> None:
        """Chances are reproducible, differ by key and index, and are spread over the whole range."""
        drawn = [chance(KEY, index) for index in range(1000)]
        self.assertEqual(drawn, [chance(KEY, index) for index in range(1000)])
        self.assertEqual(len(set(drawn)), 1000)
        self.assertTrue(0.45 < sum(drawn) / 1000 < 0.55)
        self.assertNotEqual(chance(key_of("a", "b"), 0), chance(key_of("ab", ""), 0))

    def test_walk_by_key(self) -> None:
        """One device walks the same way in every run, another one its own way."""
        walk = Walk(start=0, every=1)
        other = walk.player(key_of("other"))
        free = Walk(start=None, low=5, high=6)
        self.assertEqual(sampled(free, 0), sampled(free, 0))
        self.assertNotEqual(sampled(free, 0), [free.player(key_of("other")).value(0)])
        self.assertEqual(sampled(walk, 5, 9), sampled(walk, 5, 9))
        self.assertNotEqual(sampled(walk, 5), [other.value(5)])

    def test_walk_does_not_depend_on_questions(self) -> None:
        """Where a walk is does not depend on how often it was looked at, and a long silence costs little."""
        walk = Walk(start=0, every=1)
        self.assertEqual(sampled(walk, *range(101))[-1], sampled(walk, 100)[0])
        [far] = sampled(walk, 1e9)
        assert isinstance(far, float)
        self.assertTrue(math.isfinite(far))

    @given(st.floats(0.1, 1000), st.floats(0, 1e7))
    def test_next_change_is_later(self, every: float, elapsed: float) -> None:
        """The next change is always later than now, no more than a step away, and there the value has moved on."""
        counter = Counter(every=every)
        after = counter.after(elapsed)
        self.assertTrue(elapsed < after <= elapsed + 2 * every)
        now, then = counter.value(elapsed), counter.value(after)
        assert isinstance(now, float) and isinstance(then, float)
        self.assertEqual(then, now + 1)
