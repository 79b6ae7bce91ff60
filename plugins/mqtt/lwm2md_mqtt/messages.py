"""Messages: what an event, and the answer to a request, look like on the broker.

RULES: values go out one Resource a message, so that who wants one subscribes to one; every other event is one message
that is the event's document as the API shows it. Numbers, times and units are passed on as the daemon wrote them, never
read and written again. Nothing here raises for what the daemon hands out.
"""

from __future__ import annotations

import base64
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from lwm2md_mqtt.requests import NO_ID, BadRequest
from lwm2md_mqtt.topics import Topics, encode

Kind = Literal["values", "events", "responses", "online"]

VALUE: Final = "device.value"
GAP: Final = "gap"
_DEVICE: Final = "device."
_BASE64: Final = b'"base64"'
_FINAL: Final = frozenset({"done", "failed", "expired", "cancelled"})
_WAITING: Final = frozenset({"queued", "sent"})
_NO_ANSWER: Final = "5.04"
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "no answer": (_NO_ANSWER, "no-answer"),
    "outcome-unknown": (_NO_ANSWER, "outcome-unknown"),
    "the registration ended": ("4.04", "not-registered"),
}
"""How an operation may end without the device, with code and stable word."""
_CODES: Final[Mapping[str, str]] = {
    "unknown-device": "4.04",
    "not-registered": "4.04",
    "forbidden": "4.03",
    "queue-full": "4.29",
    "storage-failed": "5.03",
    "overloaded": "5.03",
}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message on its way to the broker; the kind decides QoS and whether it is retained."""

    topic: str
    payload: bytes
    kind: Kind


class _Row(msgspec.Struct, gc=False):
    path: str
    value: msgspec.Raw
    type: str = ""
    unit: msgspec.Raw = NO_ID
    time: msgspec.Raw = NO_ID
    encoding: str | None = None


class _Values(msgspec.Struct, gc=False):
    values: list[_Row] = []


_decode_values: Final = msgspec.json.Decoder(_Values).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.encode


class Publisher:
    """Makes messages of events: those whose type matches one of ``events``, of devices that match ``endpoints``.

    Both are shell globs. A gap, where events are missing, is always told. With ``plain`` a value is sent bare: text, or
    the bytes of what is opaque.
    """

    def __init__(self, topics: Topics, events: Iterable[str], endpoints: Iterable[str], *, plain: bool) -> None:
        self._topics = topics
        self._wants_type = matcher(events)
        self.wants_endpoint = matcher(endpoints)
        self._payload = _plain if plain else _json

    def messages(self, kind: str, endpoint: str | None, document: bytes) -> Iterator[Message]:
        """The messages of one event, given its type and the device that it is about."""
        wanted = kind == GAP or self._wants_type(kind)
        if not (wanted and (endpoint is None or self.wants_endpoint(endpoint))):
            return
        level = None if endpoint is None else encode(endpoint)
        if kind == VALUE and level is not None:
            sensor, payload = self._topics.sensor, self._payload
            for row in _decode_values(document).values:
                yield Message(sensor(level, row.path), payload(row), "values")
            return
        yield Message(self._topics.event(level, kind.removeprefix(_DEVICE)), document, "events")


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether a name matches one of the shell globs."""
    globs = frozenset(patterns)
    if "*" in globs:
        return lambda _: True
    found = re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)")
    return lambda name: found.match(name) is not None


def _json(row: _Row) -> bytes:
    more = b""
    if row.encoding is not None or row.type == "opaque":
        more = b',"encoding":' + _BASE64
    return b'{"value":%b,"time":%b,"unit":%b%b}' % (row.value, row.time, row.unit, more)


def _plain(row: _Row) -> bytes:
    found = bytes(row.value)
    if not found.startswith(b'"'):
        return found
    text = _decode_text(found)
    if row.encoding is not None or row.type == "opaque":
        return base64.b64decode(text)
    return text.encode()


# Answers


def answer(identity: msgspec.Raw, document: Mapping[str, Any]) -> bytes:
    """Return the answer to a request whose operation is as ``document`` says, ended or not."""
    result = document.get("result") or {}
    found: dict[str, Any] = {
        "id": identity,
        "state": document["state"],
        "code": document.get("coap_code"),
        "operation": document["id"],
    }
    found.update((name, result[name]) for name in ("values", "links", "location") if result.get(name) is not None)
    if document["state"] != "done" and document["state"] not in _WAITING:
        found["code"], found["reason"] = _failure(document)
        found["error"] = document.get("error") or document["state"]
    return _encode(found)


def refusal(identity: msgspec.Raw, error: BadRequest) -> bytes:
    """Return the answer to a request that was not taken."""
    found = {"id": identity, "state": "failed", "code": error.code, "reason": error.reason, "error": str(error)}
    return _encode(found)


def refused(code: str, text: str) -> BadRequest:
    """Return what the daemon refused with a stable word as an error that can be answered."""
    return BadRequest(text, _CODES.get(code, "4.00"), code)


def ended(state: str) -> bool:
    """Whether an operation in this state stays so."""
    return state in _FINAL


def _failure(document: Mapping[str, Any]) -> tuple[str, str]:
    """The CoAP code and the stable word of an operation that ended otherwise than done."""
    state, error, code = document["state"], document.get("error") or "", document.get("coap_code")
    if state == "expired":
        return _NO_ANSWER, "expired"
    if state == "cancelled":
        return _NO_ANSWER, "cancelled"
    if code is not None and not code.startswith("2."):
        return code, "device-error"
    if error.startswith("storage failed"):
        return "5.03", "storage-failed"
    return _ENDS.get(error, ("5.00", "device-failed"))
