"""Tests of lwm2md.coap.echo: an address that nobody knows gets little before it has shown that it is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block
from lwm2md.coap.echo import Guard
from lwm2md.coap.engine import Engine, Limits, Response
from lwm2md.coap.message import Message, Options, decode, encode, options
from tests.coap.support import OTHER, PEER, Bench, Chance, reply

CON, NON = numbers.CON, numbers.NON


class GuardTests(SynchronousTestCase):
    """What the guard knows."""

    def setUp(self) -> None:
        """Have a guard that trusts nobody."""
        self.guard = Guard(Chance(), None, None, 100)

    def echo(self, peer: bytes, now: float) -> bytes:
        """Return the value that a peer is asked for."""
        return self.guard.challenge(peer, now).options[0][1]

    def test_echo(self) -> None:
        """A value proves the address that it was made for, for a while, and only that."""
        value = self.echo(PEER, 1000.0)
        self.assertEqual(len(value), 16)
        self.guard.take(OTHER, value, 1000.5)
        self.assertFalse(self.guard.knows(OTHER, 1000.5))
        self.guard.take(PEER, value, 1000.5)
        self.assertTrue(self.guard.knows(PEER, 1000.5))
        self.assertTrue(self.guard.knows(PEER, 4000.0))
        self.assertFalse(self.guard.knows(PEER, 9000.0))

    def test_old(self) -> None:
        """A value is good for 247 seconds, and not before it was made."""
        value = self.echo(PEER, 1000.0)
        for now in (999.0, 1247.0, 5000.0):
            self.guard.take(PEER, value, now)
            self.assertFalse(self.guard.knows(PEER, now))
        self.guard.take(PEER, value, 1246.0)
        self.assertTrue(self.guard.knows(PEER, 1246.0))

    @given(st.binary(max_size=40))
    def test_forged(self, value: bytes) -> None:
        """No made-up value proves anything."""
        self.guard.take(PEER, value, 1000.0)
        self.assertFalse(self.guard.knows(PEER, 1000.0))

    def test_bounded(self) -> None:
        """However many addresses prove themselves, memory is bounded."""
        for number in range(10_000):
            self.guard.confirm(b"%d" % number, 1.0)
        self.assertLessEqual(len(self.guard._known), 200)

    def test_how_much(self) -> None:
        """Everybody gets 136 bytes or three times the request, whichever is more."""
        for asked, answer, admitted in ((10, 136, True), (10, 137, False), (46, 138, True), (46, 139, False)):
            self.assertEqual(self.guard.admits(PEER, asked, answer, 1.0), admitted)


class AmplificationTests(SynchronousTestCase):
    """What an engine answers to addresses."""

    def setUp(self) -> None:
        """Have an engine that trusts nobody."""
        self.known: set[bytes] = set()
        self.bench = Bench()
        bench = self.bench
        bench.engine = Engine(
            bench.handler,
            Chance(),
            trusted=lambda _: False,
            verified=self.known.__contains__,
            on_error=bench.errors.append,
        )
        bench.handler.answer = Response(numbers.CONTENT, bytes(500))

    def send(self, mid: int, *extra: tuple[int, bytes], code: int = numbers.GET, payload: bytes = b"") -> Message:
        """Send a request; return the answer."""
        found = options(path=("3",), extra=extra)
        (answer,) = self.bench.send(Message(CON, code, mid, b"tok", found, payload), 1000.0)
        return answer

    def echo(self, answer: Message) -> tuple[int, bytes]:
        """Return the Echo option of a challenge."""
        self.assertEqual(answer.code, numbers.UNAUTHORIZED)
        value = answer.get(numbers.ECHO)
        assert value is not None
        return numbers.ECHO, value

    def test_large_answer(self) -> None:
        """A large answer needs an Echo; from then on the address is known."""
        echo = self.echo(self.send(1))
        self.assertEqual(self.send(2, (numbers.ECHO, b"wrong")).code, numbers.UNAUTHORIZED)
        self.assertEqual(len(self.send(3, echo).payload), 500)
        self.assertEqual(len(self.send(4).payload), 500)
        self.assertEqual(self.bench.engine.counters["challenged"], 2)

    def test_small_answer(self) -> None:
        """A small answer goes to anybody."""
        for size in (0, 100, 122):
            self.bench.handler.answer = Response(numbers.CONTENT, bytes(size))
            self.assertEqual(len(self.send(size).payload), size)
        self.bench.handler.answer = Response(numbers.CONTENT, bytes(600))
        self.assertEqual(self.send(999, code=numbers.POST, payload=bytes(250)).code, numbers.CONTENT)

    def test_vouched_for(self) -> None:
        """Whom the upper layer knows, or the configuration trusts, needs no Echo."""
        self.known.add(PEER)
        self.assertEqual(len(self.send(1).payload), 500)
        self.bench.engine = Engine(self.bench.handler, Chance(), trusted=lambda peer: peer == PEER)
        self.assertEqual(len(self.send(2).payload), 500)

    def test_runs_once(self) -> None:
        """What must not run twice is answered from memory after the Echo; it was run once."""
        echo = self.echo(self.send(1, code=numbers.POST))
        self.assertEqual(len(self.send(2, echo, code=numbers.POST).payload), 500)
        self.assertEqual(len(self.bench.handler.requests), 1)
        self.send(3, code=numbers.POST)
        self.assertEqual(len(self.bench.handler.requests), 2)

    def test_echo_of_a_known_one(self) -> None:
        """An Echo that nobody asked for changes nothing."""
        self.known.add(PEER)
        self.send(1, (numbers.ECHO, b"12345678"), code=numbers.POST)
        self.assertEqual(len(self.bench.handler.requests), 1)

    def test_before_it_costs(self) -> None:
        """An observation, or a body in blocks, is not begun for an address that nobody knows."""
        self.echo(self.send(1, (numbers.OBSERVE, b"")))
        block = (numbers.BLOCK1, Block(0, True, 0).encode())
        echo = self.echo(self.send(2, block, code=numbers.POST, payload=bytes(16)))
        self.assertEqual(self.bench.handler.requests, [])
        self.assertEqual(len(self.bench.engine._serving._assemblies), 0)
        self.assertEqual(self.send(3, block, echo, code=numbers.POST, payload=bytes(16)).code, numbers.CONTINUE)

    def test_answers_to_us(self) -> None:
        """Who answers a request of ours by its token is known."""
        sent = self.bench.ask()
        assert sent is not None
        self.bench.send(Message(numbers.ACK, numbers.CONTENT, sent.mid), 1000.0)
        self.assertEqual(self.send(1).code, numbers.UNAUTHORIZED)
        sent = self.bench.ask()
        assert sent is not None
        self.bench.send(reply(sent), 1000.0)
        self.assertEqual(self.send(2).code, numbers.CONTENT)

    @given(st.binary(min_size=4, max_size=80), st.integers(0, 2000))
    def test_never_too_much(self, data: bytes, size: int) -> None:
        """Whatever arrives from an unknown address, what goes back in one step keeps to the rule."""
        self.setUp()
        self.bench.handler.answer = Response(numbers.CONTENT, bytes(size))
        data = bytes((0x40 | data[0] & 0x3F,)) + data[1:]
        out = self.bench.engine.receive([(data, PEER)], 1.0)
        self.assertLessEqual(sum(len(answer) for answer, _ in out), max(3 * len(data), 136))
        self.assertEqual(self.bench.errors, [])

    def test_late_answer(self) -> None:
        """A late answer is repeated to an unknown address only as far as all copies keep to the rule."""
        for size, kind in ((10, CON), (100, NON)):
            self.setUp()
            self.bench.handler.answer = None
            self.bench.send(Message(CON, numbers.GET, 1, b"tok"), 0.0)
            self.bench.expire(1.0)
            response = Response(numbers.CONTENT, bytes(size))
            self.bench.engine.respond(self.bench.handler.requests[0], response, 2.0)
            answer = self.bench.sent()
            assert answer is not None
            self.assertEqual((answer.type, len(answer.payload)), (kind, size))

    def test_both_sides(self) -> None:
        """An engine as client and one as guarded server: one request more, and the outcome is the body."""
        client = Bench(limits=Limits())
        client.engine.request(OTHER, numbers.GET, options(path=("3",)), on_outcome=client.outcome, now=1000.0)
        out = client.engine.take()
        for _ in range(2):
            out = self.bench.engine.receive([(data, PEER) for data, _ in out], 1000.0)
            out = client.engine.receive([(data, OTHER) for data, _ in out], 1000.0)
        ((result, _),) = client.outcomes
        assert not isinstance(result, str)
        self.assertEqual(len(result.message.payload), 500)


class NoResponseTests(SynchronousTestCase):
    """RFC 7967."""

    # value of the option, code of the response, whether it is sent
    TABLE = (
        (b"", numbers.CHANGED, True),
        (b"", numbers.NOT_FOUND, True),
        (b"\x02", numbers.CHANGED, False),
        (b"\x02", numbers.NOT_FOUND, True),
        (b"\x08", numbers.CHANGED, True),
        (b"\x08", numbers.NOT_FOUND, False),
        (b"\x10", numbers.INTERNAL_SERVER_ERROR, False),
        (b"\x1a", numbers.CONTENT, False),
        (b"\x1a", numbers.BAD_REQUEST, False),
        (b"\x00\x02", numbers.CHANGED, True),
    )

    def bench(self, value: bytes, code: int) -> tuple[Bench, Options]:
        """Return an engine whose handler answers `code`, and the options of a request."""
        bench = Bench()
        bench.handler.answer = Response(code)
        return bench, ((numbers.URI_PATH, b"dp"), (numbers.NO_RESPONSE, value))

    def test_non_confirmable(self) -> None:
        """A response of no interest to a Non-confirmable request is not sent, not even to a duplicate."""
        for value, code, sent in self.TABLE:
            bench, found = self.bench(value, code)
            message = Message(NON, numbers.POST, 1, b"t", found)
            self.assertEqual(len(bench.send(message)), sent, (value, code))
            self.assertEqual(bench.send(message), [])
            self.assertEqual(len(bench.handler.requests), 1)

    def test_confirmable(self) -> None:
        """To a Confirmable request it is the empty acknowledgement, again to a duplicate, and nothing after that."""
        for value, code, sent in self.TABLE:
            bench, found = self.bench(value, code)
            message = Message(CON, numbers.POST, 1, b"t", found)
            out = bench.send(message)
            self.assertEqual([answer.code for answer in out], [code if sent else numbers.EMPTY], (value, code))
            self.assertEqual(bench.send(message), out)
            self.assertIsNone(bench.engine.next_deadline())

    def test_late(self) -> None:
        """A late answer of no interest is dropped; what was acknowledged stays so."""
        bench, found = self.bench(b"\x02", numbers.CHANGED)
        bench.handler.answer = None
        message = Message(CON, numbers.POST, 1, b"t", found)
        bench.send(message, 0.0)
        bench.expire(1.0)
        bench.engine.respond(bench.handler.requests[0], Response(numbers.CHANGED), 2.0)
        self.assertIsNone(bench.sent())
        self.assertEqual(bench.send(message, 3.0), [decode(encode(Message(numbers.ACK, 0, 1)))])
        self.assertIsNone(bench.engine.next_deadline())


class ElectiveTests(SynchronousTestCase):
    """Options that a server may ignore."""

    def test_hop_limit(self) -> None:
        """Hop-Limit is for proxies, and ignored; a value that none may have is refused by any server (RFC 8768 3)."""
        refused = (numbers.BAD_REQUEST, b"Hop-Limit is not 1 to 255")
        for value, expected in (
            (b"\x01", (numbers.CHANGED, b"")),
            (b"\xff", (numbers.CHANGED, b"")),
            (b"\x00\x05", (numbers.CHANGED, b"")),
            (b"", refused),
            (b"\x00", refused),
            (b"\x01\x00", refused),
            (bytes(9), refused),
        ):
            bench = Bench()
            (answer,) = bench.send(Message(CON, numbers.GET, 1, b"t", ((numbers.HOP_LIMIT, value),)))
            self.assertEqual((answer.code, answer.payload), expected, value)

    def test_of_a_wrong_length(self) -> None:
        """Echo, No-Response and Observe of a wrong length are as if absent."""
        for number, value in ((numbers.ECHO, b""), (numbers.ECHO, bytes(41)), (numbers.OBSERVE, bytes(4))):
            bench = Bench()
            (answer,) = bench.send(Message(CON, numbers.GET, 1, b"t", ((number, value),)))
            self.assertEqual(answer.code, numbers.CHANGED)
            self.assertEqual(bench.errors, [])
