"""The content formats by number: one table that every reader and writer of payloads goes through.

Rules: a format is a row here. The numbers of the first drafts are understood when they come, and never written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from lwm2md.coap.numbers import (
    CBOR,
    JSON,
    LWM2M_CBOR,
    OPAQUE,
    SENML_CBOR,
    SENML_ETCH_CBOR,
    SENML_ETCH_JSON,
    SENML_JSON,
    TEXT,
    TLV,
)
from lwm2md.lwm2m import cbor, lwm2mcbor, lwm2mjson, opaque, senml, text, tlv
from lwm2md.lwm2m.models import ResourceModel, TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note, ValueReader, ignore
from lwm2md.lwm2m.paths import Path

ALIASES: Final = {1541: TEXT, 1542: TLV, 1543: JSON, 1544: OPAQUE}
"""The numbers of the drafts of LwM2M 1.0, and the formats they mean."""

_PRINTABLE: Final = frozenset(bytes((byte,)) for byte in range(0x20, 0x7F))

NO_FORMAT: Final = "no-content-format"
DRAFT_FORMAT: Final = "draft-content-format"


class UnsupportedFormat(ContentError):  # noqa: N818 - named as CoAP names it
    """The content format is not one of ours."""


class Codec(NamedTuple):
    """One content format: its name in the API and in the configuration, and the two directions.

    The last argument of each function is the root of the names. The path lists are of formats that a FETCH may have.
    """

    name: str
    decode: Callable[[Path, bytes, TypeOf, Note, str], Nodes]
    encode: Callable[[Path, Nodes, TypeOf, str], bytes]
    decode_paths: Callable[[bytes, str], tuple[Path, ...]] | None = None
    encode_paths: Callable[[Sequence[Path], str], bytes] | None = None


def _senml(name: str, codec: senml.Senml) -> Codec:
    return Codec(name, codec.decode, codec.encode, codec.decode_paths, codec.encode_paths)


CODECS: Final[dict[int, Codec]] = {
    TEXT: Codec("text", text.decode, text.encode),
    OPAQUE: Codec("opaque", opaque.decode, opaque.encode),
    CBOR: Codec("cbor", cbor.decode, cbor.encode),
    SENML_JSON: _senml("senml-json", senml.JSON),
    SENML_CBOR: _senml("senml-cbor", senml.CBOR),
    SENML_ETCH_JSON: _senml("senml-etch-json", senml.ETCH_JSON),
    SENML_ETCH_CBOR: _senml("senml-etch-cbor", senml.ETCH_CBOR),
    TLV: Codec("tlv", tlv.decode, tlv.encode),
    JSON: Codec("json", lwm2mjson.decode, lwm2mjson.encode),
    LWM2M_CBOR: Codec("lwm2m-cbor", lwm2mcbor.decode, lwm2mcbor.encode),
}

NAMES: Final = {number: codec.name for number, codec in CODECS.items()}
"""The name of each content format."""

NUMBERS: Final = {name: number for number, name in NAMES.items()}
"""The number of each content format, by name."""


def decode(
    content_format: int, base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, *, root: str = ""
) -> Nodes:
    """Read a payload that was sent for ``base``, the root path where it names all of its paths itself.

    ``root`` is what stands before the ids in the names of a format that has names: an alternate path such as
    ``/lwm2m``, or the prefix of a gateway's device. Raises ContentError, UnsupportedFormat for another format.
    """
    codec = CODECS.get(content_format)
    if codec is None:
        codec = _codec(ALIASES.get(content_format, content_format))
        note(DRAFT_FORMAT)
    return codec.decode(base, payload, type_of, note, root)


def value_reader(content_format: int | None, path: Path, model: ResourceModel | None) -> ValueReader | None:
    """What reads payloads that have the value of a single Resource and nothing else, the short way, if there is one."""
    make = _VALUES.get(content_format)
    return None if make is None or model is None else make(path, model)


def encode(content_format: int, base: Path, nodes: Nodes, type_of: TypeOf, *, root: str = "") -> bytes:
    """Write nodes that lie at or below ``base``. Raises ContentError, UnsupportedFormat for another format."""
    return _codec(content_format).encode(base, nodes, type_of, root)


def decode_paths(content_format: int, payload: bytes, *, root: str = "") -> tuple[Path, ...]:
    """Read the list of paths in a FETCH. Raises ContentError, UnsupportedFormat for a format without such lists."""
    codec = _codec(content_format)
    if codec.decode_paths is None:
        raise UnsupportedFormat(f"{codec.name} has no list of paths")
    return codec.decode_paths(payload, root)


def encode_paths(content_format: int, paths: Sequence[Path], *, root: str = "") -> bytes:
    """Write the list of paths of a FETCH. Raises UnsupportedFormat for a format without such lists."""
    codec = _codec(content_format)
    if codec.encode_paths is None:
        raise UnsupportedFormat(f"{codec.name} has no list of paths")
    return codec.encode_paths(paths, root)


def decode_answer(
    content_format: int | None,
    accept: int | None,
    base: Path,
    payload: bytes,
    type_of: TypeOf,
    *,
    note: Note = ignore,
    root: str = "",
) -> tuple[Nodes, str]:
    """Read what a device answered to a Read or notified for ``base``, whether it named the format or not.

    Returns the nodes and the name of their format. Without a format an empty payload is an empty Object or Instance; a
    single value is tried as what was accepted, then as text; anything more is never guessed at. Raises ContentError.
    """
    if content_format is not None:
        return decode(content_format, base, payload, type_of, note, root=root), NAMES.get(
            content_format, str(content_format)
        )
    note(NO_FORMAT)
    if not payload and len(base) < 3:
        return (Entry(base, None),) if base else (), NAMES[TEXT]
    if len(base) < 3:
        raise ContentError(f"no Content-Format, and {base} is more than one value")
    # A text may happen to be TLV, of instances: the type in its first byte is none that the value of a Resource has.
    is_text = accept in (None, TEXT) or (accept == TLV and payload[:1] in _PRINTABLE)
    if accept is not None and not is_text:
        try:
            return decode(accept, base, payload, type_of, note, root=root), NAMES.get(accept, str(accept))
        except ContentError:
            pass
    return decode(TEXT, base, payload, type_of, note), NAMES[TEXT]


_VALUES: Final[Mapping[int | None, Callable[[Path, ResourceModel], ValueReader | None]]] = {
    TLV: tlv.value_reader,
    TEXT: text.value_reader,
}


def _codec(content_format: int) -> Codec:
    codec = CODECS.get(content_format)
    if codec is None:
        raise UnsupportedFormat(f"content format {content_format} is not supported")
    return codec
