"""Calling plugins: each call isolated, timed and counted, on the plugin's thread or on the reactor's.

RULES: nothing that a plugin raises gets through; the Deferred of a call fails instead, at the latest when its deadline
is over, whatever the plugin does then. Who holds up the reactor for longer than `MOST_HELD` does not run any more.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.hookspecs import SECURE
from lwm2md.plugins.marks import is_asynchronous
from lwm2md.plugins.plugin import Implementation, Plugin, PluginFailed, Trouble
from lwm2md.plugins.threads import PluginBusy, PluginTimeout, Worker
from lwm2md.plugins.watching import Watch

MOST_HELD: Final = 1.0
"""A plugin that holds up the reactor for longer at once, in seconds, is stopped."""

_HALF: Final = 50
"""Lines of a traceback that are logged of its begin, and of its end: a recursion has thousands."""

Answers = list[tuple[Plugin, Any]]
Pair = tuple[Plugin, Implementation]


class Calls:
    """Calls the functions of plugins. ``deadline`` is in seconds; ``troubled`` hears of the first trouble of a kind.

    ``held_up`` hears of a plugin that must be stopped, and why.
    """

    def __init__(
        self,
        reactor: Any,
        deadline: float,
        troubled: Callable[[Trouble], None],
        held_up: Callable[[Plugin, str], None],
        watch: Watch | None = None,
    ) -> None:
        self.deadline = deadline
        self.watch = watch or Watch(self._warn)
        self._reactor = reactor
        self._troubled = troubled
        self._held_up = held_up
        self._workers: dict[str, Worker] = {}
        self._log = Logger(namespace="lwm2md.plugins")

    def call(self, plugin: Plugin, implementation: Implementation, arguments: Mapping[str, Any]) -> Deferred[Any]:
        """Call one plugin's implementation of a hook; the Deferred fails with what went wrong, which was told."""
        hook = implementation.hook
        if not _answers(plugin, hook):
            return fail(PluginFailed(f"the plugin {plugin.name} does not run"))
        given = [arguments[name] for name in implementation.arguments]
        function = implementation.function
        return self.invoke(plugin, hook, lambda: function(*given), asynchronous=implementation.asynchronous)

    def invoke(
        self,
        plugin: Plugin,
        name: str,
        function: Callable[[], Any],
        *,
        asynchronous: bool,
        endless: bool = False,
        passes: tuple[type[BaseException], ...] = (),
    ) -> Deferred[Any]:
        """Call any function of a plugin, ``endless`` without a deadline; ``name`` says in reports what was called.

        An exception that ``passes`` is an answer like another.
        """
        plugin.counters["calls"] += 1
        deadline = _ENDLESS if endless else self.deadline
        began = time.perf_counter()
        if asynchronous:
            answer = self._on_reactor(plugin, name, function, deadline)
        else:
            answer = self._worker(plugin).run(name, function, deadline)

        def ended(outcome: Any) -> Any:
            plugin.seconds += time.perf_counter() - began
            if isinstance(outcome, Failure) and not isinstance(outcome.value, passes):
                if isinstance(outcome.value, CancelledError) and plugin.state == "stopping":
                    return outcome
                error = outcome.value or PluginFailed(name)
                self.trouble(plugin, name, error, outcome)
                if not isinstance(error, Exception):  # nobody's coroutine is to be left by SystemExit
                    return Failure(PluginFailed(_reason(error)))  # type: ignore[no-untyped-call]
            return outcome

        return answer.addBoth(ended)

    def handle(
        self,
        plugin: Plugin,
        name: str,
        handler: Callable[..., Any],
        *arguments: Any,
        endless: bool = False,
        passes: tuple[type[BaseException], ...] = (),
    ) -> Deferred[Any]:
        """Call a handler that a plugin has given, where a hook of its shape would run; the rest as in `invoke`."""
        asynchronous = is_asynchronous(handler)
        return self.invoke(
            plugin, name, lambda: handler(*arguments), asynchronous=asynchronous, endless=endless, passes=passes
        )

    def notify(self, pairs: Iterable[Pair], arguments: Mapping[str, Any]) -> Deferred[Answers]:
        """Call all of them at once; the answers of those that have not failed, in order."""
        return Deferred.fromCoroutine(self._notify(tuple(pairs), arguments))

    async def _notify(self, pairs: tuple[Pair, ...], arguments: Mapping[str, Any]) -> Answers:
        begun = [(plugin, self.call(plugin, each, arguments)) for plugin, each in pairs]
        answers: Answers = []
        for plugin, answer in begun:
            try:
                answers.append((plugin, await answer))
            except Exception:
                continue
        return answers

    async def first(self, pairs: Iterable[Pair], arguments: Mapping[str, Any]) -> tuple[Plugin, Any] | None:
        """Ask one after the other until one answers; who, and what. Raises what the one that was asked raised."""
        for plugin, each in pairs:
            answer = await self.call(plugin, each, arguments)
            if answer is not None:
                return plugin, answer
        return None

    async def filter(
        self,
        pairs: Iterable[Pair],
        name: str,
        value: Any,
        arguments: Mapping[str, Any],
        *,
        check: Callable[[Plugin, Any], None],
    ) -> Any:
        """Hand a value, the argument ``name``, from one to the next. Raises what one or ``check`` raised."""
        for plugin, each in pairs:
            value = await self.call(plugin, each, {**arguments, name: value})
            check(plugin, value)
        return value

    def render(self, plugin: Plugin, resource: Any, request: Any) -> Any:
        """Let a CoAP resource of a plugin render a request: watched, and what it raises told and raised."""

        def told(failure: Failure) -> Failure:
            # What txthings itself raises is an answer such as 4.04; who was silent is cancelled.
            if not type(failure.value).__module__.startswith("txthings"):
                self.trouble(plugin, _TREE, failure.value or PluginFailed(_TREE), failure)
            return failure

        plugin.counters["calls"] += 1
        self.watch.start()
        rendered = maybeDeferred(
            self.watch.run, plugin.name, _TREE, lambda: resource.render(request), partial(self._held, plugin, _TREE)
        )
        return rendered.addErrback(told)

    def trouble(self, plugin: Plugin, name: str, error: BaseException, failure: Failure | None = None) -> None:
        """Take note of what went wrong; the first of a kind is logged, with its traceback if there is one, and told."""
        if isinstance(error, PluginTimeout):
            plugin.counters["timeouts"] += 1
        reason = _reason(error)
        if plugin.went_wrong(name, error, reason):
            trace = None if failure is None or isinstance(error, _OURS) else _shortened(failure.getTraceback())
            self._log.error(
                "plugin {plugin} failed in {hook}, told once: {reason}" + ("\n{trace}" if trace else ""),
                plugin=plugin.name,
                hook=name,
                reason=reason,
                trace=trace,
            )
            self._troubled(Trouble(plugin.name, name, reason, self._reactor.seconds()))

    def ended(self, plugin: Plugin) -> None:
        """Let go of a plugin's thread."""
        worker = self._workers.pop(plugin.name, None)
        if worker is not None:
            worker.stop()

    def stop(self) -> None:
        """Let go of all threads."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
        self.watch.stop()

    def _worker(self, plugin: Plugin) -> Worker:
        worker = self._workers.get(plugin.name)
        if worker is None:
            worker = self._workers[plugin.name] = Worker(plugin.name, self._reactor)
        return worker

    def _on_reactor(self, plugin: Plugin, name: str, function: Callable[[], Any], deadline: float) -> Deferred[Any]:
        held = partial(self._held, plugin, name)
        self.watch.start()
        try:
            answer = self.watch.run(plugin.name, name, function, held)
        except BaseException:  # SystemExit ends this call, not the daemon
            return fail()
        if inspect.iscoroutine(answer):
            answer = Deferred.fromCoroutine(self.watch.steps(plugin.name, name, answer, held))
        return self._limited(answer, deadline) if isinstance(answer, Deferred) else succeed(answer)

    def _limited(self, answer: Deferred[Any], deadline: float) -> Deferred[Any]:
        """A Deferred that fires in time even if the plugin's doesn't, cancelled or not."""
        if answer.called and not answer.paused:
            return answer
        limited: Deferred[Any] = Deferred(lambda _: answer.cancel())

        def late() -> None:
            limited.errback(PluginTimeout(f"no answer within {deadline:g} s"))
            answer.cancel()

        def ended(outcome: Any) -> None:
            if not limited.called:
                if timer is not None:
                    timer.cancel()
                limited.callback(outcome)

        timer = None if deadline == _ENDLESS else self._reactor.callLater(deadline, late)
        answer.addBoth(ended)
        return limited

    def _held(self, plugin: Plugin, name: str, seconds: float) -> None:
        plugin.counters["held"] += 1
        reason = f"held up the reactor for {seconds:.1f} s"
        if seconds > MOST_HELD:
            self._reactor.callLater(0, self._held_up, plugin, f"{name}: {reason}")
        self.trouble(plugin, name, PluginBusy(reason))

    def _warn(self, plugin: str, hook: str, seconds: float) -> None:
        self._log.error(
            "plugin {plugin} holds up the reactor in {hook}, for {seconds:.1f} s now",
            plugin=plugin,
            hook=hook,
            seconds=seconds,
        )


def _answers(plugin: Plugin, hook: str) -> bool:
    """Whether a plugin is in a state to be asked: not half started where it guards something."""
    if plugin.state == "running" or hook in _LIFE:
        return True
    return plugin.state == "starting" and hook not in SECURE


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    if isinstance(error, _OURS):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shortened(trace: str) -> str:
    lines = trace.splitlines()
    left_out = len(lines) - 2 * _HALF
    if left_out <= 0:
        return trace
    return "\n".join([*lines[:_HALF], f"    ({left_out} lines are left out)", *lines[-_HALF:]])


_ENDLESS: Final = 0.0
_TREE: Final = "lwm2md_coap_resources"
_OURS: Final = (PluginBusy, PluginTimeout, PluginFailed)
_LIFE: Final = frozenset({"lwm2md_metrics", "lwm2md_start", "lwm2md_stop", "lwm2md_reload"})
