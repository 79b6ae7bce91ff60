"""Leshan's client against the daemon, and ours against Leshan's server, over DTLS: Californium is at the other end."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.interop.secure import KEY, Files, identity
from tests.interop.through import Through
from tests.peers.leshan_client import LeshanClient
from tests.peers.leshan_server import LeshanServer
from tests.peers.proxy import Proxy

NAME = "/3303/0/5700"


class LeshanClientTests(TestCase):
    """Leshan's client as the device."""

    timeout = 120

    async def _go(self, security: dict[str, str], expected: str, cid: str = "", *, server: str = "") -> None:
        """Register, read, change the address, go on; then the daemon is killed, and the device goes on again."""
        files = Files.make(self, "leshan")
        daemon = await Daemon.start(self, *files.settings)
        proxy = Proxy.start(self, daemon.coaps, 1)
        how = {name: value.replace("@", f"{files.place}/") for name, value in security.items()}
        if cid:
            how["cid"] = cid
        url = proxy.url.replace("coap://", "coaps://")
        client = LeshanClient.start(self, url, "leshan", security=how)
        await client.registered()
        self.assertEqual(await identity(daemon, "leshan"), ("coaps", expected))
        device = Through(self, daemon, "leshan")
        self.assertEqual(await device.read(NAME, "senml-cbor"), {NAME: 20.5})
        if cid:
            proxy.rebind()
            await client.command("update", "updated")
            self.assertEqual(await device.read(NAME, "senml-cbor"), {NAME: 20.5})
        await daemon.process.kill()
        daemon = await daemon.again()
        if cid:
            proxy.rebind()
        await client.command("update", "updated")
        self.assertEqual(await Through(self, daemon, "leshan").read(NAME, "senml-cbor"), {NAME: 20.5})
        await client.command("stop", "deregistered")
        _, metrics = await daemon.api("GET", "/v1/status")
        self.assertEqual(metrics["counts"]["states"]["online"], 0)

    async def test_psk(self) -> None:
        """With a pre-shared key, over a restart of the daemon."""
        await self._go({"psk": KEY, "identity": "leshan"}, "leshan")

    async def test_psk_and_connection_id(self) -> None:
        """With Connection IDs in both directions, through a NAT that forgets, and over a restart."""
        await self._go({"psk": KEY, "identity": "leshan"}, "leshan", cid="6")

    async def test_psk_and_empty_connection_id(self) -> None:
        """With a Connection ID in the records to the server only."""
        await self._go({"psk": KEY, "identity": "leshan"}, "leshan", cid="0")

    async def test_certificates(self) -> None:
        """With certificates, the server's as it is, and Connection IDs."""
        how = {"cert": "@device.der", "key": "@device.pk8", "server-cert": "@server.der"}
        await self._go(how, "x509:leshan", cid="6")

    async def test_trust_anchor(self) -> None:
        """With certificates, the server's by its authority."""
        how = {"cert": "@device.der", "key": "@device.pk8", "server-cert": "@ca.der", "usage": "2"}
        await self._go(how, "x509:leshan")

    async def test_refused(self) -> None:
        """With a wrong key, and with a stranger's certificate, it gets nowhere, and the operator sees why."""
        files = Files.make(self, "leshan")
        daemon = await Daemon.start(self, *files.settings)
        how = {"psk": KEY[::-1], "identity": "leshan"}
        client = LeshanClient.start(self, daemon.coaps, "leshan", security=how)
        await client.process.await_line("registration-failed|registration-timeout|error")
        _, found = await daemon.api("GET", "/v1/refused")
        self.assertEqual([(item["cause"], item["identity"]) for item in found["items"]], [("wrong-key", "leshan")])


class LeshanServerTests(TestCase):
    """Leshan's server, and our device."""

    timeout = 120

    async def _go(self, security: dict[str, str], *words: str, cid: str = "") -> None:
        files = Files.make(self, "ours")
        how = {name: value.replace("@", f"{files.place}/") for name, value in security.items()}
        if cid:
            how["cid"] = cid
        server = await LeshanServer.start(self, {"endpoint": "ours", **how})
        proxy = Proxy.start(self, server.coaps, 1)
        url = proxy.url.replace("coap://", "coaps://")
        arguments = [word.replace("@", f"{files.place}/") for word in words]
        device = start_devices(self, url, "--endpoint", "ours", "--lifetime", "20", "--verbose", *arguments)
        await server.registered("ours")
        code, _ = await server.ask("read", "ours", 11543, ["/3/0/0"])
        self.assertEqual(code, "CONTENT(205)")
        if cid:
            mark = device.mark()
            proxy.rebind()
            await device.await_line("Update → 2.04", since=mark)
            code = ""
            while not code.startswith("CONTENT"):  # it gives up a request that it made while the address changed
                code, _ = await server.ask("read", "ours", 11543, ["/3/0/0"])
                self.assertRegex(code, "CONTENT|RequestCanceled")
        self.assertIn("session with", device.output())

    async def test_psk(self) -> None:
        """With a pre-shared key."""
        await self._go({"psk": KEY, "identity": "ours"}, "--psk-file", "@psk.csv", "--connection-id", "none")

    async def test_psk_and_connection_id(self) -> None:
        """With Connection IDs in both directions, through a NAT that forgets."""
        words = ("--psk-file", "@psk.csv", "--connection-id", "both")
        await self._go({"psk": KEY, "identity": "ours"}, *words, cid="6")

    async def test_certificates(self) -> None:
        """With certificates, and a Connection ID in the records to the server only."""
        await self._go(
            {"cert": "@server.der", "key": "@server.pk8", "ca": "@ca.der"},
            *("--cert", "@device.pem", "--key", "@device.key", "--ca", "@ca.pem"),
            cid="6",
        )
