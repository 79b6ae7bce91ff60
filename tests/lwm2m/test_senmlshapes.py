"""Tests of `lwm2md.lwm2m.senmlshapes` and `senmltemplates`: the short way and the long way lead to the same."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.models import Models, ObjectModel, ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.senml import Senml
from lwm2md.lwm2m.senmlcbor import FORM as CBOR
from lwm2md.lwm2m.senmlform import Form, Record
from lwm2md.lwm2m.senmljson import FORM as JSON
from lwm2md.lwm2m.senmlreading import RecordReader
from lwm2md.lwm2m.senmlshapes import MOST_RECORDS, Shapes, shape_of
from lwm2md.lwm2m.senmltemplates import TemplateWriter
from lwm2md.lwm2m.senmlwriting import write_records
from lwm2md.lwm2m.values import ResourceType, Value
from tests.lwm2m.helpers import ANYTHING, ANYTHING_TYPES, KINDS, STRATEGIES

_ODD = st.sampled_from(
    [None, math.nan, -math.inf, -0.0, 2**63, 2**64, -1, 20, True, "null", "a\0", "\ud800", "é\n,:{", b"x"]
)
_TIMES = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 5.0, 5.5, -60.0, 1.7e9, 1.7e9 + 60, 2.0**53, math.inf]))
_HERE = Path((ANYTHING, 0))


def at(kind: ResourceType) -> Path:
    """The path of the single Resource of that type."""
    return _HERE.child(KINDS.index(kind) + 1)


def outcome(work: Callable[[], object]) -> object:
    """What comes out, in a form in which NaN equals NaN and 0 is not -0, or the error."""
    try:
        return repr(work())
    except ContentError as error:
        return str(error)


def written(form: Form, base: Path, nodes: Nodes, root: str) -> bytes:
    """The payload, the long way."""
    return form.dump(write_records(form, base, nodes, ANYTHING_TYPES, root))


def read(form: Form, base: Path, records: list[Record], notes: list[str]) -> Nodes:
    """The nodes, the long way."""
    return RecordReader(form, base, ANYTHING_TYPES, notes.append, "").read(records)


@st.composite
def payloads(draw: st.DrawFn) -> list[Nodes]:
    """Three sets of nodes with the same paths, most of their values of the right types."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7))
    paths = [Path((ANYTHING, draw(st.integers(0, 3)), KINDS.index(kind) + 1)) for kind in kinds]
    if draw(st.booleans()):
        paths, kinds = paths[:1] * len(paths), kinds[:1] * len(paths)
    found = []
    for _ in range(3):
        values: list[Any] = [draw(_ODD if draw(st.integers(0, 20)) == 0 else STRATEGIES[kind]) for kind in kinds]
        usual: list[list[float | None]] = [[None for _ in paths], [60.0 * step for step in range(len(paths))]]
        times = draw(st.sampled_from(usual) | st.lists(_TIMES, min_size=len(paths), max_size=len(paths)))
        found.append(tuple(Entry(*entry) for entry in zip(paths, values, times, strict=True)))
    return found


class WritingTests(SynchronousTestCase):
    """JSON from templates."""

    @given(payloads(), st.sampled_from([ROOT, Path((ANYTHING,)), _HERE]), st.sampled_from(["", '/r%s"é']))
    def test_same(self, found: list[Nodes], base: Path, root: str) -> None:
        """Payloads whose paths are known are the same byte for byte as others, or the same error."""
        writer = TemplateWriter(JSON)
        for nodes in (*found, *found):
            self.assertEqual(
                outcome(partial(written, JSON, base, nodes, root)),
                outcome(partial(writer.write, base, nodes, ANYTHING_TYPES, root)),
            )

    def test_odd(self) -> None:
        """Values and times that have no place in a template are written or refused as ever."""
        writer = TemplateWriter(JSON)
        usual: dict[ResourceType, Value] = {ResourceType.FLOAT: 1.5, ResourceType.UNSIGNED: 5, ResourceType.STRING: "x"}
        odd: tuple[tuple[ResourceType, Any], ...] = (
            *((ResourceType.FLOAT, value) for value in (math.nan, math.inf, 20, True, "x", None)),
            *((ResourceType.UNSIGNED, value) for value in (2**63, 2**64 - 1, 2**64, -1, 5.0, False)),
            *((ResourceType.STRING, value) for value in ("null", "\ud800", b"x", "\n", "%b")),
        )
        for kind, value in (*usual.items(), *usual.items(), *odd):
            values: dict[ResourceType, Any] = {**usual, kind: value}
            for times in ((None,) * 3, (0.0,) * 3, (5.0,) * 3, (5.5,) * 3, (None, 5.0, 5.0), (5.0, 6.0, 5.0)):
                nodes = tuple(Entry(at(name), values[name], time) for name, time in zip(usual, times, strict=True))
                self.assertEqual(
                    outcome(partial(written, JSON, ROOT, nodes, "")),
                    outcome(partial(writer.write, ROOT, nodes, ANYTHING_TYPES, "")),
                    nodes,
                )

    def test_history(self) -> None:
        """One path at several times, whatever their order, once for each time."""
        histories: tuple[tuple[ResourceType, list[Value]], ...] = (
            (ResourceType.FLOAT, [1.5, 2.5, math.nan]),
            (ResourceType.STRING, ["a", '","t":0', "null"]),
        )
        for kind, values in histories:
            writer = TemplateWriter(JSON)
            for times in ((5.0, 6.0, 7.0), (7.0, 6.0, 5.0), (5.5, 5.0, 6.0), (0.0, 1.0, 2.0), (5.0, 5.0, 6.0)):
                for found in (values[:1] * 3, values):
                    nodes = tuple(Entry(at(kind), value, time) for value, time in zip(found, times, strict=True))
                    self.assertEqual(
                        outcome(partial(written, JSON, ROOT, nodes, "")),
                        outcome(partial(writer.write, ROOT, nodes, ANYTHING_TYPES, "")),
                    )

    def test_several_histories(self) -> None:
        """Two paths at several times."""
        writer = TemplateWriter(JSON)
        for value in (1.5, 2.5, 3.5):
            nodes = tuple(
                Entry(Path((ANYTHING, number % 2, at(ResourceType.FLOAT)[2])), value, 5.0 + number)
                for number in range(4)
            )
            self.assertEqual(written(JSON, ROOT, nodes, ""), writer.write(ROOT, nodes, ANYTHING_TYPES, ""))


class ReadingTests(SynchronousTestCase):
    """Records of known shapes."""

    @given(payloads(), st.sampled_from([JSON, CBOR]), st.sampled_from([ROOT, _HERE]), st.data())
    def test_same(self, found: list[Nodes], form: Form, base: Path, data: st.DataObject) -> None:
        """Records whose names are known are the same nodes, notes or error as others, with odd fields too."""
        codec = Senml(form)
        for nodes in (*found, *found):
            try:
                records = write_records(form, ROOT, nodes, ANYTHING_TYPES, "")
            except ContentError:
                continue
            changed = data.draw(st.sampled_from([None, *records]))
            if changed is not None:
                label = data.draw(st.sampled_from(form.labels))
                changed[label] = data.draw(st.sampled_from([5, 2.0**63, 20, True, "", "5", "x\0"]))
            try:
                payload = form.dump(records)
            except ContentError:
                continue
            self.check(codec, form, base, payload)

    def check(self, codec: Senml, form: Form, base: Path, payload: bytes) -> None:
        """Compare both ways."""
        notes: tuple[list[str], list[str]] = ([], [])
        self.assertEqual(
            outcome(lambda: read(form, base, form.load(payload), notes[0])),
            outcome(lambda: codec.decode(base, payload, ANYTHING_TYPES, notes[1].append)),
            payload,
        )
        self.assertEqual(*notes)

    def test_odd(self) -> None:
        """What is not quite as usual in known records is read or refused as ever."""
        codec = Senml(JSON)
        kinds = {ResourceType.FLOAT: '"v":5', ResourceType.INTEGER: '"v":5', ResourceType.STRING: '"vs":"x"'}
        records = [
            f'{{"n":"/{ANYTHING}/{instance}/{at(kind)[2]}",{value}}}'
            for instance in (0, 1)
            for kind, value in kinds.items()
        ]
        usual = "[" + ",".join(records) + "]"
        changes = (
            ('"v":5', '"v":5.5'),
            ('"v":5', f'"v":{2**64}'),
            ('"v":5', '"v":true'),
            ('"v":5', '"vb":true'),
            ('"v":5', '"v":5,"u":"x"'),
            ('"v":5', '"v":5,"x_":1'),
            ('"v":5', '"v":5,"vs":"x"'),
            ('"v":5', '"v":5,"t":5'),
            ('"x"', '"x\\u0000"'),
            ('"x"', '"é"'),
            ("[{", '[{"bt":5,'),
            ("[{", '[{"bt":null,'),
            ("[{", '[{"bt":true,'),
            ("[{", '[{"bv":5,'),
            ("[{", '[{"bn":"",'),
            ("[{", '[{"bn":null,'),
            ("[{", '[{"bn":0,'),
            ("},{", '},{"bn":"",'),
            ("},{", '},{"bt":5,'),
            ("/1/", "/0/"),
        )
        self.check(codec, JSON, ROOT, usual.encode())
        self.check(codec, JSON, ROOT, usual.encode())
        for old, new in changes:
            for count in (1, -1):
                changed = usual.replace(old, new, count)
                self.assertNotEqual(usual, changed)
                self.check(codec, JSON, ROOT, changed.encode())
                self.check(codec, JSON, _HERE, changed.encode())

    def test_times(self) -> None:
        """Times of known records: any sums of sane numbers, and what is none."""
        names = [f'"n":"/{ANYTHING}/{number // 2}/{at(ResourceType.INTEGER)[2]}","v":5' for number in range(6)]
        for form_names in (names, names[:1] * 6):
            codec = Senml(JSON)
            for times in (
                *((0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (0, 1, 0, 1, 0, 1), (0.5, 1, 2, 3, 4, 5.5)),
                *((0, 1, 2, 3, 4, 4), (0, 1, 2, 3, 4, "true"), (0, 1, 2, 3, 4, '"5"'), (0, 1, 2, 3, 4, "null")),
                *((0, 1, 2, 3, 4, 2**64), (0, 1, 2, 3, 4, 10**400), (0, 1, 2, 3, 4, 1e300), (0, 1, 2, 3, 4, "1e999")),
            ):
                for base in ("", '"bt":1700000000,', '"bt":-0.5,', f'"bt":{2**64},', f'"bt":{-(2**63)},'):
                    texts = [f'{name},"t":{time}' for name, time in zip(form_names, times, strict=True)]
                    for found in (texts, form_names):
                        payload = f"[{{{base}{'},{'.join(found)}}}]".encode()
                        self.check(codec, JSON, ROOT, payload)

    def test_broken_strings(self) -> None:
        """Strings that are no UTF-8 are kept as bytes, and noted."""
        codec = Senml(CBOR)
        nodes = tuple(Entry(Path((ANYTHING, number, at(ResourceType.STRING)[2])), "text") for number in range(6))
        usual = written(CBOR, ROOT, nodes, "")
        for payload in (
            usual,
            usual,
            usual,
            usual.replace(b"text", b"\xfftxt", 1),
            usual.replace(b"text", b"\xc3\xa4st"),
        ):
            self.check(codec, CBOR, ROOT, payload)


class ShapeTests(SynchronousTestCase):
    """What is remembered."""

    def nodes(self, count: int, value: Value = 1.5) -> Nodes:
        """Values of one Resource in so many Instances."""
        resource = at(ResourceType.FLOAT)[2]
        return tuple(Entry(Path((ANYTHING, number, resource)), value) for number in range(count))

    def steps(self, work: Callable[[], object]) -> int:
        """How many calls it takes when it is known."""
        count = 0
        work()
        work()

        def counted(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            work()
        finally:
            sys.setprofile(None)
        return count

    def test_short(self) -> None:
        """A payload whose paths are known takes the same few steps whatever its length."""
        few, many = (self.nodes(count) for count in (10, MOST_RECORDS))
        for form in (JSON, CBOR):
            reading = [
                self.steps(partial(Senml(form).decode, ROOT, written(form, ROOT, nodes, ""), ANYTHING_TYPES))
                for nodes in (few, many)
            ]
            self.assertEqual(*reading)
        writing = [
            self.steps(partial(TemplateWriter(JSON).write, ROOT, nodes, ANYTHING_TYPES, "")) for nodes in (few, many)
        ]
        self.assertEqual(*writing)

    def test_bounded(self) -> None:
        """However many shapes come, and however often, those that are known have a bounded number of records."""
        shapes: Shapes[int, str] = Shapes()
        for number in range(1000):
            shapes.keep(number, "x", 100)
            self.assertLessEqual(len(shapes) * 100, 4096)
        self.assertIn(999, shapes)

    def test_again(self) -> None:
        """A shape is worth to be known when it comes for the second time."""
        shapes: Shapes[int, str] = Shapes()
        self.assertEqual([False, True, True, False], [shapes.again(number) for number in (1, 1, 1, 2)])
        for number in range(3, 1000):
            self.assertFalse(shapes.again(number))
        self.assertFalse(shapes.again(1))

    def test_other_models(self) -> None:
        """The same paths in another version of their Object have the types of that version."""
        codec = Senml(JSON, TemplateWriter(JSON))
        number = at(ResourceType.FLOAT)[2]
        model = ResourceModel(number, "Changed", "RW", ResourceType.STRING)
        others: TypeOf = Models([ObjectModel(ANYTHING, "2.0", "Anything", True, False, {number: model})]).type_of({})
        for _ in range(4):
            for type_of, nodes in ((ANYTHING_TYPES, self.nodes(6)), (others, self.nodes(6, "x"))):
                payload = codec.encode(ROOT, nodes, type_of)
                self.assertEqual(nodes, codec.decode(ROOT, payload, type_of))
            with self.assertRaises(ContentError):
                codec.encode(ROOT, nodes, ANYTHING_TYPES)
            with self.assertRaises(ContentError):
                codec.decode(ROOT, payload, ANYTHING_TYPES)

    def test_no_shape(self) -> None:
        """Resources without a model, of the other arity, or of a type whose values change on the way have no shape."""
        for path in (
            at(ResourceType.OPAQUE),
            at(ResourceType.OBJLNK),
            at(ResourceType.FLOAT).child(0),
            Path((ANYTHING, 0, 999)),
            _HERE,
        ):
            self.assertIsNone(shape_of(JSON, (at(ResourceType.FLOAT), path), ANYTHING_TYPES))
