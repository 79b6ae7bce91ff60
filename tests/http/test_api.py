"""Tests of `lwm2md.http.api`, `lwm2md.http.channel`, `lwm2md.http.request` and `lwm2md.http.authentication`."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lwm2md.config.schema import Limits, Settings
from lwm2md.http.api import Api
from lwm2md.http.channel import LINGER
from lwm2md.http.replies import Reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.table import ROUTES
from lwm2md.http.uploads import FileBody
from tests.http.node import TOKEN
from tests.http.support import ApiTestCase, Raw

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()
STATUS = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"\r\n"
LIMIT = 4096


class AuthenticationTests(ApiTestCase):
    """Who may call."""

    async def test_tokens(self) -> None:
        """Without the right token there is nothing but a challenge, whatever is asked for."""
        self.node.device("a")
        headers: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer " + "x" * 5000},
            {"Authorization": f"Bearer {TOKEN}x"},
        )
        for path in ("/v1/status", "/v1/devices/a", "/v1/events", "/metrics", "/nowhere", "/v1/openapi.json"):
            for given in headers:
                seen = await self.call("GET", path, token=None, headers=given)
                self.assertProblem(seen, 401, "unauthorized")
                self.assertTrue(seen.headers["www-authenticate"].startswith("Bearer"))
                self.assertNotIn(TOKEN, seen.body.decode())

    async def test_scheme_in_any_case(self) -> None:
        """The name of the scheme is not case-sensitive."""
        seen = await self.call("GET", "/v1/status", token=None, headers={"Authorization": f"bearer {TOKEN}"})
        self.assertEqual(seen.status, 200)

    async def test_health_is_open(self) -> None:
        """Health needs no token and says one word."""
        for path, word in (("/health/live", b"ok\n"), ("/health/ready", b"ready\n")):
            seen = await self.call("GET", path, token=None)
            self.assertEqual((seen.status, seen.body), (200, word))
        self.node.ready = False
        self.assertEqual((await self.call("GET", "/health/ready", token=None)).status, 503)


class RoutingTests(ApiTestCase):
    """Routes that there are, and those that there are not."""

    async def test_unknown(self) -> None:
        """A path without a route is a problem document."""
        for path in ("/", "/v1", "/v1/nothing", "/v1/devices/", "/v1//devices", "/v1/status/more", "/v1/devices/a/b"):
            await self.refused(404, "not-found", "GET", path)

    async def test_method(self) -> None:
        """A method that a route does not take is refused with those that it takes."""
        seen = await self.call("PUT", "/v1/status", {})
        self.assertProblem(seen, 405, "method-not-allowed")
        self.assertEqual(seen.headers["allow"], "GET, HEAD")
        await self.refused(405, "method-not-allowed", "BREW", "/v1/devices")

    async def test_head(self) -> None:
        """HEAD answers the head of GET."""
        seen = await self.call("HEAD", "/v1/status")
        self.assertEqual((seen.status, seen.body), (200, b""))
        self.assertEqual(seen.headers["content-type"], "application/json")
        seen = await self.call("HEAD", "/v1/events")
        self.assertEqual((seen.status, seen.headers["content-type"]), (200, "text/event-stream"))

    async def test_mistake_of_ours(self) -> None:
        """A handler that fails is logged with its traceback; the caller sees none."""

        def fail(call: Call) -> Reply:
            raise RuntimeError("secret detail")

        self.listen(Api(self.node, (Route("GET", "/fail", fail, "Fail", open=True),)))
        seen = await self.call("GET", "/fail")
        self.assertProblem(seen, 500, "internal-error")
        self.assertNotIn("secret", seen.body.decode())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ProtocolTests(ApiTestCase):
    """What arrives on the connection, byte by byte."""

    settings = Settings(limits=Limits(body_size=LIMIT))

    async def until_data(self, connection: Raw, text: bytes, times: int = 1) -> None:
        """Wait until the server sent this."""
        await self.until(lambda: connection.data.count(text) >= times)

    async def test_keep_alive(self) -> None:
        """A connection serves one request after the other."""
        connection = await self.connect()
        for times in (1, 2):
            connection.transport.write(STATUS)
            await self.until_data(connection, b"HTTP/1.1 200 OK", times)
        self.assertNotIn(b"Connection: close", connection.data)

    async def test_same_headers(self) -> None:
        """Of requests with the same headers each is answered for what it asks."""
        connection = await self.connect()
        tail = b"Host: x\r\n" + AUTHORIZED + b"\r\n"
        asked = (
            (b"GET /health/ready HTTP/1.1", b"HTTP/1.1 200 OK"),
            (b"GET /v1/status HTTP/1.1", b"HTTP/1.1 200 OK"),
            (b"GET /v1/devices/%66oo HTTP/1.1", b"HTTP/1.1 404"),
            (b"DELETE /v1/status HTTP/1.1", b"HTTP/1.1 405"),
            (b"HEAD /health/ready HTTP/1.1", b"HTTP/1.1 200 OK"),
            (b"GET /health/ready HTTP/1.1", b"HTTP/1.1 200 OK"),
        )
        for line, expected in asked:
            connection.data = b""
            connection.transport.write(line + b"\r\n" + tail)
            await self.until_data(connection, b"\r\n\r\n")
            self.assertTrue(connection.data.startswith(expected), (line, connection.data))
            self.assertNotIn(b"Connection: close", connection.data)

    async def test_headers_that_look_the_same(self) -> None:
        """A request is read whole where its headers differ in a byte, and refused where its first line is wrong."""
        tail = b"Host: x\r\n" + AUTHORIZED + b"\r\n"
        for line, headers, expected in (
            (b"GET /v1/status HTTP/1.1", tail.replace(b"Bearer ", b"Bearer x"), b"HTTP/1.1 401"),
            (b"GET /v1/status HTTP/1.1", b"Host: x\r\n\r\n", b"HTTP/1.1 401"),
            (b"GET /v1/status HTTP/1.0", tail, b"Connection: close"),
            (b"GET  HTTP/1.1", tail, b"HTTP/1.1 400"),
            (b"GET /v1/status x HTTP/1.1", tail, b"HTTP/1.1 400"),
            (b"POST /v1/devices/a/operations HTTP/1.1", b"Content-Length: 2\r\n" + tail + b"{}", b"HTTP/1.1 400"),
        ):
            connection = await self.connect()
            connection.transport.write(STATUS)
            await self.until_data(connection, b"200 OK")
            connection.transport.write(b"GET /health/ready HTTP/1.1\r\n" + tail)
            await self.until_data(connection, b"200 OK", 2)
            connection.transport.write(line + b"\r\n" + headers)
            await self.until_data(connection, expected)
            connection.transport.abortConnection()

    async def test_a_first_line_too_much(self) -> None:
        """A line in front of a request whose headers came before is no request."""
        connection = await self.connect()
        whole = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
        for times in (1, 2):
            connection.transport.write(b"\r\n" + whole)
            await self.until_data(connection, b"200 OK", times)
        connection.transport.write(b"GET /v1/status HTTP/1.1\r\n" + whole)
        await self.until_data(connection, b"HTTP/1.1 400")

    async def test_pipelining(self) -> None:
        """Requests that come at once are answered in their order."""
        connection = await self.connect()
        ready = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.transport.write(STATUS + ready + STATUS + ready)
        await self.until_data(connection, b"ready\n", 2)
        self.assertEqual(connection.data.count(b"HTTP/1.1 200 OK"), 4)

    async def test_pipelined_behind_a_wait(self) -> None:
        """A request behind one that waits for a device is answered in a later turn, never from within the core."""
        device = self.node.device("a")
        device.mute = True
        connection = await self.connect()
        read = b"GET /v1/devices/a/resources/3/0/0?timeout=5 HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"\r\n"
        connection.transport.write(read + STATUS)
        await self.until(lambda: device.requests)
        self.node.advance(6)
        await self.until_data(connection, b"no-answer")
        self.assertNotIn(b"200 OK", connection.data)
        self.node.clock.advance(0)
        await self.until_data(connection, b"200 OK")

    async def test_absolute_form(self) -> None:
        """A request target with scheme and authority is understood, as RFC 9112 asks."""
        connection = await self.connect()
        connection.transport.write(b"GET http://host/health/live HTTP/1.1\r\nHost: host\r\n\r\n")
        await self.until_data(connection, b"ok\n")

    async def test_old_version(self) -> None:
        """A caller of HTTP/1.0 is answered and disconnected."""
        connection = await self.connect()
        connection.transport.write(b"GET /health/live HTTP/1.0\r\n\r\n")
        self.assertIn(b"Connection: close", await connection.closed)

    async def test_not_http(self) -> None:
        """What is not HTTP is told so and disconnected."""
        for sent in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: five\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"y" * 40000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ):
            connection = await self.connect()
            connection.transport.write(sent)
            got = await connection.closed
            self.assertTrue(got.startswith(b"HTTP/1.1 400 Bad Request\r\n"), (sent[:40], got))
            self.assertIn(b'"code":"bad-request"', got)

    async def test_announced_body_too_large(self) -> None:
        """A body that is announced as too large is refused before it comes, and not kept."""
        connection = await self.connect()
        head = b"POST /v1/devices/a/operations HTTP/1.1\r\nExpect: 100-continue\r\n" + AUTHORIZED
        connection.transport.write(head + b"Content-Length: 1000000000\r\n\r\n")
        await self.until_data(connection, b'"code":"body-too-large"')
        self.assertTrue(connection.data.startswith(b"HTTP/1.1 413 "))
        connection.transport.write(b"x" * 100_000)
        self.node.clock.advance(LINGER)
        await connection.closed

    async def test_chunked_body_too_large(self) -> None:
        """A body in chunks is refused when it passes the limit; nothing more of it is kept."""
        connection = await self.connect()
        head = b"POST /v1/devices/a/operations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + AUTHORIZED
        connection.transport.write(head + b"\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 6)
        await self.until_data(connection, b'"code":"body-too-large"')
        (channel,) = self.api.connections
        self.assertEqual(channel.requests[-1].chunks, [])
        self.node.clock.advance(LINGER)
        await connection.closed

    async def test_large_body_through_a_client(self) -> None:
        """An ordinary client that sends too much sees the refusal."""
        seen = await self.call("POST", "/v1/devices/a/operations", b"x" * (LIMIT + 1))
        self.assertProblem(seen, 413, "body-too-large")

    async def test_body_at_the_limit(self) -> None:
        """A body of exactly the limit is taken."""
        await self.refused(400, "bad-json", "POST", "/v1/devices/a/operations", b"x" * LIMIT)

    async def test_continue(self) -> None:
        """A caller that asks before it sends its body is told to go on."""
        self.node.device("a")
        connection = await self.connect()
        head = b"PATCH /v1/devices/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 13\r\n" + AUTHORIZED
        connection.transport.write(head + b"\r\n")
        await self.until_data(connection, b"100 Continue")
        connection.transport.write(b'{"labels":{}}')
        await self.until_data(connection, b"200 OK")

    async def test_idle_and_slow_connections_end(self) -> None:
        """A connection that is idle, or whose request does not become complete in time, is closed."""
        idle, slow = await self.connect(), await self.connect()
        await self.until(lambda: len(self.api.connections) == 2)
        slow.transport.write(b"GET /v1/sta")
        await self.until(lambda: any(channel._begun for channel in self.api.connections))
        for _ in range(7):
            self.node.clock.advance(10)
            slow.transport.write(b"t")
            await deferLater(reactor, 0.001, lambda: None)
        await idle.closed
        await slow.closed

    async def test_too_many_connections(self) -> None:
        """Connections beyond the bound take the place of idle ones; where all are busy, they are closed at once."""
        self.patch(__import__("lwm2md.http.api", fromlist=["api"]), "MOST_CONNECTIONS", 1)
        idle = await self.connect()
        await self.until(lambda: self.api.connections)
        busy = await self.connect()
        self.assertEqual(await idle.closed, b"")
        device = self.node.device("a")
        device.mute = True
        busy.transport.write(b"GET /v1/devices/a/resources/3/0/0 HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"\r\n")
        await self.until(lambda: device.requests)
        third = await self.connect()
        self.assertEqual(await third.closed, b"")
        self.assertEqual(len(self.api.connections), 1)

    async def test_body_of_a_stranger(self) -> None:
        """Nothing of a stranger's body is kept; a short one is answered on a connection that stays."""
        for framing, body in (
            (b"Content-Length: 4000\r\n", b"x" * 4000),
            (b"Transfer-Encoding: chunked\r\n", b"fa0\r\n" + b"x" * 4000 + b"\r\n"),
        ):
            connection = await self.connect()
            connection.transport.write(b"POST /v1/devices/a/operations HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n")
            connection.transport.write(body[:-10])
            await self.until(lambda: any(each.requests and each.requests[-1]._size for each in self.api.connections))
            (channel,) = self.api.connections
            self.assertEqual(channel.requests[-1].chunks, [])
            connection.transport.write(body[-10:] + (b"0\r\n\r\n" if b"chunked" in framing else b""))
            await self.until_data(connection, b'"code":"unauthorized"')
            self.assertNotIn(b"Connection: close", connection.data)
            connection.transport.abortConnection()
            await connection.closed
            await self.until(lambda: not self.api.connections)

    async def test_large_body_of_a_stranger(self) -> None:
        """A long body is refused before it comes, or in its midst, for who sends it and not for its size."""
        head = b"POST /v1/devices/a/operations HTTP/1.1\r\nHost: x\r\n"
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        for sent in (
            b"Content-Length: 1000000\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17,
            b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        ):
            connection = await self.connect()
            connection.transport.write(head + sent)
            await self.until_data(connection, b'"code":"unauthorized"')
            self.assertIn(b"Connection: close", connection.data)
            self.assertNotIn(b"100 Continue", connection.data)
            connection.transport.abortConnection()
            await connection.closed

    async def test_body_where_none_belongs(self) -> None:
        """A body where the route takes none is taken up to 64 KiB, and without effect."""
        connection = await self.connect()
        connection.transport.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + STATUS)
        await self.until_data(connection, b"HTTP/1.1 200 OK", 2)

    async def test_answers_that_nobody_reads(self) -> None:
        """Requests behind answers that the caller does not read wait, and are answered when it reads."""
        connection = await self.connect()
        connection.transport.pauseProducing()
        await self.until(lambda: self.api.connections)
        (channel,) = self.api.connections
        document = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"\r\n"
        connection.transport.write(document * 80)
        await self.until(lambda: channel.paused)
        before = self.api.requests
        for _ in range(50):
            await deferLater(reactor, 0.001, lambda: None)
        self.assertLess(self.api.requests - before, 5)
        self.assertLess(self.api.requests, 64)
        connection.transport.resumeProducing()
        while self.api.requests < 80:
            self.node.clock.advance(0)
            await deferLater(reactor, 0.001, lambda: None)
        await self.until_data(connection, b"HTTP/1.1 200 OK", 80)

    async def test_big_json(self) -> None:
        """Every route that takes a body refuses what is too large, and what is not JSON."""
        self.node.device("a")
        for route in ROUTES:
            if route.body is None or isinstance(route.body, FileBody):
                continue
            path = route.template.replace("{endpoint}", "a").replace("{path...}", "3/0/1").replace("{id}", "x")
            for body, status in ((b"{" * (LIMIT + 1), 413), (b"{" * 100, 400), (b'{"\\u0000": 1}', 400)):
                seen = await self.call(route.method, path, body)
                self.assertEqual((seen.status, seen.headers["content-type"]), (status, "application/problem+json"))


class ClosingTests(ApiTestCase):
    """The end of the daemon."""

    async def test_close(self) -> None:
        """Closing drops every connection, those that wait too."""
        device = self.node.device("a")
        device.mute = True
        pending: Deferred[object] = self.start("GET", "/v1/devices/a/resources/3/0/0")  # type: ignore[assignment]
        await self.until(lambda: device.requests)
        self.api.close()
        await self.assertFailure(pending, Exception)
