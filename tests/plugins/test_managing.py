"""Tests of lwm2md.plugins.managing, hosting and context: plugins while the daemon runs."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode
from lwm2md.config.errors import ConfigErrors
from lwm2md.plugins import context
from lwm2md.plugins.asking import OperationRefused
from lwm2md.plugins.plugin import PluginFailed
from lwm2md.storage.interface import Batch
from tests.plugins.bed import Bed

CONTEXT = """
@hookimpl(reactor=True)
def lwm2md_start(context):
    global given
    given = context
"""
FIXED = "RESTARTABLE = False\n" + CONTEXT


class ManagingTests(Bed):
    """Enabling, disabling and reloading."""

    async def test_no_hook_costs_nothing(self) -> None:
        """Where nobody has a hook, there is nothing at its place: no reader of events, no authorizer, no tree."""
        node = await self.start()
        self.assertEqual((node.plugins.operation_authorizer, node.server.gate.admit, node.vault.elsewhere), (None,) * 3)
        self.assertEqual(
            (node.server.neighbour, node.delivery.readers, node.plugins.pairs("lwm2md_events")), (None, 1, ())
        )
        calls = node.plugins.calls
        self.assertEqual((node.plugins._pairs, calls.watch._thread, calls._workers), ({}, None, {}))

    async def test_not_restartable(self) -> None:
        """A plugin that does not say that it can be restarted is left as it is."""
        self.write("fixed", FIXED)
        await self.start("fixed")
        for action in ("disable", "reload"):
            status, problem = await self.api("POST", f"/v1/plugins/fixed/{action}")
            self.assertEqual((status, problem["code"]), (409, "not-restartable"))
        self.assertEqual((await self.api("POST", "/v1/plugins/fixed/enable"))[0], 200)
        self.assertEqual(self.plugin("fixed").state, "running")

    async def test_started_anew(self) -> None:
        """After all were stopped those that ran are started again, but for what can't be started twice."""
        self.write("again", "@hookimpl\ndef lwm2md_authorize_registration(registration):\n    return deny('again')\n")
        self.write("fixed", FIXED)
        self.write("never", "")
        node = await self.start("again", "fixed", "never")
        await node.managing.disable("never")
        await node.plugins.stop()
        states = {name: plugin.state for name, plugin in node.plugins.plugins.items()}
        self.assertEqual(states, {"again": "loaded", "fixed": "failed", "never": "disabled"})
        self.assertEqual(self.plugin("fixed").failure, "it can be started only with the daemon")
        await node.plugins.start()
        await self.until(lambda: self.plugin("again").state == "running")
        self.assertEqual([pair[0].name for pair in node.plugins.pairs("lwm2md_authorize_registration")], ["again"])
        self.assertEqual([self.plugin(name).state for name in ("fixed", "never")], ["failed", "disabled"])

    async def test_unknown(self) -> None:
        """A plugin that nobody knows is not found, nor enabled."""
        await self.start()
        (self.place.parent / "outside.py").write_text("API_VERSION = 1\nRESTARTABLE = True\n")
        for name in ("none", "..%2Foutside", "A", "%00"):
            for method, path in (("GET", ""), ("POST", "/enable"), ("POST", "/disable"), ("POST", "/reload")):
                status, problem = await self.api(method, f"/v1/plugins/{name}{path}")
                self.assertEqual((status, problem["code"]), (404, "unknown-plugin"))

    async def test_enable_another(self) -> None:
        """A plugin that is installed and was not enabled can be, and is in the list then."""
        self.write("late", CONTEXT)
        await self.start()
        status, found = await self.api("POST", "/v1/plugins/late/enable")
        self.assertEqual((status, found["state"]), (200, "running"))
        self.assertEqual([each["name"] for each in (await self.api("GET", "/v1/plugins"))[1]["items"]], ["late"])

    async def test_enable_what_fails(self) -> None:
        """A plugin that fails when it is enabled is told so, and may be enabled once more."""
        self.write("bad", "broken = True\n@hookimpl\ndef lwm2md_start():\n    if broken: raise OSError('no disk')")
        await self.start("bad")
        status, problem = await self.api("POST", "/v1/plugins/bad/enable")
        self.assertEqual((status, problem["code"]), (502, "plugin-failed"))
        self.assertIn("no disk", problem["detail"])
        self.module("bad").broken = False
        _, found = await self.api("POST", "/v1/plugins/bad/enable")
        self.assertEqual((found["state"], found["failure"]), ("running", None))

    async def test_again_and_again(self) -> None:
        """Nothing is left of a plugin that was stopped: no thread, no reader of events, no tree, no route."""
        self.example("weather")
        self.write("a", "@hookimpl\ndef lwm2md_events(events): pass\n" + CONTEXT)
        node = await self.start("a", "weather")

        def taken() -> tuple[int, ...]:
            threads = [each for each in threading.enumerate() if each.name in ("plugin a", "plugin weather")]
            return len(threads), node.delivery.readers, len(node.routes.all()), len(self.node.plugins._trees)

        for _ in range(20):
            for name in ("a", "weather"):
                await self.api("POST", f"/v1/plugins/{name}/disable")
            await self.until(lambda: taken() == (0, 1, 0, 0))
            for name in ("a", "weather"):
                await self.api("POST", f"/v1/plugins/{name}/enable")
        self.assertEqual(taken()[1:], (2, 1, 1))

    async def test_reload_of_all(self) -> None:
        """A reload starts, stops and changes plugins as the configuration says, and tells what needs a restart."""
        schema = "@hookimpl\ndef lwm2md_settings(): return [Setting('n', values.integer(0, 9), '0', 'x')]\n"
        for name, source in (
            ("a", CONTEXT),
            ("b", schema + CONTEXT),
            ("c", FIXED),
            ("d", schema + FIXED),
            ("e", CONTEXT),
        ):
            self.write(name, source)
        await self.start("a", "b", "c", "d")
        found = self.settings("b", "d", "e", **{"plugin:b__n": "5", "plugin:d__n": "6"})
        reloaded = self.node.configure(found)
        self.assertEqual(reloaded.changed, ("[plugins] enable", "[plugin:b] n"))
        self.assertEqual(reloaded.restart, ("[plugin:d] n", "[plugins] enable"))
        states = {"a": "disabled", "b": "running", "c": "running", "d": "running", "e": "running"}
        plugins = self.node.plugins.plugins
        await self.until(lambda: {name: each.state for name, each in plugins.items()} == states)
        self.assertEqual(self.module("b").given.settings["n"], 5)
        self.assertEqual(plugins["d"].settings["n"], 0)
        self.assertEqual(self.node.configure(found).restart, ("[plugin:d] n", "[plugins] enable"))

    async def test_reload_with_a_fault(self) -> None:
        """With a fault in a plugin's section nothing of a reload is done."""
        self.write("a", CONTEXT)
        await self.start("a")
        wrong = attrs.evolve(self.settings("a", x="1"), registration=attrs.evolve(self.found.registration, grace=5.0))
        with self.assertRaises(ConfigErrors) as caught:
            self.node.configure(wrong)
        self.assertIn("[plugin:a] x = '1': this plugin has no settings", str(caught.exception))
        self.assertEqual(self.node.settings.registration.grace, 0.0)

    async def test_routes_of_others(self) -> None:
        """No plugin takes the routes of another, or of the daemon; what is free it may have."""
        hook = "@hookimpl(reactor=True)\ndef lwm2md_http_routes():"
        route = hook + " return [ApiRoute('GET', {!r}, lambda request: 'x', 'x')]"
        paths = ("/v1/weather", "/v1/weather/today", "/v1/devices/x", "/v2/x", "/v1/plugins/a/x", "reload", "/v1/{x}")
        for number, path in enumerate(paths):
            self.write(f"p{number}", route.format(path))
        await self.start(*(f"p{number}" for number in range(len(paths))))
        states = [self.plugin(f"p{number}").state for number in range(len(paths))]
        self.assertEqual(states, ["running", *["failed"] * 6])
        self.assertEqual(await self.api("GET", "/v1/weather"), (200, "x"))


class ContextTests(Bed):
    """What a plugin has in hand."""

    async def given(self) -> Any:
        """The context of a plugin that runs."""
        self.write("a", CONTEXT)
        await self.start("a")
        return self.module("a").given

    async def test_devices(self) -> None:
        """The devices and their values are there as the API shows them, and can't be changed."""
        given = await self.given()
        await self.device().register("d")
        self.assertEqual((list(given.devices), len(given.devices), "d" in given.devices), (["d"], 1, True))
        _, shown = await self.api("GET", "/v1/devices/d")
        found = given.devices.get("d")
        for name in ("next_expected", "last_seen", "awake_until", "reachable_until"):
            del shown[name], found[name]
        self.assertEqual(found, shown)
        self.assertEqual((given.devices.get("x"), given.devices.values("x"), given.devices.values("d")), (None, [], []))

    async def test_operation(self) -> None:
        """An operation is followed from its acceptance to its end, and what the device said is in its document."""
        given = await self.given()
        device = self.device()
        await device.register("d")
        asked = await given.submit("d", {"op": "read", "path": "/3/0/0"})
        self.assertIn(asked.document()["state"], ("queued", "sent"))
        self.assertTrue(await asked.keep())
        request = await device.hear()
        device.socket.send(encode(Message(n.ACK, n.CONTENT, request.mid, request.token, (), b"Acme")))
        document = await asked.ended()
        self.assertEqual((document["state"], document["result"]["values"][0]["value"]), ("done", "Acme"))
        self.assertEqual(given.operation(asked.id), document)
        self.assertEqual(await asked.ended(), document)
        self.assertEqual((given._open, given.operation("none")), (0, None))
        self.assertEqual(given.devices.values("d", "/3")[0]["value"], "Acme")

    async def test_end_that_is_not_durable(self) -> None:
        """A plugin is told of an end when it is durable, and sees none before."""
        given = await self.given()
        device = self.device()
        await device.register("d")
        asked = await given.submit("d", {"op": "write", "path": "/3/0/14", "value": "+01"})
        request = await device.hear()
        held: list[Deferred[bool]] = []
        real = self.node.storage.commit

        def commit(batch: Batch) -> Deferred[bool]:
            held.append(Deferred())
            return held[-1].addCallback(lambda _: real(batch))

        self.patch(self.node.storage, "commit", commit)
        device.socket.send(encode(Message(n.ACK, n.CHANGED, request.mid, request.token)))
        await self.until(lambda: held)
        ended = asked.ended()
        self.assertEqual((asked.finished, asked.document()["state"], ended.called), (False, "sent", False))
        self.assertEqual(given.operation(asked.id), asked.document())
        for each in held:
            each.callback(True)
        self.assertEqual((await ended)["state"], "done")
        self.assertTrue(asked.finished)

    async def test_refused(self) -> None:
        """What can't be asked is refused with the code of the API, and so is too much of it."""
        given = await self.given()
        await self.device().register("d")
        for endpoint, request, code in (
            ("x", {"op": "read", "path": "/3"}, "unknown-device"),
            ("d", {"op": "red", "path": "/3"}, "bad-body"),
            ("d", {"op": "read", "path": "/x"}, "bad-operation"),
            ("d", {"op": "write", "path": "/3/0/13", "value": "yesterday"}, "bad-operation"),
        ):
            error = await self.assertFailure(given.submit(endpoint, request), OperationRefused)
            self.assertEqual(error.code, code)
        self.patch(context, "MOST_OPEN", 1)
        await given.submit("d", {"op": "read", "path": "/3"})
        error = await self.assertFailure(given.submit("d", {"op": "read", "path": "/3/0"}), OperationRefused)
        self.assertEqual(error.code, "queue-full")

    async def test_other_threads(self) -> None:
        """From its thread a plugin asks the same, and waits for it."""
        given = await self.given()
        await self.device().register("d")

        def work() -> Any:
            given.health("busy")
            asked = given.blocking(given.submit, "d", {"op": "read", "path": "/3/0/0"})
            return given.operation(asked.id)["path"]

        self.assertEqual(await deferToThread(work), "/3/0/0")
        self.assertEqual((await self.api("GET", "/v1/plugins/a"))[1]["health"], "busy")
        self.assertRaises(RuntimeError, given.blocking, given.now)

    async def test_tasks(self) -> None:
        """A task that fails is a failure of the plugin; one that runs ends with it; afterwards nothing can be begun."""
        given = await self.given()
        ended: list[str] = []

        async def fails() -> None:
            raise ValueError("in a task")

        async def waits() -> None:
            try:
                await Deferred()
            finally:
                ended.append("cancelled")

        given.spawn(fails())
        given.spawn(waits())
        self.assertIn("ValueError: in a task", self.plugin("a").failure or "")
        await self.api("POST", "/v1/plugins/a/disable")
        self.assertEqual(ended, ["cancelled"])
        self.assertEqual(self.plugin("a").counters["failures"], 1)
        self.assertRaises(PluginFailed, given.subscribe, ["*"], print)
        await self.assertFailure(given.submit("d", {"op": "read", "path": "/3"}), PluginFailed)

    async def test_subscriptions(self) -> None:
        """Subscriptions have names of their own; a durable one goes on where it was after the plugin was away."""
        given = await self.given()
        seen: list[Any] = []

        async def handle(events: Any) -> None:
            seen.extend(each.endpoint for each in events)

        given.subscribe(["device.registered"], handle, durable=True, name="all")
        self.assertRaises(ValueError, given.subscribe, ["*"], handle, name="all")
        await self.device().register("a")
        await self.until(lambda: seen == ["a"])
        await self.api("POST", "/v1/plugins/a/disable")
        await self.device().register("b")
        await self.api("POST", "/v1/plugins/a/enable")
        self.module("a").given.subscribe(["device.registered"], handle, durable=True, name="all")
        await self.until(lambda: len(seen) > 1)
        self.assertEqual(seen, ["a", "b"])

    async def test_failed_event(self) -> None:
        """What goes wrong is an event, once."""
        given = await self.given()
        for _ in range(3):
            given.spawn(self.fail_("x"))
        await self.until(lambda: self.failures("a"))
        (event,) = self.failures("a")
        self.assertEqual((event["type"], event["endpoint"], event["hook"]), ("plugin.failed", None, "task"))
        self.assertEqual(event["reason"], "ValueError: x")
        self.assertEqual(msgspec.json.decode(self.events[-1].document)["plugin"], "a")

    async def fail_(self, text: str) -> None:
        """Fail."""
        raise ValueError(text)
