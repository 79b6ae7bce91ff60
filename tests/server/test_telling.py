"""Tests of lwm2md.server.telling: what was told together is written as each of it would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import Heading
from lwm2md.lwm2m.values import Value
from lwm2md.server import stored, telling
from lwm2md.server.effects import Told, Write
from lwm2md.server.records import TwinValue
from tests.test_documents import VALUES

HEADING = Heading("/3303/0/5700", "float", "Sensor Value", "Cel")


class RowTests(SynchronousTestCase):
    """The rows of the twin, the samples and the events."""

    @given(st.lists(st.tuples(st.text(min_size=1), VALUES)), st.floats(0, 4e9), st.booleans())
    def test_as_one_by_one(self, found: list[tuple[str, Value]], time: float, kept: bool) -> None:
        """Each value has the row and the sample that it has when it is learned alone."""
        told = Told(time, kept, [(endpoint, {}, HEADING, value) for endpoint, value in found])
        writes, samples, texts = telling.rows(told)
        expected = [
            Write(
                stored.TWIN,
                stored.twin_key(endpoint, Path((3303, 0, 5700))),
                stored.twin_row(TwinValue(value, time, "observe")),
            )
            for endpoint, value in found
        ]
        self.assertEqual(writes, expected)
        self.assertEqual(texts, [stored.sample_value(value) for _, value in found])
        when = int(time * 1e6 + 0.5)
        sampled = [(endpoint, HEADING.path, when, text) for (endpoint, _), text in zip(found, texts, strict=True)]
        self.assertEqual(samples, sampled if kept else [])

    def test_events(self) -> None:
        """Each value is an event with the device's labels."""
        told = Told(5.0, True, [("a", {"farm": "north"}, HEADING, 1.5), ("b", {}, HEADING, 2.5)])
        one, other = telling.events(told)
        self.assertEqual((one.type, one.time, one.endpoint, one.labels), ("device.value", 5.0, "a", {"farm": "north"}))
        self.assertEqual(other.fields, {"source": "observe", "values": (HEADING.row(2.5, 5.0),)})
