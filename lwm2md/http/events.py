"""The event stream: server-sent events (HTML standard, section 9.2) with replay and bounded readers.

RULES: a reader that the socket can't keep up with is paused; what waits for it is bounded by the subscription, which
then ends it, and so is one that takes nothing for two heartbeats. It comes back with ``Last-Event-ID`` and misses
nothing that is kept. A comment line goes out when nothing else did, so that both ends notice a dead connection.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from lwm2md.http import parameters as p
from lwm2md.http.devices import SELECTOR
from lwm2md.http.problems import Problem
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.subscriptions import TOO_SLOW, Delivered, Filter, Subscription

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = 15.0
"""Seconds between comment lines."""

_MOST_TYPES: Final = 50
_GREETING: Final = b"retry: 2000\n\n"


@implementer(IPushProducer)
class EventStream:
    """One reader of the stream, between its subscription and its connection."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._streams: set[Call] = call.channel.factory.streams
        self._subscription: Subscription | None = None
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._stalled = False
        self._ended = False

    def start(self, wanted: Filter, after: str | None) -> None:
        """Send the head of the answer, and everything that the reader wants from then on."""
        call = self._call
        self._streams.add(call)
        call.lost = self.stopProducing
        call.start_stream(MEDIA_TYPE.encode("ascii"))
        call.push(_GREETING)
        call.registerProducer(self, True)  # type: ignore[no-untyped-call]
        limit = call.node.settings.limits.event_reader_queue
        subscription = call.node.delivery.subscribe(wanted, after, self._push, limit, self._closed)
        if self._ended:
            subscription.close()
            return
        self._subscription = subscription
        if self._paused:
            subscription.pause()
        self._timer = call.node.reactor.callLater(HEARTBEAT, self._beat)

    def pauseProducing(self) -> None:
        """The connection takes no more for now."""
        self._paused = True
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        """The connection takes data again."""
        self._paused = self._stalled = False
        if self._subscription is not None:
            self._subscription.resume()

    def stopProducing(self) -> None:
        """The reader is gone."""
        self._end()
        if self._subscription is not None:
            self._subscription.close()

    def _push(self, event: Delivered) -> None:
        name = event.type.encode("utf-8")
        self._call.push(b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode("ascii"), name, event.document))

    def _beat(self) -> None:
        self._timer = self._call.node.reactor.callLater(HEARTBEAT, self._beat)
        if not self._paused:
            self._call.push(b":\n\n")
        elif self._stalled and self._subscription is not None:
            self._subscription.close(TOO_SLOW)
        else:
            self._stalled = True

    def _closed(self, reason: str) -> None:
        if self._ended:
            return
        self._end()
        self._call.lost = None
        self._call.unregisterProducer()  # type: ignore[no-untyped-call]
        self._call.disconnect(abort=reason == TOO_SLOW)

    def _end(self) -> None:
        self._ended = True
        self._streams.discard(self._call)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _events(call: Call) -> Reply | None:
    if call.method == b"HEAD":
        return Reply(200, b"", MEDIA_TYPE.encode("ascii"))
    most = call.node.settings.limits.event_readers
    if len(call.channel.factory.streams) >= most:
        raise Problem(
            "overloaded",
            f"{most} readers of the event stream are there already ([limits] event-readers)",
            headers=((b"Retry-After", b"5"),),
        )
    last = call.getHeader(b"Last-Event-ID")
    query = call.query
    EventStream(call).start(
        Filter(query["types"], query["endpoint"], query["selector"]),
        last.decode("utf-8", "replace").strip() or None if last is not None else None,
    )
    return None


def _types(text: str) -> list[str] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > _MOST_TYPES:
        raise ValueError(f"at most {_MOST_TYPES} types are expected")
    return names or None


TYPES: Final = p.Parameter(
    "types", "only these types, by commas; patterns such as `device.*` too", {"type": "string"}, _types
)

ROUTES: Final = (
    Route(
        "GET",
        "/v1/events",
        _events,
        "Events as they happen, after a replay from `Last-Event-ID`",
        (
            TYPES,
            SELECTOR,
            p.text("endpoint", "only those of this device"),
        ),
        answers={200: None},
        media_type=MEDIA_TYPE,
        fails=(503,),
    ),
)
