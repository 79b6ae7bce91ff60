"""A simulated network: two engines, everything that goes wrong between them, and a clock that jumps.

A `Network` loses, repeats, delays and so reorders datagrams, and may move the first node to another address, as NAT
does. A `Node` serves requests and makes them; what must hold for each is noted as it happens, and asked for at the end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sized
from random import Random

from lwm2md.coap import numbers
from lwm2md.coap.engine import Datagram, Engine, IncomingRequest, Limits, Parameters, Received, Response
from lwm2md.coap.message import Message, Options, options

SAFE = (numbers.GET, numbers.FETCH)
# Late copies must not outlive the memory for duplicates, so it has room for all of a scenario.
LIMITS = Limits(reply_tail=65536)


def content(name: str, version: int) -> bytes:
    """Return what a resource holds: `name` ends in its size."""
    return Random(f"{name} {version}").randbytes(int(name.rsplit("-", maxsplit=1)[-1]))


def _nobody(_peer: bytes) -> bool:
    return False


class Node:
    """One engine with a layer above it that remembers what happened; a `wary` one trusts no address."""

    def __init__(self, chance: Random, parameters: Parameters, wary: bool) -> None:
        self.errors: list[str] = []
        trusted = _nobody if wary else None
        self.engine = Engine(self, chance.randbytes, parameters, LIMITS, on_error=self.errors.append, trusted=trusted)
        self.runs: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.late: list[tuple[float, IncomingRequest, Response]] = []
        self.watchers: dict[tuple[bytes, bytes], str] = {}
        self._chance = chance
        self._sequence = 0

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer now or a few seconds later."""
        message = request.message
        name = message.path[0]
        self.runs[name] = self.runs.get(name, 0) + 1
        self.bodies[name] = message.payload
        found = options()
        watcher = request.peer, message.token
        if message.observe == 0:
            self.watchers[watcher] = name
            found = options(observe=self._next())
        elif message.observe == 1:
            self.watchers.pop(watcher, None)
        payload = message.payload if message.code == numbers.FETCH else b""
        if message.code in (numbers.GET, numbers.POST):
            payload = content(name, self.versions.get(name, 0))
        response = Response(numbers.CONTENT if payload else numbers.CHANGED, payload, found)
        if self._chance.random() < 0.2:
            self.late.append((now + self._chance.uniform(0.0, 5.0), request, response))
            self.late.sort(key=lambda entry: entry[0])
            return None
        return response

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Reset whatever nobody waits for."""
        return True

    def answer_late(self, now: float) -> None:
        """Answer what is due."""
        while self.late and self.late[0][0] <= now:
            _, request, response = self.late.pop(0)
            self.engine.respond(request, response, now)

    def change(self, name: str, now: float) -> None:
        """Let a resource have other content, and tell its watchers."""
        self.versions[name] = self.versions.get(name, 0) + 1
        body = content(name, self.versions[name])
        for watcher, watched in list(self.watchers.items()):
            if watched == name:
                response = Response(numbers.CONTENT, body, options(observe=self._next()))
                self._notify(watcher, response, now)

    def _notify(self, watcher: tuple[bytes, bytes], response: Response, now: float) -> None:
        def told(failure: str | None, _: float) -> None:
            if failure is not None:
                self.watchers.pop(watcher, None)

        confirmable = self._chance.random() < 0.5
        self.engine.notify(*watcher, response, confirmable=confirmable, on_result=told, now=now)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def left(self) -> dict[str, int]:
        """Return what the engine still keeps, by part."""
        engine = self.engine
        parts: dict[str, Sized] = {
            "exchanges": engine._exchanges,
            "lanes": engine._exchanges._lanes,
            "requests": engine._requests.asks,
            "observations": engine._requests.observations,
            "pending": engine._serving,
            "assemblies": engine._serving._assemblies,
            "slices": engine._slices,
            "notices": engine._notices._under_way,
        }
        return {name: len(part) for name, part in parts.items() if len(part)}


class Network:
    """Two nodes and what is between them."""

    def __init__(self, chance: Random, parameters: tuple[Parameters, Parameters], loss: float) -> None:
        self.chance = chance
        self.loss = loss
        self.now = 0.0
        wary = chance.random() < 0.2
        self.nodes = Node(chance, parameters[0], wary), Node(chance, parameters[1], wary)
        self.addresses = [b"left", b"right"]
        self.moves = 0
        self._air: list[tuple[float, int, bytes, bytes, bytes]] = []
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def plan(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._serial += 1
        heapq.heappush(self._plans, (when, self._serial, action))

    def move(self) -> None:
        """Give the first node another address; what is under way to the old one is lost."""
        self.moves += 1
        self.addresses[0] = b"left%d" % self.moves

    def run(self) -> None:
        """Let everything happen until nothing is left to happen."""
        while (when := self._next()) is not None:
            self.now = max(self.now, when)
            while self._plans and self._plans[0][0] <= self.now:
                heapq.heappop(self._plans)[2]()
            while self._air and self._air[0][0] <= self.now:
                _, _, data, source, target = heapq.heappop(self._air)
                if target in self.addresses:
                    index = self.addresses.index(target)
                    self._carry(index, self.nodes[index].engine.receive([(data, source)], self.now))
            for index, node in enumerate(self.nodes):
                node.answer_late(self.now)
                self._carry(index, node.engine.take())
                deadline = node.engine.next_deadline()
                if deadline is not None and deadline <= self.now:
                    self._carry(index, node.engine.expire(self.now))

    def _next(self) -> float | None:
        times = [node.engine.next_deadline() for node in self.nodes]
        times += [node.late[0][0] for node in self.nodes if node.late]
        times += [heap[0][0] for heap in (self._air, self._plans) if heap]
        return min([time for time in times if time is not None], default=None)

    def _carry(self, index: int, out: list[Datagram]) -> None:
        chance = self.chance
        for data, target in out:
            for _ in range(2 if chance.random() < 0.1 else 1):
                if chance.random() >= self.loss:
                    self._serial += 1
                    delay = 0.05 + (chance.expovariate(1.0) if chance.random() < 0.1 else 0.0)
                    entry = (self.now + delay, self._serial, data, self.addresses[index], target)
                    heapq.heappush(self._air, entry)


class Request:
    """A request by one node to the other, and what became of it."""

    def __init__(self, network: Network, by: int, code: int, name: str, payload: bytes) -> None:
        self.network = network
        self.by = by
        self.code = code
        self.name = name
        self.payload = payload
        self.outcomes: list[Received | str] = []
        self.notifications: list[tuple[Received, bool]] = []
        self.token = b""
        self.cancelled = 0
        self.wanted: list[Received | str] = []

    @property
    def _engine(self) -> Engine:
        return self.network.nodes[self.by].engine

    @property
    def _options(self) -> Options:
        return options(path=(self.name,), content_format=42 if self.payload else None)

    def send(self, confirmable: bool = True) -> None:
        """Send it."""
        self._engine.request(
            self.network.addresses[1 - self.by],
            self.code,
            self._options,
            self.payload,
            on_outcome=self._outcome,
            confirmable=confirmable,
            now=self.network.now,
        )

    def observe(self) -> None:
        """Send it as an observation."""
        self.token = self._engine.observe(
            self.network.addresses[1 - self.by],
            self.code,
            self._options,
            self.payload,
            on_outcome=self._outcome,
            on_notification=self._notification,
            now=self.network.now,
        )

    def cancel(self) -> None:
        """Cancel the observation, or only forget it while its request is under way."""
        peer = self.network.addresses[1 - self.by]
        try:
            self._engine.cancel(
                peer,
                self.token,
                self.code,
                self._options,
                self.payload,
                on_outcome=lambda result, _: self.wanted.append(result),
                now=self.network.now,
            )
            self.cancelled += 1
        except ValueError:
            self._engine.forget(self.token)

    def _outcome(self, result: Received | str, now: float) -> None:
        self.outcomes.append(result)
        if isinstance(result, Received):
            self._engine.acknowledge(result, now)

    def _notification(self, received: Received, fresh: bool) -> None:
        self.notifications.append((received, fresh))
        self._engine.acknowledge(received, received.now)
