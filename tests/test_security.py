"""Credentials, rules, inbox and audit log of a real daemon: over restarts, reloads and on the disk."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from tests.daemons import Daemon
from tests.processes import directory

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def register(coap: str, endpoint: str) -> tuple[int, bytes]:
    """Register over plain CoAP; the code of the answer and its text."""
    where = urlsplit(coap)
    asked = options(path=("rd",), query=(f"ep={endpoint}", "lt=60", "lwm2m=1.1"), content_format=n.LINK_FORMAT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(10)
        sender.sendto(encode(Message(n.CON, n.POST, 1, b"t", asked, b"</3/0>")), (where.hostname, where.port))
        answer = decode(sender.recv(1500))
    return answer.code, answer.payload


def on_disk(place: Path) -> bytes:
    """Everything that is in a directory's files."""
    return b"".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


class SecurityTests(TestCase):
    """One daemon, from outside."""

    timeout = 60

    async def put(self, daemon: Daemon, identity: str, **body: object) -> None:
        """Put a credential."""
        status, _ = await daemon.api("PUT", f"/v1/credentials/{identity}", body={"type": "psk", "key": KEY, **body})
        self.assertIn(status, (200, 201))

    async def test_restart(self) -> None:
        """Credentials, the inbox and the audit log are there after a restart, and the inbox admits."""
        daemon = await Daemon.start(self, "security.unsecured=toy-*")
        await self.put(daemon, "meter-1", endpoint="m-*")
        self.assertEqual(register(daemon.coap, "pump-1"), (n.FORBIDDEN, b"security-needed"))
        _, before = await daemon.api("GET", "/v1/audit")
        _, refused = await daemon.api("GET", "/v1/refused")
        await daemon.process.stop()
        daemon = await daemon.again()
        _, known = await daemon.api("GET", "/v1/credentials/meter-1")
        self.assertEqual((known["endpoint"], known["keys"]), (["m-*"], 1))
        self.assertEqual((await daemon.api("GET", "/v1/audit"))[1], before)
        self.assertEqual((await daemon.api("GET", "/v1/refused"))[1], refused)
        (entry,) = refused["items"]
        status, _ = await daemon.api("POST", f"/v1/refused/{entry['id']}/admit")
        self.assertEqual(status, 200)
        self.assertEqual(register(daemon.coap, "pump-1")[0], n.CREATED)
        await daemon.process.stop()

    async def test_killed(self) -> None:
        """A credential that was answered survives a kill, and one that was revoked stays so."""
        daemon = await Daemon.start(self)
        await self.put(daemon, "a")
        await self.put(daemon, "b")
        status, _ = await daemon.api("DELETE", "/v1/credentials/a")
        self.assertEqual(status, 204)
        await daemon.process.kill()
        daemon = await daemon.again()
        _, listed = await daemon.api("GET", "/v1/credentials")
        self.assertEqual([each["identity"] for each in listed["items"]], ["b"])
        await daemon.process.stop()

    async def test_sealed(self) -> None:
        """With a key file nothing in the state directory, nor the log, holds a key; others can't read the database."""
        place = directory(self)
        (place / "seal").write_text("a secret of this operator\n", "ascii")
        daemon = await Daemon.start(self, f"security.credentials-key=file:{place}/seal", state=place / "state")
        await self.put(daemon, "meter-1")
        await daemon.process.stop()
        for form in (KEY.encode(), bytes.fromhex(KEY)):
            self.assertNotIn(form, on_disk(place / "state"))
            self.assertNotIn(form, daemon.process.output().encode())
        self.assertEqual(stat.S_IMODE((place / "state" / "lwm2md.sqlite").stat().st_mode), 0o600)
        wrong = await Daemon.start(self, "security.credentials-key=another secret of somebody", state=place / "state")
        _, listed = await wrong.api("GET", "/v1/credentials")
        self.assertEqual(listed["items"], [])
        await wrong.process.await_line("sealed with another key")
        await wrong.process.stop()

    async def test_sealed_later(self) -> None:
        """Credentials that were stored plain are sealed at the first start with a key, and go on."""
        daemon = await Daemon.start(self)
        await self.put(daemon, "meter-1")
        await daemon.process.stop()
        sealed = await Daemon.start(self, "security.credentials-key=a secret of this operator", state=daemon.state)
        await sealed.process.await_line("1 credentials were stored plain and are sealed now")
        _, known = await sealed.api("GET", "/v1/credentials/meter-1")
        self.assertEqual(known["keys"], 1)
        await sealed.process.stop()

    async def test_reload(self) -> None:
        """A reload brings other rules and another file of keys into force."""
        place = directory(self)
        config, keys = place / "lwm2md.ini", place / "keys.csv"
        keys.write_text(f"meter-1,{KEY}\n", "ascii")
        config.write_text("[security]\npsk = keys.csv\n", "ascii")
        daemon = await Daemon.start(self, config=config)
        self.assertEqual(register(daemon.coap, "pump-1")[0], n.CREATED)
        status, _ = await daemon.api("DELETE", "/v1/credentials/meter-1")
        self.assertEqual(status, 409)
        keys.write_text(f"meter-1,{KEY}\nmeter-2,{KEY}\n", "ascii")
        config.write_text("[security]\npsk = keys.csv\nblock = pump-*\n", "ascii")
        _, reloaded = await daemon.api("POST", "/v1/reload")
        self.assertEqual(sorted(reloaded["changed"]), ["[security] block", "[security] psk"])
        self.assertEqual(register(daemon.coap, "pump-1"), (n.FORBIDDEN, b"blocked-endpoint"))
        _, listed = await daemon.api("GET", "/v1/credentials")
        self.assertEqual(
            [(each["identity"], each["source"]) for each in listed["items"]], [("meter-1", "file"), ("meter-2", "file")]
        )
        keys.write_text("meter-1,zz\n", "ascii")
        status, problem = await daemon.api("POST", "/v1/reload")
        self.assertEqual((status, problem["code"]), (422, "bad-configuration"))
        _, listed = await daemon.api("GET", "/v1/credentials")
        self.assertEqual(len(listed["items"]), 2)
        await daemon.process.stop()

    async def test_event(self) -> None:
        """Who listens hears of a refusal."""
        daemon = await Daemon.start(self, "security.block=pump-*")
        stream = await daemon.events("types=security.refused")
        register(daemon.coap, "pump-1")
        event = await stream.next("security.refused")
        self.assertEqual(
            (event.data["endpoint"], event.data["cause"], event.data["count"]), ("pump-1", "blocked-endpoint", 1)
        )
        self.assertTrue(event.data["refused"])
        await daemon.process.stop()
