"""Stops of a real daemon: with a request under way, and with a disk that hangs; none takes longer than it may."""

from __future__ import annotations

import signal
from random import Random
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from tests.processes import directory, reactor
from tests.torture.daemon import Daemon, Place
from tests.torture.device import Device
from tests.torture.model import Model
from tests.torture.power import Power

_WHERE = "/v1/devices/d/resources/3/0/0"


class _Slow(Device):
    """A device that answers when it is told to."""

    held: list[Message]

    def _obey(self, request: Message) -> None:
        self.held.append(request)

    def answer(self) -> None:
        """Answer all that was asked."""
        while self.held:
            super()._obey(self.held.pop())


class StopTests(TestCase):
    """A daemon with one device, and what becomes of it at SIGTERM."""

    timeout = 60

    async def begin(self, *settings: str) -> None:
        """Start it, and register the device."""
        place = directory(self)
        self.power = Power(place)
        self.daemon = Daemon(place, Place.find(), settings, self.power.environment)
        self.addCleanup(self.daemon.close)
        self.daemon.spawn()
        await self.daemon.ready()
        self.device = _Slow("d", self.daemon.coap, Model(), Random(1), sleepy=False)
        self.device.held = []
        self.addCleanup(self.device.transport.stopListening)
        self.addCleanup(self.device.abandon)
        await self.device.register(900)

    async def ended(self) -> int:
        """Wait for the end of the process; its status."""
        while (status := self.daemon.gone()) is None:
            await deferLater(reactor, 0.02)
        return status

    async def asked(self) -> Any:
        """Begin a Read, and return when it is at the device."""
        reading = ensureDeferred(self.daemon.api("GET", f"{_WHERE}?wait=30"))
        while not self.device.held:
            await deferLater(reactor, 0.01)
        return reading

    async def test_under_way(self) -> None:
        """A request that is at its device when the daemon is told to stop is answered, to its caller too."""
        await self.begin("lwm2md.stop-wait=20s")
        reading = await self.asked()
        self.daemon.signal(signal.SIGTERM)
        await deferLater(reactor, 0.5)
        self.assertIsNone(self.daemon.gone())
        self.device.answer()
        status, document = await reading
        self.assertEqual((status, len(document["values"])), (200, 1))
        self.assertEqual(await self.ended(), signal.SIGTERM)
        self.assertNotIn("not everything is stored", self.daemon.text())

    async def test_unanswered(self) -> None:
        """A device that does not answer holds a stop up for no longer than it may, and nobody else for that time."""
        await self.begin("lwm2md.stop-wait=1s")
        reading = await self.asked()
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(await self.device.update(), n.CHANGED)
        began = reactor.seconds()
        self.assertEqual(await self.ended(), signal.SIGTERM)
        self.assertLess(reactor.seconds() - began, 10)
        await self.assertFailure(reading, Exception)

    async def test_hanging_disk(self) -> None:
        """A disk that hangs holds it up until the deadline; then it ends with status 1, and says what it lost."""
        await self.begin("lwm2md.stop-deadline=2s", "lwm2md.stop-wait=1s")
        self.power.faults(delay=600.0)
        changing = ensureDeferred(self.daemon.api("PATCH", "/v1/devices/d", body={"labels": {"x": "1"}}))
        await self.device.update()
        self.daemon.signal(signal.SIGTERM)
        began = reactor.seconds()
        self.assertEqual(await self.ended(), 1 << 8)
        self.assertLess(reactor.seconds() - began, 10)
        self.assertIn("the daemon ends after 2 s, though not everything is stored", self.daemon.text())
        await self.assertFailure(changing, Exception)
