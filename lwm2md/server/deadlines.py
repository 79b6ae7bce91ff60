"""Everything of the server that happens at a time: one heap for all of it.

A plan that is cancelled stays in the heap until it comes up or until such plans are the larger part; then the heap is
made anew. So plans cost the same however often devices change their mind, and memory follows what is really planned.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

Due = Callable[[Any, float], None]

_FEW = 1024


class Plan(float):
    """A time, in Unix seconds, at which something is to happen; ``due`` is None once it was cancelled or done.

    There is one for each device, so it is a number, which the heap compares at once, and holds what to call and with
    whom, and no closure over both. Once it is cancelled or done it holds neither: who is planned for often holds the
    plan, and both would wait for the garbage collector.
    """

    __slots__ = ("due", "subject")

    due: Due | None
    subject: Any


class Deadlines:
    """Plans, the next one first."""

    __slots__ = ("_cancelled", "_heap")

    def __init__(self) -> None:
        self._heap: list[Plan] = []
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, time: float, due: Due, subject: Any = None) -> Plan:
        """Call ``due`` with the ``subject`` and the time it is, once ``time`` has come."""
        plan = Plan(time)
        plan.due, plan.subject = due, subject
        heappush(self._heap, plan)
        return plan

    def cancel(self, plan: Plan | None) -> None:
        """Let a plan not happen; no plan, and one that happened already, are no error."""
        if plan is None or plan.due is None:
            return
        plan.due = plan.subject = None
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [each for each in self._heap if each.due is not None]
            heapify(self._heap)
            self._cancelled = 0

    def next(self) -> float | None:
        """When the first plan is due; None when there is none."""
        while self._heap and self._heap[0].due is None:
            heappop(self._heap)
            self._cancelled -= 1
        return float(self._heap[0]) if self._heap else None  # no plan, which would be kept with what it holds

    def expire(self, now: float) -> None:
        """Carry out everything that is due at ``now``, in the order of the times."""
        while self._heap and self._heap[0] <= now:
            plan = heappop(self._heap)
            due, subject = plan.due, plan.subject
            plan.due = plan.subject = None
            if due is None:
                self._cancelled -= 1
            else:
                due(subject, now)
