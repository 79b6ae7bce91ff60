"""What waits for a device: when it leaves, what is merged with what, how often it is tried, how it is taken back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.server.errors import BadOperation, QueueFull, UnknownDevice
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench

TEXT = Answer(n.CONTENT, b"x", n.TEXT)


class QueueCase(SynchronousTestCase):
    """A device in queue mode, and who asks something of it."""

    settings = ServerSettings(queue_limit=20)

    def setUp(self) -> None:
        self.bench = Bench(self.settings)
        self.device = self.bench.registered("d", 1, "Q")
        self.outcomes: list[bool] = []

    def done(self, ok: bool, now: float) -> None:
        """Take an outcome."""
        self.outcomes.append(ok)

    def read(self, resource: int = 0, **fields: object) -> Operation:
        """Ask to read a resource of the device."""
        return self.bench.submit("d", "read", f"/3/0/{resource}", **fields)

    def write(self, value: str, resource: int = 14, **fields: object) -> Operation:
        """Ask to write a resource of the device."""
        return self.bench.submit("d", "write", f"/3/0/{resource}", value=value, **fields)

    def keep(self, operation: Operation) -> None:
        """Let an operation be stored."""
        self.bench.server.keep(operation, self.bench.now, self.done)
        self.bench.settle()

    def sleep(self) -> None:
        """Let the device fall asleep."""
        self.bench.advance(100)

    def asked(self) -> list[str]:
        """What the device was asked for: paths, and payloads of writes."""
        return ["/" + "/".join(each.path) + each.payload.decode() for each in self.device.requests]

    def states(self, *operations: Operation) -> list[str]:
        """The states of operations."""
        return [each.state for each in operations]


class WhenTests(QueueCase):
    """When a request leaves."""

    def test_now(self) -> None:
        """What is to leave now leaves though the device is asleep, past what waits for it."""
        self.sleep()
        waiting, forced = self.read(0), self.read(1, when="now")
        self.assertEqual((self.states(waiting, forced), self.asked()), (["queued", "sent"], ["/3/0/1"]))
        self.assertEqual(self.bench.server.waiting, 2)
        self.device.reply(TEXT)
        self.assertEqual(self.states(waiting, forced), ["sent", "done"])
        self.assertEqual(self.bench.server.waiting, 1)

    def test_now_unanswered(self) -> None:
        """What was forced and not answered has failed; it does not wait."""
        self.sleep()
        forced = self.read(1, when="now")
        self.bench.advance(93)
        self.assertEqual((forced.state, forced.error), ("failed", "no answer"))

    def test_next_contact(self) -> None:
        """What is for the next contact waits though the device is awake, and lets others pass."""
        later, other = self.read(0, when="next-contact"), self.read(1)
        self.assertEqual(self.states(later, other), ["queued", "sent"])
        self.bench.advance(1)
        self.device.update()
        self.device.reply(TEXT)
        self.assertEqual(self.states(later, other), ["sent", "done"])

    def test_next_contact_plain(self) -> None:
        """Of a device that does not sleep the next contact is its next message, and an answer of it is one."""
        self.bench.registered("p", 2)
        waiting = self.bench.submit("p", "read", "/3/0/0", when="next-contact")
        self.assertEqual(waiting.state, "queued")
        self.bench.advance(10)
        self.bench.submit("p", "read", "/3/0/1")
        self.bench.devices[b"peer-2"].reply(TEXT)
        self.assertEqual(waiting.state, "sent")

    def test_with_each_uplink(self) -> None:
        """The first request leaves in the batch of the answer to an Update, a Register, a notification."""
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"1.5", n.TEXT, observe=1)
        self.bench.server.observe("d", OperationRequest(op="observe", path="/3303/0/5700"), self.bench.now)
        self.bench.settle()
        token = self.device.requests[-1].token
        del self.device.answers[n.GET, "/3303/0/5700"]
        uplinks = (
            self.device.update,
            lambda: self.device.update("lt=400"),
            lambda: self.device.notify(token, 5),
            lambda: self.device.notify(token, 6, kind=n.NON),
        )
        for uplink in uplinks:
            self.sleep()
            operation = self.read(0)
            self.assertEqual(operation.state, "queued")
            uplink()
            self.assertEqual(operation.state, "sent")
            self.device.reply(TEXT)
            self.assertEqual(operation.state, "done")
        self.sleep()
        self.read(0)
        self.device.heard.clear()
        self.device.register("lwm2m=1.1", "lt=300", "Q")
        self.assertEqual([n.dotted(each.code) for each in self.device.heard], ["2.01", "0.01"])

    def test_expires(self) -> None:
        """Each kind of waiting ends with the ttl, which also runs while another request is under way."""
        self.sleep()
        waiting = [self.read(0, ttl=50), self.read(1, when="next-contact", ttl=60), self.read(2)]
        self.bench.advance(55)
        self.assertEqual(self.states(*waiting), ["expired", "queued", "queued"])
        self.bench.advance(10)
        self.assertEqual(self.states(*waiting), ["expired", "expired", "queued"])

    def test_nothing_planned(self) -> None:
        """When nothing waits any more nothing is planned for it."""
        self.sleep()
        self.bench.wanted = False  # nobody hears when it falls asleep
        before = len(self.bench.server._state.deadlines)
        first, second = self.read(0), self.read(1)
        self.assertEqual(len(self.bench.server._state.deadlines), before + 1)
        self.bench.server.cancel(first.id, self.bench.now, self.done)
        self.device.update()
        self.assertEqual((second.state, self.bench.server.devices["d"].queue), ("sent", None))
        self.assertEqual(len(self.bench.server._state.deadlines), before)


class MergingTests(QueueCase):
    """What waits only once."""

    def setUp(self) -> None:
        super().setUp()
        self.sleep()

    def test_same_read(self) -> None:
        """The same read joins the one that waits: both callers have its result; it waits as long as either wants."""
        first = self.read(0, ttl=50)
        self.keep(first)
        self.assertIs(self.read(0, ttl=500), first)
        self.assertIs(self.read(0, ttl=5), first)
        self.bench, _ = self.bench.restart(100)
        [again] = self.bench.server.operations.values()
        self.assertEqual((again.id, again.state), (first.id, "queued"))
        self.device.update()
        self.device.reply(TEXT)
        self.assertEqual((again.state, self.asked()), ("done", ["/3/0/0"]))

    def test_every_kind_of_reading(self) -> None:
        """A discover and a composite read join their like, too."""
        table: tuple[dict[str, object], ...] = (
            {"op": "discover", "path": "/3"},
            {"op": "read-composite", "path": None, "paths": ("/3/0/0", "/1/0/1")},
        )
        for fields in table:
            self.assertIs(self.bench.submit("d", **fields), self.bench.submit("d", **fields), fields)  # type: ignore[arg-type]

    def test_other_reads(self) -> None:
        """A read that asks otherwise, goes otherwise, or has a key stands for itself."""
        self.read(0)
        others: tuple[dict[str, object], ...] = (
            {"format": "tlv"},
            {"when": "next-contact"},
            {"priority": 1},
            {"timeout": 5},
            {"retries": 1},
            {"key": "k"},
            {"force": True},
        )
        found = {self.read(0, **fields).id for fields in others}
        self.assertEqual(len(found), len(others))
        keyed = self.read(1, key="one")
        self.assertIsNot(self.read(1), keyed)

    def test_no_read_across_a_change(self) -> None:
        """A read behind a write or an execute is another one than that before it."""
        for change in (lambda: self.write("+01"), lambda: self.bench.submit("d", "execute", "/3/0/4")):
            first = self.read(0)
            change()
            self.assertIsNot(self.read(0), first)

    def test_sent_is_not_joined(self) -> None:
        """A read that has left is not joined: its answer may be older than the question."""
        first = self.read(0)
        self.device.update()
        self.assertEqual(first.state, "sent")
        self.assertIsNot(self.read(0), first)

    def test_last_write_wins(self) -> None:
        """A write ends the one that waits for the same path, and the device gets the last value only."""
        first, other, last = self.write("+01"), self.write("Europe/Rome", 15), self.write("+02")
        self.assertEqual((first.state, first.error), ("cancelled", "superseded"))
        self.device.answers[n.PUT, "/3/0/14"] = self.device.answers[n.PUT, "/3/0/15"] = Answer(n.CHANGED)
        self.device.update()
        self.assertEqual(self.states(other, last), ["done", "done"])
        self.assertEqual(self.asked(), ["/3/0/15Europe/Rome", "/3/0/14+02"])
        self.assertIn(events.OPERATION_FAILED, self.bench.kinds())

    def test_stored_write_gives_way_to_a_stored_one(self) -> None:
        """What was promised is not lost between two writes: the later one is stored with the end of the earlier."""
        first = self.write("+01")
        self.keep(first)
        last = self.write("+02")
        after, _ = self.bench.restart()
        self.assertEqual(
            self.states(*(after.server.operations[each.id] for each in (first, last))), ["cancelled", "queued"]
        )

    def test_no_write_across_a_dependence(self) -> None:
        """A write does not pass over what may depend on the one before: a read of it, an execute, a delete."""
        between = (
            ("read", "/3/0/14"),
            ("read", "/3/0"),
            ("execute", "/3/0/4"),
            ("delete", "/3303/0"),
            ("create", "/3303"),
            ("write-attributes", "/3/0/14"),
        )
        for op, path in between:
            first = self.write("+01")
            fields = {"attributes": {"pmin": 1}} if op == "write-attributes" else {}
            self.bench.submit("d", op, path, force=True, **fields)
            self.write("+02")
            self.assertEqual(first.state, "queued", op)

    def test_priority(self) -> None:
        """A write of lower priority does not end one of higher priority."""
        first = self.write("+01", priority=1)
        self.write("+02")
        self.assertEqual(first.state, "queued")

    def test_never_merged(self) -> None:
        """Execute, Create and Delete are done as often as they were asked for."""
        for op, path in (("execute", "/3/0/4"), ("create", "/3303"), ("delete", "/3303/0")):
            self.assertIsNot(self.bench.submit("d", op, path), self.bench.submit("d", op, path))

    def test_full(self) -> None:
        """What joins, and what takes another's place, needs no room."""
        for number in range(18):
            self.read(number, force=True)
        first, read = self.write("+01"), self.read(20, force=True)
        with self.assertRaises(QueueFull):
            self.read(21, force=True)
        self.assertIs(self.read(20, force=True), read)
        self.assertEqual((self.write("+02").state, first.state), ("queued", "cancelled"))


class RetryTests(QueueCase):
    """How often a request leaves that nobody answers."""

    def test_sleeper(self) -> None:
        """With retries a sleeper gets a request so many times more; without, for as long as its ttl."""
        some, unbounded = self.read(0, retries=1, timeout=10), self.read(1, timeout=10)
        for _ in range(4):
            self.bench.advance(10)
            self.device.update()
        self.assertEqual((some.state, some.error, unbounded.state), ("failed", "no answer", "sent"))
        self.assertEqual({path: self.asked().count(path) for path in set(self.asked())}.keys(), {"/3/0/0", "/3/0/1"})

    def test_plain(self) -> None:
        """A device that does not sleep gets a request again only where retries are asked for."""
        plain = self.bench.registered("p", 2)
        once = self.bench.submit("p", "read", "/3/0/0", timeout=1)
        self.bench.advance(1)
        twice = self.bench.submit("p", "read", "/3/0/0", timeout=1, retries=1)
        self.bench.advance(1.5)
        self.assertEqual(self.states(once, twice), ["failed", "sent"])
        plain.reply(TEXT)
        self.assertEqual(twice.state, "done")

    def test_refused(self) -> None:
        """Retries of what must happen but once, and absurd ones, are refused."""
        for op, path, retries in (("execute", "/3/0/4", 1), ("create", "/3303", 1), ("read", "/3/0/0", -1)):
            with self.assertRaises(BadOperation) as caught:
                self.bench.submit("d", op, path, retries=retries)
            self.assertEqual(caught.exception.field, "retries")


class CancelTests(QueueCase):
    """All operations of a device, taken back at once."""

    def test_cancel_all(self) -> None:
        """Those that wait and the one under way end; another device's and those of observations go on."""
        other = self.bench.registered("other", 2)
        stays = self.bench.submit("other", "read", "/3/0/0")
        found = [self.read(0), self.read(1), self.write("+01")]
        self.assertEqual(self.bench.server.cancel_all("d", self.bench.now, self.done), 3)
        self.bench.settle()
        self.assertEqual((self.states(*found), self.outcomes), (["cancelled"] * 3, [True]))
        self.assertEqual((stays.state, self.bench.server.devices["d"].queue), ("sent", None))
        self.device.reply(TEXT)
        self.assertEqual(self.states(self.read(2)), ["sent"])
        other.reply(TEXT)
        with self.assertRaises(UnknownDevice):
            self.bench.server.cancel_all("nobody", self.bench.now, self.done)

    def test_wishes_stay(self) -> None:
        """What establishes observations anew is not the operator's operation, and goes on."""
        self.bench.server.observe("d", OperationRequest(op="observe", path="/3303/0/5700"), self.bench.now)
        self.bench.settle()
        self.device.register("lwm2m=1.1", "lt=300", "Q", links="</1/0>,</3/0>")
        self.bench.server.cancel_all("d", self.bench.now, self.done)
        self.bench.settle()
        self.assertEqual(self.device.requests[-1].path, ("3303", "0", "5700"))


class LimitTests(SynchronousTestCase):
    """The bound over all devices."""

    def test_total(self) -> None:
        """When so many wait for all devices together more are refused; an end makes room."""
        bench = Bench(ServerSettings(queue_total=3))
        devices = [bench.registered(f"d{number}", number) for number in range(4)]
        for number in range(3):
            bench.submit(f"d{number}", "read", "/3/0/0")
        with self.assertRaises(QueueFull):
            bench.submit("d3", "read", "/3/0/0")
        devices[0].reply(TEXT)
        self.assertEqual(bench.submit("d3", "read", "/3/0/0").state, "sent")
