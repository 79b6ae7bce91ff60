"""Traces over real sockets: a device that moves, a stranger, datagrams that are none, and a daemon that is killed."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from tests import web
from tests.daemons import Daemon
from tests.processes import reactor
from tests.test_node import Device
from tests.tracing.test_pcapng import read


class TraceTests(TestCase):
    """``/v1/traces`` and ``/v1/devices/{endpoint}/messages`` of a daemon as a process."""

    timeout = 60

    async def follow(self, daemon: Daemon, trace: str) -> web.EventStream:
        """The stream of a trace."""
        url = f"{daemon.url}/v1/traces/{trace}/messages"
        return await web.EventStream.open(self, url, {"Authorization": f"Bearer {daemon.token}"})

    async def trace(self, daemon: Daemon, **asked: Any) -> str:
        """Start a trace."""
        status, made = await daemon.api("POST", "/v1/traces", body=asked)
        self.assertEqual(status, 201, made)
        return str(made["id"])

    def device(self, daemon: Daemon) -> Device:
        """A device with an address of its own."""
        return Device(self, daemon.coap.removeprefix("coap://"))

    async def test_follows_a_device(self) -> None:
        """A trace has a device's messages from its Register on, through a change of address, and no others."""
        for host in ("127.0.0.1", "[::1]"):
            daemon = await Daemon.start(self, coap=f"{host}:0")
            trace = await self.trace(daemon, endpoint="d")
            stream = await self.follow(daemon, trace)
            device, other, moved = self.device(daemon), self.device(daemon), self.device(daemon)
            await device.register("d")
            await other.register("other")
            await moved.ask(n.POST, device.location)
            await moved.ask(n.GET, ("nowhere",))
            await device.ask(n.GET, ("late",))
            lines = [(await stream.next("message")).data["line"] for _ in range(6)]
            shown = [line.partition(" #")[0] for line in lines]
            self.assertEqual(shown[0], "CON POST /rd?ep=d&lwm2m=1.1&lt=3600")
            self.assertEqual(shown[1:2] + shown[3:4], ["ACK 2.01 Created", "ACK 2.04 Changed"])
            self.assertEqual(shown[2], f"CON POST /{'/'.join(device.location)}")
            self.assertEqual(shown[4:], ["CON GET /nowhere", "ACK 4.04 Not Found"])
            self.assertEqual((await daemon.api("GET", f"/v1/traces/{trace}"))[1]["messages"], 6)
            items = (await daemon.api("GET", "/v1/devices/d/messages"))[1]["items"]
            self.assertEqual([each["line"] for each in items if "/late" not in each["line"]][:6], lines)

    async def test_addresses(self) -> None:
        """A trace of addresses has everybody's, with what is no CoAP; the file has it all."""
        daemon = await Daemon.start(self)
        trace = await self.trace(daemon, address="127.0.0.0/8")
        stream = await self.follow(daemon, trace)
        device = self.device(daemon)
        device.socket.send(b"\xff\xffnonsense")
        await device.register("d")
        undecodable = (await stream.next("message")).data
        self.assertEqual(
            (undecodable["error"], undecodable["payload"]), ("another version of CoAP", "ffff6e6f6e73656e7365")
        )
        file = await web.exchange(
            "GET", f"{daemon.url}/v1/traces/{trace}/pcapng", headers={"Authorization": f"Bearer {daemon.token}"}
        )
        packets = read(file[2])
        self.assertEqual(len(packets), 3)
        self.assertEqual(packets[0].frame[28:], b"\xff\xffnonsense")
        port = device.socket.getsockname()[1].to_bytes(2, "big")
        self.assertEqual((packets[0].frame[20:22], packets[2].frame[22:24]), (port, port))
        self.assertLess(abs(packets[0].time - reactor.seconds()), 30)

    async def test_survives_a_kill(self) -> None:
        """A trace goes on after the daemon was killed, for the rest of its time."""
        daemon = await Daemon.start(self)
        trace = await self.trace(daemon, endpoint="d", duration=3600)
        device = self.device(daemon)
        await device.register("d")
        before = (await daemon.api("GET", f"/v1/traces/{trace}"))[1]
        await daemon.process.kill()
        again = await daemon.again()
        after = (await again.api("GET", f"/v1/traces/{trace}"))[1]
        self.assertEqual((after["state"], after["ends"], after["messages"]), ("running", before["ends"], 0))
        await device.ask(n.POST, device.location)
        self.assertEqual((await again.api("GET", f"/v1/traces/{trace}"))[1]["messages"], 2)
        self.assertEqual((await again.api("DELETE", f"/v1/traces/{trace}"))[0], 204)
        await again.process.kill()
        last = await again.again()
        self.assertEqual((await last.api("GET", "/v1/traces"))[1]["items"], [])

    async def test_ends_in_time(self) -> None:
        """The stream of a trace whose time is over ends with it."""
        daemon = await Daemon.start(self)
        stream = await self.follow(daemon, await self.trace(daemon, endpoint="nobody", duration=1))
        ended = (await stream.next("ended")).data
        self.assertEqual((ended["state"], ended["reason"]), ("ended", "duration"))
        await stream.closed

    async def test_nothing_kept(self) -> None:
        """With no memory for it nothing is kept, and traces work as ever."""
        daemon = await Daemon.start(self, "limits.messages-size=0B")
        trace = await self.trace(daemon, address="::ffff:0:0/96")
        device = self.device(daemon)
        await device.register("d")
        self.assertEqual((await daemon.api("GET", "/v1/devices/d/messages"))[1]["items"], [])
        self.assertEqual((await daemon.api("GET", f"/v1/traces/{trace}"))[1]["messages"], 0)
        self.assertEqual(device.socket.family, socket.AF_INET)
