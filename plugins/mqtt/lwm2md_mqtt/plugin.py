"""The plugin: its hooks, and how its parts are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed

import lwm2md
from lwm2md.plugins import Delivered, PluginMetrics, Setting
from lwm2md.plugins.context import PluginContext
from lwm2md.plugins.queues import EventSource
from lwm2md_mqtt.asking import Requests
from lwm2md_mqtt.broker import Broker
from lwm2md_mqtt.messages import GAP, Message, Publisher
from lwm2md_mqtt.options import KEYS, options

API_VERSION: Final = 1
RESTARTABLE: Final = True

HELP: Final = {
    "connections": "Connections that the broker has accepted",
    "lost": "Connections that were lost",
    "published": "Messages handed to the connection",
    "acknowledged": "Messages that the broker has acknowledged, or that were sent with QoS 0",
    "refused": "Messages that the broker has refused, by its access rules or limits",
    "unsendable": "Messages that don't fit into a packet of MQTT",
    "received": "Messages that the broker has delivered",
    "ignored": "Messages that were retained, or have a topic that is not UTF-8",
    "requests": "Requests",
    "requests_refused": "Requests that were answered without asking a device",
    "requests_ignored": "Requests for devices that are not ours by endpoints, or whose topic names none",
    "answers": "Answers to requests, several to one that had to wait",
    "answers_dropped": "Answers that were dropped because too many waited for the broker",
    "gaps": "How often the log was trimmed before the broker had what was in it",
    "damaged": "Events that the daemon has stored and that can't be read",
}
"""The counters, and what each of them counts."""
GAUGES: Final = {
    "connected": "Whether there is a connection to the broker",
    "in_flight": "Messages that the broker has not acknowledged yet",
    "waiting": "Answers and batches of events that wait to be published",
    "requests_open": "Requests whose operation has not ended",
}
"""The gauges, and what each of them shows."""


class Bridge:
    """One start of the plugin."""

    def __init__(self, context: PluginContext) -> None:
        found = options(context.settings, context.daemon)
        self._context = context
        self._failure: str | None = "not connected yet"
        self._publisher = Publisher(found.topics, found.events, found.endpoints, plain=found.plain)
        self._events, self._live = found.events, found.live
        self._damaged = self._gaps = 0
        self.broker = Broker(found, context.reactor, self._deliver, self._tell)
        self.requests = Requests(context, found, self._publisher.wants_endpoint, self.broker.answer)
        self._sources: list[EventSource] = []

    def start(self) -> Deferred[None]:
        """Connect, and go on where the cursor is."""
        self.broker.start()
        if self._events:
            self._sources.append(self._context.subscribe(self._events, self._publish, durable=True))
            if self._live:
                self._sources.append(self._context.subscribe(self._events, self._publish_live, name="live"))
        return self.requests.start()

    def stop(self) -> Deferred[None]:
        """Begin nothing more, finish what was begun, disconnect."""
        for source in self._sources:
            source.close()
        self.requests.stop()
        return self.broker.stop()

    def counters(self) -> dict[str, int]:
        """What was counted, by the names of `HELP`."""
        return {
            **self.broker.session.counters,
            **self.requests.counters,
            "answers_dropped": self.broker.outbox.dropped,
            "damaged": self._damaged,
            "gaps": self._gaps,
        }

    def gauges(self) -> dict[str, int]:
        """What there is, by the names of `GAUGES`."""
        outbox = self.broker.outbox
        return {
            "connected": int(self.broker.up),
            "in_flight": outbox.flying,
            "waiting": outbox.waiting,
            "requests_open": self.requests.open,
        }

    def _deliver(self, topic: str, payload: bytes) -> None:
        try:
            self.requests.take(topic, payload)
        except Exception:  # it is ours, and neither the connection's fault nor that of other requests
            self._context.log.failure("a request from the broker could not be taken")

    def _publish(self, events: Sequence[Delivered]) -> Deferred[None]:
        """Publish a batch; the cursor moves when the broker has it."""
        return self.broker.publish(self._messages(events))

    def _publish_live(self, events: Sequence[Delivered]) -> Deferred[None]:
        """Publish what is not stored, if anybody is there to take it now."""
        live = [event for event in events if not event.stored]
        return self.broker.publish(self._messages(live)) if live and self.broker.up else succeed(None)

    def _messages(self, events: Sequence[Delivered]) -> Iterator[Message]:
        for event in events:
            if event.type == GAP:
                self._gaps += 1
                self._context.log.error("events are missing: the log was trimmed before the broker had them")
            try:
                found = list(self._publisher.messages(event.type, event.endpoint, event.document))
            except ValueError:
                self._damaged += 1
                self._context.log.failure("event {id} can't be published and is left out", id=event.id)
                continue
            yield from found

    def _tell(self, failure: str | None) -> None:
        """Log and show what is wrong, when it changes."""
        if failure == self._failure:
            return
        self._failure = failure
        self._context.health(failure)
        if failure is None:
            self._context.log.info("connected to the broker")
        else:
            self._context.log.error("{failure}", failure=failure)


class _Plugin:
    """What there is of the plugin at the moment."""

    bridge: Bridge | None = None


_plugin: Final = _Plugin()


@lwm2md.hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:mqtt]``."""
    return [Setting(key.name, key.kind, key.default, key.help) for key in KEYS]


@lwm2md.hookimpl
def lwm2md_metrics(metrics: PluginMetrics) -> None:
    """Counters and gauges, read when somebody asks for them."""

    def counter(name: str) -> Callable[[], float]:
        return lambda: 0 if _plugin.bridge is None else _plugin.bridge.counters()[name]

    def gauge(name: str) -> Callable[[], float]:
        return lambda: 0 if _plugin.bridge is None else _plugin.bridge.gauges()[name]

    for name, text in HELP.items():
        metrics.counter(f"mqtt_{name}", text, read=counter(name))
    for name, text in GAUGES.items():
        metrics.gauge(f"mqtt_{name}", text, read=gauge(name))


@lwm2md.hookimpl
async def lwm2md_start(context: PluginContext) -> None:
    """Start."""
    _plugin.bridge = bridge = Bridge(context)
    await bridge.start()


@lwm2md.hookimpl
def lwm2md_stop() -> Deferred[None]:
    """Stop."""
    bridge, _plugin.bridge = _plugin.bridge, None
    return succeed(None) if bridge is None else bridge.stop()
