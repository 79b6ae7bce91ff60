"""A device that says good-bye: a De-register, and right behind it the end of its session (RFC 5246 section 7.2.1)."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.net import udp
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.calling import ClientTerms
from lwm2md.net.driver import Deadlines
from lwm2md.net.dtlsclient import SecureClient
from lwm2md.net.openssl import Context
from lwm2md.net.port import Batch
from lwm2md.security.dtls.suites import BY_NAME
from tests.daemons import Daemon
from tests.processes import directory, reactor

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


class FarewellTests(TestCase):
    """A daemon that listens on coaps, and a device by hand."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        keys = directory(self) / "keys.csv"
        keys.write_text(f"d,{KEY},d\n", "ascii")
        self.daemon = await Daemon.start(self, "coaps.listen=127.0.0.1:0", f"security.psk={keys}")
        host, _, port = self.daemon.coaps.removeprefix("coaps://").rpartition(":")
        deadlines = Deadlines(reactor)
        self.client = SecureClient(reactor, os.urandom, deadlines)
        terms = ClientTerms(Context((BY_NAME["PSK-AES128-CCM8"],), server=False), b"d", bytes.fromhex(KEY), cid=b"")
        self.port = udp.listen(reactor, Endpoint("127.0.0.1", 0))
        self.link = self.client.device(terms, lambda _text, _detail: None).link(
            self.port, pack(self.port.local, Endpoint(host, int(port)))
        )
        self.waiting: Deferred[Message] | None = None
        self.datagrams = 0
        self.link.start(self._heard)
        self.addCleanup(deadlines.stop)
        self.addCleanup(self.client.stop)
        self.addCleanup(self.link.close)

    def _heard(self, batch: Batch) -> None:
        for data, _ in batch:
            if self.waiting is not None:
                waiting, self.waiting = self.waiting, None
                waiting.callback(decode(data))

    async def ask(self, mid: int, code: int, *path: str, query: tuple[str, ...] = ()) -> Message:
        """Send a request, and wait for its answer."""
        self.waiting = Deferred()
        self.link.send([(self.request(mid, code, *path, query=query), b"")])
        return await self.waiting

    @staticmethod
    def request(mid: int, code: int, *path: str, query: tuple[str, ...] = ()) -> bytes:
        """A request of the device."""
        payload = b"</1/0>,</3/0>" if query else b""
        found = options(path=path, query=query, content_format=40 if payload else None)
        return encode(Message(n.CON, code, mid, b"tok", found, payload))

    async def test_deregister(self) -> None:
        """The registration ends; what would be the answer is dropped, and nobody shakes hands because of it."""
        stream = await self.daemon.events("types=device.deregistered")
        answer = await self.ask(1, n.POST, "rd", query=("ep=d", "lwm2m=1.1"))
        self.assertEqual(answer.code, n.CREATED)
        peer = self.link.device.peer
        assert peer is not None
        self.link.send([(self.request(2, n.DELETE, *answer.location), b"")])
        self.client.associations.end(peer)
        event = (await stream.next("device.deregistered")).data
        self.assertEqual((event["endpoint"], event["reason"]), ("d", "deregistered"))
        before = self.port.counters["received"]
        await deferLater(reactor, 0.5)
        self.assertLessEqual(self.port.counters["received"], before + 1)
        status, found = await self.daemon.api("GET", "/v1/devices/d")
        self.assertEqual((status, found["state"], found["state_reason"]), (200, "offline", "deregistered"))
        self.assertNotRegex(self.daemon.process.output(), "error|Traceback")
        self.assertEqual((await self.ask(3, n.POST, "rd", query=("ep=d", "lwm2m=1.1"))).code, n.CREATED)
        await self.daemon.process.stop()
