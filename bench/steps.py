"""Where the microseconds of a Register and of a waking sleeper go: ``python -m bench.steps [WHAT] [TURNS]``.

``register`` is of devices of which nothing is known, ``back`` of known ones without a registration, ``again`` of those
that have one and say the same, ``anew`` of those that say something else; ``wake`` of sleepers.

A node in this process over a storage that keeps nothing, so that the rest is seen; batches of 64 datagrams over
loopback from one socket, an address of 127.0.0.0/8 for each device. Each part is timed in processor time of this
thread; the medians are printed, per Register, or per Update that is answered together with a command, which is
acknowledged.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from bench import sleepers
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode, options
from lwm2md.config import Settings
from lwm2md.config.addresses import Address
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.net.udp import listen
from lwm2md.node import Node
from lwm2md.service import COLLECT
from lwm2md.storage.interface import Batch as Rows
from lwm2md.storage.memory import MemoryStorage
from lwm2md.subscriptions import Filter

LINKS = b"</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>"
_COMMANDS = 5
BATCH = 64
"""Datagrams of one batch: less than a turn of the daemon takes, that what answers four fits in a socket."""
_GROUP = 4
"""Batches that a transaction has under load."""
_MEMORY_ORDER = 7919
"""Devices come in no order, as in a fleet."""
reactor: Any = _reactor


class _Nothing(MemoryStorage):
    """A storage whose commits go nowhere, at once."""

    def commit(self, batch: Rows) -> Deferred[bool]:
        """Say that it is durable."""
        return succeed(True)


class Bench:
    """A node and the socket of its devices."""

    def __init__(self) -> None:
        settings = Settings()
        coap = attrs.evolve(settings.coap, listen=(Address("127.0.0.1", 0),), ack_timeout=60.0)
        api = attrs.evolve(settings.api, listen=())
        self.storage = _Nothing()
        self.node = Node(attrs.evolve(settings, coap=coap, api=api), self.storage, "token", reactor)
        self.devices: DatagramPort = listen(reactor, Endpoint("0.0.0.0", 0), batched=True)
        self.times: dict[str, list[float]] = {}
        self._turn = 0
        self.node.bind()
        self.server = self.node._ports[0].local

    async def start(self) -> None:
        """Start the node, with a reader of its stored events."""
        await self.node.start()
        self.node.delivery.subscribe(Filter(stored=True), None, lambda _: None)
        reactor.removeReader(self.node._ports[0])
        gc.freeze()
        gc.set_threshold(*COLLECT)  # as the daemon has it

    def local(self, number: int) -> Endpoint:
        """The address of a device."""
        return Endpoint(f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}", self.devices.local.port)

    def register(self, turns: int, what: str) -> None:
        """Let devices register; those that are to come back did so before."""
        self._register(turns, "lt=86400")
        if what == "register":
            return
        if what == "back":
            self._end(turns)
        self.times.clear()
        self._register(turns, "lt=3600" if what == "anew" else "lt=86400")

    def _register(self, turns: int, lifetime: str) -> None:
        self._turn += 1
        numbers = iter(range(turns * _GROUP * BATCH))
        for _ in range(turns):
            for _ in range(_GROUP):
                batch = self._arrived(self._registers(numbers, lifetime))
                self._timed("engine and decisions", partial(self.node.engine.receive, batch, reactor.seconds()))
            self._timed("commit, answers, event", self.node.settle, _GROUP * BATCH)
            answers = [each for _ in range(_GROUP) for each in self._left()]
            assert len(answers) == _GROUP * BATCH and {data[1] for data, _ in answers} == {n.CREATED}

    def _registers(self, numbers: Iterator[int], lifetime: str) -> Batch:
        found = []
        for number in (next(numbers) for _ in range(BATCH)):
            query = (f"ep=bench-{number:06d}", lifetime, "lwm2m=1.1")
            fields = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
            token = bytes((self._turn, *number.to_bytes(3, "big")))
            message = Message(n.CON, n.POST, number & 0xFFFF, token, fields, LINKS)
            found.append((encode(message), pack(self.local(number), self.server)))
        return found

    def _end(self, turns: int) -> None:
        """Let all registrations end."""
        ready = iter(tuple(self.node.server.devices.values()))
        for _ in range(turns * _GROUP):
            batch = []
            for device in islice(ready, BATCH):
                assert device.registration is not None
                fields = options(path=("rd", device.registration.id))
                batch.append((encode(Message(n.CON, n.DELETE, 1, b"gone", fields)), device.registration.peer))
            self.node.engine.receive(batch, reactor.seconds())
            self.node.settle()
            self._left()

    def prepare(self, devices: int) -> None:
        """Fill the storage with sleepers."""
        rows = sleepers.rows(lambda number: pack(self.server, self.local(number)), devices, _COMMANDS, time.time())
        self.storage.open()
        MemoryStorage.commit(self.storage, Rows(tuple(rows)))

    def wake(self, turns: int, devices: int) -> None:
        """Let sleepers wake."""
        engine, port = self.node.engine, self.node._ports[0]
        for turn in range(turns):
            batch = self._arrived(self._updates(turn * BATCH, devices))
            out = self._timed("Update and command", partial(engine.receive, batch, reactor.seconds()))
            self._timed("settle and timers", self.node.settle)
            self._timed("both out", partial(port.send, out))
            left = [each for _ in range(2) for each in self._left()]
            asked = [(data, peer) for data, peer in left if data[1] == n.GET]
            assert len(asked) == BATCH and len(left) == 2 * BATCH
            batch = self._arrived([(b"\x60\x00" + data[2:4], peer) for data, peer in asked], "acknowledgement in")
            self._timed("acknowledgement", partial(engine.receive, batch, reactor.seconds()))
            self._timed("settle and timers", self.node.settle)

    def _updates(self, first: int, devices: int) -> Batch:
        found = []
        for index in range(first, first + BATCH):
            number = index * _MEMORY_ORDER % devices
            message = Message(n.CON, n.POST, 1, b"tokn", options(path=("rd", f"wake{number:06d}")))
            found.append((encode(message), pack(self.local(number), self.server)))
        return found

    def _arrived(self, datagrams: Batch, part: str = "socket in") -> Batch:
        self.devices.send(datagrams)
        batch: Batch = []
        self._timed(part, partial(self.node._ports[0]._receive_all, batch))  # type: ignore[attr-defined]
        assert len(batch) == BATCH
        return batch

    def _left(self) -> Batch:
        left: Batch = []
        self.devices._receive_all(left)  # type: ignore[attr-defined]
        return left

    def _timed(self, part: str, work: Callable[[], Any], each: int = BATCH) -> Any:
        began = time.thread_time_ns()
        result = work()
        self.times.setdefault(part, []).append((time.thread_time_ns() - began) / 1000 / each)
        return result


async def _main(what: str, turns: int) -> None:
    bench = Bench()
    if what == "wake":
        bench.prepare(turns * BATCH)
        await bench.start()
        bench.wake(turns, turns * BATCH)
    else:
        await bench.start()
        bench.register(turns, what)
    found = {part: statistics.median(each) for part, each in bench.times.items()}
    for part, spent in found.items():
        print(f"{part:<28}{spent:>8.2f}")
    print(f"{'sum':<28}{sum(found.values()):>8.2f}")


def _failed(failure: Any) -> None:
    failure.printTraceback(sys.stderr)


def main() -> None:
    """Measure and print."""
    what = sys.argv[1] if len(sys.argv) > 1 else "register"
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    done = ensureDeferred(_main(what, turns)).addErrback(_failed)
    done.addCallback(lambda _: os._exit(0) if sys.stdout.flush() is None else None)
    reactor.run()


if __name__ == "__main__":
    main()
