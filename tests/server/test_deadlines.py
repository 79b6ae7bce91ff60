"""Tests of lwm2md.server.deadlines: what is to happen at a time."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.server.deadlines import Deadlines, Plan


class DeadlinesTests(SynchronousTestCase):
    """Plans of which some are cancelled."""

    def test_order(self) -> None:
        """What was not cancelled happens at its time, once, in the order of the times; its plan keeps nothing then."""
        chance, deadlines = Random(5), Deadlines()
        happened: list[tuple[float, float]] = []
        plans: list[Plan] = []
        for _ in range(5000):
            time = float(chance.randrange(1000))
            plans.append(deadlines.at(time, lambda subject, now: happened.append((subject, now)), time))
            if chance.random() < 0.7:
                deadlines.cancel(chance.choice(plans))
        expected = sorted(plan for plan in plans if plan.due is not None)
        self.assertEqual(len(deadlines), len(expected))
        self.assertEqual(deadlines.next(), expected[0])
        deadlines.expire(499.0)
        deadlines.expire(1000.0)
        self.assertEqual([time for time, _ in happened], expected)
        self.assertEqual({now for time, now in happened if time < 500}, {499.0})
        self.assertEqual({(plan.due, plan.subject) for plan in plans}, {(None, None)})
        self.assertEqual((len(deadlines), deadlines.next()), (0, None))

    def test_next(self) -> None:
        """The next time is a number like any other, which JSON can hold and which holds nothing itself."""
        deadlines = Deadlines()
        plan = deadlines.at(3.5, lambda subject, now: None)
        self.assertIs(type(deadlines.next()), float)
        deadlines.cancel(None)
        deadlines.cancel(plan)
        deadlines.cancel(plan)
        self.assertIsNone(deadlines.next())
