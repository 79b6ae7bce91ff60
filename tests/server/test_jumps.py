"""Jumps of the system's clock by hours, both ways: while the daemon runs, and from one start to the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.clock import SLEW, SteadyClock
from lwm2md.coap import numbers as n
from lwm2md.lwm2m.paths import Path
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import START, Answer, Bench, FakeDevice

_HOURS = 5 * 3600.0
_VALUE = "/3303/0/5700"
_OBSERVED = Answer(n.CONTENT, b"20.5", n.TEXT, observe=1)


class Running:
    """A server by a steady clock over a wall clock that is set."""

    def __init__(self) -> None:
        self.steady = self.set = 0.0
        self.clock = SteadyClock(lambda: START + self.steady + self.set, lambda: self.steady)
        self.bench = Bench(ServerSettings(flush_interval=5.0))
        self.bench.server.start(START)

    def pass_(self, seconds: float) -> None:
        """Let time pass by the second."""
        for _ in range(round(seconds)):
            self.steady += 1
            self.bench.now = self.clock.seconds()
            self.bench.tick()

    def until(self, done: Callable[[], bool], most: int = 2000) -> float:
        """Let time pass until something is so; how long it took."""
        began = self.steady
        while not done() and self.steady < began + most:
            self.pass_(1)
        return self.steady - began


def deaf(running: Running, device: FakeDevice) -> list[float]:
    """When datagrams come to a device that answers none of them: a list that grows."""
    arrived: list[float] = []

    def take(data: bytes) -> None:
        arrived.append(running.steady)

    device.take = take  # type: ignore[method-assign]
    return arrived


class RunningTests(SynchronousTestCase):
    """Nothing ends early or late by a jump, but for the 2 % by which the clock follows."""

    def jump(self, running: Running, forward: bool) -> None:
        """Set the clock."""
        running.set += _HOURS if forward else -_HOURS
        running.pass_(2)

    def assert_about(self, seconds: float, expected: float) -> None:
        """Assert that it took as long as it was to take."""
        self.assertLessEqual(abs(seconds - expected), expected * 1.5 * SLEW + 3, (seconds, expected))

    def is_gone(self, running: Running) -> bool:
        """Whether the device has no registration any more."""
        return running.bench.server.devices["d"].registration is None

    def is_asleep(self, running: Running) -> bool:
        """Whether it was told last that the device sleeps."""
        return [event.type for event in running.bench.live[-1:]] == [events.DEVICE_SLEEPING]

    def test_lifetimes(self) -> None:
        """Who refreshes stays, who does not is gone when the lifetime is over."""
        for forward in (True, False):
            running = Running()
            device = running.bench.registered()
            for _ in range(3):
                running.pass_(200)
                self.jump(running, forward)
                answer = device.update()
                assert answer is not None
                self.assertEqual(n.dotted(answer.code), "2.04")
            took = running.until(partial(self.is_gone, running))
            self.assert_about(took, 300)

    def test_operations(self) -> None:
        """What waits expires when its time is over, and not before."""
        for forward in (True, False):
            running = Running()
            running.bench.registered("d", 1, "lt=86400", "b=U", "Q")
            running.pass_(200)
            operation = running.bench.submit("d", "read", _VALUE, ttl=600.0)
            self.jump(running, forward)
            took = running.until(partial(getattr, operation, "finished"))
            self.assertEqual(operation.state, "expired")
            self.assert_about(took + 2, 600)

    def test_awake(self) -> None:
        """A device in queue mode listens as long as it does."""
        for forward in (True, False):
            running = Running()
            device = running.bench.registered("d", 1, "lt=86400", "b=U", "Q")
            window = running.bench.server.devices["d"].awake_until - running.bench.now
            self.jump(running, forward)
            took = running.until(partial(self.is_asleep, running))
            self.assert_about(took + 2, window)
            self.jump(running, not forward)
            device.update()
            operation = running.bench.submit("d", "read", _VALUE)
            self.assertEqual(operation.state, "sent")

    def test_retransmissions(self) -> None:
        """Who does not acknowledge is asked again at the times of RFC 7252."""
        for forward in (True, False):
            running = Running()
            device = running.bench.registered()
            arrived = deaf(running, device)
            running.bench.submit("d", "read", _VALUE)
            self.jump(running, forward)
            running.pass_(100)
            self.assertEqual(len(arrived), 5)
            self.assertTrue(2 <= arrived[1] - arrived[0] <= 4, arrived)
            self.assertTrue(16 <= arrived[4] - arrived[3] <= 26, arrived)


class StartTests(SynchronousTestCase):
    """The clock was set between two starts: stored times are hours away."""

    def begin(self) -> tuple[Bench, FakeDevice]:
        """A device that is registered and observed."""
        bench = Bench(ServerSettings(flush_interval=5.0))
        bench.server.start(bench.now)
        device = bench.registered("d", 1, "lt=3600")
        device.answers[n.GET, _VALUE] = _OBSERVED
        bench.submit("d", "observe", _VALUE)
        bench.advance(60)
        device.update()
        bench.advance(20)
        return bench, device

    def state(self, bench: Bench) -> str:
        """The state of the observation."""
        return bench.server.observation("d", Path.parse(_VALUE)).state

    def test_lifetimes(self) -> None:
        """Nobody is lost; who has gone is gone in time, whichever way the clock was set."""
        for hours in (_HOURS, -_HOURS, -10 * 365 * 86400.0):
            bench, device = self.begin()
            bench, faults = bench.restart(hours)
            self.assertEqual((faults, self.state(bench)), ([], "active"))
            self.assertLessEqual(bench.server.devices["d"].last_seen, bench.now)
            answer = device.update()
            assert answer is not None
            self.assertEqual(n.dotted(answer.code), "2.04")
            bench.advance(3590)
            self.assertIsNotNone(bench.server.devices["d"].registration)
            bench.advance(30 if hours < 0 else 30 + hours)
            self.assertIsNone(bench.server.devices["d"].registration, hours)

    def test_gone_meanwhile(self) -> None:
        """Who does not come back after the start is gone when its lifetime is over, and no hours later."""
        bench, _ = self.begin()
        bench, _ = bench.restart(-_HOURS)
        bench.advance(3600 + 4 * 5)
        self.assertIsNone(bench.server.devices["d"].registration)

    def test_granted_by_a_wrong_clock(self) -> None:
        """A start by a clock that was years ahead took them for a downtime; the next one grants a day of that."""
        bench, _ = self.begin()
        bench, _ = bench.restart(10 * 365 * 86400.0)
        bench.advance(20)
        bench, _ = bench.restart(-10 * 365 * 86400.0)
        bench.advance(3600)
        self.assertIsNotNone(bench.server.devices["d"].registration)
        bench.advance(86400)
        self.assertIsNone(bench.server.devices["d"].registration)

    def test_address(self) -> None:
        """The newest address of a device is known though all times are clamped to the same."""
        bench, device = self.begin()
        device.move(7)
        device.update()
        bench.advance(20)
        bench, _ = bench.restart(-_HOURS)
        registration = bench.server.devices["d"].registration
        assert registration is not None
        self.assertEqual(registration.peer, device.peer)

    def test_operations(self) -> None:
        """What waits for a device waits no longer than it was to; a clock that went ahead has ended it."""
        for hours, state, last in ((-_HOURS, "queued", "expired"), (_HOURS, "expired", "expired")):
            bench = Bench(ServerSettings(flush_interval=5.0))
            bench.server.start(bench.now)
            bench.registered("d", 1, "lt=864000", "b=U", "Q")
            bench.advance(200)
            operation = bench.submit("d", "write", "/1/0/1", value=60, ttl=600.0)
            bench.server.keep(operation, bench.now, lambda ok, now: None)
            bench.settle()
            bench, _ = bench.restart(hours)
            found = bench.server.operations[operation.id]
            self.assertEqual(found.state, state)
            self.assertLessEqual(found.created, bench.now)
            bench.advance(601)
            self.assertEqual(found.state, last)

    def test_values(self) -> None:
        """What is told after the start is known, though it is older than what was told before."""
        for hours in (_HOURS, -_HOURS):
            bench, device = self.begin()
            bench, _ = bench.restart(hours)
            wish = bench.server.observation("d", Path.parse(_VALUE))
            device.notify(wish.token, 5, b"31.5")
            (row,) = bench.server.twin_rows("d", Path.parse(_VALUE))
            self.assertEqual((row.value, row.time), (31.5, bench.now))
