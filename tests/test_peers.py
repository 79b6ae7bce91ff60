"""The foreign peers alone, against each other: what fails here is a peer, not lwm2md."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lwm2md.coap.numbers import SENML_JSON
from lwm2md.lwm2m.nodes import Entry
from lwm2md.lwm2m.paths import Path
from tests.lwm2m.helpers import TYPES
from tests.peers import aiocoap, libcoap, libcoap_server, txthings
from tests.peers.leshan_client import LeshanClient
from tests.peers.leshan_codecs import LeshanCodecs, LeshanError
from tests.peers.leshan_demo_server import LeshanDemoServer
from tests.peers.lines import Client, PeerError, Server
from tests.peers.mosquitto import Mosquitto
from tests.peers.proxy import Proxy
from tests.processes import GoneError, Process, script


class ProcessTests(TestCase):
    """The helper that all peers stand on."""

    async def test_lines_and_status(self) -> None:
        """Lines are found whether they were said before or come later, and the exit status is known."""
        process = Process.start(self, ["/bin/sh", "-c", "echo one; read word; echo got $word >&2; exit 3"])
        await process.await_line("^one$")
        process.say("two")
        self.assertEqual((await process.await_line("^got (.*)$"))[1], "two")
        self.assertEqual(await process.wait(), 3)
        self.assertEqual((await process.await_line("^o(.*)$"))[1], "ne")

    async def test_silence(self) -> None:
        """Waiting for what is never said ends with everything that was."""
        process = Process.start(self, ["/bin/sh", "-c", "echo hello; read word"])
        await process.await_line("hello")
        error = await self.assertFailure(Deferred.fromCoroutine(process.await_line("goodbye", timeout=0.05)), GoneError)
        self.assertIn("still running and said:\nhello", str(error))

    async def test_end_before_the_line(self) -> None:
        """Waiting for a line fails at once when the process ends."""
        process = Process.start(self, ["/bin/sh", "-c", "printf partial; exit 1"])
        error = await self.assertFailure(Deferred.fromCoroutine(process.await_line("whole")), GoneError)
        self.assertIn("ended with status 1 and said:\npartial", str(error))

    async def test_stop_is_forced(self) -> None:
        """A process that ignores SIGTERM is killed after the time of grace."""
        process = Process.start(self, ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do read word; done"])
        await process.await_line("ready")
        self.assertEqual(await process.stop(grace=0.1), -9)
        self.assertEqual(await process.stop(), -9)

    async def test_scripts_are_found(self) -> None:
        """The commands of this environment run from any directory."""
        process = Process.start(self, [script("twistd"), "--version"])
        await process.await_line("twistd")
        self.assertEqual(await process.wait(), 0)


class LeshanTests(TestCase):
    """Leshan's client under our main, against Leshan's demo server."""

    timeout = 120

    async def test_every_operation(self) -> None:
        """The client registers, answers every operation, tells of each, moves its values and de-registers."""
        server = await LeshanDemoServer.start(self)
        events = await server.events()
        client = LeshanClient.start(self, server.coap, "peer-1", attributes={"farm": "north"})
        location = await client.registered()
        registration = (await events.next("REGISTRATION")).data
        self.assertEqual(location, f"/rd/{registration['registrationId']}")
        self.assertEqual(registration["lwM2mVersion"], "1.1")
        self.assertEqual(registration["additionalRegistrationAttributes"], {"farm": "north"})

        await self._expect(server, "GET", "/3303/0/5700", "CONTENT", content={"id": 5700, "value": 20.5})
        await self._expect(server, "PUT", "/3/0/14", "CHANGED", body={"id": 14, "value": "+05"})
        await client.done(r"write /3/0/14 2.04 replace \+05")
        await self._expect(server, "POST", "/3441/0/3", "CHANGED", data=b"0='a',1")
        await client.done("execute /3441/0/3 2.04 0='a',1")
        await self._expect(server, "POST", "/3/0/4", "CHANGED")
        await client.done("rebooting")
        await self._expect(server, "GET", "/3303/0/discover", "CONTENT")
        await client.done("discover /3303/0 2.05")

        resources = {"resources": [{"id": 120, "kind": "singleResource", "type": "integer", "value": 77}]}
        created = await self._expect(server, "POST", "/3441", "CREATED", body=resources)
        self.assertEqual(created["location"], "3441/1")
        await self._expect(server, "DELETE", "/3441/1", "DELETED")

        await self._expect(server, "POST", "/3303/1/5700/observe", "CONTENT")
        client.set("/3303/1/5700", 33.5)
        notification = await events.next("NOTIFICATION")
        self.assertEqual(notification.data["val"]["value"], 33.5)

        await client.command("update", "updated")
        await client.command("deregister", "deregistered")
        await events.next("DEREGISTRATION", endpoint="peer-1")
        await client.command("register", "registered")
        await client.command("stop", "stopped")
        self.assertEqual(await client.process.wait(), 0)

    async def test_older_version_and_queue_mode(self) -> None:
        """The client can speak LwM2M 1.0, keep a local port and announce queue mode."""
        server = await LeshanDemoServer.start(self)
        old = LeshanClient.start(self, server.coap, "old", version="1.0", lifetime=77)
        await old.registered()
        status, first = await server.api("GET", "/clients/old")
        self.assertEqual((status, first["lwM2mVersion"], first["lifetime"]), (200, "1.0", 77), server.process.output())
        await old.command("stop", "stopped")
        await old.process.wait()

        port = int(first["address"].rpartition(":")[2])
        sleepy = LeshanClient.start(self, server.coap, "sleepy", queue=True, local_port=port)
        await sleepy.registered()
        status, second = await server.api("GET", "/clients/sleepy")
        self.assertTrue(second["queuemode"])
        self.assertEqual(second["address"], f"127.0.0.1:{port}")

    async def _expect(
        self, server: LeshanDemoServer, method: str, path: str, code: str, content: object = None, **how: object
    ) -> dict[str, object]:
        status, answer = await server.api(method, f"/clients/peer-1{path}", **how)
        self.assertEqual(status, 200, answer)
        self.assertTrue(answer["status"].startswith(code), answer)
        if content is not None:
            self.assertEqual(answer["content"], content)
        found: dict[str, object] = answer
        return found


class MosquittoTests(TestCase):
    """Mosquitto's clients at its broker."""

    timeout = 60

    async def test_messages_and_sessions(self) -> None:
        """A message comes with its topic, also to a subscriber whose broker was killed in between."""
        broker = await Mosquitto.start(self)
        listener = await broker.listen("a/#")
        counter = await broker.count("counter", "a/#")
        await broker.publish("a/b", '{"ö": 1}')
        self.assertEqual(await listener.message("^a/b "), {"ö": 1})
        await counter.message("^a/b ")
        await broker.process.kill()
        broker = await broker.again()
        await broker.publish("a/c", "2")
        self.assertEqual(await counter.message("^a/c "), 2)
        self.assertEqual(counter.messages(), [("a/b", '{"ö": 1}'), ("a/c", "2")])


class LeshanCodecsTests(TestCase):
    """Leshan's codecs without its client."""

    def test_encode_and_decode(self) -> None:
        """Leshan reads what it wrote, and what it refuses is an error with its words."""
        codecs = LeshanCodecs(TYPES)
        self.addCleanup(codecs.stop)
        path = Path.parse("/3442/0/125")
        nodes = (Entry(path, 2**64 - 1),)
        payload = codecs.encode("node", SENML_JSON, [path], nodes)
        self.assertEqual(payload, b'[{"bn":"/3442/0/125","v":18446744073709551615}]')
        self.assertEqual(codecs.decode("node", SENML_JSON, [path], payload), nodes)
        with self.assertRaises(LeshanError) as caught:
            codecs.decode("node", SENML_JSON, [path], b"[")
        self.assertIn("CodecException", str(caught.exception))


class LibcoapTests(TestCase):
    """libcoap's client against Leshan's demo server."""

    timeout = 120

    async def test_requests(self) -> None:
        """Codes, options and bodies of answers are read from what the client shows."""
        server = await LeshanDemoServer.start(self)
        core = await libcoap.request(self, f"{server.coap}/.well-known/core")
        self.assertEqual((core.code, core.responses), ("2.05", 1))
        self.assertEqual(core.options, {"Content-Format": ["application/link-format"]})
        self.assertIn(b"</rd>", core.body)

        missing = await libcoap.request(self, f"{server.coap}/missing")
        self.assertEqual((missing.code, missing.body), ("4.04", b""))

        query = "ep=by-hand&lt=60&lwm2m=1.0&b=U"
        made = await libcoap.request(self, f"{server.coap}/rd?{query}", "post", "</1/0>,</3/0>", 40)
        self.assertEqual(made.code, "2.01")
        self.assertEqual(made.options["Location-Path"][0], "rd")
        self.assertEqual(len(made.options["Location-Path"]), 2)


class PythonTests(TestCase):
    """aiocoap and txthings against each other, and libcoap's client against its server."""

    timeout = 60

    async def test_aiocoap_asks_txthings(self) -> None:
        """Bodies of many blocks go both ways, and notifications arrive."""
        await self._talk(await aiocoap.client(self), await txthings.server(self, szx=4))

    async def test_txthings_asks_aiocoap(self) -> None:
        """Bodies of many blocks go both ways, and notifications arrive."""
        await self._talk(await txthings.client(self), await aiocoap.server(self))

    async def test_errors(self) -> None:
        """What a peer can't do is told with its own words."""
        for client in (await aiocoap.client(self), await txthings.client(self)):
            with self.assertRaisesRegex(PeerError, "Error"):
                await client.request("coap://127.0.0.1:1/", "STRANGE")

    async def test_libcoap(self) -> None:
        """libcoap's server answers libcoap's client."""
        found = await libcoap.request(self, f"{await libcoap_server.start(self)}/time")
        self.assertEqual(found.code, "2.05")

    async def _talk(self, client: Client, server: Server) -> None:
        self.assertEqual(len((await client.request(f"{server.url}/large", szx=4)).body), 3000)
        sent = await client.request(f"{server.url}/store", "POST", payload=b"x" * 2000, szx=4)
        self.assertEqual((sent.code, sent.body), ("2.04", b"x" * 2000))
        watch = await client.observe(f"{server.url}/clock")
        await server.change(b"changed")
        self.assertEqual((await watch.next()).body, b"changed")


class ProxyTests(TestCase):
    """The relay that treats datagrams badly."""

    timeout = 60

    async def test_losses(self) -> None:
        """It loses, doubles and delays about as many as it is told, and passes the others on unchanged."""
        server = await aiocoap.server(self)
        client = await aiocoap.client(self)
        proxy = Proxy.start(self, server.url, 4, loss=0.1, duplication=0.2, delay=0.3)
        sent = await client.request(f"{proxy.url}/store", "POST", payload=b"y" * 3000, szx=4, impatient=True)
        self.assertEqual(sent.body, b"y" * 3000)
        self.assertTrue(all(proxy.counters.values()), proxy.counters)

    async def test_rebinding(self) -> None:
        """After `rebind` the server sees another address: an observation made before is heard no more."""
        server = await aiocoap.server(self)
        client = await aiocoap.client(self)
        proxy = Proxy.start(self, server.url, 1)
        watch = await client.observe(f"{proxy.url}/clock")
        proxy.rebind()
        await server.change(b"lost")
        await client.request(f"{proxy.url}/small")
        with self.assertRaises(GoneError):
            await watch.next(timeout=0.2)
