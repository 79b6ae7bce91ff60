"""The link of a scripted device: sleep, and answers that get lost, late or wrong."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.device.behaviour import Behaviour, Event, Timeline
from lwm2md.device.functions import key_of
from lwm2md.device.link import Link

PEER = b"server"


def made(code: int, kind: int = numbers.ACK, number: int = 1) -> tuple[bytes, bytes]:
    """A datagram with a payload, to the server."""
    rest = (b"tk", options(content_format=0), b"20.5") if code else (b"", (), b"")
    return encode(Message(kind, code, number, *rest)), PEER


ANSWER = made(numbers.CONTENT)
REQUEST = made(numbers.POST, numbers.CON)
ARRIVED = [(b"anything", PEER)]


class LinkTests(SynchronousTestCase):
    """Links of several behaviours, at times that the test says."""

    def link(self, **behaviour: Any) -> Link:
        """A link that behaves so from time 0 on, and tells what happens."""
        self.told: list[str] = []
        return Link(Behaviour(**behaviour), key_of("d"), lambda text, detail: self.told.append(text), 0.0)

    def test_plain(self) -> None:
        """Without a behaviour everything passes, and there is nothing to wait for."""
        link = self.link()
        self.assertEqual((link.inbound(ARRIVED, 1), link.outbound([ANSWER, REQUEST], 1)), (ARRIVED, [ANSWER, REQUEST]))
        self.assertIsNone(link.next_deadline())

    def test_drop(self) -> None:
        """Every third answer is swallowed, empty acknowledgements and notifications counted, requests not."""
        link = self.link(drop=3)
        sent = [
            ANSWER,
            made(numbers.EMPTY),
            made(numbers.CONTENT, numbers.NON),
            REQUEST,
            made(numbers.EMPTY, numbers.RST),
        ]
        self.assertEqual(link.outbound(sent, 1), [sent[0], sent[1], sent[3], sent[4]])
        self.assertEqual([len(link.outbound([ANSWER], 1)) for _ in range(6)], [1, 1, 0, 1, 1, 0])
        self.assertEqual(self.told, ["swallowed an answer"] * 3)

    def test_wrong(self) -> None:
        """Every second answer becomes an error with the same message ID and token, and no payload."""
        link = self.link(wrong=2, wrong_code=numbers.SERVICE_UNAVAILABLE)
        self.assertEqual(link.outbound([ANSWER], 1), [ANSWER])
        [(data, peer)] = link.outbound([made(numbers.CONTENT, number=77)], 1)
        message = decode(data)
        self.assertEqual(
            (message.code, message.mid, message.token, peer), (numbers.SERVICE_UNAVAILABLE, 77, b"tk", PEER)
        )
        self.assertEqual((message.options, message.payload), ((), b""))
        self.assertEqual(len(link.outbound([ANSWER, made(numbers.EMPTY)], 1)[1][0]), 4)

    def test_awake_while_waiting(self) -> None:
        """A device that waits for an answer does not fall asleep, and one that sleeps is woken all the same."""
        link = self.link(awake=5.0, asleep=10.0)
        self.assertEqual((link.next_deadline(waiting=True), link.next_deadline()), (None, 5.0))
        link.expire(6.0, waiting=True)
        self.assertFalse(link.asleep)
        link.expire(6.0)
        self.assertTrue(link.asleep)
        self.assertEqual((link.next_deadline(waiting=True), link.expire(16.0, waiting=True)), (16.0, ([], True)))

    def test_late(self) -> None:
        """Answers leave later by a time within the bounds, requests at once."""
        link = self.link(late=(1.0, 3.0))
        self.assertEqual(link.outbound([ANSWER, REQUEST], 10), [REQUEST])
        due = link.next_deadline()
        assert due is not None
        self.assertTrue(11 <= due <= 13)
        self.assertEqual(link.expire(due - 0.01), ([], False))
        self.assertEqual(link.expire(due), ([ANSWER], False))
        self.assertIsNone(link.next_deadline())

    def test_late_by_a_constant(self) -> None:
        """Answers that are all equally late keep their order."""
        link = self.link(late=(2.0, 2.0))
        first, second = made(numbers.CONTENT, number=1), made(numbers.CONTENT, number=2)
        self.assertEqual(link.outbound([first, second], 10), [])
        self.assertEqual(link.expire(12), ([first, second], False))

    def test_late_is_bounded(self) -> None:
        """No more than a thousand answers are held."""
        link = self.link(late=(2.0, 2.0))
        link.outbound([ANSWER] * 2000, 10)
        self.assertEqual(len(link.expire(12)[0]), 1000)

    def test_loss(self) -> None:
        """A share of the datagrams is lost, in both directions, the same ones in every run."""
        runs = []
        for _ in range(2):
            link = self.link(loss=0.3)
            runs.append([(len(link.inbound(ARRIVED, 1)), len(link.outbound([REQUEST], 1))) for _ in range(500)])
        self.assertEqual(runs[0], runs[1])
        heard, sent = map(sum, zip(*runs[0], strict=True))
        self.assertTrue(300 < heard < 400 and 300 < sent < 400, (heard, sent))

    def test_sleep(self) -> None:
        """A device sleeps when nothing passed for a while, hears nothing, and wakes when it sends."""
        link = self.link(awake=5.0)
        self.assertEqual(link.next_deadline(), 5)
        self.assertEqual(link.inbound(ARRIVED, 4), ARRIVED)
        self.assertEqual(link.next_deadline(), 9)
        self.assertEqual(link.expire(9), ([], False))
        self.assertTrue(link.asleep)
        self.assertEqual((link.inbound(ARRIVED, 10), link.next_deadline()), ([], None))
        self.assertEqual(link.outbound([REQUEST], 60), [REQUEST])
        self.assertEqual((link.asleep, link.next_deadline(), self.told), (False, 65, ["asleep", "awake"]))

    def test_wakes_by_itself(self) -> None:
        """A device that sleeps long enough wakes and says so, once."""
        link = self.link(awake=5.0, asleep=20.0)
        self.assertEqual(link.expire(5), ([], False))
        self.assertEqual(link.next_deadline(), 25)
        self.assertEqual(link.expire(24), ([], False))
        self.assertEqual(link.expire(25), ([], True))
        self.assertEqual(link.next_deadline(), 30)

    def test_no_sleep_while_answers_wait(self) -> None:
        """A device does not sleep before its late answers have left."""
        link = self.link(awake=5.0, late=(8.0, 8.0))
        link.outbound([ANSWER], 1)
        self.assertEqual(link.next_deadline(), 9)
        self.assertEqual(link.expire(9), ([ANSWER], False))
        self.assertEqual((link.asleep, link.next_deadline()), (False, 14))

    def test_power_loss(self) -> None:
        """What was held is forgotten with the power."""
        link = self.link(awake=5.0, late=(2.0, 2.0))
        link.outbound([ANSWER], 1)
        link.clear(2)
        self.assertEqual((link.next_deadline(), link.expire(3)), (7, ([], False)))


class TimelineTests(SynchronousTestCase):
    """Whose turn it is."""

    def test_turns(self) -> None:
        """Events come at their times, repeated ones again; what was missed comes once."""
        once, often = Event("reboot", 10), Event("address", 5, every=10)
        timeline = Timeline((once, often), 1000)
        self.assertEqual(timeline.next_deadline(), 1005)
        self.assertEqual(list(timeline.take(1004)), [])
        self.assertEqual(list(timeline.take(1005)), [often])
        self.assertEqual(timeline.next_deadline(), 1010)
        self.assertEqual(list(timeline.take(1047)), [once, often])
        self.assertEqual(timeline.next_deadline(), 1055)
        self.assertIsNone(Timeline((), 0).next_deadline())
