"""Tests of lwm2md.starting: devices are served while a node reads its fleet back."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lwm2md import starting
from lwm2md.coap import numbers as n
from lwm2md.config import load
from lwm2md.node import Node
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.takeup import FETCHED
from lwm2md.starting import Starting
from lwm2md.storage.interface import LAST, Batch, Rows, StorageError
from lwm2md.storage.memory import MemoryStorage
from tests.test_node import TOKEN, Device


class Slow(MemoryStorage):
    """A storage that reads no devices until it is told to, except one at a time; ``broken`` it does not even that."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Deferred[None] | None = None
        self.broken = False

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return rows, those of devices when it is time."""
        if table != stored.DEVICES or self.waiting is None:
            return super().scan(table, after, limit)
        answer: Deferred[Rows] = Deferred()
        rows = super().scan(table, after, limit)
        self.waiting.addCallback(lambda _: rows.chainDeferred(answer))
        return answer

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """Return a row."""
        return fail(StorageError("broken: on purpose")) if self.broken else super().get(table, key)


class StartingTests(TestCase):
    """A node that starts on the registrations of two devices, on a storage that takes its time."""

    async def begin(self) -> None:
        """Let two devices register, and start again."""
        self.storage = Slow()
        before = self.node()
        await before.start()
        address = before.listeners()[0]["address"]
        self.one, self.two = (Device(self, address) for _ in range(2))
        await self.one.register("one")
        await self.two.register("two")
        await before.stop()
        self.storage.waiting = Deferred()
        self.again = self.node(address)
        self.started = ensureDeferred(self.again.start())

    def node(self, address: str = "127.0.0.1:0") -> Node:
        """A node that has its addresses."""
        node = Node(load(None, [f"coap.listen={address}", "api.listen=127.0.0.1:0"]), self.storage, TOKEN, reactor)
        node.bind()
        return node

    async def finish(self) -> None:
        """Read the rest, and stop."""
        assert self.storage.waiting is not None
        self.storage.waiting.callback(None)
        await self.started
        self.assertTrue(self.again.ready)

    async def test_served(self) -> None:
        """An Update is answered before its device was read with the others, a Register when all were."""
        await self.begin()
        self.assertEqual((await self.one.ask(n.POST, self.one.location)).code, n.CHANGED)
        self.assertEqual((await self.one.ask(n.POST, self.one.location)).code, n.CHANGED)
        self.assertEqual((self.again.ready, [*self.again.server.devices]), (False, ["one"]))
        asked = ensureDeferred(self.two.register("three"))
        await self.finish()
        self.assertEqual((await asked).code, n.CREATED)
        self.assertEqual(sorted(self.again.server.devices), ["one", "three", "two"])
        await self.again.stop()

    async def test_storage_fails(self) -> None:
        """While rows can't be read an Update is answered with 5.03, and taken when they can."""
        await self.begin()
        self.storage.broken = True
        answer = await self.one.ask(n.POST, self.one.location)
        self.assertEqual((answer.code, answer.max_age), (n.SERVICE_UNAVAILABLE, 30))
        self.storage.broken = False
        self.assertEqual((await self.one.ask(n.POST, self.one.location)).code, n.CHANGED)
        await self.finish()
        await self.again.stop()

    async def test_stopped(self) -> None:
        """A node that is stopped meanwhile leaves the storage as it was, but for what it has answered for."""
        await self.begin()
        self.assertEqual((await self.one.ask(n.POST, self.one.location)).code, n.CHANGED)
        kept = await self.storage.scan(stored.META), await self.storage.scan(stored.REGISTRATIONS)
        self.again.abandon()
        assert self.storage.waiting is not None
        self.storage.waiting.callback(None)
        await self.started
        self.assertFalse(self.again.ready)
        await self.again.stop()
        self.storage.waiting = None
        await self.storage.open()
        found = await self.storage.scan(stored.META), await self.storage.scan(stored.REGISTRATIONS)
        self.assertEqual(found, kept)


class SideBySideTests(SynchronousTestCase):
    """A start on tables that have rows of different devices, read a few rows at a time."""

    def taken_up(self, seed: int) -> None:
        """Take up any rows; each is taken up once, in the order of its table, and no device's after those behind it."""
        chance = Random(seed)
        storage, clock = MemoryStorage(), Clock()
        self.patch(starting, "PAGE", chance.choice((1, 2, 3, 7)))
        names = [*(f"d{number:02}" for number in range(28)), LAST, LAST + "d"]  # whatever a device says is its name
        tables = {
            table: [name for name in names if chance.random() < share]
            for table, share in zip(FETCHED, (chance.random(), 1.0, chance.random()), strict=True)
        }
        self.successResultOf(storage.open())
        for table, keys in tables.items():
            self.successResultOf(storage.commit(Batch([Write(table, key, b"") for key in keys])))
        taken: list[tuple[str, str]] = []
        passed: list[str] = []
        most = 3 * len(names) + 3

        class TakesUp:
            """Notes what it is told."""

            def restore(self, table: str, rows: Rows, now: float) -> list[str]:
                """Take rows of a table."""
                test.assertFalse([key for key, _ in rows if passed and key <= passed[-1]])
                taken.extend((table, key) for key, _ in rows)
                return []

            def passed(self, key: str) -> None:
                """Take it that all up to a key were told."""
                assert len(passed) < most, "it does not end"
                told = {table: [each for name, each in taken if name == table] for table in FETCHED}
                test.assertEqual(
                    told, {table: [each for each in keys if each <= key] for table, keys in tables.items()}
                )
                passed.append(key)

            def go_on(self, now: float) -> list[None]:
                """Go on."""
                return []

        test = self
        server = SimpleNamespace(take_up=TakesUp())
        begun = Starting(server, storage, clock, lambda: None)  # type: ignore[arg-type]
        self.successResultOf(ensureDeferred(begun.take_up()))
        self.assertEqual(sorted(taken), sorted((table, key) for table, keys in tables.items() for key in keys))

    def test_order(self) -> None:
        """Whatever tables have rows of a device, they are taken up together."""
        for seed in range(100):
            self.taken_up(seed)
