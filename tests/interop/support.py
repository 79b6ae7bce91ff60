"""Our engine on a real socket, in both roles, and what the tests with foreign peers share."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine, IncomingRequest, Limits, Parameters, Received, Response
from lwm2md.coap.message import Message, Options, options, uint
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.driver import Driver
from lwm2md.net.udp import listen
from tests.processes import reactor

HUGE = bytes(ord("a") + index % 26 for index in range(30000))
LARGE = HUGE[:3000]
SIZES = range(7)
SLOW = 1.5
PATIENT = Parameters(ack_timeout=0.2, max_retransmit=8)
"""For lossy ways: quick, and with so many retransmissions that none is ever given up."""


def other(length: int, salt: int = 0) -> bytes:
    """A body that is no other one."""
    return bytes((index * 7 + salt) % 251 for index in range(length))


def blocks(length: int, szx: int) -> int:
    """How many blocks of a size a body takes."""
    return -(-length // (16 << szx))


class Resources:
    """A handler with the resources that `tests/peers/README.md` lists; the engine is set by `OurServer`."""

    engine: Engine

    def __init__(self) -> None:
        self.value = b""
        self.state = b"start"
        self.sequence = 1
        self.requests: list[Message] = []
        self.observers: dict[tuple[bytes, bytes], bool] = {}
        self.lost: list[str] = []
        self.settle: Callable[[], None] = lambda: None

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer by the first segment of the path."""
        message = request.message
        self.requests.append(message)
        name = message.path[0] if message.path else ""
        if name == "slow":
            reactor.callLater(SLOW, self._late, request)
            return None
        if name == "store":
            return self._store(message)
        if name == "clock":
            return self._clock(request)
        fixed = {"small": b"small", "large": LARGE, "huge": HUGE}.get(name)
        if fixed is None:
            return Response(n.NOT_FOUND)
        return Response(n.CONTENT, fixed) if message.code == n.GET else Response(n.METHOD_NOT_ALLOWED)

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Reset."""
        return True

    def change(self, state: bytes, *, confirmable: bool = True) -> None:
        """Give /clock another state, and tell its observers."""
        self.state = state
        self.sequence += 1
        for peer, token in tuple(self.observers):
            self.engine.notify(
                peer,
                token,
                self._notification(),
                confirmable=confirmable,
                on_result=lambda failure, _, key=(peer, token): self._told(key, failure),  # type: ignore[misc]
                now=reactor.seconds(),
            )
        self.settle()

    def _store(self, message: Message) -> Response:
        if message.code in (n.POST, n.FETCH):
            return Response(n.CHANGED if message.code == n.POST else n.CONTENT, message.payload)
        if message.code == n.GET:
            return Response(n.CONTENT, self.value)
        if message.code in (n.PATCH, n.IPATCH):
            self.value += message.payload
        else:
            self.value = message.payload
        return Response(n.DELETED if message.code == n.DELETE else n.CHANGED)

    def _clock(self, request: IncomingRequest) -> Response:
        key = (request.peer, request.message.token)
        if request.message.observe == 0:
            self.observers[key] = True
            return self._notification()
        self.observers.pop(key, None)
        return Response(n.CONTENT, self.state)

    def _notification(self) -> Response:
        return Response(n.CONTENT, self.state, ((n.OBSERVE, uint(self.sequence)),))

    def _told(self, key: tuple[bytes, bytes], failure: str | None) -> None:
        if failure is not None:
            self.lost.append(failure)
            self.observers.pop(key, None)

    def _late(self, request: IncomingRequest) -> None:
        self.engine.respond(request, Response(n.CONTENT, b"slow"), reactor.seconds())
        self.settle()


@attrs.define
class OurServer:
    """Our engine with `Resources` on a free port."""

    resources: Resources
    engine: Engine
    url: str

    @classmethod
    def start(
        cls, case: TestCase, parameters: Parameters | None = None, *, body: int = 1 << 20, wary: bool = False
    ) -> OurServer:
        """Start it for a test, with `body` as the longest that is put together; `wary` trusts no address."""
        resources = Resources()
        limits = Limits(reply_tail=16384, body=body)
        engine = Engine(resources, os.urandom, parameters, limits, trusted=(lambda _: False) if wary else None)
        driver, local = _drive(case, engine)
        resources.engine = engine
        resources.settle = driver.settle
        return cls(resources, engine, f"coap://{local}")


@attrs.define
class Watch:
    """An observation of ours: `answer` is the first response, `next` waits for notifications."""

    answer: Message
    token: bytes
    _arrived: list[Message]
    _waiting: list[Deferred[None]]

    async def next(self, timeout: float = 30.0) -> Message:
        """The next notification."""
        if not self._arrived:
            self._waiting.append(Deferred())
            await self._waiting[-1].addTimeout(timeout, reactor)
        return self._arrived.pop(0)


class OurClient:
    """Our engine as a client, on a free port."""

    def __init__(self, case: TestCase, parameters: Parameters | None = None) -> None:
        self.engine = Engine(Resources(), os.urandom, parameters)
        self._driver, self.local = _drive(case, self.engine)

    async def request(
        self, url: str, code: int = n.GET, payload: bytes = b"", extra: Options = (), *, confirmable: bool = True
    ) -> Message:
        """Send a request; its response, or AssertionError with the failure that there was instead."""
        done: Deferred[Received | str] = Deferred()
        self.engine.request(
            self.peer(url),
            code,
            _uri(url, extra),
            payload,
            on_outcome=lambda result, _: done.callback(result),
            confirmable=confirmable,
            now=reactor.seconds(),
        )
        self._driver.settle()
        return _message(await done)

    async def observe(self, url: str) -> Watch:
        """Observe a resource; every notification is acknowledged at once."""
        done: Deferred[Received | str] = Deferred()
        arrived: list[Message] = []
        waiting: list[Deferred[None]] = []

        def notified(received: Received, fresh: bool) -> None:
            self.engine.acknowledge(received, received.now)
            if fresh:
                arrived.append(received.message)
                if waiting:
                    waiting.pop(0).callback(None)

        token = self.engine.observe(
            self.peer(url),
            n.GET,
            _uri(url),
            on_outcome=lambda result, _: done.callback(result),
            on_notification=notified,
            now=reactor.seconds(),
        )
        self._driver.settle()
        return Watch(_message(await done), token, arrived, waiting)

    async def cancel(self, url: str, watch: Watch) -> Message:
        """End an observation actively."""
        done: Deferred[Received | str] = Deferred()
        self.engine.cancel(
            self.peer(url),
            watch.token,
            n.GET,
            _uri(url),
            on_outcome=lambda result, _: done.callback(result),
            now=reactor.seconds(),
        )
        self._driver.settle()
        return _message(await done)

    def peer(self, url: str) -> bytes:
        """The peer that a URL names."""
        parts = urlsplit(url)
        return pack(self.local, Endpoint(parts.hostname or "", parts.port or 5683))


def _drive(case: TestCase, engine: Engine) -> tuple[Driver, Endpoint]:
    driver = Driver(reactor, engine)
    port = listen(reactor, Endpoint("127.0.0.1", 0))
    driver.add(port)
    case.addCleanup(driver.stop)
    return driver, port.local


def _uri(url: str, extra: Options = ()) -> Options:
    parts = urlsplit(url)
    query = parts.query.split("&") if parts.query else ()
    return options(path=parts.path.strip("/").split("/"), query=query, extra=extra)


def _message(result: Received | str) -> Message:
    if isinstance(result, str):
        raise AssertionError(f"no response: {result}")
    return result.message
