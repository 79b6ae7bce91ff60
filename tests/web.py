"""HTTP for the tests: one JSON request at a time, and a reader of server-sent events.

RULES: no connection is kept open between requests, so that the reactor is clean when a test ends; a stream of
events is closed in the clean-up of its test case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import treq
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers

from tests.processes import reactor

_ABSENT: Any = object()


async def exchange(
    method: str, url: str, *, body: Any = _ABSENT, data: bytes | None = None, headers: Mapping[str, str] = {}
) -> tuple[int, Mapping[str, str], bytes]:
    """One request; `body` is sent as JSON, `data` as it is. Returns status, headers (names in lower case) and body."""
    sent = Headers({name: [value] for name, value in headers.items()})
    if body is not _ABSENT:
        data = json.dumps(body).encode()
        sent.addRawHeader("Content-Type", "application/json")
    pool = HTTPConnectionPool(reactor, persistent=False)
    response = await treq.request(method, url, data=data, headers=sent, pool=pool, timeout=60)
    received = {name.decode().lower(): values[0].decode() for name, values in response.headers.getAllRawHeaders()}
    return response.code, received, await response.content()


async def document(method: str, url: str, **how: Any) -> tuple[int, Any]:
    """Like `exchange`; returns the status and the decoded JSON body, the text if it is none, or None if it is empty."""
    status, headers, body = await exchange(method, url, **how)
    if not body:
        return status, None
    is_json = "json" in headers.get("content-type", "")
    return status, json.loads(body) if is_json else body.decode()


@attrs.frozen
class ServerSentEvent:
    """One event as it came: `id` and `type` as text (empty when absent), `data` decoded from JSON."""

    id: str
    type: str
    data: Any


class EventStream(Protocol):
    """Reads server-sent events; `events` holds all that came."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.closed: Deferred[None] = Deferred()
        self._rest = b""
        self._seen = 0
        self._waiting: list[Deferred[None]] = []

    @classmethod
    async def open(cls, case: TestCase, url: str, headers: Mapping[str, str] = {}) -> EventStream:
        """Connect to `url`; returns when the answer's header is there. Closed in the clean-up of `case`."""
        stream = cls()
        pool = HTTPConnectionPool(reactor, persistent=False)
        accept = Headers({name: [value] for name, value in {"Accept": "text/event-stream", **headers}.items()})
        response = await treq.get(url, headers=accept, pool=pool, unbuffered=True)
        if response.code != 200:
            raise AssertionError(f"{url} answered {response.code}: {await response.text()}")
        response.deliverBody(stream)
        case.addCleanup(stream.close)
        return stream

    async def next(self, type: str | None = None, *, timeout: float = 30.0, **fields: Any) -> ServerSentEvent:  # noqa: A002
        """The next event not yet returned of this `type` with these members in its data; others are passed over."""
        deadline = reactor.seconds() + timeout
        while True:
            while self._seen < len(self.events):
                event = self.events[self._seen]
                self._seen += 1
                if type in (None, event.type) and all(event.data.get(name) == fields[name] for name in fields):
                    return event
            if self.closed.called:
                raise AssertionError(f"the stream ended before {type} {fields}; it had {self.events}")
            more: Deferred[None] = Deferred()
            self._waiting.append(more)
            try:
                await more.addTimeout(deadline - reactor.seconds(), reactor)
            except defer.TimeoutError:
                raise AssertionError(f"no {type} {fields} in {timeout} s; there were {self.events}") from None

    def close(self) -> Deferred[None]:
        """Drop the connection and wait until it is gone."""
        done: Deferred[None] = Deferred()
        if self.closed.called:
            done.callback(None)
        else:
            self.closed.addCallback(done.callback)
            assert self.transport is not None
            self.transport.loseConnection()
        return done

    def dataReceived(self, data: bytes) -> None:
        """Cut what comes into events; called by the reactor."""
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        self.events.extend(event for block in blocks if (event := _event(block.decode())))
        self._wake()

    def connectionLost(self, reason: Failure = Failure(Exception("closed"))) -> None:  # noqa: B008
        """Tell those who wait that nothing more will come; called by the reactor."""
        self.closed.callback(None)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


def _event(block: str) -> ServerSentEvent | None:
    """The event in a block of lines; None for comments and blocks without data."""
    fields: dict[str, list[str]] = {}
    for line in block.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in fields:
        return None
    return ServerSentEvent(
        id=fields.get("id", [""])[-1],
        type=fields.get("event", [""])[-1],
        data=json.loads("\n".join(fields["data"])),
    )
