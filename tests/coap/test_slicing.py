"""Tests of lwm2md.coap.slicing: large bodies of ours, one block at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, parse
from lwm2md.coap.engine import Limits, Parameters, Response
from lwm2md.coap.message import Message, Options, options, parse_uint
from tests.coap.support import OTHER, PEER, Bench, ack, run_out

CON, NON = numbers.CON, numbers.NON
BODY = bytes(number % 251 for number in range(3000))
LARGE = Response(numbers.CONTENT, BODY, options(content_format=42))


class Reader:
    """Asks a bench for blocks."""

    def __init__(self, bench: Bench, peer: bytes = PEER, code: int = numbers.GET) -> None:
        self.bench = bench
        self.peer = peer
        self.code = code
        self.mid = 0

    def ask(
        self, asked: Block | None = None, *, payload: bytes = b"", now: float = 0.0, extra: Options = ()
    ) -> Message:
        """Ask for a block, or for what comes without a wish; return the answer."""
        self.mid += 1
        found = options(path=("5",), extra=extra)
        if asked is not None:
            found = options(path=("5",), extra=((numbers.BLOCK2, asked.encode()), *extra))
        message = Message(CON, self.code, self.mid, b"tok", found, payload)
        (answer,) = self.bench.send(message, now, self.peer)
        return answer


def block2(message: Message) -> Block:
    """Return the block that a message is."""
    value = message.get(numbers.BLOCK2)
    if value is None:
        raise AssertionError(message)
    return parse(value)


class SlicingTests(SynchronousTestCase):
    """Responses larger than a block."""

    def setUp(self) -> None:
        """Have a large resource and somebody who reads it."""
        self.bench = Bench()
        self.bench.handler.answer = LARGE
        self.reader = Reader(self.bench)

    def test_all_blocks(self) -> None:
        """The handler is asked once; each block has the ETag and the format, the first one the size."""
        first = self.reader.ask()
        self.assertEqual(block2(first), Block(0, True, 6))
        self.assertEqual(parse_uint(first.get(numbers.SIZE2) or b""), 3000)
        rest = [self.reader.ask(Block(number, False, 6)) for number in (1, 2)]
        self.assertEqual([block2(answer) for answer in rest], [Block(1, True, 6), Block(2, False, 6)])
        self.assertEqual(b"".join(answer.payload for answer in (first, *rest)), BODY)
        self.assertEqual({answer.get(numbers.ETAG) for answer in rest}, {first.get(numbers.ETAG)})
        self.assertEqual([answer.content_format for answer in rest], [42, 42])
        self.assertEqual([answer.get(numbers.SIZE2) for answer in rest], [None, None])
        self.assertEqual(len(self.bench.handler.requests), 1)
        self.assertEqual(self.bench.handler.requests[0].message.options, options(path=("5",)))

    def test_early_negotiation(self) -> None:
        """A wish for smaller blocks in the first request is met; ours is the upper bound."""
        self.assertEqual(block2(self.reader.ask(Block(0, False, 2))), Block(0, True, 2))
        bench = Bench(Parameters(block_szx=1))
        bench.handler.answer = LARGE
        self.assertEqual(block2(Reader(bench).ask(Block(0, False, 5))), Block(0, True, 1))
        self.assertEqual(block2(Reader(bench).ask()), Block(0, True, 1))

    def test_size_changes(self) -> None:
        """A later request may have another size; what counts is the byte offset."""
        self.reader.ask()
        answer = self.reader.ask(Block(64, False, 0))
        self.assertEqual((block2(answer), answer.payload), (Block(64, True, 0), BODY[1024:1040]))
        answer = self.reader.ask(Block(1, False, 6))
        self.assertEqual(answer.payload, BODY[1024:2048])

    def test_small_body(self) -> None:
        """A body that fits goes as it is; who has asked for blocks is told that this is all."""
        self.bench.handler.answer = Response(numbers.CONTENT, b"21.5")
        self.assertIsNone(self.reader.ask().get(numbers.BLOCK2))
        answer = self.reader.ask(Block(0, False, 6))
        self.assertEqual((block2(answer), answer.get(numbers.ETAG)), (Block(0, False, 6), None))
        self.bench.handler.answer = Response(numbers.NOT_FOUND, b"no")
        self.assertIsNone(self.reader.ask(Block(0, False, 6)).get(numbers.BLOCK2))

    def test_exactly_one_block(self) -> None:
        """A body of just one block is not cut, one byte more is."""
        for length, cut in ((1024, False), (1025, True)):
            self.bench.handler.answer = Response(numbers.CONTENT, BODY[:length])
            self.assertEqual(self.reader.ask().get(numbers.BLOCK2) is not None, cut)

    def test_size_wanted(self) -> None:
        """Who asks for the size by an empty Size2 is told it in any block."""
        self.reader.ask()
        answer = self.reader.ask(Block(1, False, 6), extra=((numbers.SIZE2, b""),))
        self.assertIsNone(answer.get(numbers.SIZE2))
        answer = self.reader.ask(Block(0, False, 6), extra=((numbers.SIZE2, b""),))
        self.assertEqual(parse_uint(answer.get(numbers.SIZE2) or b""), 3000)

    def test_beyond_the_end(self) -> None:
        """A block that the body does not have gets 4.00, kept or not."""
        self.assertEqual(self.reader.ask(Block(3, False, 6)).code, numbers.BAD_REQUEST)
        self.reader.ask()
        self.assertEqual(self.reader.ask(Block(3, False, 6)).code, numbers.BAD_REQUEST)
        self.bench.handler.answer = Response(numbers.CONTENT, b"small")
        self.assertEqual(Reader(self.bench, OTHER).ask(Block(1, False, 6)).code, numbers.BAD_REQUEST)

    def test_not_kept(self) -> None:
        """Without the body the handler is asked again, and the ETag tells whether it is the same one."""
        bench = Bench(limits=Limits(slice_bytes=0))
        bench.handler.answer = LARGE
        reader = Reader(bench)
        first = reader.ask()
        second = reader.ask(Block(1, False, 6))
        self.assertEqual((second.payload, second.get(numbers.ETAG)), (BODY[1024:2048], first.get(numbers.ETAG)))
        bench.handler.answer = Response(numbers.CONTENT, BODY[::-1])
        self.assertNotEqual(reader.ask(Block(2, False, 6)).get(numbers.ETAG), first.get(numbers.ETAG))
        self.assertEqual(len(bench.handler.requests), 3)

    def test_own_etag(self) -> None:
        """The handler's own ETag is the one that goes out."""
        self.bench.handler.answer = Response(numbers.CONTENT, BODY, options(extra=((numbers.ETAG, b"mine"),)))
        self.assertEqual(self.reader.ask().get(numbers.ETAG), b"mine")

    def test_content_changes_between(self) -> None:
        """Later blocks are those of the body that was begun; a new first block begins a new one."""
        self.reader.ask()
        self.bench.handler.answer = Response(numbers.CONTENT, BODY[::-1])
        self.assertEqual(self.reader.ask(Block(1, False, 6)).payload, BODY[1024:2048])
        self.reader.ask()
        self.assertEqual(self.reader.ask(Block(1, False, 6)).payload, BODY[::-1][1024:2048])

    def test_peers_are_apart(self) -> None:
        """What is kept for one peer is not given to another."""
        self.reader.ask()
        self.bench.handler.answer = Response(numbers.NOT_FOUND)
        self.assertEqual(Reader(self.bench, OTHER).ask(Block(1, False, 6)).code, numbers.NOT_FOUND)

    def test_post(self) -> None:
        """The rest of an answer to a POST is handed out without running it again; lost, it is 4.08."""
        reader = Reader(self.bench, code=numbers.POST)
        reader.ask(payload=b"do")
        answers = [reader.ask(Block(number, False, 6)) for number in (1, 2)]
        self.assertEqual([answer.payload for answer in answers], [BODY[1024:2048], BODY[2048:]])
        self.assertEqual(len(self.bench.handler.requests), 1)
        run_out(self.bench)
        late = reader.ask(Block(1, False, 6), now=500.0)
        self.assertEqual(late.code, numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_fetch(self) -> None:
        """A FETCH is known by its payload; one without is taken as the one before, and 4.08 when that is lost."""
        reader = Reader(self.bench, code=numbers.FETCH)
        reader.ask(payload=b"one")
        self.bench.handler.answer = Response(numbers.CONTENT, BODY[::-1])
        self.assertEqual(reader.ask(Block(1, False, 6), payload=b"one").payload, BODY[1024:2048])
        self.assertEqual(reader.ask(Block(1, False, 6)).payload, BODY[1024:2048])
        self.assertEqual(reader.ask(Block(1, False, 6), payload=b"two").payload, BODY[::-1][1024:2048])
        run_out(self.bench)
        self.assertEqual(reader.ask(Block(1, False, 6), now=900.0).code, numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_both_ways(self) -> None:
        """A large request and its large response share one exchange: the last block of one, the first of the other."""
        reader = Reader(self.bench, code=numbers.FETCH)
        reader.ask(payload=b"a" * 16, extra=((numbers.BLOCK1, Block(0, True, 0).encode()),))
        answer = reader.ask(payload=b"b", extra=((numbers.BLOCK1, Block(1, False, 0).encode()),))
        self.assertEqual(parse(answer.get(numbers.BLOCK1) or b""), Block(1, False, 0))
        self.assertEqual((block2(answer), answer.payload), (Block(0, True, 6), BODY[:1024]))
        self.assertEqual(self.bench.handler.requests[0].message.payload, b"a" * 16 + b"b")
        self.assertEqual(reader.ask(Block(1, False, 6)).payload, BODY[1024:2048])

    def test_observe_in_a_later_block(self) -> None:
        """A request for a later block does not begin an observation."""
        bench = Bench(limits=Limits(slice_bytes=0))
        bench.handler.answer = LARGE
        Reader(bench).ask(Block(1, False, 6), extra=((numbers.OBSERVE, b""),))
        self.assertIsNone(bench.handler.requests[0].message.observe)

    def test_late_answer(self) -> None:
        """An answer that comes late is cut all the same."""
        self.bench.handler.answer = None
        found = options(path=("5",), extra=((numbers.BLOCK2, Block(0, False, 3).encode()),))
        self.assertEqual(self.bench.send(Message(CON, numbers.GET, 1, b"t", found)), [])
        self.bench.expire(1.0)
        self.bench.engine.respond(self.bench.handler.requests[0], LARGE, 2.0)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual((answer.type, block2(answer)), (CON, Block(0, True, 3)))

    def test_forgotten(self) -> None:
        """A body that nobody asks for is dropped after a lifetime."""
        self.reader.ask()
        self.assertEqual(self.bench.engine.next_deadline(), 247.0)
        run_out(self.bench)
        self.assertEqual((len(self.bench.engine._slices), self.bench.engine.next_deadline()), (0, None))

    def test_few_per_peer(self) -> None:
        """However much a peer reads, little is kept for it."""
        for number in range(20):
            message = Message(CON, numbers.GET, number, b"t", options(path=(str(number),)))
            self.bench.send(message)
        self.assertEqual(len(self.bench.engine._slices), Limits().slices_per_peer)

    @given(st.binary(min_size=1, max_size=600), st.integers(0, 6), st.integers(0, 6))
    def test_any_body(self, body: bytes, ours: int, theirs: int) -> None:
        """Block after block gives the body, whatever the sizes."""
        bench = Bench(Parameters(block_szx=ours))
        bench.handler.answer = Response(numbers.CONTENT, body)
        reader = Reader(bench)
        answer = reader.ask(Block(0, False, theirs))
        found = answer.payload
        while block2(answer).more:
            size = block2(answer).size
            answer = reader.ask(Block(len(found) // size, False, block2(answer).szx))
            found += answer.payload
        self.assertEqual(found, body)


class NotificationTests(SynchronousTestCase):
    """Notifications larger than a block."""

    def setUp(self) -> None:
        """Have an observer of a large resource, who likes blocks of 256."""
        self.bench = Bench()
        self.bench.handler.answer = Response(numbers.CONTENT, BODY, options(observe=1))
        self.reader = Reader(self.bench)
        wish = ((numbers.OBSERVE, b""),)
        self.first = self.reader.ask(Block(0, False, 4), extra=wish)

    def notify(self, body: bytes, sequence: int = 2) -> Message:
        """Notify the observer; return the message."""
        response = Response(numbers.CONTENT, body, options(observe=sequence))
        self.bench.engine.notify(PEER, b"tok", response, confirmable=True, on_result=self.bench.result, now=1.0)
        sent = self.bench.sent()
        if sent is None:
            raise AssertionError("nothing was sent")
        return sent

    def test_first_answer(self) -> None:
        """The answer to the request is the first block, with Observe."""
        self.assertEqual((self.first.observe, block2(self.first)), (1, Block(0, True, 4)))

    def test_blocks(self) -> None:
        """The first block is the notification, of the observer's size; it asks for the rest, without Observe."""
        sent = self.notify(BODY[::-1])
        self.assertEqual((sent.observe, block2(sent), sent.payload), (2, Block(0, True, 4), BODY[::-1][:256]))
        self.assertNotEqual(sent.get(numbers.ETAG), self.first.get(numbers.ETAG))
        self.bench.send(ack(sent), 1.5)
        answer = self.reader.ask(Block(1, False, 4), now=1.6)
        self.assertEqual((answer.payload, answer.observe), (BODY[::-1][256:512], None))
        self.assertEqual(answer.get(numbers.ETAG), sent.get(numbers.ETAG))
        self.assertEqual(len(self.bench.handler.requests), 1)

    def test_small(self) -> None:
        """A small notification is not cut."""
        self.assertIsNone(self.notify(b"21.5").get(numbers.BLOCK2))

    def test_unknown_observer(self) -> None:
        """To an observer from before a restart blocks are of our size, and the handler is asked for the rest."""
        bench = Bench()
        bench.handler.answer = Response(numbers.CONTENT, BODY)
        response = Response(numbers.CONTENT, BODY, options(observe=2))
        bench.engine.notify(PEER, b"old", response, confirmable=False, now=0.0)
        sent = bench.sent()
        assert sent is not None
        self.assertEqual(block2(sent), Block(0, True, 6))
        answer = Reader(bench).ask(Block(1, False, 6))
        self.assertEqual((answer.payload, len(bench.handler.requests)), (BODY[1024:2048], 1))
        self.assertEqual(answer.get(numbers.ETAG), sent.get(numbers.ETAG))

    def test_observer_leaves(self) -> None:
        """Nothing is remembered of an observer that cancels, is told an error, or is reset."""
        slices = self.bench.engine._slices
        self.assertEqual(len(slices._observers), 1)
        self.bench.handler.answer = Response(numbers.CONTENT, b"")
        self.reader.ask(extra=((numbers.OBSERVE, b"\x01"),))
        self.assertEqual(len(slices._observers), 0)
        self.setUp()
        self.bench.engine.notify(PEER, b"tok", Response(numbers.NOT_FOUND), confirmable=False, now=1.0)
        self.assertEqual(len(self.bench.engine._slices._observers), 0)
        self.setUp()
        sent = self.notify(b"x")
        self.bench.send(Message(numbers.RST, 0, sent.mid), 2.0)
        self.assertEqual(len(self.bench.engine._slices._observers), 0)
        self.setUp()
        response = Response(numbers.CONTENT, b"x", options(observe=9))
        self.bench.engine.notify(PEER, b"tok", response, confirmable=False, on_result=self.bench.result, now=1.0)
        non = self.bench.sent()
        assert non is not None
        self.bench.send(Message(numbers.RST, 0, non.mid), 2.0)
        self.assertEqual(len(self.bench.engine._slices._observers), 0)

    def test_bounded(self) -> None:
        """More observers than the limit push out the oldest; its notifications have our block size."""
        bench = Bench(limits=Limits(observers=1))
        bench.handler.answer = Response(numbers.CONTENT, b"x", options(observe=1))
        for token in (b"a", b"b"):
            found = options(path=("5",), observe=0)
            bench.send(Message(CON, numbers.GET, token[0], token, found))
        self.assertEqual(list(bench.engine._slices._observers), [(PEER, b"b")])
