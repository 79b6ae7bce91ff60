"""Where the microseconds of a notification go: ``python -m bench.notices [TRANSACTIONS]``.

A node in this process, a thousand observed devices, batches of 64 Confirmable notifications over loopback, four of them
a transaction in SQLite, one reader of events by HTTP. The storage is worked on the same thread, so that its share is
seen. Each part is timed in processor time of this thread; the medians are printed, per notification.
"""

from __future__ import annotations

import gc
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import deferLater

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.config import Settings
from lwm2md.config.addresses import Address
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.net.udp import listen
from lwm2md.node import Node
from lwm2md.server.records import OperationRequest
from lwm2md.service import COLLECT
from lwm2md.storage._database import Database
from lwm2md.storage.interface import Batch as Rows
from lwm2md.storage.memory import MemoryStorage

DEVICES = 1000
LINKS = b"</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>"
_VALUE = bytes.fromhex("e816440840358000")  # TLV: Resource 5700, a double that begins so
_PATH = "/3303/0/5700"
_BATCHES = 4
BATCH = 64
"""Datagrams of one batch: less than a turn of the daemon takes, that what answers four fits in a socket."""
_GROUP = _BATCHES * BATCH
"""What a transaction has under load."""
reactor: Any = _reactor


class _Inline(MemoryStorage):
    """A storage in memory whose commits go to a database too, at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.database = Database(folder / "state.db")
        self.database.open()
        self.spent: list[float] = []
        self._trimming = 0

    def commit(self, batch: Rows) -> Deferred[bool]:
        """Write a batch, on this thread."""
        began = time.thread_time_ns()
        done = self.database.commit(batch)
        self.spent.append((time.thread_time_ns() - began + self._trimming) / 1000 / _GROUP)
        self._trimming = 0
        return succeed(done)

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """Remove records here and there; that counts for the next batch."""
        began = time.thread_time_ns()
        self.database.trim(log, keep)
        self._trimming += time.thread_time_ns() - began
        return super().trim(log, keep)


class Bench:
    """A node with its devices: one socket, an address of 127.0.0.0/8 for each."""

    def __init__(self, folder: Path) -> None:
        settings = Settings()
        coap = attrs.evolve(settings.coap, listen=(Address("127.0.0.1", 0),), ack_timeout=60.0)
        api = attrs.evolve(settings.api, listen=(Address("127.0.0.1", 0),))
        self.storage = _Inline(folder)
        self.node = Node(attrs.evolve(settings, coap=coap, api=api), self.storage, "token", reactor)
        self.devices: DatagramPort = listen(reactor, Endpoint("0.0.0.0", 0), batched=True)
        self.answers: Batch = []
        self.tokens: dict[bytes, bytes] = {}
        self.times: dict[str, list[float]] = {}
        self.reader = socket.socket()
        self._turn = 0

    async def prepare(self) -> None:
        """Start the node, register the devices, observe them, read events."""
        self.node.bind()
        await self.node.start()
        self.devices.start(self._answered)
        server = self.node._ports[0].local
        for number in range(DEVICES):
            local = Endpoint(f"127.1.{number // 250}.{number % 250 + 1}", self.devices.local.port)
            query = (f"ep=bench-{number:06d}", "lt=86400", "lwm2m=1.1")
            fields = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
            message = Message(n.CON, n.POST, number, number.to_bytes(4, "big"), fields, LINKS)
            self.devices.send([(encode(message), pack(local, server))])
            if number % 100 == 99:
                await self._registered(number)
        for number in range(DEVICES):
            wish = OperationRequest(op="observe", path=_PATH)
            self.node.server.submit(f"bench-{number:06d}", wish, reactor.seconds())
            self.node.settle()
        await _until(lambda: len(self.tokens) == DEVICES)
        self.reader.connect(("127.0.0.1", self.node._api_ports[0].getHost().port))  # type: ignore[attr-defined]
        self.reader.setblocking(False)
        self.reader.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\n\r\n")
        await _until(lambda: self.node.delivery.readers == 1)
        gc.freeze()
        gc.set_threshold(*COLLECT)  # as the daemon has it
        reactor.removeReader(self.devices)
        reactor.removeReader(self.node._ports[0])

    async def _registered(self, number: int) -> None:
        await _until(lambda: len(self.node.server.devices) > number)

    def _answered(self, batch: Batch) -> None:
        for data, peer in batch:
            message = decode(data)
            if message.code == n.GET:
                self.tokens[message.token] = peer
                given = options(observe=0, content_format=n.TLV)
                answer = Message(n.ACK, n.CONTENT, message.mid, message.token, given, _VALUE + bytes(4))
                self.devices.send([(encode(answer), peer)])

    async def measure(self, batches: int) -> None:
        """Time every part of that many batches."""
        port: Any = self.node._ports[0]
        engine = self.node.engine
        for turn in range(batches):
            for part in range(_BATCHES):
                self._send((turn * _BATCHES + part) * BATCH)
                batch = self._time("socket in", lambda: _received(port))
                out = self._time("engine and decisions", partial(engine.receive, batch, reactor.seconds()))
                assert not out and len(batch) == BATCH
            self._time("storage, events, acknowledgements out", self.node.settle, _GROUP)
            self.times.setdefault("of that: storage", []).append(self.storage.spent[-1])
            began = time.thread_time_ns()
            await _once()
            self.times.setdefault("to the reader", []).append((time.thread_time_ns() - began) / 1000 / _GROUP)
            self._empty()

    def _send(self, first: int) -> None:
        self._turn += 1
        sequence, mid = self._turn + 1, self._turn.to_bytes(2, "big")
        given = encode(Message(n.CON, n.CONTENT, 0, b"", options(observe=sequence, content_format=n.TLV), b"x"))[4:-1]
        value = _VALUE + sequence.to_bytes(4, "big")
        tokens = list(self.tokens)
        chosen = [tokens[(first + index) % DEVICES] for index in range(BATCH)]
        self.devices.send([(b"\x48\x45" + mid + token + given + value, self.tokens[token]) for token in chosen])

    def _empty(self) -> None:
        left: Batch = []
        for _ in range(_BATCHES):
            self.devices._receive_all(left)  # type: ignore[attr-defined]
        assert len(left) == _GROUP and {data[0] for data, _ in left} == {0x60}
        try:
            while self.reader.recv(1 << 20):
                pass
        except BlockingIOError:
            pass

    def _time(self, part: str, work: Callable[[], Any], each: int = BATCH) -> Any:
        began = time.thread_time_ns()
        result = work()
        self.times.setdefault(part, []).append((time.thread_time_ns() - began) / 1000 / each)
        return result


def _received(port: Any) -> Batch:
    batch: Batch = []
    port._receive_all(batch)
    return batch


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await deferLater(reactor, 0.001, lambda: None)


def _once() -> Deferred[None]:
    return deferLater(reactor, 0, lambda: None)


async def _main(batches: int, folder: Path) -> None:
    bench = Bench(folder)
    await bench.prepare()
    await bench.measure(batches)
    # The storage does a part of its work now and then.
    found = {part: statistics.median(each) for part, each in bench.times.items()}
    found["of that: storage"] = statistics.fmean(bench.times["of that: storage"])
    for part, spent in found.items():
        print(f"{part:<40}{spent:>8.2f}")
    print(f"{'sum':<40}{sum(spent for part, spent in found.items() if not part.startswith('of')):>8.2f}")


def _failed(failure: Any) -> None:
    failure.printTraceback(sys.stderr)


def main() -> None:
    """Measure and print."""
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    folder = Path(tempfile.mkdtemp(prefix="lwm2md-bench-"))

    def over(_: object) -> None:
        shutil.rmtree(folder)
        sys.stdout.flush()
        os._exit(0)

    ensureDeferred(_main(batches, folder)).addErrback(_failed).addCallback(over)
    reactor.run()


if __name__ == "__main__":
    main()
