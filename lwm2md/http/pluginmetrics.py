"""Metrics of plugins for ``/metrics``: what the daemon measures of each, and what each has declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from lwm2md.plugins.measuring import Metric
from lwm2md.plugins.plugin import Plugin


def plugin_value(plugin: Plugin, name: str) -> float:
    """One of the things that the daemon measures of a plugin."""
    if name == "running":
        return float(plugin.state == "running")
    return plugin.seconds if name == "seconds" else plugin.counters[name]


def declared(plugins: Iterable[Plugin]) -> Iterator[Family]:
    """What plugins have declared. Of one name the first that declared it says kind and labels; others are left out."""
    by_name: dict[str, list[tuple[str, Metric]]] = {}
    for plugin in plugins:
        for metric in plugin.metrics:
            by_name.setdefault(metric.name, []).append((plugin.name, metric))
    for name, found in by_name.items():
        first = found[0][1]
        kind = GaugeMetricFamily if first.kind == "gauge" else CounterMetricFamily
        family = kind(f"lwm2md_plugin_{name}", first.help, labels=["plugin", *first.labels])
        for plugin_name, metric in found:
            if (metric.kind, metric.labels) == (first.kind, first.labels):
                for labels, value in metric.values():
                    family.add_metric([plugin_name, *labels], value)
        yield family
