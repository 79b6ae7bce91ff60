"""Tests of lwm2md.server.folding: many wishes, few places, one composite observation that carries what is beyond."""

from __future__ import annotations

import json

from lwm2md.coap import numbers as n
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import Operation
from lwm2md.server.settings import ServerSettings
from lwm2md.server.tending import SLACK
from lwm2md.server.wish import Fold, Observation
from tests.server.fixtures import Answer, Bench
from tests.server.test_observing import OBSERVED, VALUE, Base
from tests.server.test_profiling import definition

SECOND, THIRD, FOURTH = "/3303/0/5601", "/3303/0/5602", "/3303/0/5603"
ALL = (VALUE, SECOND, THIRD, FOURTH)


def senml(*paths: str, value: float = 1.5) -> bytes:
    """A SenML JSON pack with one value for each path."""
    return json.dumps([{"n": path, "v": value} for path in paths]).encode()


class Folded(Base):
    """A device that keeps two observations, and takes composite operations."""

    def setUp(self) -> None:
        super().setUp()
        self.bench = Bench(ServerSettings(observations_per_device=8))
        self.device = self.bench.registered()
        self.able(composite=True)
        for path in ALL:
            self.device.answers[n.GET, path] = OBSERVED
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, senml(SECOND, THIRD), n.SENML_JSON, 1)

    def able(self, *, observations: int = 2, **said: bool) -> None:
        """Give the device a profile that says how much it keeps, and what it can do."""
        found = definition("small", set={"observations": observations, **said})
        self.bench.server.device_profiles.put(found, self.done)
        self.bench.settle()
        self.bench.server.amend("d", self.bench.now, self.done, profile="small")
        self.bench.advance(1)

    def wish(self, *paths: str) -> list[Observation]:
        """Wish for paths, one after the other, and let what follows from it happen."""
        found = [self.put(path)[0] for path in paths]
        self.bench.advance(1)
        return found

    def fold(self) -> Fold:
        """The one observation that carries others."""
        (found,) = (each for each in self.bench.server.observations.values() if isinstance(each, Fold))
        return found

    def folds(self) -> int:
        """How many observations carry others."""
        return sum(isinstance(each, Fold) for each in self.bench.server.observations.values())

    def states(self, *wishes: Observation) -> list[str]:
        """The states of wishes."""
        return [wish.state for wish in wishes]

    def sent(self) -> list[tuple[int, str, int | None]]:
        """What the device was asked: codes, paths, Observe options."""
        return [(each.code, "/" + "/".join(each.path), each.observe) for each in self.device.requests]


class FoldingTests(Folded):
    """What is carried, and by what."""

    def test_beyond_the_budget(self) -> None:
        """The first wish stays by itself; the second makes room and shares the last place with those that follow."""
        wishes = self.wish(VALUE, SECOND, THIRD)
        self.assertEqual(self.states(*wishes), ["active", "folded", "folded"])
        self.assertEqual([str(path) for path in self.fold().paths], [SECOND, THIRD])
        expected = [(n.GET, VALUE, 0), (n.GET, SECOND, 0), (n.GET, SECOND, 1), (n.FETCH, "/", 0)]
        self.assertEqual(self.sent(), expected)
        self.assertEqual(wishes[2].error, None)

    def test_silent(self) -> None:
        """Where one that is carried has a ``pmax`` and nothing comes in time, all are asked for anew."""
        for path in (SECOND, THIRD):
            self.device.answers[n.PUT, path] = Answer(n.CHANGED)
        self.wish(VALUE)
        self.put(SECOND, attributes={"pmax": 20})
        self.put(THIRD, attributes={"pmax": 40})
        self.bench.advance(1)
        self.device.requests.clear()
        self.bench.advance(2 * 40 + SLACK - 2)
        self.assertEqual(self.sent(), [])
        self.bench.advance(2)
        self.assertEqual(self.sent(), [(n.FETCH, "/", 0)])
        self.assertEqual(self.bench.server.counters["observations_silent"], 1)
        self.device.notify(self.fold().token, 2, senml(SECOND, THIRD), content_format=n.SENML_JSON)
        self.bench.advance(2 * 40 + SLACK - 2)
        self.assertEqual(len(self.sent()), 1)

    def test_within_the_budget(self) -> None:
        """As long as each wish has a place of its own nothing is carried."""
        wishes = self.wish(VALUE, SECOND)
        self.assertEqual((self.states(*wishes), self.folds()), (["active", "active"], 0))

    def test_unable(self) -> None:
        """Of a device that is not known to take composite operations nothing is carried."""
        for said in ({}, {"composite": False}, {"composite": True, "fetch": False}):
            self.able(**said)
            wishes = self.wish(VALUE, SECOND, THIRD)
            self.assertEqual((self.states(*wishes), self.folds()), (["active", "active", "waiting"], 0))

    def test_values(self) -> None:
        """A notification of all paths is told as values, and counted for each wish that is carried."""
        wishes = self.wish(VALUE, SECOND, THIRD)
        before = len(self.values())
        payload = senml(SECOND, THIRD, value=7.25)
        self.device.notify(self.fold().token, 5, payload, content_format=n.SENML_JSON)
        self.assertEqual(self.values()[before:], [7.25, 7.25])
        self.assertEqual([wish.notifications for wish in wishes], [0, 1, 1])
        self.assertEqual(wishes[1].last_notification, self.bench.now)

    def test_one_more(self) -> None:
        """Another wish joins with the same token: the device replaces what it observes, and needs no other place."""
        wishes = self.wish(VALUE, SECOND, THIRD)
        token = self.fold().token
        more = self.wish(FOURTH)
        self.assertEqual(self.states(*wishes, *more), ["active", "folded", "folded", "folded"])
        self.assertEqual([str(path) for path in self.fold().paths], [SECOND, THIRD, FOURTH])
        self.assertEqual((self.fold().token, self.device.requests[-1].token), (token, token))
        self.assertEqual(sum(code == n.FETCH for code, _, _ in self.sent()), 2)

    def test_attributes(self) -> None:
        """The attributes of what is carried are at the device before the observation is."""
        self.device.answers[n.PUT, THIRD] = Answer(n.CHANGED)
        self.wish(VALUE, SECOND)
        self.put(THIRD, attributes={"pmin": 10})
        self.bench.advance(1)
        written = self.sent().index((n.PUT, THIRD, None))
        self.assertLess(written, self.sent().index((n.FETCH, "/", 0)))
        self.assertEqual(self.device.requests[written].query, ("pmin=10",))

    def test_budget_of_one(self) -> None:
        """A device that keeps a single observation gets one for everything."""
        self.able(observations=1, composite=True)
        wishes = self.wish(VALUE, SECOND, THIRD)
        self.assertEqual(self.states(*wishes), ["folded", "folded", "folded"])
        self.assertEqual([str(path) for path in self.fold().paths], [SECOND, THIRD, VALUE])


class EndTests(Folded):
    """How it ends, and what it outlives."""

    def cancel(self, wish: Observation) -> Operation | None:
        """Cancel a wish, and let what follows from it happen."""
        operation = self.remove(wish)
        self.bench.advance(1)
        return operation

    def test_unfolded(self) -> None:
        """When there is a place for each again each gets its own, never more at once than the device keeps."""
        first, second, third = self.wish(VALUE, SECOND, THIRD)
        self.cancel(first)
        self.assertEqual((self.states(second, third), self.folds()), (["active", "active"], 0))
        self.assertEqual(self.sent()[-3:], [(n.GET, SECOND, 0), (n.FETCH, "/", 1), (n.GET, THIRD, 0)])

    def test_one_less(self) -> None:
        """A wish that is carried is taken out of the observation that carries it; nothing else is told of it."""
        _, second, third, fourth = self.wish(VALUE, SECOND, THIRD, FOURTH)
        operation = self.cancel(third)
        self.assertIsNone(operation)
        self.assertEqual((self.states(second, fourth), self.folds()), (["folded", "folded"], 1))
        self.assertEqual([str(path) for path in self.fold().paths], [SECOND, FOURTH])

    def test_first_ends(self) -> None:
        """Where the one that stood by itself ends, the next oldest stands by itself."""
        first, second, third, fourth = self.wish(*ALL)
        self.cancel(first)
        self.assertEqual(self.states(second, third, fourth), ["active", "folded", "folded"])
        self.assertEqual([str(path) for path in self.fold().paths], [THIRD, FOURTH])

    def test_not_cancelled_by_hand(self) -> None:
        """The operator can't end what carries others; ending those ends it."""
        self.wish(VALUE, SECOND, THIRD)
        with self.assertRaises(BadOperation):
            self.remove(self.fold())

    def test_registers_anew(self) -> None:
        """After a Register the same wishes have the same places."""
        wishes = self.wish(VALUE, SECOND, THIRD)
        token = self.fold().token
        self.device.requests.clear()
        self.device.register("lwm2m=1.1", "lt=300")
        self.bench.advance(1)
        self.assertEqual(self.states(*wishes), ["active", "folded", "folded"])
        self.assertEqual(self.sent(), [(n.GET, VALUE, 0), (n.FETCH, "/", 0)])
        self.assertEqual(self.fold().token, token)

    def test_restart(self) -> None:
        """After a restart of the daemon everything goes on, and nothing is asked."""
        self.wish(VALUE, SECOND, THIRD)
        token = self.fold().token
        self.device.requests.clear()
        self.bench, faults = self.bench.restart()
        self.bench.advance(1)
        self.assertEqual((faults, self.device.requests), ([], []))
        self.assertEqual((self.fold().token, self.fold().state), (token, "active"))
        self.device.notify(token, 9, senml(SECOND, THIRD, value=3.0), content_format=n.SENML_JSON)
        self.assertEqual(self.values(), [3.0, 3.0])

    def test_refused(self) -> None:
        """A device that refuses keeps as many as it can, path by path, and is not asked again before it registers."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        wishes = self.wish(VALUE, SECOND, THIRD)
        self.assertEqual((self.states(*wishes), self.folds()), (["active", "active", "waiting"], 0))
        asked = sum(code == n.FETCH for code, _, _ in self.sent())
        self.wish(FOURTH)
        self.bench.advance(100)
        self.assertEqual(sum(code == n.FETCH for code, _, _ in self.sent()), asked)

    def test_nothing_stays(self) -> None:
        """Of a device that is forgotten nothing is remembered that it refused, or had no room for."""
        self.device.answers[n.FETCH, "/"] = Answer(n.METHOD_NOT_ALLOWED)
        self.device.answers[n.GET, FOURTH] = Answer(n.SERVICE_UNAVAILABLE)
        self.wish(VALUE, SECOND, THIRD)
        observations = self.bench.server._observations
        self.assertEqual(observations.folding._unable, {"d"})
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        self.bench.advance(100)
        self.assertEqual((observations.folding._unable, self.bench.tables["findings"]), (set(), {}))

    def test_answered_without_observing(self) -> None:
        """Neither is one that reads but does not observe."""
        self.device.answers[n.FETCH, "/"] = Answer(n.CONTENT, senml(SECOND, THIRD), n.SENML_JSON)
        wishes = self.wish(VALUE, SECOND, THIRD)
        self.assertEqual((self.states(*wishes), self.folds()), (["active", "active", "waiting"], 0))

    def test_not_stored(self) -> None:
        """What can't be stored is tried again after a while."""
        self.wish(VALUE, SECOND)
        third, _, _ = self.put(THIRD)
        self.bench.failing = True
        self.bench.advance(5)
        self.assertEqual((third.state, self.folds()), ("waiting", 0))
        self.bench.failing = False
        self.bench.advance(20)
        self.assertEqual((third.state, self.folds()), ("folded", 1))
