"""The JSON documents that people and programs read: values, events, and everything else that the API shows.

RULES: integers are exact; NaN and Infinity are strings, because JSON has none; opaque values are base64; times are RFC
3339 in UTC. Whatever a device sent can be shown: rendering a value never raises.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from lwm2md.events import Event, Timestamp
from lwm2md.lwm2m.rows import Heading, ValueRow
from lwm2md.lwm2m.values import ObjectLink
from lwm2md.server.effects import Told
from lwm2md.timestamps import rfc3339

Document = dict[str, object]

_LARGEST_EXACT: Final = 2**53 - 1
"""Beyond it a JavaScript number loses digits."""

_encode: Final = msgspec.json.Encoder().encode


def render(document: object) -> bytes:
    """Encode a document of mappings, sequences, ``Timestamp``, ``ValueRow``, bytes and plain values as JSON.

    Raises ``TypeError`` for anything else: that is a mistake of ours, never of a device's.
    """
    return _encode(plain(document))


def plain(value: object) -> object:
    """Return the same document made of what JSON has: times and values as text, NaN as a string."""
    kind = type(value)
    if kind in _SAME:
        return value
    convert = _CONVERT.get(kind)
    return convert(value) if convert is not None else _other(value)


def time_text(seconds: float | None) -> str | None:
    """Return RFC 3339 text, or None where there is no time or none that a calendar has."""
    try:
        return None if seconds is None else rfc3339(seconds)
    except ValueError:
        return None


def value_rows(rows: Iterable[ValueRow], *, int64_as_string: bool = False) -> list[Document]:
    """Return the ``values`` list of a document."""
    return [value_document(row, int64_as_string=int64_as_string) for row in rows]


def value_document(row: ValueRow, *, int64_as_string: bool = False) -> Document:
    """Return one item of a ``values`` list; with ``int64_as_string`` integers beyond 2^53 are decimal strings."""
    value = row.value
    shown: object = value
    encoding = None
    if isinstance(value, float):
        shown = _number(value)
    elif isinstance(value, bool):
        pass
    elif isinstance(value, int):
        shown = _integer(row.type, value, int64_as_string)
    elif isinstance(value, str):
        shown, encoding = _string(value)
    elif isinstance(value, bytes):
        shown = _base64(value)
        encoding = None if row.type == "opaque" else "base64"
    else:
        shown = str(value)
    document: Document = {"path": row.path, "value": shown, "type": row.type}
    if encoding is not None:
        document["encoding"] = encoding
    document["name"] = None if row.name is None else _text(row.name)
    document["unit"] = None if row.unit is None else _text(row.unit)
    document["time"] = None if row.time is None else time_text(row.time)
    return document


def event_document(event: Event, event_id: str) -> bytes:
    """Return an event as every reader gets it; its own fields come after those that all events have."""
    if not event.labels and event.endpoint is not None and (found := _plain_event(event, event_id)):
        return found
    document: Document = {
        "id": event_id,
        "time": time_text(event.time),
        "type": event.type,
        "endpoint": None if event.endpoint is None else _text(event.endpoint),
        "labels": _mapping(event.labels) if event.labels else {},
    }
    fields: Mapping[str, object] = msgspec.json.decode(event.own) if event.own else event.fields
    for key, item in fields.items():
        name = key if key.isascii() else _text(key)
        if name not in document:
            kind = type(item)
            if kind is tuple and item and type(item[0]) is str:  # type: ignore[index]
                document[name] = _texts(item)
            elif kind is tuple:
                document[name] = [_row(each) if type(each) is ValueRow else plain(each) for each in item]  # type: ignore[attr-defined]
            else:
                document[name] = item if kind in _SAME else plain(item)
    return _encode(document)


def _plain_event(event: Event, event_id: str) -> bytes | None:
    """The document of an event without labels whose own fields JSON has as they are; None for all else."""
    try:
        own = event.own or _own(event.fields)
        where = _encode(event.endpoint)
    except UnicodeEncodeError:
        return None
    if own is None:
        return None
    document = _PLAIN_EVENT % (event_id.encode(), _time_json(event.time), _type_json(event.type), where, own[1:])
    return document if len(own) > _EMPTY else document[:-_EMPTY] + b"}"


def _own(fields: Mapping[str, object]) -> bytes | None:
    """An event's own fields as JSON, where that has them as they are."""
    for item in fields.values():
        kind = type(item)
        if kind in _AS_IT_IS:
            continue
        if kind is not tuple or not item or type(item[0]) is not str or not _is_text(item):  # type: ignore[index]
            return None
    return _encode(fields) if _COMMON.isdisjoint(fields) else None


@lru_cache(maxsize=1024)
def _is_text(item: tuple[object, ...]) -> bool:
    """Whether a list has nothing but texts: a fleet registers the same Objects again and again."""
    return all(type(each) is str for each in item)


_PLAIN_EVENT: Final = b'{"id":"%b","time":%b,"type":%b,"endpoint":%b,"labels":{},%b'
_EMPTY: Final = len(b"{}")
_COMMON: Final = frozenset({"id", "time", "type", "endpoint", "labels"})
_AS_IT_IS: Final = frozenset({str, int, bool, type(None)})


def told_documents(told: Told, texts: Sequence[bytes], ids: Sequence[str]) -> list[bytes]:
    """The documents of what was told, with these ids; ``texts`` are the values as `lwm2md.server.telling` wrote them.

    They are what `event_document` makes of its events, without a dictionary of each.
    """
    time = _encode(time_text(told.time))
    head, tail = b'","time":%b,"type":"device.value","endpoint":' % time, time + b"}]}"
    known: dict[Heading, tuple[bytes, bytes]] = {}
    join = b"".join
    documents = []
    for event_id, (endpoint, labels, heading, value), shown in zip(ids, told.values, texts, strict=True):
        around = known.get(heading)
        if around is None:
            before, after = _around(heading.path, heading.type, heading.name, heading.unit)
            around = known[heading] = before, after + tail
        before, after = around
        if (type(value) is not float or value - value != 0.0) and not _is_number(value, heading.type):
            # Anything but a number is shown in another way than it is kept.
            shown = render(value_document(heading.row(value, None))).removesuffix(b"null}")  # noqa: PLW2901
            before, after = b"", tail
        where = _encode(endpoint if endpoint.isascii() else _text(endpoint))
        named = b',"labels":%b,"source":"observe","values":[' % _encode(_mapping(labels)) if labels else _UNLABELLED
        documents.append(join((b'{"id":"', event_id.encode(), head, where, named, before, shown, after)))
    return documents


_UNLABELLED: Final = b',"labels":{},"source":"observe","values":['


def _is_number(value: Any, kind: str) -> bool:
    """Whether JSON has a value as it is."""
    found = type(value)
    return found is bool or (found is int and kind != "time") or (found is float and value - value == 0.0)


def _row(row: ValueRow) -> msgspec.Raw | Document:
    """A row as `value_document` has it; of the numbers that nearly all are, only what is new is written."""
    written = _number_row(row)
    return value_document(row) if written is None else msgspec.Raw(written)


def _number_row(row: ValueRow) -> bytes | None:
    if not _is_number(row.value, row.type):
        return None
    head, tail = _around(row.path, row.type, row.name, row.unit)
    time = b"null" if row.time is None else _time_json(row.time)
    return b"%b%b%b%b}" % (head, _encode(row.value), tail, time)


@lru_cache(maxsize=1024)
def _texts(item: tuple[str, ...]) -> msgspec.Raw:
    """A list of texts as JSON: a fleet registers the same Objects again and again."""
    return msgspec.Raw(render(item))


@lru_cache(maxsize=4096)
def _around(path: str, kind: str, name: str | None, unit: str | None) -> tuple[bytes, bytes]:
    """What stands before the value of a row and between it and the time, as JSON."""
    whole = _encode(value_document(ValueRow(path, True, kind, name, unit)))
    head, _, tail = whole.partition(b":true,")
    return head + b":", b"," + tail.removesuffix(b"null}")


@lru_cache(maxsize=64)
def _type_json(event_type: str) -> bytes:
    return _encode(event_type)


@lru_cache(maxsize=64)
def _time_json(seconds: float) -> bytes:
    return _encode(time_text(seconds))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _string(value: str) -> tuple[str, str | None]:
    if value.isascii():
        return value, None
    try:
        value.encode()
    except UnicodeEncodeError:
        return _base64(value.encode("utf-8", "surrogatepass")), "base64"
    return value, None


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _integer(kind: str, value: int, as_string: bool) -> int | str:
    if kind == "time" and (text := time_text(value)) is not None:
        return text
    return str(value) if as_string and abs(value) > _LARGEST_EXACT else value


def _mapping(value: Mapping[Any, object]) -> Document:
    document: Document = {}
    for key, item in value.items():
        name = key if type(key) is str and key.isascii() else _text(str(key))
        kind = type(item)
        # Nearly all of what a document holds is text that may stay as it is.
        if kind is str and item.isascii():  # type: ignore[attr-defined]
            document[name] = item
        else:
            document[name] = item if kind in _SAME else plain(item)
    return document


def _sequence(value: Iterable[object]) -> list[object]:
    return [plain(item) for item in value]


def _other(value: object) -> object:
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, set | frozenset):
        return _sequence(value)
    return value


_SAME: Final = frozenset({int, bool, type(None)})
_CONVERT: Final[dict[type, Callable[[Any], object]]] = {
    str: _text,
    float: _number,
    Timestamp: time_text,
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
    ValueRow: value_document,
    ObjectLink: str,
}
