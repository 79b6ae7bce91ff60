"""Tests of lwm2md.coap.engine: what is answered to odd messages, cell by cell, and that nothing breaks it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Limits
from lwm2md.coap.message import Message, Options, encode, options
from tests.coap.support import OTHER, PEER, Bench, ack, reply, request, rst, run_out
from tests.coap.test_message import VECTORS

CON, NON, ACK, RST = numbers.CON, numbers.NON, numbers.ACK, numbers.RST
IGNORED = ""

# what arrives, by type, with message ID 0001 and token aa; what goes out, "" for nothing
ODD_FRAMES: dict[str, tuple[str, str, str, str, str]] = {
    # name: datagram with its first byte for CON, then the answers to CON, NON, ACK, RST
    "other version": ("0100000100", IGNORED, IGNORED, IGNORED, IGNORED),
    "version 3": ("c1010001aa", IGNORED, IGNORED, IGNORED, IGNORED),
    "three bytes": ("410100", IGNORED, IGNORED, IGNORED, IGNORED),
    "token of 9": ("49010001" + "aa" * 9, "70000001", IGNORED, IGNORED, IGNORED),
    "token of 15": ("4f010001" + "aa" * 15, "70000001", IGNORED, IGNORED, IGNORED),
    "token overruns": ("44010001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "option overruns": ("41010001aab2aa", "70000001", IGNORED, IGNORED, IGNORED),
    "delta 15": ("41010001aaf0", "70000001", IGNORED, IGNORED, IGNORED),
    "length 15": ("41010001aa0f", "70000001", IGNORED, IGNORED, IGNORED),
    "marker without payload": ("41010001aaff", "70000001", IGNORED, IGNORED, IGNORED),
    "empty with a token": ("41000001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "empty with a payload": ("40000001ff61", "70000001", IGNORED, IGNORED, IGNORED),
    "class 1": ("41210001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "class 6": ("41c10001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "class 7": ("41e10001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "empty": ("40000001", "70000001", IGNORED, IGNORED, IGNORED),
    "unknown method 0.08": ("41080001aa", "61850001aa", "51851000aa", IGNORED, IGNORED),
    "unknown method 0.31": ("411f0001aa", "61850001aa", "51851000aa", IGNORED, IGNORED),
    "unknown critical option": ("41010001aad1fc00", "61820001aa", IGNORED, IGNORED, IGNORED),
    "If-Match": ("41010001aa1101", "61820001aa", IGNORED, IGNORED, IGNORED),
    "Accept twice": ("41010001aad1042801" + "28", "61820001aa", IGNORED, IGNORED, IGNORED),
    "Accept of 3 bytes": ("41010001aad304000028", "61820001aa", IGNORED, IGNORED, IGNORED),
    "Uri-Host of no bytes": ("41010001aa30", "61820001aa", IGNORED, IGNORED, IGNORED),
    "Proxy-Uri": ("41010001aad11661", "61a50001aa", "51a51000aa", IGNORED, IGNORED),
    "Proxy-Scheme": ("41010001aad11a61", "61a50001aa", "51a51000aa", IGNORED, IGNORED),
    "Uri-Path is no UTF-8": ("41010001aab1ff", "61800001aa", "51801000aa", IGNORED, IGNORED),
    "Uri-Query is no UTF-8": ("41010001aad102ff", "61800001aa", "51801000aa", IGNORED, IGNORED),
    "Block1 of a wrong size": ("41020001aad10e0e", "61800001aad10e06", "51801000aad10e06", IGNORED, IGNORED),
    "Block1 from the middle": ("41020001aad10e16", "61880001aad10e16", "51881000aad10e16", IGNORED, IGNORED),
    "Block2 of a POST from the middle": ("41020001aad10a16", "61880001aa", "51881000aa", IGNORED, IGNORED),
    "reserved Block1 size": ("41020001aad10e07", "61800001aa", "51801000aa", IGNORED, IGNORED),
    "Block1 twice": ("41020001aad10e060106", "61820001aa", IGNORED, IGNORED, IGNORED),
    "Block2 of 4 bytes": ("41010001aad40a00000006", "61820001aa", IGNORED, IGNORED, IGNORED),
    "reserved block size": ("41010001aad10a07", "61800001aa", "51801000aa", IGNORED, IGNORED),
    "response nobody waits for": ("41450001aa", "70000001", IGNORED, IGNORED, IGNORED),
    "notification nobody waits for": ("41450001aa6105", "70000001", "70000001", IGNORED, IGNORED),
    "error nobody waits for": ("41840001aa", "70000001", IGNORED, IGNORED, IGNORED),
}


class OddMessagesTests(SynchronousTestCase):
    """The table of what to do with odd messages."""

    def test_table(self) -> None:
        """Each odd message gets exactly the answer that the table names, whatever its type."""
        for name, (datagram, *answers) in ODD_FRAMES.items():
            for kind, answer in enumerate(answers):
                raw = bytearray(bytes.fromhex(datagram))
                raw[0] |= kind << 4
                bench = Bench()
                out = bench.engine.receive([(bytes(raw), PEER)], 0.0)
                # The diagnostic text of a refusal is for people; codes and options are what counts.
                sent = "".join(data.split(b"\xff")[0].hex() for data, _ in out)
                self.assertEqual(sent, answer, f"{name}, type {kind}")
                self.assertEqual(bench.handler.requests, [], name)

    def test_every_code(self) -> None:
        """Each of the 256 codes in each type of message gets what the table says of its class."""
        for code in range(1, 256):
            for kind in range(4):
                bench = Bench()
                out = bench.engine.receive([(bytes((0x41 | kind << 4, code, 0, 1, 0xAA)), PEER)], 0.0)
                sent = [data.split(b"\xff")[0].hex() for data, _ in out]
                self.assertEqual(sent, self.answers(kind, code), f"code {code}, type {kind}")
                self.assertEqual(len(bench.handler.requests), code <= numbers.IPATCH and kind in (CON, NON))

    def answers(self, kind: int, code: int) -> list[str]:
        """Return what a message with this code, ID 1 and token aa gets."""
        if kind in (ACK, RST):
            return []
        if numbers.is_request(code):
            answer = numbers.CHANGED if code <= numbers.IPATCH else numbers.METHOD_NOT_ALLOWED
            return [f"61{answer:02x}0001aa"] if kind == CON else [f"51{answer:02x}1000aa"]
        return ["70000001"] if kind == CON else []

    def test_every_length_of_a_frame(self) -> None:
        """Whatever a good message is cut to, it is Reset if Confirmable, ignored otherwise, or a shorter good one."""
        for hexes in VECTORS:
            whole = bytes.fromhex(hexes)
            for kind in range(4):
                for length in range(len(whole)):
                    bench = Bench()
                    data = bytes((whole[0] & 0xCF | kind << 4,)) + whole[1:length] if length else b""
                    out = bench.engine.receive([(data, PEER)], 0.0)
                    self.assertLessEqual(len(out), kind in (CON, NON))
                    self.assertEqual(bench.errors, [])

    def test_empty_acknowledgement_and_reset_fail_or_stop(self) -> None:
        """An empty ACK stops the retransmission, a Reset fails the exchange."""
        bench = Bench()
        sent = bench.ask()
        assert sent is not None
        self.assertEqual(bench.send(ack(sent)), [])
        self.assertEqual(bench.expire(80.0), [])
        sent = bench.ask(now=80.0, peer=OTHER)
        assert sent is not None
        bench.send(rst(sent), 81.0, OTHER)
        self.assertEqual(bench.outcomes, [("reset", 81.0)])

    def test_request_in_acknowledgement(self) -> None:
        """A request code in an ACK, and anything in a Reset, is ignored and ends nothing."""
        bench = Bench()
        sent = bench.ask()
        assert sent is not None
        for kind, code in ((ACK, numbers.GET), (RST, numbers.GET), (RST, numbers.CONTENT)):
            self.assertEqual(bench.send(Message(kind, code, sent.mid, sent.token)), [])
        self.assertEqual(bench.outcomes, [])
        self.assertEqual(bench.engine.counters["ignored"], 3)

    def test_elective_options_are_ignored(self) -> None:
        """Unknown elective options, and known ones of a wrong length or repeated, reach the handler."""
        for found in (
            ((2, b"x"),),
            ((0xFFFE, b"x"),),
            ((numbers.OBSERVE, bytes(4)),),
            ((numbers.CONTENT_FORMAT, b"\x28"), (numbers.CONTENT_FORMAT, b"\x00")),
        ):
            bench = Bench()
            self.assertEqual(bench.send(request(1, found=found))[0].code, numbers.CHANGED)

    def test_understood_critical_options(self) -> None:
        """Uri-Host, Uri-Port, Accept, and a Block2 for the first block are understood."""
        found: Options = ((3, b"host"), (7, b"\x16\x33"), (11, b"a"), (15, b"b"), (17, b"\x28"), (23, b"\x06"))
        bench = Bench()
        self.assertEqual(bench.send(request(1, found=found))[0].code, numbers.CHANGED)

    def test_whole_body_in_one_block(self) -> None:
        """A Block1 that holds the whole body is taken as the body and echoed."""
        bench = Bench()
        found: Options = ((numbers.URI_PATH, b"rd"), (numbers.BLOCK1, b"\x06"))
        (answer,) = bench.send(request(1, found=found))
        self.assertEqual(answer.get(numbers.BLOCK1), b"\x06")
        self.assertEqual(answer.code, numbers.CHANGED)

    def test_ping(self) -> None:
        """An empty Confirmable message is answered with a Reset, each time."""
        bench = Bench()
        for _ in range(30):
            self.assertEqual(bench.send(bytes.fromhex("40000009")), [Message(RST, 0, 9)])

    def test_resets_are_limited(self) -> None:
        """A peer that sends for ever what nobody wants gets some Resets a minute, then silence; it is counted."""
        bench = Bench(limits=Limits(resets_per_minute=3))
        for mid in range(10):
            bench.send(Message(NON, numbers.CONTENT, mid, b"x", options(observe=mid)))
        self.assertEqual(bench.engine.counters["resets_sent"], 3)
        self.assertEqual(bench.engine.counters["resets_withheld"], 7)
        self.assertEqual(len(bench.send(Message(CON, numbers.CONTENT, 1, b"x"), peer=OTHER)), 1)
        later = bench.send(Message(NON, numbers.CONTENT, 99, b"x", options(observe=9)), 200.0)
        self.assertEqual(later, [Message(RST, 0, 99)])

    def test_upper_layer_spares_a_stray(self) -> None:
        """A stray that the upper layer wants to keep alive is acknowledged if Confirmable, and never Reset."""
        bench = Bench()
        bench.handler.reset = False
        self.assertEqual(bench.send(Message(CON, numbers.CONTENT, 1, b"x", options(observe=1))), [Message(ACK, 0, 1)])
        self.assertEqual(bench.send(Message(NON, numbers.CONTENT, 2, b"x", options(observe=1))), [])

    def test_upper_layer_fails_on_a_stray(self) -> None:
        """If the upper layer fails on a stray, nothing is answered, so that the peer tries again."""
        bench = Bench()
        bench.handler.fail_unexpected = True
        message = Message(CON, numbers.CONTENT, 1, b"x")
        self.assertEqual(bench.send(message), [])
        bench.handler.fail_unexpected = False
        self.assertEqual(bench.send(message), [Message(RST, 0, 1)])
        self.assertIn("RuntimeError: stray", bench.errors[0])


class BatchTests(SynchronousTestCase):
    """Datagrams come in batches."""

    def test_answers_in_order(self) -> None:
        """The answers to a batch come in its order, each to its peer; a broken datagram between harms nobody."""
        bench = Bench()
        batch = [(encode(request(1)), PEER), (b"\x40", PEER), (encode(request(2)), OTHER)]
        out = bench.engine.receive(batch, 0.0)
        self.assertEqual([peer for _, peer in out], [PEER, OTHER])
        self.assertEqual(bench.engine.counters["received"], 3)
        self.assertEqual(bench.engine.counters["sent"], 2)
        self.assertEqual(bench.engine.counters["malformed"], 1)
        self.assertEqual(bench.engine.take(), [])

    def test_empty_batch(self) -> None:
        """An empty batch is answered with nothing."""
        self.assertEqual(Bench().engine.receive([], 0.0), [])


class HostileTests(SynchronousTestCase):
    """Whatever arrives, nothing is raised and memory stays bounded."""

    @given(st.lists(st.binary(max_size=40), max_size=20))
    def test_any_bytes(self, datagrams: list[bytes]) -> None:
        """Any bytes leave the engine working and no exception in the log."""
        bench = Bench()
        bench.engine.receive([(data, PEER) for data in datagrams], 0.0)
        run_out(bench)
        self.assertEqual(bench.errors, [])
        self.assertEqual(bench.send(request(7, b"unused!"))[0].code, numbers.CHANGED)

    @given(st.sampled_from(sorted(VECTORS)), st.integers(0, 30), st.integers(0, 255))
    def test_mutated(self, vector: str, at: int, value: int) -> None:
        """A real datagram with a byte changed raises nothing, with requests of ours under way."""
        bench = Bench()
        bench.observe()
        raw = bytearray(bytes.fromhex(vector))
        raw[at % len(raw)] = value
        bench.engine.receive([(bytes(raw), PEER)], 1.0)
        run_out(bench)
        self.assertEqual(bench.errors, [])

    def test_spoofed_peers(self) -> None:
        """A hundred thousand made-up peers leave no more behind than the limits allow."""
        bench = Bench(limits=Limits(reply_bytes=1_000_000, peers=1000, pending=50))
        ping = encode(Message(CON, numbers.CONTENT, 1, b"x"))
        update = encode(request(1))
        for start in range(0, 100_000, 100):
            peers = [number.to_bytes(13, "big") for number in range(start, start + 100)]
            bench.engine.receive([(ping, peer) for peer in peers], 0.0)
            bench.engine.receive([(update, peer) for peer in peers], 0.0)
        bench.handler.requests.clear()
        bench.handler.strays.clear()
        engine = bench.engine
        self.assertLess(len(engine._replies), 4000)
        self.assertLessEqual(len(engine._resets), 2000)
        bench.handler.answer = None
        for number in range(10_000):
            engine.receive([(update, number.to_bytes(14, "big"))], 1.0)
        self.assertEqual(len(engine._serving), 50)
        self.assertEqual(engine.counters["overloaded"], 9950)


class CallTests(SynchronousTestCase):
    """Calls between the layers."""

    def test_request_from_within_an_outcome(self) -> None:
        """What the upper layer sends while it takes an outcome goes out in the same batch."""
        bench = Bench()

        def again(*_: object) -> None:
            bench.engine.request(OTHER, numbers.PUT, on_outcome=bench.outcome, now=1.0)

        bench.engine.request(PEER, numbers.GET, on_outcome=again, now=0.0)
        sent = bench.sent()
        assert sent is not None
        out = bench.send(reply(sent), 1.0)
        self.assertEqual([message.code for message in out], [numbers.PUT])

    def test_failing_callbacks(self) -> None:
        """An exception in an outcome is reported and counted, and the rest of the batch goes on."""
        bench = Bench()

        def outcome(*_: object) -> None:
            raise RuntimeError("outcome")

        bench.engine.request(PEER, numbers.GET, on_outcome=outcome, now=0.0)
        sent = bench.sent()
        assert sent is not None
        out = bench.engine.receive([(encode(reply(sent)), PEER), (encode(request(5)), OTHER)], 1.0)
        self.assertEqual(len(out), 1)
        self.assertIn("RuntimeError: outcome", bench.errors[0])
        self.assertEqual(bench.engine.counters["errors"], 1)
