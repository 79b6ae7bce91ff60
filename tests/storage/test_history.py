"""Tests of the series of the SQLite storage: whatever the order in which samples come, they are there in order."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.storage import _history
from lwm2md.storage._database import schemas
from lwm2md.storage._runs import MOST, unpack
from lwm2md.storage.interface import LAST, START, Place, Sample, Samples

EVER = 1 << 62
PLACES = st.tuples(st.sampled_from(("a", "b")), st.sampled_from(("/3/0/9", "/5/0/1")))
SAMPLES = st.tuples(PLACES, st.integers(0, 200), st.binary(max_size=200))
PORTIONS = st.lists(st.lists(SAMPLES, max_size=40), max_size=8)


def database() -> sqlite3.Connection:
    """An empty database of today."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in schemas():
        connection.executescript(script)
    return connection


def portion(connection: sqlite3.Connection, samples: list[tuple[Place, int, bytes]]) -> None:
    """Add samples as they come out of the journal."""
    owners: dict[str, list[Sample]] = {}
    for (owner, name), time, value in samples:
        owners.setdefault(owner, []).append((owner, name, time, value))
    _history.add(connection, owners.values())


def everything(connection: sqlite3.Connection) -> dict[Place, Samples]:
    """All series."""
    return {
        (owner, name): _history.samples(connection, (owner, name), -EVER, EVER, 100_000)
        for owner in ("a", "b")
        for name in _history.names(connection, owner, "", LAST, 100)
    }


class HistoryTests(SynchronousTestCase):
    """Series in a database of their own."""

    def assert_runs(self, connection: sqlite3.Connection) -> None:
        """Every row says what it has, and none overlaps another."""
        query = "SELECT owner, name, time, last, count, value FROM history ORDER BY owner, name, time"
        end: tuple[Place, int] | None = None
        for owner, name, time, last, count, value in connection.execute(query):
            found = unpack(time, count, value)
            self.assertEqual((found[0][0], found[-1][0], len(found)), (time, last, count))
            self.assertTrue(end is None or end < ((owner, name), time))
            self.assertTrue(count == 1 or len(value) <= MOST)
            self.assertIsInstance(value, bytes)
            end = ((owner, name), last)

    @given(PORTIONS)
    def test_any_order(self, portions: list[list[tuple[Place, int, bytes]]]) -> None:
        """Samples are there once, the last of each time, in whatever order and portions they came."""
        connection = database()
        expected: dict[Place, dict[int, bytes]] = {}
        for samples in portions:
            portion(connection, samples)
            for place, time, value in samples:
                expected.setdefault(place, {})[time] = value
        self.assertEqual(everything(connection), {place: sorted(each.items()) for place, each in expected.items()})
        self.assert_runs(connection)

    @given(PORTIONS, st.integers(0, 200), st.integers(1, 60), st.integers(1, 50))
    def test_thinned(self, portions: list[list[tuple[Place, int, bytes]]], before: int, keep: int, limit: int) -> None:
        """What is old goes, and what is too much, and nothing else, a few at a time."""
        connection = database()
        for samples in portions:
            portion(connection, samples)
        all_of_it = everything(connection)
        expected = {place: [each for each in found if each[0] >= before][-keep:] for place, found in all_of_it.items()}
        place, removed = _history.thin(connection, START, before, keep, limit)
        while place != START:
            self.assertLessEqual(removed, limit)
            place, removed = _history.thin(connection, place, before, keep, limit)
        self.assertEqual(everything(connection), {place: found for place, found in expected.items() if found})
        self.assert_runs(connection)

    @given(PORTIONS, st.integers(-5, 205), st.integers(-5, 205), st.integers(0, 50))
    def test_ranges(self, portions: list[list[tuple[Place, int, bytes]]], start: int, end: int, limit: int) -> None:
        """A range has the samples from its begin and before its end, up to a limit."""
        connection = database()
        for samples in portions:
            portion(connection, samples)
        for place, found in everything(connection).items():
            expected = [each for each in found if start <= each[0] < end][:limit]
            self.assertEqual(_history.samples(connection, place, start, end, limit), expected)

    def test_as_they_were(self) -> None:
        """Rows of one sample each, as an older version wrote them, are read, and others come among and behind them."""
        connection = database()
        rows = [("a", "/3/0/9", time, b"%d" % time) for time in range(0, 100, 10)]
        connection.executemany("INSERT INTO history (owner, name, time, value) VALUES (?, ?, ?, ?)", rows)
        more = (5, 20, 95, 96, 97)
        portion(connection, [(("a", "/3/0/9"), time, b"new") for time in more])
        portion(connection, [(("a", "/3/0/9"), time, b"newer") for time in (98, 99)])
        expected = {time: b"%d" % time for _, _, time, _ in rows} | dict.fromkeys(more, b"new")
        expected |= {98: b"newer", 99: b"newer"}
        self.assertEqual(everything(connection), {("a", "/3/0/9"): sorted(expected.items())})
        place, removed = _history.thin(connection, START, 25, 6, 1000)
        self.assertEqual((place, removed), (START, len(expected) - 6))
        self.assertEqual(everything(connection), {("a", "/3/0/9"): sorted(expected.items())[-6:]})

    def test_few_rows(self) -> None:
        """Of a device that reports now and then some tens of samples share a row, though they came one by one."""
        connection = database()
        for number in range(300):
            portion(connection, [(("a", "/3/0/9"), 60_000_000 * number, b"21.5")])
        self.assertLess(connection.execute("SELECT count(*) FROM history").fetchone()[0], 15)
        self.assert_runs(connection)

    def test_grows_by_appending(self) -> None:
        """A value of zero bytes, or of bytes that are no text, stays what it is when its run is made longer."""
        connection = database()
        values = [b"", b"\x00", b"\xff\x00\xfe", "é".encode(), b"\x00\x00"]
        for number, value in enumerate(values):
            portion(connection, [(("a", "/3/0/9"), number, value)])
        self.assertEqual([value for _, value in everything(connection)["a", "/3/0/9"]], values)
