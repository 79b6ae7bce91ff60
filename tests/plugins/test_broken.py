"""A hundred broken plugins, and a daemon that serves all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

from lwm2md.coap import numbers as n
from lwm2md.events import Event
from lwm2md.hookspecs import SPECIFIED
from lwm2md.plugins import calling
from lwm2md.plugins.running import StartError
from lwm2md.server.effects import Commit
from tests.plugins.bed import Bed

ARGUMENTS = {
    "lwm2md_metrics": "metrics",
    "lwm2md_start": "context",
    "lwm2md_reload": "settings",
    "lwm2md_events": "events",
}
ACTIONS = {
    "raises": "raise ValueError('on purpose')",
    "exits": "raise SystemExit(3)",
    "interrupts": "raise KeyboardInterrupt",
    "recurses": "return lwm2md_start(context)",
    "nonsense": "return object()",
    "sleeps": "time.sleep(10)",
}
GUARDS = {name for name, call in SPECIFIED.items() if call.secure}


def hook(name: str, body: str, shape: str = "def") -> str:
    """The source of a hook."""
    return f"@hookimpl\n{shape} {name}({ARGUMENTS.get(name, '')}):\n    {body}\n"


def broken() -> Iterator[tuple[str, str]]:
    """A hundred plugins and more, each broken in its own way, by name."""
    for number, source in enumerate(("import no_such_module", "1 / 0", "raise SystemExit", "def", "raise MemoryError")):
        yield f"import-{number}", source
    for number in range(5):
        yield f"unknown-{number}", hook(f"lwm2md_hook{number}", "pass")
        yield f"argument-{number}", f"@hookimpl\ndef lwm2md_start(context, argument{number}): pass"
        yield f"version-{number}", f"API_VERSION = {number + 2}"
    hooks = ("lwm2md_metrics", "lwm2md_start", "lwm2md_stop", "lwm2md_event_types", "lwm2md_events",
             "lwm2md_http_routes", "lwm2md_coap_resources", "lwm2md_settings", "lwm2md_storage_backends")  # fmt: skip
    for name in hooks:
        for action, body in ACTIONS.items():
            if action == "recurses" and name != "lwm2md_start":
                continue
            if action == "sleeps" and (SPECIFIED[name].at == "load" or SPECIFIED[name].reactor):
                continue
            short = name.removeprefix("lwm2md_").replace("_", "-")
            more = hook("lwm2md_events", "pass") if name == "lwm2md_event_types" else ""
            yield f"{action}-{short}", hook(name, body) + more
            if SPECIFIED[name].at == "run" and action not in ("sleeps", "recurses"):
                yield f"{action}-async-{short}", hook(name, body, "async def") + more
    yield "floods-operations", hook("lwm2md_start", _FLOOD, "async def")
    yield "floods-metrics", hook("lwm2md_metrics", "for i in range(10**4): metrics.counter(f'c{i}', 'x')")
    tasks = "[context.spawn(forever()) for _ in range(10**4)]"
    yield "floods-tasks", hook("lwm2md_start", tasks, "async def") + _FOREVER
    yield "task-dies", hook("lwm2md_start", "context.spawn(dies())", "async def") + "async def dies(): 1 / 0\n"
    yield "subscriber", hook("lwm2md_start", "context.subscribe(['*'], lambda events: 1 / 0, durable=True)")
    yield "never-starts", hook("lwm2md_start", "await forever()", "async def") + _FOREVER
    yield "route-taken", hook("lwm2md_http_routes", "return [ApiRoute('GET', '/v1/devices/x', print, 'x')]")
    yield "route-typeless", hook("lwm2md_http_routes", "return [ApiRoute('PUT', 'x', print, 'x', body=type(sys))]")
    yield "route-own", hook("lwm2md_http_routes", "return [ApiRoute('POST', 'enable', print, 'x')]")
    yield "tree-taken", "from txthings import resource\n" + hook("lwm2md_coap_resources", _TREE)


_FLOOD = "[context.submit('d', {'op': 'read', 'path': '/3'}).addErrback(lambda _: None) for _ in range(20000)]"
_TREE = "root = resource.CoAPResource(); root.putChild('rd', resource.CoAPResource()); return root"
_FOREVER = "from twisted.internet.defer import Deferred\nasync def forever(): await Deferred()\n"


class BrokenTests(Bed):
    """What they do to the daemon: nothing."""

    timeout = 40
    names: ClassVar[dict[str, str]] = dict(broken())

    async def test_a_hundred(self) -> None:
        """Devices register, update and are heard of while a hundred plugins fail in every way; each is told by name."""
        self.assertGreaterEqual(len(self.names), 100)
        for name, source in self.names.items():
            self.write(name, source)
        self.write("good", hook("lwm2md_events", "seen.extend(each.endpoint for each in events)") + "seen = []\n")
        began = time.monotonic()
        await self.start(*self.names, "good", plugins__deadline="300ms")
        for number in range(20):
            device = self.device()
            self.assertEqual((await device.register(f"d{number}")).code, n.CREATED)
            self.assertEqual((await device.ask(n.POST, device.location)).code, n.CHANGED)
        good = self.module("good")
        await self.until(lambda: {f"d{number}" for number in range(20)} <= set(good.seen))
        _, status = await self.api("GET", "/v1/status")
        told = {each["name"]: each for each in status["plugins"]}
        self.assertEqual((status["counts"]["devices"], told["good"]["state"]), (20, "running"))
        silent = {"nonsense-metrics", "nonsense-start", "nonsense-stop", "nonsense-events", "floods-operations"}
        silent |= {f"nonsense-async-{each}" for each in ("metrics", "start", "stop", "events")}
        silent |= {name for name in self.names if name.endswith("-stop")}
        unfailing = {name for name, each in told.items() if each["failure"] is None} - {"good"}
        self.assertEqual(unfailing - silent, set())
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_guards_deny(self) -> None:
        """A plugin that guards and fails, does not answer, or does not start, denies; a disabled one is not asked."""
        body = "async def lwm2md_authorize_operation(operation): return ALLOW\n"
        self.write("gate", hook("lwm2md_start", "raise OSError('no rules')") + f"@hookimpl\n{body}")
        await self.start("gate")
        await self.device().register("d")
        asked = "/v1/devices/d/operations?wait=0", {"op": "read", "path": "/3/0"}
        self.assertEqual((await self.api("POST", *asked))[1]["code"], "forbidden")
        self.assertEqual(self.plugin("gate").state, "failed")
        self.plugin("gate").state = "disabled"
        self.node.plugins._rewire()
        self.assertIsNone(self.node.plugins.operation_authorizer)
        self.assertEqual((await self.api("POST", *asked))[0], 202)

    async def test_held_up(self) -> None:
        """A plugin that holds up the reactor is stopped after once; what it was, status says."""
        self.patch(calling, "MOST_HELD", 0.3)
        self.write("sleeper", hook("lwm2md_events", "time.sleep(0.4)", "async def"))
        await self.start("sleeper")
        self.node.delivery.submit((Commit((), (Event("device.value", 0.0, "d"),)),))
        await self.until(lambda: self.plugin("sleeper").state == "failed")
        self.assertIn("lwm2md_events: held up the reactor for 0.4 s", self.plugin("sleeper").failure or "")
        await self.until(lambda: len(self.failures("sleeper")) == 2)

    async def test_strict(self) -> None:
        """With `strict = yes` there is no daemon without a plugin that was asked for."""
        self.write("bad", hook("lwm2md_start", "raise ValueError('no')"))
        error = await self.assertFailure(self.deferred(self.start("bad", plugins__strict="yes")), StartError)
        self.assertEqual(str(error), "[plugins] strict: bad: can't start: ValueError: no")


class GuardTests(Bed):
    """Plugins that guard who comes in, and fail."""

    async def test_registration(self) -> None:
        """Nobody registers past a plugin that fails, hangs or did not start; they are told to come again."""
        bodies = {"raises": "raise ValueError", "hangs": "await Deferred()", "lies": "return True"}
        for name, body in bodies.items():
            self.write(name, hook("lwm2md_authorize_registration", body, "async def") + _FOREVER)
        self.write("unstarted", hook("lwm2md_authorize_registration", "pass") + hook("lwm2md_start", "1 / 0"))
        for name in (*bodies, "unstarted"):
            await self.start(name, plugins__deadline="200ms")
            answer = await self.device().register("d")
            self.assertEqual((answer.code, answer.payload), (n.SERVICE_UNAVAILABLE, b"admission-failed"), name)
            self.assertEqual(len(self.node.server.devices), 0)
