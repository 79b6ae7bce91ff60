"""Answers: what a handler gives back to be written to the caller."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

from lwm2md.documents import plain

JSON: Final = b"application/json"
NO_STORE: Final = ((b"Cache-Control", b"no-store"),)

_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen(slots=True)
class Reply:
    """A whole answer: HTTP status, body, media type, and further header lines."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(document: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = NO_STORE) -> Reply:
    """An answer with ``document`` as JSON; not to be stored by caches unless ``headers`` say otherwise."""
    try:
        body = _encode(document)
    except UnicodeEncodeError:  # text of a device that no UTF-8 can hold
        body = _encode(plain(msgspec.to_builtins(document)))
    return Reply(status, body, JSON, headers)


def no_content() -> Reply:
    """An answer that says only that it is done."""
    return Reply(204, b"")
