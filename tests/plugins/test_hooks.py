"""One test for each hook, on the examples where they have it: `test_NAME` is that of ``lwm2md_NAME``."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.internet.defer import Deferred

from lwm2md.coap import numbers as n
from lwm2md.ctl import foreign
from lwm2md.ctl.arguments import parser
from lwm2md.ctl.output import Output
from lwm2md.hookspecs import SPECIFIED
from lwm2md.plugins import (
    BootstrapConfiguration,
    BootstrapRequest,
    CredentialQuery,
    Delivered,
    seams,
)
from lwm2md.plugins.contributions import Command
from lwm2md.plugins.loading import Loader
from lwm2md.storage.memory import MemoryStorage
from tests.plugins.bed import Bed
from tests.processes import ROOT

DOORBELL = ROOT / "examples" / "doorbell" / "lwm2md_doorbell.py"


class HookTests(Bed):
    """Every hook does what its specification says."""

    def setUp(self) -> None:
        super().setUp()
        shutil.copy(DOORBELL, self.place / "doorbell.py")
        self.file = self.place / "rings"

    async def doorbell(self, **more: str) -> None:
        """Start the example of the guide."""
        await self.start("doorbell", storage=None, file=str(self.file), **more)

    def test_every_hook_has_a_test(self) -> None:
        """For each hook of the specification there is a test here that has its name."""
        missing = [name for name in SPECIFIED if not hasattr(self, f"test_{name.removeprefix('lwm2md_')}")]
        self.assertEqual(missing, [])

    # While the configuration is read

    def test_settings(self) -> None:
        """The section is read by the plugin's schema: values, defaults, and what is wrong with the place of it."""
        loaded = self.loaded("doorbell", file="x")
        self.assertEqual(dict(loaded.plugins["doorbell"].settings), {"file": "x", "tune": "ding"})
        wrong = self.loaded("doorbell", tone="dong", tune="don")
        self.assertEqual(
            [str(error) for error in wrong.errors],
            [
                "--set: [plugin:doorbell] tone = 'dong': unknown key, expected one of file, tune; did you mean 'tune'?",
                "--set: [plugin:doorbell] tune = 'don': expected one of ding, dong; did you mean 'dong'?",
                "--set: [plugin:doorbell] file: it is needed, expected 1 to 4096 characters",
            ],
        )
        self.assertEqual(wrong.plugins["doorbell"].state, "failed")

    async def test_storage_backends(self) -> None:
        """A daemon keeps what it knows in a plugin's storage, and finds it there after a restart."""
        self.example("filelog")
        loaded = self.loaded("filelog", storage__url="filelog:log")
        backend = loaded.backends["filelog"]
        path = Path(self.mktemp())
        path.mkdir()
        for _ in range(2):
            node = await self.start("filelog", storage=backend.make("filelog:log", path, None))
            if not node.server.devices:
                await self.device().register("kept")
            self.assertEqual(list(node.server.devices), ["kept"])
            await node.stop()
            node.stop = lambda: None  # type: ignore[assignment, method-assign, return-value]
        missing = self.loaded("filelog", storage__url="filelogs:log").missing
        self.assertIn("or of a plugin: filelog:", str(missing[0]))
        self.assertIn("expected filelog:PATH", str(self.loaded("filelog", storage__url="filelog:").missing[0]))

    def test_commands(self) -> None:
        """A plugin's command is one of lwm2mctl, which plugins that can't be loaded do not keep from working."""
        hook = Loader().one("doorbell", self.settings("doorbell", file="x")).hooks["lwm2md_commands"]
        command: Command = hook.function()[0]
        options = parser({}, [command]).parse_args(["doorbell", "--forget"])
        asked: list[Any] = []

        class Client:
            """What a command asks with."""

            def request(self, *what: Any) -> None:
                """Keep what was asked."""
                asked.append(what)

        shown = io.StringIO()
        self.assertEqual(options.run(options, Client(), Output(shown, False)), 0)
        self.assertEqual((asked, shown.getvalue()), ([("DELETE", "/v1/plugins/doorbell/rung")], "forgotten\n"))
        self.assertTrue(foreign.wanted(parser({}), ["--json", "doorbell"]))
        self.assertFalse(foreign.wanted(parser({}), ["devices"]))

    # Its life

    async def test_metrics(self) -> None:
        """What a plugin declares is shown with its name as a label."""
        await self.doorbell()
        await self.device().register("d")
        await self.until(lambda: self.module("doorbell").bell.rung)
        _, shown = await self.api("GET", "/metrics")
        self.assertIn('lwm2md_plugin_rung{plugin="doorbell"} 1.0\n', shown)
        self.assertIn('lwm2md_plugin_running{plugin="doorbell"} 1.0\n', shown)
        self.assertIn('lwm2md_plugin_failures_total{plugin="doorbell"} 0.0\n', shown)

    async def test_start(self) -> None:
        """A plugin has its settings when it starts."""
        await self.doorbell(tune="dong")
        self.assertEqual((self.plugin("doorbell").state, self.module("doorbell").bell.tune), ("running", "dong"))

    async def test_reload(self) -> None:
        """A plugin takes other settings while it runs, which is told of their keys; wrong ones change nothing."""
        await self.doorbell()
        self.found = self.settings("doorbell", file=str(self.file), tune="dong")
        reloaded = self.node.configure(self.found)
        self.assertEqual((reloaded.changed, reloaded.restart), (("[plugin:doorbell] tune",), ()))
        await self.until(lambda: self.module("doorbell").bell.tune == "dong")
        self.found = self.settings("doorbell", file=str(self.file), tune="gong")
        status, problem = await self.api("POST", "/v1/plugins/doorbell/reload")
        self.assertEqual((status, problem["code"]), (422, "bad-configuration"))
        self.assertIn("did you mean 'dong'", problem["detail"])
        self.found = self.settings("doorbell", file=str(self.file), tune="ding")
        self.assertEqual((await self.api("POST", "/v1/plugins/doorbell/reload"))[0], 200)
        self.assertEqual(self.module("doorbell").bell.tune, "ding")

    async def test_stop(self) -> None:
        """A plugin is stopped when it is disabled, and again when the daemon stops."""
        await self.doorbell()
        _, found = await self.api("POST", "/v1/plugins/doorbell/disable")
        self.assertEqual((found["state"], self.file.read_text()), ("disabled", "silence\n"))
        self.assertEqual((await self.api("GET", "/v1/plugins/doorbell/rung"))[0], 404)
        _, found = await self.api("POST", "/v1/plugins/doorbell/enable")
        self.assertEqual(found["state"], "running")
        self.assertEqual((await self.api("GET", "/v1/plugins/doorbell/rung"))[0], 200)
        await self.node.plugins.stop()
        self.assertEqual(self.file.read_text(), "silence\nsilence\n")

    # What happens

    async def test_event_types(self) -> None:
        """A plugin gets the types that it names, and for others the daemon makes no event."""
        self.events = []
        await self.doorbell()
        self.node.delivery._subscriptions = self.node.delivery._subscriptions[1:]  # that of the test wants all
        self.node.delivery._wanted.clear()
        self.assertFalse(self.node.delivery.wants("device.updated"))
        self.assertTrue(self.node.delivery.wants("device.registered"))

    async def test_events(self) -> None:
        """A plugin gets what happens, in order."""
        await self.doorbell()
        for endpoint in ("a", "b", "c"):
            await self.device().register(endpoint)
        await self.until(lambda: len(self.module("doorbell").bell.rung) == 3)
        self.assertEqual(self.file.read_text(), "ding: a\nding: b\nding: c\n")
        self.assertEqual(self.plugin("doorbell").counters["events"], 3)

    # Who may do what

    def keys(self, identity: bytes) -> Deferred[Sequence[bytes]]:
        """The keys of an identity, as a handshake asks for them."""
        found: Deferred[Sequence[bytes]] = Deferred()
        self.node.vault.keys("registration").psk(identity, found.callback)
        return found

    async def test_authorize_registration(self) -> None:
        """A plugin refuses a registration, or allows it with labels."""
        self.example("gatekeeper")
        await self.start("gatekeeper", prefix="north-")
        refused = await self.device().register("south-1")
        self.assertEqual((refused.code, refused.payload), (n.FORBIDDEN, b"its name does not begin with north-"))
        self.assertEqual((await self.device().register("north-1")).code, n.CREATED)
        self.assertEqual((await self.api("GET", "/v1/devices/north-1"))[1]["labels"], {"gate": "passed"})
        inbox = (await self.api("GET", "/v1/refused"))[1]["items"]
        self.assertEqual([each["endpoint"] for each in inbox], ["south-1"])

    async def test_authorize_operation(self) -> None:
        """What a plugin does not allow reaches no device, whoever asks: it says who may do what."""
        self.example("gatekeeper")
        self.write(
            "asker",
            """
            @hookimpl
            def lwm2md_start(context):
                global asking
                asking = context
            @hookimpl
            async def lwm2md_authorize_operation(operation):
                return deny("nobody reboots") if operation.paths == ("/3/0/4",) else None
            """,
        )
        await self.start("gatekeeper", "asker", prefix="d")
        device = self.device()
        await device.register("d")
        _, refused = await self.api("POST", "/v1/devices/d/operations", {"op": "execute", "path": "/3/0/4"})
        self.assertEqual((refused["status"], refused["code"], refused["detail"]), (403, "forbidden", "nobody reboots"))
        self.assertEqual((await self.api("POST", "/v1/devices/d/resources/3/0/4", {}))[1]["code"], "forbidden")
        status, _ = await self.api("POST", "/v1/devices/d/operations?wait=0", {"op": "read", "path": "/3/0/0"})
        self.assertEqual(status, 202)
        submit = self.module("asker").asking.submit
        error = await self.assertFailure(submit("d", {"op": "write", "path": "/3/0/14", "value": "x"}), Exception)
        self.assertEqual((error.code, str(error)), ("forbidden", "plugin:asker may only read"))
        taken = await submit("d", {"op": "read", "path": "/3/0/1"})
        self.assertEqual(taken.document()["path"], "/3/0/1")

    async def test_credentials(self) -> None:
        """A plugin gives the key of an identity; after a failure there is none."""
        self.example("keyring")
        self.file.write_text("alice 00ff endpoint-a\nbob 0102\n")
        await self.start("keyring", file=str(self.file))
        running = self.node.plugins
        found = await seams.credentials(running, CredentialQuery(b"alice"))
        self.assertEqual([(each.key, each.endpoint) for each in found], [(b"\x00\xff", "endpoint-a")])
        self.assertEqual([each.endpoint for each in await seams.credentials(running, CredentialQuery(b"bob"))], ["*"])
        self.assertEqual(await seams.credentials(running, CredentialQuery(b"eve")), ())
        self.assertEqual(await seams.credentials(running, CredentialQuery(b"bob", "bootstrap")), ())
        for identity, keys in ((b"alice", [b"\x00\xff"]), (b"eve", []), (b"\xff", []), (b"x509:alice", [])):
            self.assertEqual(list(await self.keys(identity)), keys)
        known = await self.node.vault.known("alice")
        assert known is not None
        self.assertEqual((known.endpoints, known.scope), (("endpoint-a",), "registration"))
        self.file.write_text("bob no-hex\n")
        self.assertEqual(await seams.credentials(running, CredentialQuery(b"bob")), ())
        self.assertEqual(self.plugin("keyring").counters["failures"], 1)

    async def test_bootstrap_configuration(self) -> None:
        """A plugin makes up what a device is told, and leaves what another has said; a failure means nothing."""
        self.example("bootstrapper")
        self.write(
            "more",
            """
            @hookimpl(trylast=True)
            def lwm2md_bootstrap_configuration(configuration, request):
                if request.endpoint == "odd":
                    return "something"
                return BootstrapConfiguration(configuration.security, configuration.server, {"/3/0/15": "CET"})
            """,
        )
        await self.start("bootstrapper", "more", server="coaps://lwm2m.example", secret="s3cret")
        running = self.node.plugins
        made = await seams.bootstrap_configuration(running, BootstrapRequest("d", None, "127.0.0.1"))
        assert made is not None
        self.assertEqual((made.security["0"]["uri"], dict(made.objects)), ("coaps://lwm2m.example", {"/3/0/15": "CET"}))
        known = BootstrapConfiguration(server={"1": {"lifetime": 60}})
        kept = await seams.bootstrap_configuration(running, BootstrapRequest("d", None, "127.0.0.1"), known)
        assert kept is not None
        self.assertEqual((dict(kept.security), dict(kept.server["1"])), ({}, {"lifetime": 60}))
        self.assertNotIn("s3cret", repr(self.plugin("bootstrapper")) + repr(made))
        self.assertIsNone(await seams.bootstrap_configuration(running, BootstrapRequest("odd", None, "127.0.0.1")))
        self.assertIn("it answered str", self.plugin("more").failure or "")

    # What the daemon can do

    async def test_alert_rules(self) -> None:
        """The rules of plugins are known with whose they are, and say what an event raises and clears."""
        self.example("thresholds")
        await self.start("thresholds", limit="30")
        ((name, rule),) = await seams.alert_rules(self.node.plugins)
        self.assertEqual((name, rule.name, list(rule.types)), ("thresholds", "too-hot", ["device.value"]))

        def told(value: float) -> Delivered:
            rows = {"values": [{"path": "/3303/0/5700", "value": value}]}
            return Delivered("1", "device.value", "d", {}, msgspec.json.encode(rows))

        alerts = [rule.test(told(value)) for value in (31.5, 29)]
        self.assertEqual([each and (each.text, each.raised) for each in alerts],
                         [("/3303/0/5700 is 31.5", True), ("/3303/0/5700 is 29", False)])  # fmt: skip

    async def test_firmware_repositories(self) -> None:
        """The repositories of plugins list images and give parts of them."""
        self.example("firmwarefolder")
        (self.place / "lamp-1.2.bin").write_bytes(b"firmware")
        await self.start("firmwarefolder", directory=str(self.place))
        ((name, repository),) = await seams.firmware_repositories(self.node.plugins)
        image = (await self.node.plugins.ask(name, repository.images))[0]
        self.assertEqual((image.name, image.model, image.version, image.size), ("lamp-1.2.bin", "lamp", "1.2", 8))
        self.assertEqual(image.sha256, hashlib.sha256(b"firmware").hexdigest())
        self.assertEqual(await self.node.plugins.ask(name, repository.read, "lamp-1.2.bin", 4, 2), b"wa")
        await self.assertFailure(self.node.plugins.ask(name, repository.read, "../x", 0, 1), LookupError)

    async def test_http_routes(self) -> None:
        """A plugin's routes are in the API and in its document, and their callers hear of what goes wrong."""
        self.example("weather")
        self.write(
            "wrong",
            """
            @hookimpl
            def lwm2md_http_routes():
                return [ApiRoute("GET", "broken/{word}", lambda request: 1 / 0, "fails", {"why": "no reason"})]
            """,
        )
        await self.start("weather", "wrong")
        self.assertEqual(await self.api("PUT", "/v1/weather", {"text": "rain"}), (204, None))
        self.assertEqual(self.module("weather").Weather.today.text, "rain")
        status, problem = await self.api("PUT", "/v1/weather", {"text": ""})
        self.assertEqual(
            (status, problem["code"], problem["detail"]), (400, "no-weather", "there is always some weather")
        )
        self.assertEqual(self.plugin("weather").counters["failures"], 0)
        self.assertEqual((await self.api("PUT", "/v1/weather", {"txt": "x"}))[1]["code"], "bad-body")
        status, problem = await self.api("GET", "/v1/plugins/wrong/broken/x?why=y")
        self.assertEqual((status, problem["code"]), (502, "plugin-failed"))
        self.assertIn("ZeroDivisionError", self.plugin("wrong").failure or "")
        _, document = await self.api("GET", "/v1/openapi.json")
        OpenAPIV31SpecValidator(document).validate()
        self.assertIn("put", document["paths"]["/v1/weather"])
        self.assertIn("get", document["paths"]["/v1/plugins/wrong/broken/{word}"])
        self.assertEqual((await self.api("GET", "/v1/plugins/wrong"))[0], 200)

    async def test_coap_resources(self) -> None:
        """A plugin's tree of txthings' resources is served, and no longer when the plugin is stopped."""
        self.example("weather")
        await self.start("weather", storage=MemoryStorage())
        device = self.device()
        await self.api("PUT", "/v1/weather", {"text": "rain"})
        answer = await device.ask(n.GET, ("weather", "today"))
        self.assertEqual((answer.code, answer.payload), (n.CONTENT, b"rain"))
        self.assertIn(b"</weather/today>", (await device.ask(n.GET, (".well-known", "core"))).payload)
        self.assertEqual((await device.ask(n.GET, ("weather", "never"))).code, n.NOT_FOUND)
        self.assertEqual((await device.ask(n.PUT, ("weather", "today"))).code, n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.plugin("weather").counters["failures"], 0)
        self.module("weather").Weather.today.text = None
        self.assertEqual((await device.ask(n.GET, ("weather", "today"))).code, n.INTERNAL_SERVER_ERROR)
        self.assertIn("lwm2md_coap_resources: AttributeError", self.plugin("weather").failure or "")
        self.flushLoggedErrors(AttributeError)
        await self.api("POST", "/v1/plugins/weather/disable")
        self.assertEqual((await device.ask(n.GET, ("weather", "today"))).code, n.NOT_FOUND)
