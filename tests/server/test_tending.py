"""Tests of lwm2md.server.tending: back-off, budgets, silent streams, the pace after a start."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import attrs

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, options
from lwm2md.server.deviceprofiles import DeviceProfile, Learned
from lwm2md.server.records import OperationRequest
from lwm2md.server.settings import ServerSettings
from lwm2md.server.tending import SLACK
from lwm2md.server.wish import Observation
from tests.server.fixtures import Answer, Bench, FakeDevice
from tests.server.test_observing import OBSERVED, VALUE, Base

PATIENCE = 2 * 20 + SLACK
REFUSED = Answer(n.METHOD_NOT_ALLOWED)
OTHER = "/3303/0/5601"


class Tended(Base):
    """Shorthands."""

    def asked(self, path: str = VALUE) -> list[float]:
        """When the device was asked to observe a path from now on: a list that grows."""
        times: list[float] = []

        def note(message: Message) -> None:
            if message.code == n.GET and message.observe == 0 and "/" + "/".join(message.path) == path:
                times.append(self.bench.now)

        self.device.on_request = note
        return times


class BackOffTests(Tended):
    """What a device refuses, or does not answer, it is asked again."""

    def test_refused(self) -> None:
        """Each time later, up to a limit, with some chance in it; what the wish shows says when."""
        self.device.answers[n.GET, VALUE] = REFUSED
        times = self.asked()
        wish, _, _ = self.put()
        self.assertEqual(wish.state, "refused")
        self.assertEqual(wish.error, "Method Not Allowed")
        assert wish.aside.retry_at is not None
        self.assertTrue(45 <= wish.aside.retry_at - self.bench.now <= 75, wish.aside.retry_at - self.bench.now)
        for _ in range(40):
            self.device.update()
            self.bench.advance(250)
        waits = [after - before for before, after in pairwise(times)]
        self.assertGreaterEqual(len(waits), 5)
        for number, wait in enumerate(waits):
            self.assertTrue(0.75 * 60 * 2**number <= wait <= 1.25 * 60 * 2**number, waits)
        self.assertGreater(len({round(wait / 2**number) for number, wait in enumerate(waits)}), 1)

    def test_longest(self) -> None:
        """The time until the next try has a limit."""
        self.bench = Bench(ServerSettings(observe_retry=10, observe_retry_max=20))
        self.device = self.bench.registered("d", 1, "lt=86400")
        self.device.answers[n.GET, VALUE] = REFUSED
        times = self.asked()
        self.put()
        self.bench.advance(200)
        waits = [after - before for before, after in pairwise(times)]
        self.assertTrue(all(wait <= 25 for wait in waits), waits)
        self.assertGreaterEqual(len(waits), 6)

    def test_taken_at_last(self) -> None:
        """When the device takes it, nothing more is planned."""
        self.device.answers[n.GET, VALUE] = REFUSED
        wish, _, _ = self.put()
        self.device.answers[n.GET, VALUE] = OBSERVED
        self.bench.advance(80)
        self.assertEqual((wish.state, wish.error, wish.aside.retry_at, wish.aside.failures), ("active", None, None, 0))
        times = self.asked()
        self.device.update()
        self.bench.advance(250)
        self.assertEqual(times, [])

    def test_unanswered(self) -> None:
        """A device that does not answer is asked again as well."""
        wish, _, _ = self.put(timeout=5)
        self.bench.advance(5)
        self.assertEqual((wish.state, wish.error), ("pending", "no answer"))
        self.assertIsNotNone(wish.aside.retry_at)
        self.device.answers[n.GET, VALUE] = OBSERVED
        self.bench.advance(80)
        self.assertEqual(wish.state, "active")

    def test_registers(self) -> None:
        """A Register begins anew: it is asked at once, and the next wait is the first one."""
        self.device.answers[n.GET, VALUE] = REFUSED
        wish, _, _ = self.put()
        self.bench.advance(200)
        self.assertGreater(wish.aside.failures, 1)
        times = self.asked()
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((times, wish.aside.failures), ([self.bench.now], 1))

    def test_update_asks_nothing(self) -> None:
        """A mere Update is no reason to ask again."""
        self.device.answers[n.GET, VALUE] = REFUSED
        self.put()
        times = self.asked()
        self.device.update()
        self.device.update("lt=200")
        self.assertEqual(times, [])

    def test_operator(self) -> None:
        """The operator's new wish is asked for at once, and the old plan is gone."""
        self.device.answers[n.GET, VALUE] = REFUSED
        first, _, _ = self.put()
        second, _, _ = self.put()
        self.assertEqual((first.aside.plan, second.aside.failures), (None, 1))

    def test_ended_by_device(self) -> None:
        """An error notification ends the stream; it is asked for again after a while."""
        wish = self.observed()
        self.device.notify(wish.token, None, b"", code=n.NOT_FOUND, content_format=None)
        self.assertEqual((wish.state, wish.error), ("refused", "4.04 Not Found"))
        self.bench.advance(80)
        self.assertEqual(wish.state, "active")

    def test_gone(self) -> None:
        """Nothing is asked of a device that is gone, nor planned for it."""
        self.device.answers[n.GET, VALUE] = REFUSED
        wish, _, _ = self.put()
        self.device.deregister()
        times = self.asked()
        self.assertEqual((wish.aside.plan, wish.aside.retry_at, wish.state), (None, None, "pending"))
        self.bench.advance(1000)
        self.assertEqual(times, [])

    def test_removed(self) -> None:
        """A wish that is cancelled while it waits for its next turn is not asked for."""
        self.device.answers[n.GET, VALUE] = REFUSED
        wish, _, _ = self.put()
        self.remove(wish)
        times = self.asked()
        self.bench.advance(250)
        self.assertEqual((times, wish.aside.plan), ([], None))

    def test_behind_operators(self) -> None:
        """What an operator asks goes ahead of what is established anew."""
        self.observed()
        self.observed(OTHER)
        del self.device.answers[n.GET, VALUE]
        self.device.register("lwm2m=1.1", "lt=300")
        self.device.answers[n.GET, "/3/0/1"] = Answer(n.CONTENT, b"x", n.TEXT)
        self.bench.submit("d", "read", "/3/0/1")
        before = len(self.device.requests)
        self.device.reply(OBSERVED)
        self.assertEqual(["/".join(each.path) for each in self.device.requests[before:]], ["3/0/1", "3303/0/5601"])


class BudgetTests(Tended):
    """No more observations than the device can keep."""

    def budget(self, count: int) -> None:
        """Let the device have a profile with that many."""
        self.bench.server.devices["d"].profile = DeviceProfile(observations=count)

    def begin(self) -> None:
        """Begin anew with a server that has started, so that it stores what it finds out within 5 s."""
        self.bench = Bench(ServerSettings(flush_interval=5.0))
        self.bench.server.start(self.bench.now)
        self.device = self.bench.registered()

    def test_profile(self) -> None:
        """What is beyond the profile's number waits, and has its turn when another one is cancelled."""
        self.budget(1)
        first = self.observed()
        self.device.answers[n.GET, OTHER] = OBSERVED
        second, created, operation = self.put(OTHER)
        self.assertEqual((second.state, created, operation.state), ("waiting", True, "failed"))
        self.assertEqual(second.error, "beyond the 1 observations that the device can keep")
        self.assertEqual([each for each in self.device.requests if each.path[-1] == "5601"], [])
        self.remove(first, active=False)
        self.assertEqual((second.state, second.error), ("active", None))

    def test_registers(self) -> None:
        """After a Register the first ones are established, the others wait again."""
        first = self.observed()
        second = self.observed(OTHER)
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((first.state, second.state), ("active", "active"))
        self.budget(1)
        self.bench.server.device_profiles.changed = lambda device: None  # type: ignore[method-assign]
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((first.state, second.state), ("active", "waiting"))

    def test_refused_one_gives_way(self) -> None:
        """One that the device refuses gives its place to one that waits."""
        self.budget(1)
        self.device.answers[n.GET, OTHER] = OBSERVED
        first, _, _ = self.put()
        second, _, _ = self.put(OTHER)
        self.assertEqual(second.state, "waiting")
        self.device.reply(REFUSED)
        self.assertEqual((first.state, second.state), ("refused", "active"))

    def test_shown_by_device(self) -> None:
        """A device that refuses with 5.03 keeps what it has; it is asked for more after a while."""
        self.observed()
        self.device.answers[n.GET, OTHER] = Answer(n.SERVICE_UNAVAILABLE)
        self.device.answers[n.GET, "/3303/0/5602"] = OBSERVED
        second, _, _ = self.put(OTHER)
        third, _, _ = self.put("/3303/0/5602")
        self.assertEqual((second.state, third.state), ("waiting", "waiting"))
        self.assertEqual(third.error, "beyond the 1 observations that the device can keep")
        self.device.answers[n.GET, OTHER] = OBSERVED
        self.bench.advance(80)
        self.assertEqual(second.state, "active")

    def test_shown_before_a_restart(self) -> None:
        """What a device had when it refused one more is known after a restart; it is asked for more after a while."""
        self.begin()
        self.observed()
        third = "/3303/0/5602"
        for path in (OTHER, third):
            self.device.answers[n.GET, path] = Answer(n.SERVICE_UNAVAILABLE)
            self.put(path)
        self.bench.advance(5)
        before = len(self.device.requests)
        self.bench, faults = self.bench.restart()
        self.bench.advance(1)
        wishes = {str(wish.path): wish for wish in self.bench.server.devices["d"].observations}
        self.assertEqual((faults, len(self.device.requests) - before), ([], 0))
        self.assertEqual([wish.state for wish in wishes.values()], ["active", "waiting", "waiting"])
        self.assertEqual(wishes[third].error, "beyond the 1 observations that the device can keep")
        self.device.answers[n.GET, OTHER] = self.device.answers[n.GET, third] = OBSERVED
        self.bench.advance(80)
        self.assertEqual([wish.state for wish in wishes.values()], ["active"] * 3)

    def test_shown_until_it_registers(self) -> None:
        """A Register begins anew, over a restart too."""
        self.begin()
        self.observed()
        self.device.answers[n.GET, OTHER] = Answer(n.SERVICE_UNAVAILABLE)
        self.put(OTHER)
        self.assertEqual(self.bench.server.devices["d"].learned, Learned(observations=1))
        self.device.answers[n.GET, OTHER] = OBSERVED
        self.device.register("lwm2m=1.1", "lt=300")
        self.bench.advance(5)
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.bench.server.devices["d"].learned, Learned())

    def test_nothing_held(self) -> None:
        """A 5.03 of a device that observes nothing says nothing of how much it can keep."""
        self.device.answers[n.GET, VALUE] = Answer(n.SERVICE_UNAVAILABLE)
        wish, _, _ = self.put()
        self.assertEqual(wish.state, "refused")


class SilentTests(Tended):
    """Streams of which nothing comes any more."""

    def observing(self, pmax: int | None = 20, max_age: int | None = None) -> Observation:
        """A wish with a pmax that the device has taken."""
        self.bench = Bench(ServerSettings())
        self.device = self.bench.registered("d", 1, "lt=86400")
        self.device.answers[n.GET, VALUE] = attrs.evolve(OBSERVED, max_age=max_age)
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        wish, _, _ = self.put(attributes={} if pmax is None else {"pmax": pmax})
        self.assertEqual(wish.state, "active")
        return wish

    def test_silent(self) -> None:
        """After twice the pmax and a while the device is asked once more, with the same token, later each time."""
        wish = self.observing()
        times, start = self.asked(), self.bench.now
        self.bench.advance(PATIENCE - 1)
        self.assertEqual(times, [])
        self.bench.advance(2)
        self.assertEqual([at - start for at in times], [PATIENCE])
        self.assertEqual((self.device.requests[-1].token, wish.state), (wish.token, "active"))
        self.assertEqual(self.bench.server.counters["observations_silent"], 1)
        self.assertEqual(list(self.bench.server.deviations("d")), ["silent-stream"])
        self.bench.advance(14 * PATIENCE)
        self.assertEqual([at - start for at in times], [PATIENCE, 3 * PATIENCE, 7 * PATIENCE, 15 * PATIENCE])

    def test_alive(self) -> None:
        """Where something comes in time nothing is asked, and one plan is all there is."""
        wish = self.observing()
        times = self.asked()
        for number in range(30):
            self.bench.advance(20)
            self.device.notify(wish.token, number + 2)
        self.assertEqual((times, wish.state, wish.aside.failures), ([], "active", 0))

    def test_recovers(self) -> None:
        """What comes after the device was asked once more lets the patience be short again."""
        wish = self.observing()
        times = self.asked()
        self.bench.advance(PATIENCE + 1)
        for number in range(10):
            self.bench.advance(20)
            self.device.notify(wish.token, number + 2)
        self.bench.advance(2 * PATIENCE)
        self.assertEqual((len(times), wish.aside.failures), (2, 1))

    def test_no_pmax(self) -> None:
        """Without a pmax nothing has to come, and nothing is kept for the look."""
        wish = self.observed()
        self.assertIsNone(wish.aside.plan)
        self.assertIsNone(wish._aside)

    def test_max_age(self) -> None:
        """Without a pmax the device's own word on how long its value is fresh counts, that of the last message."""
        wish = self.observing(None, max_age=20)
        times, start = self.asked(), self.bench.now
        self.bench.advance(PATIENCE + 1)
        self.assertEqual([at - start for at in times], [PATIENCE])
        self.assertEqual(list(self.bench.server.deviations("d")), ["silent-stream"])
        self.device.notify(wish.token, 2, max_age=100)
        self.bench.advance(2 * 100 + SLACK - 1)
        self.assertEqual(len(times), 1)
        self.bench.advance(2)
        self.assertEqual(len(times), 2)

    def test_max_age_of_notification(self) -> None:
        """A notification may be the first to say so; one that says nothing, or 0, lets nothing be expected."""
        wish = self.observing(None)
        times = self.asked()
        self.device.notify(wish.token, 2, b"1")
        self.device.notify(wish.token, 3, b"2", max_age=0)
        self.bench.advance(300)
        self.assertEqual((times, wish.aside.plan), ([], None))
        start = self.bench.now
        self.device.notify(wish.token, 4, b"3", max_age=20)
        self.bench.advance(PATIENCE + 1)
        self.assertEqual([at - start for at in times], [PATIENCE])

    def test_max_age_and_pmax(self) -> None:
        """Where there is a pmax it says what is to come, whatever the device says."""
        wish = self.observing(pmax=100)
        times = self.asked()
        self.device.notify(wish.token, 2, max_age=1)
        self.bench.advance(2 * 100 + SLACK - 1)
        self.assertEqual(times, [])

    def test_after_restart(self) -> None:
        """The look goes on after a restart, from then on."""
        self.observing()
        self.bench.advance(60)
        self.bench, _ = self.bench.restart()
        times, start = self.asked(), self.bench.now
        self.bench.advance(PATIENCE + 5)
        self.assertEqual([at - start for at in times], [PATIENCE])


class PaceTests(Tended):
    """A start of the daemon is no storm."""

    def test_paced(self) -> None:
        """What was not established before a restart is asked for fifty at a time."""
        for number in range(120):
            device = self.bench.registered(f"e{number}", number + 10)
            request = OperationRequest(op="observe", path=VALUE)
            self.bench.server.observe(device.endpoint, request, self.bench.now)
            self.bench.settle()
        devices = [device for device in self.bench.devices.values() if device.endpoint != "d"]
        for device in devices:
            device.requests.clear()
        after, _ = self.bench.restart()
        self.assertEqual(sum(len(device.requests) for device in devices), 50)
        after.advance(0.15)
        self.assertEqual(sum(len(device.requests) for device in devices), 100)
        after.advance(0.1)
        self.assertEqual(sum(len(device.requests) for device in devices), 120)

    def test_active_ones_go_on(self) -> None:
        """What the device has taken is not asked for again after a restart."""
        wish = self.observed()
        self.bench, _ = self.bench.restart()
        times = self.asked()
        self.bench.advance(100)
        self.device.notify(wish.token, 5, b"22.5")
        self.assertEqual((times, self.values()), ([], [22.5]))


class AttributeTests(Tended):
    """Attributes that can't be written go as parameters of the Observe, where the device knows these."""

    def register(self, version: str) -> None:
        """Begin anew with a device of that version that refuses Write-Attributes."""
        self.bench = Bench(ServerSettings())
        self.device = self.bench.device("d")
        self.device.register(f"lwm2m={version}", "lt=300")
        self.device.answers[n.PUT, VALUE] = REFUSED
        self.device.answers[n.GET, VALUE] = OBSERVED

    def test_parameters(self) -> None:
        """A device of 1.2 gets all of them in the query of the Observe."""
        self.register("1.2")
        wish, _, operation = self.put(attributes={"pmin": 1, "con": 1, "hqmax": 5})
        self.assertEqual((wish.state, operation.state), ("active", "done"))
        self.assertEqual(self.device.requests[-1].query, ("pmin=1", "con=1", "hqmax=5"))
        numbers = [number for number, _ in self.device.requests[-1].options]
        self.assertEqual(numbers, sorted(numbers))

    def test_older(self) -> None:
        """Of an older one the refusal of the attributes is that of the wish."""
        self.register("1.1")
        wish, _, _ = self.put(attributes={"pmin": 1})
        self.assertEqual((wish.state, wish.error), ("refused", "Method Not Allowed"))

    def test_written_anew(self) -> None:
        """A device that registers may have lost its attributes: they are written once more."""
        self.register("1.1")
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        self.put(attributes={"epmin": 1, "epmax": 60})
        self.device.requests.clear()
        self.device.register("lwm2m=1.1", "lt=300")
        sent = [(message.code, message.query) for message in self.device.requests]
        self.assertEqual(sent, [(n.PUT, ("epmin=1", "epmax=60")), (n.GET, ())])


class TimeTests(Tended):
    """Values keep the times that the device gave them."""

    def test_stored_values(self) -> None:
        """Many records of one notification are told in its order, each with its time; the newest is the known one."""
        wish = self.observed()
        payload = b'[{"bn":"/3303/0/5700","bt":1767225000,"v":20.5},{"t":60,"v":21.5},{"t":120,"v":22.5}]'
        self.device.notify(wish.token, 2, payload, content_format=n.SENML_JSON)
        event = [each for each in self.bench.events if each.type == events.DEVICE_VALUE][-1]
        rows = [(row.value, row.time) for row in event.fields["values"]]  # type: ignore[attr-defined]
        self.assertEqual(rows, [(20.5, 1767225000.0), (21.5, 1767225060.0), (22.5, 1767225120.0)])
        self.assertEqual(self.values()[-3:], [20.5, 21.5, 22.5])

    def test_sequence_wraps(self) -> None:
        """The sequence numbers of RFC 7641 wrap: 16777215 and then 0 is newer, 0 and then 16777215 is not."""
        wish = self.observed()
        token = wish.token
        numbers = (0x800000, 0xFFFFFF, 0, 0xFFFFFF, 1)
        for sequence in numbers:
            self.device.notify(token, sequence, str(sequence).encode(), kind=n.NON)
        self.assertEqual(self.values()[1:], [float(0x800000), float(0xFFFFFF), 0.0, 1.0])


class LossTests(Tended):
    """A network that loses every other datagram."""

    def test_established_at_last(self) -> None:
        """Every wish is established in the end, by few requests, and every value is told once."""
        chance = Random(7)
        self.bench = Bench(ServerSettings(observe_retry=10))
        devices = [self.bench.registered(f"d{number}", number, "lt=864000") for number in range(1, 6)]
        for device in devices:
            hear = device.take

            def lossy(data: bytes, hear: Callable[[bytes], bytes | None] = hear) -> bytes | None:
                return None if chance.random() < 0.5 else hear(data)

            device.take = lossy  # type: ignore[method-assign]
            for path in (VALUE, OTHER):
                device.answers[n.GET, path] = OBSERVED
                request = OperationRequest(op="observe", path=path, timeout=10)
                self.bench.server.observe(device.endpoint, request, self.bench.now)
                self.bench.settle()
        self.bench.advance(3600)
        wishes = list(self.bench.server.observations.values())
        self.assertEqual({wish.state for wish in wishes}, {"active"})
        self.assertLess(sum(len(device.requests) for device in devices), 40)
        told = len(self.values())
        for number in range(20):
            for device in devices:
                self.deliver(device, wishes, number)
        self.assertEqual(len(self.values()) - told, 20 * 5)

    def deliver(self, device: FakeDevice, wishes: list[Observation], number: int) -> None:
        """Send a Confirmable notification again and again, until its acknowledgement has come through."""
        token = next(wish.token for wish in wishes if wish.endpoint == device.endpoint)
        given = options(observe=number + 2, content_format=n.TEXT)
        message = Message(n.CON, n.CONTENT, 5000 + number, token, given, str(number).encode())
        while message.mid not in [each.mid for each in device.heard if each.type == n.ACK and each.code == n.EMPTY]:
            device.send(message)
