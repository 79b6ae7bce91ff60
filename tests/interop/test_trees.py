"""A tree of txthings resources, unmodified, served by our daemon's node and used by aiocoap, libcoap and txthings."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.node import Node
from lwm2md.storage.memory import MemoryStorage
from lwm2md.tap import Options
from tests.interop.support import other
from tests.net.tree import LARGE, Tree
from tests.peers import aiocoap, libcoap, txthings
from tests.peers.lines import Client
from tests.processes import Process, reactor


class TreeTests(TestCase):
    """One node with one tree, and a client of each kind."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        options = Options()
        options.parseOptions(["--set", "coap.listen=127.0.0.1:0", "--set", "api.listen=127.0.0.1:0"])
        self.node = Node(options.settings, MemoryStorage(), "token", reactor)
        self.node.bind()
        await self.node.start()
        self.addCleanup(lambda: ensureDeferred(self.node.stop()))
        self.tree = Tree(reactor, delay=1.5)
        self.node.mount(self.tree.root)
        address = next(each["address"] for each in self.node.listeners() if each["transport"] == "coap")
        self.url = f"coap://{address}"

    async def used(self, client: Client) -> None:
        """Everything that the tree has."""
        first, second = [int((await client.request(f"{self.url}/counter")).body) for _ in range(2)]
        self.assertEqual(second, first + 1)
        self.assertEqual((await client.request(f"{self.url}/other/large", szx=4)).body, LARGE)
        self.assertEqual((await client.request(f"{self.url}/other/separate")).body, b"at last")
        body = other(2500)
        self.assertEqual((await client.request(f"{self.url}/store", "PUT", payload=body, szx=3)).code, "2.04")
        read = await client.request(f"{self.url}/store", szx=5)
        self.assertEqual((read.body, read.options["etag"]), (body, b"tag".hex()))
        made = await client.request(f"{self.url}/store", "POST", payload=body, szx=6)
        self.assertEqual((made.code, made.body, made.options["location"]), ("2.01", body, ["store", "2500"]))
        self.assertEqual((await client.request(f"{self.url}/store", "DELETE")).code, "2.02")
        self.assertEqual((await client.request(f"{self.url}/counter", "PUT")).code, "4.05")
        self.assertEqual((await client.request(f"{self.url}/other/nothing")).code, "4.04")

    async def observed(self, client: Client) -> None:
        """Notifications of the clock, small and large, that follow `updatedState`."""
        watch = await client.observe(f"{self.url}/time")
        self.assertTrue(watch.answer.body.startswith(b"tick"))
        for pad in (b"", b"." * 2000, b"!"):
            self.tree.time.pad = pad
            self.tree.time.ticks += 1
            self.tree.time.updatedState()
            self.assertEqual((await watch.next()).body, b"tick %d" % self.tree.time.ticks + pad)

    async def test_by_aiocoap(self) -> None:
        """aiocoap uses and observes the tree; the observer whose process is gone is forgotten."""
        client = await aiocoap.client(self)
        await self.used(client)
        await self.observed(client)
        self.assertEqual(len(self.tree.time.observers), 1)
        watch = await client.observe(f"{self.url}/store")
        await watch.cancel()
        for value in (b"one", b"two"):
            await client.request(f"{self.url}/store", "PUT", payload=value)
            await deferLater(reactor, 0.1, lambda: None)
        self.assertEqual(self.tree.store.observers, {})

    async def test_by_txthings(self) -> None:
        """txthings' own client uses and observes the tree."""
        client = await txthings.client(self)
        await self.used(client)
        await self.observed(client)

    async def test_by_libcoap(self) -> None:
        """libcoap finds the tree beside the server's own resources, and observes it."""
        core = await libcoap.request(self, f"{self.url}/.well-known/core")
        self.assertIn(b'</rd>;rt="core.rd"', core.body)
        self.assertIn(b"</time>;obs", core.body)
        large = await libcoap.request(self, f"{self.url}/other/large", "get", None, None, None, "-b", "64")
        self.assertEqual(large.body, LARGE)
        observer = Process.start(self, [*libcoap.install(), "-w", "-s", "1", f"{self.url}/time"])
        await observer.await_line("tick 0")
        self.tree.time.notify()
        self.addCleanup(self.tree.time.call.cancel)
        await observer.await_line("tick 1")
        await observer.wait()
        self.assertEqual(self.tree.time.observers, {})

    async def test_beside_the_server(self) -> None:
        """Registration works as without a tree."""
        where = f"{self.url}/rd?ep=d&lt=60&lwm2m=1.1"
        made = await libcoap.request(self, where, "post", "</3/0>", 40)
        self.assertEqual(made.code, "2.01")
        self.assertIn("d", self.node.server.devices)
        self.assertGreaterEqual(self.node.counters()["coap_received"], 1)
