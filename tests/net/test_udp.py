"""Tests of lwm2md.net.udp over real loopback sockets."""

from __future__ import annotations

import errno
import socket

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from lwm2md.net.addresses import Endpoint, pack, show
from lwm2md.net.udp import BATCH, Batch, listen


class Readers:
    """A reactor that keeps its readers and never runs."""

    def __init__(self) -> None:
        self.readers: set[object] = set()

    def addReader(self, reader: object) -> None:
        """Keep a reader."""
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        """Forget a reader."""
        self.readers.discard(reader)


class PortTests(SynchronousTestCase):
    """A port, read by hand."""

    hosts = ("127.0.0.1", "::1")

    def setUp(self) -> None:
        """Have a reactor that does nothing."""
        self.reactor = Readers()

    def bind(self, host: str) -> tuple[object, socket.socket]:
        """Return a client socket connected to nothing, on the same address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.bind((host, 0))
        client.settimeout(5)
        self.addCleanup(client.close)
        return client.getsockname(), client

    def test_echo(self) -> None:
        """What arrives is handed on as one batch with its peers, and what is sent to them arrives there."""
        for host in self.hosts:
            port = listen(self.reactor, Endpoint(host, 0))  # type: ignore[arg-type]
            self.addCleanup(port.close)
            batches: list[Batch] = []
            port.start(batches.append)
            self.assertIn(port, self.reactor.readers)
            name, client = self.bind(host)
            for payload in (b"one", b"", b"x" * 1400):
                client.sendto(payload, (host, port.local.port))
            port.doRead()
            (batch,) = batches
            self.assertEqual([data for data, _ in batch], [b"one", b"", b"x" * 1400])
            peer = batch[0][1]
            assert isinstance(name, tuple)
            self.assertEqual(peer, pack(port.local, Endpoint(host, name[1])))
            self.assertTrue(peer.startswith(port.prefix))
            port.send([(b"answer", peer)])
            self.assertEqual(client.recvfrom(100)[0], b"answer")
            self.assertEqual((port.counters["received"], port.counters["sent"]), (3, 1))

    def test_at_most_a_batch(self) -> None:
        """One wake-up takes at most a batch; the rest is there for the next."""
        port = listen(self.reactor, Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.addCleanup(port.close)
        sizes: list[int] = []
        port.start(lambda batch: sizes.append(len(batch)))
        _, client = self.bind("127.0.0.1")
        for _ in range(BATCH + 3):
            client.sendto(b"x", ("127.0.0.1", port.local.port))
        for _ in range(3):
            port.doRead()
        self.assertEqual(sizes, [BATCH, 3])

    def test_many_peers(self) -> None:
        """However many peers there are, a port remembers a bounded number of addresses, and answers all of them."""
        port = listen(self.reactor, Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.addCleanup(port.close)
        port.start(port.send)
        _, client = self.bind("127.0.0.1")
        port._known.update({number.to_bytes(13, "big"): ("127.0.0.1", 1) for number in range(5000)})
        for _ in range(2):
            client.sendto(b"x", ("127.0.0.1", port.local.port))
            port.doRead()
            self.assertEqual(client.recvfrom(10)[0], b"x")
            self.assertEqual(len(port._known), 1)
            port._known.clear()
            port._known.update({number.to_bytes(13, "big"): ("127.0.0.1", 1) for number in range(5000)})

    def test_port_in_use(self) -> None:
        """A port that is taken raises OSError to whoever asked for it, and leaves no socket behind."""
        port = listen(self.reactor, Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.addCleanup(port.close)
        with self.assertRaises(OSError) as caught:
            listen(self.reactor, port.local)  # type: ignore[arg-type]
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)

    def test_both_families_on_one_number(self) -> None:
        """IPv6 sockets leave the IPv4 port of that number free."""
        port = listen(self.reactor, Endpoint("::", 0))  # type: ignore[arg-type]
        self.addCleanup(port.close)
        other = listen(self.reactor, Endpoint("0.0.0.0", port.local.port))  # type: ignore[arg-type]
        self.addCleanup(other.close)
        self.assertEqual(other.local.port, port.local.port)

    def test_send_errors(self) -> None:
        """What can't be sent is counted, and what follows is sent."""
        port = listen(self.reactor, Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        name, client = self.bind("127.0.0.1")
        assert isinstance(name, tuple)
        peer = pack(port.local, Endpoint("127.0.0.1", name[1]))
        nowhere = pack(port.local, Endpoint("127.0.0.1", 0))
        port.send([(bytes(70_000), peer), (b"x", nowhere), (b"fine", peer)])
        self.assertEqual(client.recvfrom(100)[0], b"fine")
        self.assertEqual((port.counters["send_errors"], port.counters["sent"]), (2, 1))
        port.close()
        port.send([(b"late", peer)])
        self.assertEqual(port.counters["dropped"], 1)

    def test_descriptor(self) -> None:
        """A port is what the reactor expects of a reader; closing it twice is no error."""
        port = listen(self.reactor, Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.assertTrue(verifyObject(IReadDescriptor, port))
        port.start(lambda batch: None)
        self.assertGreater(port.fileno(), 0)
        self.assertIn("127.0.0.1", port.logPrefix())
        port.doRead()
        port.close()
        port.close()
        self.assertEqual(self.reactor.readers, set())


class ReactorTests(TestCase):
    """A port in a running reactor."""

    def test_reads(self) -> Deferred[None]:
        """The reactor wakes the port when a datagram arrives."""
        port = listen(installed_reactor, Endpoint("127.0.0.1", 0))
        self.addCleanup(port.close)
        arrived: Deferred[Batch] = Deferred()
        port.start(arrived.callback)
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.sendto(b"hello", ("127.0.0.1", port.local.port))

        def check(batch: Batch) -> None:
            self.assertEqual([data for data, _ in batch], [b"hello"])
            self.assertTrue(show(batch[0][1]).startswith("127.0.0.1:"))

        return arrived.addCallback(check).addTimeout(5, installed_reactor)
