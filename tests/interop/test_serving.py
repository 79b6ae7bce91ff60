"""Our engine as a server, asked by aiocoap, txthings and libcoap."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests.interop.support import HUGE, LARGE, PATIENT, SIZES, OurServer, blocks, other
from tests.peers import aiocoap, libcoap, txthings
from tests.peers.lines import Client, PeerError
from tests.peers.proxy import Proxy
from tests.processes import Process, directory, reactor


class ServedTests(TestCase):
    """What every client that is driven by lines can do."""

    timeout = 60
    client: Client
    server: OurServer

    async def sizes(self) -> None:
        """Large bodies go both ways in blocks of every size, and none is larger than was asked for."""
        for szx in SIZES:
            before = self.server.engine.counters["received"]
            got = await self.client.request(f"{self.server.url}/large", szx=szx)
            self.assertEqual((got.code, got.body), ("2.05", LARGE), szx)
            # A client that can't ask for it in its first request gets that answered with a whole block.
            self.assertGreaterEqual(self.server.engine.counters["received"] - before, blocks(3000 - 1024, szx))
            body = other(2990, szx)
            before = self.server.engine.counters["received"]
            put = await self.client.request(f"{self.server.url}/store", "PUT", payload=body, szx=szx)
            self.assertEqual((put.code, self.server.resources.value), ("2.04", body), szx)
            self.assertGreaterEqual(self.server.engine.counters["received"] - before, blocks(2990, szx))
            both = await self.client.request(f"{self.server.url}/store", "POST", payload=body, szx=szx)
            self.assertEqual((both.code, both.body), ("2.04", body), szx)

    async def huge(self) -> None:
        """Thirty kilobytes go both ways."""
        self.assertEqual((await self.client.request(f"{self.server.url}/huge")).body, HUGE)
        both = await self.client.request(f"{self.server.url}/store", "POST", payload=HUGE)
        self.assertEqual(both.body, HUGE)

    async def others(self) -> None:
        """Answers without a block, and refusals; Non-confirmable too."""
        for non in (False, True):
            small = await self.client.request(f"{self.server.url}/small", non=non)
            self.assertEqual((small.code, small.body), ("2.05", b"small"))
            missing = await self.client.request(f"{self.server.url}/missing", non=non)
            self.assertEqual(missing.code, "4.04")
        self.assertEqual((await self.client.request(f"{self.server.url}/store", "DELETE")).code, "2.02")

    async def slow(self) -> None:
        """A separate response is taken."""
        slow = await self.client.request(f"{self.server.url}/slow")
        self.assertEqual((slow.code, slow.body), ("2.05", b"slow"))
        self.assertEqual(self.server.engine.counters["retransmitted"], 0)

    async def observed(self) -> None:
        """Notifications arrive, Confirmable and not, within a block and beyond."""
        watch = await self.client.observe(f"{self.server.url}/clock")
        self.assertEqual(watch.answer.body, b"start")
        for body, confirmable in ((b"one", True), (b"two", False), (other(2000), True), (b"three", True)):
            self.server.resources.change(body, confirmable=confirmable)
            self.assertEqual((await watch.next()).body, body)
        self.assertEqual(self.server.resources.lost, [])

    async def lossy(self, **what: Any) -> None:
        """With a fifth of all datagrams lost, and others doubled or late, everything arrives once."""
        proxy = Proxy.start(self, self.server.url, 7, loss=0.2, duplication=0.1, delay=0.2)
        body = other(3000)
        self.assertEqual((await self.client.request(f"{proxy.url}/large", **what)).body, LARGE)
        got = await self.client.request(f"{proxy.url}/store", "POST", payload=body, **what)
        self.assertEqual(got.body, body)
        self.assertGreater(proxy.counters["lost"], 1)
        self.assertEqual(sum(message.code == n.POST for message in self.server.resources.requests), 1)


class AiocoapTests(ServedTests):
    """aiocoap 0.4.17 as the client."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.server = OurServer.start(self, PATIENT)
        self.client = await aiocoap.client(self)

    async def test_block_sizes(self) -> None:
        """Large bodies go both ways at every SZX."""
        await self.sizes()

    async def test_huge(self) -> None:
        """30 KB go both ways."""
        await self.huge()

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        await self.others()

    async def test_methods(self) -> None:
        """FETCH, PATCH and iPATCH carry bodies of many blocks, and FETCH brings one back."""
        body = other(2500)
        fetched = await self.client.request(f"{self.server.url}/store", "FETCH", payload=body, szx=4, format=60)
        self.assertEqual((fetched.code, fetched.body), ("2.05", body))
        for method in ("PATCH", "iPATCH"):
            done = await self.client.request(f"{self.server.url}/store", method, payload=body, szx=5, format=60)
            self.assertEqual(done.code, "2.04")
        self.assertEqual(self.server.resources.value, body * 2)

    async def test_separate_response(self) -> None:
        """A slow answer comes as a message of its own."""
        await self.slow()

    async def test_observation(self) -> None:
        """Notifications small and large; an observation that was cancelled ends by a Reset.

        aiocoap sends nothing when it cancels; it still acknowledges the next notification, and rejects the one after.
        """
        await self.observed()
        watch = await self.client.observe(f"{self.server.url}/clock")
        self.assertEqual(len(self.server.resources.observers), 2)
        await watch.cancel()
        for state in (b"acknowledged", b"rejected"):
            self.server.resources.change(state)
            await deferLater(reactor, 0.2, lambda: None)
        self.assertEqual((len(self.server.resources.observers), self.server.resources.lost), (1, ["reset"]))

    async def test_loss(self) -> None:
        """Everything arrives once over a lossy way."""
        await self.lossy(impatient=True)

    async def test_loss_of_notifications(self) -> None:
        """The last state arrives over a lossy way, however many changes there were."""
        proxy = Proxy.start(self, self.server.url, 3, loss=0.2, duplication=0.1)
        watch = await self.client.observe(f"{proxy.url}/clock", impatient=True)
        for index in range(20):
            self.server.resources.change(b"%d" % index)
            await deferLater(reactor, 0.02, lambda: None)
        while (await watch.next()).body != b"19":
            pass

    async def test_rebinding(self) -> None:
        """Requests are answered where they come from, also when the client's address changes between them."""
        proxy = Proxy.start(self, self.server.url, 1)
        for _ in range(3):
            self.assertEqual((await self.client.request(f"{proxy.url}/large", szx=3)).body, LARGE)
            proxy.rebind()

    async def test_too_large(self) -> None:
        """A body beyond the limit is refused with 4.13, and the next one taken."""
        self.server = OurServer.start(self, body=2048)
        refused = await self.client.request(f"{self.server.url}/store", "PUT", payload=other(3000), szx=5)
        self.assertEqual((refused.code, self.server.resources.requests), ("4.13", []))
        taken = await self.client.request(f"{self.server.url}/store", "PUT", payload=other(2048), szx=5)
        self.assertEqual((taken.code, self.server.resources.value), ("2.04", other(2048)))

    async def test_echo(self) -> None:
        """Where no address is trusted aiocoap shows by an Echo that it is where it says, and gets everything."""
        self.server = OurServer.start(self, wary=True)
        got = await self.client.request(f"{self.server.url}/large", szx=4)
        self.assertEqual((got.code, got.body), ("2.05", LARGE))
        self.assertEqual(self.server.engine.counters["challenged"], 1)
        sent = await self.client.request(f"{self.server.url}/store", "POST", payload=other(3000))
        self.assertEqual(sent.body, other(3000))
        await self.observed()

    async def test_echo_first(self) -> None:
        """A body in blocks, and an observation, may be what an unknown client begins with."""
        for number in (1, 2):
            self.server = OurServer.start(self, wary=True)
            if number == 1:
                sent = await self.client.request(f"{self.server.url}/store", "POST", payload=other(3000))
                self.assertEqual(sent.body, other(3000))
            else:
                await self.observed()
            self.assertEqual(self.server.engine.counters["challenged"], 1)

    async def test_at_once(self) -> None:
        """Transfers of several resources at once are kept apart."""
        names = ["large", "huge", "large", "small", "huge"]
        found = await gatherResults(
            [Deferred.fromCoroutine(self.client.request(f"{self.server.url}/{name}", szx=4)) for name in names]
        )
        sizes = {"large": LARGE, "huge": HUGE, "small": b"small"}
        self.assertEqual([answer.body for answer in found], [sizes[name] for name in names])


class TxthingsTests(ServedTests):
    """txthings 0.3.0 as the client.

    It has no FETCH, PATCH or iPATCH, and no way to cancel an observation. It asks for the blocks after the first with
    SZX 2 unless its module is told otherwise, as the script does. It can't ask for block 0 in SZX 0: the option would
    be empty, and it writes one that claims a byte. So it gets its first block in the size that we choose.
    """

    async def setUp(self) -> None:  # type: ignore[override]
        self.server = OurServer.start(self, PATIENT)
        self.client = await txthings.client(self)

    async def test_block_sizes(self) -> None:
        """Large bodies go both ways at every SZX."""
        await self.sizes()

    async def test_huge(self) -> None:
        """30 KB go both ways."""
        await self.huge()

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        await self.others()

    async def test_separate_response(self) -> None:
        """A slow answer comes as a message of its own."""
        await self.slow()

    async def test_too_large(self) -> None:
        """A body beyond the limit is refused; txthings fails when that is said before the last block."""
        self.server = OurServer.start(self, body=2048)
        with self.assertRaises(PeerError):
            await self.client.request(f"{self.server.url}/store", "PUT", payload=other(3000), szx=5)
        refused = await self.client.request(f"{self.server.url}/store", "PUT", payload=other(2100), szx=5)
        self.assertEqual(refused.code, "4.13")
        taken = await self.client.request(f"{self.server.url}/store", "PUT", payload=other(2048), szx=5)
        self.assertEqual((taken.code, len(self.server.resources.requests)), ("2.04", 1))

    async def test_no_echo(self) -> None:
        """Where no address is trusted txthings, which has no Echo, gets small answers and the demand for one."""
        self.server = OurServer.start(self, wary=True)
        self.assertEqual((await self.client.request(f"{self.server.url}/small")).body, b"small")
        self.assertEqual((await self.client.request(f"{self.server.url}/large")).code, "4.01")

    async def test_observation(self) -> None:
        """Notifications small and large."""
        await self.observed()

    async def test_loss(self) -> None:
        """Everything arrives once over a lossy way."""
        await self.lossy(impatient=True, szx=6)


class LibcoapTests(TestCase):
    """libcoap 4.3.1's coap-client, a process for each request."""

    timeout = 60

    def setUp(self) -> None:
        self.server = OurServer.start(self, PATIENT)
        self.file = directory(self) / "sent"

    async def ask(self, path: str, method: str = "get", body: bytes | None = None, *words: str) -> libcoap.Answer:
        """Send one request, with a body that goes through a file."""
        if body is not None:
            self.file.write_bytes(body)
            words = (*words, "-f", str(self.file))
        return await libcoap.request(self, f"{self.server.url}/{path}", method, None, None, None, *words, patience=40)

    async def test_block_sizes(self) -> None:
        """Large bodies go both ways at every SZX."""
        for szx in SIZES:
            size = ("-b", str(16 << szx))
            before = self.server.engine.counters["received"]
            self.assertEqual((await self.ask("large", "get", None, *size)).body, LARGE, szx)
            self.assertGreaterEqual(self.server.engine.counters["received"] - before, blocks(3000, szx))
            body = other(2990, szx)
            put = await self.ask("store", "put", body, *size)
            self.assertEqual((put.code, self.server.resources.value), ("2.04", body), szx)
            self.assertEqual((await self.ask("store", "post", body, *size)).body, body, szx)

    async def test_huge(self) -> None:
        """30 KB go both ways."""
        self.assertEqual((await self.ask("huge")).body, HUGE)
        self.assertEqual((await self.ask("store", "post", HUGE)).body, HUGE)

    async def test_methods(self) -> None:
        """FETCH, PATCH and iPATCH carry bodies of many blocks, and FETCH brings one back."""
        body = other(2500)
        self.assertEqual((await self.ask("store", "fetch", body, "-b", "256")).body, body)
        for method in ("patch", "ipatch"):
            self.assertEqual((await self.ask("store", method, body, "-b", "512")).code, "2.04")
        self.assertEqual(self.server.resources.value, body * 2)

    async def test_small(self) -> None:
        """Small answers and refusals, Confirmable and not."""
        for words in ((), ("-N",)):
            self.assertEqual((await self.ask("small", "get", None, *words)).body, b"small")
            self.assertEqual((await self.ask("missing", "get", None, *words)).code, "4.04")

    async def test_separate_response(self) -> None:
        """A slow answer comes as a message of its own."""
        self.assertEqual((await self.ask("slow")).body, b"slow")

    async def test_too_large(self) -> None:
        """A body beyond the limit is refused with 4.13."""
        self.server = OurServer.start(self, body=2048)
        self.assertEqual((await self.ask("store", "put", other(3000), "-b", "512")).code, "4.13")
        self.assertEqual(self.server.resources.requests, [])

    async def test_echo(self) -> None:
        """Where no address is trusted libcoap answers the demand for an Echo."""
        self.server = OurServer.start(self, wary=True)
        self.assertEqual((await self.ask("large")).body, LARGE)

    async def test_observation_and_pings(self) -> None:
        """Notifications arrive, small and large; pings in between are answered with Reset."""
        observer = Process.start(
            self, [*libcoap.install(), "-w", "-s", "3", "-K", "1", "-b", "1024", f"{self.server.url}/clock"]
        )
        await observer.await_line("start")
        large = other(2000).hex().encode()
        for body in (b"one", large, b"two"):
            self.server.resources.change(body)
            await observer.await_line(body.decode())
        await observer.wait()
        self.assertGreater(self.server.engine.counters["resets_sent"], 0)
        self.assertEqual(self.server.resources.observers, {})

    async def test_loss(self) -> None:
        """Everything arrives once over a lossy way."""
        proxy = Proxy.start(self, self.server.url, 11, loss=0.2, duplication=0.1, delay=0.2)
        self.server.url = proxy.url
        body = other(3000)
        found = await gatherResults(
            [Deferred.fromCoroutine(self.ask("large")), Deferred.fromCoroutine(self.ask("store", "put", body))]
        )
        self.assertEqual((found[0].body, found[1].code), (LARGE, "2.04"))
        self.assertEqual(self.server.resources.value, body)
        self.assertEqual(sum(message.code == n.PUT for message in self.server.resources.requests), 1)
