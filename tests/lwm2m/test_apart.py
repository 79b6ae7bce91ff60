"""Tests of lwm2md.lwm2m.apart: whose each value of a gateway's Send is."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import LWM2M_CBOR, SENML_CBOR, SENML_JSON
from lwm2md.lwm2m.apart import FORMATS, apart
from lwm2md.lwm2m.nodes import ContentError, Entry, ignore
from lwm2md.lwm2m.paths import Path

_LABELS = {"bn": -2, "bt": -3, "bv": -5, "n": 0, "v": 2, "t": 6}
_PREFIXES = ("d0", "d01", "x y", "")


def no_models(_path: Path) -> None:
    """No Resource has a model."""


def read(number: int, payload: bytes, prefixes: tuple[str, ...] = _PREFIXES[:3]) -> dict[str, set[Entry]]:
    """The values of a payload by prefix."""
    return {
        prefix: set(part(no_models, ignore, f"/{prefix}" if prefix else ""))
        for prefix, part in apart(number, payload, prefixes).items()
    }


def packed(number: int, records: list[dict[str, Any]]) -> bytes:
    """SenML in one of its forms."""
    if number == SENML_JSON:
        return json.dumps(records).encode()
    return cbor2.dumps([{_LABELS[label]: value for label, value in record.items()} for record in records])


VALUES = st.dictionaries(
    st.tuples(st.sampled_from(_PREFIXES), st.tuples(*[st.integers(0, 65534)] * 3)),
    st.integers(-1000, 1000),
    min_size=1,
    max_size=12,
)


class ApartTests(SynchronousTestCase):
    """Payloads of several devices."""

    @given(values=VALUES, data=st.data(), number=st.sampled_from((SENML_JSON, SENML_CBOR)))
    def test_senml(self, values: dict[tuple[str, tuple[int, ...]], int], data: st.DataObject, number: int) -> None:
        """However names, times and values are split into base and rest, each value is that of its device."""
        records: list[dict[str, Any]] = []
        expected: dict[str, set[Entry]] = {}
        base_name, base_time, base_value = "", None, 0
        for (prefix, ids), value in values.items():
            split = data.draw(st.booleans())
            name = (f"/{prefix}" if prefix else "") + str(Path(ids))
            record: dict[str, Any] = {}
            if not name.startswith(base_name) or data.draw(st.booleans()):
                base_name = record["bn"] = name[: data.draw(st.integers(0, len(name)))]
            if data.draw(st.booleans()):
                base_time = record["bt"] = data.draw(st.integers(10**9, 2 * 10**9))
            if data.draw(st.booleans()):
                base_value = record["bv"] = data.draw(st.integers(-9, 9))
            if record and split:
                records.append(record)
                record = {}
            records.append({**record, "n": name[len(base_name) :], "v": value - base_value})
            entry = Entry(Path(ids), value, None if base_time is None else float(base_time))
            expected.setdefault(prefix, set()).add(entry)
        self.assertEqual(read(number, packed(number, records)), expected)

    @given(values=VALUES)
    def test_lwm2m_cbor(self, values: dict[tuple[str, tuple[int, ...]], int]) -> None:
        """The maps of devices stand beside the Objects of the gateway."""
        tree: dict[object, Any] = {}
        expected: dict[str, set[Entry]] = {}
        for (prefix, ids), value in values.items():
            below = tree.setdefault(prefix, {}) if prefix else tree
            below.setdefault(ids[0], {}).setdefault(ids[1], {})[ids[2]] = value
            expected.setdefault(prefix, set()).add(Entry(Path(ids), value))
        self.assertEqual(read(LWM2M_CBOR, cbor2.dumps(tree)), expected)

    def test_nothing(self) -> None:
        """Without values there are no parts."""
        for number, payload in ((SENML_JSON, b"[]"), (SENML_JSON, b'[{"bn":"/d0/"}]'), (LWM2M_CBOR, b"\xa0")):
            self.assertEqual(read(number, payload), {}, payload)

    def test_unknown_prefix(self) -> None:
        """A prefix that nobody has is an error of the gateway's own part."""
        for number, payload in ((SENML_JSON, b'[{"n":"/d7/3/0/9","v":1}]'), (LWM2M_CBOR, b"\xa1\x62d7\xa1\x03\x80")):
            (prefix,) = apart(number, payload, ("d0",))
            self.assertEqual(prefix, "")
            self.assertRaises(ContentError, read, number, payload, ("d0",))

    @given(number=st.sampled_from(sorted(FORMATS)), payload=st.binary(max_size=60))
    def test_anything(self, number: int, payload: bytes) -> None:
        """Whatever a gateway sends is read, or refused."""
        with contextlib.suppress(ContentError):
            read(number, payload)
