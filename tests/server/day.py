"""A day of a fleet of sleeping devices behind NAT, in virtual time: ``python -m tests.server.day [DEVICES]``.

RULES: the devices are our own, the server is the real core with its engine; between them is a network that takes time,
loses datagrams, and is closed to a device in two ways. Its NAT forgets it half a minute after its last datagram, and
gives it another port with the next; and its radio sleeps a while after its last datagram, either way. Operators ask for
things all day. What must hold is counted on both sides and compared at the end.
"""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from lwm2md import events
from lwm2md.device.client import Client
from lwm2md.device.objects import Settings
from lwm2md.device.world import World, stream
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.settings import ServerSettings
from tests.device.harness import known
from tests.server.fixtures import START, Bench

DAY = 86400.0
NAT = 30.0
VERSION = "1.2"
OBSERVED = "/3303/0/5700"
WRITTEN = "/3/0/15"
EXECUTED = "/3/0/12"
COMMANDS = 5
_SERVER = b"server"
_PORTS = 20000


class Sleeper:
    """A device, its radio, and its place behind the NAT."""

    def __init__(self, day: Day, number: int) -> None:
        chance = day.chance
        self.endpoint = f"sleeper-{number:04d}"
        self.listens = chance.uniform(3.0, 120.0)
        self.heard = 0.0
        self.sent = 0.0
        self.port = 0
        self.host = f"10.{number >> 8}.{number & 255}.1"
        self.told = 0
        self.executed = 0
        self.planned: float | None = None
        self.client = Client(
            Settings(self.endpoint, chance.randrange(900, 7200), VERSION, queue=True),
            supported=day.supported,
            server=_SERVER,
            world=World(stream(self.endpoint), chance.uniform(600.0, 3600.0), day.now),
            random=chance.randbytes,
            report=self._report,
            now=day.now,
            on_error=day.errors.append,
        )

    def _report(self, text: str, detail: bool) -> None:
        self.told += text.startswith(f"→ Notify {OBSERVED}")
        self.executed += text.startswith(f"← Execute {EXECUTED}")

    @property
    def address(self) -> bytes:
        """Where the NAT has it now."""
        return f"{self.host}:{_PORTS + self.port}".encode()

    def speaks(self, now: float) -> bytes:
        """It sends something: the radio is on, and the NAT lets something back in for a while."""
        if now - self.sent > NAT:
            self.port += 1
        self.sent = self.heard = now
        return self.address

    def hears(self, target: bytes, now: float) -> bool:
        """Whether a datagram gets through to it."""
        if target != self.address or now - self.sent > NAT or now - self.heard > self.listens:
            return False
        self.heard = now
        return True


class Day(Bench):
    """The server, its fleet, and the network between them."""

    def __init__(self, devices: int, seed: int, loss: float) -> None:
        super().__init__(ServerSettings(flush_interval=3600.0, operations_kept=10**6))
        self.chance = Random(seed)
        self.loss = loss
        self.supported = known(VERSION)
        self.happening: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = 0
        self.lost = Counter[str]()
        self.asked: list[Operation] = []
        self.fleet = [Sleeper(self, number) for number in range(devices)]
        self.places = {sleeper.host: sleeper for sleeper in self.fleet}
        for sleeper in self.fleet:
            self.at(self.now + self.chance.uniform(0, 600), partial(self._switch_on, sleeper))
            for _ in range(COMMANDS):
                self.at(self.now + self.chance.uniform(1000, DAY), partial(self._ask, sleeper))

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self.serial += 1
        heapq.heappush(self.happening, (when, self.serial, action))

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while True:
            dues = [self.engine.next_deadline(), self.server.next_deadline()]
            due = min((each for each in dues if each is not None), default=until)
            when = self.happening[0][0] if self.happening else until
            if min(due, when) >= until:
                break
            self.now = max(self.now, min(due, when))
            if when <= due:
                heapq.heappop(self.happening)[2]()
            else:
                self.tick()
        self.now = until

    # The network

    def _send(self, out: list[tuple[bytes, bytes]]) -> None:
        for data, target in out:
            if self._arrives("down"):
                self.at(self.now + self._delay(), partial(self._down, data, target))

    def _up(self, sleeper: Sleeper, out: list[tuple[bytes, bytes]]) -> None:
        for data, _ in out:
            source = sleeper.speaks(self.now)
            if self._arrives("up"):
                self.at(self.now + self._delay(), partial(self.receive, data, source))
        due = sleeper.client.next_deadline()
        if due is not None and due != sleeper.planned:
            sleeper.planned = due
            self.at(max(due, self.now), partial(self._due, sleeper, due))

    def _down(self, data: bytes, target: bytes) -> None:
        sleeper = self.places[target.decode().partition(":")[0]]
        if sleeper.hears(target, self.now):
            self._up(sleeper, sleeper.client.receive([(data, _SERVER)], self.now))
        else:
            self.lost["deaf"] += 1

    def _due(self, sleeper: Sleeper, planned: float) -> None:
        if sleeper.planned == planned:
            sleeper.planned = None
            self._up(sleeper, sleeper.client.expire(self.now))

    def _arrives(self, way: str) -> bool:
        arrives = self.chance.random() >= self.loss
        self.lost[way] += not arrives
        return arrives

    def _delay(self) -> float:
        return 0.05 + self.chance.expovariate(5.0)

    # What people do

    def _switch_on(self, sleeper: Sleeper) -> None:
        self._up(sleeper, sleeper.client.start(self.now))
        self.at(self.now + 200, partial(self._observe, sleeper))

    def _observe(self, sleeper: Sleeper) -> None:
        request = OperationRequest(op="observe", path=OBSERVED, attributes={"con": True})
        self.server.observe(sleeper.endpoint, request, self.now)
        self.settle()

    def _ask(self, sleeper: Sleeper) -> None:
        """Ask for something at any time, or, as often, while the device may be awake."""
        if sleeper.planned is not None and self.chance.random() < 0.5:
            self.at(sleeper.planned + self.chance.uniform(0.0, 120.0), partial(self._ask_now, sleeper))
        else:
            self._ask_now(sleeper)

    def _ask_now(self, sleeper: Sleeper) -> None:
        chance = self.chance
        op, path = chance.choice((("read", "/3/0/0"), ("read", OBSERVED), ("write", WRITTEN), ("execute", EXECUTED)))
        for _ in range(chance.choice((1, 1, 2))):
            request = OperationRequest(
                op=op,  # type: ignore[arg-type]
                path=path,
                ttl=chance.choice((60.0, 3600.0, DAY)),
                when=chance.choice(("window", "window", "next-contact")),
                **({"value": f"zone {len(self.asked)}"} if op == "write" else {}),  # type: ignore[arg-type]
            )
            operation = self.server.submit(sleeper.endpoint, request, self.now)
            self.server.keep(operation, self.now, lambda *_: None)
            self.asked.append(operation)
        self.settle()

    # What came of it

    def faults(self) -> list[str]:
        """What did not go as it was promised, a line each."""
        found = list(self.errors)
        found += [f"{each.op} of {each.endpoint}: {each.state} {each.error}" for each in self.asked if not _told(each)]
        values = Counter(
            each.endpoint
            for each in self.events
            if each.type == events.DEVICE_VALUE and each.fields["source"] == "observe"
        )
        # The first answer to an Observe is a value that is told, and no notification.
        values.subtract(
            each.endpoint for each in self.server.operations.values() if each.op == "observe" and each.state == "done"
        )
        for sleeper in self.fleet:
            if values[sleeper.endpoint] != sleeper.told:
                found.append(f"{sleeper.endpoint}: {sleeper.told} values told, {values[sleeper.endpoint]} arrived")
        return found

    def executes(self) -> tuple[int, int, int]:
        """How many Executes are known to be done, how many devices have done, and how many may have been done."""
        mine = [each for each in self.asked if each.op == "execute"]
        done = sum(each.state == "done" for each in mine)
        unknown = sum(each.error == "outcome-unknown" for each in mine)
        return done, sum(sleeper.executed for sleeper in self.fleet), done + unknown

    def summary(self) -> str:
        """The day in a line."""
        states = Counter(each.state for each in self.asked)
        told = sum(sleeper.told for sleeper in self.fleet)
        learned = [each.habits.awake for each in self.server.devices.values() if each.habits and each.habits.awake]
        return (
            f"{len(self.fleet)} devices, {told} notifications, operations {dict(states)}, lost {dict(self.lost)}, "
            f"windows learned {len(learned)}, datagrams {dict(self.engine.counters)['received']}"
        )


def _told(operation: Operation) -> bool:
    """Whether an operation ended as was promised: delivered, expired in its time, or given way to another."""
    if operation.state == "expired":
        return operation.ended is not None and operation.ended >= operation.expires
    if operation.state == "failed":
        return operation.op == "execute" and operation.error == "outcome-unknown"
    return operation.state == "done" or operation.error == "superseded"


def spend(devices: int, *, seed: int = 6, loss: float = 0.01) -> Day:
    """Let a day pass, and the time in which what was asked late expires."""
    day = Day(devices, seed, loss)
    day.run(START + 2 * DAY + 600)
    return day


if __name__ == "__main__":
    finished = spend(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    sys.stdout.write(f"{finished.summary()}\n")
    for fault in finished.faults():
        sys.stdout.write(f"{fault}\n")
    sys.exit(1 if finished.faults() else 0)
