"""Requests whose bytes are ready, for many peers that are asked the same: only message ID and token differ.

Rules: what is in here is what `Engine.request` would send to a peer with the largest blocks; `whole` says that the
payload fits one.
"""

from __future__ import annotations

import msgspec

from lwm2md.coap.blocks import MAX_SZX, size_of
from lwm2md.coap.message import Options, encode_body


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A request, and the ``body`` that follows the token."""

    code: int
    options: Options
    payload: bytes
    body: bytes
    whole: bool


def prepare(code: int, options: Options = (), payload: bytes = b"") -> Prepared:
    """Make a request ready."""
    return Prepared(code, options, payload, encode_body(options, payload), len(payload) <= size_of(MAX_SZX))
