"""Events and answers as messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.documents import event_document
from lwm2md.events import Event
from lwm2md.lwm2m.rows import ValueRow
from lwm2md_mqtt.messages import Publisher, answer, ended, refusal, refused
from lwm2md_mqtt.requests import BadRequest
from lwm2md_mqtt.topics import Topics

TOPICS = Topics("p", "n")
ROWS: tuple[tuple[ValueRow, Any, bytes], ...] = (
    (ValueRow("/3303/0/5700", 21.5, "float", "Sensor Value", "Cel", 1.0), 21.5, b"21.5"),
    (ValueRow("/3/0/9", 7, "integer", None, None, None), 7, b"7"),
    (ValueRow("/3/0/9", 2**63, "unsigned", None, None, None), 2**63, b"9223372036854775808"),
    (ValueRow("/3/0/14", 'a "b"\n', "string", None, None, None), 'a "b"\n', b'a "b"\n'),
    (ValueRow("/3/0/14", "", "string", None, None, None), "", b""),
    (ValueRow("/6/0/6", True, "boolean", None, None, None), True, b"true"),
    (ValueRow("/3303/0/5700", float("nan"), "float", None, None, None), "NaN", b"NaN"),
    (ValueRow("/5/0/0", b"\x00\xff", "opaque", None, None, None), "AP8=", b"\x00\xff"),
)


def value_event(*rows: ValueRow) -> bytes:
    """The document of a device.value event."""
    return event_document(Event("device.value", 1.0, "a/b", {}, {"values": rows, "source": "observe"}), "1")


def publisher(*, plain: bool = False, events: tuple[str, ...] = ("device.*",)) -> Publisher:
    """A publisher for all devices but one."""
    return Publisher(TOPICS, events, ("[!z]*",), plain=plain)


class EventTests(SynchronousTestCase):
    """What becomes of events."""

    def test_values(self) -> None:
        """A value is a message at its Resource's topic, with its time and unit."""
        for row, shown, _ in ROWS:
            (message,) = publisher().messages("device.value", "a/b", value_event(row))
            self.assertEqual((message.topic, message.kind), (f"p/a%2Fb/sensor{row.path}", "values"))
            found = json.loads(message.payload)
            time = None if row.time is None else "1970-01-01T00:00:01Z"
            more = {"encoding": "base64"} if row.type == "opaque" else {}
            self.assertEqual(found, {"value": shown, "time": time, "unit": row.unit, **more})

    def test_plain(self) -> None:
        """A bare value is its text, or its bytes."""
        for row, _, bare in ROWS:
            (message,) = publisher(plain=True).messages("device.value", "a/b", value_event(row))
            self.assertEqual(message.payload, bare)

    def test_text_that_is_none(self) -> None:
        """A string that is not UTF-8 is base64 and says so; bare it is its bytes."""
        row = ValueRow("/3/0/14", b"\xff\xfe".decode("utf-8", "surrogateescape"), "string", None, None, None)
        document = value_event(row)
        (shown,) = publisher().messages("device.value", "a/b", document)
        found = json.loads(shown.payload)
        self.assertEqual(found["encoding"], "base64")
        (bare,) = publisher(plain=True).messages("device.value", "a/b", document)
        self.assertEqual(bare.payload, base64.b64decode(found["value"]))

    def test_several_values(self) -> None:
        """An event with several values is as many messages, in order."""
        document = value_event(*(row for row, *_ in ROWS))
        topics = [message.topic for message in publisher().messages("device.value", "a/b", document)]
        self.assertEqual(topics, [f"p/a%2Fb/sensor{row.path}" for row, *_ in ROWS])

    def test_events(self) -> None:
        """Another event is one message with the event's document, named without ``device.``."""
        (message,) = publisher().messages("device.not-responding", "e", b'{"x":1}')
        self.assertEqual((message.topic, message.payload), ("p/e/not-responding", b'{"x":1}'))
        (message,) = publisher(events=("*",)).messages("operation.done", "e", b"{}")
        self.assertEqual(message.topic, "p/e/operation.done")
        (message,) = publisher(events=()).messages("gap", None, b"{}")
        self.assertEqual((message.topic, message.kind), ("p/nodes/n/gap", "events"))

    def test_unwanted(self) -> None:
        """What no pattern matches is not published, nor anything of devices that none matches."""
        self.assertEqual(list(publisher().messages("operation.done", "e", b"{}")), [])
        self.assertEqual(list(publisher().messages("device.registered", "z1", b"{}")), [])
        self.assertEqual(list(publisher(events=()).messages("device.registered", "e", b"{}")), [])

    @given(st.lists(st.floats() | st.integers() | st.booleans() | st.text() | st.binary(), max_size=5))
    def test_any_values(self, given_values: list[Any]) -> None:
        """Whatever a device can send can be published, as JSON and bare."""
        types = {float: "float", int: "integer", bool: "boolean", str: "string", bytes: "opaque"}
        rows = [ValueRow("/1/0/1", value, types[type(value)], None, None, None) for value in given_values]
        for plain in (False, True):
            found = list(publisher(plain=plain).messages("device.value", "e", value_event(*rows)))
            self.assertEqual(len(found), len(rows))
            if not plain:
                for message in found:
                    json.loads(message.payload)


def operation(**fields: Any) -> dict[str, Any]:
    """An operation's document."""
    return {"id": "o1", "state": "done", "result": None, "error": None, "coap_code": "2.05", **fields}


class AnswerTests(SynchronousTestCase):
    """What is answered."""

    def shown(self, document: dict[str, Any]) -> dict[str, Any]:
        """An answer, decoded; its id is the request's."""
        found: dict[str, Any] = json.loads(answer(msgspec.Raw(b'{"any": [1]}'), document))
        self.assertEqual(found.pop("id"), {"any": [1]})
        return found

    def test_done(self) -> None:
        """An operation that is done has its code, and what the device answered."""
        for result in ({"values": [{"path": "/3/0/0"}]}, {"links": [{"path": "/3"}]}, {"location": "/3/1"}):
            found = self.shown(operation(result=result))
            self.assertEqual(found, {"state": "done", "code": "2.05", "operation": "o1", **result})

    def test_waiting(self) -> None:
        """An operation that has not ended has its state, and neither code nor error."""
        found = self.shown(operation(state="queued", coap_code=None))
        self.assertEqual(found, {"state": "queued", "code": None, "operation": "o1"})

    def test_failed(self) -> None:
        """Every way to fail has a CoAP code and a stable word."""
        for fields, code, reason in (
            ({"state": "failed", "coap_code": "4.04", "error": "Not Found"}, "4.04", "device-error"),
            ({"state": "failed", "coap_code": None, "error": "no answer"}, "5.04", "no-answer"),
            ({"state": "failed", "coap_code": None, "error": "outcome-unknown"}, "5.04", "outcome-unknown"),
            ({"state": "failed", "coap_code": None, "error": "the registration ended"}, "4.04", "not-registered"),
            ({"state": "failed", "coap_code": None, "error": "storage failed; x"}, "5.03", "storage-failed"),
            ({"state": "failed", "coap_code": "2.05", "error": "odd payload"}, "5.00", "device-failed"),
            ({"state": "expired", "coap_code": None}, "5.04", "expired"),
            ({"state": "cancelled", "coap_code": None}, "5.04", "cancelled"),
        ):
            found = self.shown(operation(**fields))
            self.assertEqual((found["code"], found["reason"]), (code, reason))
            self.assertTrue(found["error"])

    def test_refusal(self) -> None:
        """What was not taken has state failed, code, reason and a sentence."""
        found = json.loads(refusal(msgspec.Raw(b"7"), BadRequest("why", "4.13", "too-large")))
        self.assertEqual(found, {"id": 7, "state": "failed", "code": "4.13", "reason": "too-large", "error": "why"})

    def test_refused_by_the_daemon(self) -> None:
        """The daemon's words have CoAP codes."""
        for word, code in (
            ("unknown-device", "4.04"),
            ("not-registered", "4.04"),
            ("queue-full", "4.29"),
            ("forbidden", "4.03"),
            ("bad-operation", "4.00"),
        ):
            self.assertEqual((refused(word, "why").code, refused(word, "why").reason), (code, word))

    def test_ends(self) -> None:
        """Which states are final."""
        states = ("queued", "sent", "done", "failed", "expired", "cancelled")
        self.assertEqual([ended(state) for state in states], [False, False, True, True, True, True])
