"""Tests of lwm2md.net.udp and lwm2md.net.batch over real loopback sockets: both ports keep the same promises."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from lwm2md.coap.engine import Engine
from lwm2md.net import batch as batch_module
from lwm2md.net import udp
from lwm2md.net.addresses import Endpoint, pack, show, unpack
from lwm2md.net.batch import BatchedPort
from lwm2md.net.driver import Driver
from lwm2md.net.port import BATCH, Batch, Port
from lwm2md.net.udp import UdpPort, listen
from tests.coap.support import Chance, Recorder

LARGEST = {"127.0.0.1": 65507, "::1": 65527}
FLOOD = 10_000
MANY = 3 * 64 + 1
"""More than one system call takes or gives, and less than a socket holds."""


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


def link_local() -> Endpoint | None:
    """Return the first link-local address of this machine with its scope."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        digits, number, _, scope, *_ = line.split()
        if scope == "20":
            return Endpoint(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), 0, int(number, 16))
    return None


class PlainTests(SynchronousTestCase):
    """The port on the socket module, read by hand."""

    batched = False
    hosts = ("127.0.0.1", "::1")

    def setUp(self) -> None:
        """Have a reactor that does nothing."""
        self.reactor = Readers()

    def listen(self, host: str, port: int = 0, pktinfo: bool = True) -> tuple[Port, Batch]:
        """Return a started port, and where all that it receives is put."""
        local = Endpoint(host, port)
        found = listen(self.reactor, local, batched=self.batched, pktinfo=pktinfo)  # type: ignore[arg-type]
        self.addCleanup(found.close)
        arrived: Batch = []
        found.start(arrived.extend)
        return found, arrived

    def client(self, host: str, scope: int = 0) -> tuple[socket.socket, Endpoint]:
        """Return a client socket on a free port of `host`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.bind((host, 0, 0, scope) if ":" in host else (host, 0))
        client.settimeout(5)
        self.addCleanup(client.close)
        return client, Endpoint(host, client.getsockname()[1], scope)

    def dead(self, local: Endpoint) -> bytes:
        """Return a peer of `local` whose port was given back."""
        client, name = self.client(local.host)
        client.close()
        return pack(local, name)

    def test_echo(self) -> None:
        """What arrives is handed on with its peers, and what is sent to them arrives there."""
        for host in self.hosts:
            port, arrived = self.listen(host)
            self.assertIn(port, self.reactor.readers)
            client, name = self.client(host)
            for payload in (b"one", b"", b"x" * 1400):
                client.sendto(payload, (host, port.local.port))
            port.doRead()
            self.assertEqual([data for data, _ in arrived], [b"one", b"", b"x" * 1400])
            peer = arrived[0][1]
            self.assertEqual(peer, pack(port.local, name))
            self.assertTrue(peer.startswith(port.prefix))
            port.send([(b"answer", peer), (b"", peer)])
            self.assertEqual([client.recvfrom(100)[0], client.recvfrom(100)[0]], [b"answer", b""])
            self.assertEqual((port.counters["received"], port.counters["sent"]), (3, 2))

    def test_kind(self) -> None:
        """The port that was asked for says what it is."""
        port, _ = self.listen("127.0.0.1")
        self.assertEqual((type(port), port.batched), (BatchedPort if self.batched else UdpPort, self.batched))

    def test_at_most_a_batch(self) -> None:
        """One wake-up takes at most a batch; the rest is there for the next."""
        port, _ = self.listen("127.0.0.1")
        sizes: list[int] = []
        port.start(lambda batch: sizes.append(len(batch)))
        client, _ = self.client("127.0.0.1")
        for _ in range(BATCH + 3):
            client.sendto(b"x", ("127.0.0.1", port.local.port))
        for _ in range(3):
            port.doRead()
        self.assertEqual(sizes, [BATCH, 3])

    def test_more_than_a_batch_is_sent(self) -> None:
        """More datagrams are sent at once than one system call takes, and all go out, in order."""
        port, _ = self.listen("127.0.0.1")
        client, name = self.client("127.0.0.1")
        peer = pack(port.local, name)
        port.send([(b"%d" % number, peer) for number in range(MANY)])
        self.assertEqual([int(client.recv(10)) for _ in range(MANY)], list(range(MANY)))

    def test_flood(self) -> None:
        """A flood is taken batch by batch; what the system drops is lost, the rest is whole and in order."""
        port, arrived = self.listen("127.0.0.1")
        client, name = self.client("127.0.0.1")
        for number in range(FLOOD):
            client.sendto(number.to_bytes(4, "big") * 8, ("127.0.0.1", port.local.port))
            if not number % 500:
                port.doRead()
        while len(arrived) < port.counters["received"] + 1:
            before = len(arrived)
            port.doRead()
            if len(arrived) == before:
                break
        numbers = [int.from_bytes(data[:4], "big") for data, _ in arrived]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertGreater(len(numbers), FLOOD // 100)
        self.assertEqual({(len(data), peer) for data, peer in arrived}, {(32, pack(port.local, name))})

    def test_largest_datagrams(self) -> None:
        """The largest datagrams that UDP can carry pass both ways, many in a batch, next to small ones."""
        for host in self.hosts:
            port, arrived = self.listen(host)
            client, _ = self.client(host)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            payloads = [bytes([number]) * (LARGEST[host] if number % 2 else number) for number in range(6)]
            for payload in payloads:
                client.sendto(payload, (host, port.local.port))
                port.doRead()
            self.assertEqual([data for data, _ in arrived], payloads)
            for datagram in arrived:
                port.send([datagram])
                self.assertEqual(client.recv(70_000), datagram[0])

    def test_port_in_use(self) -> None:
        """A port that is taken raises OSError to whoever asked for it, and leaves no socket behind."""
        port, _ = self.listen("127.0.0.1")
        with self.assertRaises(OSError) as caught:
            self.listen("127.0.0.1", port.local.port)
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)

    def test_both_families_on_one_number(self) -> None:
        """IPv6 sockets leave the IPv4 port of that number free."""
        port, _ = self.listen("::")
        other, _ = self.listen("0.0.0.0", port.local.port)
        self.assertEqual(other.local.port, port.local.port)

    def test_send_errors(self) -> None:
        """What can't be sent is counted, and what follows is sent."""
        port, _ = self.listen("127.0.0.1")
        client, name = self.client("127.0.0.1")
        peer = pack(port.local, name)
        nowhere = pack(port.local, Endpoint("127.0.0.1", 0))
        foreign = pack(Endpoint("127.0.0.1", 1), name)
        other = pack(Endpoint("::1", port.local.port), Endpoint("::1", 1))
        bad = [(bytes(70_000), peer), (b"x", nowhere), (b"x", foreign), (b"x", other), (b"x", b""), (b"x", peer[:-1])]
        for datagram in bad:
            port.send([datagram, (b"fine", peer)])
            self.assertEqual(client.recvfrom(100)[0], b"fine")
        port.send([*bad, (b"fine", peer)])
        self.assertEqual(client.recvfrom(100)[0], b"fine")
        self.assertEqual((port.counters["send_errors"], port.counters["sent"]), (2 * len(bad), len(bad) + 1))
        port.doRead()
        self.assertEqual(port.counters["unreachable"], 0)

    def test_closed(self) -> None:
        """What is sent by a closed port is counted; closing it twice is no error; it is not read any more."""
        port, arrived = self.listen("127.0.0.1")
        client, name = self.client("127.0.0.1")
        client.sendto(b"late", ("127.0.0.1", port.local.port))
        port.close()
        port.close()
        port.send([(b"late", pack(port.local, name))])
        self.assertEqual(port.counters["dropped"], 1)
        port.readConnectionLost(Failure(ConnectionDone()))
        self.assertEqual((arrived, self.reactor.readers), ([], set()))

    def test_descriptor(self) -> None:
        """A port is what the reactor expects of a reader, and is closed when the reactor stops."""
        port, _ = self.listen("127.0.0.1")
        self.assertTrue(verifyObject(IReadDescriptor, port))
        self.assertTrue(verifyObject(IHalfCloseableDescriptor, port))
        self.assertGreater(port.fileno(), 0)
        self.assertIn("127.0.0.1", port.logPrefix())
        port.doRead()
        port.writeConnectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.readers, {port})
        port.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.reactor.readers, set())

    def test_addressed(self) -> None:
        """On the wildcard address the peer has the address that was addressed, and the answer leaves from there."""
        for wildcard, addressed, host in (
            ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.2", "127.0.0.1"),
            ("0.0.0.0", "127.3.2.1", "127.0.0.5"),
            ("::", "::1", "::1"),
        ):
            port, arrived = self.listen(wildcard)
            client, name = self.client(host)
            client.sendto(b"hello", (addressed, port.local.port))
            port.doRead()
            peer = arrived[0][1]
            self.assertEqual(unpack(peer), (Endpoint(addressed, port.local.port), name))
            port.send([(b"answer", peer)])
            data, sender = client.recvfrom(100)
            self.assertEqual((data, sender[:2]), (b"answer", (addressed, port.local.port)))
            driver = Driver(port._reactor, Engine(Recorder(), Chance()))  # type: ignore[arg-type]
            driver.add(port)
            driver.add(self.listen("127.0.0.9")[0])
            driver._send([(b"routed", peer)])
            self.assertEqual(client.recvfrom(100)[1][0], addressed)
            port.close()

    def test_wildcard_peer(self) -> None:
        """A peer whose local address is the wildcard is sent to from whatever address the system takes."""
        for wildcard, host in (("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            port, _ = self.listen(wildcard)
            client, name = self.client(host)
            port.send([(b"hello", pack(port.local, name))])
            self.assertEqual(client.recvfrom(100)[0], b"hello")

    def test_address_that_is_gone(self) -> None:
        """A peer whose local address this machine does not have any more can't be sent to, which is counted."""
        for wildcard, host, gone in (("0.0.0.0", "127.0.0.1", "192.0.2.99"), ("::", "::1", "2001:db8::99")):
            port, _ = self.listen(wildcard)
            client, name = self.client(host)
            port.send([(b"x", pack(Endpoint(gone, port.local.port), name)), (b"fine", pack(port.local, name))])
            self.assertEqual(client.recvfrom(100)[0], b"fine")
            self.assertEqual(port.counters["send_errors"], 1)

    def test_without_pktinfo(self) -> None:
        """For those who only ask, the peers of a wildcard port all have that as their local address."""
        for wildcard, host in (("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            port, arrived = self.listen(wildcard, pktinfo=False)
            client, name = self.client(host)
            client.sendto(b"hello", (host, port.local.port))
            port.doRead()
            self.assertEqual(arrived, [(b"hello", pack(port.local, name))])

    def test_zone(self) -> None:
        """A link-local peer keeps its zone, whether the port is bound to a link-local address or to the wildcard."""
        found = link_local()
        if found is None:
            with self.assertRaises(OSError):
                self.listen("fe80::1%no-such-zone")
            return
        name = socket.if_indextoname(found.scope)
        for bound in (f"{found.host}%{name}", f"{found.host}%{found.scope}", "::"):
            port, arrived = self.listen(bound)
            client, remote = self.client(found.host, found.scope)
            client.sendto(b"hello", (found.host, port.local.port, 0, found.scope))
            port.doRead()
            peer = arrived[0][1]
            self.assertEqual(unpack(peer), (Endpoint(found.host, port.local.port), remote))
            port.send([(b"answer", peer)])
            self.assertEqual(client.recvfrom(100)[0], b"answer")
            driver = Driver(port._reactor, Engine(Recorder(), Chance()))  # type: ignore[arg-type]
            driver.add(port)
            driver.add(self.listen("127.0.0.1")[0])
            driver._send([(b"routed", peer)])
            self.assertEqual((client.recvfrom(100)[0], driver.unroutable), (b"routed", 0))

    def test_no_such_zone(self) -> None:
        """A zone that is no interface is an OSError with a text."""
        with self.assertRaises(OSError) as caught:
            self.listen("fe80::1%nowhere")
        self.assertIn("nowhere", caught.exception.strerror)

    def test_unreachable(self) -> None:
        """An ICMP error names the peer that it is about, also on the wildcard address; nobody else suffers."""
        for bound, host in (("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            port, arrived = self.listen(bound)
            told: list[bytes] = []
            port.on_unreachable = told.append
            client, _ = self.client(host)
            client.sendto(b"x", (host, port.local.port))
            port.doRead()
            peer = arrived[0][1]
            dead = self.dead(unpack(peer)[0])
            for _ in range(2):
                port.send([(b"x", dead), (b"one", peer), (b"x", dead), (b"two", peer)])
                self.assertEqual([client.recv(10), client.recv(10)], [b"one", b"two"])
            client.sendto(b"later", (host, port.local.port))
            for _ in range(3):
                port.doRead()
            self.assertEqual(arrived[-1], (b"later", peer))
            self.assertEqual((set(told), len(told)), ({dead}, port.counters["unreachable"]))
            self.assertGreaterEqual(len(told), 2)
            self.assertEqual(port.counters["send_errors"], 0)

    def test_passing_errors(self) -> None:
        """An error of the way there, such as an unreachable host, is counted and not told: it may pass."""
        port, _ = self.listen("127.0.0.1")
        told: list[bytes] = []
        port.on_unreachable = told.append
        numbers = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE, errno.ECONNREFUSED)
        self.patch(port, "_errors", lambda: [(b"peer", number) for number in numbers])
        port._hear()
        self.assertEqual((told, port.counters["unreachable"]), ([b"peer"], 3))

    def test_only_errors(self) -> None:
        """The reactor takes a socket that has only errors to be read for closed: the port reads them and goes on."""
        port, arrived = self.listen("127.0.0.1")
        told: list[bytes] = []
        port.on_unreachable = told.append
        dead = self.dead(port.local)
        port.send([(b"x", dead)])
        self.reactor.removeReader(port)
        port.readConnectionLost(Failure(ConnectionDone()))
        self.assertEqual((told, self.reactor.readers), ([dead], {port}))
        port.doRead()
        self.assertEqual((arrived, port.counters["unreachable"]), ([], 1))

    def test_many_errors(self) -> None:
        """A flood of ICMP errors is heard in bounded portions, and keeps nothing from arriving."""
        port, arrived = self.listen("127.0.0.1")
        dead = self.dead(port.local)
        client, _ = self.client("127.0.0.1")
        for _ in range(10):
            port.send([(b"x", dead)] * 100)
            client.sendto(b"x", ("127.0.0.1", port.local.port))
            for _ in range(5):
                port.doRead()
        self.assertEqual(len(arrived), 10)
        self.assertEqual(port.counters["sent"], 1000)
        self.assertGreater(port.counters["unreachable"], 10)


class BatchedTests(PlainTests):
    """The port on recvmmsg and sendmmsg keeps the same promises."""

    batched = True

    def test_no_room(self) -> None:
        """What found no room, and what could not be sent at all, is counted apart."""
        port, _ = self.listen("127.0.0.1")

        class Full:
            """System calls of a full network."""

            @staticmethod
            def send(*arguments: object) -> tuple[int, int, int, bool]:
                """Answer as the extension does."""
                return 1, 2, 3, True

        self.patch(batch_module, "_batch", Full)
        port.send([(b"", b"")] * 6)
        self.assertEqual([port.counters[name] for name in ("sent", "dropped", "send_errors")], [1, 2, 3])

    def test_descriptor_that_is_gone(self) -> None:
        """Not even a socket closed behind its back makes a port raise."""
        port, _ = self.listen("127.0.0.1")
        port._socket.close()
        port.send([(b"x", pack(port.local, Endpoint("127.0.0.1", 1)))])
        port.doRead()
        self.assertEqual((port.counters["send_errors"], port.counters["receive_errors"]), (1, 1))
        port._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


class FallBackTests(SynchronousTestCase):
    """What `listen` takes, and what only the port without the extension does."""

    def test_choice(self) -> None:
        """The batched port is taken where it can be had; one that is asked for and can't be had is an OSError."""
        port = listen(Readers(), Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.addCleanup(port.close)
        self.assertTrue(port.batched)
        self.patch(udp, "BatchedPort", None)
        other = listen(Readers(), Endpoint("127.0.0.1", 0))  # type: ignore[arg-type]
        self.addCleanup(other.close)
        self.assertFalse(other.batched)
        with self.assertRaises(OSError) as caught:
            listen(Readers(), Endpoint("127.0.0.1", 0), batched=True)  # type: ignore[arg-type]
        self.assertIn("not installed", caught.exception.strerror)

    def test_many_peers(self) -> None:
        """However many peers there are, a port remembers a bounded number of addresses, and answers all of them."""
        port = listen(Readers(), Endpoint("127.0.0.1", 0), batched=False)  # type: ignore[arg-type]
        assert isinstance(port, UdpPort)
        self.addCleanup(port.close)
        port.start(port.send)
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(5)
        self.addCleanup(client.close)
        for _ in range(2):
            port._known.update({number.to_bytes(13, "big"): ("127.0.0.1", 1) for number in range(5000)})
            client.sendto(b"x", ("127.0.0.1", port.local.port))
            port.doRead()
            self.assertEqual(client.recvfrom(10)[0], b"x")
            self.assertEqual(len(port._known), 1)

    def test_no_room(self) -> None:
        """What finds no room is dropped and counted."""
        port = listen(Readers(), Endpoint("127.0.0.1", 0), batched=False)  # type: ignore[arg-type]
        peer = pack(port.local, Endpoint("127.0.0.1", 9))

        class Full:
            """A socket without room."""

            def __init__(self, *numbers: int) -> None:
                self.numbers = list(numbers)

            def sendto(self, *arguments: object) -> None:
                """Fail."""
                raise OSError(self.numbers.pop(), "full")

        port._socket.close()
        port._socket = Full(errno.ENOBUFS, errno.ENOBUFS, errno.EAGAIN)  # type: ignore[assignment]
        port.send([(b"x", peer), (b"x", peer)])
        self.assertEqual((port.counters["dropped"], port.counters["send_errors"]), (2, 0))


class ReactorTests(TestCase):
    """Ports in a running reactor."""

    async def test_reads(self) -> None:
        """The reactor wakes the port when a datagram arrives, also after ICMP errors that came alone."""
        for batched in (False, True):
            port = listen(installed_reactor, Endpoint("127.0.0.1", 0), batched=batched)
            self.addCleanup(port.close)
            told: Deferred[bytes] = Deferred()
            port.on_unreachable = told.callback
            arrived: Deferred[Batch] = Deferred()
            port.start(arrived.callback)
            dead = pack(port.local, Endpoint("127.0.0.1", 9))
            port.send([(b"x", dead)])
            self.assertEqual(await told.addTimeout(5, installed_reactor), dead)
            turns: list[object] = []
            self.patch(port, "_receive_all", turns.append)
            await deferLater(installed_reactor, 0.05, lambda: None)
            self.assertLess(len(turns), 3)
            del port._receive_all
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(client.close)
            client.sendto(b"hello", ("127.0.0.1", port.local.port))
            batch = await arrived.addTimeout(5, installed_reactor)
            self.assertEqual([data for data, _ in batch], [b"hello"])
            self.assertTrue(show(batch[0][1]).startswith("127.0.0.1:"))
