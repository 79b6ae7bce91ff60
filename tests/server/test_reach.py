"""How long a device listens and can be reached: told, seen, learned."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.deviceprofiles import DeviceProfile
from lwm2md.server.reach import Facts
from lwm2md.server.records import Device, Operation
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import PeerDescription
from tests.server.fixtures import START, Answer, Bench, peer

TEXT = Answer(n.CONTENT, b"x", n.TEXT)


class ReachCase(SynchronousTestCase):
    """One device at a time."""

    def use(self, *query: str, **settings: float) -> None:
        """Have one registered device."""
        self.bench = Bench(ServerSettings(**settings))  # type: ignore[arg-type]
        self.bench.device("d").register("lwm2m=1.1", "lt=86400", *query)
        self.device = self.bench.devices[b"peer-1"]
        self.device.location = self.device.replies[-1].location[1]

    @property
    def record(self) -> Device:
        """What the server knows of it."""
        return self.bench.server.devices["d"]

    def facts(self) -> Facts:
        """What the server shows of it, with times counted from the start of the bench."""
        found = self.bench.server.facts(self.record, self.bench.now)
        times = ("awake_until", "reachable_until", "next_expected")
        values = {name: getattr(found, name) for name in times}
        return attrs.evolve(found, **{name: value - START for name, value in values.items() if value is not None})

    def read(self, **fields: object) -> Operation:
        """Ask for a value."""
        return self.bench.submit("d", "read", "/3/0/0", **fields)

    def answer_after(self, silence: float, **fields: object) -> None:
        """Let the device be silent for so long after an Update, and then answer a request."""
        self.device.update()
        self.bench.advance(silence)
        operation = self.read(**fields)
        self.device.reply(TEXT)
        self.assertEqual(operation.state, "done")

    def miss_after(self, silence: float) -> None:
        """Let the device be silent for so long after an Update, and then give no answer to a request."""
        self.device.update()
        self.bench.advance(silence)
        operation = self.read()
        self.assertEqual(operation.state, "sent")
        self.bench.advance(93)
        self.assertEqual(operation.state, "queued")
        self.bench.server.cancel(operation.id, self.bench.now, lambda *_: None)
        self.bench.settle()


class AwakeTests(ReachCase):
    """A device in queue mode."""

    def window(self) -> float:
        """How long the device is taken to listen after an Update now."""
        self.device.update()
        until = self.facts().awake_until
        assert until is not None
        return until - (self.bench.now - START)

    def test_setting(self) -> None:
        """Without more it listens as long as the setting says, after each message that it sends."""
        self.use("Q", awake=20)
        self.assertEqual(self.facts().awake_until, 20)
        self.bench.advance(10)
        self.read()
        self.device.reply(TEXT)
        self.assertEqual(self.facts().awake_until, 30)

    def test_profile(self) -> None:
        """What a profile says holds, whatever the device answers."""
        self.use("Q")
        self.bench.server._state.fit = lambda _: DeviceProfile(awake=7)
        self.record.profile = None
        self.device.update()
        self.assertEqual(self.window(), 7)
        self.answer_after(50, when="now")
        self.miss_after(5)
        self.assertEqual((self.window(), self.record.habits), (7, None))

    def test_shrinks_and_grows(self) -> None:
        """A missing answer makes the window smaller, one that comes late in it larger, up to the setting."""
        self.use("Q", awake=90)
        self.miss_after(50)
        self.assertEqual(self.window(), 65)
        self.answer_after(30)
        self.assertEqual(self.window(), 65)
        self.answer_after(60)
        self.assertEqual(self.window(), 81.25)
        self.answer_after(80)
        self.assertEqual(self.window(), 90)
        self.answer_after(80)
        self.assertEqual(self.window(), 90)

    def test_converges(self) -> None:
        """Of a device that listens for 10 s that is learned within a few requests, and nothing less than a second."""
        self.use("Q")
        for _ in range(40):
            silence = self.window() * 0.7
            if silence > 10:
                self.miss_after(silence)
            else:
                self.answer_after(silence)
        self.assertTrue(8 <= self.window() <= 16, self.window())
        for _ in range(60):
            self.miss_after(self.window() * 0.7)
        self.assertTrue(1 <= self.window() < 2, self.window())

    def test_forced_answer_shows_more(self) -> None:
        """An answer beyond the window, to what was forced, shows that the device listens as long as that."""
        self.use("Q", awake=10)
        self.answer_after(60, when="now")
        self.assertEqual(self.window(), 60)

    def test_woken_in_between(self) -> None:
        """An answer after the device woke by itself says nothing of how long it listens."""
        self.use("Q", awake=10)
        self.device.update()
        self.bench.advance(60)
        self.read(when="now")
        request = self.device.requests[-1]
        self.device.update()
        self.bench.receive(self.device.compose(request, TEXT), self.device.peer)
        self.assertEqual(self.window(), 10)

    def test_over_restart(self) -> None:
        """What was learned is kept over a restart, and a device that was just heard of is awake after it."""
        self.use("Q", awake=90)
        self.miss_after(50)
        self.device.update("lt=4000")
        self.bench, _ = self.bench.restart(5)
        self.assertEqual(self.facts().awake_until, self.record.last_seen - START + 65)
        self.assertEqual(self.record.state(self.bench.now), "online")


class NatTests(ReachCase):
    """A device behind a NAT, in queue mode or not."""

    def test_unknown(self) -> None:
        """Where nothing is known of a NAT a device is reached as long as it is registered."""
        self.use()
        self.bench.advance(5000)
        self.assertIsNone(self.facts().reachable_until)
        self.assertEqual(self.read().state, "sent")

    def test_told(self) -> None:
        """Beyond the time that the setting tells requests wait for the next uplink, and what is forced leaves."""
        self.use(nat=40)
        self.assertEqual(self.facts().reachable_until, 40)
        self.bench.advance(20)
        first = self.read()
        self.device.reply(TEXT)
        self.bench.advance(40)
        waiting = self.read()
        self.assertEqual((first.state, waiting.state, self.record.state(self.bench.now)), ("done", "queued", "online"))
        self.assertEqual(self.bench.submit("d", "read", "/3/0/1", when="now").state, "sent")
        self.device.reply(TEXT)
        self.device.reply(TEXT)
        self.assertEqual(waiting.state, "done")

    def test_profile(self) -> None:
        """A profile's time goes before the setting's; 0 in it is no NAT."""
        self.use(nat=40)
        self.record.profile = DeviceProfile(nat=100)
        self.assertEqual(self.facts().reachable_until, 100)
        self.record.profile = DeviceProfile(nat=0)
        self.assertIsNone(self.facts().reachable_until)

    def test_queue_mode(self) -> None:
        """A device that listens longer than its NAT lets anything in gets requests with its uplinks."""
        self.use("Q", nat=40)
        self.bench.advance(50)
        waiting = self.read()
        self.assertEqual((waiting.state, self.record.state(self.bench.now)), ("queued", "online"))
        self.device.update()
        self.assertEqual(waiting.state, "sent")

    def test_seen(self) -> None:
        """A port that changes between Updates shows a NAT; another host, and a Register, do not."""
        for address, seen in (("10.0.0.1:2", True), ("10.0.0.2:1", False)):
            self.use()
            self.bench.server._state.environment = attrs.evolve(
                self.bench.server._state.environment,
                describe=lambda who, where=address: PeerDescription(  # type: ignore[misc]
                    where if who == peer(2) else "10.0.0.1:1", "coap"
                ),
            )
            self.device.move(2)
            self.device.update()
            self.assertEqual(self.facts().reachable_until, 30 if seen else None)

    def test_unseen_by_setting(self) -> None:
        """No notice is taken of ports where the setting says so."""
        self.use(nat_seen=0)
        self.device.move(2)
        self.device.update()
        self.assertIsNone(self.facts().reachable_until)

    def test_learned(self) -> None:
        """The time grows with requests that were answered late in it, and shrinks with those that were not."""
        self.use(nat=40)
        for silence, answered, expected in ((10, True, 40), (36, True, 50), (45, True, 62.5), (40, False, 47.25)):
            if answered:
                self.answer_after(silence)
            else:
                self.miss_after(silence)
            habits = self.record.habits
            self.assertEqual(40 if habits is None else habits.nat, expected)
        self.assertNotIn("device.not-responding", self.bench.kinds())
        after, _ = self.bench.restart()
        assert after.server.devices["d"].habits is not None
        self.assertEqual(after.server.devices["d"].habits.nat, 47.25)
