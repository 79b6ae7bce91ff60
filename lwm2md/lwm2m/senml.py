"""SenML, Content-Formats 110 and 112, and SenML-ETCH, 320 and 322: values, and the lists of paths in a FETCH.

Rules: OMA LwM2M Core, SenML and Read-Composite; RFC 8428, RFC 8790. A list of paths is records that have names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from lwm2md.lwm2m import senmlcbor, senmljson
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note, ignore
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.senmlform import Form
from lwm2md.lwm2m.senmlnames import base_name, check_labels, full_name, without_root
from lwm2md.lwm2m.senmlreading import RecordReader
from lwm2md.lwm2m.senmlshapes import ShapeReader
from lwm2md.lwm2m.senmltemplates import TemplateWriter
from lwm2md.lwm2m.senmlwriting import write_records


class Senml:
    """One of the four formats, by the form of its records."""

    __slots__ = ("_form", "_shapes", "_templates")

    def __init__(self, form: Form, templates: TemplateWriter | None = None) -> None:
        self._form, self._shapes, self._templates = form, ShapeReader(form), templates

    def decode(self, base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, root: str = "") -> Nodes:
        """Read the values at and below ``base``, an empty list as an empty ``base``. Raises ContentError."""
        records = self._form.load(payload)
        nodes = None if root else self._shapes.read(base, records, type_of)
        return RecordReader(self._form, base, type_of, note, root).read(records) if nodes is None else nodes

    def encode(self, base: Path, nodes: Nodes, type_of: TypeOf, root: str = "") -> bytes:
        """Write values at and below ``base``. Raises ContentError."""
        if self._templates is not None:
            return self._templates.write(base, nodes, type_of, root)
        return self._form.dump(write_records(self._form, base, nodes, type_of, root))

    def decode_paths(self, payload: bytes, root: str = "") -> tuple[Path, ...]:
        """Read a list of paths, each kept once. Raises ContentError."""
        form, name = self._form, ""
        allowed = form.bases | {form.labels.name}
        found: dict[Path, None] = {}
        for record in form.load(payload):
            check_labels(record, form)
            if record.keys() & form.known - allowed:
                raise ContentError("a path with a value or a time")
            name = base_name(record, form, name)
            found[_path(full_name(record, form, name), root)] = None
        return tuple(found)

    def encode_paths(self, paths: Sequence[Path], root: str = "") -> bytes:
        """Write a list of paths."""
        name = self._form.labels.name
        return self._form.dump([{name: f"{root}{path}" if path or not root else root} for path in paths])


def _path(name: str, root: str) -> Path:
    bare = without_root(name, root)
    if bare is None:
        raise ContentError(f"{name[:40]!r} is outside of {root}")
    try:
        return Path.parse(bare)
    except PathError as error:
        raise ContentError(f"{name[:40]!r}: {error}") from None


_ETCH_JSON_FORM: Final = attrs.evolve(senmljson.FORM, etch=True)

JSON: Final = Senml(senmljson.FORM, TemplateWriter(senmljson.FORM))
CBOR: Final = Senml(senmlcbor.FORM)
ETCH_JSON: Final = Senml(_ETCH_JSON_FORM, TemplateWriter(_ETCH_JSON_FORM))
ETCH_CBOR: Final = Senml(attrs.evolve(senmlcbor.FORM, etch=True))
