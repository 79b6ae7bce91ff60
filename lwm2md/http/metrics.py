"""``/metrics``: counters of all parts and the size of what is kept, in Prometheus' text format.

RULES: numbers are read when somebody asks; nothing is counted twice for it. No label has an unbounded set of values:
endpoints never become labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lwm2md.http.measures import MEASURES
from lwm2md.http.pluginmetrics import declared, plugin_value

if TYPE_CHECKING:
    from lwm2md.http.api import Api

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_LABELS: dict[str, str] = {
    "info": "version",
    "devices": "state",
    "deviations": "kind",
    "deviating_devices": "kind",
    "security_refused": "cause",
    "clock_jumps": "direction",
}
_LABELS |= {name: "plugin" for name in MEASURES if name.startswith("plugin_")}
_FAMILIES: Final = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


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
        values = self._values()
        for name, (kind, text) in MEASURES.items():
            shown = f"lwm2md_{name}"
            labels = _LABELS.get(name)
            if labels is not None:
                family = _FAMILIES[kind](shown, text, labels=[labels])
                for label, value in self._labelled(name):
                    family.add_metric([label], value)
                yield family
            elif name in values:
                yield _FAMILIES[kind](shown, text, value=values[name])
        yield from declared(self._api.node.plugins.plugins.values())

    def _labelled(self, name: str) -> Iterable[tuple[str, float]]:
        node = self._api.node
        if name == "info":
            return [(node.version, 1)]
        if name == "clock_jumps":
            return node.clock_jumps.items()
        if name == "deviations":
            return sorted(node.server.deviation_counts().items())
        if name == "security_refused":
            return sorted(node.server.refused.causes.items())
        if name.startswith("plugin_"):
            what = name.removeprefix("plugin_")
            return [(each.name, plugin_value(each, what)) for each in node.plugins.plugins.values()]
        if name == "deviating_devices":
            return sorted(self._api.census.deviations(node).items())
        return self._api.census.states(node).items()

    def _values(self) -> dict[str, float]:
        api, node = self._api, self._api.node
        server = node.server
        return {
            "started_seconds": node.started,
            "ready": float(node.ready),
            "draining": float(node.drain.state != "off"),
            "storage_failing": float(node.delivery.failure is not None),
            "operations": len(server.operations),
            "operations_waiting": server.waiting,
            "observations": len(server.observations),
            "delivery_waiting": node.delivery.backlog,
            "security_inbox": len(server.refused),
            "security_waiting": server.gate.waiting,
            "credentials": node.vault.count,
            "http_connections": len(api.connections),
            "http_event_readers": len(api.streams),
            "http_requests": api.requests,
            "http_failures": api.failures,
            **node.counters(),
        }
