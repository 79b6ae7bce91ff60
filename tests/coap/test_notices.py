"""Tests of lwm2md.coap.notices: notifications of ours."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Response
from lwm2md.coap.message import Message, options
from tests.coap.support import OTHER, PEER, Bench, ack, rst, run_out

CON, NON = numbers.CON, numbers.NON


class NoticeTests(SynchronousTestCase):
    """What becomes of a notification."""

    def setUp(self) -> None:
        """Have an engine."""
        self.bench = Bench()

    def notify(
        self, sequence: int, *, confirmable: bool = True, now: float = 0.0, token: bytes = b"t"
    ) -> Message | None:
        """Send a notification; return the message, None if it waits."""
        response = Response(numbers.CONTENT, b"%d" % sequence, options(observe=sequence))
        self.bench.engine.notify(PEER, token, response, confirmable=confirmable, on_result=self.bench.result, now=now)
        return self.bench.sent()

    def test_delivered(self) -> None:
        """A Confirmable notification that is acknowledged was delivered."""
        sent = self.notify(1)
        assert sent is not None
        self.assertEqual((sent.type, sent.token, sent.observe, sent.payload), (CON, b"t", 1, b"1"))
        self.assertEqual(self.bench.results, [])
        self.bench.send(ack(sent), 1.0)
        self.assertEqual(self.bench.results, [(None, 1.0)])

    def test_reset(self) -> None:
        """A Reset says that the observer is gone."""
        sent = self.notify(1)
        assert sent is not None
        self.bench.send(rst(sent), 1.0)
        self.assertEqual(self.bench.results, [("reset", 1.0)])

    def test_timeout(self) -> None:
        """So does silence."""
        self.notify(1)
        self.assertEqual(len(run_out(self.bench)), 4)
        self.assertEqual([result for result, _ in self.bench.results], ["timeout"])

    def test_non_confirmable(self) -> None:
        """A Non-confirmable one is done when it is sent; a Reset of its message ID is told afterwards."""
        sent = self.notify(1, confirmable=False)
        assert sent is not None
        self.assertEqual(sent.type, NON)
        self.bench.send(rst(sent), 0.5, OTHER)
        self.bench.send(rst(sent), 1.0)
        self.bench.send(rst(sent), 2.0)
        self.assertEqual(self.bench.results, [(None, 0.0), ("reset", 1.0)])

    def test_late_reset(self) -> None:
        """A Reset that comes much later than NON_LIFETIME means nothing any more."""
        sent = self.notify(1, confirmable=False)
        assert sent is not None
        self.bench.send(rst(sent), 300.0)
        self.assertEqual(len(self.bench.results), 1)

    def test_replaced_on_the_way(self) -> None:
        """Newer content takes the place of the one under way at its next retransmission, with a new message ID."""
        first = self.notify(1)
        self.assertIsNone(self.notify(2, now=1.0))
        self.assertIsNone(self.notify(3, now=1.5))
        sent = [message for _, message in run_out(self.bench)]
        assert first is not None
        self.assertEqual([message.payload for message in sent], [b"3"] * 4)
        self.assertEqual({message.mid for message in sent}, {first.mid + 1})
        self.assertEqual([result for result, _ in self.bench.results], ["timeout"])

    def test_replaced_and_acknowledged(self) -> None:
        """Once the old one is acknowledged the newer one goes out at once."""
        first = self.notify(1)
        self.notify(2, now=1.0)
        assert first is not None
        (second,) = self.bench.send(ack(first), 1.5)
        self.assertEqual(second.payload, b"2")
        self.bench.send(ack(second), 2.0)
        self.assertEqual(self.bench.results, [(None, 1.5), (None, 2.0)])

    def test_reset_with_successor(self) -> None:
        """A Reset of the old one ends the newer one, too."""
        first = self.notify(1)
        self.notify(2, now=1.0)
        assert first is not None
        self.assertEqual(self.bench.send(rst(first), 1.5), [])
        self.assertEqual(self.bench.results, [("reset", 1.5)])
        self.assertIsNotNone(self.notify(3, now=2.0))

    def test_replaced_in_the_queue(self) -> None:
        """One that still waits behind another exchange just gets the newer content."""
        request = self.bench.ask()
        self.assertIsNone(self.notify(1))
        self.assertIsNone(self.notify(2))
        assert request is not None
        (sent,) = self.bench.send(rst(request))
        self.assertEqual(sent.payload, b"2")

    def test_other_token_waits(self) -> None:
        """Notifications of two observations of one observer go one after the other."""
        first = self.notify(1, token=b"a")
        self.assertIsNone(self.notify(1, token=b"b"))
        assert first is not None
        (second,) = self.bench.send(ack(first))
        self.assertEqual(second.token, b"b")

    def test_abort(self) -> None:
        """Aborting the peer tells `cancelled`."""
        self.notify(1)
        self.bench.engine.abort(PEER)
        self.bench.expire(1.0)
        self.assertEqual(self.bench.results, [("cancelled", 1.0)])
        self.assertIsNotNone(self.notify(2))

    def test_nobody_asks(self) -> None:
        """Without a listener nothing is remembered of a Non-confirmable one."""
        self.bench.engine.notify(PEER, b"t", Response(numbers.CONTENT), confirmable=False, now=0.0)
        self.assertEqual(len(self.bench.engine._notices._sent), 0)
