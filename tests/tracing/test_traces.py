"""Tests of lwm2md.tracing.traces, trace and shown: traces from their start to their end."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.effects import Commit
from lwm2md.server.errors import LimitReached
from lwm2md.server.records import Registration
from lwm2md.subscriptions import Delivered
from lwm2md.tracing.ring import Seen
from lwm2md.tracing.shown import document
from lwm2md.tracing.trace import Reader, Trace
from lwm2md.tracing.traces import Asked, Tracing
from tests.tracing.support import answer, peer, register, registration, request, update


class TracingTests(SynchronousTestCase):
    """What is traced on one daemon."""

    def setUp(self) -> None:
        """A daemon's tracing, with two traces at most, and a storage that answers at once."""
        self.rows: dict[str, bytes] = {}
        self.stored = True
        self.identities: dict[bytes, str] = {}
        self.live: dict[str, Registration] = {"a": registration("a", peer())}
        self.count = 0
        self.tracing = self.make()

    def make(self) -> Tracing:
        """Tracing after a start."""
        return Tracing(
            self.live.get, self.identities.get, self.store, self.random, budget=1 << 16, most=2, trace_size=4096
        )

    def random(self, size: int) -> bytes:
        """Bytes that never repeat."""
        self.count += 1
        return self.count.to_bytes(size, "big")

    def store(self, commit: Commit) -> None:
        """Keep rows, or fail."""
        for write in commit.writes if self.stored else ():
            if write.value is None:
                self.rows.pop(write.key, None)
            else:
                self.rows[write.key] = write.value
        if commit.resume is not None:
            commit.resume(self.stored, 0.0)

    def start(self, now: float = 0.0, **asked: object) -> Trace:
        """A new trace."""
        started: list[tuple[Trace, bool]] = []
        body = msgspec.convert({"endpoint": "a", **asked}, Asked)
        self.tracing.start(body, now, lambda trace, committed: started.append((trace, committed)))
        self.assertEqual(started[0][1], self.stored)
        return started[0][0]

    def read(self, trace: Trace, last: str | None = None) -> tuple[Reader, list[Delivered]]:
        """A reader of a trace, and what it gets."""
        got: list[Delivered] = []
        reader = Reader(trace, trace.position(last), got.extend, lambda reason: None)
        reader.go_on()
        return reader, got

    def pass_by(self, count: int = 1, now: float = 1.0) -> None:
        """Let Updates of the device and of another pass by, with their answers."""
        for _ in range(count):
            self.tracing.received([(update(), peer()), (update("other"), peer(port=2))], now)
            self.tracing.sent([(answer(n.CHANGED), peer()), (answer(n.CHANGED), peer(port=2))], now)

    def test_identity(self) -> None:
        """By an identity it records what peers send and get who have proved it, from whatever address."""
        self.identities = {peer(): "key-1", peer(port=7): "key-1", peer(port=2): "key-2"}
        self.tracing = self.make()
        trace = self.start(endpoint=None, identity="key-1")
        self.pass_by()
        self.tracing.received([(b"\xff", peer(port=7)), (b"\xff", peer(port=8))], 2.0)
        self.assertEqual([each.peer for each in trace.recorded], [peer(), peer(), peer(port=7)])
        self.assertEqual(trace.document().identity, "key-1")

    def test_records(self) -> None:
        """It records what is of the device, undecodable datagrams too, and nothing else."""
        trace = self.start()
        self.pass_by()
        self.tracing.received([(b"\xff", peer())], 2.0)
        self.assertEqual([each.peer for each in trace.recorded], [peer()] * 3)
        shown = trace.document()
        self.assertEqual((shown.state, shown.messages, shown.undecodable), ("running", 3, 1))

    def test_time_is_over(self) -> None:
        """It ends when its time is over, is not stored any more, and can still be read."""
        trace = self.start(now=10.0, duration=60)
        self.assertEqual((self.tracing.next_deadline(), len(self.rows)), (70.0, 1))
        self.pass_by()
        self.tracing.expire(69.0)
        self.assertIsNone(trace.reason)
        self.tracing.expire(70.0)
        self.pass_by()
        self.assertEqual((trace.reason, len(trace.recorded)), ("duration", 2))
        self.assertEqual((self.rows, self.tracing.next_deadline()), ({}, None))

    def test_limits(self) -> None:
        """It ends with so many messages, or when its memory is full."""
        few, small = self.start(limit=3), self.start(endpoint=None, address="192.0.2.0/24")
        self.pass_by(30)
        self.assertEqual((few.reason, len(few.recorded)), ("limit", 3))
        self.assertEqual((small.reason, small.size // 4096), ("size", 1))
        self.assertEqual(self.rows, {})

    def test_most(self) -> None:
        """One more takes the place of the oldest that has ended; where all run it is refused."""
        first, second = self.start(limit=1), self.start(limit=1)
        self.assertRaises(LimitReached, self.start)
        self.pass_by()
        third = self.start()
        self.assertNotIn(first.definition.id, self.tracing.traces)
        self.assertEqual(list(self.tracing.traces.values()), [second, third])

    def test_not_stored(self) -> None:
        """A trace that could not be stored is none."""
        self.stored = False
        self.start()
        self.assertEqual((self.tracing.traces, self.tracing.next_deadline()), ({}, None))

    def test_restart(self) -> None:
        """After a restart it goes on until its time is over; what ended meanwhile, or can't be read, is removed."""
        going, over = self.start(duration=100), self.start(duration=10, endpoint=None, address="10.0.0.0/8")
        self.rows["trace:bad"] = b"{"
        self.rows["trace:wrong"] = self.rows[f"trace:{going.definition.id}"].replace(b'"a"', b"null")
        self.tracing = self.make()
        self.tracing.restore([("alive", b"0"), *sorted(self.rows.items())], 50.0)
        self.assertEqual(list(self.tracing.traces), [going.definition.id])
        self.assertEqual(list(self.rows), [f"trace:{going.definition.id}"])
        self.assertNotEqual(over.definition.id, going.definition.id)
        self.pass_by()
        self.assertEqual(len(self.tracing.traces[going.definition.id].recorded), 2)
        self.assertEqual(self.tracing.next_deadline(), 100.0)
        self.flushLoggedErrors()

    def test_removed(self) -> None:
        """A trace that is removed is not stored, records no more, and drops its readers."""
        trace = self.start()
        reader, got = self.read(trace)
        done: list[bool] = []
        self.tracing.remove(trace, lambda committed, now: done.append(committed))
        self.pass_by()
        self.assertEqual((done, self.rows, self.tracing.traces, got), ([True], {}, {}, []))
        self.assertEqual(reader.reason, "deleted")

    def test_reader(self) -> None:
        """A reader gets what was recorded, then what comes, and at the end the trace."""
        trace = self.start(limit=4)
        self.pass_by()
        reader, got = self.read(trace)
        self.pass_by()
        self.assertEqual([each.type for each in got], ["message"] * 4 + ["ended"])
        self.assertEqual(len({each.id for each in got[:4]}), 4)
        self.assertEqual(msgspec.json.decode(got[-1].document)["reason"], "limit")
        self.assertIn("CON POST /rd/", msgspec.json.decode(got[0].document)["line"])
        self.assertEqual((reader.reason, trace.readers), ("ended", []))

    def test_reader_comes_back(self) -> None:
        """One that comes back goes on behind what it has read; with an id of another start it begins anew."""
        trace = self.start()
        self.pass_by(3)
        _, got = self.read(trace)
        self.assertEqual(len(self.read(trace, got[3].id)[1]), 2)
        for odd in ("", "x.3", "3", f"{trace.origin}.x", f"{trace.origin}.{'9' * 5000}", f"{trace.origin}.-1"):
            self.assertEqual(len(self.read(trace, odd)[1]), 6, odd)
        self.assertEqual(self.read(trace, f"{trace.origin}.100")[1], [])

    def test_slow_reader(self) -> None:
        """One that is paused misses nothing, and holds nobody up."""
        trace = self.start(limit=6)
        reader, got = self.read(trace)
        reader.pause()
        self.pass_by(3)
        self.assertEqual((got, trace.reason), ([], "limit"))
        reader.resume()
        self.assertEqual([each.type for each in got], ["message"] * 6 + ["ended"])

    def test_broken_reader(self) -> None:
        """A reader that fails is dropped; the trace and its other readers go on."""
        trace = self.start()

        def fail(events: Sequence[Delivered]) -> None:
            raise RuntimeError("on purpose")

        reasons: list[str] = []
        Reader(trace, 0, fail, reasons.append)
        _, got = self.read(trace)
        self.pass_by()
        self.assertEqual((len(self.flushLoggedErrors(RuntimeError)), reasons), (1, ["failed"]))
        self.assertEqual((len(got), trace.reason), (2, None))

    def test_last(self) -> None:
        """The last messages of a device are there without a trace, their secrets overwritten."""
        self.pass_by()
        self.tracing.sent([(request(n.PUT, "0", "1", "5", body=b"secret"), peer())], 2.0)
        found = self.tracing.last("a", 10)
        self.assertEqual((len(found), found[-1].hidden, b"secret" in found[-1].data), (3, True, False))

    def test_configured(self) -> None:
        """Other limits hold for what comes: the memory of the ring, and the number of traces."""
        self.tracing.configure(budget=0, most=0, trace_size=4096)
        self.pass_by()
        self.assertEqual(self.tracing.last("a", 10), [])
        self.assertRaises(LimitReached, self.start)
        self.assertEqual(self.tracing.counters(), {"messages_bytes": 0, "running": 0})


class DocumentTests(SynchronousTestCase):
    """Datagrams as documents."""

    def test_decoded(self) -> None:
        """A message is shown with all of its parts."""
        shown = document(Seen(0.5, True, register("a"), peer()))
        self.assertEqual((shown.time, shown.direction, shown.peer), ("1970-01-01T00:00:00.5Z", "in", "192.0.2.1:1000"))
        self.assertEqual((shown.type, shown.code, shown.message_id, shown.token), ("CON", "POST", 1, ""))
        self.assertEqual(
            [(each.name, each.value) for each in shown.options][:2], [("Uri-Path", "rd"), ("Uri-Query", "ep=a")]
        )
        self.assertEqual((shown.payload, shown.payload_encoding, shown.error), ("</1/0>", "text", None))
        self.assertEqual(shown.size, len(register("a")))

    def test_binary(self) -> None:
        """A payload that is no text is hex; none is null."""
        shown = document(Seen(0.0, False, answer(n.CONTENT, body=b"\xc8\x00"), peer("::1")))
        self.assertEqual((shown.payload, shown.payload_encoding, shown.peer), ("c800", "hex", "[::1]:1000"))
        self.assertIsNone(document(Seen(0.0, False, answer(n.CHANGED), peer())).payload)

    def test_undecodable(self) -> None:
        """What is no CoAP is shown as hex, with the reason."""
        shown = document(Seen(0.0, True, b"\xff\x00", peer()))
        self.assertEqual((shown.error, shown.payload, shown.type), ("shorter than a header", "ff00", None))
        self.assertEqual(shown.line, "undecodable: shorter than a header: ff00")
        self.assertLess(len(document(Seen(0.0, True, bytes(60000), peer())).line), 700)

    def test_hidden(self) -> None:
        """A secret payload is null."""
        shown = document(Seen(0.0, False, request(n.PUT, "0", body=bytes(5)), peer(), True))
        self.assertEqual((shown.payload, shown.hidden), (None, True))
