"""The API as a factory to listen with: authentication, routing, and the one place where errors become documents.

RULES: a handler that fails with anything but a `Problem` or what the core refused is a mistake of ours: it is logged
with its traceback, and the caller gets ``internal-error`` without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import cached_property
from typing import Final

import msgspec
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from lwm2md.http.authentication import require_token
from lwm2md.http.authorizing import Asking
from lwm2md.http.census import Census
from lwm2md.http.channel import Channel
from lwm2md.http.metrics import Metrics
from lwm2md.http.node import Node
from lwm2md.http.openapi import document as openapi_document
from lwm2md.http.paging import SortedKeys
from lwm2md.http.parameters import parse_query
from lwm2md.http.problems import Problem, from_refusal
from lwm2md.http.replies import Reply
from lwm2md.http.request import MOST_DROPPED, Call
from lwm2md.http.routes import Route, Router
from lwm2md.http.uploads import ANY_SIZE, FileBody, Upload
from lwm2md.server.errors import Refused

IDLE: Final = 60.0
"""Seconds for a connection to be idle, and for a request to arrive."""

MOST_CONNECTIONS: Final = 4096


class Api(ServerFactory):
    """All routes of one daemon, ready to listen with."""

    noisy = False
    _log = Logger()

    def __init__(self, node: Node, routes: Sequence[Route], *, idle: float = IDLE) -> None:
        self.node = node
        self.router = Router(routes)
        self._own = tuple(routes)
        self.connections: dict[Channel, None] = {}
        self.streams: set[Call] = set()
        self.endpoints = SortedKeys(node.server.devices)
        self.observations = SortedKeys(node.server.observations)
        self.census = Census()
        self.metrics = Metrics(self)
        self.requests = 0
        self.failures = 0
        self._idle = idle
        self._date = (0, b"")

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:  # type: ignore[override]
        """Take a connection, for an idle one when there are too many; None, which closes it, when all are busy."""
        if len(self.connections) >= MOST_CONNECTIONS and not self._make_room():
            return None
        channel = Channel()  # type: ignore[no-untyped-call]
        channel.factory = self
        channel.requestFactory = Call
        channel.callLater = self.node.reactor.callLater  # type: ignore[assignment, method-assign]
        channel.timeOut = self._idle  # type: ignore[assignment]
        self.connections[channel] = None
        return channel

    @property
    def body_limit(self) -> int:
        """Bytes of the largest body that is taken."""
        return self.node.settings.limits.body_size

    def disconnected(self, channel: Channel) -> None:
        """A connection is gone."""
        self.connections.pop(channel, None)

    def close(self) -> None:
        """Drop every connection, streams included; for the daemon's end."""
        for channel in list(self.connections):
            channel.transport.abortConnection()

    def date(self) -> bytes:
        """The time for ``Date``, made once a second."""
        now = int(self.node.now())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True).encode("ascii"))
        return self._date[1]

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document, made when it is first asked for."""
        return msgspec.json.encode(openapi_document(self.router.routes, self.node.version))

    def extend(self, routes: Sequence[Route]) -> None:
        """Serve these routes beside the daemon's own, instead of any that were so before."""
        self.router = Router((*self._own, *routes))
        self.__dict__.pop("openapi", None)

    def dispatch(self, call: Call) -> None:
        """Answer a complete request."""
        self.requests += 1
        call.node = self.node
        self.answer(call, lambda: self._handle(call))

    def answer(self, call: Call, make: Callable[[], Reply | None]) -> None:
        """Write what ``make`` returns, or the document of what it raises; None means that the answer comes later."""
        try:
            reply = make()
        except Problem as problem:
            reply = problem.reply()
        except Refused as refused:
            reply = from_refusal(refused).reply()
        except Asking as asking:
            asking.then(lambda decided: self.answer(call, decided), make)
            reply = None
        except Exception:
            self.failures += 1
            method = call.method.decode("ascii", "replace")
            self._log.failure("{method} {path} failed", method=method, path=_path(call))
            reply = Problem("internal-error", "the daemon's log says more").reply()
        if reply is not None:
            call.reply(reply)

    def admit(self, call: Call) -> int:
        """How many bytes the body of a call may have whose headers came; raises `Problem` where it will be refused."""
        route, _ = self._route(call)
        if isinstance(route.body, FileBody):
            call.upload = Upload(route.body.place(self.node))
            return ANY_SIZE
        return self.body_limit if route.body is not None else min(MOST_DROPPED, self.body_limit)

    def _make_room(self) -> bool:
        """Drop the oldest idle connection, so that nobody keeps others out by holding many."""
        idle = next((channel for channel in self.connections if channel.idle), None)
        if idle is None:
            return False
        del self.connections[idle]
        idle.transport.abortConnection()
        return True

    def _route(self, call: Call) -> tuple[Route, dict[str, str]]:
        """The route of a call that may call it, and its path arguments; raises `Problem`."""
        path = call.uri.partition(b"?")[0]
        if not path.startswith(b"/"):
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        try:
            found = self.router.find(call.method, path)
        except Problem:
            require_token(call.getHeader(b"Authorization"), self.node.admin_token_hash)
            raise
        if not found[0].open:
            require_token(call.getHeader(b"Authorization"), self.node.admin_token_hash)
        return found

    def _handle(self, call: Call) -> Reply | None:
        route, call.path_arguments = self._route(call)
        call.query = parse_query(call.uri.partition(b"?")[2], route.declared, route.defaults)
        if route.body is not None:
            call.document = route.body.decode(call.body)
        return route.handler(call)


def _path(call: Call) -> str:
    return call.uri.partition(b"?")[0][:200].decode("ascii", "replace")
