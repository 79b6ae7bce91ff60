"""Tests of lwm2md.coap.prepared, and of `Engine.send`: what is ready leaves as if it had been made for the peer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import parse
from lwm2md.coap.engine import Parameters, Received, Response
from lwm2md.coap.message import Message, Options, decode, encode, options
from lwm2md.coap.prepared import prepare
from tests.coap.support import OTHER, PEER, Bench, ack, reply, run_out

READ = options(path=("3", "0"), accept=numbers.TLV)


def sent(
    bench: Bench, code: int, fields: Options = (), payload: bytes = b"", *, peer: bytes = PEER, timeout: float = 90.0
) -> Message:
    """Send a request that is ready, and return what left."""
    bench.engine.send(peer, prepare(code, fields, payload), bench.outcome, timeout, 0.0)
    message = bench.sent()
    assert message is not None
    return message


def asked(bench: Bench, code: int, fields: Options = (), payload: bytes = b"") -> Message:
    """Send the same as a request, and return what left."""
    bench.engine.request(PEER, code, fields, payload, on_outcome=bench.outcome, now=0.0)
    message = bench.sent()
    assert message is not None
    return message


class SendTests(SynchronousTestCase):
    """Requests that are ready."""

    def test_alike(self) -> None:
        """It is the message that a request makes, with a message ID and a token of its own."""
        payload = bytes(1024)
        for code, fields, body in ((numbers.GET, READ, b""), (numbers.PUT, READ, payload), (numbers.POST, (), b"")):
            for parameters in (Parameters(), Parameters(block_szx=2)):
                one, other = sent(Bench(parameters), code, fields, body), asked(Bench(parameters), code, fields, body)
                self.assertEqual((one.type, one.code), (other.type, other.code))
                self.assertEqual((one.options, one.payload), (other.options, other.payload))
                self.assertEqual(len(one.token), 8)

    def test_smaller_blocks(self) -> None:
        """A peer that wants smaller blocks is asked for them, and gets a long body in them."""
        message = sent(Bench(Parameters(block_szx=2)), numbers.GET, READ)
        block = message.get(numbers.BLOCK2)
        assert block is not None
        self.assertEqual(parse(block).szx, 2)
        self.assertEqual(len(sent(Bench(Parameters(block_szx=2)), numbers.PUT, READ, bytes(100)).payload), 64)
        self.assertEqual(len(sent(Bench(), numbers.PUT, READ, bytes(1025)).payload), 1024)

    def test_answered(self) -> None:
        """Its answer is its outcome, on the acknowledgement or behind it."""
        bench = Bench()
        self.assertEqual(bench.send(reply(sent(bench, numbers.GET, READ), payload=b"x"), 1.5), [])
        message = sent(bench, numbers.GET, READ)
        bench.send(ack(message), 2.0)
        bench.send(Message(numbers.CON, numbers.CONTENT, 700, message.token, (), b"y"), 50.0)
        outcomes = [(each.message.payload, now) for each, now in bench.outcomes if isinstance(each, Received)]
        self.assertEqual(outcomes, [(b"x", 1.5), (b"y", 50.0)])
        self.assertIsNone(bench.engine.next_deadline())

    def test_acknowledged_only(self) -> None:
        """One that is only acknowledged is not sent again, and fails when its time is over, not before."""
        bench = Bench()
        bench.send(ack(sent(bench, numbers.GET, READ, timeout=20.0)), 1.0)
        for now in (3.0, 10.0, 19.9):
            self.assertEqual(bench.engine.expire(now), [])
        self.assertEqual(bench.outcomes, [])
        bench.engine.expire(20.0)
        self.assertEqual(bench.outcomes, [("timeout", 20.0)])

    def test_one_at_a_time(self) -> None:
        """The second one to a peer waits for the end of the first, one to another peer does not."""
        bench = Bench()
        first = sent(bench, numbers.GET, READ)
        bench.engine.send(PEER, prepare(numbers.GET, READ), bench.outcome, 90.0, 0.0)
        self.assertIsNone(bench.sent())
        sent(bench, numbers.GET, READ, peer=OTHER)
        (second,) = bench.send(reply(first))
        self.assertEqual((second.options, second.mid), (READ, (first.mid + 1) & 0xFFFF))

    @given(
        st.sampled_from((0.5, 2.0, 90.0)),
        st.lists(
            st.sampled_from(("send", "ack", "answer", "reset", "separate", "wait", "abort", "withdraw", "notify")),
            max_size=12,
        ),
    )
    def test_like_a_request(self, timeout: float, moves: list[str]) -> None:
        """Whatever happens to it, the same comes of it, at the same time, as of a request with that timeout."""
        one, other = _Moved(timeout, ready=True), _Moved(timeout, ready=False)
        for move in ("send", *moves):
            one.make(move)
            other.make(move)
            self.assertEqual(one.seen, other.seen)
            self.assertEqual(one.bench.engine.next_deadline(), other.bench.engine.next_deadline())
        self.assertEqual((one.bench.errors, other.bench.errors), ([], []))
        self.assertEqual(run_out(one.bench), run_out(other.bench))
        self.assertEqual(_shown(one.bench), _shown(other.bench))
        self.assertEqual(one.bench.engine.counters, other.bench.engine.counters)


class _Moved:
    """An engine that sends one kind of request, and everything that was seen of it."""

    def __init__(self, timeout: float, *, ready: bool) -> None:
        self.bench = Bench(Parameters(max_retransmit=2))
        self.seen: list[object] = []
        self._timeout = timeout
        self._ready = ready
        self._now = 0.0
        self._tokens: list[bytes] = []
        self._last = Message(numbers.CON, numbers.GET, 0, b"", (), b"")

    def make(self, move: str) -> None:
        """Make a move, and see what comes of it."""
        engine, last = self.bench.engine, self._last
        if move == "send":
            self._tokens.append(self._send())
        elif move == "abort":
            engine.abort(PEER)
        elif move == "withdraw":
            engine.withdraw(self._tokens[-1], self._now)
        elif move == "notify":
            engine.notify(PEER, b"t", Response(numbers.CONTENT), confirmable=True, now=self._now)
        elif move == "wait":
            self._now += 1.3
            self._saw(engine.expire(self._now))
        else:
            self._now += 0.1
            separate = Message(numbers.CON, numbers.CONTENT, 7, last.token, (), b"z")
            answers = {"ack": ack(last), "answer": reply(last), "separate": separate}
            answer = answers.get(move, Message(numbers.RST, 0, last.mid, b"", (), b""))
            self._saw(engine.receive([(encode(answer), PEER)], self._now))
        self._saw(engine.take())
        self.seen.append(_shown(self.bench))

    def _send(self) -> bytes:
        engine, outcome, now = self.bench.engine, self.bench.outcome, self._now
        if self._ready:
            return engine.send(PEER, prepare(numbers.GET, READ), outcome, self._timeout, now)
        return engine.request(PEER, numbers.GET, READ, on_outcome=outcome, now=now, timeout=self._timeout)

    def _saw(self, out: list[tuple[bytes, bytes]]) -> None:
        self.seen += out
        for data, _ in out:
            if decode(data).code == numbers.GET:
                self._last = decode(data)


def _shown(bench: Bench) -> list[object]:
    return [(result.message.payload if isinstance(result, Received) else result, now) for result, now in bench.outcomes]
