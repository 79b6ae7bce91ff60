"""Devices over DTLS and what they may do: a real daemon and simulated devices, from credential to revocation."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.daemons import Daemon, start_devices
from tests.net.authority import Authority, Owner
from tests.processes import Process, directory

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OTHER = "f0e1d2c3b4a5968778695a4b3c2d1e0f"


class AdmittingTests(TestCase):
    """A daemon that listens on coaps."""

    timeout = 90

    async def start(self, *settings: str) -> None:
        """Start the daemon, and listen to its events."""
        self.place = directory(self)
        self.daemon = await Daemon.start(self, "coaps.listen=127.0.0.1:0", *settings)
        self.stream = await self.daemon.events("types=security.refused,device.registered,device.deregistered")

    async def put(self, identity: str, key: str | None = KEY, kind: str = "psk", **body: Any) -> None:
        """Put a credential."""
        body = {"type": kind, **({"key": key} if key else {}), **body}
        status, answer = await self.daemon.api("PUT", f"/v1/credentials/{identity}", body=body)
        self.assertIn(status, (200, 201), answer)

    def device(self, endpoint: str, identity: str, key: str = KEY) -> Process:
        """Start a device with a pre-shared key."""
        path = self.place / f"{identity}-{endpoint}-{key[:4]}.csv"
        path.write_text(f"{identity},{key}\n", "ascii")
        words = ("--psk-identity", identity, "--psk-file", str(path), "--lifetime", "4")
        return start_devices(self, self.daemon.coaps, "--endpoint", endpoint, *words)

    def with_certificate(self, endpoint: str, owner: Owner, authority: Authority) -> Process:
        """Start a device with a certificate."""
        words = ["--endpoint", endpoint, "--lifetime", "4"]
        for name, text in (("cert", owner.pem), ("key", owner.key), ("ca", authority.owner.pem)):
            path = self.place / f"{endpoint}.{name}"
            path.write_bytes(text)
            words += [f"--{name}", str(path)]
        return start_devices(self, self.daemon.coaps, *words)

    async def refused(self, cause: str) -> Any:
        """Wait for a refusal; its entry in the inbox."""
        event = (await self.stream.next("security.refused")).data
        self.assertEqual(event["cause"], cause, event)
        _, entry = await self.daemon.api("GET", f"/v1/refused/{event['refused']}")
        return entry

    async def registered(self, endpoint: str) -> Any:
        """Wait for a registration; the device."""
        await self.stream.next("device.registered", endpoint=endpoint)
        _, device = await self.daemon.api("GET", f"/v1/devices/{endpoint}")
        return device

    async def test_psk(self) -> None:
        """With its key a device registers as what its credential says, with labels, and as nothing else."""
        await self.start()
        await self.put("id-1", endpoint=["pump-*"], labels={"farm": "north"})
        self.device("pump-1", "id-1")
        device = await self.registered("pump-1")
        self.assertEqual((device["identity"], device["transport"]), ("id-1", "coaps"))
        self.assertEqual(device["labels"], {"farm": "north"})
        self.device("sensor-1", "id-1")
        entry = await self.refused("endpoint-of-another")
        self.assertEqual((entry["endpoint"], entry["identity"], entry["proved"]), ("sensor-1", "id-1", True))
        status, _ = await self.daemon.api("GET", "/v1/devices/sensor-1")
        self.assertEqual(status, 404)
        await self.daemon.process.stop()

    async def test_unknown(self) -> None:
        """A device that nobody knows is in the inbox, is let in with its key in one step, and comes by itself."""
        await self.start()
        device = self.device("sensor-1", "sensor-1")
        entry = await self.refused("unknown-identity")
        self.assertEqual((entry["identity"], entry["proved"], entry["transport"]), ("sensor-1", False, "coaps"))
        status, answer = await self.daemon.api("POST", f"/v1/refused/{entry['id']}/admit", body={"key": KEY})
        self.assertEqual(status, 200, answer)
        await device.stop()
        self.device("sensor-1", "sensor-1")
        await self.registered("sensor-1")
        await self.daemon.process.stop()

    async def test_revoked(self) -> None:
        """The session of a revoked identity ends, and its device does not come back; with a wrong key neither."""
        await self.start()
        await self.put("sensor-1")
        self.device("sensor-1", "sensor-1")
        await self.registered("sensor-1")
        status, _ = await self.daemon.api("DELETE", "/v1/credentials/sensor-1")
        self.assertEqual(status, 204)
        await self.refused("unknown-identity")
        ended = (await self.stream.next("device.deregistered")).data
        self.assertEqual((ended["endpoint"], ended["reason"]), ("sensor-1", "unknown-identity"))
        await self.put("sensor-2", OTHER)
        self.device("sensor-2", "sensor-2")
        await self.refused("wrong-key")
        self.assertNotIn(KEY, self.daemon.process.output())
        await self.daemon.process.stop()

    async def test_other_endpoints(self) -> None:
        """An endpoint that is taken from a credential is registered no longer, and in the inbox."""
        await self.start()
        await self.put("id-1", endpoint=["pump-*"])
        self.device("pump-1", "id-1")
        await self.registered("pump-1")
        await self.put("id-1", None, endpoint=["pump-2"])
        entry = await self.refused("endpoint-of-another")
        self.assertEqual((entry["endpoint"], entry["identity"]), ("pump-1", "id-1"))
        ended = (await self.stream.next("device.deregistered")).data
        self.assertEqual((ended["endpoint"], ended["reason"]), ("pump-1", "endpoint-of-another"))
        await self.daemon.process.stop()

    async def test_rotated(self) -> None:
        """While a rotation overlaps, devices with the old key and with the new one register."""
        await self.start()
        await self.put("fleet", endpoint="e-*")
        await self.put("fleet", OTHER, endpoint="e-*", overlap=600)
        for number, key in enumerate((KEY, OTHER)):
            self.device(f"e-{number}", "fleet", key)
            await self.registered(f"e-{number}")
        await self.daemon.process.stop()

    async def test_certificates(self) -> None:
        """A trusted certificate registers under its name; a blocked one's session ends, by whichever of its names."""
        authority = Authority("Factory CA")
        server = authority.issue("server", hosts=("127.0.0.1",))
        place = directory(self)
        for name, text in (("server.pem", server.pem), ("server.key", server.key), ("ca.pem", authority.owner.pem)):
            (place / name).write_bytes(text)
        await self.start(*(f"security.{name}={place / file}" for name, file in _FILES.items()))
        owner = authority.issue("sensor-1", hosts=("one.example",))
        self.with_certificate("sensor-1", owner, authority)
        device = await self.registered("sensor-1")
        self.assertEqual(device["identity"], "x509:sensor-1")
        self.with_certificate("sensor-2", owner, authority)
        entry = await self.refused("endpoint-of-another")
        self.assertIn("x509:san:one.example", entry["names"])
        await self.put("x509:san:one.example", None, "x509", blocked=True)
        entry = await self.refused("blocked-identity")
        self.assertEqual(entry["identity"], "x509:sensor-1")
        await self.daemon.process.stop()

    async def test_plain_coap_beside(self) -> None:
        """Who comes over plain CoAP can't have the name of a device that has proved who it is."""
        await self.start()
        await self.put("sensor-1")
        device = self.device("sensor-1", "sensor-1")
        await self.registered("sensor-1")
        await device.stop()
        start_devices(self, self.daemon.coap, "--endpoint", "sensor-1")
        await self.refused("security-needed")
        await self.daemon.process.stop()


_FILES = {"certificates": "server.pem", "key": "server.key", "ca": "ca.pem"}
