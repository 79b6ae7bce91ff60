"""Credentials, the inbox and the audit log through the API; and that no key ever comes out."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from zope.interface import implementer

from lwm2md.security.identity import Identity
from lwm2md.security.rules import Policy
from lwm2md.server.settings import ServerSettings
from lwm2md.subscriptions import Filter
from tests.http.support import ApiTestCase, Seen

KEY = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"
HASH = "ab" * 32


class CredentialsCase(ApiTestCase):
    """Shorthands for credentials."""

    async def put(self, identity: str, status: int = 201, **body: Any) -> Any:
        """Put a credential, and see that it is taken."""
        seen = await self.call(
            "PUT", f"/v1/credentials/{quote(identity, safe='')}", {"type": "psk", "key": KEY, **body}
        )
        self.assertEqual(seen.status, status, seen.body)
        return seen.json

    def refuse(self, cause: str, **fields: Any) -> str:
        """Refuse a device; the id of its entry."""
        entry = self.node.server.refused.note(
            cause, address="192.0.2.1:5684", transport="coaps", now=self.node.now(), **fields
        )
        self.node.settle()
        return entry.id


class CredentialTests(CredentialsCase):
    """``/v1/credentials``."""

    async def test_put(self) -> None:
        """A new credential is 201 with its Location, one in place of another 200; both with the document."""
        seen = await self.call("PUT", "/v1/credentials/a%2Fb", {"type": "psk", "key": KEY, "endpoint": "pump-*"})
        self.assertEqual((seen.status, seen.headers["location"]), (201, "/v1/credentials/a%2Fb"))
        self.assertEqual(
            seen.json,
            {
                "identity": "a/b",
                "type": "psk",
                "scope": "registration",
                "endpoint": ["pump-*"],
                "labels": {},
                "note": "",
                "blocked": False,
                "keys": 1,
                "overlap_until": None,
                "created": "2026-01-01T00:00:00Z",
                "changed": "2026-01-01T00:00:00Z",
                "source": "api",
            },
        )
        again = await self.put(
            "a/b", 200, endpoint=["x", "y"], scope="bootstrap", labels={"farm": "north"}, note="roof"
        )
        self.assertEqual(
            (again["endpoint"], again["scope"], again["labels"]), (["x", "y"], "bootstrap", {"farm": "north"})
        )
        self.assertEqual((await self.call("GET", "/v1/credentials/a%2Fb")).json, again)

    async def test_without_key(self) -> None:
        """A credential that there is keeps its key where none is sent; a new one needs one."""
        await self.put("a")
        self.assertEqual((await self.put("a", 200, key=None, note="x"))["keys"], 1)
        problem = await self.refused(400, "bad-credential", "PUT", "/v1/credentials/b", {"type": "psk"})
        self.assertEqual(problem["errors"][0]["field"], "key")

    async def test_rotate(self) -> None:
        """After another key with overlap there are two, and it says until when."""
        await self.put("a")
        document = await self.put("a", 200, key=OTHER, overlap=3600)
        self.assertEqual((document["keys"], document["overlap_until"]), (2, "2026-01-01T01:00:00Z"))

    async def test_list(self) -> None:
        """All are listed in order, in pages."""
        for name in ("c", "a", "b"):
            await self.put(name)
        first = (await self.call("GET", "/v1/credentials?limit=2")).json
        self.assertEqual([each["identity"] for each in first["items"]], ["a", "b"])
        second = (await self.call("GET", f"/v1/credentials?limit=2&after={first['next']}")).json
        self.assertEqual(([each["identity"] for each in second["items"]], second["next"]), (["c"], None))

    async def test_delete(self) -> None:
        """A credential that is deleted is unknown."""
        await self.put("a")
        self.assertEqual((await self.call("DELETE", "/v1/credentials/a")).status, 204)
        for method in ("GET", "DELETE"):
            await self.refused(404, "unknown-credential", method, "/v1/credentials/a")

    async def test_other_types(self) -> None:
        """Certificates and leaves have no key, and are named by their kind."""
        names = ("x509:cn", "x509:san:a.example", "x509:serial:0a@CN=ca", f"x509:sha256:{HASH}")
        for name in names:
            self.assertEqual((await self.put(name, type="x509", key=None))["keys"], 0)
        self.assertEqual((await self.put("nosec:toy", type="nosec", key=None))["type"], "nosec")

    async def test_wrong_bodies(self) -> None:
        """What does not fit is told with its field, and never with the key."""
        for identity, body, code, field in (
            ("a", {"type": "psk", "key": "zz" * 16}, "bad-credential", "key"),
            ("a", {"type": "psk", "key": "00" * 7}, "bad-credential", "key"),
            ("a", {"type": "psk", "key": 5}, "bad-body", "key"),
            ("a", {"type": "rpk", "key": KEY}, "bad-body", "type"),
            ("a", {"key": KEY}, "bad-body", "type"),
            ("a", {"type": "psk", "key": KEY, "scope": "all"}, "bad-body", "scope"),
            ("a", {"type": "psk", "key": KEY, "endpoint": ""}, "bad-body", "endpoint"),
            ("a", {"type": "psk", "key": KEY, "endpoint": "a\u0007"}, "bad-credential", "endpoint"),
            ("a", {"type": "psk", "key": KEY, "overlap": -1}, "bad-body", "overlap"),
            ("a", {"type": "psk", "key": KEY, "secret": KEY}, "bad-body", "secret"),
            ("a", {"type": "x509"}, "bad-credential", "identity"),
            ("x509:cn", {"type": "psk", "key": KEY}, "bad-credential", "identity"),
            ("x509:cn", {"type": "x509", "key": KEY}, "bad-credential", "key"),
            ("nosec:a", {"type": "nosec", "endpoint": "*"}, "bad-credential", "endpoint"),
            ("a%00", {"type": "psk", "key": KEY}, "bad-credential", "identity"),
            ("a" * 256, {"type": "psk", "key": KEY}, "bad-credential", "identity"),
        ):
            problem = await self.refused(400, code, "PUT", f"/v1/credentials/{identity}", body)
            self.assertEqual(problem["errors"][0]["field"], field, body)

    async def test_many(self) -> None:
        """Several are put with one call, all or none, with everything that is wrong; a trial changes nothing."""
        items = [{"identity": f"id-{number}", "type": "psk", "key": KEY} for number in range(3)]
        seen = await self.call("POST", "/v1/credentials", {"items": items, "check": True})
        self.assertEqual(seen.json, {"created": 3, "replaced": 0, "checked": True})
        self.assertEqual(self.node.vault.count, 0)
        seen = await self.call("POST", "/v1/credentials", {"items": items})
        self.assertEqual(seen.json, {"created": 3, "replaced": 0, "checked": False})
        wrong = [*items, {"identity": "id-0", "type": "psk"}, {"identity": "x509:a", "type": "psk", "key": "zz"}]
        problem = await self.refused(400, "bad-credential", "POST", "/v1/credentials", {"items": wrong})
        self.assertEqual([each["field"] for each in problem["errors"]], ["items[3].identity", "items[4].identity"])
        for number in (0, 1001):
            await self.refused(400, "bad-body", "POST", "/v1/credentials", {"items": items[:1] * number})

    async def test_needs_a_token(self) -> None:
        """Nobody without a token sees or changes anything."""
        for method, path in (
            ("GET", "/v1/credentials"),
            ("PUT", "/v1/credentials/a"),
            ("GET", "/v1/refused"),
            ("POST", "/v1/refused/a/admit"),
            ("GET", "/v1/audit"),
        ):
            self.assertProblem(await self.call(method, path, token=None), 401, "unauthorized")

    async def test_no_key_comes_out(self) -> None:
        """No answer, problem, event, log line, metric or audit record holds a key, in hex or otherwise."""
        logged: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            logged.append(eventAsText(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        events: list[bytes] = []
        self.node.delivery.subscribe(Filter(), None, lambda found: events.extend(each.document for each in found))
        answers: list[Seen] = []
        one, entry = "/v1/credentials/a", self.refuse("wrong-key", identity="a")
        for method, path, body in (
            ("PUT", one, {"type": "psk", "key": KEY}),
            ("PUT", one, {"type": "psk", "key": OTHER, "overlap": 10}),
            ("PUT", one, {"type": "psk", "key": KEY + "zz"}),
            ("PUT", one, {"type": "psk", "key": KEY, KEY: 1}),
            ("PUT", one, {"type": KEY, "key": KEY}),
            ("PUT", one, f'{{"type": "psk", "key": "{KEY}"'.encode()),
            ("PUT", "/v1/credentials/x509:a", {"type": "x509", "key": KEY}),
            ("POST", "/v1/credentials", {"items": [{"identity": "b", "type": "psk", "key": KEY}]}),
            ("POST", "/v1/credentials", {"items": [{"identity": "b", "type": "psk", "key": KEY + "z"}]}),
            ("POST", f"/v1/refused/{entry}/admit", {"key": KEY + "z"}),
            ("POST", f"/v1/refused/{entry}/admit", {"key": OTHER}),
            ("GET", one, None),
            ("GET", "/v1/credentials", None),
            ("GET", "/v1/refused", None),
            ("GET", "/v1/audit", None),
            ("GET", "/v1/status", None),
            ("GET", "/metrics", None),
            ("DELETE", one, None),
        ):
            answers.append(await self.call(method, path, body))
        told = (
            [seen.body + repr(seen.headers).encode() for seen in answers] + events + [line.encode() for line in logged]
        )
        self.assertGreater(len([seen for seen in answers if seen.status < 300]), 10)
        for key in (KEY, OTHER):
            for form in (key.encode(), key.upper().encode(), bytes.fromhex(key), bytes.fromhex(key)[:8]):
                self.assertEqual([text for text in told if form in text], [])


class RefusedTests(CredentialsCase):
    """``/v1/refused``."""

    async def test_list(self) -> None:
        """The inbox shows the newest first, in pages, by cause."""
        first = self.refuse("wrong-key", identity="a")
        self.node.advance(1)
        identity = Identity("x509", "cn", ("s",), key_hash=HASH)
        second = self.refuse("endpoint-of-another", identity=identity, endpoint="e")
        found = (await self.call("GET", "/v1/refused")).json["items"]
        self.assertEqual([each["id"] for each in found], [second, first])
        self.assertEqual((found[0]["proved"], found[0]["names"]), (True, list(identity.names)))
        self.assertEqual((found[1]["proved"], found[1]["names"], found[1]["identity"]), (False, [], "a"))
        page = (await self.call("GET", "/v1/refused?limit=1")).json
        self.assertEqual(page["next"], second)
        page = (await self.call("GET", f"/v1/refused?limit=1&after={second}")).json
        self.assertEqual(([each["id"] for each in page["items"]], page["next"]), ([first], None))
        page = (await self.call("GET", "/v1/refused?cause=wrong-key")).json
        self.assertEqual([each["id"] for each in page["items"]], [first])
        self.assertEqual((await self.call("GET", f"/v1/refused/{first}")).json["cause"], "wrong-key")

    async def test_admit(self) -> None:
        """An unknown identity is let in with its key: a credential is there, the entry gone, the record written."""
        entry = self.refuse("unknown-identity", identity="a")
        problem = await self.refused(409, "admission-needs-more", "POST", f"/v1/refused/{entry}/admit")
        self.assertEqual(problem["errors"][0]["field"], "key")
        seen = await self.call("POST", f"/v1/refused/{entry}/admit", {"key": KEY})
        self.assertEqual((seen.status, seen.json["identity"], seen.json["keys"]), (200, "a", 1))
        await self.refused(404, "unknown-refusal", "POST", f"/v1/refused/{entry}/admit", {"key": KEY})
        records = (await self.call("GET", "/v1/audit")).json["items"]
        self.assertEqual([record["action"] for record in records], ["credential.put", "refused.admitted"])
        self.assertEqual((records[1]["subject"], records[1]["by"]), ("a", "admin"))

    async def test_admit_from_the_wire(self) -> None:
        """A device that is refused without security is let in with one step, and registers then."""
        self.node.server.configure(ServerSettings(policy=Policy(unsecured=())), self.node.now())
        device = self.node.device("toy", registered=False)
        device.register()
        self.assertNotIn("toy", self.node.server.devices)
        (entry,) = (await self.call("GET", "/v1/refused")).json["items"]
        self.assertEqual((entry["cause"], entry["endpoint"]), ("security-needed", "toy"))
        seen = await self.call("POST", f"/v1/refused/{entry['id']}/admit")
        self.assertEqual((seen.status, seen.json["identity"], seen.json["type"]), (200, "nosec:toy", "nosec"))
        device.register()
        self.assertIn("toy", self.node.server.devices)

    async def test_needs_more(self) -> None:
        """What no credential answers is told."""
        entry = self.refuse("blocked-endpoint", endpoint="e")
        problem = await self.refused(409, "admission-needs-more", "POST", f"/v1/refused/{entry}/admit")
        self.assertIn("block", problem["detail"])

    async def test_dismiss(self) -> None:
        """An entry is taken off the list."""
        entry = self.refuse("wrong-key", identity="a")
        self.assertEqual((await self.call("DELETE", f"/v1/refused/{entry}")).status, 204)
        for method in ("GET", "DELETE"):
            await self.refused(404, "unknown-refusal", method, f"/v1/refused/{entry}")


class AuditTests(CredentialsCase):
    """``/v1/audit``."""

    async def test_pages(self) -> None:
        """Records come the oldest first, in pages, by action and subject."""
        for name in ("a", "b", "a", "c"):
            await self.call("PUT", f"/v1/credentials/{name}", {"type": "psk", "key": KEY})
        await self.call("DELETE", "/v1/credentials/b")
        found: list[Any] = []
        after = ""
        while after is not None:
            page = (await self.call("GET", f"/v1/audit?limit=2{after}")).json
            found += page["items"]
            after = page["next"] and f"&after={page['next']}"
        self.assertEqual(
            [(each["action"], each["subject"]) for each in found],
            [*(("credential.put", name) for name in "abac"), ("credential.removed", "b")],
        )
        for query, count in (("action=credential.removed", 1), ("subject=a", 2), ("action=refused.summary", 0)):
            page = (await self.call("GET", f"/v1/audit?{query}")).json
            self.assertEqual(len(page["items"]), count, query)

    async def test_metrics(self) -> None:
        """Refusals are counted by cause, the inbox and credentials are measured."""
        await self.put("a")
        self.refuse("wrong-key", identity="a")
        text = (await self.call("GET", "/metrics")).body.decode()
        for line in (
            'lwm2md_security_refused_total{cause="wrong-key"} 1.0',
            "lwm2md_security_inbox 1.0",
            "lwm2md_credentials 1.0",
        ):
            self.assertIn(line, text)
