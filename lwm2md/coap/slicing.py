"""Bodies of responses and notifications of ours, cut into Block2 blocks (RFC 7959 2.4, 2.6).

Rules: a body larger than a block goes out block by block, in the size that we and the requester can both take, under
an ETag over the body. It is kept for a while for the later blocks. When it is not kept any more the handler is asked
again, and the requester sees by the ETag whether that is the same body; a method that must not run twice, and a FETCH
that does not say again what for, get 4.08 then. A block beyond the end gets 4.00. An observer's block size holds for
its notifications.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.blocks import MAX_SZX, Block, merged, without
from lwm2md.coap.context import Context
from lwm2md.coap.interfaces import Peer, Response
from lwm2md.coap.message import Message, Options, uint
from lwm2md.coap.shelf import Key, Shelf
from lwm2md.coap.terms import Terms

_KEY: Final = (
    numbers.URI_HOST,
    numbers.URI_PORT,
    numbers.URI_PATH,
    numbers.URI_QUERY,
    numbers.ACCEPT,
    numbers.REQUEST_TAG,
)
REPEATABLE: Final = (numbers.GET, numbers.FETCH)
"""The methods that may run twice without harm."""

_ETAG_LENGTH: Final = 8
_BEYOND: Final = Response(numbers.BAD_REQUEST, b"the body has no such block")
_GONE: Final = Response(numbers.REQUEST_ENTITY_INCOMPLETE, b"the body is not kept any more")


@attrs.frozen
class _Kept:
    response: Response
    asked: int
    """The hash of the request's payload: what a FETCH asks for is in there."""


@attrs.frozen
class _Observer:
    """What the request of an observer is known by, and the block size that it asked for."""

    key: Key
    asked: int
    szx: int


class Slices:
    """All large responses of one engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        limits = context.limits
        self._shelf: Shelf[_Kept] = Shelf(
            context.parameters.exchange_lifetime, limits.slice_bytes, limits.slices_per_peer
        )
        self._observers: dict[tuple[Peer, bytes], _Observer] = {}

    def __len__(self) -> int:
        return len(self._shelf)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return self._shelf.next_deadline()

    def expire(self, now: float) -> None:
        """Drop what nobody has asked for since EXCHANGE_LIFETIME."""
        self._shelf.expire(now)

    def later(self, peer: Peer, message: Message, block: Block, now: float) -> Response | None:
        """Return the answer to a request for a later block; None if the handler is to be asked for the body."""
        key = _key(peer, message)
        kept = self._shelf.get(key, now)
        # Some clients don't repeat the payload of a FETCH, and no client that of a POST.
        if kept is not None and (not message.payload or hash(message.payload) == kept.asked):
            self._shelf.touch(key, 0, now)
            return self._cut(peer, kept.response, block, False)
        again = message.code == numbers.GET or (message.code == numbers.FETCH and message.payload)
        return None if again else _GONE

    def answer(self, peer: Peer, message: Message, terms: Terms | None, response: Response, now: float) -> Response:
        """Return `response`, or the block of it that is asked for; `message` is the whole request."""
        asked = None if terms is None else terms.block2
        if terms is not None and terms.observe is not None:
            self._watch(peer, message, terms, response)
        szx = self._context.parameters_for(peer).block_szx
        if len(response.payload) > Block(0, False, szx if asked is None else min(szx, asked.szx)).size:
            response = _tagged(response)
            self._keep(_key(peer, message), response, hash(message.payload), now)
        elif asked is None or not numbers.is_success(response.code) or not (response.payload or asked.number):
            return response
        return self._cut(peer, response, asked, terms is not None and terms.wants_size)

    def hold(self, peer: Peer, message: Message, response: Response, now: float) -> None:
        """Keep what a request that must not run twice was answered, until the requester is verified."""
        self._shelf.put(_exact(peer, message), _Kept(response, 0), len(response.payload), now)

    def held(self, peer: Peer, message: Message, now: float) -> Response | None:
        """Return what was kept for a request, once."""
        key = _exact(peer, message)
        kept = self._shelf.get(key, now)
        self._shelf.pop(key)
        return None if kept is None else kept.response

    def notification(self, peer: Peer, token: bytes, response: Response, now: float) -> Response:
        """Return a notification, or the first block of it."""
        observer = self._observers.get((peer, token))
        if not numbers.is_success(response.code):
            self.forget(peer, token)
        szx = self._context.parameters_for(peer).block_szx
        first = Block(0, False, szx if observer is None else min(szx, observer.szx))
        if len(response.payload) <= first.size:
            return response
        response = _tagged(response)
        if observer is not None:
            self._keep(observer.key, response, observer.asked, now)
        return self._cut(peer, response, first, False)

    def forget(self, peer: Peer, token: bytes) -> None:
        """Take that an observer is gone."""
        self._observers.pop((peer, token), None)

    def _watch(self, peer: Peer, message: Message, terms: Terms, response: Response) -> None:
        self.forget(peer, message.token)
        accepted = any(number == numbers.OBSERVE for number, _ in response.options)
        if terms.observe == 0 and accepted and numbers.is_success(response.code):
            if len(self._observers) >= self._context.limits.observers:
                del self._observers[next(iter(self._observers))]
            szx = MAX_SZX if terms.block2 is None else terms.block2.szx
            self._observers[peer, message.token] = _Observer(_key(peer, message), hash(message.payload), szx)

    def _keep(self, key: Key, response: Response, asked: int, now: float) -> None:
        kept = Response(response.code, response.payload, without(response.options, (numbers.OBSERVE,)))
        self._shelf.put(key, _Kept(kept, asked), len(response.payload), now)

    def _cut(self, peer: Peer, response: Response, asked: Block | None, wants_size: bool) -> Response:
        """Return the block that is asked for; the first of our size without a wish."""
        szx = self._context.parameters_for(peer).block_szx
        offset = 0
        if asked is not None:
            offset = asked.offset
            szx = min(szx, asked.szx)
        size = Block(0, False, szx).size
        payload = response.payload
        if offset and offset >= len(payload):
            return _BEYOND
        block = Block(offset // size, offset + size < len(payload), szx)
        found: Options = merged(response.options, (numbers.BLOCK2, block.encode()))
        if (block.number == 0 and block.more) or wants_size:
            found = merged(found, (numbers.SIZE2, uint(len(payload))))
        if offset:
            found = without(found, (numbers.OBSERVE,))
        return Response(response.code, payload[offset : offset + size], found)


def _key(peer: Peer, message: Message) -> Key:
    return peer, (message.code, tuple([option for option in message.options if option[0] in _KEY]))


def _exact(peer: Peer, message: Message) -> Key:
    return peer, (message.code, without(message.options, (numbers.ECHO,)), message.payload)


def _tagged(response: Response) -> Response:
    if any(number == numbers.ETAG for number, _ in response.options):
        return response
    tag = hashlib.blake2b(response.payload, digest_size=_ETAG_LENGTH).digest()
    return Response(response.code, response.payload, merged(response.options, (numbers.ETAG, tag)))
