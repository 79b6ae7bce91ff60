"""A real daemon under callers that are slow, gone, greedy or mad: its memory is bounded, and others are served."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode, options
from tests.fuzz.daemon import ZEROS, Daemon
from tests.http.mutations import REQUESTS, mutated

FUZZED: Final = 20_000
AT_ONCE: Final = 50
SEED: Final = 4
CONNECTIONS: Final = 4200
_SOON: Final = 5.0
_MANY_FILES: Final = 10_000


class TortureTests(SynchronousTestCase):
    """Each kind of bad caller, many of them at once."""

    settings: tuple[str, ...] = ("limits.event-reader-queue=100",)

    def setUp(self) -> None:
        """Start a daemon that may have many connections, and warm it up."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, _MANY_FILES)), hard))
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.daemon = Daemon(directory.resolve(), self.settings)
        self.addCleanup(self.daemon.stop)
        self.addCleanup(self.daemon.check_log)
        host, port = self.daemon.api.split(":")
        self.where = host, int(port)
        self.authorized = f"Authorization: Bearer {self.daemon.token}\r\n".encode()
        self.sockets: list[socket.socket] = []
        self.addCleanup(self._drop)
        for _ in range(20):
            self.assert_served()
        self.before = self.daemon.resident()

    def _drop(self) -> None:
        for each in self.sockets:
            each.close()

    def connect(self, receive: int | None = None) -> socket.socket:
        """A connection that is closed after the test; ``receive`` is the size of its buffer for what comes."""
        found = socket.socket()
        if receive is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        found.settimeout(_SOON)
        found.connect(self.where)
        self.sockets.append(found)
        return found

    def request(self, target: str, method: str = "GET") -> bytes:
        """A request of the administrator without a body."""
        return f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode() + self.authorized + b"\r\n"

    def assert_served(self) -> None:
        """Another caller is answered, and soon."""
        start = time.monotonic()
        status, _ = self.daemon.connection().text("GET", "/v1/status")
        self.assertEqual(status, 200)
        self.assertLess(time.monotonic() - start, _SOON)

    def assert_grown(self, most: int) -> None:
        """The daemon's resident memory has grown by at most so many MiB."""
        grown = (self.daemon.resident() - self.before) / 1024
        self.assertLess(grown, most, "MiB resident")

    def until(self, condition: Any) -> None:
        """Wait until something is so."""
        end = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def readers(self) -> int:
        """How many readers the event stream has."""
        found: int = self.daemon.connection().json("GET", "/v1/status")["counts"]["event_readers"]
        return found

    def test_readers_that_do_not_read(self) -> None:
        """Readers of the event stream that read nothing are dropped, and cost little until then."""
        for _ in range(50):
            self.connect(receive=4096).sendall(self.request("/v1/events"))
        self.until(lambda: self.readers() == 50)
        coap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        coap.connect(self.daemon.coap)
        coap.settimeout(_SOON)
        self.sockets.append(coap)
        links = ",".join(f"</3303/{number}>" for number in range(80)).encode()
        for number in range(2000):
            asked = options(path=("rd",), query=("ep=noisy", "lt=300", "lwm2m=1.1"), content_format=n.LINK_FORMAT)
            coap.send(encode(Message(n.CON, n.POST, number, b"t", asked, links)))
            coap.recv(2000)
            if number % 500 == 0:
                self.assert_served()
        self.until(lambda: not self.readers())
        self.assert_grown(24)

    def test_answers_that_nobody_reads(self) -> None:
        """Callers that ask for much and read nothing do not make the daemon hold their answers."""
        for _ in range(20):
            gone = self.connect(receive=4096)
            gone.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(20):
                    gone.send(self.request("/v1/openapi.json") * 100)
        for _ in range(10):
            self.assert_served()
            time.sleep(0.05)
        self.assert_grown(24)

    def test_connections_without_number(self) -> None:
        """Thousands of idle connections leave room for a caller, however many more come."""
        for number in range(CONNECTIONS):
            self.connect()
            if number % 40 == 0:  # or the backlog overflows, and the system tries again only after a second
                self.assert_served()
        self.assert_served()
        self.assert_grown(80)

    def test_bodies_of_strangers(self) -> None:
        """Bodies of callers without a token are not kept."""
        head = b"POST /v1/devices/a/operations HTTP/1.1\r\nHost: x\r\n"
        for number in range(400):
            stranger = self.connect()
            framing = b"Content-Length: 65536\r\n\r\n" if number % 2 else b"Transfer-Encoding: chunked\r\n\r\nf000\r\n"
            stranger.sendall(head + framing + b"x" * 61_000)
        self.assert_served()
        self.assert_grown(12)

    def test_heads_without_end(self) -> None:
        """A request line, a header and a number of headers beyond the limit are refused, in whatever pieces."""
        for sent in (
            b"GET /" + b"x" * 20_000,
            b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000,
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200,
        ):
            connection = self.connect()
            with contextlib.suppress(ConnectionError):
                for start in range(0, len(sent), 1000):
                    connection.sendall(sent[start : start + 1000])
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 400 "), sent[:30])
        self.assert_served()

    def test_pipelining(self) -> None:
        """A thousand requests in one write are all answered, in their order."""
        connection = self.connect()
        numbers = range(1000)
        connection.sendall(b"".join(self.request(f"/v1/operations/{number:04}") for number in numbers))
        data = b""
        while data.count(b"HTTP/1.1 404 ") < len(numbers) or b"'0999'" not in data:
            data += connection.recv(65536)
        places = [data.index(f"'{number:04}'".encode()) for number in numbers]
        self.assertEqual(places, sorted(places))

    def test_old_callers(self) -> None:
        """HTTP/1.0 is answered and closed, with and without a length."""
        connection = self.connect()
        connection.sendall(b"GET /v1/status HTTP/1.0\r\n" + self.authorized + b"\r\n")
        data = b""
        while more := connection.recv(65536):
            data += more
        self.assertIn(b"Connection: close", data)
        self.assertIn(b'"version"', data)

    def test_nonsense(self) -> None:
        """Requests that were mutated, on a connection each, are refused or answered; nothing breaks, nothing grows."""
        random = Random(SEED)
        seeds = [seed.replace(b"AUTH\r\n", self.authorized) for seed in REQUESTS]
        for start in range(0, FUZZED, AT_ONCE):
            batch = [self.connect() for _ in range(AT_ONCE)]
            for each in batch:
                with contextlib.suppress(ConnectionError):
                    each.sendall(mutated(random, seeds))
                    each.shutdown(socket.SHUT_WR)
            for each in batch:
                with contextlib.suppress(ConnectionError):
                    while each.recv(65536):
                        pass
                each.close()
            self.sockets.clear()
            if start % 2000 == 0:
                self.assert_served()
                self.daemon.check_log()
        metrics = self.daemon.connection().metrics()
        self.assertEqual([metrics[name] for name in ZEROS], [0] * len(ZEROS))
        self.assert_grown(16)
