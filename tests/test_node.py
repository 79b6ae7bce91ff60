"""Tests of lwm2md.node: a whole daemon in this process, on real sockets and a real storage."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
from twisted.internet import reactor as _installed
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.config import load
from lwm2md.http.measures import MEASURES
from lwm2md.node import Node
from lwm2md.server.definitions import Definition, Match
from lwm2md.server.deviceprofiles import ProfileValues
from lwm2md.server.effects import Write
from lwm2md.storage.interface import Batch, Storage, StorageError
from lwm2md.storage.memory import MemoryStorage
from lwm2md.storage.sqlite import SQLiteStorage
from tests import web
from tests.net.tree import Tree
from tests.processes import directory, free_port

reactor: Any = _installed
TOKEN = "a token"


class Device:
    """A socket, and messages by hand."""

    def __init__(self, case: TestCase, server: str) -> None:
        host, _, port = server.rpartition(":")
        self.socket = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((host.strip("[]"), int(port)))
        case.addCleanup(self.socket.close)
        self.location: tuple[str, ...] = ()
        self.mid = 0

    async def ask(self, code: int, path: tuple[str, ...], query: tuple[str, ...] = (), payload: bytes = b"") -> Message:
        """Send a request and wait for its answer."""
        self.mid += 1
        given = options(path=path, query=query, content_format=40 if payload else None)
        self.socket.send(encode(Message(n.CON, code, self.mid, b"tok", given, payload)))
        return await self.hear()

    async def register(self, endpoint: str) -> Message:
        """Register for an hour."""
        query = (f"ep={endpoint}", "lwm2m=1.1", "lt=3600")
        answer = await self.ask(n.POST, ("rd",), query, b"</1/0>,</3/0>")
        self.location = answer.location
        return answer

    async def hear(self) -> Message:
        """The next datagram."""
        for _ in range(500):
            try:
                return decode(self.socket.recv(2000))
            except BlockingIOError:
                await deferLater(reactor, 0.01, lambda: None)
        raise AssertionError("nothing came in 5 s")


def heard(ok: bool, now: float) -> None:
    """Hear of the end of a commit."""


class Broken(MemoryStorage):
    """A storage that can't be opened."""

    def open(self) -> Deferred[None]:
        """Fail."""
        failed: Deferred[None] = Deferred()
        failed.errback(StorageError("broken: on purpose"))
        return failed


class NodeTests(TestCase):
    """Start, serve, stop, start again."""

    def node(self, storage: Storage, *settings: str) -> Node:
        """A daemon on loopback, with ports of its own choice, not started."""
        base = ["coap.listen=127.0.0.1:0", "api.listen=127.0.0.1:0", *settings]
        return Node(load(None, base), storage, TOKEN, reactor)

    async def start(self, storage: Storage, *settings: str) -> Node:
        """A daemon that serves."""
        node = self.node(storage, *settings)
        node.bind()
        await node.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(node.stop()) if node.ready else None)
        return node

    def device(self, node: Node) -> Device:
        """A device beside it."""
        return Device(self, node.listeners()[0]["address"])

    async def api(self, node: Node, path: str) -> tuple[int, Any]:
        """Ask the API as the administrator."""
        url = f"http://{node.listeners()[-1]['address']}{path}"
        return await web.document("GET", url, headers={"Authorization": f"Bearer {TOKEN}"})

    async def test_serves(self) -> None:
        """A device registers, the API shows it, and health and counters are right."""
        node = await self.start(MemoryStorage())
        device = self.device(node)
        self.assertEqual((await device.register("d")).code, n.CREATED)
        status, found = await self.api(node, "/v1/devices/d")
        self.assertEqual((status, found["state"], found["objects"]), (200, "online", ["/1/0", "/3/0"]))
        self.assertEqual((await device.ask(n.POST, device.location)).code, n.CHANGED)
        self.assertEqual(node.counters()["coap_received"], 2)
        self.assertEqual([each["transport"] for each in node.listeners()], ["coap", "http"])

    async def test_own_parameters(self) -> None:
        """A device whose profile says so has transmission parameters of its own, the smaller blocks of both."""
        node = await self.start(MemoryStorage(), "coap.block-size=256")
        device, other = self.device(node), self.device(node)
        await device.ask(n.POST, ("rd",), ("ep=slow", "lwm2m=1.1", "lt=60", "network=nb-iot"), b"</3/0>")
        await other.register("other")
        set_ = msgspec.convert({"block_size": 1024, "max_retransmit": 2}, ProfileValues)
        node.server.device_profiles.put(Definition(name="more", match=Match(endpoint="slow"), set=set_), heard)
        node.settle()
        peers = {}
        for endpoint in ("slow", "other"):
            registration = node.server.devices[endpoint].registration
            assert registration is not None
            found = node._parameters_for(registration.peer)
            peers[endpoint] = (found.ack_timeout, found.max_retransmit, found.block_szx)
        self.assertEqual(peers, {"slow": (15.0, 2, 4), "other": (2.0, 4, 4)})

    async def test_unverified_address(self) -> None:
        """Where nobody is trusted an address gets nothing large before an Echo, and a registered device is known."""
        node = await self.start(MemoryStorage(), "coap.trusted=")
        node.mount(Tree(Clock()).root)
        stranger = self.device(node)
        challenge = await stranger.ask(n.GET, ("other", "large"))
        self.assertEqual(challenge.code, n.UNAUTHORIZED)
        echo = challenge.get(n.ECHO)
        assert echo is not None
        stranger.mid += 1
        found = options(path=("other", "large"), extra=((n.ECHO, echo),))
        stranger.socket.send(encode(Message(n.CON, n.GET, stranger.mid, b"tok", found)))
        self.assertEqual((await stranger.hear()).code, n.CONTENT)
        known = self.device(node)
        self.assertEqual((await known.register("d")).code, n.CREATED)
        self.assertEqual((await known.ask(n.GET, ("other", "large"))).code, n.CONTENT)

    async def test_both_families(self) -> None:
        """It listens on IPv4 and IPv6, and answers where it was asked."""
        node = await self.start(MemoryStorage(), "coap.listen=127.0.0.1:0,[::1]:0")
        for number, listener in enumerate(node.listeners()[:2]):
            answer = await Device(self, listener["address"]).register(f"d{number}")
            self.assertEqual(answer.code, n.CREATED)
        self.assertEqual(len(node.server.devices), 2)

    async def test_starts_again(self) -> None:
        """What was registered, and when it was heard of last, is there after a stop and a start."""
        path = directory(self) / "db"
        for storages in ([MemoryStorage()] * 2, [SQLiteStorage(path, reactor), SQLiteStorage(path, reactor)]):
            first = await self.start(storages[0])
            device = self.device(first)
            await device.register("d")
            registration = first.server.devices["d"].registration
            assert registration is not None
            await device.ask(n.POST, device.location)
            updated = registration.updated_at
            await first.stop()
            second = await self.start(storages[1])
            found = second.server.devices["d"].registration
            assert found is not None
            self.assertEqual((found.id, found.updated_at), (registration.id, updated))
            again = self.device(second)
            self.assertEqual((await again.ask(n.POST, device.location)).code, n.CHANGED)
            await second.stop()

    async def test_stopped_while_failing(self) -> None:
        """One that can store nothing when it is stopped ends in order, and says that something is missing and why."""
        storage = MemoryStorage()
        node = await self.start(storage)
        self.patch(storage, "commit", lambda batch: fail(StorageError("the disk is full")))
        with capturedLogs() as logs:
            await node.stop()
        found = [formatEvent(log) for log in logs]
        self.assertIn("what was written behind is not stored: the disk is full", found)

    async def test_broken_row(self) -> None:
        """A row that can't be read is logged, and keeps nobody else out."""
        storage = MemoryStorage()
        first = await self.start(storage)
        await self.device(first).register("d")
        storage.commit(Batch([Write("registrations", "a", b"{")]))
        await first.stop()
        second = await self.start(storage)
        self.assertIsNotNone(second.server.devices["d"].registration)

    async def test_counters(self) -> None:
        """Whatever a part of the daemon counts is among the documented metrics, and each of those is shown."""
        node = await self.start(MemoryStorage(), "coaps.listen=127.0.0.1:0")
        counted = set(node.counters())
        self.assertEqual(counted - set(MEASURES), set())
        _, shown = await self.api(node, "/metrics")
        for name, measure in MEASURES.items():
            self.assertIn(f"# TYPE {measure.shown(name)} {measure.kind}\n", shown)

    async def test_many_pages(self) -> None:
        """More rows than fit a page are all taken up."""
        storage = MemoryStorage()
        first = await self.start(storage)
        device = self.device(first)
        await device.register("d")
        await first.stop()
        storage.open()
        row = dict(await storage.scan("registrations"))["d"]
        names = [f"e{number:05}" for number in range(5001)]
        rows = [Write("registrations", name, row.replace(b'"d"', b'"%s"' % name.encode())) for name in names]
        storage.commit(Batch(rows))
        second = await self.start(storage)
        self.assertEqual(len(second.server.devices), 5002)

    async def test_storage_broken(self) -> None:
        """A storage that can't be opened keeps it from starting, with the storage's own words."""
        node = self.node(Broken())
        node.bind()
        try:
            await node.start()
        except StorageError as error:
            self.assertEqual(str(error), "broken: on purpose")
        else:
            self.fail("it started")
        self.assertFalse(node.ready)
        await node.stop()

    def test_port_taken(self) -> None:
        """A taken port is told by its address, and no other is kept."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            free = free_port()
            node = self.node(MemoryStorage(), f"coap.listen=127.0.0.1:{free},127.0.0.1:{port}")
            error = self.assertRaises(OSError, node.bind)
            self.assertIn(f"can't listen on coap://127.0.0.1:{port}", str(error))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", free))
