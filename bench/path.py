"""Where the microseconds of an Update go: ``python -m bench.path [BATCHES]``.

A node in this process, a thousand registered devices, batches of 64 Updates over loopback. Each step is timed on its
own, in processor time of this thread, on the same datagrams; the medians are printed, per Update. What stands in
parentheses is what a message costs that has to be decoded.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from lwm2md.coap import numbers as n
from lwm2md.coap.interfaces import IncomingRequest
from lwm2md.coap.memory import Replies
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.coap.options import request_fault
from lwm2md.config import Settings
from lwm2md.config.addresses import Address
from lwm2md.net.addresses import Endpoint, pack, unpack
from lwm2md.net.port import BATCH, Batch, DatagramPort
from lwm2md.net.udp import listen
from lwm2md.node import Node
from lwm2md.storage.memory import MemoryStorage

DEVICES = 1000
_CHANGED = b"\x64\x44"  # an acknowledgement with 2.04 and a token of four bytes
LINKS = b"</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>"
reactor: Any = _reactor


class Bench:
    """A node with its devices: one socket, an address of 127.0.0.0/8 for each."""

    def __init__(self, batched: bool) -> None:
        settings = Settings()
        coap = attrs.evolve(settings.coap, listen=(Address("127.0.0.1", 0),), batched=batched)
        api = attrs.evolve(settings.api, listen=())
        self.node = Node(attrs.evolve(settings, coap=coap, api=api), MemoryStorage(), "token", reactor)
        self.devices: DatagramPort = listen(reactor, Endpoint("0.0.0.0", 0), batched=True)
        self.updates: list[tuple[bytes, bytes]] = []
        self.times: dict[str, list[float]] = {}
        self._mid = 2 * DEVICES  # beyond those of the Registers

    async def register(self) -> None:
        """Start the node and register the devices."""
        self.node.bind()
        await self.node.start()
        answers: Batch = []
        self.devices.start(answers.extend)
        server = self.node._ports[0].local
        for number in range(DEVICES):
            local = Endpoint(f"127.1.{number // 250}.{number % 250 + 1}", self.devices.local.port)
            query = (f"ep=bench-{number:06d}", "lt=86400", "lwm2m=1.1")
            fields = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
            message = Message(n.CON, n.POST, number, number.to_bytes(4, "big"), fields, LINKS)
            self.devices.send([(encode(message), pack(local, server))])
            if number % 100 == 99:
                while len(answers) <= number:
                    await _turn()
        for data, peer in answers:
            answer = decode(data)
            local = unpack(peer)[0]
            update = Message(n.CON, n.POST, 0, answer.token, options(path=answer.location))
            self.updates.append((encode(update), pack(local, server)))
        reactor.removeReader(self.devices)
        reactor.removeReader(self.node._ports[0])

    def measure(self, batches: int) -> None:
        """Time every step of that many batches."""
        port: Any = self.node._ports[0]
        replies = Replies(247.0, 145.0, 10_000_000, 128)
        for turn in range(batches):
            self._send(turn * BATCH)
            self._one(port, replies)

    def _one(self, port: Any, replies: Replies) -> None:
        engine, server = self.node.engine, self.node.server
        now = reactor.seconds()
        batch: Batch = []
        self._time("socket in", lambda: port._receive_all(batch))
        found = self._time("find registrations", lambda: server.glance.find_all(batch))
        cut = self._time(
            "cut", lambda: [(peer, data[2:8], subject) for (data, peer), subject in zip(batch, found, strict=True)]
        )
        self._time("find duplicates", lambda: [replies.find(peer, key, now) for peer, key, _ in cut])
        self._time("refresh", lambda: [server.glance.take(subject, peer, now) for peer, _, subject in cut])
        self._time("remember reply", lambda: _remember(replies, cut, now))
        messages = self._time("(decode)", lambda: [decode(data) for data, _ in batch])
        self._time("(check options)", lambda: [request_fault(each.code, each.options) for each in messages])
        self._time("(request object)", lambda: [IncomingRequest(b"", each, now, b"") for each in messages])
        out = self._time("engine, all of it", lambda: engine.receive(batch, now))
        self._time("settle and timers", self.node.settle)
        self._time("socket out", lambda: port.send(out))
        self._empty()

    def _send(self, first: int) -> None:
        self._mid += 1
        chosen = [self.updates[(first + index) % DEVICES] for index in range(BATCH)]
        mid = (self._mid & 0xFFFF).to_bytes(2, "big")
        self.devices.send([(data[:2] + mid + data[4:], peer) for data, peer in chosen])

    def _empty(self) -> None:
        left: Batch = []
        self.devices._receive_all(left)  # type: ignore[attr-defined]
        assert len(left) == BATCH and {data[1] for data, _ in left} == {n.CHANGED}

    def _time(self, step: str, work: Callable[[], Any]) -> Any:
        began = time.thread_time_ns()
        result = work()
        self.times.setdefault(step, []).append((time.thread_time_ns() - began) / 1000 / BATCH)
        return result


def _remember(replies: Replies, cut: list[tuple[bytes, bytes, bytes]], now: float) -> None:
    for peer, key, _ in cut:
        replies.store_response(peer, _CHANGED + key, now)


def _turn() -> Deferred[None]:
    return deferLater(reactor, 0.001, lambda: None)


async def _main(batches: int) -> None:
    columns = []
    for batched in (True, False):
        bench = Bench(batched)
        await bench.register()
        bench.measure(batches)
        columns.append({step: statistics.median(each) for step, each in bench.times.items()})
    print(f"{'microseconds per Update':<28}{'batched':>10}{'fall-back':>10}")
    for step in columns[0]:
        print(f"{step:<28}" + "".join(f"{column[step]:>10.2f}" for column in columns))
    whole = ("socket in", "engine, all of it", "settle and timers", "socket out")
    print(f"{'sum of ' + ', '.join(whole)}:")
    print(" " * 28 + "".join(f"{sum(column[step] for step in whole):>10.2f}" for column in columns))


def _failed(failure: Any) -> None:
    failure.printTraceback(sys.stderr)


def main() -> None:
    """Measure and print."""
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    done = ensureDeferred(_main(batches))
    done.addErrback(_failed)
    done.addCallback(lambda _: os._exit(0) if sys.stdout.flush() is None else None)
    reactor.run()


if __name__ == "__main__":
    main()
