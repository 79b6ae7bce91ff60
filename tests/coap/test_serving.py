"""Tests of lwm2md.coap.serving: duplicates, late answers, handlers that fail."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Limits, Response
from lwm2md.coap.message import Message, encode, encode_body, options
from lwm2md.coap.places import Places, QuickPlaces
from tests.coap.support import CHANGED, OTHER, Bench, ack, request, rst, run_out

CON, NON, ACK, RST = numbers.CON, numbers.NON, numbers.ACK, numbers.RST
CONTENT = Response(numbers.CONTENT, b"21.5", options(content_format=0))


class DuplicateTests(SynchronousTestCase):
    """A message is known by peer, message ID and token."""

    def test_same_answer(self) -> None:
        """A repeated Confirmable request gets the identical answer and is processed once."""
        bench = Bench()
        bench.handler.answer = CONTENT
        first = bench.send(request(1), 0.0)
        bench.handler.answer = CHANGED
        self.assertEqual(bench.send(request(1), 246.0), first)
        self.assertEqual(len(bench.handler.requests), 1)
        self.assertEqual(bench.engine.counters["duplicates"], 1)

    def test_forgotten_after_exchange_lifetime(self) -> None:
        """After EXCHANGE_LIFETIME the same message is a new one."""
        bench = Bench()
        bench.send(request(1), 0.0)
        self.assertEqual(len(bench.send(request(1), 247.0)), 1)
        self.assertEqual(len(bench.handler.requests), 2)

    def test_other_token(self) -> None:
        """The same message ID with another token is a new message: the device has restarted."""
        bench = Bench()
        bench.send(request(1, b"one"))
        bench.send(request(1, b"two"))
        bench.send(request(1, b""))
        self.assertEqual(len(bench.handler.requests), 3)

    def test_other_peer(self) -> None:
        """The same message of another peer is a new message."""
        bench = Bench()
        bench.send(request(1))
        bench.send(request(1), peer=OTHER)
        self.assertEqual(len(bench.handler.requests), 2)

    def test_non_confirmable(self) -> None:
        """A repeated Non-confirmable request is dropped, up to NON_LIFETIME."""
        bench = Bench()
        (answer,) = bench.send(request(1, kind=NON))
        self.assertEqual((answer.type, answer.code, answer.token), (NON, numbers.CHANGED, b"tokn"))
        self.assertEqual(bench.send(request(1, kind=NON), 144.0), [])
        self.assertEqual(len(bench.send(request(1, kind=NON), 145.0)), 1)

    def test_few_per_peer(self) -> None:
        """The last few messages of a peer are known, the ones before are not."""
        bench = Bench(limits=Limits(reply_tail=20))
        for mid in (1, 2, 3):
            bench.send(request(mid))
        bench.send(request(2))
        bench.send(request(3))
        self.assertEqual(len(bench.handler.requests), 3)
        bench.send(request(1))
        self.assertEqual(len(bench.handler.requests), 4)

    def test_repeated_reset(self) -> None:
        """A repeated stray gets the identical Reset, and is shown to the upper layer once."""
        bench = Bench()
        stray = Message(CON, numbers.CONTENT, 5, b"x")
        self.assertEqual(bench.send(stray), bench.send(stray))
        self.assertEqual(len(bench.handler.strays), 1)


class GlanceTests(SynchronousTestCase):
    """Requests that the layer above knows by their bytes."""

    KNOWN = options(path=("rd", "a"))

    def setUp(self) -> None:
        """Know one request, and keep what was asked for."""
        self.asked: list[str] = []
        self.code: int = numbers.CHANGED
        self.failing = False
        places: Places[str] = QuickPlaces()
        places[encode_body(self.KNOWN, b"")] = "a"
        self.find_all = places.find_all
        self.bench = Bench(glance=self)

    def take(self, subject: str, peer: bytes, now: float) -> int:
        """Answer the request that is known, or fail."""
        self.asked.append(subject)
        if self.failing:
            raise ValueError("for the test")
        return self.code

    def known(self, mid: int = 1, kind: int = CON, code: int = numbers.POST, payload: bytes = b"") -> Message:
        """The request that is known, or one much like it."""
        return Message(kind, code, mid, b"tokn", self.KNOWN, payload)

    def test_known(self) -> None:
        """It is answered as any other, and never gets to the handler."""
        (answer,) = self.bench.send(self.known())
        self.assertEqual(answer, Message(ACK, numbers.CHANGED, 1, b"tokn"))
        self.assertEqual((self.bench.handler.requests, len(self.asked)), ([], 1))

    def test_duplicate(self) -> None:
        """A duplicate gets the identical answer, and nobody is asked again."""
        first = self.bench.send(self.known(), 0.0)
        self.code = numbers.NOT_FOUND
        self.assertEqual(self.bench.send(self.known(), 1.0), first)
        self.assertEqual((len(self.asked), self.bench.engine.counters["duplicates"]), (1, 1))

    def test_unknown(self) -> None:
        """What differs in anything but message ID and token is decoded and handled."""
        others = [self.known(1, payload=b"x"), self.known(2, kind=NON), self.known(3, code=numbers.PUT)]
        for message in [*others, Message(CON, numbers.POST, 4, b"tokn", options(path=("rd", "b")))]:
            self.assertEqual([answer.code for answer in self.bench.send(message)], [numbers.CHANGED])
        self.assertEqual(len(self.bench.handler.requests), 4)

    def test_pending(self) -> None:
        """While the first one is pending, a duplicate is not answered before it."""
        self.bench.handler.answer = None
        self.code = 0
        self.assertEqual(self.bench.send(self.known()), [])
        self.code = numbers.CHANGED
        self.assertEqual(self.bench.send(self.known(), 0.1), [])
        self.assertEqual(self.bench.engine.counters["duplicates"], 1)

    def test_malformed(self) -> None:
        """Datagrams that begin like one and end too early are refused as ever."""
        whole = encode(self.known())
        for end in range(2, len(whole)):
            codes = [answer.code for answer in self.bench.send(whole[:end], peer=b"p%d" % end)]
            self.assertIn(codes, ([], [numbers.EMPTY], [numbers.CHANGED]), end)
        self.assertEqual(self.asked, [])

    def test_failing(self) -> None:
        """An exception is reported, and the request is handled as if nobody had been asked."""
        self.failing = True
        self.assertEqual([answer.code for answer in self.bench.send(self.known())], [numbers.CHANGED])
        self.assertEqual((len(self.bench.handler.requests), len(self.bench.errors)), (1, 1))


class LateAnswerTests(SynchronousTestCase):
    """Answers that are not ready at once."""

    def setUp(self) -> None:
        """Have one request pending."""
        self.bench = Bench()
        self.bench.handler.answer = None
        self.assertEqual(self.bench.send(request(1), 0.0), [])
        self.request = self.bench.handler.requests[0]

    def test_in_time(self) -> None:
        """An answer within a second rides on the acknowledgement, and duplicates get it from then on."""
        self.assertEqual(self.bench.send(request(1), 0.3), [])
        self.bench.engine.respond(self.request, CONTENT, 0.5)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual((answer.type, answer.mid, answer.token, answer.payload), (ACK, 1, b"tokn", b"21.5"))
        self.assertEqual(self.bench.send(request(1), 1.0), [answer])
        self.assertIsNone(self.bench.engine.next_deadline())

    def test_empty_acknowledgement(self) -> None:
        """After a second the empty acknowledgement goes out, and again to each duplicate."""
        self.assertEqual(self.bench.engine.next_deadline(), 1.0)
        self.assertEqual(self.bench.expire(1.0), [Message(ACK, 0, 1)])
        self.assertEqual(self.bench.send(request(1), 2.0), [Message(ACK, 0, 1)])
        self.assertEqual(len(self.bench.handler.requests), 1)

    def test_separate_response(self) -> None:
        """The answer is then Confirmable with the request's token, and repeated until it is acknowledged."""
        self.bench.expire(1.0)
        self.bench.engine.respond(self.request, CONTENT, 5.0)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual((answer.type, answer.token, answer.payload), (CON, b"tokn", b"21.5"))
        self.assertEqual(self.bench.send(request(1), 6.0), [Message(ACK, 0, 1)])
        self.assertEqual(self.bench.expire(8.0), [answer])
        self.bench.send(ack(answer), 8.5)
        self.assertIsNone(self.bench.engine.next_deadline())

    def test_separate_response_is_lost(self) -> None:
        """A separate response that nobody acknowledges is given up and counted; so is one that is Reset."""
        self.bench.expire(1.0)
        self.bench.engine.respond(self.request, CONTENT, 5.0)
        self.bench.engine.take()
        self.assertEqual(len(run_out(self.bench)), 4)
        self.assertEqual(self.bench.engine.counters["undelivered"], 1)
        self.bench.send(request(2), 100.0)
        self.bench.expire(101.0)
        self.bench.engine.respond(self.bench.handler.requests[1], CONTENT, 102.0)
        answer = self.bench.sent()
        assert answer is not None
        self.bench.send(rst(answer), 103.0)
        self.assertEqual(self.bench.engine.counters["undelivered"], 2)

    def test_separate_response_goes_past_the_queue(self) -> None:
        """A separate response does not wait behind a request of ours to the same peer."""
        self.bench.ask(0.5)
        self.bench.expire(1.0)
        self.bench.engine.respond(self.request, CONTENT, 1.5)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual(answer.payload, b"21.5")

    def test_non_confirmable(self) -> None:
        """A Non-confirmable request gets no empty acknowledgement; its answer is Non-confirmable."""
        self.bench.send(request(2, b"two", NON), 0.0)
        self.bench.expire(1.0)
        self.assertEqual(self.bench.send(request(2, b"two", NON), 2.0), [])
        self.bench.engine.respond(self.bench.handler.requests[1], CONTENT, 3.0)
        answer = self.bench.sent()
        assert answer is not None
        self.assertEqual((answer.type, answer.token), (NON, b"two"))

    def test_together(self) -> None:
        """Many answers at once are what each would be for itself: in time, late, Non-confirmable, too long a wait."""
        fields = options(location=("rd", "a" * 16))
        body, response = encode_body(fields, b""), Response(numbers.CREATED, b"", fields)
        found = []
        for together in (False, True):
            bench = Bench()
            bench.handler.answer = None
            for mid, kind in ((1, CON), (2, NON), (3, CON)):
                bench.send(request(mid, kind=kind), 0.0, peer=b"%d" % mid)
            bench.expire(1.0)
            bench.send(request(4), 1.0)
            bench.send(request(5, b""), 1.0)
            requests = bench.handler.requests
            if together:
                bench.engine.respond_all(numbers.CREATED, [(each, body) for each in requests], 1.5)
            else:
                for each in requests:
                    bench.engine.respond(each, response, 1.5)
            self.assertRaises(ValueError, bench.engine.respond_all, numbers.CREATED, [(requests[-1], body)], 2.0)
            sent = bench.engine.take()
            again = [bench.send(request(mid), 2.0) for mid in (4, 4)] + [bench.send(request(5, b""), 2.0)]
            found.append((sent, again, run_out(bench), bench.engine.counters))
        self.assertEqual(found[0], found[1])

    def test_twice(self) -> None:
        """Answering a request twice raises ValueError, and sends nothing."""
        self.bench.engine.respond(self.request, CONTENT, 0.5)
        self.bench.engine.take()
        with self.assertRaises(ValueError):
            self.bench.engine.respond(self.request, CHANGED, 0.6)
        self.assertEqual(self.bench.engine.take(), [])

    def test_impossible_answer(self) -> None:
        """An answer that can't be encoded raises ValueError, and another one may follow."""
        with self.assertRaises(ValueError):
            self.bench.engine.respond(self.request, Response(numbers.CONTENT, b"", ((11, b""), (3, b""))), 0.5)
        self.bench.engine.respond(self.request, CHANGED, 0.6)
        self.assertIsNotNone(self.bench.sent())

    def test_abandoned(self) -> None:
        """A request that is never answered is given up; an answer after that is dropped in silence."""
        run_out(self.bench)
        self.assertEqual(self.bench.engine.counters["abandoned"], 1)
        self.assertEqual(len(self.bench.engine._serving), 0)
        self.bench.engine.respond(self.request, CHANGED, 300.0)
        self.assertEqual(self.bench.engine.take(), [])

    def test_answer_from_within(self) -> None:
        """A handler may call `respond` itself; what it returns besides is ignored."""
        bench = self.bench
        bench.handler.eager = lambda request, now: bench.engine.respond(request, CONTENT, now)
        bench.handler.answer = CHANGED
        (answer,) = bench.send(request(9), 0.5)
        self.assertEqual(answer.code, numbers.CONTENT)
        self.assertEqual(bench.errors, [])


class LimitTests(SynchronousTestCase):
    """More requests than may be pending."""

    def test_overload(self) -> None:
        """Beyond the limit the answer is 5.03 with Max-Age, until one of them was answered."""
        bench = Bench(limits=Limits(pending=1, busy_max_age=7))
        bench.handler.answer = None
        bench.send(request(1))
        (answer,) = bench.send(request(2))
        self.assertEqual((answer.code, answer.max_age), (numbers.SERVICE_UNAVAILABLE, 7))
        bench.engine.respond(bench.handler.requests[0], CHANGED, 0.5)
        bench.engine.take()
        self.assertEqual(bench.send(request(3)), [])
        whole = request(4, found=((numbers.BLOCK1, b"\x06"),))
        self.assertEqual(bench.send(whole)[0].code, numbers.SERVICE_UNAVAILABLE)


class FailingHandlerTests(SynchronousTestCase):
    """Handlers that raise or answer nonsense."""

    def test_exception(self) -> None:
        """An exception is a 5.00, reported with its traceback and counted."""
        bench = Bench()
        bench.handler.answer = RuntimeError("broken handler")
        (answer,) = bench.send(request(1))
        self.assertEqual((answer.type, answer.code), (ACK, numbers.INTERNAL_SERVER_ERROR))
        self.assertIn("RuntimeError: broken handler", bench.errors[0])
        self.assertEqual(bench.engine.counters["errors"], 1)
        self.assertEqual(bench.send(request(1)), [answer])
        self.assertEqual(len(bench.errors), 1)

    def test_impossible_answer(self) -> None:
        """An answer that can't be encoded is a 5.00 too."""
        bench = Bench()
        for mid, answer in enumerate((Response(300), Response(numbers.CONTENT, b"", ((11, b""), (3, b""))))):
            bench.handler.answer = answer
            self.assertEqual(bench.send(request(mid))[0].code, numbers.INTERNAL_SERVER_ERROR)
        self.assertEqual(len(bench.errors), 2)

    def test_nobody_to_tell(self) -> None:
        """Without an error hook the engine goes on all the same."""
        bench = Bench()
        bench.engine._serving._context.on_error = None
        bench.handler.answer = RuntimeError("unheard")
        self.assertEqual(bench.send(request(1))[0].code, numbers.INTERNAL_SERVER_ERROR)
