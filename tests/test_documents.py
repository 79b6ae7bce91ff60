"""Tests of lwm2md.documents."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.documents import event_document, plain, render, time_text, told_documents, value_document, value_rows
from lwm2md.events import Event, Timestamp
from lwm2md.lwm2m.rows import Heading, ValueRow
from lwm2md.lwm2m.values import ObjectLink, ResourceType, Value
from lwm2md.server import telling
from lwm2md.server.effects import Told

_TEXT = st.text(st.characters())
VALUES = st.one_of(
    st.text(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.binary(),
    st.builds(ObjectLink, st.integers(0, 65535), st.integers(0, 65535)),
)


def row(value: Value, kind: str) -> ValueRow:
    """Return a row without name, unit and time."""
    return ValueRow("/3/0/0", value, kind)


class ValueTests(SynchronousTestCase):
    """Values look as the API promises."""

    def test_whole_row(self) -> None:
        """A row has path, value, type, name, unit and time, in this order."""
        rows = [ValueRow("/3303/0/5700", 21.5, "float", "Sensor Value", "Cel", 1790000000.25)]
        self.assertEqual(
            render({"values": value_rows(rows)}),
            b'{"values":[{"path":"/3303/0/5700","value":21.5,"type":"float","name":"Sensor Value","unit":"Cel",'
            b'"time":"2026-09-21T14:13:20.25Z"}]}',
        )

    def test_values(self) -> None:
        """Each type has its form."""
        table: list[tuple[Value, str, object]] = [
            ("Open Mobile Alliance", "string", "Open Mobile Alliance"),
            ("grüß\x00 😀", "string", "grüß\x00 😀"),
            (-(2**63), "integer", -(2**63)),
            (2**64 - 1, "unsigned", 2**64 - 1),
            (21.0, "float", 21.0),
            (float("nan"), "float", "NaN"),
            (float("inf"), "float", "Infinity"),
            (float("-inf"), "float", "-Infinity"),
            (True, "boolean", True),
            (b"\x00\xff", "opaque", "AP8="),
            (b"", "opaque", ""),
            (1790000000, "time", "2026-09-21T14:13:20Z"),
            (-1, "time", "1969-12-31T23:59:59Z"),
            (2**62, "time", 2**62),
            (ObjectLink(3, 0), "objlnk", "3:0"),
            (ObjectLink(65535, 65535), "objlnk", "65535:65535"),
            ("</3/0>", "corelnk", "</3/0>"),
        ]
        for value, kind, shown in table:
            document = json.loads(render(value_document(row(value, kind))))
            self.assertEqual(document["value"], shown)
            self.assertEqual(type(document["value"]), type(shown))
            self.assertEqual(document["type"], kind)
            self.assertNotIn("encoding", document)

    def test_integers_are_literals(self) -> None:
        """Large integers are exact literals, or strings for browsers that ask."""
        large, small = row(2**53, "integer"), row(2**53 - 1, "integer")
        self.assertIn(b'"value":9007199254740992,', render(large))
        self.assertEqual(value_document(large, int64_as_string=True)["value"], "9007199254740992")
        self.assertEqual(value_document(row(-(2**53), "integer"), int64_as_string=True)["value"], "-9007199254740992")
        self.assertEqual(value_document(small, int64_as_string=True)["value"], 2**53 - 1)

    def test_broken_text(self) -> None:
        """Text that is not UTF-8 is base64 and says so, whether it came as bytes or with lone surrogates."""
        table: list[tuple[Value, bytes]] = [(b"caf\xe9", b"caf\xe9"), ("a\ud800", b"a\xed\xa0\x80")]
        for value, content in table:
            document = value_document(row(value, "string"))
            self.assertEqual(document["encoding"], "base64")
            self.assertEqual(base64.b64decode(str(document["value"])), content)

    def test_broken_names(self) -> None:
        """Lone surrogates elsewhere, as in a unit that a device sent, become question marks."""
        document = render({"\ud800": [ValueRow("/1/0/1", 1, "integer", "n\ud800", "u\ud800")], "error": "\udcff"})
        self.assertEqual(json.loads(document)["?"][0]["unit"], "u?")

    def test_impossible_times(self) -> None:
        """A time that no calendar has is null."""
        for seconds in (None, float("nan"), 1e300, -(2.0**63)):
            self.assertIsNone(time_text(seconds))
            self.assertIsNone(value_document(ValueRow("/3/0/0", 1, "integer", time=seconds))["time"])

    @given(_TEXT | VALUES, st.sampled_from(ResourceType), st.floats() | st.none(), _TEXT)
    def test_anything(self, value: Value, kind: ResourceType, time: float | None, text: str) -> None:
        """Whatever a device can send is shown as strict JSON."""
        fields = {"values": (ValueRow("/3/0/0", value, kind, text, text, time),), text: {"error": text}}
        document = event_document(Event("device.value", 1.0, text, {text: text}, fields), "1")
        json.loads(document.decode(), parse_constant=self.fail)


class DocumentTests(SynchronousTestCase):
    """Events and other documents."""

    def test_event(self) -> None:
        """An event has id, time, type, endpoint and labels first, then what is its own."""
        fields = {"expires_at": Timestamp(60), "source": "read", "values": [row(1, "integer")]}
        document = event_document(Event("device.value", 0.5, "e/1", {"farm": "north"}, fields), "0007")
        self.assertEqual(
            document,
            b'{"id":"0007","time":"1970-01-01T00:00:00.5Z","type":"device.value","endpoint":"e/1",'
            b'"labels":{"farm":"north"},"expires_at":"1970-01-01T00:01:00Z","source":"read","values":[{"path":"/3/0/0",'
            b'"value":1,"type":"integer","name":null,"unit":null,"time":null}]}',
        )

    def test_fields_do_not_replace_the_head(self) -> None:
        """A field named like one that every event has is not shown."""
        document = event_document(Event("gap", 0.0, None, {}, {"id": "x", "type": "y"}), "1")
        self.assertEqual(document, b'{"id":"1","time":"1970-01-01T00:00:00Z","type":"gap","endpoint":null,"labels":{}}')

    def test_what_needs_no_conversion(self) -> None:
        """An event whose fields JSON has as they are looks as every other does."""
        fields: dict[str, object] = {
            "reason": "ä",
            "count": 2**70,
            "known": True,
            "since": None,
            "objects": ("/1/0", ""),
        }
        for more in ({}, {"farm": "north"}):
            document = json.loads(event_document(Event("device.registered", 0.25, 'e"1', more, fields), "7"))
            head = {"id": "7", "time": "1970-01-01T00:00:00.25Z", "type": "device.registered", "endpoint": 'e"1'}
            self.assertEqual(
                list(document.items()), list({**head, "labels": more, **fields, "objects": ["/1/0", ""]}.items())
            )

    @given(
        st.dictionaries(st.text(), st.one_of(st.text(), st.integers(0, 9), st.none())),
        st.sampled_from([{}, {"a": "b"}]),
    )
    def test_own(self, found: dict[str, object], labels: dict[str, str]) -> None:
        """Fields that are at hand as JSON make the same document."""
        fields = {key: item for key, item in found.items() if key not in ("id", "time", "type", "endpoint", "labels")}
        for endpoint in ("e", "\ud800", None):
            event = Event("device.registered", 0.25, endpoint, labels, fields)
            ready = Event("device.registered", 0.25, endpoint, labels, own=render(fields))
            self.assertEqual(event_document(ready, "7"), event_document(event, "7"))

    def test_what_does(self) -> None:
        """Fields that JSON has not are converted, wherever they stand, and none replaces what all events have."""
        for endpoint in ("e", "\ud800", None):
            fields: dict[str, object] = {
                "a": "\udfff",
                "b": ("x", float("nan")),
                "c": Timestamp(0.0),
                "id": "y",
                "d": b"x",
            }
            document = json.loads(event_document(Event("device.updated", 0.0, endpoint, {}, fields), "1"))
            self.assertEqual(document.pop("endpoint"), endpoint and endpoint.encode("utf-8", "replace").decode())
            self.assertEqual((document.pop("a"), document.pop("b")), ("?", ["x", "NaN"]))
            self.assertEqual((document.pop("c"), document.pop("id")), ("1970-01-01T00:00:00Z", "1"))

    @given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats())))
    def test_alike(self, fields: dict[str, object]) -> None:
        """What is written the short way is what is written the long way."""
        document = json.loads(event_document(Event("device.updated", 0.0, "e", {}, fields), "1"))
        head = {"id": "1", "time": "1970-01-01T00:00:00Z", "type": "device.updated", "endpoint": "e", "labels": {}}
        self.assertEqual(document, json.loads(render({**fields, **head})))

    def test_plain(self) -> None:
        """Nested containers, timestamps, links, enumerations and bytes become JSON."""
        document = {1: (Timestamp(0), float("nan")), "set": {ObjectLink(1, 2)}, "kind": ResourceType.TIME, "b": b"\xff"}
        self.assertEqual(
            render(document), b'{"1":["1970-01-01T00:00:00Z","NaN"],"set":["1:2"],"kind":"time","b":"/w=="}'
        )
        self.assertEqual(plain(Timestamp(1e300)), None)

    def test_mistakes(self) -> None:
        """What is no document is refused with TypeError."""
        self.assertRaises(TypeError, render, {"x": object()})

    @given(
        st.lists(st.tuples(_TEXT, st.dictionaries(_TEXT, _TEXT, max_size=2), VALUES), max_size=4),
        st.sampled_from(ResourceType),
        st.none() | _TEXT,
        st.floats(allow_nan=True),
    )
    def test_told(
        self, found: list[tuple[str, dict[str, str], Value]], kind: ResourceType, name: str | None, time: float
    ) -> None:
        """What was told together has the documents that its events have."""
        heading = Heading("/3303/0/5700", kind.value, name, None)
        told = Told(time, False, [(endpoint, labels, heading, value) for endpoint, labels, value in found])
        ids = [f"{number:016}" for number in range(len(found))]
        expected = [event_document(event, each) for event, each in zip(telling.events(told), ids, strict=True)]
        texts = telling.rows(told)[2]
        self.assertEqual(told_documents(told, texts, ids), expected)
