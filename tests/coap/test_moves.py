"""Every move in every state, legal or not: nothing breaks, each request ends once, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block
from lwm2md.coap.engine import Parameters, Received, Response
from lwm2md.coap.message import Message, Options, decode, encode, options
from tests.coap.support import PEER, Bench

CON, NON, ACK, RST = numbers.CON, numbers.NON, numbers.ACK, numbers.RST
UNKNOWN = {
    # number: critical?, one of each class of RFC 7252 5.4.6: unsafe, safe, no part of the cache key
    65: True,
    67: True,
    69: True,
    93: True,
    64: False,
    66: False,
    68: False,
    92: False,
    2049: True,
    2048: False,
    65535: True,
    65534: False,
}
CODES = (
    numbers.EMPTY,
    numbers.CONTENT,
    numbers.CHANGED,
    numbers.CONTINUE,
    numbers.UNAUTHORIZED,
    numbers.NOT_FOUND,
    numbers.REQUEST_ENTITY_INCOMPLETE,
    numbers.REQUEST_ENTITY_TOO_LARGE,
    numbers.INTERNAL_SERVER_ERROR,
    numbers.GET,
)

extras: st.SearchStrategy[Options] = st.lists(
    st.one_of(
        st.tuples(st.just(numbers.OBSERVE), st.binary(max_size=3)),
        st.tuples(st.just(numbers.ETAG), st.sampled_from((b"1", b"2"))),
        st.tuples(
            st.sampled_from((numbers.BLOCK1, numbers.BLOCK2)),
            st.builds(lambda *parts: Block(*parts).encode(), st.integers(0, 4), st.booleans(), st.integers(0, 7)),
        ),
        st.tuples(st.sampled_from((numbers.SIZE1, numbers.SIZE2)), st.binary(max_size=5)),
        st.tuples(st.just(numbers.ECHO), st.binary(max_size=8)),
        st.tuples(st.sampled_from(tuple(UNKNOWN)), st.just(b"")),
    ),
    max_size=3,
    unique_by=lambda option: option[0],
).map(lambda found: tuple(sorted(found)))
payloads = st.sampled_from((b"", b"x", bytes(16), bytes(32)))


Sending = tuple[int, int, int, bool, Options, bytes]
"""Type, code, how old the message is that it refers to, whether by the right ID, options, payload."""


class ClientMoves:
    """A client with one request of some kind under way, and a peer that does anything."""

    def __init__(self, kind: str) -> None:
        self.bench = Bench(Parameters(block_szx=0))
        self.now = 0.0
        bench = self.bench
        payload = bytes(40) if "push" in kind else b""
        if kind == "observe":
            self.token = bench.engine.observe(
                PEER, numbers.GET, on_outcome=bench.outcome, on_notification=bench.notification, now=0.0
            )
        else:
            self.token = bench.engine.request(
                PEER, numbers.POST, (), payload, on_outcome=bench.outcome, confirmable=kind != "non", now=0.0
            )
        self.seen: list[Message] = []
        self._take(bench.engine.take())

    def _take(self, out: list[tuple[bytes, bytes]]) -> None:
        self.seen += [message for message in map(decode, [data for data, _ in out]) if message.type in (CON, NON)]

    def send(self, sending: Sending) -> None:
        """Let the peer send something that refers to the last message, or to an older one."""
        kind, code, age, same, found, payload = sending
        self.now += 0.1
        last = self.seen[-1 - age % len(self.seen)]
        empty = code == numbers.EMPTY
        mid = last.mid if kind in (ACK, RST) else int(self.now * 10) + 20_000
        message = Message(
            kind,
            code,
            mid if same else mid ^ 1,
            b"" if empty else last.token,
            () if empty else found,
            b"" if empty else payload,
        )
        self._take(self.bench.engine.receive([(encode(message), PEER)], self.now))

    def act(self, what: str) -> None:
        """Let the layer above do something."""
        engine = self.bench.engine
        self.now += 0.1
        actions: dict[str, Callable[[], object]] = {
            "withdraw": lambda: engine.withdraw(self.token, self.now),
            "forget": lambda: engine.forget(self.token),
            "abort": lambda: engine.abort(PEER),
            "wait": lambda: None,
        }
        actions[what]()
        if what == "wait":
            self.now += 3.0
        self._take(engine.expire(self.now))

    def end(self) -> None:
        """Let everything run out."""
        engine = self.bench.engine
        engine.forget(self.token)
        while (when := engine.next_deadline()) is not None:
            self.now = max(when, self.now)
            engine.expire(self.now)


sendings = st.tuples(
    st.sampled_from((CON, NON, ACK, ACK, RST)),
    st.sampled_from(CODES),
    st.integers(0, 2),
    st.booleans(),
    extras,
    payloads,
)
moves = st.lists(st.one_of(sendings, st.sampled_from(("withdraw", "forget", "abort", "wait"))), max_size=8)


class ClientMovesTests(SynchronousTestCase):
    """Moves of a peer that answers."""

    @settings(max_examples=400)
    @given(st.sampled_from(("plain", "non", "push", "observe")), moves)
    def test_any_moves(self, kind: str, made: list[Sending | str]) -> None:
        """Whatever the peer and the layer above do, there is one outcome, no exception, and nothing left."""
        client = ClientMoves(kind)
        for move in made:
            if isinstance(move, str):
                client.act(move)
            else:
                client.send(move)
        client.end()
        self.assertEqual(len(client.bench.outcomes), 1)
        self.assertEqual(client.bench.errors, [])
        engine = client.bench.engine
        left = (engine._exchanges._lanes, engine._exchanges, engine._requests.asks)
        self.assertEqual([len(part) for part in left], [0, 0, 0])
        self.assertEqual(engine._requests.observations, {})


requests = st.tuples(
    st.sampled_from((CON, NON)),
    st.sampled_from((numbers.GET, numbers.POST, numbers.FETCH)),
    st.integers(1, 3),
    extras,
    payloads,
)


class ServerMovesTests(SynchronousTestCase):
    """Moves of a peer that asks."""

    @settings(max_examples=400)
    @given(st.lists(st.one_of(requests, st.sampled_from(("answer", "late", "wait"))), max_size=10))
    def test_any_moves(self, made: list[tuple[int, int, int, Options, bytes] | str]) -> None:
        """Whatever is asked in whatever order, nothing is raised, each answer is legal, and nothing is left."""
        bench = Bench(Parameters(block_szx=0))
        content = Response(numbers.CONTENT, bytes(range(50)))
        bench.handler.answer = content
        now = 0.0
        answered = 0
        for move in made:
            now += 0.1
            if move == "late":
                bench.handler.answer = None
            elif move == "answer":
                bench.handler.answer = content
            elif move == "wait":
                now += 2.0
                bench.engine.expire(now)
                for request in bench.handler.requests[answered:]:
                    if request.stage in (1, 2):
                        bench.engine.respond(request, content, now)
                answered = len(bench.handler.requests)
            elif not isinstance(move, str):
                kind, code, mid, found, payload = move
                message = Message(kind, code, mid, b"tok", options(path=("5",), extra=found), payload)
                for data, _ in bench.engine.receive([(encode(message), PEER)], now):
                    self.assertLessEqual(len(decode(data).payload), 64)
        self.assertEqual(bench.errors, [])
        engine = bench.engine
        while (when := engine.next_deadline()) is not None:
            engine.expire(max(when, now))
        left = (engine._exchanges._lanes, engine._serving, engine._serving._assemblies, engine._slices)
        self.assertEqual([len(part) for part in left], [0, 0, 0, 0])


class UnknownOptionsTests(SynchronousTestCase):
    """Options of every class that nobody here knows."""

    def test_in_requests(self) -> None:
        """A critical one is refused with 4.02, or ignored if the request is Non-confirmable; others are ignored."""
        for number, critical in UNKNOWN.items():
            bench = Bench()
            found: Options = ((number, b"x"),)
            (answer,) = bench.send(Message(CON, numbers.GET, 1, b"t", found))
            self.assertEqual(answer.code, numbers.BAD_OPTION if critical else numbers.CHANGED, number)
            out = bench.send(Message(NON, numbers.GET, 2, b"t", found))
            self.assertEqual(len(out), not critical, number)

    def test_in_responses(self) -> None:
        """A critical one makes the response unusable, whatever message carries it; others are ignored."""
        for number, critical in UNKNOWN.items():
            for kind in (CON, NON, ACK):
                bench = Bench()
                sent = bench.ask()
                assert sent is not None
                mid = sent.mid if kind == ACK else 900
                out = bench.send(Message(kind, numbers.CONTENT, mid, sent.token, ((number, b"x"),)))
                ((result, _),) = bench.outcomes
                self.assertEqual(isinstance(result, Received), not critical, number)
                types = [message.type for message in out]
                self.assertEqual(types, [RST if critical else ACK] if kind == CON else [], number)

    def test_in_blocks(self) -> None:
        """A critical one in any block refuses that block."""
        bench = Bench()
        block = (numbers.BLOCK1, Block(0, True, 0).encode())
        (answer,) = bench.send(Message(CON, numbers.POST, 1, b"t", (block, (65, b"")), bytes(16)))
        self.assertEqual(answer.code, numbers.BAD_OPTION)
        self.assertEqual(len(bench.engine._serving._assemblies), 0)
