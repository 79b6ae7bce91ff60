"""Tests of `lwm2md.http.traces` and `lwm2md.http.reload`."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from lwm2md.coap import numbers as n
from lwm2md.config.errors import ConfigError, ConfigErrors
from lwm2md.config.schema import Limits, Settings
from lwm2md.security.audit import from_row
from tests.http.node import TOKEN, Answer
from tests.http.support import ApiTestCase, Raw
from tests.http.test_events import parse
from tests.tracing.test_pcapng import blocks, read


class TraceTestCase(ApiTestCase):
    """Calls about traces."""

    settings = Settings(limits=Limits(event_readers=2))

    async def trace(self, **asked: Any) -> Any:
        """Start a trace."""
        seen = await self.call("POST", "/v1/traces", asked)
        self.assertEqual(seen.status, 201, seen.body)
        self.assertEqual(seen.headers["location"], f"/v1/traces/{seen.json['id']}")
        return seen.json

    async def follow(self, trace: str, last: str | None = None) -> Raw:
        """Open the stream of a trace."""
        connection = await self.connect()
        more = "" if last is None else f"Last-Event-ID: {last}\r\n"
        head = f"GET /v1/traces/{trace}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n"
        connection.transport.write(head.encode())
        await self.until(lambda: b"retry:" in connection.data)
        return connection


class MessagesTests(TraceTestCase):
    """The last messages of a device."""

    async def test_messages(self) -> None:
        """They are decoded, oldest first, in both directions, at most as many as asked for."""
        device = self.node.device("a/1")
        device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"lwm2md")
        self.node.device("b")
        await self.call("GET", "/v1/devices/a%2F1/resources/3/0/0")
        items = (await self.call("GET", "/v1/devices/a%2F1/messages")).json["items"]
        shown = [(each["direction"], each["type"], each["code"]) for each in items]
        self.assertEqual(shown[0], ("in", "CON", "POST"))
        self.assertEqual(shown[-2:], [("out", "CON", "GET"), ("in", "ACK", "2.05 Content")])
        self.assertEqual((items[-1]["payload"], items[-1]["payload_encoding"]), ("lwm2md", "text"))
        self.assertIn("GET /3/0/0 #", items[-2]["line"])
        self.assertFalse(any("ep=b" in each["line"] for each in items))
        newest = (await self.call("GET", "/v1/devices/a%2F1/messages?limit=1")).json["items"]
        self.assertEqual(newest, items[-1:])

    async def test_unknown(self) -> None:
        """Of an unknown device there are none."""
        await self.refused(404, "unknown-device", "GET", "/v1/devices/x/messages")


class TracesTests(TraceTestCase):
    """Traces, from their start to their end."""

    async def test_life(self) -> None:
        """A trace is started, listed, shown, ends in time, and is removed."""
        made = await self.trace(endpoint="a", duration=60)
        self.assertEqual((made["state"], made["endpoint"], made["limit"], made["messages"]), ("running", "a", 10000, 0))
        self.node.device("a")
        self.node.device("b")
        where = f"/v1/traces/{made['id']}"
        known = (await self.call("GET", where)).json
        self.assertEqual((known["messages"], known["undecodable"]), (2, 0))
        self.assertEqual((await self.call("GET", "/v1/traces")).json["items"], [known])
        self.node.advance(60)
        known = (await self.call("GET", where)).json
        self.assertEqual((known["state"], known["reason"], known["messages"]), ("ended", "duration", 2))
        self.assertEqual((await self.call("DELETE", where)).status, 204)
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/messages"), ("GET", "/pcapng")):
            await self.refused(404, "unknown-trace", method, where + path)

    async def test_secrets(self) -> None:
        """Secrets are only where they were asked for; asking and reading are in the audit log before the answer."""
        plain, made = await self.trace(endpoint="a"), await self.trace(identity="b", secrets=True)
        self.assertEqual((plain["secrets"], made["secrets"]), (False, True))
        trace = self.node.tracing.traces[made["id"]]
        trace.key("CLIENT_RANDOM 01 02")
        for name, kinds in ((plain["id"], [0x0A0D0D0A, 1]), (made["id"], [0x0A0D0D0A, 1, 10])):
            file = await self.call("GET", f"/v1/traces/{name}/pcapng")
            self.assertEqual([kind for kind, _ in blocks(file.body)], kinds)
        for path in ("/v1/traces", f"/v1/traces/{made['id']}"):
            self.assertNotIn(b"CLIENT_RANDOM", (await self.call("GET", path)).body)
        found = [from_row(row) for _, row in await self.node.storage.read("audit")]
        self.assertEqual([record.action for record in found], ["trace.secrets", "trace.secrets-read"])
        self.assertEqual({(record.by, record.subject) for record in found}, {("admin", made["id"])})

    async def test_refused(self) -> None:
        """What is no trace is refused by the member that is wrong; so is one too many."""
        for body, field in (
            ({}, "endpoint"),
            ({"endpoint": "a", "address": "::1"}, "endpoint"),
            ({"address": "::1", "identity": "k"}, "endpoint"),
            ({"identity": ""}, "identity"),
            ({"endpoint": ""}, "endpoint"),
            ({"address": "10.0.0.0/33"}, "address"),
            ({"endpoint": "a", "duration": 0}, "duration"),
            ({"endpoint": "a", "duration": 86401}, "duration"),
            ({"endpoint": "a", "limit": 0}, "limit"),
            ({"endpoint": "a", "limit": 1e9}, "limit"),
            ({"endpoint": "a", "colour": "red"}, "colour"),
        ):
            problem = await self.refused(400, "bad-body", "POST", "/v1/traces", body)
            self.assertEqual(problem["errors"][0]["field"], field, body)
        await self.trace(endpoint="a")
        await self.trace(address="10.0.0.0/8")
        await self.refused(409, "limit-reached", "POST", "/v1/traces", {"endpoint": "b"})

    async def test_stored(self) -> None:
        """It is stored before it is answered, and no more after its end."""
        made = await self.trace(endpoint="a", duration=10)
        rows = dict(await self.node.storage.scan("meta", "trace:"))
        self.assertEqual(list(rows), [f"trace:{made['id']}"])
        self.node.advance(10)
        self.assertEqual(await self.node.storage.scan("meta", "trace:"), [])

    async def test_stream(self) -> None:
        """The stream begins with what was recorded, goes on live, and ends with the trace."""
        made = await self.trace(endpoint="a", duration=60)
        device = self.node.device("a")
        stream = await self.follow(made["id"])
        await self.until(lambda: len(parse(stream.data)) == 2)
        self.node.receive([(b"\xff\xff", device.peer)])
        await self.until(lambda: len(parse(stream.data)) == 3)
        self.node.advance(60)
        await stream.closed
        events = parse(stream.data)
        self.assertEqual([each["event"] for each in events], ["message"] * 3 + ["ended"])
        documents = [msgspec.json.decode(each["data"]) for each in events]
        self.assertIn("POST /rd?ep=a", documents[0]["line"])
        self.assertEqual((documents[2]["error"], documents[2]["payload"]), ("shorter than a header", "ffff"))
        self.assertEqual(documents[3]["reason"], "duration")
        again = await self.follow(made["id"], events[1]["id"])
        await again.closed
        self.assertEqual([each["event"] for each in parse(again.data)], ["message", "ended"])

    async def test_streams_are_bounded(self) -> None:
        """Readers of traces count among the readers of events, and are gone when they or the trace are."""
        made = await self.trace(endpoint="a")
        one, two = await self.follow(made["id"]), await self.follow(made["id"])
        await self.refused(503, "overloaded", "GET", f"/v1/traces/{made['id']}/messages")
        one.transport.loseConnection()
        await one.closed
        await self.until(lambda: len(self.api.streams) == 1)
        await self.call("DELETE", f"/v1/traces/{made['id']}")
        await two.closed
        self.assertEqual(len(self.api.streams), 0)

    async def test_head(self) -> None:
        """HEAD of a stream answers at once."""
        made = await self.trace(endpoint="a")
        seen = await self.call("HEAD", f"/v1/traces/{made['id']}/messages")
        self.assertEqual((seen.status, seen.headers["content-type"]), (200, "text/event-stream"))

    async def test_pcapng(self) -> None:
        """The file has every message of the trace, with its direction."""
        made = await self.trace(address="0.0.0.0/0")
        self.node.device("a")
        seen = await self.call("GET", f"/v1/traces/{made['id']}/pcapng")
        self.assertEqual(seen.headers["content-type"], "application/x-pcapng")
        self.assertIn(f"{made['id']}.pcapng", seen.headers["content-disposition"])
        packets = read(seen.body)
        self.assertEqual([packet.options[2][0] for packet in packets], [1, 2])
        self.assertIn(b"ep=a", packets[0].frame)


class ReloadTests(ApiTestCase):
    """Reading the configuration again."""

    async def test_changed(self) -> None:
        """It says what changed and what needs a restart, and runs by it."""
        self.assertEqual((await self.call("GET", "/metrics", token=None)).status, 401)
        settings = self.node.settings
        self.node.found = attrs.evolve(
            settings,
            api=attrs.evolve(settings.api, metrics_open=True, listen=()),
            limits=attrs.evolve(settings.limits, body_size=1024),
        )
        seen = await self.call("POST", "/v1/reload")
        self.assertEqual(seen.status, 200)
        self.assertEqual(
            seen.json, {"changed": ["[limits] body-size", "[api] metrics-open"], "restart": ["[api] listen"]}
        )
        self.assertEqual((await self.call("GET", "/metrics", token=None)).status, 200)
        await self.refused(413, "body-too-large", "POST", "/v1/traces", {"endpoint": "x" * 2000})

    async def test_faults(self) -> None:
        """With faults nothing changes, and each is told by its setting."""
        self.node.found = ConfigErrors(
            [ConfigError("a.ini", "a number", "queue", "limit", "x"), ConfigError("b.ini", "a readable file")]
        )
        problem = await self.refused(422, "bad-configuration", "POST", "/v1/reload")
        self.assertEqual([each["field"] for each in problem["errors"]], ["[queue] limit", ""])
        self.assertIn("a.ini: [queue] limit = 'x': expected a number", problem["errors"][0]["message"])
