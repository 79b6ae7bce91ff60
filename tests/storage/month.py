"""A month of a fleet's traffic in virtual time, on a real database: ``python -m tests.storage.month [DEVICES]``.

RULES: a whole node, its SQLite storage worked on the test's thread, a clock of the test. Each device Updates hourly,
notifies a value every ten minutes, is asked for something a few times a day, and one day in twenty is away until its
registration has expired. After each day the size of the database's files is taken. Once there is as much as is kept
(`[history] retention`, `[storage] events`, `[limits] operations-kept`) it must not grow any more.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.config import Settings
from lwm2md.net.addresses import Endpoint, pack, prefix
from lwm2md.net.port import Batch
from lwm2md.node import Node
from lwm2md.server.records import OperationRequest
from lwm2md.storage._database import Database
from lwm2md.storage.interface import LAST, Place, Rows, Samples, StorageError
from lwm2md.storage.interface import Batch as Rows_

START = 1_767_225_600.0
DAY, HOUR, STEP = 86400, 3600, 600
LINKS = "</1/0>,</3/0>,</4/0>,</5/0>,</3303/0>,</3303/1>"
OBSERVED = "/3303/0/5700"
LIFETIME = 2 * HOUR
GROWTH = 1.05
"""What may be added after everything that is kept was there once: where pages lie, and how the days differ."""
_SERVER = Endpoint("127.0.0.1", 5683)
_T = TypeVar("_T")


class Inline:
    """The database of the SQLite storage, answered at once, and not synced: only its size is looked at."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def open(self) -> Deferred[None]:
        """See `Storage.open`."""

        def ready() -> None:
            self.database.open()
            self.database._opened().execute("PRAGMA synchronous = OFF")

        return self._answer(ready)

    def close(self) -> Deferred[None]:
        """See `Storage.close`."""
        return self._answer(self.database.close)

    def commit(self, batch: Rows_) -> Deferred[bool]:
        """See `Storage.commit`."""
        return self._answer(lambda: self.database.commit(batch))

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """See `Storage.get`."""
        return self._answer(lambda: self.database.get(table, key))

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """See `Storage.scan`."""
        return self._answer(lambda: self.database.scan(table, after, limit))

    def read(self, log: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """See `Storage.read`."""
        return self._answer(lambda: self.database.read(log, after, limit))

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """See `Storage.trim`."""
        return self._answer(lambda: self.database.trim(log, keep))

    def names(self, owner: str, start: str = "", end: str = LAST, limit: int = 1000) -> Deferred[list[str]]:
        """See `Storage.names`."""
        return self._answer(lambda: self.database.names(owner, start, end, limit))

    def samples(self, owner: str, name: str, start: int, end: int, limit: int = 1000) -> Deferred[Samples]:
        """See `Storage.samples`."""
        return self._answer(lambda: self.database.samples((owner, name), start, end, limit))

    def thin(self, after: Place, before: int, keep: int, limit: int = 1000) -> Deferred[tuple[Place, int]]:
        """See `Storage.thin`."""
        return self._answer(lambda: self.database.thin(after, before, keep, limit))

    def _answer(self, work: Callable[[], _T]) -> Deferred[_T]:
        try:
            return succeed(work())
        except StorageError as error:
            return fail(error)


@attrs.define(eq=False)
class Thing:
    """A device: its address, its registration, the token of its observation, and until when it is away."""

    endpoint: str
    peer: bytes
    location: str = ""
    token: bytes = b""
    mid: int = 0
    sequence: int = 1
    away: float = 0.0

    def next_mid(self) -> int:
        """A message ID that was not used lately."""
        self.mid = (self.mid + 1) & 0xFFFF
        return self.mid


class Month:
    """The node and its fleet. As a `DatagramPort` it is the network between them."""

    batched = False
    on_unreachable: Callable[[bytes], None] | None = None

    def __init__(self, folder: Path, settings: Settings, devices: int, events: int, seed: int = 7) -> None:
        self.folder = folder
        self.local, self.prefix = _SERVER, prefix(_SERVER)
        self.counters = {"received": 0, "sent": 0}
        self.clock = Clock()
        self.clock.rightNow = START
        self.chance = Random(seed)
        quiet = attrs.evolve(
            settings,
            coap=attrs.evolve(settings.coap, listen=()),
            api=attrs.evolve(settings.api, listen=()),
            limits=attrs.evolve(settings.limits, operations_kept=4 * devices),
            storage=attrs.evolve(settings.storage, flush_interval=float(HOUR), events=events),
        )
        self.storage = Inline(folder / "lwm2md.sqlite")
        self.node = Node(quiet, self.storage, "token", self.clock)
        self.node._ports.append(self)
        self.fleet = {}
        for number in range(devices):
            peer = pack(_SERVER, Endpoint(f"10.0.{number >> 8}.{number & 255}", 5683))
            self.fleet[peer] = Thing(f"thing-{number:05d}", peer)
        self._receive: Callable[[Batch], None]
        ensureDeferred(self.node.start())
        while not self.node.ready:  # the fleet is taken up a part at a time
            self.clock.advance(0.0)

    def days(self, count: int) -> Iterator[tuple[int, int]]:
        """Let days pass; after each the bytes of the database, and those of its write-ahead log."""
        connection = self.storage.database._opened()
        for _ in range(count):
            for _ in range(DAY // STEP):
                self._step()
            pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            yield pages * size, (self.folder / "lwm2md.sqlite-wal").stat().st_size

    def stop(self) -> None:
        """End the node."""
        ensureDeferred(self.node.stop())

    # The network

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Take what the node does with datagrams."""
        self._receive = receive

    def close(self) -> None:
        """Nothing is open."""

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Let devices have what is for them; their answers come in a moment."""
        answers = []
        for data, peer in datagrams:
            device = self.fleet[peer]
            if device.away <= self.clock.seconds():
                answers += [(answer, peer) for answer in self._answer(device, decode(data))]
        if answers:
            self.clock.callLater(0.1, self._receive, answers)

    # Time

    def _step(self) -> None:
        now = self.clock.seconds()
        batch = [(message, peer) for peer, device in self.fleet.items() for message in self._says(device, now)]
        self._receive(batch)
        for device in self.fleet.values():
            if device.location and self.chance.random() < 4 * STEP / DAY:
                self._ask(device)
        until = now + STEP
        while (calls := self.clock.getDelayedCalls()) and (due := min(each.getTime() for each in calls)) <= until:
            self.clock.advance(max(0.0, due - self.clock.seconds()))
        self.clock.advance(until - self.clock.seconds())

    def _ask(self, device: Thing) -> None:
        op, path = self.chance.choice((("read", "/3/0/9"), ("write", "/3/0/15"), ("execute", "/3/0/12")))
        value = {"value": "UTC"} if op == "write" else {}
        request = OperationRequest(op=op, path=path, **value)  # type: ignore[arg-type]
        operation = self.node.server.submit(device.endpoint, request, self.clock.seconds())
        self.node.server.keep(operation, self.clock.seconds(), lambda *_: None)
        self.node.settle()

    # Devices

    def _says(self, device: Thing, now: float) -> Iterator[bytes]:
        if device.away > now:
            return
        if self.chance.random() < STEP / DAY / 20:
            device.away, device.location = now + LIFETIME + self.chance.uniform(HOUR, DAY), ""
        elif not device.location:
            query = (f"ep={device.endpoint}", f"lt={LIFETIME}", "lwm2m=1.1")
            yield self._post(device, ("rd",), LINKS.encode(), query)
        else:
            if now % HOUR == 0:
                yield self._post(device, ("rd", device.location))
            if device.token:
                device.sequence = (device.sequence + 1) & 0xFFFFFF
                given = options(observe=device.sequence, content_format=n.TEXT)
                yield encode(Message(n.CON, n.CONTENT, device.next_mid(), device.token, given, self._value()))

    def _post(self, device: Thing, path: tuple[str, ...], payload: bytes = b"", query: tuple[str, ...] = ()) -> bytes:
        fields = options(path=path, query=query, content_format=n.LINK_FORMAT if payload else None)
        return encode(Message(n.CON, n.POST, device.next_mid(), b"post", fields, payload))

    def _answer(self, device: Thing, message: Message) -> Iterator[bytes]:
        if message.code == n.CREATED:
            device.location, device.token = message.location[1], b""
            self._observe(device)
        elif message.code == n.NOT_FOUND:
            device.location = ""
        elif message.code == n.GET:
            observed = message.observe == 0
            if observed:
                device.token = message.token
            given = options(observe=device.sequence if observed else None, content_format=n.TEXT)
            yield encode(Message(n.ACK, n.CONTENT, message.mid, message.token, given, self._value()))
        elif n.is_request(message.code):
            yield encode(Message(n.ACK, n.CHANGED, message.mid, message.token, (), b""))

    def _observe(self, device: Thing) -> None:
        """The operator's wish, once; it is established anew whenever the device comes back."""
        server, now = self.node.server, self.clock.seconds()
        known = server.devices.get(device.endpoint)
        if known is not None and not known.observations:
            server.observe(device.endpoint, OperationRequest(op="observe", path=OBSERVED), now)

    def _value(self) -> bytes:
        return f"{self.chance.uniform(15, 25):.2f}".encode()


def main() -> None:
    """Spend a month, and print the size of the database after each day."""
    devices = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory(prefix="lwm2md-month-") as folder:
        month = Month(Path(folder), Settings(), devices, 500 * devices)
        sizes = []
        for day, (size, log) in enumerate(month.days(30), 1):
            sizes.append(size)
            counters = month.node.delivery.counters
            sys.stdout.write(
                f"day {day}: {size / 1e6:.1f} MB, write-ahead log {log / 1e6:.1f} MB; so far"
                f" {counters['events_stored']:,} events, {counters['values_stored']:,} values\n"
            )
            sys.stdout.flush()
        month.stop()
    kept, later = max(sizes[8:12]), max(sizes[12:])
    sys.stdout.write(f"{devices} devices: {kept / 1e6:.1f} MB once all is kept, {later / 1e6:.1f} MB at most later\n")
    sys.exit(1 if later > GROWTH * kept else 0)


if __name__ == "__main__":
    main()
