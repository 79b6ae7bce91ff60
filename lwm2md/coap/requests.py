"""Requests of ours and their responses, observations and their notifications: everything that goes by token.

Rules: a response belongs to a request if token and peer match (RFC 7252 5.3.2); each request has one outcome. A
Confirmable response is acknowledged if it is wanted, also when it comes again, a notification when the upper layer
says so; what nobody waits for goes to the upper layer, which decides on a Reset. Tokens are eight random bytes, never
a count. A transfer of many blocks keeps its token; the rest of a first notification or of a later one is asked for
under another, without Observe (RFC 7959 3.4). Such a notification is acknowledged at once, since the peer may wait for
that before it hands out the rest; newer content drops what has come of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.blocks import MAX_SZX, merged, size_of
from lwm2md.coap.context import Context
from lwm2md.coap.exchange import FLYING, HEADERS, OVER, WAITING, Exchange, Exchanges
from lwm2md.coap.interfaces import Failure, Handler, Notification, Outcome, Peer, Progress, Received
from lwm2md.coap.memory import Generations
from lwm2md.coap.message import Message, Options, encode_body, uint
from lwm2md.coap.observing import Observation, packed
from lwm2md.coap.options import BLOCKS, UNUSABLE, response_kind
from lwm2md.coap.prepared import Prepared
from lwm2md.coap.transfer import REPEATED, Step, Transfer

_TOKEN_LENGTH: Final = 8
_WITH_TOKEN: Final = 1 << 6 | numbers.CON << 4 | _TOKEN_LENGTH
_CANCEL: Final = 1
_ASKING: Final = (numbers.GET, numbers.FETCH)


class Ask(Exchange, kw_only=True):
    """A request under way; `alias` is the token that the upper layer knows it by."""

    owner: Requests
    on_outcome: Outcome
    alias: bytes
    on_progress: Progress | None = None
    options: Options = ()
    payload: bytes = b""
    observation: Observation | None = None
    transfer: Transfer | None = None
    cancels: bool = False

    def acknowledged(self, now: float) -> bool:
        """Wait for the separate response."""
        return True

    def failed(self, failure: Failure, now: float) -> None:
        """Tell the failure as the outcome."""
        self.owner.conclude(self, failure, now)


class Requests:
    """All requests and observations of one engine, by their tokens.

    ``asks`` are under way, ``fetches`` are those that ask for the rest of a notification, by the observation's.
    """

    def __init__(self, context: Context, exchanges: Exchanges, handler: Handler) -> None:
        self._context = context
        self._exchanges = exchanges
        self._handler = handler
        self._counters = context.counters
        self.asks: dict[bytes, Ask] = {}
        self.observations: dict[bytes, Observation] = {}
        self.fetches: dict[bytes, Ask] = {}
        # A separate response may come again under a new message ID after its request is over: still acknowledged.
        self._finished: Generations[bytes, Peer] = Generations(
            context.parameters.exchange_lifetime, context.limits.peers
        )

    def ask(
        self,
        peer: Peer,
        code: int,
        options: Options,
        payload: bytes,
        *,
        on_outcome: Outcome,
        now: float,
        confirmable: bool = True,
        timeout: float | None = None,
        token: bytes | None = None,
        observe: int | None = None,
        on_notification: Notification | None = None,
        on_progress: Progress | None = None,
    ) -> bytes:
        """Send a request; `observe` adds that option. Return the token."""
        if token is None:
            token = self._token()
        elif token in self.asks and self.asks[token].state != OVER:
            raise ValueError("a request with this token is under way")
        parameters = self._context.parameters_for(peer)
        if observe is not None:
            options = merged(options, (numbers.OBSERVE, uint(observe)))
        if parameters.block_szx < MAX_SZX and code in _ASKING and not _has_block2(options):
            options = merged(options, (numbers.BLOCK2, uint(parameters.block_szx)))
        observation = None
        if on_notification is not None:
            observation = Observation(on_notification, packed(code, options, payload))
        transfer = None
        if len(payload) > size_of(parameters.block_szx):
            transfer = Transfer(code, options, payload, parameters.block_szx, self._context.limits.body)
        if transfer is not None:
            body = transfer.begin()
        else:
            body = encode_body(options, payload) if payload else _bare(options)
        patience = parameters.max_transmit_wait if timeout is None else timeout
        ask = self._make(peer, code, token, body, on_outcome, patience=patience)
        ask.confirmable = confirmable
        ask.options = options
        ask.payload = payload
        ask.cancels = observe == _CANCEL
        ask.observation = observation
        ask.transfer = transfer
        ask.exclusive = transfer is not None
        ask.on_progress = on_progress
        self._exchanges.start(ask, now)
        return token

    def send(self, peer: Peer, request: Prepared, on_outcome: Outcome, timeout: float, now: float) -> bytes:
        """Send a request that is ready, the shortest way that it can go. Return the token."""
        context, exchanges, code = self._context, self._exchanges, request.code
        parameters = context.parameters_for(peer)
        if parameters.block_szx != MAX_SZX or not request.whole or not exchanges.may_fly(peer):
            options, payload = request.options, request.payload
            return self.ask(peer, code, options, payload, on_outcome=on_outcome, now=now, timeout=timeout)
        token = self._token()
        interval = parameters.ack_timeout * context.spread(parameters.ack_random_factor)
        mid, limit = context.next_mid(peer, now), now + timeout
        ask = self.asks[token] = Ask(
            peer,
            code,
            token,
            b"",
            True,
            timeout,
            state=FLYING,
            mid=mid,
            retries=parameters.max_retransmit,
            interval=interval,
            limit=limit,
            datagram=HEADERS.pack(_WITH_TOKEN, code, mid) + token + request.body,
            owner=self,
            on_outcome=on_outcome,
            alias=token,
            options=request.options,
            payload=request.payload,
        )
        exchanges.fly(ask, now + interval if interval < timeout else limit)
        return token

    def close(self) -> None:
        """Forget everything; nobody is told."""
        self.asks.clear()
        self.fetches.clear()
        self.observations.clear()

    def adopt(self, token: bytes, on_notification: Notification, request: bytes | None) -> None:
        """Take notifications with `token`, of an observation that was made before with a `packed` request."""
        self.observations[token] = Observation(on_notification, request)

    def forget(self, token: bytes) -> None:
        """Let notifications with `token` be unexpected from now on."""
        self.observations.pop(token, None)
        self._drop(token, None)
        ask = self.asks.get(token)
        if ask is not None:
            ask.observation = None

    def withdraw(self, token: bytes, now: float) -> None:
        """Let the request with `token` be over; it is told at the next `expire`."""
        ask = self.asks.get(token)
        if ask is not None and ask.state != OVER:
            self._exchanges.withdraw(ask, now)

    def conclude(self, ask: Ask, result: Received | Failure, now: float) -> None:
        """End a request whose exchange is over, with its outcome."""
        for token in (ask.token, ask.alias):
            if self.asks.get(token) is ask:
                del self.asks[token]
        self._context.call(ask.on_outcome, result, now)

    def acknowledged_with(self, exchange: Exchange | None, peer: Peer, message: Message, now: float) -> None:
        """Take a piggy-backed response; one that fits nothing is ignored (RFC 7252 4.2)."""
        # Some devices leave the token out of an error; with one request out there is no doubt which one is meant.
        if not isinstance(exchange, Ask) or message.token not in (exchange.token, b""):
            self._counters["ignored"] += 1
            return
        if message.token:
            self._heard(peer, now)
        self._answer(exchange, message, now, exact=True)

    def deliver(self, peer: Peer, message: Message, now: float) -> bool | None:
        """Take a response of its own message; return True to acknowledge, False to Reset, None to do neither."""
        token = message.token
        observation = self.observations.get(token)
        ask = self.asks.get(token)
        if ask is not None and ask.peer == peer and _is_answer(ask, observation, message):
            self._heard(peer, now)
            return self._answer(ask, message, now, exact=False)
        if observation is not None:
            return self._notify(observation, peer, message, now)
        if ask is not None and ask.peer == peer:
            # A notification that was under way while its observation is being cancelled.
            return True
        if message.observe is None and self._finished.get(token, now) == peer:
            self._counters["late"] += 1
            return True
        try:
            refused = self._handler.unexpected(peer, message, now)
        except Exception:
            self._context.report()
            return None
        return None if refused is None else not refused

    def _heard(self, peer: Peer, now: float) -> None:
        self._exchanges.heard(peer, now)
        if self._context.guard is not None:
            self._context.guard.confirm(peer, now)

    def _answer(self, ask: Ask, message: Message, now: float, *, exact: bool) -> bool | None:
        """Take the response to a request, or a part of it; return False if that cannot be used.

        None stands for one that the layer above acknowledges.
        """
        transfer = ask.transfer
        if transfer is not None:
            block = transfer.onward(message)
            if block is not None:
                self._go_on(ask, transfer, block, message, now)
                return True
        kind = response_kind(message.options)
        step: Step = Failure.BAD_RESPONSE if kind == UNUSABLE else message
        if kind != UNUSABLE and (transfer is not None or kind == BLOCKS or message.code in REPEATED):
            if transfer is None:
                transfer = ask.transfer = self._transfer(ask.peer, ask.code, ask.options, ask.payload)
            step = transfer.take(message, exact)
            if step is None:
                return True
            if isinstance(step, bytes):
                self._go_on(ask, transfer, step, message, now)
                return True
        self._exchanges.finish(ask, now)
        if message.observe is None or not numbers.is_success(message.code):  # else its observation knows the token
            self._finished.put(ask.token, ask.peer, now)
        if isinstance(step, Failure):
            self._counters["bad_responses"] += 1
            self.conclude(ask, step, now)
            return kind != UNUSABLE
        if not isinstance(step, Message):
            return True
        received = Received(ask.peer, step, now, self._wanted_size(ask))
        received.late = self._accept(ask, step, now)
        # A first notification is as good as any other: whoever keeps it acknowledges it.
        begun = self.observations.get(ask.token)
        if begun is None or transfer is not None or step.type != numbers.CON:
            self.conclude(ask, received, now)
            return True
        received.receipt = _key(step), ask.peer, begun
        self.conclude(ask, received, now)
        return None

    def _wanted_size(self, ask: Ask) -> int | None:
        """The size of the blocks that the peer wants, where it is smaller than ours."""
        if ask.transfer is None or ask.transfer.szx >= self._context.parameters_for(ask.peer).block_szx:
            return None
        return size_of(ask.transfer.szx)

    def _transfer(self, peer: Peer, code: int, options: Options, payload: bytes) -> Transfer:
        szx = self._context.parameters_for(peer).block_szx
        return Transfer(code, options, payload, szx, self._context.limits.body)

    def _go_on(self, ask: Ask, transfer: Transfer, step: bytes, message: Message, now: float) -> None:
        """Send the next message of a request."""
        if ask.observation is not None and message.observe is not None and numbers.is_success(message.code):
            self._accept(ask, message, now)
            rest = self._rest(ask, ask.code, step, transfer, ask.on_outcome)
            self._exchanges.start(rest, now, first=True)
            self._exchanges.finish(ask, now)
            return
        if ask.on_progress is not None:
            self._context.call(ask.on_progress, transfer.sent, len(ask.payload))
            if ask.state == OVER:
                return
        self._exchanges.again(ask, ask.token + step, now)

    def _accept(self, ask: Ask, message: Message, now: float) -> bool:
        """Begin an observation with its first response, or end it.

        Return whether that comes late: a newer notification came after the request had left, which renews it.
        """
        if ask.observation is None:
            return False
        old = self.observations.pop(ask.token, None)
        self._drop(ask.token, now)
        sequence = message.observe
        if sequence is None or not numbers.is_success(message.code):
            return False
        if message.type == numbers.CON:
            ask.observation.confirmable(_key(message), sequence, now)
        else:
            ask.observation.fresh(sequence, now)
        self.observations[ask.token] = ask.observation
        return old is not None and old.passed(sequence, ask.limit - ask.timeout, now)

    def _notify(self, observation: Observation, peer: Peer, message: Message, now: float) -> bool | None:
        kind = response_kind(message.options)
        if kind == UNUSABLE or (kind == BLOCKS and observation.request is None):
            self._counters["bad_responses"] += 1
            return False
        sequence = message.observe
        ended = sequence is None or not numbers.is_success(message.code)
        if sequence is not None and not ended and kind != BLOCKS:
            return self._take(observation, peer, message, sequence, now)
        self._counters["notifications"] += 1
        fresh = ended or observation.fresh(sequence or 0, now)
        if ended:
            del self.observations[message.token]
        self._counters["reordered"] += not fresh
        if fresh:
            self._drop(message.token, now)
        if kind == BLOCKS:
            if fresh:
                self._fetch(observation, peer, message, now)
            return True
        return self._tell(observation, peer, message, fresh, now)

    def _take(self, observation: Observation, peer: Peer, message: Message, sequence: int, now: float) -> bool | None:
        """Take a notification that is whole; return None where the layer above acknowledges it."""
        self._counters["notifications"] += 1
        if message.type == numbers.CON:
            fresh = observation.confirmable(_key(message), sequence, now)
        else:
            fresh = observation.fresh(sequence, now)
        if fresh:
            self._drop(message.token, now)
        else:
            self._counters["reordered"] += 1
        return self._tell(observation, peer, message, fresh, now)

    def _tell(self, observation: Observation, peer: Peer, message: Message, fresh: bool, now: float) -> bool | None:
        """Hand a notification to the layer above; return None where that acknowledges it."""
        confirmable = message.type == numbers.CON
        receipt = (_key(message), peer, observation) if confirmable else None
        self._context.call(observation.on_notification, Received(peer, message, now, None, False, receipt), fresh)
        return None if confirmable else True

    def _fetch(self, observation: Observation, peer: Peer, message: Message, now: float) -> None:
        """Ask for what follows the first block of a notification."""
        request = observation.request
        if request is None:
            return
        transfer = self._transfer(peer, request.code, request.options, request.payload)
        step = transfer.take(message, True)
        if not isinstance(step, bytes):
            self._counters["incomplete"] += 1
            return

        def done(result: Received | str, then: float) -> None:
            self.fetches.pop(message.token, None)
            if isinstance(result, Received) and numbers.is_success(result.message.code):
                self._context.call(observation.on_notification, result, True)
            else:
                self._counters["incomplete"] += 1

        self.fetches[message.token] = rest = self._rest(
            Received(peer, message, now), request.code, step, transfer, done
        )
        self._exchanges.start(rest, now, first=True)

    def _drop(self, token: bytes, now: float | None) -> None:
        """Give up asking for the rest of a notification; without the time, let it run out unheard."""
        fetch = self.fetches.pop(token, None)
        if fetch is not None:
            fetch.on_outcome = _ignore
            if now is not None and fetch.state != OVER:
                self._exchanges.finish(fetch, now)
                self._finished.put(fetch.token, fetch.peer, now)
                self.asks.pop(fetch.token, None)

    def _rest(self, begun: Ask | Received, code: int, body: bytes, transfer: Transfer, on_outcome: Outcome) -> Ask:
        """Return a request for further blocks, which belongs to a response that has begun to arrive."""
        patience = self._context.parameters_for(begun.peer).max_transmit_wait
        ask = self._make(begun.peer, code, self._token(), body, on_outcome, patience=patience)
        if isinstance(begun, Ask):
            ask.timeout = begun.timeout
            ask.alias = begun.token
            self.asks[begun.token] = ask
        ask.transfer = transfer
        ask.exclusive = True
        return ask

    def _make(self, peer: Peer, code: int, token: bytes, body: bytes, on_outcome: Outcome, *, patience: float) -> Ask:
        ask = Ask(peer, code, token, token + body, True, patience, owner=self, on_outcome=on_outcome, alias=token)
        self.asks[token] = ask
        return ask

    def _token(self) -> bytes:
        while True:
            token = self._context.random(_TOKEN_LENGTH)
            if token not in self.asks and token not in self.observations:
                return token


def _is_answer(ask: Ask, observation: Observation | None, message: Message) -> bool:
    """Tell a response to `ask` from a notification of the same token that was on its way before."""
    if ask.state not in (FLYING, WAITING) or message.token != ask.token:
        return False
    if message.observe is None:
        return True
    return not ask.cancels and (observation is None or ask.state == WAITING)


@lru_cache(maxsize=4096)
def _bare(options: Options) -> bytes:
    """What follows the token of a request without a payload; many devices are asked for the same few things."""
    return encode_body(options, b"")


def _key(message: Message) -> bytes:
    """What an observation knows a notification by."""
    return message.mid.to_bytes(2, "big") + message.token


def _has_block2(options: Options) -> bool:
    return any(number == numbers.BLOCK2 for number, _ in options)


def _ignore(_result: Received | str, _now: float) -> None:
    """Take the outcome of what nobody waits for any more."""
