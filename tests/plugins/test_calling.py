"""Tests of lwm2md.plugins.calling, threads and watching: where hooks run, how long, and what is made of failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lwm2md.hookspecs import SPECIFIED
from lwm2md.plugins import calling, threads
from lwm2md.plugins.calling import Calls
from lwm2md.plugins.marks import hookimpl, is_asynchronous, on_reactor
from lwm2md.plugins.plugin import Implementation, Plugin, PluginFailed, PluginState, Trouble
from lwm2md.plugins.threads import PluginBusy, PluginTimeout
from lwm2md.plugins.watching import Step, Watch


def plain() -> int:
    """A plain function."""
    return threading.get_ident()


async def waiting() -> int:
    """An asynchronous one."""
    await deferLater(reactor, 0.001, lambda: None)
    return threading.get_ident()


def annotated() -> Deferred[int]:
    """One that says that it returns a Deferred."""
    return deferLater(reactor, 0.001, threading.get_ident)


class ShapeTests(SynchronousTestCase):
    """Where a function runs follows from its shape."""

    def test_shapes(self) -> None:
        """Asynchronous are coroutine functions, generators of Deferreds, and what says so of itself."""

        class Callee:
            """An object that can be called."""

            async def __call__(self) -> None:
                """Do nothing."""

            async def method(self) -> None:
                """Do nothing."""

        @inlineCallbacks
        def generated() -> Any:
            yield None

        marked = on_reactor(lambda: 1), hookimpl(reactor=True)(lambda: 1)
        asynchronous: tuple[Callable[..., Any], ...] = (waiting, annotated, generated, partial(waiting), *marked)
        asynchronous += (Callee().method, Callee())
        for function in asynchronous:
            self.assertTrue(is_asynchronous(function), function)
        for function in (plain, lambda: 1, partial(plain), hookimpl(lambda: 1), print):
            self.assertFalse(is_asynchronous(function), function)


class CallTests(TestCase):
    """One call of one plugin."""

    timeout = 20

    def setUp(self) -> None:
        self.troubles: list[Trouble] = []
        self.stopped: list[str] = []
        self.plugin = Plugin("p", state="running")
        self.calls = Calls(reactor, 0.2, self.troubles.append, lambda plugin, why: self.stopped.append(why))
        self.addCleanup(self.calls.stop)

    def invoke(self, function: Callable[..., Any]) -> Deferred[Any]:
        """Call a function as a hook of its shape."""
        return self.calls.handle(self.plugin, "hook", function)

    async def test_threads(self) -> None:
        """Plain functions share a thread of their plugin; asynchronous ones run on the reactor's."""
        mine = threading.get_ident()
        first, second = await self.invoke(plain), await self.invoke(plain)
        self.assertEqual(first, second)
        self.assertNotEqual(first, mine)
        self.assertEqual([await self.invoke(waiting), await self.invoke(annotated)], [mine, mine])
        self.assertEqual((self.plugin.counters["calls"], self.plugin.counters["failures"]), (4, 0))

    async def test_exceptions(self) -> None:
        """Whatever is raised is a failure of this call, told once for each kind, counted each time."""

        def exits() -> None:
            raise SystemExit(3)

        async def exits_later() -> None:
            await waiting()
            raise SystemExit(3)

        def divides() -> float:
            return 1 / 0

        for function, error in ((divides, ZeroDivisionError), (exits, PluginFailed), (exits_later, PluginFailed)):
            for _ in range(3):
                await self.assertFailure(self.invoke(function), error)
        self.assertEqual(self.plugin.counters["failures"], 9)
        self.assertEqual(
            [each.reason for each in self.troubles], ["ZeroDivisionError: division by zero", "SystemExit: 3"]
        )
        self.assertEqual(self.plugin.failure, "hook: SystemExit: 3")

    async def test_recursion(self) -> None:
        """Of a traceback of thousands of lines the log has the begin and the end."""

        def recurses() -> None:
            recurses()

        with capturedLogs() as logged:
            await self.assertFailure(self.invoke(recurses), RecursionError)
        (trace,) = [event["trace"] for event in logged if "trace" in event]
        self.assertEqual(len(trace.splitlines()), 101)
        self.assertRegex(trace, r"Traceback[^$]*lines are left out[^$]*maximum recursion depth exceeded")

    async def test_blocked_thread(self) -> None:
        """A call that does not come back is given up, and until it does what is asked fails at once."""
        going = threading.Event()
        self.addCleanup(going.set)
        await self.assertFailure(self.invoke(going.wait), PluginTimeout)
        began = time.perf_counter()
        error = await self.assertFailure(self.invoke(plain), PluginBusy)
        self.assertLess(time.perf_counter() - began, 0.15)
        self.assertEqual(str(error), "its thread has not come back from hook")
        going.set()
        while isinstance(await self.invoke(plain).addErrback(lambda failure: failure.value), PluginBusy):
            await deferLater(reactor, 0.005, lambda: None)
        self.assertEqual(self.plugin.counters["timeouts"], 1)

    async def test_what_waits_is_given_up_too(self) -> None:
        """A call that waited for the thread until its deadline is never made."""
        made: list[int] = []
        slow = self.invoke(lambda: time.sleep(0.35))
        late = self.invoke(lambda: made.append(1))
        await self.assertFailure(slow, PluginTimeout)
        await self.assertFailure(late, PluginTimeout)
        await deferLater(reactor, 0.3, lambda: None)
        self.assertEqual(made, [])

    async def test_bounded(self) -> None:
        """No more than so many calls wait for the thread."""
        self.patch(threads, "MOST_WAITING", 5)
        going = threading.Event()
        answers = [self.invoke(going.wait) for _ in range(5)]
        await self.assertFailure(self.invoke(plain), PluginBusy)
        going.set()
        for answer in answers:
            await answer

    async def test_silent_coroutine(self) -> None:
        """A coroutine that never ends is given up, one too that does not let itself be cancelled."""

        async def forever() -> None:
            while len(tries) < 3:
                try:
                    await Deferred()
                except Exception:
                    tries.append(1)

        tries: list[int] = []
        await self.assertFailure(self.invoke(forever), PluginTimeout)
        self.assertEqual(self.plugin.counters["timeouts"], 1)

    async def test_deferred_from_a_thread(self) -> None:
        """A plain function that returns a Deferred from its thread is told how to say so."""
        error = await self.assertFailure(self.invoke(Deferred), TypeError)
        self.assertIn("hookimpl(reactor=True)", str(error))

    async def test_holding_up(self) -> None:
        """Who holds up the reactor is named; for long, and it is stopped: between two awaits, too."""
        self.patch(calling, "MOST_HELD", 0.4)

        async def dozes() -> None:
            await waiting()
            time.sleep(0.3)

        await self.invoke(dozes)
        self.assertEqual((self.plugin.counters["held"], self.stopped), (1, []))
        self.assertIn("held up the reactor for 0.3 s", self.plugin.failure or "")

        async def sleeps() -> None:
            time.sleep(0.45)

        await self.invoke(sleeps)
        await deferLater(reactor, 0.01, lambda: None)
        self.assertEqual(self.stopped, ["hook: held up the reactor for 0.5 s"])

    async def test_not_running(self) -> None:
        """A plugin that does not run is asked nothing; of who guards something that is a failure, from its start on."""
        guard = Implementation("lwm2md_authorize_operation", plain, (), False)
        events = Implementation("lwm2md_events", plain, (), False)
        for state, hooks in (("failed", (guard, events)), ("stopping", (guard, events)), ("starting", (guard,))):
            self.plugin.state = cast("PluginState", state)
            for hook in hooks:
                await self.assertFailure(self.calls.call(self.plugin, hook, {}), PluginFailed)
        await self.calls.call(self.plugin, events, {})

    async def test_kinds(self) -> None:
        """Notify: all, without those that fail. First: the first that answers. Filter: one after the other."""

        def pair(name: str, function: Callable[..., Any], *arguments: str) -> calling.Pair:
            plugin = Plugin(name, state="running")
            return plugin, Implementation("lwm2md_x", function, arguments, True)

        def broken(**_: object) -> None:
            raise ValueError

        def none() -> None:
            return None

        def one() -> int:
            return 1

        def more(value: int, by: int) -> int:
            return value + by

        pairs = [pair("a", none), pair("b", broken), pair("c", one)]
        self.assertEqual([answer for _, answer in await self.calls.notify(pairs, {})], [None, 1])
        found = await self.calls.first([pairs[0], pairs[2], pairs[1]], {})
        assert found is not None
        self.assertEqual((found[0].name, found[1]), ("c", 1))
        self.assertIsNone(await self.calls.first(pairs[:1], {}))
        await self.assertFailure(Deferred.fromCoroutine(self.calls.first(pairs, {})), ValueError)
        chain = [pair("a", more, "value", "by"), pair("b", lambda value: value * 10, "value")]
        seen: list[int] = []
        filtered = await self.calls.filter(chain, "value", 1, {"by": 2}, check=lambda _, value: seen.append(value))
        self.assertEqual((filtered, seen), (30, [3, 30]))

    def test_kinds_of_hooks(self) -> None:
        """Every hook says how it is called, and what guards something denies when it fails."""
        secure = {name for name, call in SPECIFIED.items() if call.secure}
        self.assertEqual(
            secure,
            {
                "lwm2md_authorize_registration",
                "lwm2md_authorize_operation",
                "lwm2md_credentials",
                "lwm2md_bootstrap_configuration",
            },
        )
        self.assertEqual({call.kind for call in SPECIFIED.values()}, {"notify", "first", "filter"})


class WatchTests(SynchronousTestCase):
    """The watch while a step goes on."""

    def test_tells_once(self) -> None:
        """A step that takes too long is told once, with whose it is; a short one never."""
        now = [0.0]
        told: list[tuple[str, str, float]] = []
        watch = Watch(lambda *what: told.append(what), lambda: now[0])
        watch.look()
        watch.step = Step("mqtt", "lwm2md_events", 0.0)
        watch.look()
        now[0] = 3.0
        watch.look()
        watch.look()
        self.assertEqual(told, [("mqtt", "lwm2md_events", 3.0)])

    def test_steps_are_nested(self) -> None:
        """What one plugin causes in another is the other's step."""
        watch = Watch(lambda *_: None)
        seen: list[str] = []

        def inner() -> None:
            seen.append(watch.step.plugin if watch.step else "")

        def outer() -> None:
            watch.run("b", "h", inner, lambda _: None)
            inner()

        watch.run("a", "h", outer, lambda _: None)
        self.assertEqual((seen, watch.step), (["b", "a"], None))

    def test_nested_time(self) -> None:
        """The time of an inner step is not that of the outer one."""
        now = [0.0]
        held: list[str] = []
        watch = Watch(lambda *_: None, lambda: now[0])

        def inner() -> None:
            now[0] += 5.0

        watch.run("a", "h", lambda: watch.run("b", "h", inner, lambda _: held.append("b")), lambda _: held.append("a"))
        self.assertEqual(held, ["b"])
