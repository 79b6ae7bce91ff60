"""Tests of notifications to us that are larger than a block: the rest is asked for, the body comes whole."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, parse
from lwm2md.coap.engine import Limits, Parameters, Received
from lwm2md.coap.message import Message, Options, encode, options
from tests.coap.support import OTHER, PEER, Bench, ack, reply, rst

CON, NON = numbers.CON, numbers.NON


def part(number: int, more: bool, observe: int | None = None, etag: bytes = b"1") -> Options:
    """Return the options of a block of 16 bytes."""
    value = Block(number, more, 0).encode()
    return options(observe=observe, extra=((numbers.BLOCK2, value), (numbers.ETAG, etag)))


def asked(message: Message) -> Block:
    """Return the block that a request asks for."""
    return parse(message.get(numbers.BLOCK2) or b"")


class FirstAnswerTests(SynchronousTestCase):
    """A large first answer."""

    def setUp(self) -> None:
        """Have an observe request whose answer is the first of two blocks."""
        self.bench = Bench()
        self.sent = self.bench.observe()
        (self.rest,) = self.bench.send(reply(self.sent, found=part(0, True, 10), payload=b"a" * 16), 1.0)

    def received(self, index: int = 0) -> Message:
        """Return an outcome that must be a response."""
        result = self.bench.outcomes[index][0]
        if not isinstance(result, Received):
            raise AssertionError(result)
        return result.message

    def test_whole(self) -> None:
        """The rest is asked for under another token without Observe; the outcome has the body and Observe."""
        self.assertNotEqual(self.rest.token, self.sent.token)
        self.assertEqual((asked(self.rest), self.rest.observe), (Block(1, False, 0), None))
        self.assertEqual(self.bench.outcomes, [])
        self.bench.send(reply(self.rest, found=part(1, False), payload=b"b"), 2.0)
        self.assertEqual((self.received().payload, self.received().observe), (b"a" * 16 + b"b", 10))
        self.bench.send(Message(NON, numbers.CONTENT, 50, self.sent.token, options(observe=11)), 3.0)
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [True])

    def test_changed_on_the_way(self) -> None:
        """Content that changes on the way begins again, and is still an accepted observation."""
        (again,) = self.bench.send(reply(self.rest, found=part(1, False, etag=b"2"), payload=b"B"), 2.0)
        (last,) = self.bench.send(reply(again, found=part(0, True, etag=b"2"), payload=b"A" * 16), 2.0)
        self.bench.send(reply(last, found=part(1, False, etag=b"2"), payload=b"B"), 2.0)
        self.assertEqual((self.received().payload, self.received().observe), (b"A" * 16 + b"B", 10))

    def test_notification_meanwhile(self) -> None:
        """A notification meanwhile is one, and the outcome comes all the same."""
        self.bench.send(ack(self.rest), 1.2)
        self.bench.send(Message(NON, numbers.CONTENT, 50, self.sent.token, options(observe=11)), 1.5)
        self.assertEqual((len(self.bench.notifications), len(self.bench.outcomes)), (1, 0))
        answer = Message(NON, numbers.CONTENT, 51, self.rest.token, part(1, False), b"b")
        self.bench.send(answer, 2.0)
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_under_way(self) -> None:
        """Until then the token is in use; withdrawing by it works, and there is one outcome."""
        with self.assertRaises(ValueError):
            self.bench.observe(token=self.sent.token)
        self.bench.engine.withdraw(self.sent.token, 2.0)
        self.bench.expire(3.0)
        self.assertEqual(self.bench.outcomes, [("cancelled", 3.0)])
        self.assertEqual(self.bench.engine._requests.asks, {})
        self.bench.observe(token=self.sent.token)

    def test_forgotten(self) -> None:
        """Forgotten meanwhile, the outcome comes, and no observation is left."""
        self.bench.engine.forget(self.sent.token)
        self.bench.send(reply(self.rest, found=part(1, False), payload=b"b"), 2.0)
        self.assertEqual(len(self.bench.outcomes), 1)
        self.assertEqual(self.bench.engine._requests.observations, {})

    def test_failed(self) -> None:
        """If the rest can't be had, that is the outcome."""
        self.bench.send(rst(self.rest), 2.0)
        self.assertEqual(self.bench.outcomes, [("reset", 2.0)])

    def test_size_for_all(self) -> None:
        """Where small blocks are set for a peer, the observe request says so for all notifications."""
        bench = Bench(Parameters(block_szx=1))
        self.assertEqual(asked(bench.observe()), Block(0, False, 1))


class NotificationTests(SynchronousTestCase):
    """Large notifications."""

    def setUp(self) -> None:
        """Have an observation."""
        self.bench = Bench()
        found = options(path=("3303",), accept=112)
        self.token = self.bench.engine.observe(
            PEER,
            numbers.GET,
            found,
            on_outcome=self.bench.outcome,
            on_notification=self.bench.notification,
            now=0.0,
        )
        sent = self.bench.sent()
        assert sent is not None
        self.bench.send(reply(sent, found=options(observe=10)), 0.5)

    def notify(
        self, sequence: int, mid: int, *, kind: int = NON, peer: bytes = PEER, etag: bytes = b"1"
    ) -> list[Message]:
        """Send the first block of a notification; return what goes out."""
        message = Message(kind, numbers.CONTENT, mid, self.token, part(0, True, sequence, etag), b"a" * 16)
        return self.bench.send(message, 1.0, peer)

    def bodies(self) -> list[bytes]:
        """Return what was delivered."""
        return [received.message.payload for received, _ in self.bench.notifications]

    def test_whole(self) -> None:
        """The rest is asked for with the request's options, another token, no Observe; then it is delivered whole."""
        (rest,) = self.notify(11, 100)
        self.assertEqual(
            (asked(rest), rest.path, rest.accept, rest.observe), (Block(1, False, 0), ("3303",), 112, None)
        )
        self.assertNotEqual(rest.token, self.token)
        self.assertEqual(self.bodies(), [])
        self.bench.send(reply(rest, found=part(1, False), payload=b"b"), 2.0)
        self.assertEqual(self.bodies(), [b"a" * 16 + b"b"])
        received, fresh = self.bench.notifications[0]
        self.assertEqual(received.message.token, self.token)
        self.assertEqual((received.message.observe, received.now, fresh), (11, 2.0, True))
        self.assertEqual(self.bench.engine._requests.asks, {})

    def test_confirmable(self) -> None:
        """A Confirmable one is acknowledged before the rest is asked for, and repeated ones are known."""
        out = self.notify(11, 100, kind=CON)
        self.assertEqual((out[0], asked(out[1])), (Message(numbers.ACK, 0, 100), Block(1, False, 0)))
        self.assertEqual(self.notify(11, 100, kind=CON), [Message(numbers.ACK, 0, 100)])
        self.assertEqual(self.bench.send(reply(out[1], found=part(1, False), payload=b"b"), 2.0), [])
        self.assertEqual(len(self.bodies()), 1)

    def test_newer_one(self) -> None:
        """A newer one drops what has come of the old, whether it is large or small."""
        (old,) = self.notify(11, 100)
        (rest,) = self.notify(12, 101, etag=b"2")
        self.bench.send(reply(old, found=part(1, False), payload=b"old"), 2.0)
        self.assertEqual(self.bodies(), [])
        self.bench.send(reply(rest, found=part(1, False, etag=b"2"), payload=b"new"), 2.0)
        self.assertEqual(self.bodies(), [b"a" * 16 + b"new"])
        self.notify(13, 102)
        self.bench.send(Message(NON, numbers.CONTENT, 103, self.token, options(observe=14), b"small"), 3.0)
        self.assertEqual(self.bodies()[1:], [b"small"])
        self.assertEqual(len(self.bench.engine._exchanges), 0)

    def test_older_one(self) -> None:
        """An older one that arrives late is dropped: its rest can't be had any more."""
        self.bench.send(Message(NON, numbers.CONTENT, 99, self.token, options(observe=12), b"x"), 1.0)
        self.assertEqual(self.notify(11, 100), [])
        self.assertEqual(self.bodies(), [b"x"])

    def test_error_meanwhile(self) -> None:
        """An error meanwhile ends the observation and the rest with it."""
        self.notify(11, 100)
        self.bench.send(Message(NON, numbers.NOT_FOUND, 101, self.token), 1.5)
        self.assertEqual([received.message.code for received, _ in self.bench.notifications], [numbers.NOT_FOUND])
        self.assertEqual(len(self.bench.engine._exchanges), 0)

    def test_forgotten_meanwhile(self) -> None:
        """Forgotten meanwhile, nothing is delivered."""
        (rest,) = self.notify(11, 100)
        self.bench.engine.forget(self.token)
        self.bench.send(reply(rest, found=part(1, False), payload=b"b"), 2.0)
        self.assertEqual(self.bodies(), [])
        self.assertEqual(len(self.bench.engine._exchanges), 0)

    def test_renewed_meanwhile(self) -> None:
        """A renewal's answer drops what has come of a notification before."""
        (rest,) = self.notify(11, 100)
        self.assertEqual(self.bench.engine._requests.asks.keys(), {rest.token})
        self.bench.engine.observe(
            PEER,
            numbers.GET,
            token=self.token,
            on_outcome=self.bench.outcome,
            on_notification=self.bench.notification,
            now=1.5,
        )
        (renewal,) = self.bench.send(rst(rest), 2.0)
        self.bench.send(reply(renewal, found=options(observe=20)), 2.5)
        self.assertEqual((len(self.bench.outcomes), self.bodies()), (2, []))
        self.assertEqual(self.bench.engine.counters["incomplete"], 1)

    def test_other_address(self) -> None:
        """The rest is asked for where the notification came from."""
        message = Message(NON, numbers.CONTENT, 100, self.token, part(0, True, 11), b"a" * 16)
        ((_, peer),) = self.bench.engine.receive([(encode(message), OTHER)], 1.0)
        self.assertEqual(peer, OTHER)

    def test_incomplete(self) -> None:
        """One whose rest can't be had, or is too large, is not delivered; it is counted, and the next one comes."""
        (rest,) = self.notify(11, 100)
        self.bench.send(reply(rest, numbers.NOT_FOUND), 2.0)
        self.assertEqual((self.bodies(), self.bench.engine.counters["incomplete"]), ([], 1))
        (rest,) = self.notify(12, 101)
        self.bench.send(reply(rest, found=part(1, False), payload=b"b"), 3.0)
        self.assertEqual(len(self.bodies()), 1)
        bench = Bench(limits=Limits(body=15))
        bench.engine.adopt(PEER, self.token, bench.notification, code=numbers.GET)
        self.bench = bench
        self.assertEqual(self.notify(11, 100), [])
        self.assertEqual(bench.engine.counters["incomplete"], 1)

    def test_adopted(self) -> None:
        """For an observation from before a restart the rest is asked for if the request is known, else refused."""
        self.bench = Bench()
        found = options(path=("3",))
        self.bench.engine.adopt(PEER, self.token, self.bench.notification, code=numbers.GET, options=found)
        (rest,) = self.notify(11, 100)
        self.assertEqual((rest.path, asked(rest)), (("3",), Block(1, False, 0)))
        self.bench = Bench()
        self.bench.engine.adopt(PEER, self.token, self.bench.notification)
        self.assertEqual(self.notify(11, 100), [Message(numbers.RST, 0, 100)])

    def test_composite(self) -> None:
        """The rest of a notification of a FETCH repeats its body."""
        self.bench = Bench()
        self.bench.engine.adopt(PEER, self.token, self.bench.notification, code=numbers.FETCH, payload=b"/3")
        (rest,) = self.notify(11, 100)
        self.assertEqual((rest.code, rest.payload), (numbers.FETCH, b"/3"))
