"""A gateway with two devices behind it, over UDP against a daemon in a process of its own, seen through ``/v1``."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from tests.daemons import Daemon
from tests.processes import reactor

LINKS = '</>;rt="oma.lwm2m",</1/0>,</3/0>,</25/0>,</25/1>'
INSTANCES = {
    0: ("kitchen-thermometer", "d01", "</d01/3/0>,</d01/3303/0>;ver=1.1"),
    1: ("lamp", "d02", "</3/0>,</3311/0>"),
}


def tlv(kind: int, identifier: int, value: bytes) -> bytes:
    """One record with a length of one byte; ``kind`` 0x00 is an Object Instance, 0xC0 a Resource."""
    return bytes((kind | 0x08, identifier, len(value))) + value


def object_25(*instances: int) -> bytes:
    """The content of /25."""
    found = b""
    for instance in instances:
        texts = zip((0, 1, 3), INSTANCES[instance], strict=True)
        found += tlv(0x00, instance, b"".join(tlv(0xC0, key, text.encode()) for key, text in texts))
    return found


class Gateway(DatagramProtocol):
    """Answers by a table of paths, one message for each; ``requests`` are those that came."""

    def __init__(self, case: TestCase, server: str) -> None:
        host, _, port = server.removeprefix("coap://").rpartition(":")
        self.server = (host, int(port))
        self.values: dict[str, tuple[int, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: dict[str, bytes] = {}
        self.location: tuple[str, ...] = ()
        self._mid = 0
        self._waiting: dict[bytes, Deferred[Message]] = {}
        self.port = reactor.listenUDP(0, self, "127.0.0.1")
        case.addCleanup(self.port.stopListening)

    async def ask(self, code: int, path: tuple[str, ...], query: tuple[str, ...] = (), payload: str = "") -> Message:
        """Send a request to the server; its answer."""
        self._mid += 1
        token = self._mid.to_bytes(2, "big")
        given = options(path=path, query=query, content_format=n.LINK_FORMAT if payload else None)
        waiting = self._waiting[token] = Deferred()
        self.port.write(encode(Message(n.CON, code, self._mid, token, given, payload.encode())), self.server)
        return await waiting.addTimeout(20, reactor)

    async def register(self) -> None:
        """Register, and remember where."""
        answer = await self.ask(n.POST, ("rd",), ("ep=gw/1", "lt=300", "lwm2m=1.1", "b=U"), LINKS)
        self.location = answer.location

    def notify(self, path: str, sequence: int, payload: bytes) -> None:
        """Send a notification of what is observed at a path."""
        self._mid += 1
        given = options(observe=sequence, content_format=n.TEXT)
        self.port.write(encode(Message(n.NON, n.CONTENT, self._mid, self.tokens[path], given, payload)), self.server)

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        """Take an answer, or answer a request."""
        message = decode(data)
        if n.is_response(message.code):
            self._waiting.pop(message.token).callback(message)
            return
        if not n.is_request(message.code):
            return
        path = "/" + "/".join(message.path)
        self.requests.append((n.code_name(message.code), path))
        code, (content_format, payload) = n.CONTENT, self.values.get(path, (n.TEXT, b""))
        if message.code != n.GET:
            self.values[path], code, content_format, payload = (n.TEXT, message.payload), n.CHANGED, n.TEXT, b""
        elif path not in self.values:
            code = n.NOT_FOUND
        observing = message.observe == 0 and code == n.CONTENT
        if observing:
            self.tokens[path] = message.token
        given = options(content_format=content_format if payload else None, observe=1 if observing else None)
        self.port.write(encode(Message(n.ACK, code, message.mid, message.token, given, payload)), addr)


class GatewayTests(TestCase):
    """The whole way."""

    timeout = 120
    CHILD = "/v1/devices/gw%2F1%2Fd01"

    async def test_whole_life(self) -> None:
        """Devices appear, are read, written, observed and labelled, survive a kill, and go with their gateway."""
        daemon = await Daemon.start(self)
        events = await daemon.events()
        gateway = Gateway(self, daemon.coap)
        gateway.values = {
            "/25": (n.TLV, object_25(0, 1)),
            "/d01/3303/0/5700": (n.TEXT, b"21.5"),
            "/d02/3311/0/5850": (n.TEXT, b"1"),
        }
        await gateway.register()
        shown = (await events.next("device.registered", endpoint="gw/1/d01")).data
        self.assertEqual((shown["gateway"], shown["device_id"]), ("gw/1", "kitchen-thermometer"))
        await events.next("device.registered", endpoint="gw/1/d02")
        await self._used(daemon, gateway)
        await self._observed(daemon, gateway, events)

        before = list(gateway.requests)
        daemon.process.signal(signal.SIGKILL)
        await daemon.process.wait()
        daemon = await daemon.again()
        events = await daemon.events()
        child = await self._ok(daemon, "GET", self.CHILD)
        self.assertEqual((child["state"], child["labels"], child["root_path"]), ("online", {"room": "kitchen"}, "/d01"))
        self.assertEqual(gateway.requests, before)
        gateway.notify("/d01/3303/0/5700", 9, b"23.5")
        value = (await events.next("device.value", endpoint="gw/1/d01")).data
        self.assertEqual(value["values"][0]["value"], 23.5)

        await self._changes(daemon, gateway, events)

    async def _ok(self, daemon: Daemon, method: str, path: str, **how: Any) -> Any:
        status, document = await daemon.api(method, path, **how)
        self.assertEqual(status, 200, document)
        return document

    async def _used(self, daemon: Daemon, gateway: Gateway) -> None:
        child = await self._ok(daemon, "GET", self.CHILD)
        expected = {
            "gateway": "gw/1",
            "device_id": "kitchen-thermometer",
            "state": "online",
            "version": "1.1",
            "objects": ["/3/0", "/3303/0"],
            "object_versions": {"3": "1.1", "3303": "1.1"},
            "root_path": "/d01",
            "labels": {},
        }
        self.assertEqual({name: child[name] for name in expected}, expected)
        own = await self._ok(daemon, "GET", "/v1/devices/gw%2F1")
        self.assertEqual((own["gateway"], own["device_id"], own["address"]), (None, None, child["address"]))
        found = await self._ok(daemon, "GET", f"{self.CHILD}/resources/3303/0/5700")
        self.assertEqual((found["values"][0]["path"], found["values"][0]["value"]), ("/3303/0/5700", 21.5))
        lamp = "/v1/devices/gw%2F1%2Fd02/resources/3311/0/5850"
        await self._ok(daemon, "PUT", lamp, body={"value": False})
        self.assertEqual(gateway.values["/d02/3311/0/5850"], (n.TEXT, b"0"))
        self.assertEqual(gateway.requests[-1], ("PUT", "/d02/3311/0/5850"))
        self.assertEqual((await self._ok(daemon, "GET", lamp))["values"][0]["value"], False)
        status, problem = await daemon.api("GET", f"{self.CHILD}/resources/3303/0/5601")
        self.assertEqual((status, problem["coap_code"]), (502, "4.04"))
        await self._ok(daemon, "PATCH", self.CHILD, body={"labels": {"room": "kitchen"}})

    async def _observed(self, daemon: Daemon, gateway: Gateway, events: Any) -> None:
        status, wish = await daemon.api("PUT", f"{self.CHILD}/observations/3303/0/5700", body={})
        self.assertEqual((status, wish["state"]), (201, "active"))
        gateway.notify("/d01/3303/0/5700", 5, b"22.5")
        while (await events.next("device.value", endpoint="gw/1/d01")).data["values"][0]["value"] != 22.5:
            pass
        twin = await self._ok(daemon, "GET", f"{self.CHILD}/resources/3303/0/5700?source=twin")
        self.assertEqual(twin["values"][0]["value"], 22.5)

    async def _changes(self, daemon: Daemon, gateway: Gateway, events: Any) -> None:
        gateway.values["/25"] = (n.TLV, object_25(0))
        await gateway.ask(n.POST, gateway.location, (), LINKS.replace(",</25/1>", ""))
        gone = (await events.next("device.deregistered")).data
        self.assertEqual((gone["endpoint"], gone["reason"]), ("gw/1/d02", "unlisted"))
        await gateway.ask(n.DELETE, gateway.location)
        gone = (await events.next("device.deregistered", endpoint="gw/1/d01")).data
        self.assertEqual(gone["reason"], "gateway")
        states = {item["endpoint"]: item["state"] for item in (await self._ok(daemon, "GET", "/v1/devices"))["items"]}
        self.assertEqual(states, {"gw/1": "offline", "gw/1/d01": "offline", "gw/1/d02": "offline"})
        status, problem = await daemon.api("GET", f"{self.CHILD}/resources/3303/0/5700")
        self.assertEqual((status, problem["code"]), (409, "not-registered"))
