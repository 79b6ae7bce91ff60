"""Tests of lwm2md.coap.transfer, by way of the engine: requests of ours in blocks, responses to us in blocks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, parse
from lwm2md.coap.engine import Limits, Parameters, Received
from lwm2md.coap.message import Message, Options, options, parse_uint, uint
from tests.coap.support import OTHER, PEER, Bench, ack, reply, rst, run_out

CON, NON, ACK = numbers.CON, numbers.NON, numbers.ACK
BODY = bytes(number % 251 for number in range(3000))
PATH = options(path=("5", "0", "0"), content_format=42)


def block1(message: Message) -> Block | None:
    """Return what a message says about blocks of requests."""
    value = message.get(numbers.BLOCK1)
    return None if value is None else parse(value)


def block2(message: Message) -> Block | None:
    """Return what a message says about blocks of responses."""
    value = message.get(numbers.BLOCK2)
    return None if value is None else parse(value)


def part(number: int, more: bool, szx: int, *extra: tuple[int, bytes]) -> Options:
    """Return the options of a block of a response."""
    return options(extra=((numbers.BLOCK2, Block(number, more, szx).encode()), *extra))


def taken(number: int, szx: int, more: bool = True) -> Options:
    """Return the options of the acknowledgement of a block of a request."""
    return ((numbers.BLOCK1, Block(number, more, szx).encode()),)


class PushTests(SynchronousTestCase):
    """Large bodies of requests."""

    def setUp(self) -> None:
        """Have an engine."""
        self.bench = Bench()
        self.progress: list[tuple[int, int]] = []

    def push(self, body: bytes = BODY, bench: Bench | None = None) -> Message:
        """Send a large request; return the first block."""
        bench = bench or self.bench
        bench.engine.request(
            PEER,
            numbers.PUT,
            PATH,
            body,
            on_outcome=bench.outcome,
            on_progress=lambda sent, total: self.progress.append((sent, total)),
            now=0.0,
        )
        sent = bench.sent()
        if sent is None:
            raise AssertionError("nothing was sent")
        return sent

    def answer(self, to: Message, code: int, found: Options = ()) -> Message:
        """Answer a block; return the next one."""
        (sent,) = self.bench.send(reply(to, code, found), 1.0)
        return sent

    def final(self) -> Message:
        """Return the one response."""
        ((result, _),) = self.bench.outcomes
        if not isinstance(result, Received):
            raise AssertionError(result)
        return result.message

    def test_all_blocks(self) -> None:
        """Blocks go one by one under one token and new message IDs; the last one's answer is the outcome."""
        first = self.push()
        self.assertEqual((block1(first), first.payload), (Block(0, True, 6), BODY[:1024]))
        self.assertEqual(parse_uint(first.get(numbers.SIZE1) or b""), 3000)
        second = self.answer(first, numbers.CONTINUE, taken(0, 6))
        third = self.answer(second, numbers.CONTINUE, taken(1, 6))
        self.assertEqual([block1(second), block1(third)], [Block(1, True, 6), Block(2, False, 6)])
        self.assertEqual(second.payload + third.payload, BODY[1024:])
        self.assertEqual({first.token, second.token, third.token}, {first.token})
        self.assertEqual([message.content_format for message in (second, third)], [42, 42])
        self.assertIsNone(second.get(numbers.SIZE1))
        self.assertEqual(len({first.mid, second.mid, third.mid}), 3)
        self.bench.send(reply(third, numbers.CHANGED, taken(2, 6, False)))
        self.assertEqual(self.final().code, numbers.CHANGED)
        self.assertEqual(self.progress, [(1024, 3000), (2048, 3000)])
        self.assertEqual(self.bench.engine._requests.asks, {})

    def test_time_of_each_block(self) -> None:
        """Each block is sent again when its own time is over, and the transfer fails when its last attempt is."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        third = self.answer(second, numbers.CONTINUE, taken(1, 6))
        wait = 2.0 * (1 + 0.5 * 0x1000 / 0xFFFF)
        self.assertEqual(self.bench.expire(wait), [])
        sent = run_out(self.bench)
        self.assertEqual([message for _, message in sent], [third] * 4)
        for number, (when, _) in enumerate(sent):
            self.assertAlmostEqual(when, 1.0 + wait * (2 ** (number + 1) - 1))
        ((result, ended),) = self.bench.outcomes
        self.assertEqual(result, "timeout")
        self.assertAlmostEqual(ended, 1.0 + wait * 31)

    def test_taken_before_the_timer(self) -> None:
        """What remains of the time of earlier blocks is no reason to send anything once the transfer is over."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        third = self.answer(second, numbers.CONTINUE, taken(1, 6))
        self.bench.send(reply(third, numbers.CHANGED, taken(2, 6, False)), 1.5)
        self.assertIsNone(self.bench.engine.next_deadline())
        self.assertEqual(self.bench.expire(100.0), [])
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_vector(self) -> None:
        """PUT /5/0/0 of 3000 bytes to a peer that wants 256: the blocks that the reference shows."""
        message = self.push()
        self.assertEqual(message.options, options(
            path=("5", "0", "0"), content_format=42, extra=((numbers.BLOCK1, b"\x0e"), (numbers.SIZE1, b"\x0b\xb8"))
        ))  # fmt: skip
        message = self.answer(message, numbers.CONTINUE, ((numbers.BLOCK1, b"\x0c"),))
        values = []
        body = BODY[:1024]
        while True:
            value = message.get(numbers.BLOCK1)
            assert value is not None
            values.append(value.hex())
            body += message.payload
            if not parse(value).more:
                break
            message = self.answer(message, numbers.CONTINUE, ((numbers.BLOCK1, value),))
        self.assertEqual(values, ["4c", "5c", "6c", "7c", "8c", "9c", "ac", "b4"])
        self.assertEqual((body, len(message.payload)), (BODY, 184))

    def test_smaller_on_the_way(self) -> None:
        """A smaller size in the middle is taken up at the byte offset; a larger one is not."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        third = self.answer(second, numbers.CONTINUE, taken(1, 2))
        self.assertEqual((block1(third), third.payload), (Block(32, True, 2), BODY[2048:2112]))
        fourth = self.answer(third, numbers.CONTINUE, taken(32, 6))
        self.assertEqual(block1(fourth), Block(33, True, 2))

    def test_our_size(self) -> None:
        """Blocks begin with the size that is set for the peer."""
        bench = Bench(Parameters(block_szx=3))
        self.assertEqual(block1(self.push(BODY[:129], bench)), Block(0, True, 3))
        bench = Bench(Parameters(block_szx=3))
        self.assertIsNone(block1(self.push(BODY[:128], bench)))

    def test_too_large(self) -> None:
        """4.13 with a smaller size begins again with it, also for a body that was sent whole."""
        again = self.answer(self.push(), numbers.REQUEST_ENTITY_TOO_LARGE, taken(0, 2))
        self.assertEqual((block1(again), again.payload), (Block(0, True, 2), BODY[:64]))
        self.bench = Bench()
        whole = self.push(BODY[:1000])
        again = self.answer(whole, numbers.REQUEST_ENTITY_TOO_LARGE, taken(0, 4))
        self.assertEqual((block1(again), len(again.payload)), (Block(0, True, 4), 256))
        self.bench = Bench()
        again = self.answer(self.push(), numbers.REQUEST_ENTITY_TOO_LARGE, ((numbers.SIZE1, uint(200)),))
        self.assertEqual(block1(again), Block(0, True, 3))

    def test_too_large_for_good(self) -> None:
        """4.13 without a smaller size is the outcome."""
        for found in ((), taken(0, 6), ((numbers.SIZE1, uint(2000)),), ((numbers.SIZE1, uint(3)),)):
            self.bench = Bench()
            self.assertEqual(self.bench.send(reply(self.push(), numbers.REQUEST_ENTITY_TOO_LARGE, found)), [], found)
            self.assertEqual(self.final().code, numbers.REQUEST_ENTITY_TOO_LARGE)

    def test_incomplete(self) -> None:
        """4.08 begins again once, then it is the outcome."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        again = self.answer(second, numbers.REQUEST_ENTITY_INCOMPLETE)
        self.assertEqual(block1(again), Block(0, True, 6))
        self.assertEqual(self.bench.send(reply(again, numbers.REQUEST_ENTITY_INCOMPLETE)), [])
        self.assertEqual(self.final().code, numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_error(self) -> None:
        """Any other error on the way is the outcome."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        self.assertEqual(self.bench.send(reply(second, numbers.SERVICE_UNAVAILABLE, options(max_age=9))), [])
        self.assertEqual(self.final().max_age, 9)

    def test_wrong_number(self) -> None:
        """An acknowledgement of another block has the block sent again, a few times."""
        message = self.push()
        for _ in range(4):
            message = self.answer(message, numbers.CONTINUE, taken(7, 6))
            self.assertEqual(block1(message), Block(0, True, 6))
        self.bench.send(reply(message, numbers.CONTINUE, taken(7, 6)), 2.0)
        self.assertEqual(self.bench.outcomes, [("bad-response", 2.0)])

    def test_continue_without_end(self) -> None:
        """2.31 to the last block, or to what was no block, is no response."""
        for body in (BODY[:1000], BODY[:1025]):
            self.bench = Bench()
            message = self.push(body)
            if len(body) > 1024:
                message = self.answer(message, numbers.CONTINUE, taken(0, 6))
            self.assertEqual(self.bench.send(reply(message, numbers.CONTINUE, taken(1, 6))), [])
            self.assertEqual(self.bench.outcomes, [("bad-response", 0.0)])

    def test_too_many_blocks(self) -> None:
        """A size so small that the blocks can't be numbered ends the transfer."""
        message = self.push(bytes((16 << 20) + 2048))
        self.bench.send(reply(message, numbers.CONTINUE, taken(0, 0)), 1.0)
        self.assertEqual(self.bench.outcomes, [])
        transfer = self.bench.engine._requests.asks[message.token].transfer
        assert transfer is not None
        transfer._offset = 16 << 20
        sent = self.bench.engine._exchanges._lanes[PEER]
        answer = Message(ACK, numbers.CONTINUE, sent.mid, message.token)
        self.assertEqual(self.bench.send(answer, 2.0), [])
        self.assertEqual(self.bench.outcomes, [("bad-response", 2.0)])

    def test_stateless(self) -> None:
        """A peer that acts on each block at once, with 2.04, gets the next one all the same."""
        second = self.answer(self.push(), numbers.CHANGED, taken(0, 6, False))
        self.assertEqual(block1(second), Block(1, True, 6))

    def test_without_option_and_token(self) -> None:
        """2.31 without a token or a block option is taken as the one to the block that is out."""
        first = self.push()
        (second,) = self.bench.send(Message(ACK, numbers.CONTINUE, first.mid))
        self.assertEqual(block1(second), Block(1, True, 6))

    def test_separate(self) -> None:
        """Each block may be answered separately; the acknowledgement of that goes before the next block."""
        first = self.push()
        self.bench.send(ack(first), 0.5)
        answer = Message(CON, numbers.CONTINUE, 900, first.token, taken(0, 6))
        out = self.bench.send(answer, 1.0)
        self.assertEqual((out[0], block1(out[1])), (ack(answer), Block(1, True, 6)))
        late = Message(CON, numbers.CONTINUE, 901, first.token, taken(0, 6))
        self.assertEqual(self.bench.send(late, 1.5), [ack(late)])
        self.assertEqual(self.bench.outcomes, [])

    def test_retransmitted(self) -> None:
        """A block that is lost comes again; a peer that is silent ends the transfer."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        again = [message for _, message in run_out(self.bench)]
        self.assertEqual(again, [second] * 4)
        self.assertEqual([result for result, _ in self.bench.outcomes], ["timeout"])

    def test_reset_and_abort(self) -> None:
        """A Reset, or giving up ourselves, ends the transfer once."""
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        self.bench.send(rst(second), 2.0)
        self.assertEqual(self.bench.outcomes, [("reset", 2.0)])
        second = self.answer(self.push(), numbers.CONTINUE, taken(0, 6))
        self.bench.engine.withdraw(second.token, 3.0)
        self.assertEqual(self.bench.send(reply(second, numbers.CONTINUE, taken(1, 6)), 3.0), [])
        self.bench.expire(4.0)
        self.assertEqual(self.bench.outcomes[1:], [("cancelled", 4.0)])

    def test_nothing_between(self) -> None:
        """No other request goes to that peer until it is over, not even between a block and its late answer."""
        first = self.push()
        self.assertIsNone(self.bench.ask())
        self.assertIsNotNone(self.bench.ask(peer=OTHER))
        self.assertEqual(self.bench.send(ack(first), 0.5), [])
        out = self.bench.send(Message(NON, numbers.CONTINUE, 900, first.token, taken(0, 6)), 1.0)
        self.assertEqual([block1(message) for message in out], [Block(1, True, 6)])
        (third,) = self.bench.send(reply(out[0], numbers.CONTINUE, taken(1, 6)))
        (next_one,) = self.bench.send(reply(third, numbers.CHANGED, taken(2, 6, False)))
        self.assertEqual(next_one.code, numbers.GET)

    def test_failing_progress(self) -> None:
        """What goes wrong in the listener does not stop the transfer; it may end it, too."""

        def broken(_sent: int, _total: int) -> None:
            raise RuntimeError("listener")

        self.bench.engine.request(
            PEER, numbers.PUT, PATH, BODY, on_outcome=self.bench.outcome, on_progress=broken, now=0.0
        )
        first = self.bench.sent()
        assert first is not None
        self.assertEqual(block1(self.answer(first, numbers.CONTINUE, taken(0, 6))), Block(1, True, 6))
        self.assertIn("RuntimeError: listener", self.bench.errors[0])
        bench = Bench()
        token = bench.engine.request(
            PEER,
            numbers.PUT,
            PATH,
            BODY,
            on_outcome=bench.outcome,
            on_progress=lambda *_: bench.engine.withdraw(token, 1.0),
            now=0.0,
        )
        first = bench.sent()
        assert first is not None
        self.assertEqual(bench.send(reply(first, numbers.CONTINUE, taken(0, 6))), [])
        bench.expire(2.0)
        self.assertEqual(bench.outcomes, [("cancelled", 2.0)])

    def test_fetch_both_ways(self) -> None:
        """A large FETCH with a large response: the rest is asked for without the body, which the peer has."""
        self.bench.engine.request(PEER, numbers.FETCH, PATH, BODY[:1025], on_outcome=self.bench.outcome, now=0.0)
        first = self.bench.sent()
        assert first is not None
        second = self.answer(first, numbers.CONTINUE, taken(0, 6))
        found = options(extra=((numbers.BLOCK2, b"\x08"), (numbers.BLOCK1, Block(1, False, 6).encode())))
        (third,) = self.bench.send(reply(second, numbers.CONTENT, found, b"a" * 16))
        self.assertEqual((block1(third), block2(third), third.payload), (None, Block(1, False, 0), b""))
        (again,) = self.bench.send(reply(third, numbers.REQUEST_ENTITY_INCOMPLETE))
        self.assertEqual(block1(again), Block(0, True, 0))


class CollectTests(SynchronousTestCase):
    """Large bodies of responses."""

    def setUp(self) -> None:
        """Have a request under way."""
        self.begin()

    def begin(self, limits: Limits | None = None, code: int = numbers.GET, payload: bytes = b"") -> None:
        """Send a request from a new engine."""
        self.bench = Bench(limits=limits)
        found = options(path=("3",), accept=112, content_format=112 if payload else None)
        self.bench.engine.request(PEER, code, found, payload, on_outcome=self.bench.outcome, now=0.0)
        sent = self.bench.sent()
        if sent is None:
            raise AssertionError("nothing was sent")
        self.sent = sent

    def give(self, number: int, more: bool, payload: bytes, *extra: tuple[int, bytes], szx: int = 0) -> Message | None:
        """Answer with a block; return the request for the next one."""
        out = self.bench.send(reply(self.sent, found=part(number, more, szx, *extra), payload=payload), 1.0)
        if out:
            (self.sent,) = out
        return self.sent if out else None

    def final(self) -> Message:
        """Return the one response."""
        ((result, _),) = self.bench.outcomes
        if not isinstance(result, Received):
            raise AssertionError(result)
        return result.message

    def test_all_blocks(self) -> None:
        """The rest is asked for block by block, with the same options and token; the body comes whole."""
        token = self.sent.token
        second = self.give(0, True, b"a" * 16, (numbers.CONTENT_FORMAT, uint(112)), (numbers.ETAG, b"1"))
        assert second is not None
        self.assertEqual((block2(second), second.token), (Block(1, False, 0), token))
        self.assertEqual((second.path, second.accept), (("3",), 112))
        third = self.give(1, True, b"b" * 16, (numbers.ETAG, b"1"))
        assert third is not None
        self.assertEqual(block2(third), Block(2, False, 0))
        self.assertEqual(self.bench.outcomes, [])
        self.assertIsNone(self.give(2, False, b"c", (numbers.ETAG, b"1")))
        message = self.final()
        self.assertEqual((message.payload, message.content_format), (b"a" * 16 + b"b" * 16 + b"c", 112))
        self.assertEqual((message.get(numbers.BLOCK2), message.get(numbers.ETAG)), (None, b"1"))
        self.assertEqual(self.bench.engine._requests.asks, {})

    def test_fetch_repeats_the_body(self) -> None:
        """A FETCH says in each request what it asks for."""
        self.begin(code=numbers.FETCH, payload=b"/3")
        second = self.give(0, True, b"a" * 16)
        assert second is not None
        self.assertEqual((second.payload, second.content_format, block2(second)), (b"/3", 112, Block(1, False, 0)))

    def test_post_does_not(self) -> None:
        """The rest of the answer to a POST is asked for without its body, and with all its options."""
        self.begin(code=numbers.POST, payload=b"do")
        second = self.give(0, True, b"a" * 16)
        assert second is not None
        self.assertEqual((second.payload, second.content_format), (b"", 112))

    def test_smaller_on_the_way(self) -> None:
        """The peer may go down in size; the rest is asked for in that size."""
        self.give(0, True, b"a" * 32, szx=1)
        third = self.give(2, True, b"b" * 16)
        assert third is not None
        self.assertEqual(block2(third), Block(3, False, 0))

    def test_wrong_block(self) -> None:
        """A block that was not asked for, or a short one, has the right one asked for again, a few times."""
        self.give(0, True, b"a" * 16)
        for number, payload in ((0, b"a" * 16), (2, b"c" * 16), (1, b"short"), (7, b"")):
            again = self.give(number, True, payload)
            assert again is not None
            self.assertEqual(block2(again), Block(1, False, 0))
        self.assertIsNone(self.give(3, True, b"x" * 16))
        self.assertEqual(self.bench.outcomes, [("bad-response", 1.0)])

    def test_first_is_not_first(self) -> None:
        """A response that begins in the middle has its first block asked for."""
        again = self.give(4, True, b"e" * 16)
        assert again is not None
        self.assertEqual(block2(again), Block(0, False, 6))

    def test_other_etag(self) -> None:
        """Another ETag begins again; the body is that of one ETag."""
        self.give(0, True, b"a" * 16, (numbers.ETAG, b"1"))
        again = self.give(1, False, b"B", (numbers.ETAG, b"2"))
        assert again is not None
        self.assertEqual(block2(again), Block(0, False, 0))
        self.give(0, True, b"A" * 16, (numbers.ETAG, b"2"))
        self.give(1, False, b"B", (numbers.ETAG, b"2"))
        self.assertEqual(self.final().payload, b"A" * 16 + b"B")

    def test_other_etag_of_a_post(self) -> None:
        """What must not run twice is not begun again."""
        self.begin(code=numbers.POST)
        self.give(0, True, b"a" * 16, (numbers.ETAG, b"1"))
        self.assertIsNone(self.give(1, False, b"B", (numbers.ETAG, b"2")))
        self.assertEqual(self.bench.outcomes, [("bad-response", 1.0)])

    def test_lost_by_the_peer(self) -> None:
        """4.08 to a later block begins again once; for a POST it is the outcome."""
        self.give(0, True, b"a" * 16)
        (again,) = self.bench.send(reply(self.sent, numbers.REQUEST_ENTITY_INCOMPLETE))
        self.assertIsNone(block2(again))
        self.begin(code=numbers.POST)
        self.give(0, True, b"a" * 16)
        self.assertEqual(self.bench.send(reply(self.sent, numbers.REQUEST_ENTITY_INCOMPLETE)), [])
        self.assertEqual(self.final().code, numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_too_large(self) -> None:
        """A body beyond the limit is given up: when it is, or when the peer says so."""
        self.begin(Limits(body=40))
        self.give(0, True, b"a" * 32, szx=1)
        self.assertIsNone(self.give(1, True, b"b" * 32, szx=1))
        self.assertEqual(self.bench.outcomes, [("bad-response", 1.0)])
        self.begin(Limits(body=40))
        self.assertIsNone(self.give(0, True, b"a" * 16, (numbers.SIZE2, uint(41))))
        self.assertEqual(self.bench.outcomes, [("bad-response", 1.0)])

    def test_error_on_the_way(self) -> None:
        """An error, or a whole body without blocks, in the middle is the outcome."""
        for code, payload in ((numbers.NOT_FOUND, b""), (numbers.CONTENT, b"whole")):
            self.begin()
            self.give(0, True, b"a" * 16)
            self.bench.send(reply(self.sent, code, payload=payload))
            self.assertEqual((self.final().code, self.final().payload), (code, payload))

    def test_reserved_size(self) -> None:
        """A reserved block size can't be used."""
        self.bench.send(reply(self.sent, found=((numbers.BLOCK2, b"\x0f"),)))
        self.assertEqual(self.bench.outcomes, [("bad-response", 0.0)])

    def test_late_separate_block(self) -> None:
        """A separate response with an earlier block, under another message ID, changes nothing."""
        self.give(0, True, b"a" * 16)
        late = Message(CON, numbers.CONTENT, 800, self.sent.token, part(0, True, 0), b"a" * 16)
        self.assertEqual(self.bench.send(late), [ack(late)])
        right = Message(CON, numbers.CONTENT, 801, self.sent.token, part(1, False, 0), b"b")
        self.assertEqual(self.bench.send(right), [ack(right)])
        self.assertEqual(self.final().payload, b"a" * 16 + b"b")

    def test_silence_on_the_way(self) -> None:
        """A peer that stops in the middle ends it in a time-out."""
        self.give(0, True, b"a" * 16)
        run_out(self.bench)
        self.assertEqual([result for result, _ in self.bench.outcomes], ["timeout"])

    def test_queue_goes_on(self) -> None:
        """A separate first block while another request is out: the rest waits for that one, and goes before others."""
        self.bench.send(ack(self.sent), 0.1)
        other = self.bench.ask(0.2)
        assert other is not None
        self.assertIsNone(self.bench.ask(0.3, code=numbers.DELETE))
        first = Message(NON, numbers.CONTENT, 800, self.sent.token, part(0, True, 0), b"a" * 16)
        self.assertEqual(self.bench.send(first, 0.5), [])
        (rest,) = self.bench.send(reply(other), 0.6)
        self.assertEqual(block2(rest), Block(1, False, 0))
        (last,) = self.bench.send(reply(rest, found=part(1, False, 0), payload=b"b"), 0.7)
        self.assertEqual(last.code, numbers.DELETE)

    def test_we_ask_for_small_blocks(self) -> None:
        """Where small blocks are set for a peer, requests that may have a large answer say so at once."""
        bench = Bench(Parameters(block_szx=2))
        for code, wanted in ((numbers.GET, Block(0, False, 2)), (numbers.PUT, None)):
            sent = bench.ask(code=code)
            assert sent is not None
            self.assertEqual(block2(sent), wanted)
            bench.send(rst(sent))
        own = ((numbers.BLOCK2, Block(0, False, 1).encode()),)
        bench.engine.request(PEER, numbers.GET, own, on_outcome=bench.outcome, now=1.0)
        sent = bench.sent()
        assert sent is not None
        self.assertEqual(sent.options, own)


class EchoTests(SynchronousTestCase):
    """4.01 with an Echo."""

    def test_repeated_once(self) -> None:
        """The request is repeated with the value unchanged, once; the second 4.01 is the outcome."""
        bench = Bench()
        bench.engine.request(PEER, numbers.POST, options(path=("rd",)), b"</3/0>", on_outcome=bench.outcome, now=0.0)
        sent = bench.sent()
        assert sent is not None
        echo = ((numbers.ECHO, b"12345678"),)
        (again,) = bench.send(reply(sent, numbers.UNAUTHORIZED, echo))
        self.assertEqual((again.get(numbers.ECHO), again.payload, again.path), (b"12345678", b"</3/0>", ("rd",)))
        self.assertEqual((again.token, again.mid != sent.mid), (sent.token, True))
        self.assertEqual(bench.send(reply(again, numbers.UNAUTHORIZED, echo)), [])
        self.assertEqual(len(bench.outcomes), 1)

    def test_in_the_middle(self) -> None:
        """Asked for an Echo in the middle of a response, the same block is asked for with it."""
        bench = Bench()
        sent = bench.ask()
        assert sent is not None
        (second,) = bench.send(reply(sent, found=part(0, True, 0), payload=bytes(16)))
        (again,) = bench.send(reply(second, numbers.UNAUTHORIZED, ((numbers.ECHO, b"e"),)))
        self.assertEqual((block2(again), again.get(numbers.ECHO)), (Block(1, False, 0), b"e"))

    def test_without(self) -> None:
        """4.01 without an Echo is the outcome."""
        bench = Bench()
        sent = bench.ask()
        assert sent is not None
        self.assertEqual(bench.send(reply(sent, numbers.UNAUTHORIZED)), [])
        self.assertEqual(len(bench.outcomes), 1)
