"""Tests of lwm2md.coap.requests: responses in all the ways that devices send them, and observation from our side."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Received
from lwm2md.coap.message import Message, options
from tests.coap.support import OTHER, PEER, Bench, ack, reply, rst, run_out

CON, NON, ACK, RST = numbers.CON, numbers.NON, numbers.ACK, numbers.RST


def separate(to: Message, mid: int = 500, kind: int = CON, code: int = numbers.CONTENT) -> Message:
    """Return a response to `to` that is a message of its own."""
    return Message(kind, code, mid, to.token, (), b"late")


class Asked(Bench):
    """A bench with one request that has left."""

    def __init__(self) -> None:
        super().__init__()
        sent = self.ask()
        if sent is None:
            raise AssertionError("queued")
        self.sent_request = sent

    def received(self, index: int = 0) -> Received:
        """Return an outcome that must be a response."""
        result = self.outcomes[index][0]
        if isinstance(result, str):
            raise AssertionError(result)
        return result


class ResponseTests(SynchronousTestCase):
    """How a response finds its request."""

    def setUp(self) -> None:
        """Have one request under way."""
        self.bench = Asked()
        self.sent = self.bench.sent_request

    def test_piggybacked(self) -> None:
        """A response on the acknowledgement ends the request; nothing is answered to it."""
        self.assertEqual(self.bench.send(reply(self.sent, payload=b"x"), 1.5), [])
        received = self.bench.received()
        self.assertEqual((received.peer, received.message.payload, received.now), (PEER, b"x", 1.5))
        self.assertIsNone(self.bench.engine.next_deadline())

    def test_twice(self) -> None:
        """The same response again ends nothing twice."""
        self.bench.send(reply(self.sent))
        self.bench.send(reply(self.sent))
        self.assertEqual(len(self.bench.outcomes), 1)
        self.assertEqual(self.bench.engine.counters["ignored"], 1)

    def test_separate_confirmable(self) -> None:
        """After an empty ACK the separate response is acknowledged, also when it is repeated."""
        self.bench.send(ack(self.sent), 0.5)
        answer = separate(self.sent)
        self.assertEqual(self.bench.send(answer, 5.0), [ack(answer)])
        self.assertEqual(self.bench.send(answer, 7.0), [ack(answer)])
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_separate_non_confirmable(self) -> None:
        """A Non-confirmable separate response ends the request; nothing is answered to it."""
        self.bench.send(ack(self.sent), 0.5)
        self.assertEqual(self.bench.send(separate(self.sent, kind=NON)), [])
        self.assertEqual(self.bench.received().message.payload, b"late")

    def test_response_before_acknowledgement(self) -> None:
        """A separate response that overtakes the ACK ends the request at once; the ACK is then ignored."""
        answer = separate(self.sent)
        self.assertEqual(self.bench.send(answer, 1.0), [ack(answer)])
        self.assertEqual(self.bench.send(ack(self.sent), 1.1), [])
        self.assertIsNone(self.bench.engine.next_deadline())
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_late_under_another_message_id(self) -> None:
        """A finished request's response under a new message ID is acknowledged and dropped."""
        self.bench.send(reply(self.sent))
        answer = separate(self.sent, 501)
        self.assertEqual(self.bench.send(answer), [ack(answer)])
        self.assertEqual(len(self.bench.outcomes), 1)
        self.assertEqual(self.bench.handler.strays, [])

    def test_late_after_timeout(self) -> None:
        """A separate response that comes after the time-out is Reset."""
        run_out(self.bench)
        answer = separate(self.sent)
        self.assertEqual(self.bench.send(answer, 200.0), [rst(answer)])
        self.assertEqual([outcome for outcome, _ in self.bench.outcomes], ["timeout"])

    def test_no_separate_response(self) -> None:
        """An empty ACK that nothing follows ends in a time-out."""
        self.bench.send(ack(self.sent), 0.5)
        self.assertEqual(run_out(self.bench), [])
        self.assertEqual(self.bench.outcomes, [("timeout", 93.0)])

    def test_second_empty_acknowledgement(self) -> None:
        """An extra empty ACK changes nothing."""
        self.bench.send(ack(self.sent), 0.5)
        self.bench.send(ack(self.sent), 2.5)
        self.bench.send(separate(self.sent), 3.0)
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_other_peer(self) -> None:
        """A response of another peer with the right token is none, piggy-backed or separate."""
        self.bench.send(reply(self.sent), peer=OTHER)
        answer = separate(self.sent)
        self.assertEqual(self.bench.send(answer, peer=OTHER), [rst(answer)])
        self.assertEqual(self.bench.outcomes, [])

    def test_other_token(self) -> None:
        """A piggy-backed response with another token is ignored; the request goes on."""
        self.bench.send(Message(ACK, numbers.CONTENT, self.sent.mid, b"other"))
        self.assertEqual(self.bench.outcomes, [])
        self.assertEqual(len(run_out(self.bench)), 4)

    def test_missing_token(self) -> None:
        """A piggy-backed response without a token is taken: some devices leave it out of errors."""
        self.bench.send(Message(ACK, numbers.BAD_REQUEST, self.sent.mid))
        self.assertEqual(self.bench.received().message.code, numbers.BAD_REQUEST)

    def test_unknown_response_code(self) -> None:
        """A response with a code that nobody has registered is a response."""
        self.bench.send(reply(self.sent, 0x9E))
        self.assertEqual(self.bench.received().message.code, 0x9E)

    def test_unknown_critical_option(self) -> None:
        """A response with an unknown critical option fails the request, and is Reset only if it is Confirmable."""
        found = ((9, b"x"),)
        for kind, answers in ((ACK, 0), (NON, 0), (CON, 1)):
            bench = Asked()
            sent = bench.sent_request
            mid = sent.mid if kind == ACK else 600
            out = bench.send(Message(kind, numbers.CONTENT, mid, sent.token, found))
            self.assertEqual(out, [Message(RST, 0, 600)] * answers)
            self.assertEqual(bench.outcomes, [("bad-response", 0.0)])

    def test_whole_in_one_block(self) -> None:
        """A response in one whole block is a body as it is."""
        self.bench.send(reply(self.sent, found=((numbers.BLOCK2, b"\x06"),)))
        self.assertEqual(self.bench.received().message.get(numbers.BLOCK2), b"\x06")

    def test_tokens_are_unguessable(self) -> None:
        """Tokens are eight bytes from the given source, and none is used twice at a time."""
        self.assertEqual(len(self.sent.token), 8)
        bench = Bench()
        tokens = [bytes(8), bytes(8), bytes(7) + b"\1"]
        bench.engine._requests._context.random = lambda length: tokens.pop(0) if length == 8 else bytes(length)
        one = bench.ask()
        other = bench.ask(peer=OTHER)
        assert one is not None
        assert other is not None
        self.assertEqual((one.token, other.token), (bytes(8), bytes(7) + b"\1"))


class ObserveTests(SynchronousTestCase):
    """Observation from the observer's side."""

    def setUp(self) -> None:
        """Have an observation that the peer has accepted with sequence number 10."""
        self.bench = Bench()
        self.sent = self.bench.observe()
        self.token = self.sent.token
        self.bench.send(reply(self.sent, found=options(observe=10)), 0.0)

    def notify(
        self,
        sequence: int | None,
        mid: int,
        *,
        kind: int = NON,
        now: float = 1.0,
        code: int = numbers.CONTENT,
        peer: bytes = PEER,
    ) -> list[Message]:
        """Send a notification; return the answers."""
        return self.bench.send(Message(kind, code, mid, self.token, options(observe=sequence)), now, peer)

    def test_request(self) -> None:
        """The request carries Observe 0 in its place among the options; the outcome is the first response."""
        self.assertEqual(self.sent.observe, 0)
        bench = Bench()
        bench.engine.observe(
            PEER,
            numbers.GET,
            options(path=("3",), accept=112),
            on_outcome=bench.outcome,
            on_notification=bench.notification,
            now=0.0,
        )
        sent = bench.sent()
        assert sent is not None
        self.assertEqual([number for number, _ in sent.options], [6, 11, 17])
        self.assertEqual(len(self.bench.outcomes), 1)

    def test_notifications(self) -> None:
        """Notifications are delivered, Confirmable ones acknowledged, repeated ones delivered once."""
        self.assertEqual(self.notify(11, 100), [])
        self.assertEqual(self.notify(12, 101, kind=CON), [Message(ACK, 0, 101)])
        self.assertEqual(self.notify(12, 101, kind=CON), [Message(ACK, 0, 101)])
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [True, True])
        self.assertEqual(self.bench.engine.counters["notifications"], 2)

    def test_reordered(self) -> None:
        """One that is older than the newest is delivered as not fresh, and still acknowledged."""
        self.notify(12, 100)
        self.assertEqual(self.notify(11, 101, kind=CON), [Message(ACK, 0, 101)])
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [True, False])

    def test_not_observable(self) -> None:
        """A first response without Observe, or an error, leaves no observation behind."""
        for code in (numbers.CONTENT, numbers.NOT_FOUND):
            bench = Bench()
            sent = bench.observe()
            bench.send(reply(sent, code))
            self.assertEqual(len(bench.outcomes), 1)
            out = bench.send(Message(NON, numbers.CONTENT, 9, sent.token, options(observe=5)))
            self.assertEqual(out, [Message(RST, 0, 9)])
            self.assertEqual(bench.notifications, [])

    def test_error_with_observe_option(self) -> None:
        """An error is no acceptance, even with an Observe option."""
        bench = Bench()
        bench.send(reply(bench.observe(), numbers.NOT_FOUND, options(observe=3)))
        self.assertEqual(bench.engine._requests.observations, {})

    def test_error_ends_it(self) -> None:
        """An error notification is delivered and ends the observation; so does one without Observe."""
        self.assertEqual(self.notify(None, 100, kind=CON, code=numbers.NOT_FOUND), [Message(ACK, 0, 100)])
        received, fresh = self.bench.notifications[0]
        self.assertEqual((received.message.code, fresh), (numbers.NOT_FOUND, True))
        self.assertEqual(self.notify(12, 101), [Message(RST, 0, 101)])
        self.setUp()
        self.notify(None, 102)
        self.assertEqual(self.notify(12, 103), [Message(RST, 0, 103)])

    def test_other_address(self) -> None:
        """A notification with a known token from another peer is delivered with that peer."""
        self.assertEqual(self.notify(11, 100, kind=CON, peer=OTHER), [Message(ACK, 0, 100)])
        self.assertEqual(self.bench.notifications[0][0].peer, OTHER)

    def test_unusable(self) -> None:
        """A notification with an unknown critical option is refused and not delivered."""
        out = self.bench.send(Message(CON, numbers.CONTENT, 100, self.token, ((6, b"\x0b"), (9, b""))))
        self.assertEqual(out, [Message(RST, 0, 100)])
        self.assertEqual(self.bench.notifications, [])
        self.assertEqual(self.bench.engine.counters["bad_responses"], 1)

    def test_forget(self) -> None:
        """After forgetting, a notification is unexpected, and Reset; forgetting what is unknown is no error."""
        self.bench.engine.forget(self.token)
        self.bench.engine.forget(self.token)
        self.bench.engine.forget(b"unknown")
        self.assertEqual(self.notify(11, 100), [Message(RST, 0, 100)])
        self.assertEqual(self.bench.handler.strays[0].token, self.token)

    def test_forget_before_the_answer(self) -> None:
        """Forgotten while the request is under way, it has its outcome but leaves no observation."""
        bench = Bench()
        sent = bench.observe()
        bench.engine.forget(sent.token)
        bench.send(reply(sent, found=options(observe=1)))
        self.assertEqual(len(bench.outcomes), 1)
        self.assertEqual(bench.engine._requests.observations, {})

    def test_adopt(self) -> None:
        """An adopted observation delivers without any message of ours; any first number is fresh."""
        bench = Bench()
        bench.engine.adopt(PEER, b"stored", bench.notification)
        self.assertEqual(bench.engine.take(), [])
        out = bench.send(Message(CON, numbers.CONTENT, 1, b"stored", options(observe=3)))
        self.assertEqual(out, [Message(ACK, 0, 1)])
        self.assertTrue(bench.notifications[0][1])

    def test_cancel(self) -> None:
        """Cancelling sends the same token with Observe 1; the plain answer is the outcome, the token forgotten."""
        self.bench.engine.cancel(PEER, self.token, numbers.GET, on_outcome=self.bench.outcome, now=1.0)
        sent = self.bench.sent()
        assert sent is not None
        self.assertEqual((sent.token, sent.observe), (self.token, 1))
        self.assertEqual(self.notify(11, 100, kind=CON), [Message(ACK, 0, 100)])
        self.bench.send(reply(sent))
        self.assertEqual(len(self.bench.outcomes), 2)
        self.assertEqual(self.bench.notifications, [])

    def test_renew(self) -> None:
        """A renewal uses the same token; a notification meanwhile is a notification, the answer the outcome."""
        sent = self.bench.observe(now=5.0, token=self.token)
        self.assertEqual(sent.token, self.token)
        self.notify(11, 100)
        self.assertEqual((len(self.bench.notifications), len(self.bench.outcomes)), (1, 1))
        self.bench.send(ack(sent), 5.5)
        self.notify(12, 101)
        self.assertEqual((len(self.bench.notifications), len(self.bench.outcomes)), (1, 2))
        self.notify(13, 102)
        self.assertEqual(len(self.bench.notifications), 2)

    def test_renewal_refused(self) -> None:
        """A renewal that is answered without Observe ends the observation."""
        sent = self.bench.observe(token=self.token)
        self.bench.send(reply(sent))
        self.assertEqual(self.notify(12, 101), [Message(RST, 0, 101)])

    def test_token_in_use(self) -> None:
        """A second request with a token that is under way raises ValueError."""
        self.bench.observe(token=self.token)
        with self.assertRaises(ValueError):
            self.bench.observe(token=self.token)
        with self.assertRaises(ValueError):
            self.bench.engine.cancel(PEER, self.token, numbers.GET, on_outcome=self.bench.outcome, now=0.0)

    def test_acknowledged_later(self) -> None:
        """Until the upper layer acknowledges, a repeated notification is delivered again, as fresh as before."""
        self.bench.acknowledge = False
        for _ in range(2):
            self.assertEqual(self.notify(11, 100, kind=CON), [])
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [True, True])
        self.bench.engine.acknowledge(self.bench.notifications[0][0], 3.0)
        self.assertEqual(self.bench.sent(), Message(ACK, 0, 100))
        self.assertEqual(self.notify(11, 100, kind=CON, now=4.0), [Message(ACK, 0, 100)])
        self.assertEqual(len(self.bench.notifications), 2)
        self.notify(11, 101, kind=CON, now=5.0)
        self.assertEqual(self.bench.notifications[2][1], False)

    def test_acknowledged_too_late(self) -> None:
        """A repeated one is not fresh any more when a newer one has come since."""
        self.bench.acknowledge = False
        self.notify(11, 100, kind=CON)
        self.notify(12, 101)
        self.notify(11, 100, kind=CON)
        self.assertEqual([fresh for _, fresh in self.bench.notifications], [True, True, False])

    def test_first_acknowledged_later(self) -> None:
        """A first response of its own is the upper layer's to acknowledge; repeated, it is a notification."""
        bench = Bench()
        bench.acknowledge = False
        sent = bench.observe()
        bench.send(ack(sent))
        first = Message(CON, numbers.CONTENT, 500, sent.token, options(observe=3), b"x")
        self.assertEqual((bench.send(first), bench.send(first)), ([], []))
        found = bench.outcomes[-1][0]
        assert isinstance(found, Received)
        self.assertEqual((found.receipt is not None, [fresh for _, fresh in bench.notifications]), (True, [True]))
        bench.engine.acknowledge(found, 1.0)
        self.assertEqual(bench.sent(), ack(first))
        self.assertEqual(bench.send(first, 2.0), [ack(first)])
        bench.engine.acknowledge(found, 3.0)
        self.assertIsNone(bench.sent())

    def test_late(self) -> None:
        """The response that renews an observation is late behind a newer notification that came since the request."""
        for sequence, came, late in ((12, 2.0, True), (13, 2.0, True), (11, 2.0, False), (13, 0.5, False)):
            bench = Bench()
            sent = bench.observe()
            bench.send(reply(sent, found=options(observe=10)), 0.0)
            for since in (0.5, 1.0, 2.0):
                if since == 1.0:
                    sent = bench.observe(1.0, sent.token)
                elif since == came:
                    bench.send(Message(NON, numbers.CONTENT, 9, sent.token, options(observe=sequence)), since)
            bench.send(reply(sent, found=options(observe=12)), 3.0)
            found = bench.outcomes[-1][0]
            self.assertEqual(found.late if isinstance(found, Received) else None, late, (sequence, came))

    def test_nothing_to_acknowledge(self) -> None:
        """Acknowledging a Non-confirmable notification sends nothing."""
        self.notify(11, 100)
        self.bench.engine.acknowledge(self.bench.notifications[0][0], 3.0)
        self.assertIsNone(self.bench.sent())

    def test_failing_listener(self) -> None:
        """An exception of a listener is reported; the notification is not acknowledged, and delivered again."""

        def listener(*_: object) -> None:
            raise RuntimeError("listener")

        self.bench.engine.adopt(PEER, self.token, listener)
        self.assertEqual(self.notify(11, 100, kind=CON), [])
        self.assertIn("RuntimeError: listener", self.bench.errors[0])
