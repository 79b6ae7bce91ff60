"""Tests of lwm2md.server.reading, answers, twin and deviations: time stamps, and what was passed over to read."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.lwm2m.nodes import Note
from lwm2md.lwm2m.paths import Path
from lwm2md.server.answers import resolved
from lwm2md.server.deviations import MOST_KINDS, SAMPLE, noting
from lwm2md.server.records import Device
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import State
from tests.server.fixtures import MODELS, START, Answer, Bench

VALUE = "/3303/0/5700"
ROOT = Path()


class TimeTests(SynchronousTestCase):
    """From the time in a payload to the time of a value."""

    def resolved(self, time: float) -> tuple[float, list[str]]:
        """The time of a value that came at START, and what was noted."""
        notes: list[str] = []
        return resolved(time, START, notes.append), notes

    def test_table(self) -> None:
        """A small time is relative to the arrival, either way; what can't be is the arrival, with a note."""
        absurd = (START, ["absurd-time"])
        table: list[tuple[float, tuple[float, list[str]]]] = [
            (START - 5, (START - 5, [])),
            (-60, (START - 60, [])),
            (0, (START, [])),
            (17.5, (START + 17.5, [])),
            (86400, (START + 86400, [])),
            (86401, absurd),
            (2**28, (2**28, [])),
            (2**28 - 1, absurd),
            (START + 86400, (START + 86400, [])),
            (START + 86401, absurd),
            (-START, absurd),
            (1e300, absurd),
            (-1e300, absurd),
            (float("nan"), absurd),
            (float("inf"), absurd),
        ]
        for time, expected in table:
            self.assertEqual(self.resolved(time), expected, time)

    @given(st.floats())
    def test_bounds(self, time: float) -> None:
        """Whatever a device says, a value is neither older than 1978 nor from beyond tomorrow."""
        self.assertTrue(2**28 <= self.resolved(time)[0] <= START + 86400)


class Base(SynchronousTestCase):
    """A device that is observed at one path."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()
        self.bench.submit("d", "observe", VALUE)
        self.device.reply(Answer(n.CONTENT, b"20", n.TEXT, observe=1))
        self.token = self.device.requests[-1].token
        self._sequence = 1

    def notify(self, payload: str, sequence: int | None = None) -> None:
        """A notification in SenML JSON."""
        self._sequence += 1
        self.device.notify(self.token, sequence or self._sequence, payload.encode(), content_format=n.SENML_JSON)

    def told(self) -> list[tuple[object, float]]:
        """The values and times of the last event."""
        event = self.bench.events[-1]
        self.assertEqual(event.type, events.DEVICE_VALUE)
        return [(row.value, row.time - self.bench.now) for row in event.fields["values"]]  # type: ignore[attr-defined]

    def known(self) -> tuple[object, float]:
        """The value and time in the twin."""
        (row,) = self.bench.server.twin_rows("d", Path.parse(VALUE))
        assert row.time is not None
        return row.value, row.time - self.bench.now


class StampedTests(Base):
    """Values with times of their own."""

    def test_several(self) -> None:
        """All values of one path are told in the order of the payload; the newest is the known one."""
        self.notify(f'[{{"bn":"{VALUE}","t":-20,"v":1}},{{"t":-5,"v":2}},{{"t":-60,"v":3}}]')
        self.assertEqual(self.told(), [(1.0, -20), (2.0, -5), (3.0, -60)])
        self.assertEqual(self.known(), (20.0, 0))  # the answer to the Observe is newer still
        self.bench.now += 100
        self.notify(f'[{{"bn":"{VALUE}","bt":{self.bench.now},"t":-20,"v":1}},{{"t":-5,"v":2}},{{"t":-60,"v":3}}]')
        self.assertEqual(self.known(), (2.0, -5))

    def test_read(self) -> None:
        """A Read takes times, too, and one without a time is always the newest."""
        self.bench.now += 100
        self.bench.submit("d", "read", VALUE)
        self.device.reply(Answer(n.CONTENT, f'[{{"n":"{VALUE}","t":50,"v":1}}]'.encode(), n.SENML_JSON))
        self.assertEqual((self.told(), self.known()), ([(1.0, 50)], (1.0, 50)))
        self.bench.submit("d", "read", VALUE)
        self.device.reply(Answer(n.CONTENT, b"3", n.TEXT))
        self.assertEqual(self.known(), (3.0, 0))

    def test_slow_clock(self) -> None:
        """What is notified by a clock that is slow follows a Read all the same."""
        self.bench.submit("d", "read", VALUE)
        self.device.reply(Answer(n.CONTENT, b"3", n.TEXT))
        self.notify(f'[{{"n":"{VALUE}","t":-500,"v":4}}]')
        self.assertEqual(self.known(), (4.0, -500))

    def test_fast_clock(self) -> None:
        """A value from ahead of our clock keeps none out that comes after the clock was put right."""
        self.notify(f'[{{"n":"{VALUE}","t":3600,"v":4}}]')
        self.notify(f'[{{"n":"{VALUE}","t":-1,"v":5}}]')
        self.assertEqual(self.known(), (5.0, -1))

    def test_absurd(self) -> None:
        """A time that can't be is the arrival's, and noted."""
        self.notify(f'[{{"n":"{VALUE}","bt":99999999999,"v":4}}]')
        self.assertEqual((self.told(), self.known()), ([(4.0, 0)], (4.0, 0)))
        self.assertIn("absurd-time", self.bench.server.deviations("d"))

    def test_late(self) -> None:
        """A notification that was overtaken is told where it has times, and does not become known."""
        self.bench.now += 1000
        self.notify(f'[{{"n":"{VALUE}","v":5}}]', 50)
        before = len(self.bench.events)
        self.notify(f'[{{"n":"{VALUE}","v":6}}]', 40)
        self.assertEqual((len(self.bench.events), self.known()), (before, (5.0, 0)))
        self.notify(f'[{{"n":"{VALUE}","t":-30,"v":7}}]', 41)
        self.assertEqual((self.told(), self.known()), ([(7.0, -30)], (5.0, 0)))
        self.assertEqual(self.bench.server.counters["notifications_reordered"], 2)
        self.assertEqual(self.device.heard[-1].type, n.ACK)


class DeviationTests(Base):
    """What devices send that is not quite right, and is read all the same."""

    def test_counted(self) -> None:
        """Kinds are counted with their times and the newest sample, cut; a device without any costs nothing."""
        self.assertIsNone(self.bench.server.devices["d"].deviations)
        self.assertEqual(dict(self.bench.server.deviations("d")), {})
        for payload in (b"21", b"22"):
            self.bench.now += 10
            self.device.notify(self.token, self._sequence + int(payload), payload, content_format=1541)
        found = self.bench.server.deviations("d")["draft-content-format"]
        self.assertEqual((found.count, found.last - found.first, found.sample), (2, 10, b"22"))
        self.bench.submit("d", "read", VALUE)
        self.device.reply(Answer(n.CONTENT, b"\xff" * 1000, n.TLV))
        sample = self.bench.server.deviations("d")["undecodable"].sample
        self.assertEqual(sample, b"\xff" * SAMPLE)

    def test_registration(self) -> None:
        """Those of the registration are there as well, since it was made."""
        self.bench.now += 50
        self.device.register("lwm2m=1.1", "lt=300", "b=UQ", links="</3/0>, </3303/0>,")
        found = self.bench.server.deviations("d")
        self.assertIn("queue-letter-in-binding", found)
        self.assertEqual({(each.first, each.sample) for each in found.values()}, {(self.bench.now, None)})

    def test_bounded(self) -> None:
        """Of many kinds the first are kept, and go on being counted."""
        device, state = Device("d"), State(ServerSettings(), MODELS, self.bench.environment)
        note: Note = noting(state, device, b"x", 1.0)
        for number in range(1000):
            note(str(number))
        later: Callable[[str], None] = noting(state, device, b"y", 2.0)
        later("0")
        assert device.deviations is not None
        first = device.deviations["0"]
        self.assertEqual((len(device.deviations), first.count, first.last), (MOST_KINDS, 2, 2.0))
