"""The states of a device with reasons and times, the facts beside them, and the events of each change."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.server.deviceprofiles import DeviceProfile
from lwm2md.server.records import Device
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import START, Answer, Bench, FakeDevice

TEXT = Answer(n.CONTENT, b"x", n.TEXT)
CHANGES = (events.DEVICE_AWAKE, events.DEVICE_SLEEPING, events.DEVICE_NOT_RESPONDING, events.DEVICE_RESPONDING)


class PresenceCase(SynchronousTestCase):
    """A fleet of one."""

    def use(self, *query: str, lifetime: int = 3600, **settings: float) -> FakeDevice:
        """Have one registered device."""
        self.bench = Bench(ServerSettings(**settings))  # type: ignore[arg-type]
        device = self.bench.device("d")
        device.register("lwm2m=1.1", f"lt={lifetime}", *query)
        return device

    @property
    def record(self) -> Device:
        """What the server knows of the device."""
        return self.bench.server.devices["d"]

    def standing(self) -> tuple[str, float | None, str]:
        """State, since when (counted from the start of the bench), and why."""
        found = self.record.standing(self.bench.now)
        return found.state, None if found.since is None else found.since - START, found.reason

    def changes(self) -> list[tuple[str, float, object]]:
        """The events of changes so far: type, time from the start, reason."""
        found = sorted((*self.bench.events, *self.bench.live), key=lambda event: event.time)
        return [(each.type, each.time - START, each.fields.get("reason")) for each in found if each.type in CHANGES]


class StateTests(PresenceCase):
    """What state a device is in, since when and why."""

    def test_sleeper(self) -> None:
        """A device in queue mode is online until its awake time is over, then asleep, and each change is told."""
        device = self.use("Q")
        self.assertEqual(self.standing(), ("online", 0, "awake"))
        self.bench.advance(200)
        self.assertEqual(self.standing(), ("sleeping", 93, "asleep"))
        device.update()
        self.bench.advance(50)
        device.update()
        self.bench.advance(50)
        self.assertEqual(self.standing(), ("online", 200, "awake"))
        self.bench.advance(200)
        self.assertEqual(self.standing(), ("sleeping", 343, "asleep"))
        expected = [
            (events.DEVICE_AWAKE, 0, None),
            (events.DEVICE_SLEEPING, 93, "asleep"),
            (events.DEVICE_AWAKE, 200, None),
            (events.DEVICE_SLEEPING, 343, "asleep"),
        ]
        self.assertEqual(self.changes(), expected)

    def test_forgotten(self) -> None:
        """What is planned for when a device falls asleep does not keep one that is forgotten, nor tell of its heir."""
        self.use("Q")
        before = self.record
        self.bench.server.forget("d", self.bench.now, lambda *_: None)
        self.assertFalse([each for each in gc.get_referrers(before) if isinstance(each, tuple)])
        self.bench.advance(50)
        self.bench.device("d").register("lwm2m=1.1", "lt=3600", "Q")
        self.bench.advance(60)
        self.assertEqual(self.standing(), ("online", 50, "awake"))

    def test_cut_short(self) -> None:
        """A device that does not answer while it should listen is taken to be asleep, which is told once."""
        device = self.use("Q")
        self.bench.submit("d", "read", "/3/0/0", timeout=10)
        self.bench.advance(10)
        self.assertEqual(self.standing(), ("sleeping", 10, "unanswered"))
        self.bench.advance(200)
        device.update()
        self.bench.advance(5)
        told = [(events.DEVICE_AWAKE, 0, None), (events.DEVICE_SLEEPING, 10, "unanswered")]
        self.assertEqual(self.changes(), [*told, (events.DEVICE_AWAKE, 210, None)])

    def test_nobody_listens(self) -> None:
        """Where nobody hears when a device falls asleep nothing is planned for it."""
        device = self.use("Q")
        self.bench.advance(200)
        self.bench.wanted = False
        planned = len(self.bench.server._state.deadlines)
        device.update()
        self.assertEqual(len(self.bench.server._state.deadlines), planned)

    def test_registration(self) -> None:
        """Registered, registered again, de-registered, expired: each with its time, the last over a restart."""
        device = self.use(lifetime=300)
        self.assertEqual(self.standing(), ("online", 0, "registered"))
        self.bench.advance(10)
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(self.standing(), ("online", 10, "resumed"))
        self.bench.advance(10)
        device.deregister()
        self.assertEqual(self.standing(), ("offline", 20, "deregistered"))
        device.register("lwm2m=1.1", "lt=300")
        self.bench.advance(400)
        self.assertEqual(self.standing(), ("offline", 320, "lifetime"))
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.standing(), ("offline", 320, "lifetime"))

    def test_unanswered(self) -> None:
        """So many requests in a row must stay unanswered as the setting says, with nothing heard in between."""
        device = self.use(unanswered=2)
        for heard in (True, False):
            self.bench.submit("d", "read", "/3/0/0", timeout=10)
            self.bench.advance(10)
            self.assertEqual(self.standing()[0], "online")
            if heard:
                device.update()
        self.bench.submit("d", "read", "/3/0/0", timeout=10)
        self.bench.advance(10)
        self.assertEqual(self.standing(), ("not-responding", 30, "unanswered"))
        device.update()
        self.assertEqual(self.standing(), ("online", 30, "responded"))
        self.assertEqual(
            [kind for kind, _, _ in self.changes()], [events.DEVICE_NOT_RESPONDING, events.DEVICE_RESPONDING]
        )

    def test_unanswered_over_restart(self) -> None:
        """Who did not respond before a restart does not after it, until it is heard of; both are told once."""
        device = self.use(unanswered=1)
        self.bench.submit("d", "read", "/3/0/0", timeout=10)
        self.bench.advance(10)
        self.bench, faults = self.bench.restart()
        self.assertEqual((faults, self.standing()), ([], ("not-responding", 10, "unanswered")))
        device.update()
        self.assertEqual([kind for kind, _, _ in self.changes()], [events.DEVICE_RESPONDING])
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.standing()[0], "online")


class OverdueTests(PresenceCase):
    """Uplinks that were expected and did not come."""

    def updates(self, device: FakeDevice, every: float, count: int) -> None:
        """Let the device update regularly."""
        for _ in range(count):
            self.bench.advance(every)
            device.update()

    def test_no_habit_yet(self) -> None:
        """An early Update, such as one that a Write of the lifetime causes, makes no habit: the lifetime holds."""
        device = self.use(lifetime=3600)
        self.bench.advance(6)
        device.update("lt=1200")
        self.bench.advance(4)
        facts = self.bench.server.facts(self.record, self.bench.now)
        self.assertEqual((facts.next_expected, facts.overdue), (START + 6 + 1200, False))
        self.bench.advance(600)
        self.assertEqual((self.standing()[0], self.changes()), ("online", []))

    def test_habit(self) -> None:
        """Once it was watched for a lifetime a device is missed that does not keep to its habit, after a grace."""
        device = self.use()
        self.updates(device, 300, 6)
        self.bench.advance(20 * 60)
        self.assertEqual(self.standing()[0], "online")  # its habits are not known yet: anything within its lifetime
        device = self.use()
        self.updates(device, 600, 7)
        self.bench.advance(719)
        self.assertEqual(self.standing()[0], "online")
        facts = self.bench.server.facts(self.record, self.bench.now)
        self.assertEqual((facts.next_expected, facts.overdue), (START + 4800, True))
        self.bench.advance(1)
        self.assertEqual(self.standing(), ("not-responding", 4920, "overdue"))
        [event] = [each for each in self.bench.events if each.type == events.DEVICE_NOT_RESPONDING]
        self.assertEqual((event.fields["next_expected"], event.fields["last_seen"]), (START + 4800, START + 4200))
        self.bench.advance(100)
        device.update()
        self.assertEqual(self.standing(), ("online", 5020, "responded"))
        self.bench.advance(820 + 119)
        self.assertEqual(self.standing()[0], "online")
        self.bench.advance(1)
        self.assertEqual(self.standing(), ("not-responding", 5960, "overdue"))

    def test_again(self) -> None:
        """A device that came back is missed again, by what its habit is since."""
        device = self.use()
        self.updates(device, 600, 7)
        self.bench.advance(800)
        device.update()
        self.bench.advance(919)
        self.assertEqual(self.standing()[0], "online")
        self.bench.advance(1)
        self.assertEqual(self.standing()[0], "not-responding")

    def test_other_uplinks_count(self) -> None:
        """Who sends anything is not missed, though its Update is late; what the server sends does not count."""
        device = self.use(unanswered=10)
        self.updates(device, 600, 7)
        self.bench.advance(500)
        self.bench.submit("d", "read", "/3/0/0")
        device.reply(TEXT)
        self.assertEqual(self.bench.server.facts(self.record, self.bench.now).next_expected, self.bench.now + 600)
        self.bench.advance(500)
        seen = self.record.last_seen
        self.bench.submit("d", "read", "/3/0/0", timeout=5)
        self.bench.advance(5)
        self.assertEqual(self.record.last_seen, seen)
        self.bench.advance(216)
        self.assertEqual(self.standing()[2], "overdue")

    def test_lifetime(self) -> None:
        """Without a habit the lifetime counts; a registration that outlives it in grace is missed meanwhile."""
        self.use(lifetime=300, grace=1000, overdue=50)
        self.bench.advance(349)
        self.assertEqual(self.standing()[0], "online")
        self.bench.advance(1)
        self.assertEqual(self.standing(), ("not-responding", 350, "overdue"))
        self.bench.advance(950)
        self.assertEqual(self.standing(), ("offline", 1300, "lifetime"))

    def test_profile(self) -> None:
        """A profile's grace goes before the setting's."""
        self.use(lifetime=300, grace=1000)
        self.record.profile = DeviceProfile(grace=600)
        registration = self.record.registration
        assert registration is not None
        self.bench.server._registration.lifetimes.plan(registration)
        self.bench.advance(899)
        self.assertEqual(self.standing()[0], "online")
        self.bench.advance(1)
        self.assertEqual(self.standing()[0], "not-responding")

    def test_no_lifetime(self) -> None:
        """A device without a lifetime is watched for a day, and missed then when it breaks its habit."""
        device = self.use(lifetime=0)
        self.assertIsNone(self.bench.server.facts(self.record, self.bench.now).next_expected)
        self.updates(device, 3600, 25)
        self.bench.advance(3719)
        self.assertEqual(self.standing()[0], "online")
        self.bench.advance(1)
        self.assertEqual(self.standing()[0], "not-responding")

    def test_sleeper(self) -> None:
        """A sleeper is missed like any other; when it is heard of again that is both told."""
        device = self.use("Q")
        self.updates(device, 600, 7)
        self.bench.advance(720)
        self.assertEqual(self.standing()[0], "not-responding")
        self.bench.live.clear()
        self.bench.events.clear()
        device.update()
        told = [(events.DEVICE_RESPONDING, 4920, None), (events.DEVICE_AWAKE, 4920, None)]
        self.assertEqual(self.changes(), told)

    def test_restart(self) -> None:
        """Nobody is missed for the time in which the daemon was away, or by habits from before."""
        device = self.use(lifetime=3600)
        self.updates(device, 600, 7)
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        self.bench, _ = self.bench.restart(3000)
        self.bench.advance(3000)
        self.assertEqual(self.standing()[0], "online")

    def test_one_plan(self) -> None:
        """A registered device costs one plan, however often it updates."""
        device = self.use()
        self.bench.wanted = False
        planned = len(self.bench.server._state.deadlines)
        self.updates(device, 600, 20)
        device.update("lt=4000")
        self.assertEqual(len(self.bench.server._state.deadlines), planned)
