"""The base of the API's tests: a node that serves on loopback, and a caller with a token."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from lwm2md.config.schema import Settings
from lwm2md.http.api import Api
from lwm2md.http.table import ROUTES
from tests.http.node import TOKEN, TestNode

LOOPBACK = "127.0.0.1"


@attrs.define
class Seen:
    """An answer as the caller saw it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class Raw(Protocol):
    """A connection that sends what it is told and keeps what it gets."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: object = None) -> None:
        if not self.closed.called:
            self.closed.callback(self.data)


class ApiTestCase(TestCase):
    """Serves a `TestNode` on a free port for each test."""

    timeout = 20
    settings: Settings = Settings()

    def setUp(self) -> None:
        self.node = TestNode(self.settings)
        self.api = Api(self.node, ROUTES)
        self.listen(self.api)
        self.pool = HTTPConnectionPool(reactor, persistent=False)
        self.agent = Agent(reactor, pool=self.pool)

    def listen(self, api: Api) -> None:
        """Serve an API on a free port until the end of the test."""
        port = reactor.listenTCP(0, api, interface=LOOPBACK)
        host: Any = port.getHost()
        self.port = host.port
        self.addCleanup(port.stopListening)
        self.addCleanup(self.settled, api)

    async def settled(self, api: Api) -> None:
        """Drop what is still connected, and wait for that."""
        api.close()
        while api.connections:
            await deferLater(reactor, 0.001, lambda: None)

    async def until(self, condition: Any) -> None:
        """Let the reactor turn until something is so."""
        while not condition():
            await deferLater(reactor, 0.001, lambda: None)

    def start(
        self, method: str, path: str, body: object = None, token: str | None = TOKEN, headers: Any = None
    ) -> Deferred[Seen]:
        """Begin a call; the Deferred has its answer."""
        return Deferred.fromCoroutine(self.call(method, path, body, token, headers))

    async def call(
        self, method: str, path: str, body: object = None, token: str | None = TOKEN, headers: Any = None
    ) -> Seen:
        """Call the API; ``body`` is sent as JSON unless it is bytes."""
        sent: dict[bytes | str, bytes | str] = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        url = f"http://{LOOPBACK}:{self.port}{path}"
        response = await treq.request(method, url, headers=sent, data=data, agent=self.agent)
        got = await treq.content(response)
        names = {key.decode().lower(): values[0].decode() for key, values in response.headers.getAllRawHeaders()}
        return Seen(response.code, names, got)

    async def refused(self, status: int, code: str, method: str, path: str, body: object = None) -> Any:
        """Call and check that the answer is this problem document."""
        seen = await self.call(method, path, body)
        self.assertProblem(seen, status, code)
        return seen.json

    def assertProblem(self, seen: Seen, status: int, code: str) -> None:
        """Check that an answer is a problem document with this status and code, and no traceback."""
        self.assertEqual((seen.status, seen.headers["content-type"]), (status, "application/problem+json"), seen.body)
        document = seen.json
        self.assertEqual((document["status"], document["code"]), (status, code), document)
        self.assertTrue(document["type"] and document["title"] and document["detail"])
        self.assertNotIn("Traceback", seen.body.decode())

    async def connect(self) -> Raw:
        """Open a connection to send bytes on."""
        connection = Raw()
        await connectProtocol(TCP4ClientEndpoint(reactor, LOOPBACK, self.port), connection)
        return connection
