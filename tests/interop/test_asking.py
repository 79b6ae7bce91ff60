"""Our engine as a client of aiocoap's, txthings' and libcoap's servers."""

from __future__ import annotations

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Parameters
from lwm2md.coap.message import options
from tests.interop.support import HUGE, LARGE, PATIENT, SIZES, OurClient, blocks, other
from tests.peers import aiocoap, libcoap_server, txthings
from tests.peers.lines import Server
from tests.peers.proxy import Proxy
from tests.processes import reactor

CBOR = ((n.CONTENT_FORMAT, b"\x3c"),)


class AskingTests(TestCase):
    """What every server that is driven by lines is asked."""

    timeout = 60
    server: Server

    async def sizes(self) -> None:
        """Large bodies come and go in blocks of each size that we choose."""
        for szx in SIZES:
            ours = OurClient(self, Parameters(block_szx=szx))
            got = await ours.request(f"{self.server.url}/large")
            self.assertEqual((got.code, got.payload), (n.CONTENT, LARGE), szx)
            body = other(2990, szx)
            put = await ours.request(f"{self.server.url}/store", n.PUT, body)
            self.assertEqual(put.code, n.CHANGED, szx)
            self.assertEqual((await ours.request(f"{self.server.url}/store")).payload, body, szx)
            both = await ours.request(f"{self.server.url}/store", n.POST, body)
            self.assertEqual((both.code, both.payload), (n.CHANGED, body), szx)
            self.assertGreaterEqual(ours.engine.counters["sent"], 4 * blocks(2990, szx))

    async def their_size(self) -> None:
        """A server that has smaller blocks than we ask for is followed; neither of these has an own wish for Block1."""
        ours = OurClient(self)
        self.assertEqual((await ours.request(f"{self.server.url}/large")).payload, LARGE)
        body = other(2990)
        both = await ours.request(f"{self.server.url}/store", n.POST, body)
        self.assertEqual(both.payload, body)
        self.assertGreaterEqual(ours.engine.counters["sent"], blocks(3000, 2) + blocks(2990, 2))

    async def huge(self) -> None:
        """Thirty kilobytes come and go."""
        ours = OurClient(self)
        self.assertEqual((await ours.request(f"{self.server.url}/huge")).payload, HUGE)
        self.assertEqual((await ours.request(f"{self.server.url}/store", n.POST, HUGE)).payload, HUGE)

    async def others(self) -> None:
        """Answers without a block, and refusals; Non-confirmable too."""
        ours = OurClient(self)
        for confirmable in (True, False):
            small = await ours.request(f"{self.server.url}/small", confirmable=confirmable)
            self.assertEqual((small.code, small.payload), (n.CONTENT, b"small"))
            missing = await ours.request(f"{self.server.url}/missing", confirmable=confirmable)
            self.assertEqual(missing.code, n.NOT_FOUND)
        self.assertEqual((await ours.request(f"{self.server.url}/store", n.DELETE)).code, n.DELETED)

    async def observed(self) -> OurClient:
        """Notifications arrive, within a block and beyond."""
        ours = OurClient(self)
        watch = await ours.observe(f"{self.server.url}/clock")
        self.assertEqual(watch.answer.payload, b"start")
        for body in (b"one", other(2000), b"three"):
            await self.server.change(body)
            self.assertEqual((await watch.next()).payload, body)
        return ours

    async def lossy(self) -> None:
        """With a fifth of all datagrams lost, and others doubled or late, everything arrives."""
        proxy = Proxy.start(self, self.server.url, 5, loss=0.2, duplication=0.1, delay=0.2)
        ours = OurClient(self, PATIENT)
        body = other(3000)
        self.assertEqual((await ours.request(f"{proxy.url}/large")).payload, LARGE)
        self.assertEqual((await ours.request(f"{proxy.url}/store", n.POST, body)).payload, body)
        self.assertGreater(proxy.counters["lost"], 1)


class AiocoapTests(AskingTests):
    """aiocoap 0.4.17 as the server."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.server = await aiocoap.server(self)

    async def test_block_sizes(self) -> None:
        """Large bodies come and go at every SZX."""
        await self.sizes()

    async def test_their_block_size(self) -> None:
        """A server with blocks of SZX 2 is obeyed."""
        self.server = await aiocoap.server(self, szx=2)
        await self.their_size()

    async def test_huge(self) -> None:
        """30 KB come and go."""
        await self.huge()

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        await self.others()

    async def test_methods(self) -> None:
        """FETCH brings back a body of many blocks, iPATCH carries one."""
        ours = OurClient(self, Parameters(block_szx=4))
        body = other(2500)
        fetched = await ours.request(f"{self.server.url}/store", n.FETCH, body, CBOR)
        self.assertEqual((fetched.code, fetched.payload), (n.CONTENT, body))
        self.assertEqual((await ours.request(f"{self.server.url}/store", n.IPATCH, body, CBOR)).code, n.CHANGED)
        self.assertEqual((await ours.request(f"{self.server.url}/store")).payload, body)

    async def test_separate_response(self) -> None:
        """A slow answer comes as a message of its own."""
        ours = OurClient(self)
        self.assertEqual((await ours.request(f"{self.server.url}/slow")).payload, b"slow")
        self.assertEqual(ours.engine.counters["retransmitted"], 0)

    async def test_observation(self) -> None:
        """Notifications small and large, until the observation is cancelled."""
        await self.observed()
        ours = OurClient(self)
        watch = await ours.observe(f"{self.server.url}/clock")
        answer = await ours.cancel(f"{self.server.url}/clock", watch)
        self.assertEqual((answer.code, answer.observe), (n.CONTENT, None))
        await self.server.change(b"unseen")
        await deferLater(reactor, 0.1, lambda: None)
        self.assertEqual(ours.engine.counters["notifications"], 0)

    async def test_loss(self) -> None:
        """Everything arrives over a lossy way."""
        await self.lossy()


class TxthingsTests(AskingTests):
    """txthings 0.3.0 as the server.

    It answers a block that is not the last with 2.04 where 2.31 is meant, and leaves the size of Block1 as it comes.
    Its empty acknowledgements have a token in them, which makes them malformed: they count for nothing, and the request
    is sent again until the response is there.
    """

    async def setUp(self) -> None:  # type: ignore[override]
        self.server = await txthings.server(self, szx=6)

    async def test_block_sizes(self) -> None:
        """Large bodies come and go at every SZX."""
        await self.sizes()

    async def test_their_block_size(self) -> None:
        """A server with blocks of SZX 2 is obeyed."""
        self.server = await txthings.server(self, szx=2)
        await self.their_size()

    async def test_huge(self) -> None:
        """30 KB come and go."""
        await self.huge()

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        await self.others()

    async def test_separate_response(self) -> None:
        """A slow answer is taken after a malformed acknowledgement."""
        ours = OurClient(self)
        self.assertEqual((await ours.request(f"{self.server.url}/slow")).payload, b"slow")
        self.assertGreater(ours.engine.counters["malformed"], 0)

    async def test_observation(self) -> None:
        """Notifications small and large."""
        await self.observed()

    async def test_loss(self) -> None:
        """Everything arrives over a lossy way."""
        await self.lossy()


class LibcoapTests(TestCase):
    """libcoap 4.3.1's coap-server, with what its example has."""

    timeout = 60

    async def test_block_sizes(self) -> None:
        """Large bodies come and go at every SZX."""
        url = await libcoap_server.start(self)
        for szx in SIZES:
            ours = OurClient(self, Parameters(block_szx=szx))
            for body in (other(2990, szx), other(3000, szx)):
                put = await ours.request(f"{url}/example_data", n.PUT, body)
                self.assertIn(put.code, (n.CREATED, n.CHANGED), szx)
                got = await ours.request(f"{url}/example_data")
                self.assertEqual((got.code, got.payload), (n.CONTENT, body), szx)

    async def test_echoed(self) -> None:
        """A PUT of many blocks brings as many back, up to 30 KB."""
        url = await libcoap_server.start(self, "-e")
        ours = OurClient(self)
        for body in (other(3000), HUGE):
            put = await ours.request(f"{url}/made", n.PUT, body)
            self.assertIn(put.code, (n.CREATED, n.CHANGED))
            self.assertEqual((await ours.request(f"{url}/made")).payload, body)

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        url = await libcoap_server.start(self)
        ours = OurClient(self)
        for confirmable in (True, False):
            got = await ours.request(f"{url}/time", confirmable=confirmable)
            self.assertEqual(got.code, n.CONTENT)
            missing = await ours.request(f"{url}/missing", confirmable=confirmable)
            self.assertEqual(missing.code, n.NOT_FOUND)

    async def test_separate_response(self) -> None:
        """A slow answer comes as a message of its own."""
        url = await libcoap_server.start(self)
        ours = OurClient(self)
        done = await ours.request(f"{url}/async?1")
        self.assertEqual((done.code, done.payload, ours.engine.counters["retransmitted"]), (n.CONTENT, b"done", 0))

    async def test_observation(self) -> None:
        """A clock's notifications arrive, Confirmable and not, until the observation is cancelled."""
        for words in ((), ("-N",)):
            url = await libcoap_server.start(self, *words)
            ours = OurClient(self)
            watch = await ours.observe(f"{url}/time")
            seen = [(await watch.next()).payload for _ in range(2)]
            self.assertEqual(len(set(seen)), 2)
            self.assertIsNone((await ours.cancel(f"{url}/time", watch)).observe)

    async def test_large_notifications(self) -> None:
        """A state of many blocks is observed, in the size that we asked for."""
        url = await libcoap_server.start(self)
        for szx in (2, 6):
            ours = OurClient(self, Parameters(block_szx=szx))
            watch = await ours.observe(f"{url}/example_data")
            body = other(2500, szx)
            await OurClient(self).request(f"{url}/example_data", n.PUT, body)
            self.assertEqual((await watch.next()).payload, body)

    async def test_discovery(self) -> None:
        """Its links come in small blocks, too."""
        url = await libcoap_server.start(self)
        ours = OurClient(self, Parameters(block_szx=0))
        core = await ours.request(f"{url}/.well-known/core", n.GET, b"", options(accept=n.LINK_FORMAT))
        self.assertIn(b"</time>", core.payload)

    async def test_loss(self) -> None:
        """Large bodies come over a lossy way.

        They are put on a good one: libcoap does not recognize duplicates, and its example takes the same block twice
        for another body.
        """
        url = await libcoap_server.start(self)
        body = other(3000)
        await OurClient(self).request(f"{url}/example_data", n.PUT, body)
        proxy = Proxy.start(self, url, 5, loss=0.2, duplication=0.1, delay=0.2)
        ours = OurClient(self, PATIENT)
        for _ in range(3):
            self.assertEqual((await ours.request(f"{proxy.url}/example_data")).payload, body)
        self.assertGreater(proxy.counters["lost"], 1)
