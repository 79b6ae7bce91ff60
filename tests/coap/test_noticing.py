"""Tests of lwm2md.coap.noticing: notifications that are taken by their bytes, and those that are left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Receipt
from lwm2md.coap.message import Message, Options, decode, encode, options
from lwm2md.coap.numbers import ACK, CON, NON
from tests.coap.support import OTHER, PEER, Bench, ack

Taken = tuple[object, Receipt, int, bytes, bool]


class Base(SynchronousTestCase):
    """An observation, and a layer above that takes what is to be taken, or leaves it, or fails."""

    def setUp(self) -> None:
        self.bench = Bench(notice=self.notice)
        self.taken: list[Taken] = []
        self.subject: object | None = "known"
        self.fails = False
        sent = self.bench.observe()
        self.token = sent.token
        given = options(observe=10, content_format=0)
        self.bench.send(Message(ACK, numbers.CONTENT, sent.mid, sent.token, given, b"1"))

    def notice(
        self,
        subject: object | None,
        receipt: Receipt,
        content_format: int,
        payload: bytes,
        *,
        confirmable: bool,
        now: float,
    ) -> object | None:
        """Take a notification."""
        if self.fails:
            raise RuntimeError("notice")
        if self.subject is not None:
            self.taken.append((subject, receipt, content_format, payload, confirmable))
        return self.subject

    def notify(
        self,
        sequence: int,
        mid: int = 100,
        *,
        kind: int = CON,
        now: float = 1.0,
        peer: bytes = PEER,
        given: Options | None = None,
        payload: bytes = b"x",
    ) -> list[Message]:
        """Send a notification; what is answered."""
        found = options(observe=sequence, content_format=110) if given is None else given
        return self.bench.send(Message(kind, numbers.CONTENT, mid, self.token, found, payload), now, peer)

    def ways(self) -> tuple[int, int]:
        """How many were taken by their bytes, and how many the long way."""
        return len(self.taken), len(self.bench.notifications)


class TakenTests(Base):
    """What the layer above is given, and how it acknowledges that."""

    def test_confirmable(self) -> None:
        """A Confirmable one is given with its receipt, and acknowledged by that; then it is a duplicate."""
        for sequence in (11, 300, 70_000):
            mid = 100 + sequence % 7
            self.assertEqual(self.notify(sequence, mid, now=float(sequence)), [])
            subject, receipt, content_format, payload, confirmable = self.taken[-1]
            self.assertEqual((content_format, payload, confirmable), (110, b"x", True))
            self.assertEqual(subject, None if sequence == 11 else "known")
            self.bench.engine.acknowledge_all([receipt], float(sequence))
            self.assertEqual(self.bench.sent(), Message(ACK, 0, mid))
            self.assertEqual(self.notify(sequence, mid, now=float(sequence)), [Message(ACK, 0, mid)])
        self.assertEqual(self.ways(), (3, 0))
        counters = self.bench.engine.counters
        self.assertEqual((counters["notifications"], counters["duplicates"]), (3, 3))

    def test_non_confirmable(self) -> None:
        """A Non-confirmable one is given once, and nothing is answered."""
        for _ in range(2):
            self.assertEqual(self.notify(11, kind=NON), [])
        self.assertEqual((self.ways(), self.taken[0][4]), ((1, 0), False))

    def test_together(self) -> None:
        """Several are acknowledged in one call, each where it came from; what is unknown by then is no error."""
        self.notify(11, 100)
        self.notify(12, 101, peer=OTHER)
        self.bench.engine.forget(self.token)
        self.bench.engine.acknowledge_all([each[1] for each in self.taken], 2.0)
        out = self.bench.engine.take()
        self.assertEqual(out, [(encode(Message(ACK, 0, 100)), PEER), (encode(Message(ACK, 0, 101)), OTHER)])

    def test_failing(self) -> None:
        """An exception is reported; the notification is not acknowledged, and taken when it comes again."""
        self.fails = True
        self.assertEqual(self.notify(11), [])
        self.assertIn("RuntimeError: notice", self.bench.errors[0])
        self.fails = False
        self.notify(11)
        self.assertEqual(self.ways(), (1, 0))


class LeftTests(Base):
    """What goes the long way, as if nothing had looked at it before."""

    def test_left(self) -> None:
        """What the layer above leaves is decoded, and it is told as ever."""
        self.subject = None
        self.assertEqual(self.notify(11), [Message(ACK, 0, 100)])
        self.assertEqual((self.ways(), self.bench.notifications[0][1]), ((0, 1), True))
        self.assertEqual(self.bench.engine.counters["notifications"], 1)

    def test_fresh_for(self) -> None:
        """What says how long it is fresh goes the long way: the layer above looks at that."""
        given = options(observe=11, content_format=110, max_age=60)
        self.notify(11, given=given)
        self.assertEqual(self.ways(), (0, 1))
        self.assertEqual(self.bench.notifications[0][0].message.max_age, 60)

    def test_old(self) -> None:
        """An older one is not given to it; a newer one is, by its number or after 128 s (RFC 7641 3.4)."""
        self.notify(20, 100, kind=NON)
        self.notify(19, 101, kind=NON, now=2.0)
        self.notify(20, 102, kind=NON, now=2.0)
        self.assertEqual((self.ways(), [fresh for _, fresh in self.bench.notifications]), ((1, 2), [False, False]))
        self.notify(5, 103, kind=NON, now=130.0)
        self.assertEqual(self.ways(), (2, 2))

    def test_overtaken(self) -> None:
        """One that is not acknowledged yet is an old one when it comes again behind a newer one."""
        self.bench.acknowledge = False
        self.notify(11, 100)
        self.notify(12, 101, kind=NON)
        self.notify(11, 100)
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [False])

    def test_again(self) -> None:
        """One that is not acknowledged yet comes again the long way, as fresh as it was."""
        self.bench.acknowledge = False
        self.notify(11)
        self.notify(11)
        self.assertEqual((self.ways(), self.bench.notifications[0][1]), ((1, 1), True))

    def test_others(self) -> None:
        """So does one without a format or a payload, with an option that is not understood, or with parts to come."""
        observe = (numbers.OBSERVE, b"\x0b")
        for fields, payload in (
            ((observe,), b"x"),
            (options(observe=11, content_format=0), b""),
            ((observe, (numbers.CONTENT_FORMAT, b"\0\0\0")), b"x"),
            ((observe, (numbers.CONTENT_FORMAT, b""), (2047, b"")), b"x"),
            ((observe, (numbers.CONTENT_FORMAT, b""), (numbers.BLOCK2, b"\x08")), b"x"),
            (((numbers.ETAG, b"1"), observe, (numbers.CONTENT_FORMAT, b"")), b"x"),
            (((numbers.OBSERVE, b"\0\0\0\x0b"), (numbers.CONTENT_FORMAT, b"")), b"x"),
        ):
            self.setUp()
            self.notify(11, given=fields, payload=payload)
            self.assertEqual(self.taken, [], fields)

    def test_cut_off(self) -> None:
        """A part of one is never taken for one; the whole is."""
        whole = encode(Message(CON, numbers.CONTENT, 9, self.token, options(observe=11, content_format=110), b"x"))
        for length in range(len(whole) + 1):
            self.setUp()
            self.bench.send(whole[:length])
            self.assertEqual(len(self.taken), int(length == len(whole)), length)

    @given(st.binary(max_size=40), st.sampled_from((CON, NON)))
    def test_anything(self, rest: bytes, kind: int) -> None:
        """Whatever follows a token that is known, what is taken is what `decode` reads."""
        self.setUp()
        data = bytes((0x48 | kind << 4, numbers.CONTENT, 0, 9)) + self.token + rest
        self.bench.send(data)
        self.assertEqual(self.bench.errors, [])
        for _, receipt, content_format, payload, confirmable in self.taken:
            message = decode(data)
            self.assertEqual((message.content_format, message.payload), (content_format, payload))
            self.assertEqual((*receipt[:2], confirmable), (data[2:12], PEER, message.type == CON))
            self.assertEqual(message.observe, self.bench.engine._requests.observations[self.token].newest)

    def test_while_asked(self) -> None:
        """While a request with its token is under way a notification may be the answer, which is found out then."""
        sent = self.bench.observe(now=5.0, token=self.token)
        self.notify(11)
        self.assertEqual(self.taken, [])
        self.bench.send(ack(sent), 5.5)
        self.notify(12, 101)
        self.assertEqual((self.taken, len(self.bench.outcomes)), ([], 2))
        self.notify(13, 102)
        self.assertEqual(len(self.taken), 1)

    def test_nobody(self) -> None:
        """Without a layer above that takes them all go the long way."""
        bench = self.bench
        bench.engine._noticing._notice = None
        self.notify(11)
        self.assertEqual(self.ways(), (0, 1))
