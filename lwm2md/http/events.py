"""The event stream: server-sent events (HTML standard, section 9.2) with replay and bounded readers.

RULES: a reader that the socket can't keep up with is paused; what waits for it is bounded by the subscription, which
then ends it, and so is one that takes nothing for two heartbeats. It comes back with ``Last-Event-ID`` and misses
nothing that is kept. A comment line goes out when nothing else did, so that both ends notice a dead connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

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


Push = Callable[[Sequence[Delivered]], None]


class Followed(Protocol):
    """What a stream shows: it pushes events to the stream until either of them ends it."""

    def pause(self) -> None:
        """Push nothing until ``resume``."""
        ...

    def resume(self) -> None:
        """Go on pushing."""
        ...

    def close(self, reason: str = ..., /) -> None:
        """End it, and say so; harmless when it has ended already."""
        ...


@implementer(IPushProducer)
class EventStream:
    """One reader of a stream, between what it follows and its connection."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._streams: set[Call] = call.channel.factory.streams
        self._subscription: Followed | None = None
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._stalled = False
        self._ended = False

    def start(self, follow: Callable[[Push, Callable[[str], None]], Followed]) -> None:
        """Send the head of the answer, and from then on everything that is pushed.

        ``follow`` begins it: it is given where to push, and what to call at the end, with the reason.
        """
        call = self._call
        self._streams.add(call)
        call.lost = self.stopProducing
        call.start_stream(MEDIA_TYPE.encode("ascii"))
        call.push(_GREETING)
        call.registerProducer(self, True)  # type: ignore[no-untyped-call]
        subscription = follow(self._push, self._closed)
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

    def _push(self, events: Sequence[Delivered]) -> None:
        written = [f"id: {event.id}\nevent: {event.type}\ndata: ".encode() + event.document for event in events]
        self._call.push(b"\n\n".join([*written, b""]))

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


def require_room(call: Call) -> None:
    """Return when one more reader may come; else raise `Problem`."""
    most = call.node.settings.limits.event_readers
    if len(call.channel.factory.streams) >= most:
        raise Problem(
            "overloaded",
            f"{most} readers of the event stream are there already ([limits] event-readers)",
            headers=((b"Retry-After", b"5"),),
        )


def last_event_id(call: Call) -> str | None:
    """The id after which a reader that comes back goes on."""
    last = call.getHeader(b"Last-Event-ID")
    return None if last is None else last.decode("utf-8", "replace").strip() or None


def _events(call: Call) -> Reply | None:
    if call.method == b"HEAD":
        return Reply(200, b"", MEDIA_TYPE.encode("ascii"))
    require_room(call)
    node, query = call.node, call.query
    wanted = Filter(query["types"], query["endpoint"], query["selector"])

    def follow(push: Push, closed: Callable[[str], None]) -> Subscription:
        limit = node.settings.limits.event_reader_queue
        return node.delivery.subscribe(wanted, last_event_id(call), push, limit, closed)

    EventStream(call).start(follow)
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
