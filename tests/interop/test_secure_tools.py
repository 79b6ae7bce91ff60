"""OpenSSL's s_client and s_server, and libcoap's client and server, against the daemon and the device over DTLS."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.interop.secure import KEY, KEY_TEXT, Files, identity
from tests.peers import openssl
from tests.processes import Process, directory, free_port

BODY = "</1/0>,</3/0>"


class OpenSslClientTests(TestCase):
    """``openssl s_client`` against the daemon."""

    timeout = 60

    async def _start(self) -> tuple[Files, Daemon, str]:
        files = Files.make(self, "tool")
        daemon = await Daemon.start(self, *files.settings)
        return files, daemon, daemon.coaps.removeprefix("coaps://")

    async def test_suites(self) -> None:
        """Each suite that is on by default is agreed on; one of CBC mode is only where it is named."""
        files, _, address = await self._start()
        for suite in (
            "PSK-AES128-CCM8",
            "PSK-AES128-CCM",
            "PSK-AES128-GCM-SHA256",
            "ECDHE-PSK-CHACHA20-POLY1305",
        ):
            client = openssl.Client.start(self, address, openssl.psk("tool", KEY, suite))
            await client.process.await_line(f"Cipher is {suite}")
            await client.process.stop()
        client = openssl.Client.start(self, address, openssl.psk("tool", KEY, "PSK-AES128-CBC-SHA256"))
        await client.process.await_line("alert handshake failure")
        own = ("-cert", files.path("device.pem"), "-key", files.path("device.key"), "-CAfile", files.path("ca.pem"))
        for suite in ("ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-GCM-SHA256"):
            words = (*own, "-verify_return_error", "-cipher", f"{suite}:@SECLEVEL=0")
            client = openssl.Client.start(self, address, words)
            await client.process.await_line(f"Cipher is {suite}")
            await client.process.await_line("Verify return code: 0")
            await client.process.stop()

    async def test_small_datagrams(self) -> None:
        """A client whose datagrams are so small that its ClientHello comes in fragments is served like others."""
        _, daemon, address = await self._start()
        long = ",".join(letter * 100 for letter in "abcd")
        words = (*openssl.psk("tool", KEY), "-mtu", "256", "-alpn", long)
        client = openssl.Client.start(self, address, words)
        await client.process.await_line("Cipher is PSK-AES128-CCM8")
        _, text = await daemon.api("GET", "/metrics")
        found = [line for line in text.splitlines() if line.startswith("lwm2md_dtls_hello_fragments_total")]
        self.assertGreater(float(found[0].split()[-1]), 1.0)

    async def test_cbc(self) -> None:
        """A suite of CBC mode serves where the operator names it."""
        files = Files.make(self, "tool")
        names = "security.ciphers=TLS_PSK_WITH_AES_128_CCM_8, TLS_PSK_WITH_AES_128_CBC_SHA256"
        daemon = await Daemon.start(self, *files.settings, names)
        words = openssl.psk("tool", KEY, "PSK-AES128-CBC-SHA256")
        client = openssl.Client.start(self, daemon.coaps.removeprefix("coaps://"), words)
        await client.process.await_line("Cipher is PSK-AES128-CBC-SHA256")

    async def test_refused(self) -> None:
        """A wrong key and an unknown identity get one and the same alert, a stranger's certificate another."""
        files, daemon, address = await self._start()
        for name, key in (("tool", KEY[::-1]), ("nobody", KEY)):
            client = openssl.Client.start(self, address, openssl.psk(name, key))
            await client.process.await_line("alert decrypt error")
        words = ("-cert", files.path("stranger.pem"), "-key", files.path("stranger.key"))
        client = openssl.Client.start(self, address, words)
        await client.process.await_line("alert unknown ca")
        _, found = await daemon.api("GET", "/v1/refused")
        causes = [(item["cause"], item["identity"]) for item in found["items"]]
        expected = [("handshake-failed", None), ("unknown-identity", "nobody"), ("wrong-key", "tool")]
        self.assertEqual(causes, expected)

    async def test_resumption(self) -> None:
        """A session is taken up by its ticket, and its identity with it."""
        _, _, address = await self._start()
        kept = directory(self) / "session"
        words = openssl.psk("tool", KEY)
        client = openssl.Client.start(self, address, (*words, "-sess_out", str(kept)))
        await client.process.await_line("^New, .*Cipher is")
        client.process.say("Q")
        await client.process.wait()
        again = openssl.Client.start(self, address, (*words, "-sess_in", str(kept)))
        await again.process.await_line("^Reused, .*Cipher is")


class OpenSslServerTests(TestCase):
    """``openssl s_server``, and our device."""

    timeout = 60

    async def test_psk(self) -> None:
        """With a pre-shared key."""
        files = Files.make(self, "ours")
        words = ("-nocert", "-psk_identity", "ours", "-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0")
        server = await openssl.Server.start(self, words)
        device = start_devices(
            self, f"coaps://{server.address}", "--endpoint", "ours", "--psk-file", files.path("psk.csv")
        )
        await device.await_line("session with ours: PSK-AES128-CCM8")
        await server.process.await_line("CIPHER is PSK-AES128-CCM8")

    async def test_certificates(self) -> None:
        """With certificates on both sides."""
        files = Files.make(self, "ours")
        words = ("-cert", files.path("server.pem"), "-key", files.path("server.key"), "-CAfile", files.path("ca.pem"))
        server = await openssl.Server.start(self, (*words, "-Verify", "1", "-verify_return_error"))
        device = start_devices(
            self,
            f"coaps://{server.address}",
            *("--endpoint", "ours", "--cert", files.path("device.pem")),
            *("--key", files.path("device.key"), "--ca", files.path("ca.pem")),
        )
        await device.await_line("session with x509:server")
        await server.process.await_line("CN = ours")


class LibcoapTests(TestCase):
    """libcoap's client, with OpenSSL and with GnuTLS, and its server."""

    timeout = 60

    async def test_clients(self) -> None:
        """Both register with a pre-shared key, and are known by its identity."""
        files = Files.make(self, "libcoap")
        daemon = await Daemon.start(self, *files.settings)
        for library in ("openssl", "gnutls"):
            tool = shutil.which(f"coap-client-{library}")
            self.assertIsNotNone(tool, "apt-get install libcoap3-bin")
            url = f"{daemon.coaps}/rd?ep=libcoap&lt=300&lwm2m=1.1&b=U"
            words = ["-u", "libcoap", "-k", KEY_TEXT, "-v", "6", "-m", "post", "-t", "40", "-e", BODY, url]
            process = Process.start(self, [str(tool), *words])
            await process.await_line("c:2.01")
            await process.wait()
            self.assertEqual(await identity(daemon, "libcoap"), ("coaps", "libcoap"))

    async def test_certificate(self) -> None:
        """Its client registers with a certificate."""
        files = Files.make(self, "libcoap")
        daemon = await Daemon.start(self, *files.settings)
        tool = str(shutil.which("coap-client-openssl"))
        url = f"{daemon.coaps}/rd?ep=libcoap&lt=300&lwm2m=1.1&b=U"
        pem = Path(files.path("both.pem"))
        pem.write_bytes(Path(files.path("device.pem")).read_bytes() + Path(files.path("device.key")).read_bytes())
        words = ["-c", str(pem), "-C", files.path("ca.pem"), "-v", "6", "-m", "post", "-t", "40", "-e", BODY, url]
        process = Process.start(self, [tool, *words])
        await process.await_line("c:2.01")
        self.assertEqual(await identity(daemon, "libcoap"), ("coaps", "x509:libcoap"))

    async def test_servers(self) -> None:
        """Our device shakes hands with its server, which has no /rd and says so."""
        files = Files.make(self, "ours")
        for library in ("openssl", "gnutls"):
            tool = shutil.which(f"coap-server-{library}")
            if tool is None:
                continue
            port = free_port()
            words = ["-A", "127.0.0.1", "-p", str(port - 1), "-k", KEY_TEXT, "-h", "hint", "-v", "7"]
            server = Process.start(self, [tool, *words])
            await server.await_line("created DTLS")
            device = start_devices(
                self, f"coaps://127.0.0.1:{port}", "--endpoint", "ours", "--psk-file", files.path("psk.csv")
            )
            await device.await_line("session with ours")
            await device.await_line("4.04|4.05|2.01")
