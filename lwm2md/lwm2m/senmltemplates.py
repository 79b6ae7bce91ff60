"""SenML in JSON written into the text of an earlier payload: for the same paths only values and times differ.

Rules: the text comes from records as `senmlwriting` makes them, and what has no known shape is written by it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.senmlform import Form, Record
from lwm2md.lwm2m.senmlshapes import MOST_RECORDS, Shape, Shapes, shape_of
from lwm2md.lwm2m.senmlwriting import times_of, write_records

_Key: TypeAlias = tuple[Path, str, tuple[Path, ...]]
"""The base, the root and the paths of a payload."""

_ENCODER: Final = msgspec.json.Encoder()


class TemplateWriter:
    """Writes nodes in one of the two forms that are JSON."""

    __slots__ = ("_form", "_known")

    def __init__(self, form: Form) -> None:
        self._form = form
        self._known: Shapes[_Key, _Template] = Shapes()

    def write(self, base: Path, nodes: Nodes, type_of: TypeOf, root: str) -> bytes:
        """Write values at and below ``base``. Raises ContentError."""
        known = base, root, tuple([entry.path for entry in nodes])
        template = self._known.get(known)
        same = template is not None and template.shape.of_models(type_of)
        payload = template.fill(nodes) if template is not None and same else None
        if payload is None:
            records = write_records(self._form, base, nodes, type_of, root)
            payload = self._form.dump(records)
            if not same and (template is not None or self._known.again(known)):
                self._learn(known, records, type_of)
        return payload

    def _learn(self, known: _Key, records: list[Record], type_of: TypeOf) -> None:
        paths = known[2]
        if not (0 < len(records) == len(paths) <= MOST_RECORDS and len(set(paths)) in (1, len(paths))):
            return
        shape = shape_of(self._form, paths, type_of)
        if shape is not None:
            self._known.keep(known, _Template(shape, records), len(paths))


class _Template:
    """The text of payloads of one shape: all at one time, if any, or of one path at several times."""

    __slots__ = ("_label", "_name", "_start", "_text", "shape")

    def __init__(self, shape: Shape, records: list[Record]) -> None:
        self.shape = shape
        lead = records[0].get("bn")
        self._start = b"[{" if lead is None else b'[{"bn":%b,' % _ENCODER.encode(lead)
        texts = [f'"n":"{record["n"]}","{label}":%b' for record, label in zip(records, shape.labels, strict=True)]
        self._text = ("},{".join(texts) + "}]").encode()
        self._name = f'"n":"{records[0]["n"]}",'.encode()
        self._label = f',"{shape.labels[0]}":'.encode()

    def fill(self, nodes: Nodes) -> bytes | None:
        """The payload, None if something in it is not usual. Raises ContentError for a time."""
        shape = self.shape
        values = [entry.value for entry in nodes]
        if not shape.fits(values):
            return None
        base, times = times_of(nodes)
        start = self._start + b'"bt":%d,' % base if base else self._start
        try:
            if not shape.distinct:
                return self._history(start, values, times, omit=base != 0)
            lines = _ENCODER.encode_lines(values)
        except ValueError:  # of a string
            return None
        # The library writes what is no finite number as null.
        if b"null" in lines or times.count(0 if base else None) != len(times):
            return None
        return start + self._text % tuple(lines[:-1].split(b"\n"))

    def _history(self, start: bytes, values: list[Any], times: list[Any], *, omit: bool) -> bytes | None:
        """The payload with the values of one path; ``omit``: a time of 0 is left out, which only the first may be."""
        columns = [None] * (3 * len(times) - 1)
        columns[::3], columns[1::3] = times, values
        lines = _ENCODER.encode_lines(columns)
        first = omit and 0 in times
        # The nulls that are wanted stand where a record ends.
        if lines.count(b"null") != len(times) - 1 or len(set(times)) != len(times) or (first and times[0]):
            return None
        text = lines[:-1].replace(b"\nnull\n", b"},{" + self._name + b'"t":').replace(b"\n", self._label)
        return start + self._name + (text.removeprefix(b"0,") if first else b'"t":' + text) + b"}]"
