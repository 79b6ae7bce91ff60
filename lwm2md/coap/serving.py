"""Requests to us: decided once, answered once, and what is answered late (RFC 7252 5.2, RFC 7967).

Rules: an answer that is ready at once rides on the acknowledgement. A Confirmable request that stays unanswered is
acknowledged empty after a second and gets its response as a message of its own; a duplicate in between gets nothing,
then the empty acknowledgement again. Unanswered requests are limited: beyond that, 5.03 with Max-Age. An exception in
a handler is a 5.00 and nothing worse. The handler sees whole bodies and answers with whole bodies; what the options
of a request demand beyond that (blocks, an Echo, no response) happens here, before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.assembly import Assemblies
from lwm2md.coap.blocks import merged, without
from lwm2md.coap.context import Context
from lwm2md.coap.echo import FREE
from lwm2md.coap.exchange import Exchange, Exchanges
from lwm2md.coap.interfaces import Failure, Handler, IncomingRequest, Peer, Response, Shape
from lwm2md.coap.memory import Replies
from lwm2md.coap.message import MAX_TOKEN, FormatError, Message, decode, encode, encode_body, options
from lwm2md.coap.options import SPECIAL, request_fault
from lwm2md.coap.slicing import REPEATABLE, Slices
from lwm2md.coap.terms import terms_of
from lwm2md.coap.timers import Timers

_NEW: Final = 0
_PENDING: Final = 1
_ACKNOWLEDGED: Final = 2
_ANSWERED: Final = 3
_ABANDONED: Final = 4

_CON: Final = numbers.CON
_ACK_HEADS: Final = tuple(tuple(bytes((0x60 | length, code)) for code in range(256)) for length in range(MAX_TOKEN + 1))
_HEADER: Final = 4
_SMALLEST: Final = 16
"""The bytes of the smallest block: what is not longer is never cut (RFC 7959 2.2)."""
_BEFORE_OPTIONS: Final = 0x40 - _HEADER

_FAILED: Final = Response(numbers.INTERNAL_SERVER_ERROR)


class Separate(Exchange, kw_only=True):
    """A Confirmable response of its own message."""

    counters: dict[str, int]

    # A peer may wait for this very response before it answers the request of ours that is under way.
    urgent = True

    def acknowledged(self, now: float) -> bool:
        """Be content."""
        return False

    def failed(self, failure: Failure, now: float) -> None:
        """Count; the requester has gone, nobody else asks."""
        self.counters["undelivered"] += 1


class Serving:
    """All requests of peers to one engine."""

    def __init__(
        self, context: Context, exchanges: Exchanges, replies: Replies, slices: Slices, handler: Handler
    ) -> None:
        self._context = context
        self._outbox = context.outbox
        self._counters = context.counters
        self._exchanges = exchanges
        self._assemblies = Assemblies(context)
        self._slices = slices
        self._guard = context.guard
        self._find = replies.find
        self._store = replies.store
        self._store_response = replies.store_response
        self._handle = handler.handle
        self._glance = None if context.glance is None else context.glance.take
        self._alike = context.alike
        self._limit = context.limits.pending
        busy = options(max_age=context.limits.busy_max_age)
        self._busy = Response(numbers.SERVICE_UNAVAILABLE, b"too many requests pending", busy)
        self._pending: dict[bytes, IncomingRequest] = {}
        self._timers: Timers[IncomingRequest] = Timers()

    def __len__(self) -> int:
        return len(self._pending)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        one = self._timers.next_deadline()
        other = self._assemblies.next_deadline()
        if one is None or other is None:
            return other if one is None else one
        return min(one, other)

    def take_post(self, data: bytes, peer: Peer, subject: object | None, now: float) -> bool:
        """Take a new Confirmable POST, which may be about a ``subject``; False for what is not new, or is none."""
        if self._glance is None:
            return False
        end = data[0] - _BEFORE_OPTIONS
        key = data[2:end]
        if (self._pending and peer + key in self._pending) or self._find(peer, key, now) is not None:
            return False
        if subject is not None:
            place = len(self._outbox)
            try:
                code = self._glance(subject, peer, now)
            except Exception:
                self._context.report()
                code = 0
            if code:
                reply = _ACK_HEADS[end - _HEADER][code] + key
                self._outbox.insert(place, (reply, peer))  # ahead of what it has caused
                self._store_response(peer, reply, now)
                return True
        rest = data[end:]
        known = None if self._alike is None else self._alike.find(rest)
        if known is not None:
            shape, argument = known
            options = (*shape.before, (numbers.URI_QUERY, argument), *shape.after)
            message = Message(_CON, numbers.POST, data[2] << 8 | data[3], key[2:], options, shape.payload)
            self._serve(peer, message, key, now, shape)
            return True
        try:
            message = decode(data)
        except FormatError:
            return False
        self._serve(peer, message, key, now, None if self._alike is None else self._alike.learn(rest, message))
        return True

    def serve(self, peer: Peer, message: Message, key: bytes, now: float) -> None:
        """Take a request that no finished one equals; `key` is its message ID and token as received."""
        if not (self._pending and self._is_pending(peer, key)):
            self._serve(peer, message, key, now)

    def _serve(self, peer: Peer, message: Message, key: bytes, now: float, shape: Shape | None = None) -> None:
        request = IncomingRequest(peer, message, now, key, shape=shape)
        try:
            fault = None if shape is not None else request_fault(message.code, message.options)
            if fault is not None:
                response = self._faulty(request, fault, now)
            elif len(self._pending) < self._limit:
                response = self._handle(request, now)
            else:
                response = self._overload()
            # Unless the handler has called `respond` itself.
            if request.stage == _NEW:
                if response is None:
                    self._defer(request, now)
                elif message.type == _CON and not response.payload and not response.options and fault is None:
                    # What nearly every request of a device gets: no body, and nothing to look up.
                    reply = _ACK_HEADS[len(key) - 2][response.code] + key
                    self._outbox.append((reply, peer))
                    request.stage = _ANSWERED
                    self._store(peer, key, reply, now)
                else:
                    self._reply(request, response, now)
        except Exception:
            self._context.report()
            if request.stage == _NEW:
                self._reply(request, _FAILED, now)

    def respond(self, request: IncomingRequest, response: Response, now: float) -> None:
        """Answer a request that the handler left open; raise ValueError if it was answered."""
        if request.stage == _ANSWERED:
            raise ValueError("the request was answered before")
        if request.stage != _ABANDONED:
            self._reply(request, response, now)

    def respond_all(self, code: int, answers: Iterable[tuple[IncomingRequest, bytes]], now: float) -> None:
        """Answer requests that the handler left open, each with options that are encoded, and no payload."""
        pending, cancel, store, send = self._pending, self._timers.cancel, self._store_response, self._outbox.append
        for request, body in answers:
            key, peer = request.key, request.peer
            plain = request.stage == _PENDING and request.terms is None and request.message.type == _CON
            if plain and len(key) + 2 + len(body) <= FREE:
                reply = _ACK_HEADS[len(key) - 2][code] + key + body
                send((reply, peer))
                cancel(request)
                del pending[peer + key]
                request.stage = _ANSWERED
                store(peer, reply, now)
            else:
                found = decode(bytes((0x40, code, 0, 0)) + body)
                self.respond(request, Response(code, b"", found.options), now)

    def expire(self, now: float) -> None:
        """Acknowledge what takes long; give up what was never answered."""
        self._assemblies.expire(now)
        for request in self._timers.take_all(now):
            if request.stage == _PENDING and request.message.type == numbers.CON:
                request.stage = _ACKNOWLEDGED
                self._outbox.append((_empty_ack(request.key), request.peer))
                self._timers.schedule(request, request.received + self._context.parameters.exchange_lifetime)
            else:
                request.stage = _ABANDONED
                self._pending.pop(request.peer + request.key, None)
                self._counters["abandoned"] += 1

    def _is_pending(self, peer: Peer, key: bytes) -> bool:
        request = self._pending.get(peer + key)
        if request is None:
            return False
        self._counters["duplicates"] += 1
        if request.stage == _ACKNOWLEDGED:
            self._outbox.append((_empty_ack(key), peer))
        return True

    def _faulty(self, request: IncomingRequest, fault: Response, now: float) -> Response | None:
        """Return the answer to a request whose options are not all fine."""
        if fault is SPECIAL:
            return self._special(request, now)
        self._counters["refused"] += 1
        if fault.code == numbers.BAD_OPTION and request.message.type == numbers.NON:
            self._stay_silent(request, now)
            return None
        return fault

    def _special(self, request: IncomingRequest, now: float) -> Response | None:
        """Return the answer to a request whose options demand something."""
        message = request.message
        peer = request.peer
        terms = terms_of(message.options)
        if self._guard is not None:
            if terms.echo is not None:
                self._guard.take(peer, terms.echo, now)
            busy = terms.observe == 0 or (terms.block1 is not None and terms.block1.more)
            if busy and not self._guard.knows(peer, now):
                return self._demand(peer, now)
        if terms.block1 is not None:
            whole = self._assemblies.take(peer, message, terms.block1, now)
            if isinstance(whole, Response):
                return whole
            message = whole
        if terms.block2 is not None:
            if terms.block2.number:
                later = self._slices.later(peer, message, terms.block2, now)
                if later is not None:
                    return later
                terms.observe = None
            message = _without_blocks(message, terms.observe is None)
        if terms.echo is not None and message.code not in REPEATABLE:
            held = self._slices.held(peer, message, now)
            if held is not None:
                return held
        if len(self._pending) >= self._limit:
            return self._overload()
        request.message = message
        request.terms = terms
        return self._handle(request, now)

    def _overload(self) -> Response:
        self._counters["overloaded"] += 1
        return self._busy

    def _defer(self, request: IncomingRequest, now: float) -> None:
        request.stage = _PENDING
        self._pending[request.peer + request.key] = request
        parameters = self._context.parameters
        confirmable = request.message.type == numbers.CON
        self._timers.schedule(
            request, now + (parameters.separate_after if confirmable else parameters.exchange_lifetime)
        )

    def _reply(self, request: IncomingRequest, response: Response, now: float) -> None:
        """Send the one answer, as whatever message is right by now."""
        key = request.key
        peer = request.peer
        terms = request.terms
        body = b""
        if response.options or response.payload or terms is not None:
            whole = terms is None and len(response.payload) <= _SMALLEST
            shaped = response if whole else self._shaped(request, response, now)
            body = encode_body(shaped.options, shaped.payload)
            if self._guard is not None and not self._is_free(request, len(body), now):
                shaped = self._challenge(request, response, now)
                body = encode_body(shaped.options, shaped.payload)
            response = shaped
        if terms is not None and terms.silence and terms.silences(response.code):
            reply = self._silence(request)
        elif request.message.type != _CON:
            self._reply_non(request, response.code, body, now)
            reply = b""
        elif request.stage == _ACKNOWLEDGED and not self._is_free(request, len(body), now, repeated=True):
            self._reply_non(request, response.code, body, now)
            reply = _empty_ack(key)
        elif request.stage == _ACKNOWLEDGED:
            self._exchanges.start(_separate(peer, response.code, key[2:], body, self._counters), now)
            reply = _empty_ack(key)
        else:
            reply = _ACK_HEADS[len(key) - 2][response.code] + key + body
            self._outbox.append((reply, peer))
        if request.stage != _NEW:
            self._timers.cancel(request)
            self._pending.pop(peer + key, None)
        request.stage = _ANSWERED
        self._store(peer, key, reply, now)

    def _shaped(self, request: IncomingRequest, response: Response, now: float) -> Response:
        """Return the response, or the block of it that is asked for."""
        terms = request.terms
        response = self._slices.answer(request.peer, request.message, terms, response, now)
        if terms is not None and terms.block1 is not None:
            found = merged(response.options, (numbers.BLOCK1, terms.block1.encode()))
            response = Response(response.code, response.payload, found)
        return response

    def _is_free(self, request: IncomingRequest, body: int, now: float, *, repeated: bool = False) -> bool:
        """Tell whether the requester may get an answer with `body` bytes behind its token, however often it is sent."""
        guard = self._guard
        if guard is None:
            return True
        size = len(request.key) + 2 + body
        if size <= FREE and not repeated:
            return True
        if repeated:
            size *= 1 + self._context.parameters_for(request.peer).max_retransmit
        return size <= FREE or guard.admits(request.peer, len(encode(request.message)), size, now)

    def _challenge(self, request: IncomingRequest, response: Response, now: float) -> Response:
        """Ask for an Echo instead of answering; keep the answer to what must not run twice."""
        if request.message.code not in REPEATABLE:
            self._slices.hold(request.peer, request.message, response, now)
        return self._demand(request.peer, now)

    def _demand(self, peer: Peer, now: float) -> Response:
        self._counters["challenged"] += 1
        return _FAILED if self._guard is None else self._guard.challenge(peer, now)

    def _stay_silent(self, request: IncomingRequest, now: float) -> None:
        request.stage = _ANSWERED
        self._store(request.peer, request.key, b"", now)

    def _silence(self, request: IncomingRequest) -> bytes:
        """Send no response, only the acknowledgement that is due; return what a duplicate gets."""
        if request.message.type != _CON:
            return b""
        reply = _empty_ack(request.key)
        if request.stage != _ACKNOWLEDGED:
            self._outbox.append((reply, request.peer))
        return reply

    def _reply_non(self, request: IncomingRequest, code: int, body: bytes, now: float) -> None:
        mid = self._context.next_mid(request.peer, now)
        token = request.key[2:]
        head = bytes((0x50 | len(token), code, mid >> 8, mid & 0xFF))
        self._outbox.append((head + token + body, request.peer))


def _separate(peer: Peer, code: int, token: bytes, body: bytes, counters: dict[str, int]) -> Separate:
    return Separate(peer, code, token, token + body, True, float("inf"), counters=counters)


def _without_blocks(message: Message, whole: bool) -> Message:
    """Return a request as the handler sees it; `whole` drops Observe, too, which makes no sense for a later block."""
    hidden = (numbers.BLOCK2, numbers.SIZE2, numbers.OBSERVE) if whole else (numbers.BLOCK2, numbers.SIZE2)
    found = without(message.options, hidden)
    return Message(message.type, message.code, message.mid, message.token, found, message.payload)


def _empty_ack(key: bytes) -> bytes:
    return b"\x60\x00" + key[:2]
