"""The watch over what plugins do on the reactor's thread: who holds it up is named, while that goes on and afterwards.

RULES: a step is what a plugin does between two turns of the reactor. The thread that looks on wakes twice a second and
is there only while a plugin has something on the reactor; it can't end a step, only say whose it is.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from threading import Event, Thread
from typing import Any, Final

import attrs

LONGEST_STEP: Final = 0.25
"""How long a step may take, in seconds, before it counts as holding up the reactor."""
LOOK: Final = 0.5
"""How often the watching thread looks, in seconds."""

Held = Callable[[float], None]


@attrs.define(eq=False)
class Step:
    """What is on the reactor now: of which ``plugin``, in which ``hook``, since when."""

    plugin: str
    hook: str
    since: float
    told: bool = False


class Watch:
    """Knows what plugin is at work on the reactor's thread. ``tell`` is called from another thread, once for a step."""

    def __init__(
        self, tell: Callable[[str, str, float], None], monotonic: Callable[[], float] = time.perf_counter
    ) -> None:
        self.step: Step | None = None
        self._tell = tell
        self._now = monotonic
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to look on."""
        if self._thread is None:
            self._ended.clear()
            self._thread = Thread(target=self._watch, name="watch over plugins", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look on no longer."""
        self._ended.set()
        self._thread = None

    def run(self, plugin: str, hook: str, function: Callable[[], Any], held: Held) -> Any:
        """Call a function as a step; ``held`` learns its seconds if these were too many."""
        outer = self.step
        step = self.step = Step(plugin, hook, self._now())
        try:
            return function()
        finally:
            self.step = outer
            seconds = self._now() - step.since
            if outer is not None:
                outer.since += seconds  # what another one took is not its own
            if seconds > LONGEST_STEP:
                held(seconds)

    async def steps(self, plugin: str, hook: str, coroutine: Coroutine[Any, Any, Any], held: Held) -> Any:
        """Run a coroutine, each of its steps watched."""
        return await _Stepped(self, plugin, hook, coroutine, held)

    def look(self) -> None:
        """Tell about a step that takes too long."""
        step = self.step
        if step is not None and not step.told and self._now() - step.since > LONGEST_STEP:
            step.told = True
            self._tell(step.plugin, step.hook, self._now() - step.since)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK):
            self.look()


@attrs.frozen(eq=False)
class _Stepped(Awaitable[Any]):
    """A coroutine whose steps are watched."""

    watch: Watch
    plugin: str
    hook: str
    coroutine: Coroutine[Any, Any, Any]
    held: Held

    def __await__(self) -> Generator[Any, Any, Any]:
        def step(resume: Callable[[Any], Any], value: Any) -> Any:
            return self.watch.run(self.plugin, self.hook, lambda: resume(value), self.held)

        resume, value = self.coroutine.send, None
        while True:
            try:
                awaited = step(resume, value)
            except StopIteration as ended:
                return ended.value
            try:
                resume, value = self.coroutine.send, (yield awaited)
            except GeneratorExit:
                self.coroutine.close()
                raise
            except BaseException as error:
                resume, value = self.coroutine.throw, error
