"""The fleet in its shell: sockets, one timer, staggered start and a clean end."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet import reactor as _installed
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lwm2md.coap.engine import Engine
from lwm2md.device.behaviour import Behaviour, Event
from lwm2md.device.objects import Settings
from lwm2md.device.script import Script
from lwm2md.device_service import GRACE, Fleet, Group, Plan
from lwm2md.net.addresses import Endpoint
from lwm2md.net.driver import Driver
from lwm2md.net.udp import listen
from tests.device.harness import Registrar, counting
from tests.processes import free_port

_reactor: Any = _installed


class _FakeReactor(Clock):
    """A clock that also takes readers, and reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()

    def addReader(self, reader: object) -> None:
        """Take a reader."""
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        """Let a reader go."""
        self.readers.discard(reader)


def _devices(count: int) -> tuple[Settings, ...]:
    return tuple(Settings(f"d{number}") for number in range(count))


class StaggerTests(SynchronousTestCase):
    """A fleet and a server that never answers, in a time of its own."""

    def setUp(self) -> None:
        """Make a fleet of ten that starts within a hundred seconds."""
        self.reactor = _FakeReactor()
        self.fleet = Fleet(
            self.reactor, Plan((Group(Endpoint("127.0.0.1", free_port()), _devices(10), 100.0),)), counting()
        )

    def test_start_is_spread(self) -> None:
        """Devices start one after the other, with one timer of the reactor for all of them."""
        self.fleet.startService()
        counts = []
        for _ in range(11):
            counts.append(len(self.fleet.members))
            self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
            self.reactor.pump([1.0] * 10)
        self.assertEqual(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10])
        self.fleet.stopService()
        self.assertEqual(self.reactor.readers, set())

    def test_scripts_share_the_timer(self) -> None:
        """Devices with a script have that one timer too, and change their sockets under it."""
        script = Script(behaviour=Behaviour(awake=5.0), events=(Event("address", 30.0),))
        group = Group(Endpoint("127.0.0.1", free_port()), _devices(3), 0.0, script)
        fleet = Fleet(self.reactor, Plan((group,)), counting())
        fleet.startService()
        before = {member.port.local.port for member in fleet.members}
        self.reactor.pump([1.0] * 40)
        self.assertEqual((len(self.reactor.getDelayedCalls()), len(self.reactor.readers)), (1, 3))
        self.assertTrue(before.isdisjoint({member.port.local.port for member in fleet.members}))
        fleet.stopService()
        self.assertEqual(self.reactor.readers, set())

    def test_end_without_answers(self) -> None:
        """A registered device that gets no answer to its De-register is let go after the grace."""
        self.fleet.startService()
        [member] = self.fleet.members
        member.client.registration.registered(("rd", "a"), 0.0)
        ended = self.fleet.stopService()
        self.assertNoResult(ended)
        self.reactor.advance(GRACE)
        self.successResultOf(ended)
        self.assertEqual((self.fleet.members, self.reactor.readers, self.reactor.getDelayedCalls()), (set(), set(), []))

    def test_stop_before_all_started(self) -> None:
        """Stopping in the middle of the start starts no more."""
        self.fleet.startService()
        self.successResultOf(self.fleet.stopService())
        self.reactor.advance(1000)
        self.assertEqual(len(self.fleet.members), 0)


class LoopbackTests(TestCase):
    """A fleet and a server over real sockets."""

    async def _until(self, condition: Any) -> None:
        for _ in itertools.count():
            if condition():
                return
            await deferLater(_reactor, 0.01)

    def test_register_and_deregister(self) -> Deferred[None]:
        """Every device registers from a port of its own and de-registers when the fleet stops."""
        return Deferred.fromCoroutine(self._register_and_deregister("127.0.0.1"))

    def test_ipv6(self) -> Deferred[None]:
        """The same over IPv6."""
        return Deferred.fromCoroutine(self._register_and_deregister("::1"))

    async def _register_and_deregister(self, host: str) -> None:
        registrar = Registrar()
        driver = Driver(_reactor, Engine(registrar, counting()))
        port = listen(_reactor, Endpoint(host, 0))
        driver.add(port)
        self.addCleanup(driver.stop)
        fleet = Fleet(_reactor, Plan((Group(port.local, _devices(5)),), verbose=True))
        fleet.startService()
        await self._until(lambda: len(registrar.requests) == 5)
        self.assertEqual(len({member.port.local.port for member in fleet.members}), 5)
        await self._until(lambda: all(member.client.registration.location for member in fleet.members))
        await fleet.stopService()
        self.assertEqual(len(registrar.requests), 10)
        self.assertEqual(fleet.members, set())
