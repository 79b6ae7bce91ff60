"""Tests of `lwm2md.http.status`, `census`, `metrics` and `measures`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config.schema import Api, Settings
from lwm2md.http.measures import MEASURES
from tests.http.support import ApiTestCase

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class StatusTests(ApiTestCase):
    """What the daemon says of itself."""

    async def test_status(self) -> None:
        """The status has version, uptime, listeners with real ports, counts, storage and plugins."""
        self.node.device("a")
        self.node.device("b", registered=False).register("</3/0>", "Q")
        self.node.clock.advance(100)
        document = (await self.call("GET", "/v1/status")).json
        self.assertEqual((document["version"], document["uptime"], document["ready"]), ("0.1.0", 100.0, True))
        self.assertEqual(document["listeners"], [{"transport": "coap", "address": "127.0.0.1:5683"}])
        self.assertEqual(document["counts"]["devices"], 2)
        self.assertEqual((document["counts"]["states"]["online"], document["counts"]["states"]["sleeping"]), (1, 1))
        self.assertEqual(document["storage"], {"kind": "sqlite", "waiting": 0, "failures": 0, "error": None})
        self.assertEqual(document["plugins"], [])

    async def test_metrics(self) -> None:
        """Metrics are Prometheus' text, of all parts."""
        self.node.device("a")
        seen = await self.call("GET", "/metrics")
        self.assertTrue(seen.headers["content-type"].startswith("text/plain; version=0.0.4"))
        families = {family.name: family for family in text_string_to_metric_families(seen.body.decode())}
        states = {sample.labels["state"]: sample.value for sample in families["lwm2md_devices"].samples}
        self.assertEqual(states, {"online": 1, "sleeping": 0, "not-responding": 0, "offline": 0})
        jumps = {sample.labels["direction"]: sample.value for sample in families["lwm2md_clock_jumps"].samples}
        self.assertEqual(jumps, {"forward": 2, "backward": 1})
        self.assertEqual(families["lwm2md_coap_received"].samples[0].value, 1)
        self.assertEqual(families["lwm2md_http_requests"].samples[0].value, 1)


class MeasureTests(SynchronousTestCase):
    """The table of metrics."""

    def test_page(self) -> None:
        """The page of the metrics has a row for each, with its name, its kind and its meaning, and no other."""
        rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
        wanted = [f"| `{each.shown(name)}` | {each.kind} | {each.help} |" for name, each in MEASURES.items()]
        self.assertEqual(rows, wanted)


class OpenMetricsTests(ApiTestCase):
    """Metrics where the operator opened them."""

    settings = Settings(api=Api(metrics_open=True))

    async def test_open(self) -> None:
        """Metrics need no token when the configuration says so; nothing else is opened by that."""
        self.assertEqual((await self.call("GET", "/metrics", token=None)).status, 200)
        self.assertEqual((await self.call("GET", "/v1/status", token=None)).status, 401)
