"""Tests of lwm2md.server.refreshes: what is written behind, how evenly, and what is claimed of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.server import refreshes
from lwm2md.server.records import Registration
from lwm2md.server.refreshes import PARTS
from lwm2md.server.registrationrows import refresh_row
from tests.server.fixtures import START, Bench, peer

DEVICES = 60


class RefreshesTests(SynchronousTestCase):
    """A fleet that is refreshed, with a flush interval of 5 s."""

    def setUp(self) -> None:
        """Register the fleet, and start."""
        self.bench = Bench()
        self.fleet = [self.bench.registered(f"d{number}", number + 1) for number in range(DEVICES)]
        self.bench.server.start(self.bench.now)
        self.bench.settle()

    def refresh(self) -> None:
        """Let every device send an Update."""
        for device in self.fleet:
            device.update()

    def stored(self) -> int:
        """How many refreshes are in storage."""
        return len(self.bench.tables["refreshes"])

    def alive(self) -> float:
        """The time until which nothing is missing, as the storage says."""
        return float(self.bench.tables["meta"]["alive"])

    def test_spread(self) -> None:
        """The refreshes of a fleet reach storage bit by bit, and all of them within the flush interval."""
        self.refresh()
        before, steps = 0, []
        for _ in range(PARTS):
            self.bench.advance(5 / PARTS)
            steps.append(self.stored() - before)
            before = self.stored()
        self.assertEqual((sum(steps), max(steps)), (DEVICES, -(-DEVICES // (PARTS - 1))))

    def test_just_missed(self) -> None:
        """A refresh is stored within the flush interval, wherever the sweep is when it comes."""
        for _ in range(2 * PARTS):
            self.bench.advance(5 / PARTS)
            self.refresh()
            self.bench.advance(5)
            self.assertEqual(self.missing(), [])

    def test_claim(self) -> None:
        """The storage says that nothing is missing only when nothing is."""
        for _ in range(40):
            self.bench.advance(1.3)
            self.refresh()
            missing = [each.updated_at for each in self.missing()]
            self.assertLessEqual(self.alive(), min(missing))
        self.assertGreater(self.alive(), self.bench.now - 2 * 5)

    def missing(self) -> list[Registration]:
        """The registrations of which storage does not know the newest refresh."""
        found = [device.registration for device in self.bench.server.devices.values()]
        rows = self.bench.tables["refreshes"]
        return [each for each in found if each is not None and rows.get(each.endpoint) != refresh_row(each)]

    def test_once_a_sweep(self) -> None:
        """However often a device is refreshed, it costs one row a sweep."""
        rows = 0
        for _ in range(100):
            self.bench.advance(0.05)
            self.bench.hold()
            self.refresh()
            self.bench.advance(0.05)
            rows += sum(len([each for each in held.writes if each.table == "refreshes"]) for held in self.bench.held)
            self.bench.release()
        self.assertLessEqual(rows, DEVICES * (10 / (5 * (PARTS - 1) / PARTS) + 1))

    def test_order(self) -> None:
        """In whatever order devices are refreshed, their rows are written in that of their registrations."""
        for device in (*self.fleet[::-7], *self.fleet[::3], *self.fleet):
            device.update()
        rows: list[str] = []
        for _ in range(PARTS):
            self.bench.hold()
            self.bench.advance(5 / PARTS)
            rows += [each.key for held in self.bench.held for each in held.writes if each.table == "refreshes"]
            self.bench.release()
        self.assertEqual(rows, [device.endpoint for device in self.fleet])

    def test_again(self) -> None:
        """A device that went and came back between two sweeps is swept like the others, and once."""
        self.refresh()
        self.bench.advance(5)
        for turn in range(3):
            self.fleet[3].deregister()
            self.bench.advance(5 * (turn % 2))
            self.fleet[3].register("lwm2m=1.1", "lt=300")
            self.bench.advance(1)
            self.refresh()
            self.bench.advance(5)
            self.assertEqual((self.stored(), self.missing()), (DEVICES, []))
        self.assertEqual(len(self.bench.server._registration.lifetimes.refreshes._fleet), DEVICES)

    def test_forgotten(self) -> None:
        """Devices that came, went and were forgotten between two sweeps leave nothing behind."""
        for number in range(3000):
            device = self.bench.registered(f"short{number}", 1000 + number)
            device.deregister()
            self.bench.server.forget(f"short{number}", self.bench.now, lambda *_: None)
            self.bench.settle()
        self.assertLess(len(self.bench.server._registration.lifetimes.refreshes._fleet), 1500)

    def test_moved_first(self) -> None:
        """A changed address does not wait for its turn in a sweep."""
        self.refresh()
        self.bench.advance(0.5)
        self.fleet[7].move(500)
        self.fleet[7].update()
        self.bench.advance(5 / PARTS)
        after, _ = self.bench.restart()
        found = after.server.devices["d7"].registration
        assert found is not None
        self.assertEqual(found.peer, peer(500))

    def test_failure(self) -> None:
        """While storing fails nothing is claimed; afterwards everything comes to be stored."""
        self.refresh()
        self.bench.failing = True
        self.bench.advance(20)
        self.assertEqual((self.stored(), self.alive()), (0, START))
        self.bench.failing = False
        self.bench.advance(5)
        self.assertEqual(self.stored(), DEVICES)

    def test_gone(self) -> None:
        """What ended meanwhile is not written again."""
        self.refresh()
        for device in self.fleet[:30]:
            device.deregister()
        self.bench.advance(5)
        self.assertEqual(self.stored(), DEVICES - 30)

    def test_stop(self) -> None:
        """At the end everything is stored at once."""
        self.bench.advance(1)
        self.refresh()
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        self.assertEqual((self.stored(), self.missing(), self.alive()), (DEVICES, [], self.bench.now))

    def refreshed(self) -> list[int]:
        """How many refreshes each commit that is held has."""
        return [sum(write.table == "refreshes" for write in held.writes) for held in self.bench.held]

    def test_stop_amid_sweep(self) -> None:
        """What a sweep has passed and what is still before it is stored once."""
        self.refresh()
        self.bench.advance(5 / PARTS * 4)
        self.refresh()
        self.bench.hold()
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        self.assertEqual(sum(self.refreshed()), DEVICES)

    def test_stop_part_by_part(self) -> None:
        """A large fleet is stored part by part, and the time until which nothing is missing with the last one."""
        self.patch(refreshes, "_MOST", 30)
        self.refresh()
        self.bench.hold()
        ended: list[bool] = []
        began = self.bench.now
        self.bench.server.stop(began, lambda: ended.append(True))
        self.bench.settle()
        parts = []
        while not ended:
            parts += self.refreshed()
            self.bench.now += 1
            self.bench.release(only=len(self.bench.held))
        self.assertEqual((max(parts), sum(parts), len(self.bench.held)), (30, DEVICES, 0))
        self.assertEqual((self.missing(), self.alive()), ([], began))

    def test_stop_twice(self) -> None:
        """What is refreshed while that goes on is stored as well where it is asked for again; both end together."""
        self.patch(refreshes, "_MOST", 30)
        self.refresh()
        self.bench.hold()
        ended: list[float] = []
        self.bench.server.stop(self.bench.now, lambda: ended.append(self.bench.now))
        self.bench.settle()
        self.bench.release(only=1)
        self.bench.now += 10
        self.refresh()
        self.bench.server.stop(self.bench.now, lambda: ended.append(self.bench.now))
        self.bench.release()
        self.assertEqual(ended, [self.bench.now] * 2)
        self.assertEqual((self.missing(), self.alive()), ([], self.bench.now))

    def test_stop_fails(self) -> None:
        """Where a part can't be stored nothing is claimed, and it ends; asked again everything is stored."""
        self.bench.advance(20)
        claimed = self.alive()
        self.refresh()
        ended: list[bool] = []
        self.bench.failing = True
        self.bench.server.stop(self.bench.now, lambda: ended.append(True))
        self.bench.settle()
        self.bench.failing = False
        self.assertEqual((ended, self.alive()), ([True], claimed))
        self.bench.server.stop(self.bench.now, lambda: ended.append(True))
        self.bench.settle()
        self.assertEqual((ended, self.missing(), self.alive()), ([True, True], [], self.bench.now))
