"""Waiting on behalf of a caller: for an operation to end, at most ``wait`` seconds, or for a change to be durable.

RULES: who is told "202, queued" can rely on it: the operation is durable before. A caller that goes away ends the
waiting, not the operation.
"""

from __future__ import annotations

from collections.abc import Callable

from lwm2md.http.problems import storage_failed
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.server.effects import Resume
from lwm2md.server.records import Operation

Render = Callable[[Operation], Reply]


def answer_when_durable(call: Call, change: Callable[[Resume], object], reply: Callable[[], Reply]) -> None:
    """Let ``change`` change the core, and answer with ``reply`` when that is durable."""

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        return reply()

    change(lambda committed, _: call.complete(lambda: outcome(committed)))
    call.node.settle()


def answer_at_end(
    call: Call, operation: Operation, *, ended: Render, queued: Render, keep: bool = True
) -> Reply | None:
    """Answer with ``ended`` when the operation ends inside the call's ``wait``, else with ``queued``.

    ``keep`` makes an operation durable before ``queued`` is answered.
    """
    if operation.finished and not operation.ending:
        return ended(operation)
    wait = call.query["wait"]
    _Waiter(call, operation, ended, queued, keep).start(wait)
    return None


class _Waiter:
    """One caller that waits."""

    __slots__ = ("call", "due", "ended", "keep", "operation", "queued")

    def __init__(self, call: Call, operation: Operation, ended: Render, queued: Render, keep: bool) -> None:
        self.call = call
        self.operation = operation
        self.ended = ended
        self.queued = queued
        self.keep = keep
        self.due: float | None = None

    def start(self, wait: float) -> None:
        """Listen for the end; give up after ``wait`` seconds."""
        if wait <= 0:
            self.give_up()
            return
        if self.operation.watchers is None:
            self.operation.watchers = []
        self.operation.watchers.append(self.finish)
        self.call.lost = self.stop
        self.call.node.waits.set(self, self.call.node.now() + wait)

    def finish(self, operation: Operation) -> None:
        """The operation ended in time."""
        self.cancel_timer()
        self.call.complete(lambda: self.ended(operation))

    def wake(self, now: float) -> None:
        """The time is over; what fails concerns this caller only."""
        self.call.complete(self.give_up)

    def give_up(self) -> None:
        """Wait no longer; the operation goes on."""
        self.stop()
        if not self.keep:
            self.call.complete(lambda: self.queued(self.operation))
            return
        node = self.call.node
        node.server.keep(self.operation, node.now(), self.kept)
        node.settle()

    def kept(self, committed: bool, now: float) -> None:
        """The storage answered. An end that it has not taken yet is told when it has."""
        if self.operation.ending and self.operation.watchers is not None:
            self.operation.watchers.append(self.finish)
        else:
            self.call.complete(lambda: self.outcome(committed))

    def outcome(self, committed: bool) -> Reply:
        """What to say after the storage answered."""
        if self.operation.finished:
            return self.ended(self.operation)
        if not committed:
            raise storage_failed(self.call.node.delivery.failure)
        return self.queued(self.operation)

    def stop(self) -> None:
        """Listen no longer."""
        self.cancel_timer()
        if self.operation.watchers and self.finish in self.operation.watchers:
            self.operation.watchers.remove(self.finish)

    def cancel_timer(self) -> None:
        """Stop the clock."""
        if self.due is not None:
            self.call.node.waits.set(self, None)
