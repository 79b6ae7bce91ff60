"""What becomes of values that were told one right after the other: rows of the twin, samples, and events.

RULES: it is what `Twin.learn` makes of each of them, at a fraction of the price.
"""

from __future__ import annotations

from collections.abc import Iterator

from lwm2md.events import DEVICE_VALUE, Event
from lwm2md.server import stored
from lwm2md.server.effects import Sample, Told, Write
from lwm2md.server.records import TwinValue


def rows(told: Told) -> tuple[list[Write], list[Sample], list[bytes]]:
    """The rows of the twin, the samples, and each value as the samples have it."""
    encode, twin, time = stored.encode, stored.TWIN, told.time
    end = b',%b,"observe"]' % encode(time)
    texts: list[bytes] = []
    writes: list[Write] = []
    for endpoint, _, heading, value in told.values:
        if type(value) is float and value - value == 0.0:
            text = encode(value)
            row = b'["plain",' + text + end
        else:
            text, row = stored.sample_value(value), stored.twin_row(TwinValue(value, time, "observe"))
        texts.append(text)
        writes.append(Write(twin, f"{heading.path} {endpoint}", row))
    if not told.kept:
        return writes, [], texts
    when = int(time * 1e6 + 0.5)
    samples = [(each[0], each[2].path, when, text) for each, text in zip(told.values, texts, strict=True)]
    return writes, samples, texts


def events(told: Told) -> Iterator[Event]:
    """The events of what was told."""
    for endpoint, labels, heading, value in told.values:
        fields = {"source": "observe", "values": (heading.row(value, told.time),)}
        yield Event(DEVICE_VALUE, told.time, endpoint, labels, fields)
