"""Tests of `lwm2md.lwm2m.lwm2mjson`."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import JSON
from lwm2md.lwm2m import formats, lwm2mjson
from lwm2md.lwm2m.leaves import MULTIPLE_FOR_SINGLE, SINGLE_FOR_MULTIPLE
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.typed import FLOAT_FOR_INTEGER, TIME_AS_TEXT
from lwm2md.lwm2m.values import ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING_TYPES, TYPES, flat, nodes, objects, one, path, single_values

EVERY_TYPE: dict[str, Value | None] = {
    "/3442/0/110": "grüß",
    "/3442/0/120": -(2**63),
    "/3442/0/125": 2**64 - 1,
    "/3442/0/130": 21.5,
    "/3442/0/140": False,
    "/3442/0/150": b"\xfb\xff",
    "/3442/0/160": 1367491215,
    "/3442/0/170": ObjectLink(3, 0),
    "/3442/0/180": "</3/0>",
    "/3442/0/1120/0": 1,
    "/3442/0/1120/300": 2**63 - 1,
}
EVERY_TYPE_TEXT = (
    '{"bn":"/3442/0/","e":[{"n":"110","sv":"grüß"},{"n":"120","v":-9223372036854775808},'
    '{"n":"125","v":18446744073709551615},{"n":"130","v":21.5},{"n":"140","bv":false},{"n":"150","sv":"+/8="},'
    '{"n":"160","v":1367491215},{"n":"170","ov":"3:0"},{"n":"180","sv":"</3/0>"},{"n":"1120/0","v":1},'
    '{"n":"1120/300","v":9223372036854775807}]}'
)


def decode(base: str, payload: str, root: str = "") -> tuple[dict[str, Value | None], list[str]]:
    """Decode a text; return the values by path, and the deviations."""
    notes: list[str] = []
    return flat(lwm2mjson.decode(path(base), payload.encode(), TYPES, notes.append, root)), notes


def document(*entries: dict[str, Any], **more: Any) -> str:
    """The text of a payload."""
    return json.dumps({**more, "e": entries})


class ValueTests(SynchronousTestCase):
    """The forms of the types."""

    def test_every_type(self) -> None:
        """Each type has its key, exactly to the last bit, and reads back without a deviation."""
        self.assertEqual((EVERY_TYPE, []), decode("/3442/0", EVERY_TYPE_TEXT))
        self.assertEqual(EVERY_TYPE_TEXT, lwm2mjson.encode(path("/3442/0"), nodes(EVERY_TYPE), TYPES).decode())

    def test_number_forms(self) -> None:
        """A number may have any form of JSON, if it is exactly one of the type; noted where it was a float."""
        for text, value in (("5.0", 5), ("1e3", 1000), ("1000e-2", 10)):
            payload = f'{{"bn":"/3442/0/","e":[{{"n":"120","v":{text}}}]}}'
            self.assertEqual(({"/3442/0/120": value}, [FLOAT_FOR_INTEGER]), decode("/3442/0", payload))
        found, notes = decode("/3442/0", document({"n": "130", "v": 5}, bn="/3442/0/"))
        self.assertIs(float, type(found["/3442/0/130"]))
        self.assertEqual([], notes)

    def test_refused_values(self) -> None:
        """A value of another type, a broken one, none and two are refused."""
        for entry in (
            '"n":"120","v":1.5',
            '"n":"120","v":9007199254740993.0',
            '"n":"120","v":9223372036854775808',
            '"n":"125","v":-1',
            '"n":"125","v":18446744073709551616',
            '"n":"130","v":1e400',
            '"n":"120","v":1e999999999',
            '"n":"120","v":1' + "0" * 5000,
            '"n":"120","v":"1"',
            '"n":"120","v":true',
            '"n":"120","v":null',
            '"n":"120","v":NaN',
            '"n":"120","sv":"1"',
            '"n":"110","v":1',
            '"n":"110","sv":1',
            '"n":"140","v":2',
            '"n":"140","bv":1',
            '"n":"150","sv":"+/8"!',
            '"n":"150","sv":"+ /8="',
            '"n":"170","ov":"3"',
            '"n":"170","ov":"3:65536"',
            '"n":"120","ov":"3:0"',
            '"n":"120"',
            '"n":"120","v":1,"sv":"1"',
        ):
            with self.assertRaises(ContentError, msg=entry[:40]):
                decode("/3442/0", f'{{"bn":"/3442/0/","e":[{{{entry}}}]}}')

    def test_tolerated(self) -> None:
        """Object links and times as strings are noted; Base64 of either alphabet, padded or not, is taken."""
        self.assertEqual(
            ({"/3442/0/170": ObjectLink(65535, 65535)}, [lwm2mjson.LINK_AS_TEXT]),
            decode("/3442/0", document({"n": "170", "sv": "65535:65535"}, bn="/3442/0/")),
        )
        self.assertEqual(
            ({"/3442/0/160": 1367491215}, [TIME_AS_TEXT]),
            decode("/3442/0", document({"n": "160", "sv": "1367491215"}, bn="/3442/0/")),
        )
        for text in ("-_8", "-_8=", "+/8"):
            self.assertEqual(
                ({"/3442/0/150": b"\xfb\xff"}, []),
                decode("/3442/0", document({"n": "150", "sv": text}, bn="/3442/0/")),
            )

    def test_without_a_model(self) -> None:
        """The key and the number's form tell the type of what no model knows."""
        entries: list[dict[str, Any]] = [
            {"n": "1", "v": 5},
            {"n": "2", "v": 5.5},
            {"n": "3", "v": 2**64 - 1},
            {"n": "4", "bv": True},
            {"n": "5", "sv": "3:0"},
            {"n": "6", "ov": "3:0"},
            {"n": "7", "v": -(2**63)},
        ]
        found, notes = decode("/9999/0", document(*entries, bn="/9999/0/"))
        values = [5, 5.5, 2**64 - 1, True, "3:0", ObjectLink(3, 0), -(2**63)]
        self.assertEqual((values, []), (list(found.values()), notes))
        self.assertEqual(list(map(type, values)), list(map(type, found.values())))

    def test_shape(self) -> None:
        """A value of the other shape than the model's is moved and noted."""
        self.assertEqual(
            ({"/3/0/7/0": 3800, "/3/0/9": 5}, [SINGLE_FOR_MULTIPLE, MULTIPLE_FOR_SINGLE]),
            decode("/3/0", document({"n": "7", "v": 3800}, {"n": "9/0", "v": 5}, bn="/3/0/")),
        )


class NameTests(SynchronousTestCase):
    """Base names and names."""

    def test_written(self) -> None:
        """The base name ends before the last id, so that no entry is without a name."""
        for base, where, names in (
            ("/3", "/3/0/9", ("/3/", "0/9")),
            ("/3/0", "/3/0/9", ("/3/0/", "9")),
            ("/3/0/9", "/3/0/9", ("/3/0/", "9")),
            ("/3/0", "/3/0/7/1", ("/3/0/", "7/1")),
            ("/3/0/7", "/3/0/7/1", ("/3/0/", "7/1")),
            ("/3/0/7/1", "/3/0/7/1", ("/3/0/7/", "1")),
        ):
            written = json.loads(lwm2mjson.encode(path(base), one(where, 5), TYPES))
            self.assertEqual({"bn": names[0], "e": [{"n": names[1], "v": 5}]}, written)

    def test_read(self) -> None:
        """However base name and name are split, the value is where both say, noted if a slash was wanting."""
        joined = [lwm2mjson.JOINED]
        for base, base_name, name, notes in (
            ("/3/0", "/3/0/", "9", []),
            ("/3/0", "/3/0", "/9", []),
            ("/3/0", "/3/0/9", "", []),
            ("/3/0", "/3/0/9", None, []),
            ("/3/0", "/", "3/0/9", []),
            ("/3/0", None, "/3/0/9", []),
            ("/3", "/3/", "0/9", []),
            ("/3", "/3", "/0/9", []),
            ("/3/0/9", "/3/0/", "9", []),
            ("/3/0/9", "/3/0/9", None, []),
            ("/3/0/9", "/3/0/9/", "", []),
            ("/3/0", "/3/0/", "/9", []),
            ("/3/0", "/3/0", "9", joined),
            ("/3/0", None, "9", joined),
            ("/3/0", None, "/9", joined),
            ("/3/0/9", None, None, joined),
            ("/3/0", "3/0/", "9", joined),
            ("/3", None, "0/9", joined),
            ("/3", "/3/0", "9", joined),
            ("/3/0", "/", "9", joined),
        ):
            given = {"bn": base_name} if base_name is not None else {}
            entry = {"v": 5} | ({} if name is None else {"n": name})
            self.assertEqual(({"/3/0/9": 5}, notes), decode(base, document(entry, **given)), (base, base_name, name))

    def test_name_of_the_model(self) -> None:
        """Where a wanting slash leaves two paths, it is the one that the model knows; refused if it knows both."""
        self.assertEqual({"/3/0/6/0": 1}, decode("/3/0", document({"n": "0", "v": 1}, bn="/3/0/6"))[0])
        self.assertEqual({"/3303/0/5700": 1.5}, decode("/3303", document({"n": "/3303/0/5700", "v": 1.5}))[0])
        with self.assertRaises(ContentError):
            decode("/3/0", document({"n": "0", "v": 1}, bn="/3/0/2"))

    def test_refused(self) -> None:
        """A name that is no path, that is elsewhere or that names no Resource is refused."""
        for base, base_name, name in (
            ("/3/0", "/3/1/", "9"),
            ("/3/0", "/4/0/", "9"),
            ("/3/0/9", "/3/0/", "10"),
            ("/3/0", "/3/0/", ""),
            ("/3", "/3/", "0"),
            ("/3/0", "/3/0/", "09"),
            ("/3/0", "/3/0/", "65535"),
            ("/3/0", "/3/0/", "-1"),
            ("/3/0", "/3/0/", "7/0/0"),
            ("/3/0", "/3/0/", "x" * 100000),
            ("/3/0", "/lwm2m/3/0/", "9"),
            ("/", "/3/0/", "9"),
        ):
            with self.assertRaises(ContentError, msg=name[:20]):
                decode(base, document({"n": name, "v": 5}, bn=base_name))

    def test_root(self) -> None:
        """An alternate path may stand before the base name, and is never written."""
        written = lwm2mjson.encode(path("/3/0"), one("/3/0/9", 5), TYPES, "/lwm2m").decode()
        self.assertEqual('{"bn":"/3/0/","e":[{"n":"9","v":5}]}', written)
        for payload in (
            written,
            document({"n": "9", "v": 5}, bn="/lwm2m/3/0/"),
            document({"n": "/lwm2m/3/0/9", "v": 5}),
        ):
            self.assertEqual(({"/3/0/9": 5}, []), decode("/3/0", payload, "/lwm2m"))

    def test_twice(self) -> None:
        """A path that is there twice is refused, in either direction."""
        with self.assertRaises(ContentError):
            decode("/3/0", document({"n": "9", "v": 5}, {"n": "9", "v": 6}, bn="/3/0/"))
        with self.assertRaises(ContentError):
            lwm2mjson.encode(path("/3/0"), one("/3/0/9", 5) * 2, TYPES)


class TimeTests(SynchronousTestCase):
    """Values with the times they were measured at."""

    def test_base_time(self) -> None:
        """The time of a value is the sum of both, to the last digit."""
        payload = '{"bn":"/3/0/","bt":1700000000.1,"e":[{"n":"9","v":1},{"n":"9","v":2,"t":-0.3}]}'
        here = path("/3/0/9")
        found = (Entry(here, 1, 1700000000.1), Entry(here, 2, 1699999999.8))
        self.assertEqual(found, lwm2mjson.decode(path("/3/0"), payload.encode(), TYPES))
        self.assertEqual(payload, lwm2mjson.encode(path("/3/0"), found, TYPES).decode())

    def test_relative_time(self) -> None:
        """A time without a base stays as small as it came; none at all is none."""
        payload = '{"bn":"/3/0/","e":[{"n":"9","v":1,"t":-5},{"n":"9","v":2}]}'
        here = path("/3/0/9")
        found = (Entry(here, 1, -5.0), Entry(here, 2))
        self.assertEqual(found, lwm2mjson.decode(path("/3/0"), payload.encode(), TYPES))
        self.assertEqual(payload, lwm2mjson.encode(path("/3/0"), found, TYPES).decode())

    def test_one_time_for_all(self) -> None:
        """A time that all values have is written once."""
        found = tuple(Entry(each.path, each.value, 1500.0) for each in nodes({"/3/0/9": 1, "/3/0/10": 2}))
        written = lwm2mjson.encode(path("/3/0"), found, TYPES).decode()
        self.assertEqual('{"bn":"/3/0/","bt":1500,"e":[{"n":"9","v":1},{"n":"10","v":2}]}', written)

    def test_same_time_twice(self) -> None:
        """A path may come again at another time only."""
        with self.assertRaises(ContentError):
            decode("/3/0", document({"n": "9", "v": 1, "t": 3}, {"n": "9", "v": 2, "t": 3}, bn="/3/0/"))

    def test_no_time(self) -> None:
        """An infinite time, and one that is no number, are refused."""
        for time in ("1e400", '"5"', "NaN"):
            with self.assertRaises(ContentError):
                decode("/3/0", f'{{"bn":"/3/0/","bt":{time},"e":[{{"n":"9","v":5}}]}}')
        for number in (math.nan, math.inf):
            with self.assertRaises(ContentError):
                lwm2mjson.encode(path("/3/0"), (Entry(path("/3/0/9"), 5, number),), TYPES)
        with self.assertRaises(ContentError):
            decode("/3/0", document({"n": "9", "v": 1, "t": 1.7e308}, bn="/3/0/", bt=1.7e308))


class DocumentTests(SynchronousTestCase):
    """The payload as a whole."""

    def test_empty(self) -> None:
        """No entries are an empty Object, Instance or multiple Resource."""
        for base, base_name in (("/3442", "/3442/"), ("/3442/0", "/3442/0/"), ("/3442/0/1120", "/3442/0/")):
            text = f'{{"bn":"{base_name}","e":[]}}'
            self.assertEqual(text, lwm2mjson.encode(path(base), nodes({base: None}), TYPES).decode())
            self.assertEqual(({base: None}, []), decode(base, text))
        self.assertEqual(({"/3": None}, []), decode("/3", '{"e":[]}'))
        with self.assertRaises(ContentError):
            decode("/3442/0/120", '{"e":[]}')
        with self.assertRaises(ContentError):
            decode("/3442/0/1120/0", '{"e":[]}')

    def test_empty_below(self) -> None:
        """Empty Instances and Resources below the base are left out."""
        values: dict[str, Value | None] = {"/3442/0/120": 1, "/3442/0/1120": None, "/3442/1": None}
        written = lwm2mjson.encode(path("/3442"), nodes(values), TYPES).decode()
        self.assertEqual('{"bn":"/3442/","e":[{"n":"0/120","v":1}]}', written)

    def test_no_document(self) -> None:
        """What is not JSON, not of this form, too deep or followed by something is refused."""
        for payload in (
            b"",
            b"[]",
            b"{}",
            b'{"bn":"/3/0/"}',
            b'{"e":{}}',
            b'{"e":[1]}',
            b'{"e":[{}]}',
            b'{"e":[]} x',
            b'{"e":[',
            b'{"e":[{"n":"0","sv":"\xff"}]}',
            b'{"e":[{"n":"0","sv":"\\ud800"}]}',
            b'{"bn":5,"e":[]}',
            b'{"zz":' + b"[" * 100000,
            b'{"e":[{"v":' + b"[" * 100000,
        ):
            with self.assertRaises(ContentError, msg=str(payload[:30])):
                lwm2mjson.decode(path("/3/0/0"), payload, TYPES)

    def test_unwritable(self) -> None:
        """Nodes elsewhere, of another type or shape, without a value of JSON, and of the root are not written."""
        cases: list[tuple[Path, Nodes]] = [
            (path("/3/0"), one("/3/1/9", 5)),
            (path("/3/0"), one("/3/0", 5)),
            (path("/3/0"), one("/3/0/9", "x")),
            (path("/3/0"), one("/3/0/7", 5)),
            (path("/3/0"), one("/3/0/9/0", 5)),
            (path("/3/0"), one("/3/0/0", b"\xff")),
            (path("/3303/0"), one("/3303/0/5700", math.nan)),
            (path("/3303/0"), one("/3303/0/5700", math.inf)),
            (ROOT, one("/3/0/9", 5)),
        ]
        for base, found in cases:
            with self.assertRaises(ContentError, msg=str(found)):
                lwm2mjson.encode(base, found, TYPES)

    def test_numbers_of_the_format(self) -> None:
        """The number of the drafts is read too."""
        notes: list[str] = []
        payload = document({"n": "9", "v": 5}, bn="/3/0/").encode()
        self.assertEqual(one("/3/0/9", 5), formats.decode(1543, path("/3/0"), payload, TYPES, notes.append))
        self.assertEqual([formats.DRAFT_FORMAT], notes)
        self.assertEqual("json", formats.NAMES[JSON])


class PropertyTests(SynchronousTestCase):
    """For all nodes and all bytes."""

    @given(objects())
    def test_objects(self, found: Nodes) -> None:
        """An Object reads back as it was written, but for what is empty in it."""
        base = Path(found[0].path[:1])
        kept = tuple(each for each in found if each.value is not None) or (Entry(base, None),)
        if any(isinstance(each.value, float) and math.isinf(each.value) for each in found):
            with self.assertRaises(ContentError):
                lwm2mjson.encode(base, found, ANYTHING_TYPES)
            return
        written = lwm2mjson.encode(base, found, ANYTHING_TYPES)
        self.assertEqual(kept, lwm2mjson.decode(base, written, ANYTHING_TYPES))

    @given(single_values(), st.none() | st.floats(-2e9, 2e9).filter(bool))
    def test_values(self, pair: tuple[Path, Value], time: float | None) -> None:
        """A single value with or without a time reads back from every level it can be asked at, with its type."""
        here, value = pair
        if isinstance(value, float) and math.isinf(value):
            return
        for depth in range(1, len(here) + 1):
            base = Path(here[:depth])
            payload = lwm2mjson.encode(base, (Entry(here, value, time),), ANYTHING_TYPES)
            [entry] = lwm2mjson.decode(base, payload, ANYTHING_TYPES)
            self.assertEqual((here, value, time), (entry.path, entry.value, entry.time))
            self.assertIs(type(value), type(entry.value))

    @given(st.lists(st.floats(1e9, 2e9), unique=True, min_size=1))
    def test_times(self, times: list[float]) -> None:
        """Several times of one value read back exactly."""
        here = path("/3/0/9")
        found = tuple(Entry(here, number, time) for number, time in enumerate(times))
        self.assertEqual(found, lwm2mjson.decode(here, lwm2mjson.encode(here, found, TYPES), TYPES))

    @given(st.binary(max_size=200) | st.text().map(str.encode), st.sampled_from(["/100", "/100/0", "/100/0/1", "/9"]))
    def test_any_bytes(self, payload: bytes, base: str) -> None:
        """Any bytes raise the one error."""
        with self.assertRaises(ContentError):
            lwm2mjson.decode(path(base), payload, ANYTHING_TYPES)

    @given(objects(), st.data())
    def test_mutations(self, found: Nodes, data: st.DataObject) -> None:
        """A payload with one byte changed raises the one error, or is nodes below the base."""
        base = Path(found[0].path[:1])
        finite = tuple(each for each in found if not isinstance(each.value, float))
        payload = bytearray(lwm2mjson.encode(base, finite, ANYTHING_TYPES))
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        try:
            read = lwm2mjson.decode(base, bytes(payload), ANYTHING_TYPES)
        except ContentError:
            return
        self.assertTrue(all(base.covers(entry.path) for entry in read))

    @given(st.data())
    def test_any_document(self, data: st.DataObject) -> None:
        """Any document of the format raises the one error, or is nodes below the base."""
        texts = st.sampled_from(["", "/", "/3/0/", "/3/0", "0", "6/0", "/6/1", "9", "65535", "7"]) | st.text(max_size=3)
        numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
        scalars = st.none() | st.booleans() | numbers | texts
        entries = st.dictionaries(st.sampled_from(["n", "v", "sv", "bv", "ov", "t"]), scalars)
        payload = data.draw(
            st.fixed_dictionaries({"e": st.lists(entries, max_size=4)}, optional={"bn": texts, "bt": scalars})
        )
        try:
            read = lwm2mjson.decode(path("/3/0"), json.dumps(payload).encode(), TYPES)
        except ContentError:
            return
        self.assertTrue(all(path("/3/0").covers(entry.path) for entry in read))
