"""A plugin's own thread: plain hooks run there, one after the other, so that one that waits holds up its plugin only.

RULES: a call that was not answered in time is given up; if it is running, its thread can't be stopped, so what is asked
meanwhile fails at once. The thread is a daemon: one that never comes back does not keep the process from ending.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

MOST_WAITING: Final = 100
"""Calls that wait for the thread; what is more fails at once."""


class PluginBusy(Exception):  # noqa: N818  it says what the plugin is
    """The plugin's thread has no time: too much waits for it, or it does not come back from an earlier call."""


class PluginTimeout(Exception):  # noqa: N818
    """A plugin has not answered in time."""


@attrs.define(eq=False)
class _Task:
    """One call on its way to the thread and back."""

    name: str
    function: Callable[[], Any]
    answer: Deferred[Any]
    timer: IDelayedCall | None = None
    given_up: bool = False
    running: bool = False


class Worker:
    """The thread of one plugin, begun by its first call. ``reactor`` has ``callLater`` and ``callFromThread``."""

    def __init__(self, name: str, reactor: Any) -> None:
        self._name = name
        self._reactor = reactor
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._waiting = 0
        self._stuck: _Task | None = None
        self._thread: Thread | None = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Calls that have not been answered."""
        return self._waiting

    def run(self, name: str, function: Callable[[], Any], deadline: float) -> Deferred[Any]:
        """Call a function on the thread, for ever if ``deadline`` is 0.

        Fails with PluginBusy, with PluginTimeout after ``deadline`` seconds, or with what was raised.
        """
        if self._stopped:
            return fail(PluginBusy("it has been stopped"))
        if self._stuck is not None:
            return fail(PluginBusy(f"its thread has not come back from {self._stuck.name}"))
        if self._waiting >= MOST_WAITING:
            return fail(PluginBusy(f"{self._waiting} calls wait for its thread"))
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"plugin {self._name}", daemon=True)
            self._thread.start()
        task = _Task(name, function, Deferred())
        if deadline:
            task.timer = self._reactor.callLater(deadline, self._late, task, deadline)
        self._waiting += 1
        self._tasks.put(task)
        return task.answer

    def stop(self) -> None:
        """Let the thread end after what waits for it."""
        self._stopped = True
        self._tasks.put(None)

    def _late(self, task: _Task, deadline: float) -> None:
        task.timer = None
        task.given_up = True
        self._waiting -= 1
        if task.running:
            self._stuck = task
        task.answer.errback(PluginTimeout(f"no answer within {deadline:g} s"))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if task.given_up:
                continue
            task.running = True
            try:
                outcome: Any = task.function()
            except BaseException:  # whatever it is, it ends with this call: SystemExit too
                outcome = Failure()  # type: ignore[no-untyped-call]
            self._reactor.callFromThread(self._done, task, outcome)
            del task, outcome

    def _done(self, task: _Task, outcome: Any) -> None:
        if task.given_up:
            if self._stuck is task:
                self._stuck = None
            return
        self._waiting -= 1
        if task.timer is not None:
            task.timer.cancel()
        if isinstance(outcome, Deferred):
            outcome.addErrback(lambda _: None)
            outcome = Failure(  # type: ignore[no-untyped-call]
                TypeError(f"{task.name} returned a Deferred from its thread: mark it with hookimpl(reactor=True)")
            )
        task.answer.callback(outcome)
