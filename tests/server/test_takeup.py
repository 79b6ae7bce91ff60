"""Tests of lwm2md.server.takeup: what is answered while a fleet is read back, and what waits until it is there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.server import stored
from lwm2md.server.restoring import FLEET, RESTORED
from lwm2md.server.takeup import FETCHED
from lwm2md.server.templates import Template, TemplateWish, WishAttributes
from lwm2md.server.whereabouts import GROUP
from tests.server.fixtures import Answer, Bench, FakeDevice, peer

DEVICES = GROUP + 8


class TakeUpTests(SynchronousTestCase):
    """A server that starts on a fleet; a row at a time is read back."""

    def setUp(self) -> None:
        """Register a fleet, let each have an observation, and begin another start on it."""
        self.before = Bench()
        self.fleet = [self.before.registered(f"d{number:02}", number + 1) for number in range(DEVICES)]
        self.before.server.start(self.before.now)
        for device in self.fleet:
            device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"21.5", n.TEXT, observe=1)
            self.before.submit(device.endpoint, "observe", "/3303/0/5700")
            device.update()
        self.before.advance(5)
        self.bench = self._started()
        self.fetching: list[tuple[str, str]] = []
        self.bench.server.take_up.fetch = lambda *asked: self.fetching.append(asked)
        self.steps = self._steps()

    def _started(self) -> Bench:
        """A server that knows which registrations there are, and nothing else."""
        bench = Bench(self.before.settings, self.before.tables, self.before.now + 1)
        bench._seed, bench.mids, bench.devices = self.before._seed, self.before.mids, self.before.devices
        for device in bench.devices.values():
            device.bench = bench
            device.replies.clear()
            device.requests.clear()
            device.heard.clear()
        for table in RESTORED:
            if table not in FLEET:
                self.assertEqual(bench.server.restore(table, sorted(bench.tables[table].items()), bench.now), [])
        bench.server.take_up.place(sorted(bench.tables[stored.REGISTRATIONS].items()), bench.now)
        bench.server.take_up.begin()
        return bench

    def _steps(self) -> Iterator[None]:
        """Take up one row after the other, and go on."""
        server = self.bench.server
        for table in FLEET:
            for row in sorted(self.bench.tables[table].items()):
                self.assertEqual(server.restore(table, [row], self.bench.now), [])
                yield
        yield from server.take_up.go_on(self.bench.now)
        server.started(self.bench.now)
        self.bench.tick()

    def finish(self) -> None:
        """Take up all the rest."""
        for _ in self.steps:
            self.bench.settle()

    def fetch(self, *, ok: bool = True) -> None:
        """Read the rows that were asked for."""
        asked, self.fetching[:] = self.fetching[:], []
        take_up = self.bench.server.take_up
        for registration_id, after in asked:
            rows = [row for row in sorted(self.bench.tables[stored.REGISTRATIONS].items()) if row[0] > after][:GROUP]
            endpoint = take_up.endpoint_of(registration_id, rows)
            for table in FETCHED if ok else ():
                row = self.bench.tables[table].get(endpoint or "")
                if endpoint is not None and row is not None:
                    self.assertEqual(take_up.restore(table, [(endpoint, row)], self.bench.now), [])
            take_up.fetched(registration_id, self.bench.now, ok=ok)
        self.bench.settle()

    def code(self, answer: Message | None) -> int | None:
        """The code of an answer."""
        return None if answer is None else answer.code

    def test_asked(self) -> None:
        """An Update to a registration that is not in memory is answered as soon as its rows were fetched, once."""
        device = self.fleet[7]
        self.assertIsNone(device.update())
        self.assertEqual(self.fetching, [(device.location, "")])
        self.fetch()
        self.assertEqual([each.code for each in device.replies], [n.CHANGED])
        found = self.bench.server.devices["d07"].registration
        assert found is not None
        self.assertEqual((found.peer, found.updated_at), (peer(8), self.bench.now))
        again = device.update()
        self.assertEqual((self.code(again), self.fetching), (n.CHANGED, []))

    def test_at_any_time(self) -> None:
        """Whatever was taken up by then, every Update is answered, and its time and address stay."""
        for number, _ in enumerate(self.steps):
            device = self.fleet[number * 7 % DEVICES]
            self.bench.now += 0.01
            if number % 3 == 0:
                device.move(1000 + number)
            device.replies.clear()
            device.update()
            self.fetch()
            self.assertEqual([each.code for each in device.replies], [n.CHANGED], number)
            found = self.bench.server.devices[device.endpoint].registration
            assert found is not None
            self.assertEqual((found.peer, found.updated_at), (device.peer, self.bench.now))
        self.assertEqual(self.bench.errors, [])
        found_ = {
            each.endpoint: each.registration.peer for each in self.bench.server.devices.values() if each.registration
        }
        self.assertEqual(found_, {each.endpoint: each.peer for each in self.fleet})

    def test_unknown(self) -> None:
        """A registration that storage does not know is refused at once, one whose rows have gone when that is known."""
        device = self.fleet[3]
        del self.bench.tables[stored.REGISTRATIONS]["d03"]
        self.assertIsNone(device.update())
        self.fetch()
        self.assertEqual([each.code for each in device.replies], [n.NOT_FOUND])
        device.location = "nothing"
        self.assertEqual(self.code(device.update()), n.NOT_FOUND)
        self.assertEqual(self.fetching, [])

    def test_storage_fails(self) -> None:
        """Nobody is refused because storage can't be read: it may come again."""
        device = self.fleet[3]
        device.update()
        self.fetch(ok=False)
        self.assertEqual([each.code for each in device.replies], [n.SERVICE_UNAVAILABLE])
        device.replies.clear()
        device.update()
        self.fetch()
        self.assertEqual([each.code for each in device.replies], [n.CHANGED])

    def test_asked_twice(self) -> None:
        """Several requests of a device wait for the same rows."""
        device = self.fleet[5]
        device.update()
        device.move(77)
        device.update()
        self.assertEqual(len(self.fetching), 1)
        self.fetch()
        found = self.bench.server.devices["d05"].registration
        assert found is not None
        self.assertEqual(found.peer, peer(77))

    def test_waits(self) -> None:
        """What depends on more than a registration is decided when everything is there, in its order."""
        one, two, three, new = self.fleet[1], self.fleet[2], self.fleet[3], self.bench.device("new", 99)
        two.update()
        self.fetch()
        two.replies.clear()
        asked = [
            lambda: one.register("lwm2m=1.1", "lt=600"),
            lambda: new.register("lwm2m=1.1", "lt=600"),
            lambda: two.update("lt=900"),
            lambda: two.update("lt=800"),
            three.deregister,
            lambda: self.fleet[4].request(n.POST, "dp", payload=b"[]", content_format=n.SENML_JSON),
        ]
        for request in asked:
            self.assertIsNone(request())
        self.finish()
        self.assertEqual(self.code(one.answer()), n.CREATED)
        self.assertEqual(self.code(new.answer()), n.CREATED)
        self.assertEqual([each.code for each in two.replies], [n.CHANGED, n.CHANGED])
        self.assertEqual(self.code(three.answer()), n.DELETED)
        self.assertEqual(self.code(self.fleet[4].answer()), n.BAD_REQUEST)
        found = self.bench.server.devices["d02"].registration
        assert found is not None
        self.assertEqual(found.lifetime, 800)
        self.assertIsNone(self.bench.server.devices["d03"].registration)
        self.assertEqual(len(self.bench.server.devices), DEVICES + 1)

    def test_notifications(self) -> None:
        """A notification of an observation that is not there yet gets no answer, and its repetition is taken."""
        device = self.fleet[9]
        token = next(each.token for each in self.before.server.observations.values() if each.endpoint == "d09")
        device.notify(token, 5, b"22.5")
        self.assertEqual(device.heard, [])
        self.finish()
        device.notify(token, 5, b"22.5")
        self.assertEqual([each.type for each in device.heard], [n.ACK])

    def test_queued(self) -> None:
        """Requests of the operator that wait leave when everything is there, not before."""
        self.before.now = self.bench.now - 0.5
        sleeper = FakeDevice(self.before, "d99", 50)
        sleeper.register("lwm2m=1.1", "lt=300", "b=UQ")
        self.before.advance(0.1)
        self.before.server.devices["d99"].awake_until = 0.0
        operation = self.before.submit("d99", "read", "/3/0")
        self.before.server.keep(operation, self.before.now, lambda *_: None)
        self.before.settle()
        sleeper.bench = self.bench = self._started()
        self.bench.server.take_up.fetch = lambda *asked: self.fetching.append(asked)
        steps = self._steps()
        for _ in steps:
            sleeper.update()
            self.fetch()
            self.assertEqual(sleeper.requests, [])
        self.assertEqual([each.path for each in sleeper.requests], [("3", "0")])

    def test_expiry(self) -> None:
        """Each registration expires after its lifetime, those that were heard of meanwhile by what they sent."""
        self.fleet[0].update()
        self.fetch()
        self.finish()
        self.bench.advance(290)
        self.fleet[1].update()
        self.bench.advance(100)
        alive = [each.endpoint for each in self.bench.server.devices.values() if each.registration is not None]
        self.assertEqual(alive, ["d01"])


class SliceTests(SynchronousTestCase):
    """A start of a large fleet, between whose steps devices have their turn."""

    def planned(self, before: Bench) -> list[int]:
        """How much is planned before each step of a start on what another server has left."""
        after = Bench(before.settings, before.tables, before.now + 1)
        for table in RESTORED:
            after.server.restore(table, sorted(after.tables[table].items()), after.now)
        deadlines = after.server._state.deadlines
        return [len(deadlines), *(len(deadlines) for _ in after.server.take_up.go_on(after.now))]

    def test_steps(self) -> None:
        """What is planned, and looked for among all devices, is done a thousand devices at a time."""
        before = Bench()
        for number in range(2500):
            before.registered(f"d{number}", number + 1)
        planned = self.planned(before)
        self.assertGreaterEqual(len(planned), 2 * 3)
        self.assertGreaterEqual(planned[-1], 2000)
        self.assertLessEqual(max(now - earlier for earlier, now in pairwise(planned)), 1000)

    def test_wishes(self) -> None:
        """Wishes are watched a thousand at a time, and devices that a template is for are looked at after that."""
        before = Bench()
        wishes = tuple(TemplateWish(path=f"/3/0/{each}", attributes=WishAttributes(pmax=60)) for each in (0, 1, 2))
        before.server.templates.put(Template(name="t", observe=wishes), lambda ok, now: None)
        before.settle()
        for number in range(800):
            device = before.device(f"d{number}", number + 1)
            for wish in wishes:
                device.answers[n.PUT, wish.path or ""] = Answer(n.CHANGED)
                device.answers[n.GET, wish.path or ""] = Answer(n.CONTENT, b"x", n.TEXT, observe=1)
            device.register("lwm2m=1.1", "lt=300")
        planned = self.planned(before)
        self.assertGreaterEqual(planned[-1], 3 * 800)
        self.assertLessEqual(max(now - earlier for earlier, now in pairwise(planned)), 1000)
