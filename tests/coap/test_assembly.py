"""Tests of lwm2md.coap.assembly: bodies of requests to us, block by block."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, parse
from lwm2md.coap.engine import Limits, Parameters, Response
from lwm2md.coap.message import Message, options, uint
from tests.coap.support import OTHER, PEER, Bench, run_out

CON = numbers.CON
BODY = bytes(range(256)) * 4


def block(value: bytes | None) -> Block | None:
    """Return the block of an option that may be missing."""
    return None if value is None else parse(value)


class Sender:
    """Sends blocks of a request to a bench."""

    def __init__(self, bench: Bench, peer: bytes = PEER) -> None:
        self.bench = bench
        self.peer = peer
        self.mid = 0

    def send(
        self,
        number: int,
        more: bool,
        szx: int,
        payload: bytes,
        *,
        now: float = 0.0,
        content_format: int | None = None,
        extra: tuple[tuple[int, bytes], ...] = (),
        path: str = "rd",
    ) -> Message:
        """Send one block; return the answer."""
        self.mid += 1
        value = Block(number, more, szx).encode()
        found = options(path=(path,), content_format=content_format, extra=((numbers.BLOCK1, value), *extra))
        message = Message(CON, numbers.POST, self.mid, b"tok", found, payload)
        (answer,) = self.bench.send(message, now, self.peer)
        return answer

    def code(self, number: int, more: bool, szx: int, payload: bytes, *, now: float = 0.0) -> int:
        """Send one block; return the code of the answer."""
        return self.send(number, more, szx, payload, now=now).code


class AssemblyTests(SynchronousTestCase):
    """What a body becomes, and what is refused."""

    def setUp(self) -> None:
        """Have an engine and somebody who sends to it."""
        self.bench = Bench()
        self.sender = Sender(self.bench)

    def body(self) -> bytes:
        """Return what the handler got last."""
        return self.bench.handler.requests[-1].message.payload

    def test_vector(self) -> None:
        """PUT /5/0/0 of 3000 bytes with our wish for 256, byte by byte as the reference shows."""
        bench = Bench(Parameters(block_szx=4))
        body = bytes(number % 251 for number in range(3000))
        head = "410300100ab13501300130112ad1020ed2140bb8ff"
        ((answer, _),) = bench.engine.receive([(bytes.fromhex(head) + body[:1024], PEER)], 0.0)
        self.assertEqual(answer.hex(), "615f00100ad10e0c")
        for number in range(4, 11):
            head = f"410300{number + 13:02x}0ab13501300130112ad102{number << 4 | 12:02x}ff"
            chunk = body[number * 256 : number * 256 + 256]
            ((answer, _),) = bench.engine.receive([(bytes.fromhex(head) + chunk, PEER)], 1.0)
            self.assertEqual(answer.hex(), f"615f00{number + 13:02x}0ad10e{number << 4 | 12:02x}")
        last = bytes.fromhex("410300180ab13501300130112ad102b4ff") + body[2816:]
        ((answer, _),) = bench.engine.receive([(last, PEER)], 2.0)
        self.assertEqual(answer.hex(), "614400180ad10eb4")
        (request,) = bench.handler.requests
        self.assertEqual((request.message.payload, request.message.content_format), (body, 42))
        self.assertEqual([number for number, _ in request.message.options], [11, 11, 11, 12])
        self.assertEqual(len(bench.engine._serving._assemblies), 0)

    def test_response_waits(self) -> None:
        """A late answer to a whole body carries the last block's option, too."""
        self.bench.handler.answer = None
        self.sender.send(0, True, 0, BODY[:16])
        value = Block(1, False, 0).encode()
        last = Message(CON, numbers.POST, 9, b"tok", options(path=("rd",), extra=((numbers.BLOCK1, value),)), b"end")
        self.assertEqual(self.bench.send(last), [])
        self.bench.engine.respond(self.bench.handler.requests[0], Response(numbers.CHANGED), 0.5)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual((answer.mid, block(answer.get(numbers.BLOCK1))), (9, Block(1, False, 0)))
        self.assertEqual(self.body(), BODY[:16] + b"end")

    def test_gap(self) -> None:
        """A missing block gets 4.08, and the transfer may go on where it was."""
        self.sender.code(0, True, 0, BODY[:16])
        self.assertEqual(self.sender.code(2, True, 0, BODY[32:48]), numbers.REQUEST_ENTITY_INCOMPLETE)
        self.assertEqual(self.sender.code(1, True, 0, BODY[16:32]), numbers.CONTINUE)
        self.assertEqual(self.bench.handler.requests, [])

    def test_unknown_start(self) -> None:
        """A later block of a transfer that nobody knows gets 4.08: of another peer, path, tag, or after a restart."""
        self.assertEqual(self.sender.code(1, True, 0, BODY[:16]), numbers.REQUEST_ENTITY_INCOMPLETE)
        self.sender.code(0, True, 0, BODY[:16])
        self.assertEqual(Sender(self.bench, OTHER).code(1, False, 0, b""), numbers.REQUEST_ENTITY_INCOMPLETE)
        other = self.sender.send(1, False, 0, b"x", path="other")
        self.assertEqual(other.code, numbers.REQUEST_ENTITY_INCOMPLETE)
        tagged = self.sender.send(1, False, 0, b"x", extra=((numbers.REQUEST_TAG, b"t"),))
        self.assertEqual(tagged.code, numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_concurrent(self) -> None:
        """Transfers with another Request-Tag, or of another peer, are kept apart."""
        other = Sender(self.bench, OTHER)
        tag = ((numbers.REQUEST_TAG, b"t"),)
        self.sender.send(0, True, 0, b"a" * 16)
        self.sender.send(0, True, 0, b"b" * 16, extra=tag)
        other.send(0, True, 0, b"c" * 16)
        self.sender.send(1, False, 0, b"A")
        self.assertEqual(self.body(), b"a" * 16 + b"A")
        self.sender.send(1, False, 0, b"B", extra=tag)
        self.assertEqual(self.body(), b"b" * 16 + b"B")
        other.send(1, False, 0, b"C")
        self.assertEqual(self.body(), b"c" * 16 + b"C")

    def test_content_format(self) -> None:
        """Another Content-Format gets 4.08; one that only block 0 names holds for the body."""
        self.sender.send(0, True, 0, BODY[:16], content_format=40)
        answer = self.sender.send(1, False, 0, b"x", content_format=42)
        self.assertEqual(answer.code, numbers.REQUEST_ENTITY_INCOMPLETE)
        self.assertEqual(self.sender.code(1, False, 0, b"x"), numbers.CHANGED)
        self.assertEqual(self.bench.handler.requests[0].message.content_format, 40)

    def test_wrong_size(self) -> None:
        """A block that does not have its size gets 4.00, also a last one that is longer."""
        for number, more, payload in ((0, True, b"short"), (0, True, BODY[:17]), (0, False, BODY[:17])):
            answer = self.sender.send(number, more, 0, payload)
            self.assertEqual(answer.code, numbers.BAD_REQUEST)
        self.assertEqual(self.bench.handler.requests, [])

    def test_restart(self) -> None:
        """Block 0 begins anew."""
        self.sender.code(0, True, 0, b"a" * 16)
        self.sender.code(1, True, 0, b"b" * 16)
        self.sender.code(0, True, 0, b"c" * 16)
        self.assertEqual(self.sender.code(1, False, 0, b"d"), numbers.CHANGED)
        self.assertEqual(self.body(), b"c" * 16 + b"d")

    def test_repeated_block(self) -> None:
        """The last block may come again under a new message ID, with the same bytes, and counts once."""
        self.sender.code(0, True, 0, BODY[:16])
        self.sender.code(1, True, 0, BODY[16:32])
        self.assertEqual(self.sender.code(1, True, 0, BODY[16:32]), numbers.CONTINUE)
        self.assertEqual(self.sender.code(1, True, 0, b"x" * 16), numbers.REQUEST_ENTITY_INCOMPLETE)
        self.assertEqual(self.sender.code(2, False, 0, b"end"), numbers.CHANGED)
        self.assertEqual(self.body(), BODY[:32] + b"end")

    def test_size_changes(self) -> None:
        """The size may become smaller and larger on the way while the byte offset fits."""
        self.sender.code(0, True, 2, BODY[:64])
        self.assertEqual(self.sender.code(4, True, 0, BODY[64:80]), numbers.CONTINUE)
        self.assertEqual(self.sender.code(5, True, 0, BODY[80:96]), numbers.CONTINUE)
        self.assertEqual(self.sender.code(3, True, 1, BODY[96:128]), numbers.CONTINUE)
        self.assertEqual(self.sender.code(1, False, 3, BODY[128:200]), numbers.CHANGED)
        self.assertEqual(self.body(), BODY[:200])

    def test_old_size_after_our_wish(self) -> None:
        """Who keeps to the old size after our wish for a smaller one may."""
        bench = Bench(Parameters(block_szx=0))
        sender = Sender(bench)
        for number in range(3):
            answer = sender.send(number, True, 1, BODY[number * 32 : number * 32 + 32])
            self.assertEqual(block(answer.get(numbers.BLOCK1)), Block(number, True, 0))
        self.assertEqual(sender.code(3, False, 1, b"end"), numbers.CHANGED)
        self.assertEqual(bench.handler.requests[0].message.payload, BODY[:96] + b"end")

    def test_too_large(self) -> None:
        """A body beyond the limit gets 4.13 with Size1, at block 0 if it says so, else when it is."""
        bench = Bench(Parameters(block_szx=0), Limits(body=40))
        sender = Sender(bench)
        answer = sender.send(0, True, 1, BODY[:32], extra=((numbers.SIZE1, uint(41)),))
        self.assertEqual((answer.code, answer.get(numbers.SIZE1)), (numbers.REQUEST_ENTITY_TOO_LARGE, uint(40)))
        self.assertEqual(block(answer.get(numbers.BLOCK1)), Block(0, False, 0))
        self.assertEqual(sender.code(0, True, 1, BODY[:32]), numbers.CONTINUE)
        self.assertEqual(sender.code(1, False, 1, BODY[32:41]), numbers.REQUEST_ENTITY_TOO_LARGE)
        self.assertEqual(sender.code(1, False, 1, BODY[32:40]), numbers.REQUEST_ENTITY_INCOMPLETE)

    def test_budget(self) -> None:
        """When all bodies together are too much, 5.03 with Max-Age is the answer, and others go on."""
        bench = Bench(limits=Limits(assembly_bytes=3500, busy_max_age=7))
        sender, other = Sender(bench), Sender(bench, OTHER)
        self.assertEqual(sender.code(0, True, 6, BODY), numbers.CONTINUE)
        answer = other.send(0, True, 6, BODY[:1023] + b"!")
        self.assertEqual(answer.code, numbers.CONTINUE)
        refused = Sender(bench, b"third").send(0, True, 6, BODY)
        self.assertEqual((refused.code, refused.max_age), (numbers.SERVICE_UNAVAILABLE, 7))
        self.assertEqual(other.send(1, True, 6, BODY).code, numbers.SERVICE_UNAVAILABLE)
        self.assertEqual(sender.code(1, False, 6, b"end"), numbers.CHANGED)

    def test_few_per_peer(self) -> None:
        """A peer that begins more transfers than it may loses its oldest."""
        for path in ("a", "b", "c"):
            self.sender.send(0, True, 0, BODY[:16], path=path)
        codes = [self.sender.send(1, False, 0, b"x", path=path).code for path in ("a", "b", "c")]
        self.assertEqual(codes, [numbers.REQUEST_ENTITY_INCOMPLETE, numbers.CHANGED, numbers.CHANGED])

    def test_time_limit(self) -> None:
        """A transfer without a block for 247 seconds is forgotten, and the engine sets a deadline for it."""
        self.sender.code(0, True, 0, BODY[:16])
        self.sender.code(1, True, 0, BODY[16:32], now=200.0)
        self.assertEqual(self.bench.engine.next_deadline(), 447.0)
        self.assertEqual(self.sender.code(2, True, 0, BODY[32:48], now=446.0), numbers.CONTINUE)
        run_out(self.bench)
        self.assertEqual(len(self.bench.engine._serving._assemblies), 0)
        self.assertEqual(self.sender.code(3, False, 0, b"", now=694.0), numbers.REQUEST_ENTITY_INCOMPLETE)

    @given(st.binary(max_size=300), st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 3))
    def test_any_sizes(self, body: bytes, sizes: list[int], ours: int) -> None:
        """A body arrives whole whatever sizes it is cut into, as long as each begins where the last one ended."""
        bench = Bench(Parameters(block_szx=ours))
        sender = Sender(bench)
        offset = 0
        wishes = iter(sizes)
        while True:
            szx = next((szx for szx in [next(wishes, 0), 0] if offset % (16 << szx) == 0), 0)
            size = 16 << szx
            more = offset + size < len(body)
            code = sender.code(offset // size, more, szx, body[offset : offset + size])
            offset += size
            if not more:
                break
            self.assertEqual(code, numbers.CONTINUE)
        self.assertEqual(code, numbers.CHANGED)
        self.assertEqual([request.message.payload for request in bench.handler.requests], [body])
        self.assertEqual(bench.errors, [])
