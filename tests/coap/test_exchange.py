"""Tests of lwm2md.coap.exchange: retransmission in virtual time, NSTART, giving up."""

from __future__ import annotations

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, Limits, Parameters, Response
from lwm2md.coap.interfaces import Received
from lwm2md.coap.message import Message, decode
from lwm2md.coap.prepared import prepare
from tests.coap.support import OTHER, PEER, Bench, Chance, Recorder, ack, reply, rst, run_out

CON, NON = numbers.CON, numbers.NON


class ParametersTests(SynchronousTestCase):
    """The times derived from the transmission parameters."""

    def test_defaults(self) -> None:
        """The defaults give the values that RFC 7252 4.8.2 lists."""
        ours = Parameters()
        self.assertEqual((ours.max_transmit_span, ours.max_transmit_wait), (45.0, 93.0))
        self.assertEqual((ours.exchange_lifetime, ours.non_lifetime), (247.0, 145.0))


class _Keeping:
    """An outcome that leads back to its engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, result: Received | str, now: float) -> None:
        """Do nothing."""


class RetransmissionTests(SynchronousTestCase):
    """Confirmable messages go out until somebody answers."""

    def times(self, jitter: bytes) -> list[float]:
        """Return when an unanswered request is sent again, and given up."""
        outcomes: list[float] = []

        def random(length: int) -> bytes:
            # Everything but the token, however many draws are asked for at once.
            return bytes(length) if length == 8 else jitter * (length // 2)

        engine = Engine(Recorder(), random)
        engine.request(PEER, numbers.GET, on_outcome=lambda _, now: outcomes.append(now), now=100.0)
        engine.take()
        times = []
        while (when := engine.next_deadline()) is not None:
            times += [when for _ in engine.expire(when)]
        return [time - 100.0 for time in times + outcomes]

    def test_schedule_without_jitter(self) -> None:
        """With the least jitter it is sent again after 2, 6, 14 and 30 seconds, and given up after 62."""
        self.assertEqual(self.times(b"\0\0"), [2.0, 6.0, 14.0, 30.0, 62.0])

    def test_schedule_with_most_jitter(self) -> None:
        """With the most jitter each time is half as long again, up to MAX_TRANSMIT_WAIT."""
        self.assertEqual(self.times(b"\xff\xff"), [3.0, 9.0, 21.0, 45.0, 93.0])

    def test_identical(self) -> None:
        """Each retransmission is the same message; the outcome is `timeout`."""
        bench = Bench()
        sent = bench.ask()
        again = run_out(bench)
        self.assertEqual([message for _, message in again], [sent] * 4)
        self.assertEqual(bench.outcomes[0][0], "timeout")
        self.assertEqual(bench.engine.counters["retransmitted"], 4)
        self.assertEqual(bench.engine.counters["timeouts"], 1)

    def test_parameters_per_peer(self) -> None:
        """A peer may have transmission parameters of its own."""
        engine = Engine(
            Recorder(),
            Chance(),
            parameters_for=lambda peer: Parameters(ack_timeout=15.0 if peer == PEER else 2.0, ack_random_factor=1.0),
        )
        engine.request(PEER, numbers.GET, on_outcome=lambda *_: None, now=0.0)
        self.assertEqual(engine.next_deadline(), 15.0)
        engine.request(OTHER, numbers.GET, on_outcome=lambda *_: None, now=0.0)
        self.assertEqual(engine.next_deadline(), 2.0)

    def test_slow_network(self) -> None:
        """With ACK_TIMEOUT 15 s, as on NB-IoT, a request is repeated for minutes and given up in due time."""
        slow = Parameters(ack_timeout=15.0)
        self.assertEqual((slow.max_transmit_span, slow.max_transmit_wait), (337.5, 697.5))
        outcomes: list[float] = []
        engine = Engine(Recorder(), lambda length: b"\xff" * length, parameters_for=lambda _: slow)
        engine.request(PEER, numbers.GET, on_outcome=lambda _, now: outcomes.append(now), now=0.0)
        engine.take()
        times = []
        while (when := engine.next_deadline()) is not None:
            times += [when for _ in engine.expire(when)]
        self.assertEqual((times, outcomes), ([22.5, 67.5, 157.5, 337.5], [697.5]))

    def test_unreachable(self) -> None:
        """An ICMP error gives up what was sent again to that peer, and lets the next one go; the first one does not."""
        bench = Bench(Parameters(ack_random_factor=1.0))
        first = bench.ask(0.0)
        self.assertIsNone(bench.ask(0.0))
        other = bench.ask(0.0, OTHER)
        bench.engine.unreachable(PEER, 0.1)
        self.assertEqual((bench.outcomes, bench.engine.take()), ([], []))
        self.assertEqual(bench.expire(2.0), [first, other])
        bench.engine.unreachable(PEER, 2.1)
        second = bench.sent()
        self.assertEqual((bench.outcomes, bench.engine.counters["timeouts"]), ([("timeout", 2.1)], 1))
        assert first is not None
        assert second is not None
        self.assertNotEqual(first.token, second.token)
        bench.engine.unreachable(PEER, 2.2)
        bench.send(reply(second), 2.3)
        self.assertIsInstance(bench.outcomes[1][0], Received)
        bench.engine.unreachable(PEER, 2.4)
        self.assertEqual(len(bench.outcomes), 2)

    def test_unreachable_while_it_answers(self) -> None:
        """What was acknowledged waits for its response, whatever ICMP says; so does what is sent once."""
        bench = Bench(Parameters(ack_random_factor=1.0))
        sent = bench.ask(0.0)
        assert sent is not None
        bench.expire(2.0)
        bench.send(ack(sent), 2.1)
        bench.ask(2.1, confirmable=False)
        bench.engine.unreachable(PEER, 2.2)
        self.assertEqual(bench.outcomes, [])

    def test_own_timeout(self) -> None:
        """A timeout of the request's own ends it before its retransmissions do."""
        bench = Bench()
        bench.ask(0.0, timeout=5.0)
        self.assertEqual(len(run_out(bench)), 1)
        self.assertEqual(bench.outcomes, [("timeout", 5.0)])

    def test_non_confirmable(self) -> None:
        """A Non-confirmable request is sent once and fails at its timeout, or when it is Reset."""
        bench = Bench()
        sent = bench.ask(confirmable=False, timeout=10.0)
        assert sent is not None
        self.assertEqual(sent.type, NON)
        self.assertEqual(run_out(bench), [])
        self.assertEqual(bench.outcomes, [("timeout", 10.0)])
        sent = bench.ask(20.0, confirmable=False)
        assert sent is not None
        bench.send(rst(sent), 21.0)
        self.assertEqual(bench.outcomes[1], ("reset", 21.0))

    def test_acknowledgement_of_another(self) -> None:
        """Neither another peer nor another message ID acknowledges or resets a message."""
        bench = Bench()
        sent = bench.ask()
        assert sent is not None
        bench.send(ack(sent), peer=OTHER)
        bench.send(rst(sent), peer=OTHER)
        bench.send(Message(numbers.ACK, 0, sent.mid + 1))
        self.assertEqual(len(run_out(bench)), 4)
        self.assertEqual(bench.engine.counters["ignored"], 3)


class QueueTests(SynchronousTestCase):
    """NSTART, and what waits behind."""

    def test_one_at_a_time(self) -> None:
        """One request flies to a peer; the next follows when it was answered; other peers don't wait."""
        bench = Bench()
        first = bench.ask()
        self.assertIsNone(bench.ask())
        self.assertIsNotNone(bench.ask(peer=OTHER))
        assert first is not None
        (second,) = bench.send(reply(first), 1.0)
        self.assertEqual((second.type, second.code, second.mid), (CON, numbers.GET, first.mid + 1))
        self.assertNotEqual(second.token, first.token)

    def test_next_after_failure(self) -> None:
        """A timeout, a Reset and an empty acknowledgement let the next one go, too."""
        bench = Bench()
        first = bench.ask()
        for _ in range(3):
            self.assertIsNone(bench.ask())
        assert first is not None
        (second,) = bench.send(rst(first), 1.0)
        (third,) = bench.send(ack(second), 2.0)
        sent = [message for _, message in run_out(bench, 80.0)]
        self.assertEqual({message.mid for message in sent}, {third.mid, third.mid + 1})

    def test_nstart_two(self) -> None:
        """With NSTART 2 two fly."""
        bench = Bench(Parameters(nstart=2))
        self.assertIsNotNone(bench.ask())
        self.assertIsNotNone(bench.ask())
        self.assertIsNone(bench.ask())

    def test_overloaded(self) -> None:
        """Beyond the limit of a peer, or of all, the outcome is `overloaded`, told at the next `expire`."""
        bench = Bench(limits=Limits(queued_per_peer=2, outstanding=3))
        bench.ask()
        bench.ask()
        bench.ask()
        self.assertEqual(bench.outcomes, [])
        self.assertEqual(bench.engine.next_deadline(), 0.0)
        bench.expire(0.5)
        self.assertEqual(bench.outcomes, [("overloaded", 0.5)])
        bench.ask(peer=OTHER)
        bench.ask(peer=b"third")
        bench.expire(0.6)
        self.assertEqual(len(bench.outcomes), 2)
        self.assertEqual(bench.engine.counters["overloaded"], 2)

    def test_stubborn_caller(self) -> None:
        """One that asks again whenever it is told `overloaded` gets one answer per `expire`, not an endless loop."""
        bench = Bench(limits=Limits(queued_per_peer=1))
        bench.ask()
        told: list[float] = []

        def again(_: object, now: float) -> None:
            told.append(now)
            bench.engine.request(PEER, numbers.GET, on_outcome=again, now=now)

        bench.engine.request(PEER, numbers.GET, on_outcome=again, now=0.0)
        bench.expire(0.1)
        bench.expire(0.2)
        self.assertEqual(told, [0.1, 0.2])

    def test_abort_from_within_an_outcome(self) -> None:
        """An exchange that is due at the same time as the one whose outcome aborts it is told once, `cancelled`."""
        bench = Bench(Parameters(nstart=2))
        bench.engine.request(PEER, numbers.GET, on_outcome=lambda *_: bench.engine.abort(OTHER), now=0.0, timeout=1.0)
        bench.engine.request(OTHER, numbers.GET, on_outcome=bench.outcome, now=0.0, timeout=1.0)
        run_out(bench)
        self.assertEqual([result for result, _ in bench.outcomes], ["cancelled"])
        self.assertEqual(len(bench.engine._exchanges), 0)

    def test_abort(self) -> None:
        """Aborting a peer fails what flies and what waits with `cancelled`, and nothing of other peers."""
        bench = Bench()
        first = bench.ask()
        bench.ask()
        bench.ask(peer=OTHER)
        bench.engine.abort(PEER)
        bench.engine.abort(b"nobody")
        assert first is not None
        self.assertEqual(bench.send(reply(first)), [])
        bench.expire(0.1)
        self.assertEqual(bench.outcomes, [("cancelled", 0.1), ("cancelled", 0.1)])
        self.assertEqual(len(bench.engine._exchanges), 1)
        self.assertIsNotNone(bench.ask(0.2))

    def test_nothing_stays(self) -> None:
        """When all is over, nothing is kept of any peer."""
        bench = Bench()
        for number in range(100):
            bench.ask(peer=bytes([number]))
            bench.ask(peer=bytes([number]))
        run_out(bench)
        self.assertEqual(len(bench.outcomes), 200)
        exchanges = bench.engine._exchanges
        self.assertEqual((exchanges._lanes, len(exchanges), len(exchanges._timers)), ({}, 0, 0))
        self.assertEqual(bench.engine._requests.asks, {})

    def test_waited_for(self) -> None:
        """What is only waited for keeps nothing from leaving, ready or not, but counts among what a peer may have."""
        bench = Bench(limits=Limits(queued_per_peer=4))
        for number in range(4):
            if number % 2:
                bench.engine.send(PEER, prepare(numbers.GET), bench.outcome, 90.0, 0.0)
                sent = bench.sent()
            else:
                sent = bench.ask()
            assert sent is not None
            bench.send(ack(sent))
        bench.engine.send(PEER, prepare(numbers.GET), bench.outcome, 90.0, 0.0)
        self.assertEqual((bench.sent(), bench.expire(0.0)), (None, []))
        self.assertEqual(bench.outcomes, [("overloaded", 0.0)])

    def test_closed(self) -> None:
        """An engine that is closed with all kinds of messages under way tells nobody, and nothing keeps it."""
        bench = Bench()
        bench.ask()
        bench.ask()
        bench.engine.observe(PEER, 1, on_outcome=bench.outcome, on_notification=bench.notification, now=0.0)
        bench.engine.notify(OTHER, b"t", reply_constant(), confirmable=True, on_result=bench.result, now=0.0)
        bench.engine.send(b"third", prepare(numbers.GET), _Keeping(bench.engine), 90.0, 0.0)
        self.assertEqual(len(bench.engine.take()), 2)
        engine = weakref.ref(bench.engine)
        bench.engine.close()
        self.assertEqual((bench.engine.next_deadline(), bench.outcomes, bench.results), (None, [], []))
        del bench
        gc.collect()
        self.assertIsNone(engine())

    def test_message_ids(self) -> None:
        """Message IDs start at random, go up by one per peer, and wrap."""
        engine = Engine(Recorder(), lambda length: b"\xff" * (length - 1) + b"\xfe")
        mids = []
        for _ in range(4):
            engine.notify(PEER, b"t", reply_constant(), confirmable=False, now=0.0)
            mids.append(decode(engine.take()[0][0]).mid)
        self.assertEqual(mids, [0xFFFE, 0xFFFF, 0, 1])


def reply_constant() -> Response:
    """Return some notification."""
    return Response(numbers.CONTENT, b"1")


class ProbingRateTests(SynchronousTestCase):
    """Non-confirmable requests to a peer that does not answer."""

    def setUp(self) -> None:
        """Send one of 12 bytes and let it time out after 5 seconds, at 2 bytes per second."""
        self.bench = Bench(Parameters(probing_rate=2.0))
        sent = self.bench.ask(0.0, confirmable=False, timeout=5.0)
        assert sent is not None
        self.sent = sent
        self.bench.expire(5.0)
        self.assertEqual([result for result, _ in self.bench.outcomes], ["timeout"])

    def test_held_back(self) -> None:
        """The next one waits until the rate allows it; a Confirmable one, and one to another peer, do not wait."""
        self.assertIsNone(self.bench.ask(5.0, confirmable=False, timeout=5.0))
        self.assertIsNotNone(self.bench.ask(5.0, peer=OTHER, confirmable=False))
        self.assertEqual(self.bench.engine.next_deadline(), 6.0)
        (sent,) = self.bench.expire(6.0)
        self.assertEqual(sent.type, NON)
        self.bench.expire(11.0)
        self.assertIsNone(self.bench.ask(11.5, confirmable=False))
        self.assertIsNotNone(self.bench.ask(11.6))

    def test_answered(self) -> None:
        """A peer that answers is not held back."""
        sent = self.bench.ask(20.0, confirmable=False)
        assert sent is not None
        self.bench.send(Message(NON, numbers.CONTENT, 77, sent.token), 20.1)
        self.assertIsNotNone(self.bench.ask(20.2, confirmable=False))

    def test_withdrawn(self) -> None:
        """One that waits may be withdrawn."""
        token = self.bench.engine.request(PEER, numbers.POST, on_outcome=self.bench.outcome, confirmable=False, now=5.0)
        self.bench.engine.withdraw(token, 5.5)
        self.assertEqual(run_out(self.bench), [])
        self.assertEqual([result for result, _ in self.bench.outcomes], ["timeout", "cancelled"])
