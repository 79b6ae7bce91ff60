"""Metrics of plugins: counters and gauges that a plugin declares, shown with the label ``plugin``.

RULES: a plugin has few metrics, and few series of each: a label never has the name of a device. A gauge may be a
function, called when somebody asks; one that fails is left out. Everything may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Final, Literal

import attrs

MOST_METRICS: Final = 100
MOST_SERIES: Final = 100
"""How many metrics a plugin may declare, and how many sets of labels each may have."""

RESERVED: Final = frozenset({"running", "calls", "failures", "timeouts", "held", "seconds", "events", "events_dropped"})
"""Names of what the daemon itself measures of every plugin."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_NONE: Final[Mapping[str, str]] = {}


@attrs.define(eq=False)
class Metric:
    """One metric of a plugin."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    read: Callable[[], float] | None = None
    series: dict[tuple[str, ...], float] = attrs.field(factory=dict)
    _lock: Lock = attrs.field(factory=Lock, repr=False)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count, for this set of labels. Sets beyond `MOST_SERIES` are not counted."""
        key = tuple(str(labels[name]) for name in self.labels)
        with self._lock:
            if key in self.series or len(self.series) < MOST_SERIES:
                self.series[key] = self.series.get(key, 0) + amount

    def set(self, value: float, **labels: str) -> None:
        """Let a gauge have this value, for this set of labels."""
        key = tuple(str(labels[name]) for name in self.labels)
        with self._lock:
            if key in self.series or len(self.series) < MOST_SERIES:
                self.series[key] = value

    def values(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """The values there are now, by the values of the labels."""
        if self.read is not None:
            try:
                yield (), float(self.read())
            except Exception:
                return
        else:
            with self._lock:
                found = tuple(self.series.items())
            yield from found


class PluginMetrics:
    """What one plugin has declared."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def counter(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: tuple[str, ...] = (),
        read: Callable[[], float] | None = None,
    ) -> Metric:
        """Declare a counter, shown as ``lwm2md_plugin_NAME_total``; the one there is if it is declared already.

        ``read`` is called when somebody asks for it. Raises ValueError for a bad name and where there are too many.
        """
        return self._declare(Metric(name, "counter", help, labels, read))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: tuple[str, ...] = (),
        read: Callable[[], float] | None = None,
    ) -> Metric:
        """Declare a gauge, shown as ``lwm2md_plugin_NAME``; ``read`` is called when somebody asks for it."""
        return self._declare(Metric(name, "gauge", help, labels, read))

    def _declare(self, metric: Metric) -> Metric:
        if metric.name in RESERVED or "plugin" in metric.labels:
            raise ValueError(f"{metric.name!r}, or a label of it, is the daemon's")
        for name in (metric.name, *metric.labels):
            if not _NAME.fullmatch(name):
                raise ValueError(f"a metric or label is named with a-z, 0-9 and _: {name!r} is not")
        known = self._metrics.get(metric.name)
        if known is None and len(self._metrics) >= MOST_METRICS:
            raise ValueError(f"a plugin has at most {MOST_METRICS} metrics")
        if known is not None and (known.kind, known.labels) == (metric.kind, metric.labels):
            known.read = metric.read
            return known
        self._metrics[metric.name] = metric
        if not metric.labels and metric.read is None:
            metric.series[()] = 0
        return metric

    def __iter__(self) -> Iterator[Metric]:
        return iter(tuple(self._metrics.values()))
