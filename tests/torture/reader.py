"""Readers of the event stream that come back with the id of the last event they got, as browsers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import treq
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers

from tests import web
from tests.processes import reactor
from tests.torture.daemon import Daemon
from tests.torture.model import Violation

_PATIENCE: Final = 30.0
_FIRST: Final = "0" * 16


async def stream(daemon: Daemon, after: str, query: str = "") -> web.EventStream:
    """Open the event stream after an id. Raises what the network does."""
    found = web.EventStream()
    sent = {"Authorization": f"Bearer {daemon.token}", "Accept": "text/event-stream", "Last-Event-ID": after}
    pool = HTTPConnectionPool(reactor, persistent=False)
    headers = Headers({name: [value] for name, value in sent.items()})
    response = await treq.get(f"{daemon.url}/v1/events{query}", headers=headers, pool=pool, unbuffered=True)
    if response.code != 200:
        raise Violation(f"the event stream answered {response.code}")
    response.deliverBody(found)
    return found


class Reader:
    """One reader in many lives of the daemon; ``events`` are all that it got, by id."""

    def __init__(self, daemon: Daemon, query: str) -> None:
        self.events: dict[str, web.ServerSentEvent] = {}
        self.last = _FIRST
        self._daemon = daemon
        self._query = query
        self._stream: web.EventStream | None = None
        self._seen = 0

    async def resume(self) -> None:
        """Go on where it was; in each life once."""
        self.take()
        self._stream = await stream(self._daemon, self.last, self._query)
        self._seen = 0

    def take(self) -> None:
        """Look at what came. Raises Violation where an id is not greater than the one before, or something is lost."""
        if self._stream is None:
            return
        for event in self._stream.events[self._seen :]:
            self._seen += 1
            if event.type == "gap":
                raise Violation(f"a reader that came back after {self.last} is told of a gap: {event}")
            if event.id <= self.last:
                raise Violation(f"event {event.id} came after {self.last}: {event}")
            self.events[event.id] = event
            self.last = event.id

    async def until(self, wanted: Callable[[web.ServerSentEvent], bool]) -> None:
        """Read until an event is there. Raises Violation."""
        await _until(self._stream, wanted, "a reader that came back")
        self.take()

    async def close(self) -> None:
        """Read no more."""
        if self._stream is not None:
            await self._stream.close()


async def logged(
    daemon: Daemon, after: str, wanted: Callable[[web.ServerSentEvent], bool]
) -> list[web.ServerSentEvent]:
    """All events of the log after an id up to the wanted one, as a new reader gets them. Raises Violation."""
    found = await stream(daemon, after)
    try:
        return await _until(found, wanted, "a new reader")
    finally:
        await found.close()


async def _until(
    found: web.EventStream | None, wanted: Callable[[web.ServerSentEvent], bool], who: str
) -> list[web.ServerSentEvent]:
    assert found is not None
    looked = 0
    while True:
        for place in range(looked, len(found.events)):
            if wanted(found.events[place]):
                return found.events[: place + 1]
        looked = len(found.events)
        if found.closed.called:
            raise ConnectionAbortedError
        await _more(found, who)


async def _more(found: web.EventStream, who: str) -> None:
    more: Deferred[None] = Deferred()
    found._waiting.append(more)
    try:
        await more.addTimeout(_PATIENCE, reactor)
    except defer.TimeoutError:
        raise Violation(f"{who} waited {_PATIENCE:g} s for an event that is stored") from None
