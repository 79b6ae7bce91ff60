"""Our codecs against Leshan's, both ways, over generated nodes: what either writes, the other reads as the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import CBOR, JSON, OPAQUE, SENML_CBOR, SENML_JSON, TEXT, TLV
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import MAX_ID, ROOT, Path
from lwm2md.lwm2m.values import NULL_LINK, ObjectLink, ResourceType, Value
from tests.lwm2m.helpers import MODELS, STRATEGIES, TYPES, nodes, one, path
from tests.peers.leshan_codecs import LeshanCodecs, LeshanError

OBJECT = 3442
_TEST_OBJECT = MODELS.object(OBJECT)
assert _TEST_OBJECT is not None
RESOURCES = {
    each.id: each for each in _TEST_OBJECT.resources.values() if each.id >= 100 and each.type is not ResourceType.NONE
}
VALUES: dict[ResourceType, st.SearchStrategy[Value]] = {
    **STRATEGIES,
    ResourceType.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    ResourceType.OBJLNK: st.just(NULL_LINK) | st.builds(ObjectLink, st.integers(0, MAX_ID), st.integers(0, MAX_ID)),
    ResourceType.TIME: st.integers(-(10**12), 10**12),
    ResourceType.CORELNK: st.sampled_from(["</3/0>", "</3303/0/5700>,</3/0>", "</3>;ver=1.1"]),
}
"""What both can hold: Leshan's times are of milliseconds, core links parsed, object links none as a whole."""

IDS = st.sampled_from([0, 1, 7, 255, 256, MAX_ID])
TIMES = st.integers(10**9, 2 * 10**9).map(float) | st.integers(10**12, 2 * 10**12).map(lambda millis: millis / 1000)

repeated = settings(max_examples=60, deadline=None, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck))  # fmt: skip


TLV_VALUES = {**VALUES, ResourceType.UNSIGNED: st.integers(0, 2**63 - 1)}
"""Larger ones Leshan cuts to the width that a negative number of the same bits has."""


@st.composite
def instances(draw: st.DrawFn, every: dict[ResourceType, st.SearchStrategy[Value]] = VALUES) -> Nodes:
    """An Object Instance with single and multiple Resources, none of them empty."""
    here = Path((OBJECT, draw(IDS)))
    found: list[Entry] = []
    for identifier in draw(st.lists(st.sampled_from(sorted(RESOURCES)), unique=True, min_size=1, max_size=6)):
        model = RESOURCES[identifier]
        values = every[model.type]
        if not model.multiple:
            found.append(Entry(here.child(identifier), draw(values)))
            continue
        several = draw(st.dictionaries(IDS, values, min_size=1, max_size=3))
        found.extend(Entry(here.child(identifier).child(each), value) for each, value in several.items())
    return tuple(found)


def single_values(*kinds: ResourceType) -> st.SearchStrategy[Entry]:
    """A Resource or Resource Instance of one of the types, or of any."""

    def of(identifier: int) -> st.SearchStrategy[Entry]:
        model = RESOURCES[identifier]
        here = Path((OBJECT, 0, identifier))
        values = VALUES[model.type]
        if model.multiple:
            return st.builds(lambda each, value: Entry(here.child(each), value), IDS, values)
        return values.map(lambda value: Entry(here, value))

    fitting = [each.id for each in RESOURCES.values() if not kinds or each.type in kinds]
    return st.sampled_from(sorted(fitting)).flatmap(of)


def ordered(found: Iterable[Entry]) -> list[Entry]:
    """Without an order: Leshan's maps have none."""
    return sorted(found, key=lambda each: (each.path, each.time or 0))


def levels(found: Nodes) -> list[tuple[Path, Nodes]]:
    """Every path at which the nodes can be asked for, and which of them are there."""
    bases = {Path(each.path[:depth]) for each in found for depth in range(1, len(each.path) + 1)}
    return [(base, tuple(each for each in found if base.covers(each.path))) for base in sorted(bases)]


@cache
def shared() -> LeshanCodecs:
    """The JVM, started at the first use."""
    return LeshanCodecs(TYPES)


class LeshanCodecTests(SynchronousTestCase):
    """One JVM for all."""

    def setUp(self) -> None:
        self.leshan = shared()

    def both(self, shape: str, number: int, paths: list[Path], found: Nodes, root: str = "") -> None:
        """Check both directions, with no deviation noted in what Leshan wrote but the known one."""
        base = paths[0] if shape in ("node", "history") else ROOT
        ours = formats.encode(number, base, found, TYPES, root=root)
        listed = [] if shape == "send" else paths
        self.assertEqual(ordered(found), ordered(self.leshan.decode(shape, number, listed, ours, root or None)), ours)
        theirs = self.leshan.encode(shape, number, paths, found, root or None)
        notes: set[str] = set()
        self.assertEqual(
            ordered(found), ordered(formats.decode(number, base, theirs, TYPES, notes.add, root=root)), theirs
        )
        self.assertLessEqual(notes, {"json-link-as-text"}, theirs)

    def for_all(self, strategy: st.SearchStrategy[Nodes], check: Callable[[Nodes], None]) -> None:
        """Run a check over many nodes, always the same ones."""
        repeated(given(strategy)(check))()

    def on_all_levels(self, number: int, each: st.SearchStrategy[Nodes]) -> None:
        """Object, Object Instance, Resource and Resource Instance."""

        def check(found: Nodes) -> None:
            for base, below in levels(found):
                self.both("node", number, [base], below)

        self.for_all(each, check)
        several = st.lists(each, min_size=2, max_size=3, unique_by=lambda found: found[0].path[1])
        self.for_all(
            several.map(lambda found: sum(found, ())),
            lambda found: self.both("node", number, [Path((OBJECT,))], found),
        )

    def test_tlv(self) -> None:
        """TLV, on every level."""
        self.on_all_levels(TLV, instances(TLV_VALUES))

    def test_large_unsigned_in_tlv(self) -> None:
        """What Leshan would take for negative in a narrower record, we write in one that it reads rightly."""

        def check(found: Nodes) -> None:
            ours = formats.encode(TLV, found[0].path, found, TYPES)
            self.assertEqual(list(found), list(self.leshan.decode("node", TLV, [found[0].path], ours)))

        self.for_all(st.integers(0, 2**64 - 1).map(lambda value: one("/3442/0/125", value)), check)

    def test_json(self) -> None:
        """LwM2M JSON, on every level."""
        self.on_all_levels(JSON, instances())

    def test_senml_json(self) -> None:
        """SenML JSON, on every level."""
        self.on_all_levels(SENML_JSON, instances())

    def test_senml_cbor(self) -> None:
        """SenML CBOR, on every level."""
        self.on_all_levels(SENML_CBOR, instances())

    def one_value(self, number: int, *kinds: ResourceType) -> None:
        """A Resource or Resource Instance by itself."""
        self.for_all(
            single_values(*kinds).map(lambda each: (each,)),
            lambda found: self.both("node", number, [found[0].path], found),
        )

    def test_text(self) -> None:
        """Text, of each type."""
        self.one_value(TEXT)

    def test_opaque(self) -> None:
        """Opaque bytes."""
        self.one_value(OPAQUE, ResourceType.OPAQUE)

    def test_cbor(self) -> None:
        """A single CBOR item, of each type."""
        self.one_value(CBOR)

    def test_empty(self) -> None:
        """Empty Objects, Instances and multiple Resources, as far as the format can say it."""
        values: dict[str, Value | None]
        for base in ("/3442", "/3442/0", "/3442/0/1120"):
            for number in (TLV, JSON, SENML_JSON, SENML_CBOR):
                if number == JSON and base == "/3442/0/1120":
                    continue
                self.both("node", number, [path(base)], nodes({base: None}))
        values = {"/3442/0/110": "x", "/3442/0/1120": None, "/3442/7": None}
        self.both("node", TLV, [path("/3442")], nodes(values))

    def test_history(self) -> None:
        """The values that one Resource had, with their times."""

        def check(found: Nodes) -> None:
            for number in (JSON, SENML_JSON, SENML_CBOR):
                self.both("history", number, [found[0].path], found)

        def timed(entry: Entry) -> st.SearchStrategy[Nodes]:
            kind = RESOURCES[entry.path[2]].type
            several = st.dictionaries(TIMES, VALUES[kind], min_size=1, max_size=4)
            return several.map(lambda values: tuple(Entry(entry.path, value, time) for time, value in values.items()))

        self.for_all(single_values().flatmap(timed), check)

    def test_composite(self) -> None:
        """Nodes of several levels of several Objects."""
        more = nodes({"/3/0/0": "ACME", "/3/0/6/0": 1, "/3/0/6/1": 5, "/3303/1/5700": 21.5})

        def check(found: Nodes) -> None:
            for number in (SENML_JSON, SENML_CBOR):
                self.both("nodes", number, [path("/3/0"), path("/3303/1/5700"), Path(found[0].path[:2])], more + found)

        self.for_all(instances(), check)

    def test_send(self) -> None:
        """What a device sends of its own accord, with and without times."""

        def check(found: Nodes) -> None:
            for number in (SENML_JSON, SENML_CBOR):
                self.both("send", number, [], found)

        self.for_all(instances(), check)

        def timed(found: Nodes, times: set[float]) -> Nodes:
            return tuple(Entry(each.path, each.value, time) for time in times for each in found)

        self.for_all(st.builds(timed, instances(), st.sets(TIMES, min_size=1, max_size=3)), check)

    def test_alternate_path(self) -> None:
        """The names of SenML have an alternate path before them, those of LwM2M JSON have not."""

        def check(found: Nodes) -> None:
            for number in (JSON, SENML_JSON, SENML_CBOR):
                self.both("node", number, [Path(found[0].path[:2])], found, "/lwm2m")
            for number in (SENML_JSON, SENML_CBOR):
                self.both("nodes", number, [Path(found[0].path[:2])], found, "/lwm2m")
                self.both("send", number, [], found, "/lwm2m")

        self.for_all(instances(), check)

    def test_paths(self) -> None:
        """The list of paths of a FETCH."""
        lists = st.lists(st.lists(IDS, min_size=1, max_size=4).map(Path), min_size=1, max_size=5, unique=True)

        def check(paths: list[Path]) -> None:
            for number in (SENML_JSON, SENML_CBOR):
                ours = formats.encode_paths(number, paths)
                self.assertEqual(tuple(paths), self.leshan.decode_paths(number, ours))
                theirs = self.leshan.encode("paths", number, paths)
                self.assertEqual(tuple(paths), formats.decode_paths(number, theirs))

        repeated(given(lists)(check))()

    def test_special_floats(self) -> None:
        """Infinity and NaN go through the formats that can hold them."""
        here = path("/3442/0/130")
        for number in (TLV, CBOR, SENML_CBOR):
            self.both("node", number, [here], one("/3442/0/130", math.inf))
            ours = formats.encode(number, here, one("/3442/0/130", math.nan), TYPES)
            [entry] = self.leshan.decode("node", number, [here], ours)
            assert isinstance(entry.value, float)
            self.assertTrue(math.isnan(entry.value))

    def test_what_leshan_refuses(self) -> None:
        """Forms that others send, and we read and never write: Leshan does not read them."""
        known: list[tuple[int, str, str, Value]] = [
            (CBOR, "/3442/0/160", "1a5182428f", 1367491215),
            (SENML_CBOR, "/3442/0/160", "81a2216b2f333434322f302f31363002c11a5182428f", 1367491215),
            (SENML_JSON, "/3442/0/150", b'[{"bn":"/3442/0/150","vd":"+/8="}]'.hex(), b"\xfb\xff"),
            (JSON, "/3442/0/150", b'{"bn":"/3442/0/","e":[{"n":"150","sv":"-_8"}]}'.hex(), b"\xfb\xff"),
            (JSON, "/3442/0/120", b'{"bn":"/3442/0","e":[{"n":"120","v":5}]}'.hex(), 5),
            (JSON, "/3442/0/120", b'{"e":[{"v":5}]}'.hex(), 5),
            (TEXT, "/3442/0/150", b"-_8".hex(), b"\xfb\xff"),
        ]
        for number, here, payload, value in known:
            data = bytes.fromhex(payload)
            with self.assertRaises(LeshanError, msg=str(data)):
                self.leshan.decode("node", number, [path(here)], data)
            self.assertEqual(one(here, value), formats.decode(number, path(here), data, TYPES))
