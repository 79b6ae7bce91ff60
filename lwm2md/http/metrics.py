"""``/metrics``: counters of all parts and the size of what is kept, in Prometheus' text format.

RULES: numbers are read when somebody asks; nothing is counted twice for it. No label has an unbounded set of values:
endpoints never become labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from lwm2md.http.api import Api

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_]")


class Metrics(Collector):
    """All metrics of one daemon, in a registry of their own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """The metrics as text."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing in advance: the counters are known when they are read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        api, node = self._api, self._api.node
        server = node.server
        info = GaugeMetricFamily("lwm2md_info", "The version that runs", labels=["version"])
        info.add_metric([node.version], 1)
        yield info
        states = GaugeMetricFamily("lwm2md_devices", "Devices by state", labels=["state"])
        for state, count in api.census.states(node).items():
            states.add_metric([state], count)
        yield states
        gauges = (
            ("started_seconds", "When the daemon started, in Unix seconds", node.started),
            ("ready", "Whether the daemon serves", float(node.ready)),
            ("operations", "Operations that are remembered", len(server.operations)),
            ("observations", "Observations that are wished for", len(server.observations)),
            ("delivery_waiting", "Commits that wait for the storage", node.delivery.backlog),
            ("http_connections", "Open connections to the API", len(api.connections)),
            ("http_event_readers", "Readers of the event stream", len(api.streams)),
        )
        for name, help_text, value in gauges:
            yield GaugeMetricFamily(f"lwm2md_{name}", help_text, value=value)
        yield CounterMetricFamily("lwm2md_http_requests", "Requests to the API", value=api.requests)
        yield CounterMetricFamily("lwm2md_http_failures", "Requests that failed by our mistake", value=api.failures)
        for name, value in sorted(node.counters().items()):
            shown = "lwm2md_" + _FOREIGN.sub("_", name)
            yield CounterMetricFamily(shown, f"Counter {name}", value=value)
