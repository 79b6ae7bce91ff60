"""Bodies of requests to us, put together from their Block1 blocks (RFC 7959 2.3, 2.5, 2.9; RFC 9175 3).

Rules: a transfer is known by its peer, method, URI and Request-Tag; block 0 begins it, also anew. Blocks follow one
another by byte offset, whatever their sizes; the last one may come again under a new message ID. A gap, an unknown
transfer and a change of the Content-Format get 4.08, a block of a wrong size 4.00, a body that is too large 4.13 with
the limit in Size1, and a transfer that would exceed what is kept for all together 5.03 with Max-Age.
"""

from __future__ import annotations

from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, merged, without
from lwm2md.coap.context import Context
from lwm2md.coap.interfaces import Peer, Response
from lwm2md.coap.message import Message, options, uint
from lwm2md.coap.shelf import Key, Shelf

_KEY: Final = (numbers.URI_HOST, numbers.URI_PORT, numbers.URI_PATH, numbers.URI_QUERY, numbers.REQUEST_TAG)
_SIZE: Final = Response(numbers.BAD_REQUEST, b"the payload does not fit the block size")
_UNKNOWN: Final = Response(numbers.REQUEST_ENTITY_INCOMPLETE, b"begin with block 0")
_GAP: Final = Response(numbers.REQUEST_ENTITY_INCOMPLETE, b"a block is missing")
_FORMAT: Final = Response(numbers.REQUEST_ENTITY_INCOMPLETE, b"another Content-Format than in block 0")


@attrs.define
class _Body:
    """What has arrived of a body."""

    content_format: bytes | None
    data: bytearray
    last: int = 0
    """Where the last block begins."""


class Assemblies:
    """All bodies in assembly of one engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        limits = context.limits
        self._limit = limits.body
        self._shelf: Shelf[_Body] = Shelf(
            context.parameters.exchange_lifetime, limits.assembly_bytes, limits.assemblies_per_peer
        )
        busy = options(max_age=limits.busy_max_age)
        self._busy = Response(numbers.SERVICE_UNAVAILABLE, b"too many bodies in assembly", busy)

    def __len__(self) -> int:
        return len(self._shelf)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return self._shelf.next_deadline()

    def expire(self, now: float) -> None:
        """Drop what got no block for EXCHANGE_LIFETIME."""
        self._shelf.expire(now)

    def take(self, peer: Peer, message: Message, block: Block, now: float) -> Message | Response:
        """Take one block; return the request with its whole body, or what to answer meanwhile."""
        payload = message.payload
        szx = min(block.szx, self._context.parameters_for(peer).block_szx)
        # An error is the final response, which the flag says; some clients go on if it is set.
        hint = Block(block.number, False, szx)
        if len(payload) > block.size or (block.more and len(payload) != block.size):
            return _with_block(_SIZE, hint)
        if block.number == 0 and not block.more:
            return self._whole(message, payload)
        key = peer, (message.code, tuple([option for option in message.options if option[0] in _KEY]))
        answer = self._append(key, message, block, now) if block.number else self._begin(key, message, now)
        if answer is not None:
            return _with_block(answer, hint)
        if block.more:
            return Response(numbers.CONTINUE, b"", ((numbers.BLOCK1, Block(block.number, True, szx).encode()),))
        body = self._shelf.get(key, now)
        self._shelf.pop(key)
        return self._whole(message, b"" if body is None else bytes(body.data), body)

    def _begin(self, key: Key, message: Message, now: float) -> Response | None:
        self._shelf.pop(key)
        size = message.get(numbers.SIZE1)
        length = len(message.payload)
        if length > self._limit or (size is not None and len(size) <= 4 and int.from_bytes(size, "big") > self._limit):
            return self._too_large()
        if not self._shelf.has_room(length):
            self._context.counters["overloaded"] += 1
            return self._busy
        body = _Body(message.get(numbers.CONTENT_FORMAT), bytearray(message.payload))
        self._shelf.put(key, body, length, now)
        return None

    def _append(self, key: Key, message: Message, block: Block, now: float) -> Response | None:
        body = self._shelf.get(key, now)
        if body is None:
            return _UNKNOWN
        payload = message.payload
        content_format = message.get(numbers.CONTENT_FORMAT)
        if content_format is not None and content_format != body.content_format:
            return _FORMAT
        if block.offset == body.last and body.data[body.last :] == payload:
            return None
        if block.offset != len(body.data):
            return _GAP
        if len(body.data) + len(payload) > self._limit:
            self._shelf.pop(key)
            return self._too_large()
        if not self._shelf.has_room(len(payload)):
            self._shelf.pop(key)
            self._context.counters["overloaded"] += 1
            return self._busy
        body.last = len(body.data)
        body.data += payload
        self._shelf.touch(key, len(payload), now)
        return None

    def _too_large(self) -> Response:
        self._context.counters["refused"] += 1
        size = ((numbers.SIZE1, uint(self._limit)),)
        return Response(numbers.REQUEST_ENTITY_TOO_LARGE, b"the body is too large", size)

    @staticmethod
    def _whole(message: Message, payload: bytes, body: _Body | None = None) -> Message:
        """Return the request as the handler sees it: the last block's, with the body and nothing about blocks."""
        found = without(message.options)
        if body is not None and body.content_format is not None and message.content_format is None:
            found = merged(found, (numbers.CONTENT_FORMAT, body.content_format))
        return Message(message.type, message.code, message.mid, message.token, found, payload)


def _with_block(response: Response, block: Block) -> Response:
    found = merged(response.options, (numbers.BLOCK1, block.encode()))
    return Response(response.code, response.payload, found)
