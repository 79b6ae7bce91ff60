"""Tests of `lwm2md.http.events`."""

from __future__ import annotations

import msgspec

from lwm2md.config.schema import Limits, Settings
from lwm2md.events import Event
from lwm2md.http.events import HEARTBEAT
from tests.http.node import TOKEN
from tests.http.support import ApiTestCase, Raw


def parse(data: bytes) -> list[dict[str, str]]:
    """The events of a stream."""
    _, _, body = data.partition(b"\r\n\r\n")
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "event" in fields:
            found.append(fields)
    return found


class EventsTests(ApiTestCase):
    """The stream of events, its replay and its bounds."""

    settings = Settings(limits=Limits(event_readers=3, event_reader_queue=50))

    async def read(self, query: str = "", last: str | None = None) -> Raw:
        """Open a stream."""
        connection = await self.connect()
        more = "" if last is None else f"Last-Event-ID: {last}\r\n"
        head = f"GET /v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n"
        connection.transport.write(head.encode())
        await self.until(lambda: b"retry:" in connection.data)
        return connection

    async def test_live(self) -> None:
        """An event comes with its id, its type, and the document that all readers get."""
        stream = await self.read()
        self.node.device("a")
        await self.until(lambda: parse(stream.data))
        self.assertIn(b"Content-Type: text/event-stream", stream.data)
        (event,) = parse(stream.data)
        document = msgspec.json.decode(event["data"])
        self.assertEqual((event["event"], document["endpoint"]), ("device.registered", "a"))
        self.assertEqual((event["id"], event["event"]), (document["id"], document["type"]))

    async def test_filters(self) -> None:
        """A reader gets the types, the device and the labels that it asked for."""
        self.node.device("a")
        self.node.device("b")
        await self.call("PATCH", "/v1/devices/b", {"labels": {"farm": "north"}})
        one = await self.read("?types=device.deregistered")
        two = await self.read("?endpoint=b&types=device.*")
        three = await self.read("?selector=farm=north")
        await self.call("DELETE", "/v1/devices/a")
        await self.call("DELETE", "/v1/devices/b")
        await self.until(lambda: len(parse(one.data)) == 2 and parse(two.data) and parse(three.data))
        self.assertEqual([each["event"] for each in parse(two.data)], ["device.deregistered", "device.forgotten"])
        self.assertEqual([each["event"] for each in parse(three.data)], ["device.deregistered", "device.forgotten"])

    async def test_replay(self) -> None:
        """A reader that comes back gets what it missed, once and in order."""
        first = await self.read()
        for name in "abc":
            self.node.device(name)
        await self.until(lambda: len(parse(first.data)) == 3)
        known = parse(first.data)[0]["id"]
        again = await self.read(last=known)
        self.node.device("d")
        await self.until(lambda: len(parse(again.data)) == 3)
        endpoints = [msgspec.json.decode(event["data"])["endpoint"] for event in parse(again.data)]
        self.assertEqual(endpoints, ["b", "c", "d"])

    async def test_gap(self) -> None:
        """A reader that comes back with an id that was never given out is told that something may be missing."""
        stream = await self.read(last="nonsense")
        await self.until(lambda: parse(stream.data))
        self.assertEqual(parse(stream.data)[0]["event"], "gap")

    async def test_heartbeat(self) -> None:
        """A comment line goes out when nothing happens."""
        stream = await self.read()
        self.node.clock.advance(HEARTBEAT)
        await self.until(lambda: b"\n:\n" in stream.data)

    async def test_reader_gone(self) -> None:
        """A reader that goes away leaves nothing behind."""
        stream = await self.read()
        self.assertEqual(self.node.delivery.readers, 1)
        stream.transport.loseConnection()
        await self.until(lambda: not self.api.connections)
        self.assertEqual((self.node.delivery.readers, len(self.api.streams)), (0, 0))
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    async def test_too_many_readers(self) -> None:
        """Readers beyond the limit are asked to come back."""
        for _ in range(3):
            await self.read()
        await self.refused(503, "overloaded", "GET", "/v1/events")

    async def test_bad_query(self) -> None:
        """What is wrong with a query is said before the stream begins."""
        await self.refused(400, "bad-query", "GET", "/v1/events?selector=farm")
        await self.refused(400, "bad-query", "GET", "/v1/events?types=" + ",".join(["a"] * 51))

    async def test_slow_reader(self) -> None:
        """A reader that takes nothing is bounded in what waits for it, and is disconnected; others go on."""
        slow, quick = await self.read(), await self.read()
        slow.transport.pauseProducing()
        text = "x" * 100_000
        for _ in range(20):
            for _ in range(20):
                self.node.delivery.publish(Event("device.value", self.node.now(), "a", {}, {"text": text}))
            await self.until(lambda: quick.data.endswith(b"\n\n") and quick.data.count(b"\nid: ") == 20)
            quick.data = b"\n"
        await self.until(lambda: len(self.api.streams) == 1)
        self.assertEqual(self.node.delivery.readers, 1)
        slow.transport.resumeProducing()
        await slow.closed

    async def test_stuck_reader(self) -> None:
        """A reader that takes nothing for two heartbeats is disconnected, however little waits."""
        slow = await self.read()
        slow.transport.pauseProducing()
        text = "x" * 1_000_000
        for _ in range(12):
            self.node.delivery.publish(Event("device.value", self.node.now(), "a", {}, {"text": text}))
        for _ in range(2):
            self.node.clock.advance(HEARTBEAT)
        await self.until(lambda: not self.api.streams)
        slow.transport.resumeProducing()
        await slow.closed

    async def test_end_of_the_daemon(self) -> None:
        """Streams end when the daemon stops."""
        stream = await self.read()
        self.node.delivery.stop()
        await stream.closed
