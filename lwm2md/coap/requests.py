"""Requests of ours and their responses, observations and their notifications: everything that goes by token.

Rules: a response belongs to a request if token and peer match (RFC 7252 5.3.2); each request has one outcome. A
Confirmable response is acknowledged if it is wanted, also when it comes again, a notification when the upper layer
says so; what nobody waits for goes to the upper layer, which decides on a Reset. Tokens are eight random bytes, never
a count.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.context import Context
from lwm2md.coap.exchange import FLYING, OVER, WAITING, Exchange, Exchanges
from lwm2md.coap.interfaces import Failure, Handler, Notification, Outcome, Peer, Received
from lwm2md.coap.memory import Generations
from lwm2md.coap.message import Message, Options, encode_body, uint
from lwm2md.coap.observing import Observation
from lwm2md.coap.options import response_fault

_TOKEN_LENGTH: Final = 8
_CANCEL: Final = 1


class Ask(Exchange):
    """A request under way."""

    __slots__ = ("cancels", "observation", "on_outcome", "owner")

    owner: Requests
    on_outcome: Outcome
    observation: Observation | None
    cancels: bool

    def acknowledged(self, now: float) -> bool:
        """Wait for the separate response."""
        return True

    def failed(self, failure: Failure, now: float) -> None:
        """Tell the failure as the outcome."""
        self.owner.conclude(self, failure, now)


class Requests:
    """All requests and observations of one engine."""

    def __init__(self, context: Context, exchanges: Exchanges, handler: Handler) -> None:
        self._context = context
        self._exchanges = exchanges
        self._handler = handler
        self._counters = context.counters
        self._asks: dict[bytes, Ask] = {}
        self._observations: dict[bytes, Observation] = {}
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
    ) -> bytes:
        """Send a request; `observe` adds that option. Return the token."""
        if token is None:
            token = self._token()
        elif token in self._asks and self._asks[token].state != OVER:
            raise ValueError("a request with this token is under way")
        if observe is not None:
            options = tuple(sorted((*options, (numbers.OBSERVE, uint(observe))), key=lambda option: option[0]))
        patience = self._context.parameters_for(peer).max_transmit_wait if timeout is None else timeout
        ask = Ask(peer, code, token, encode_body(options, payload), confirmable=confirmable, timeout=patience)
        ask.owner = self
        ask.on_outcome = on_outcome
        ask.cancels = observe == _CANCEL
        ask.observation = None if on_notification is None else Observation(on_notification)
        self._asks[token] = ask
        self._exchanges.start(ask, now)
        return token

    def adopt(self, token: bytes, on_notification: Notification) -> None:
        """Take notifications with `token`, of an observation that was made before."""
        self._observations[token] = Observation(on_notification)

    def acknowledged(self, message: Message) -> None:
        """Take that a notification was acknowledged."""
        observation = self._observations.get(message.token)
        if observation is not None:
            observation.acknowledged(message.mid)

    def forget(self, token: bytes) -> None:
        """Let notifications with `token` be unexpected from now on."""
        self._observations.pop(token, None)
        ask = self._asks.get(token)
        if ask is not None:
            ask.observation = None

    def withdraw(self, token: bytes, now: float) -> None:
        """Let the request with `token` be over; it is told at the next `expire`."""
        ask = self._asks.get(token)
        if ask is not None and ask.state != OVER:
            self._exchanges.withdraw(ask, now)

    def conclude(self, ask: Ask, result: Received | Failure, now: float) -> None:
        """End a request whose exchange is over, with its outcome."""
        if self._asks.get(ask.token) is ask:
            del self._asks[ask.token]
        self._context.call(ask.on_outcome, result, now)

    def acknowledged_with(self, peer: Peer, message: Message, now: float) -> None:
        """Take a piggy-backed response; one that fits nothing is ignored (RFC 7252 4.2)."""
        exchange = self._exchanges.find(peer, message.mid)
        # Some devices leave the token out of an error; with one request out there is no doubt which one is meant.
        if not isinstance(exchange, Ask) or message.token not in (exchange.token, b""):
            self._counters["ignored"] += 1
            return
        self._answer(exchange, message, now)

    def deliver(self, peer: Peer, message: Message, now: float) -> bool | None:
        """Take a response of its own message; return True to acknowledge, False to Reset, None to do neither."""
        token = message.token
        observation = self._observations.get(token)
        ask = self._asks.get(token)
        if ask is not None and ask.peer == peer and _is_answer(ask, observation, message):
            return self._answer(ask, message, now)
        if observation is not None:
            return self._notify(observation, peer, message, now)
        if ask is not None and ask.peer == peer:
            # A notification that was under way while its observation is being cancelled.
            return True
        if message.observe is None and self._finished.get(token, now) == peer:
            self._counters["late"] += 1
            return True
        try:
            return not self._handler.unexpected(peer, message, now)
        except Exception:
            self._context.report()
            return None

    def _answer(self, ask: Ask, message: Message, now: float) -> bool:
        """End a request with its response; return False if that cannot be used."""
        usable = not response_fault(message.options)
        self._exchanges.finish(ask, now)
        self._finished.put(ask.token, ask.peer, now)
        if not usable:
            self._counters["bad_responses"] += 1
            self.conclude(ask, Failure.BAD_RESPONSE, now)
            return False
        if ask.observation is not None:
            sequence = message.observe
            if sequence is not None and numbers.is_success(message.code):
                ask.observation.fresh(sequence, now)
                self._observations[ask.token] = ask.observation
            else:
                self._observations.pop(ask.token, None)
        self.conclude(ask, Received(ask.peer, message, now), now)
        return True

    def _notify(self, observation: Observation, peer: Peer, message: Message, now: float) -> bool | None:
        if response_fault(message.options):
            self._counters["bad_responses"] += 1
            return False
        self._counters["notifications"] += 1
        sequence = message.observe
        if sequence is None or not numbers.is_success(message.code):
            del self._observations[message.token]
            fresh = True
        else:
            confirmable = message.type == numbers.CON
            fresh = (
                observation.confirmable(message.mid, sequence, now) if confirmable else observation.fresh(sequence, now)
            )
            self._counters["reordered"] += not fresh
        self._context.call(observation.on_notification, Received(peer, message, now), fresh)
        return None if message.type == numbers.CON else True

    def _token(self) -> bytes:
        while True:
            token = self._context.random(_TOKEN_LENGTH)
            if token not in self._asks and token not in self._observations:
                return token


def _is_answer(ask: Ask, observation: Observation | None, message: Message) -> bool:
    """Tell a response to `ask` from a notification of the same token that was on its way before."""
    if ask.state not in (FLYING, WAITING):
        return False
    if message.observe is None:
        return True
    return not ask.cancels and (observation is None or ask.state == WAITING)
