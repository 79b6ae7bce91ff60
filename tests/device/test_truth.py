"""The truth table of the notification attributes on a device: attributes and values in, notifications out."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import PUT
from lwm2md.device.observers import DAY, Observation
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value
from tests.device.harness import NOW, Bench

_FLOAT = "/3303/0/5700"
_BOOLEAN = "/3442/0/140"
_SEVERAL = "/3/0/7"

Shown = tuple[tuple[float, Value], ...]


@attrs.frozen
class _Row:
    """One row: what is attached to ``path`` or given as ``parameters``, the value before, those shown at seconds, and
    when what is notified; ``until`` is when the last look is taken.
    """

    name: str
    attached: dict[str, str]
    shown: Shown
    expected: tuple[tuple[float, Value | None], ...]
    path: str = _FLOAT
    before: Value = 20.0
    until: float = 100.0
    parameters: NotificationAttributes | None = None
    confirmable: bool = False
    server: tuple[tuple[int, int], ...] = ()


_ROWS = (
    _Row("every change", {}, ((1, 21.0), (2, 21.0), (3, 22.0)), ((1, 21.0), (3, 22.0))),
    _Row("pmin waits", {_FLOAT: "pmin=10"}, ((1, 21.0), (2, 22.0)), ((10, 22.0),)),
    _Row("pmin has passed", {_FLOAT: "pmin=10"}, ((11, 21.0), (12, 22.0)), ((11, 21.0), (21, 22.0))),
    _Row("pmin without a change", {_FLOAT: "pmin=10"}, (), ()),
    _Row("pmin=0", {_FLOAT: "pmin=0"}, ((1, 21.0),), ((1, 21.0),)),
    _Row("pmax without a change", {_FLOAT: "pmax=40"}, (), ((40, 20.0), (80, 20.0))),
    _Row("pmax after a change", {_FLOAT: "pmax=60"}, ((30, 21.0),), ((30, 21.0), (90, 21.0))),
    _Row("pmax=0 is none", {_FLOAT: "pmax=0"}, (), ()),
    _Row("pmax below pmin is none", {_FLOAT: "pmin=30 pmax=20"}, ((1, 21.0),), ((30, 21.0),)),
    _Row("pmax equal to pmin", {_FLOAT: "pmin=40 pmax=40"}, (), ((40, 20.0), (80, 20.0))),
    _Row("pmin and pmax", {_FLOAT: "pmin=10 pmax=60"}, ((1, 21.0),), ((10, 21.0), (70, 21.0))),
    _Row("gt upward", {_FLOAT: "gt=25"}, ((1, 24.0), (2, 25.0), (3, 25.5), (4, 30.0)), ((3, 25.5),)),
    _Row("gt downward is none", {_FLOAT: "gt=25"}, ((1, 10.0),), (), before=30.0),
    _Row("gt again", {_FLOAT: "gt=25"}, ((1, 26.0), (2, 24.0), (3, 27.0)), ((1, 26.0), (3, 27.0))),
    _Row("gt below zero", {_FLOAT: "gt=-5.5"}, ((1, -5.0),), ((1, -5.0),), before=-6.0),
    _Row("lt downward", {_FLOAT: "lt=15"}, ((1, 16.0), (2, 15.0), (3, 14.5), (4, 1.0)), ((3, 14.5),)),
    _Row("lt upward is none", {_FLOAT: "lt=15"}, ((1, 17.0),), (), before=10.0),
    _Row("gt or lt", {_FLOAT: "gt=25 lt=15"}, ((1, 26.0), (2, 20.0), (3, 14.0)), ((1, 26.0), (3, 14.0))),
    _Row("st either way", {_FLOAT: "st=2"}, ((1, 21.9), (2, 22.0), (3, 20.1), (4, 20.0)), ((2, 22.0), (4, 20.0))),
    _Row("st adds up", {_FLOAT: "st=2"}, ((1, 21.0), (2, 22.5), (3, 23.0)), ((2, 22.5),)),
    _Row("st=0 is every change", {_FLOAT: "st=0"}, ((1, 20.1),), ((1, 20.1),)),
    _Row("gt or st", {_FLOAT: "gt=45 st=10"}, ((1, 50.0), (2, 42.0)), ((1, 50.0),), before=45.0),
    _Row("gt or st, the step", {_FLOAT: "gt=45 st=10"}, ((1, 49.0),), ((1, 49.0),), before=38.0),
    _Row("conditions and pmax", {_FLOAT: "gt=25 pmax=50"}, ((1, 24.0),), ((50, 24.0), (100, 24.0))),
    _Row("conditions and pmin", {_FLOAT: "gt=25 pmin=10"}, ((1, 26.0), (2, 20.0)), ((10, 20.0),)),
    _Row(
        "baseline of st is what pmax told", {_FLOAT: "st=2 pmax=50"}, ((1, 21.5), (60, 23.0)), ((50, 21.5), (100, 23.0))
    ),
    _Row(
        "edge rising", {_BOOLEAN: "edge=1"}, ((1, True), (2, False), (3, True)), ((1, True), (3, True)), _BOOLEAN, False
    ),
    _Row("edge falling", {_BOOLEAN: "edge=0"}, ((1, True), (2, False), (3, True)), ((2, False),), _BOOLEAN, False),
    _Row("edge and pmax", {_BOOLEAN: "edge=0 pmax=50"}, ((1, True),), ((50, True), (100, True)), _BOOLEAN, False),
    _Row("con=1", {_FLOAT: "con=1"}, ((1, 21.0),), ((1, 21.0),), confirmable=True),
    _Row("default mode", {}, ((1, 21.0),), ((1, 21.0),), confirmable=True, server=((26, 1),)),
    _Row("con=0 over the default mode", {_FLOAT: "con=0"}, ((1, 21.0),), ((1, 21.0),), server=((26, 1),)),
    _Row("con of the Object", {"/3303": "con=1"}, ((1, 21.0),), ((1, 21.0),), confirmable=True),
    _Row("a day", {}, (), ((DAY, 20.0),), until=DAY, confirmable=True),
    _Row("default pmin", {}, ((1, 21.0),), ((10, 21.0),), server=((2, 10),)),
    _Row("default pmax", {}, (), ((60, 20.0),), server=((3, 60),)),
    _Row("pmin over the default", {_FLOAT: "pmin=2"}, ((1, 21.0),), ((2, 21.0),), server=((2, 10),)),
    _Row("inherited", {"/3303": "pmin=5", "/3303/0": "pmax=50"}, ((1, 21.0),), ((5, 21.0), (55, 21.0))),
    _Row("lower over upper", {"/3303": "pmin=50", "/3303/0": "pmin=5"}, ((1, 21.0),), ((5, 21.0),)),
    _Row("below does not count", {_FLOAT: "pmin=50"}, ((1, 21.0),), ((1, None),), "/3303/0"),
    _Row("epmin", {_FLOAT: "gt=25 epmin=10"}, ((1, 26.0), (2, 20.0), (12, 26.0)), ((20, 26.0),)),
    _Row("epmin looks at its end", {_FLOAT: "epmin=10"}, ((11, 21.0), (12, 22.0)), ((11, 21.0), (21, 22.0))),
    _Row("epmax needs nothing", {_FLOAT: "gt=25 epmax=10"}, ((1, 26.0),), ((1, 26.0),)),
    _Row(
        "parameters replace what is attached",
        {_FLOAT: "gt=25", "/3303": "pmin=50"},
        ((1, 21.0),),
        ((1, 21.0),),
        parameters=NotificationAttributes(pmax=200),
    ),
    _Row(
        "parameters and the defaults of the server",
        {},
        ((1, 21.0),),
        ((10, 21.0),),
        parameters=NotificationAttributes(pmax=200),
        server=((2, 10),),
    ),
    _Row("hqmax is for what is stored", {_FLOAT: "hqmax=5"}, ((1, 21.0),), ((1, 21.0),)),
    _Row("Resource Instance", {"/3/0/7/1": "gt=10"}, ((1, 9), (2, 11)), ((2, 11),), "/3/0/7/1", 5),
    _Row("inherited by a Resource Instance", {_SEVERAL: "st=5"}, ((1, 9), (2, 10)), ((2, 10),), "/3/0/7/1", 5),
)


class TruthTests(SynchronousTestCase):
    """Each row of the table."""

    def _play(self, row: _Row) -> tuple[list[tuple[float, Value | None]], list[bool]]:
        bench = Bench("1.2", more=(3442,))
        if row.path == _BOOLEAN:
            bench.tree.commit(Path((3442, 0)), {140: row.before})
        target = Path.parse(row.path)
        value = target if len(target) > 2 else Path.parse(_FLOAT)
        bench.tree.put(value, row.before)
        for number, setting in row.server:
            bench.tree.put(Path((1, 0, number)), setting)
        for path, query in row.attached.items():
            self.assertEqual(bench.code(PUT, path, query=tuple(query.split())), "2.04", row.name)
        bench.observers.observe(b"t", (target,), None, row.parameters, NOW)
        told: list[tuple[float, Value | None]] = []
        modes: list[bool] = []

        def send(observation: Observation, confirmable: bool, now: float) -> bool:
            told.append((now - NOW, bench.tree.value(target) if len(target) > 2 else None))
            modes.append(confirmable)
            return True

        for after, shown in row.shown:
            self._until(bench, after, send)
            if bench.tree.put(value, shown):
                bench.observers.touch(value, NOW + after)
            bench.observers.expire(NOW + after, send)
        self._until(bench, row.until, send)
        return told, modes

    def _until(self, bench: Bench, after: float, send: object) -> None:
        """Let time pass, from deadline to deadline."""
        due = bench.observers.next_deadline()
        while due is not None and due <= NOW + after:
            bench.observers.expire(due, send)  # type: ignore[arg-type]
            due = bench.observers.next_deadline()


def _named(row: _Row) -> str:
    return "test_" + row.name.replace(",", "").replace(" ", "_").replace("=", "_")


def _made(row: _Row) -> object:
    def test(self: TruthTests) -> None:
        told, modes = self._play(row)
        self.assertEqual(tuple(told), row.expected)
        self.assertEqual(set(modes), {row.confirmable} if row.expected else set())

    test.__doc__ = f"The row '{row.name}' holds."
    return test


for _row in _ROWS:
    setattr(TruthTests, _named(_row), _made(_row))
