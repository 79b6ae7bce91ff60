"""Two engines on a link that loses, repeats and reorders, under many seeds and in virtual time."""

from __future__ import annotations

import heapq
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, IncomingRequest, Received, Response
from lwm2md.coap.message import Message, options

SCENARIOS = 300
REQUESTS = 6
CLIENT, SERVER = b"client", b"server"


class Counting:
    """A server that answers at once or late, and counts how often it was asked for each thing."""

    def __init__(self, chance: Random) -> None:
        self.engine: Engine | None = None
        self.seen: dict[bytes, int] = {}
        self.observer: IncomingRequest | None = None
        self.later: list[tuple[float, IncomingRequest]] = []
        self._chance = chance

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer with the payload of the request, now or up to five seconds later."""
        body = request.message.payload
        self.seen[body] = self.seen.get(body, 0) + 1
        if request.message.observe == 0:
            self.observer = request
            return Response(numbers.CONTENT, b"0", options(observe=0))
        if self._chance.random() < 0.5:
            self.later.append((now + self._chance.uniform(0.0, 5.0), request))
            return None
        return Response(numbers.CONTENT, body)

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Reset whatever nobody waits for."""
        return True


class Link:
    """The two engines, what is between them, and the time."""

    def __init__(self, seed: int, loss: float) -> None:
        self.chance = Random(seed)
        self.loss = loss
        self.now = 0.0
        self.errors: list[str] = []
        self.handler = Counting(self.chance)
        self.client = Engine(Counting(self.chance), self.chance.randbytes, on_error=self.errors.append)
        self.server = Engine(self.handler, self.chance.randbytes, on_error=self.errors.append)
        self._air: list[tuple[float, int, bytes, bytes]] = []
        self._serial = 0

    def carry(self, out: list[tuple[bytes, bytes]]) -> None:
        """Put datagrams on the air: lost, on time, late, or twice."""
        for data, to in out:
            for _ in range(self.chance.choice((1, 1, 1, 2))):
                if self.chance.random() >= self.loss:
                    self._serial += 1
                    heapq.heappush(self._air, (self.now + self.chance.expovariate(2.0), self._serial, data, to))

    def run(self) -> None:
        """Let everything happen until nothing is left to happen."""
        while True:
            times = [self.client.next_deadline(), self.server.next_deadline()]
            times += [entry[0] for entry in (self._air[:1] + self.handler.later[:1])]
            waiting = [time for time in times if time is not None]
            if not waiting:
                return
            self.now = max(self.now, min(waiting))
            while self._air and self._air[0][0] <= self.now:
                _, _, data, to = heapq.heappop(self._air)
                engine, sender = (self.server, CLIENT) if to == SERVER else (self.client, SERVER)
                self.carry(engine.receive([(data, sender)], self.now))
            for entry in [entry for entry in self.handler.later if entry[0] <= self.now]:
                self.handler.later.remove(entry)
                self.server.respond(entry[1], Response(numbers.CONTENT, entry[1].message.payload), self.now)
            self.carry(self.server.take())
            self.carry(self.client.expire(self.now))
            self.carry(self.server.expire(self.now))
            self.handler.later.sort(key=lambda entry: entry[0])


class LinkTests(SynchronousTestCase):
    """What holds however bad the link is."""

    def requests(self, link: Link) -> dict[bytes, list[Received | str]]:
        """Send a row of requests, let everything happen, return the outcomes of each."""
        outcomes: dict[bytes, list[Received | str]] = {}
        for number in range(REQUESTS):
            body = b"%d" % number
            outcomes[body] = []

            def outcome(result: Received | str, _: float, body: bytes = body) -> None:
                outcomes[body].append(result)

            link.client.request(SERVER, numbers.POST, (), body, on_outcome=outcome, now=0.0)
        link.carry(link.client.take())
        link.run()
        return outcomes

    def test_one_outcome_one_execution(self) -> None:
        """Each request is executed at most once, has one outcome, and a response is that to its own request."""
        answered = 0
        for seed in range(SCENARIOS):
            link = Link(seed, loss=(seed % 5) * 0.15)
            for body, results in self.requests(link).items():
                self.assertEqual(len(results), 1, seed)
                self.assertLessEqual(link.handler.seen.get(body, 0), 1, seed)
                result = results[0]
                if isinstance(result, Received):
                    answered += 1
                    self.assertEqual((result.message.payload, link.handler.seen[body]), (body, 1), seed)
            self.assertEqual(link.errors, [])
            self.assertEqual((len(link.client._exchanges), len(link.server._exchanges)), (0, 0), seed)
            self.assertEqual(len(link.server._serving), 0)
        self.assertGreater(answered, SCENARIOS * REQUESTS * 0.8)

    def test_without_loss_all_succeed(self) -> None:
        """Without loss, however reordered and repeated, each request gets its response."""
        for seed in range(50):
            for results in self.requests(Link(seed, loss=0.0)).values():
                self.assertIsInstance(results[0], Received)

    def test_notifications(self) -> None:
        """The freshest notifications come in rising order, and the last one sent is the last fresh one that arrives."""
        for seed in range(SCENARIOS):
            link = Link(seed, loss=0.1)
            fresh: list[int] = []

            def notified(
                received: Received, is_fresh: bool, fresh: list[int] = fresh, engine: Engine = link.client
            ) -> None:
                engine.acknowledge(received, received.now)
                if is_fresh:
                    fresh.append(int(received.message.payload))

            link.client.observe(SERVER, numbers.GET, on_outcome=lambda *_: None, on_notification=notified, now=0.0)
            link.carry(link.client.take())
            link.run()
            observer = link.handler.observer
            if observer is None:
                continue
            results: list[str | None] = []
            for sequence in range(1, 20):
                response = Response(numbers.CONTENT, b"%d" % sequence, options(observe=sequence))
                link.server.notify(
                    CLIENT,
                    observer.message.token,
                    response,
                    confirmable=sequence % 3 == 1,
                    on_result=lambda result, _, results=results: results.append(result),  # type: ignore[misc]
                    now=link.now,
                )
                link.carry(link.server.take())
                link.now += 0.2
            link.run()
            self.assertEqual(fresh, sorted(set(fresh)), seed)
            if "timeout" not in results and "reset" not in results:
                self.assertEqual(fresh[-1], 19, seed)
            self.assertEqual(link.errors, [])
