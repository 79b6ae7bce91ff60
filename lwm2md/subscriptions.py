"""Readers of events: what each wants, and how it gets that once, in order, and no faster than it can take it.

RULES: a subscription first replays the log in chunks, then turns live at a moment when no stored event lies between.
Ids only grow: what is not newer than the last one pushed is never pushed. Live-only events that happen during a replay
are not shown to that reader. A reader that does not keep up is closed, never waited for.
"""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.storage.interface import Rows

GAP: Final = "gap"
TOO_SLOW: Final = "too-slow"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
CLOSED: Final = "closed"

_CHUNK: Final = 200
_AT_ONCE: Final = 1 << 16
"""How many bytes of documents are pushed at once, about."""
_WILD: Final = frozenset("*?[")


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """An event with its id, as all readers get it: ``document`` is the JSON of ``interfaces.md``, rendered once.

    One that is not ``stored`` is live only: who comes back is not given it.
    """

    id: str
    type: str
    endpoint: str | None
    labels: Mapping[str, str]
    document: bytes
    stored: bool = True


class _Head(msgspec.Struct):
    """What filters look at in a stored document."""

    type: str
    endpoint: str | None = None
    labels: dict[str, str] = {}


_decode_head: Final = msgspec.json.Decoder(_Head).decode


def stored(event_id: str, document: bytes) -> Delivered:
    """Return a record of the log as a Delivered; raises ``msgspec.DecodeError`` for what is no event's document."""
    head = _decode_head(document)
    return Delivered(event_id, head.type, head.endpoint, head.labels, document)


class Filter:
    """Which events a reader wants; all that is given must match.

    ``types`` are exact names or shell globs such as ``device.*``; ``endpoint`` is exact; ``selector`` is asked with the
    event's labels. With ``stored`` nothing that is live only matches.
    """

    __slots__ = ("_endpoint", "_exact", "_patterns", "_selector", "_stored")

    def __init__(
        self,
        types: Iterable[str] | None = None,
        endpoint: str | None = None,
        selector: Callable[[Mapping[str, str]], bool] | None = None,
        *,
        stored: bool = False,
    ) -> None:
        names = None if types is None else frozenset(types)
        self._exact = names
        self._patterns = [re.compile(fnmatch.translate(name)) for name in names or () if _WILD & set(name)]
        self._endpoint = endpoint
        self._selector = selector
        self._stored = stored

    def wants(self, event_type: str) -> bool:
        """Whether a live-only event of this type can match at all."""
        return not self._stored and self._names(event_type)

    def _names(self, event_type: str) -> bool:
        if self._exact is None or event_type in self._exact:
            return True
        return any(pattern.match(event_type) for pattern in self._patterns)

    def select(self, events: Sequence[Delivered]) -> Sequence[Delivered]:
        """Those of these events that the reader gets."""
        endpoint, selector, stored = self._endpoint, self._selector, self._stored
        by_name = endpoint is None and selector is None and not stored
        # Many events are of one type, or of a few.
        if by_name and all(map(self._names, {event.type for event in events})):
            return events
        return [
            event
            for event in events
            if (endpoint is None or endpoint == event.endpoint)
            and (event.stored or not stored)
            and self._names(event.type)
            and (selector is None or selector(event.labels))
        ]


class Source(Protocol):
    """What a subscription asks of the Delivery it belongs to."""

    trimmed: str
    """Id up to which the log has been removed, or ``""``."""

    def read(self, after: str, limit: int) -> Deferred[Rows]:
        """Return the next records of the log."""
        ...

    def gap(self, position: str) -> Delivered:
        """Make the event that says: what was before ``position`` and not shown yet is lost."""
        ...

    def left(self, subscription: Subscription) -> None:
        """Learn that a subscription ended."""
        ...


class Subscription:
    """One reader. Made by ``Delivery.subscribe``; ``push`` is called on the reactor's thread, never after ``close``."""

    __slots__ = (
        "_chunk_size",
        "_filter",
        "_limit",
        "_on_close",
        "_paused",
        "_pumping",
        "_push",
        "_queue",
        "_reading",
        "_source",
        "live",
        "position",
        "reason",
    )

    _log = Logger(namespace="lwm2md.delivery")

    def __init__(
        self,
        source: Source,
        wanted: Filter,
        push: Callable[[Sequence[Delivered]], None],
        limit: int,
        on_close: Callable[[str], None] | None,
    ) -> None:
        self._source = source
        self._filter = wanted
        self._push = push
        self._limit = limit
        self._chunk_size = max(1, min(_CHUNK, limit // 2))
        self._on_close = on_close
        self._queue: deque[Delivered] = deque()
        self._paused = self._pumping = self._reading = False
        self.live = True
        self.position = ""
        self.reason: str | None = None

    def wants(self, event_type: str) -> bool:
        """Whether this reader can use a live event of this type now."""
        return self._filter.wants(event_type)

    def pause(self) -> None:
        """Push nothing until ``resume``; what is live gathers, up to the limit."""
        self._paused = True

    def resume(self) -> None:
        """Go on pushing."""
        self._paused = False
        self._pump()

    def close(self, reason: str = CLOSED) -> None:
        """End it; ``on_close`` learns the reason. Harmless when it has ended already."""
        if self.reason is not None:
            return
        self.reason = reason
        self._queue.clear()
        self._source.left(self)
        if self._on_close is not None:
            try:
                self._on_close(reason)
            except Exception:
                self._log.failure("a reader of events failed when it was told of its end")

    def replay(self, position: str, lossy: bool) -> None:
        """Show what the log has after ``position``, then go live; ``lossy`` says that something before is missing."""
        self.live = False
        self.position = position
        if lossy:
            self._lost(position)
        self._pump()

    def offer(self, events: Sequence[Delivered]) -> None:
        """Take events that go to live readers now; a replaying one finds the stored ones in the log."""
        if not self.live:
            return
        if events and events[0].id <= self.position:
            events = [event for event in events if event.id > self.position]
        chosen = self._select(events)
        while chosen:
            self.position = chosen[-1].id
            room = self._limit - len(self._queue)
            self._queue += chosen[:room]
            chosen = chosen[room:]
            self._pump()
            if chosen and len(self._queue) >= self._limit:
                self.close(TOO_SLOW)
                return

    def _lost(self, position: str) -> None:
        self.position = position
        self._queue.append(self._source.gap(position))

    def _select(self, events: Sequence[Delivered]) -> Sequence[Delivered]:
        try:
            return self._filter.select(events)
        except Exception:
            self._log.failure("the filter of a reader of events failed")
            self.close(FAILED)
            return ()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._step():
                pass
        except Exception:
            self._log.failure("a reader of events failed and is closed")
            self.close(FAILED)
        finally:
            self._pumping = False

    def _step(self) -> bool:
        """Push some events or read one chunk; False when there is nothing to do before something else happens."""
        if self._paused or self.reason is not None:
            return False
        if self._queue:
            self._push(self._piece())
            return True
        if self.live or self._reading:
            return False
        self._reading = True
        self._source.read(self.position, self._chunk_size).addCallbacks(self._chunk, self._unreadable)
        return not self._reading

    def _piece(self) -> list[Delivered]:
        """What waits, but not all at once: the reader may want to pause in between."""
        piece: list[Delivered] = []
        size = 0
        while self._queue and size < _AT_ONCE:
            event = self._queue.popleft()
            size += len(event.document)
            piece.append(event)
        return piece

    def _chunk(self, rows: Rows) -> None:
        self._reading = False
        if self.reason is not None:
            return
        if self.position < self._source.trimmed:  # the log's old end overtook this reader
            self._lost(self._source.trimmed)
        for event_id, document in rows:
            self._found(event_id, document)
        self.live = len(rows) < self._chunk_size  # answers come in order: what is newer is yet to be offered
        self._pump()

    def _found(self, event_id: str, document: bytes) -> None:
        if event_id <= self.position:
            return
        self.position = event_id
        try:
            event = stored(event_id, document)
        except msgspec.DecodeError:
            self._log.error("event {id} in the log is damaged and was left out", id=event_id)
            return
        self._queue += self._select((event,))

    def _unreadable(self, failure: Failure) -> None:
        self._reading = False
        self._log.error("events can not be replayed: {error}", error=failure.value)
        self.close(FAILED)
