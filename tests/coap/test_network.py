"""Both roles against each other through thousands of seeded scenarios on a bad network."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Parameters, Received
from tests.coap.network import SAFE, Network, Request, content

SCENARIOS = 10_000
SIZES = (0, 1, 15, 16, 17, 64, 200, 500)


class Scenario:
    """What happens under one seed."""

    def __init__(self, seed: int, loss: float | None = None, moving: bool | None = None) -> None:
        chance = Random(seed)
        lossy = chance.choice((0.0, 0.0, 0.05, 0.15, 0.3)) if loss is None else loss
        sizes = [Parameters(block_szx=chance.choice((0, 1, 2, 2, 3, 6))) for _ in range(2)]
        self.seed = seed
        self.network = Network(chance, (sizes[0], sizes[1]), lossy)
        self.requests = [self._request(number, chance) for number in range(chance.randrange(1, 4))]
        self.observations = [self._observation(chance)] if chance.random() < 0.4 else []
        if chance.random() < 0.15 if moving is None else moving:
            self.network.plan(chance.uniform(0.0, 20.0), self.network.move)

    def _request(self, number: int, chance: Random) -> Request:
        code = chance.choice((numbers.GET, numbers.POST, numbers.PUT, numbers.FETCH, numbers.PATCH, numbers.IPATCH))
        size = 0 if code == numbers.GET else chance.choice(SIZES)
        name = f"{number}-{chance.choice(SIZES)}"
        request = Request(self.network, chance.randrange(2), code, name, chance.randbytes(size))
        confirmable = chance.random() < 0.9
        self.network.plan(chance.uniform(0.0, 3.0), lambda: request.send(confirmable))
        return request

    def _observation(self, chance: Random) -> Request:
        by = chance.randrange(2)
        name = f"watched-{chance.choice(SIZES[1:])}"
        request = Request(self.network, by, numbers.GET, name, b"")
        self.network.plan(chance.uniform(0.0, 1.0), request.observe)
        for _ in range(chance.randrange(5)):
            when = chance.uniform(1.0, 20.0)
            self.network.plan(when, lambda: self.network.nodes[1 - by].change(name, self.network.now))
        self.network.plan(chance.uniform(5.0, 30.0), request.cancel)
        return request


class NetworkTests(SynchronousTestCase):
    """What holds on any network."""

    def check(self, scenario: Scenario) -> None:
        """Assert everything that must hold after a scenario."""
        network, seed = scenario.network, scenario.seed
        for node in network.nodes:
            self.assertEqual(node.errors, [], seed)
            self.assertEqual(node.left(), {}, seed)
        for request in scenario.requests:
            self.assertEqual(len(request.outcomes), 1, seed)
            runs = network.nodes[1 - request.by].runs.get(request.name, 0)
            if request.code not in SAFE:
                self.assertLessEqual(runs, 1 + network.moves, seed)
            self.check_body(request, runs, seed)
        for observation in scenario.observations:
            self.assertEqual(len(observation.outcomes), 1, seed)
            self.assertEqual(len(observation.wanted), observation.cancelled, seed)
            self.check_notifications(observation, seed)

    def check_body(self, request: Request, runs: int, seed: int) -> None:
        """Assert that a request and its response arrived as they were sent."""
        node = request.network.nodes[1 - request.by]
        if runs:
            self.assertEqual(node.bodies[request.name], request.payload, seed)
        result = request.outcomes[0]
        if isinstance(result, Received) and numbers.is_success(result.message.code):
            self.assertGreater(runs, 0, seed)
            expected = b""
            if request.code == numbers.FETCH:
                expected = request.payload
            elif request.code in (numbers.GET, numbers.POST):
                expected = content(request.name, 0)
            self.assertEqual(result.message.payload, expected, seed)

    def check_notifications(self, observation: Request, seed: int) -> None:
        """Assert that each notification is whole, and that fresh ones never go back."""
        versions = observation.network.nodes[1 - observation.by].versions.get(observation.name, 0)
        bodies = [content(observation.name, version) for version in range(versions + 1)]
        fresh = [bodies.index(received.message.payload) for received, is_fresh in observation.notifications if is_fresh]
        if int(observation.name.rsplit("-")[-1]) > 2:
            self.assertEqual(fresh, sorted(fresh), seed)

    def test_scenarios(self) -> None:
        """Each request runs at most once and ends once, bodies arrive whole, nothing is raised, nothing is left."""
        answered = total = 0
        for seed in range(SCENARIOS):
            scenario = Scenario(seed)
            scenario.network.run()
            self.check(scenario)
            total += len(scenario.requests)
            answered += sum([isinstance(request.outcomes[0], Received) for request in scenario.requests])
        self.assertGreater(answered, total * 0.85)

    def test_good_network(self) -> None:
        """Where nothing is lost and nobody moves, everything succeeds and the last notification arrives."""
        for seed in range(300):
            scenario = Scenario(seed, loss=0.0, moving=False)
            scenario.network.run()
            self.check(scenario)
            for request in (*scenario.requests, *scenario.observations):
                result = request.outcomes[0]
                assert isinstance(result, Received), (seed, result)
                self.assertTrue(numbers.is_success(result.message.code), seed)
