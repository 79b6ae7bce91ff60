"""The CoAP engine: datagrams and `now` in, datagrams out, for servers and clients alike.

Rules: this is the only class of the package that a user drives. It owns no clock, socket or source of chance. Whatever
a peer sends is answered as the tables of RFC 7252 4 and 5 say, and never raises. The layer above is called from
`receive` and `expire` and may call any method from there; what it causes to be sent is in the same batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.alike import Alike
from lwm2md.coap.context import Context
from lwm2md.coap.echo import Guard
from lwm2md.coap.exchange import EMPTY_ACKNOWLEDGEMENT, Exchanges
from lwm2md.coap.interfaces import (
    Datagram,
    Delivery,
    Failure,
    Glance,
    Handler,
    IncomingRequest,
    Notice,
    Notification,
    Outcome,
    Peer,
    Progress,
    Receipt,
    Received,
    Response,
)
from lwm2md.coap.memory import Generations, Replies
from lwm2md.coap.message import FormatError, Message, Options, decode
from lwm2md.coap.notices import Notices
from lwm2md.coap.noticing import SHORT, Noticing
from lwm2md.coap.observing import packed
from lwm2md.coap.parameters import Limits, Parameters
from lwm2md.coap.places import CONFIRMABLE_POSTS
from lwm2md.coap.prepared import Prepared
from lwm2md.coap.requests import Requests
from lwm2md.coap.serving import Serving
from lwm2md.coap.slicing import Slices

__all__ = (
    "Datagram",
    "Delivery",
    "Engine",
    "Failure",
    "Glance",
    "Handler",
    "IncomingRequest",
    "Limits",
    "Notice",
    "Notification",
    "Outcome",
    "Parameters",
    "Peer",
    "Prepared",
    "Progress",
    "Receipt",
    "Received",
    "Response",
)

_MINUTE: Final = 60.0
_RESPONSES: Final = 0x40
_NON: Final = numbers.NON
_HEADER: Final = 4


class Engine:
    """One end of CoAP, server and client in one.

    `random` returns that many unguessable bytes; `on_error` is told the traceback of an exception in the upper layer;
    `parameters_for` may give other transmission parameters for a peer. `counters` is there for metrics.

    `glance` may answer Confirmable POSTs, `notice` take notifications, before they are decoded. Of the POSTs that only
    differ in the argument of their query that begins with `apart` one is decoded for all.

    With `trusted` or `verified`, a peer for which neither is true gets no large answer before it has shown by an Echo
    (RFC 9175) that it is where it says: `trusted` is asked for addresses, `verified` for what the layer above knows,
    such as a registration. Without both every peer is trusted.
    """

    def __init__(
        self,
        handler: Handler,
        random: Callable[[int], bytes],
        parameters: Parameters | None = None,
        limits: Limits | None = None,
        *,
        on_error: Callable[[str], None] | None = None,
        parameters_for: Callable[[Peer], Parameters] | None = None,
        trusted: Callable[[Peer], bool] | None = None,
        verified: Callable[[Peer], bool] | None = None,
        glance: Glance | None = None,
        notice: Notice | None = None,
        apart: bytes = b"",
    ) -> None:
        ours = parameters or Parameters()
        bounds = limits or Limits()
        everybody = trusted is None and verified is None
        guard = None if everybody else Guard(random, trusted, verified, bounds.peers)
        context = Context(random, ours, parameters_for or (lambda _: ours), bounds, on_error, guard, glance, notice)
        context.alike = Alike(apart) if apart else None
        self.counters = context.counters
        self._find_all = None if glance is None else glance.find_all
        self._guard = guard
        self._outbox = context.outbox
        self._resets: Generations[Peer, int] = Generations(_MINUTE, bounds.peers)
        self._resets_per_minute = bounds.resets_per_minute
        self._replies = Replies(ours.exchange_lifetime, ours.non_lifetime, bounds.reply_bytes, bounds.reply_tail)
        self._exchanges = Exchanges(context)
        self._requests = Requests(context, self._exchanges, handler)
        self.send = self._requests.send
        """Like `request`, Confirmable, with a request that is ready: for what many peers are asked."""
        self._slices = Slices(context)
        self._serving = Serving(context, self._exchanges, self._replies, self._slices, handler)
        self._notices = Notices(context, self._exchanges, self._slices)
        self._noticing = Noticing(context, self._replies, self._requests)

    def receive(self, batch: list[Datagram], now: float) -> list[Datagram]:
        """Take the datagrams that arrived, return those to send."""
        find = self._replies.find
        serve = self._serving.serve
        take_post = self._serving.take_post
        acknowledged = self._exchanges.acknowledged
        notice = self._noticing.take
        subjects = repeat(None) if self._find_all is None else self._find_all(batch)
        for (data, peer), subject in zip(batch, subjects, strict=False):
            head = data[:2]
            if head in CONFIRMABLE_POSTS:
                if take_post(data, peer, subject, now):
                    continue
            elif head in SHORT and notice(data, peer, now):
                continue
            elif head == EMPTY_ACKNOWLEDGEMENT and len(data) == _HEADER:
                acknowledged(data, peer, now)
                continue
            try:
                message = decode(data)
            except FormatError as error:
                self._malformed(peer, error, now)
                continue
            if message.type > _NON:
                self._settle(peer, message, now)
                continue
            # Message ID and token, as they stand in the datagram and in every answer to it.
            key = data[2 : 4 + len(message.token)]
            reply = find(peer, key, now)
            if reply is not None:
                self.counters["duplicates"] += 1
                if reply:
                    self._outbox.append((reply, peer))
            elif 0 < message.code < _RESPONSES:
                serve(peer, message, key, now)
            else:
                self._take_response(peer, message, key, now)
        self.counters["received"] += len(batch)
        return self.take()

    def take(self) -> list[Datagram]:
        """Return the datagrams that wait to be sent, after any call other than `receive` and `expire`."""
        out = self._outbox[:]
        self._outbox.clear()
        self.counters["sent"] += len(out)
        return out

    def close(self) -> None:
        """Forget all that is under way, without telling anybody; nothing may be asked of it any more."""
        self._exchanges.close()
        self._requests.close()
        self._notices.close()

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, or None; 0 stands for at once."""
        when = self._exchanges.next_deadline()
        for part in (self._serving, self._slices):
            other = part.next_deadline()
            if other is not None and (when is None or other < when):
                when = other
        return when

    def expire(self, now: float) -> list[Datagram]:
        """Do what is due, return the datagrams to send."""
        self._exchanges.expire(now)
        self._serving.expire(now)
        self._slices.expire(now)
        return self.take()

    def request(
        self,
        peer: Peer,
        code: int,
        options: Options = (),
        payload: bytes = b"",
        *,
        on_outcome: Outcome,
        now: float,
        confirmable: bool = True,
        timeout: float | None = None,
        on_progress: Progress | None = None,
    ) -> bytes:
        """Send a request and return its token.

        `timeout` seconds after it left it has failed, whatever the transmission parameters; MAX_TRANSMIT_WAIT without.
        A body larger than a block goes out block by block, each with its own `timeout`; `on_progress` is told.
        """
        return self._requests.ask(
            peer,
            code,
            options,
            payload,
            on_outcome=on_outcome,
            now=now,
            confirmable=confirmable,
            timeout=timeout,
            on_progress=on_progress,
        )

    def observe(
        self,
        peer: Peer,
        code: int,
        options: Options = (),
        payload: bytes = b"",
        *,
        on_outcome: Outcome,
        on_notification: Notification,
        now: float,
        token: bytes | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Send a request with Observe 0 and return its token; pass the `token` of an observation to renew it.

        The outcome is the first response. If that has an Observe option, notifications follow; it and each of them is
        to be passed to `acknowledge`. The last one is that with an error code, or without the option. Raises ValueError
        while a request with that token is under way.
        """
        return self._requests.ask(
            peer,
            code,
            options,
            payload,
            on_outcome=on_outcome,
            now=now,
            timeout=timeout,
            token=token,
            observe=0,
            on_notification=on_notification,
        )

    def acknowledge(self, received: Received, now: float) -> None:
        """Acknowledge a notification, or the first response to an observation, if it is still to be acknowledged.

        Until then its retransmissions are delivered again, as notifications.
        """
        receipt = received.receipt
        if receipt is not None:
            received.receipt = None
            self.acknowledge_all((receipt,), now)

    def acknowledge_all(self, receipts: Sequence[Receipt], now: float) -> None:
        """Acknowledge notifications that are still to be acknowledged."""
        self._outbox += [(b"\x60\x00" + key[:2], peer) for key, peer, _ in receipts]
        self._replies.store_acknowledgements(receipts, now)
        for key, _, observation in receipts:
            observation.acknowledged(key)

    def adopt(
        self,
        peer: Peer,
        token: bytes,
        on_notification: Notification,
        *,
        code: int = numbers.EMPTY,
        options: Options = (),
        payload: bytes = b"",
    ) -> None:
        """Take notifications of an observation that was made before a restart; `peer` is where it was made.

        The rest is the request that made it. Without it a notification larger than a block can't be put together,
        and is refused.
        """
        request = None if code == numbers.EMPTY else packed(code, options, payload)
        self._requests.adopt(token, on_notification, request)

    def forget(self, token: bytes) -> None:
        """Let further notifications be unexpected; nothing is sent, and an unknown token is no error."""
        self._requests.forget(token)

    def cancel(
        self,
        peer: Peer,
        token: bytes,
        code: int,
        options: Options = (),
        payload: bytes = b"",
        *,
        on_outcome: Outcome,
        now: float,
        timeout: float | None = None,
    ) -> None:
        """Forget an observation and ask the peer to, with the same request and Observe 1."""
        self._requests.forget(token)
        self._requests.ask(
            peer,
            code,
            options,
            payload,
            on_outcome=on_outcome,
            now=now,
            timeout=timeout,
            token=token,
            observe=1,
        )

    def respond(self, request: IncomingRequest, response: Response, now: float) -> None:
        """Answer a request that `handle` returned None for; raise ValueError if it was answered before."""
        self._serving.respond(request, response, now)

    def respond_all(self, code: int, answers: Iterable[tuple[IncomingRequest, bytes]], now: float) -> None:
        """The same for many, with one code; the answers have no payload, and options as `encode_body` writes them."""
        self._serving.respond_all(code, answers, now)

    def challenge(self, peer: Peer, now: float) -> Response | None:
        """The answer that asks `peer` for an Echo (RFC 9175 2.3), None where it has shown that it is where it says."""
        if self._guard is None or self._guard.knows(peer, now):
            return None
        self.counters["challenged"] += 1
        return self._guard.challenge(peer, now)

    def notify(
        self,
        peer: Peer,
        token: bytes,
        response: Response,
        *,
        confirmable: bool,
        on_result: Delivery | None = None,
        now: float,
    ) -> None:
        """Send a notification to an observer of ours; `response` has the Observe option among its options.

        `on_result` is told None when it was delivered, or at once for a Non-confirmable one, and `reset` or `timeout`
        when the observer is gone. Of those that newer content replaced on the way nothing is told.
        """
        self._notices.send(peer, token, response, confirmable=confirmable, on_result=on_result, now=now)

    def abort(self, peer: Peer) -> None:
        """Let everything that is outstanding to `peer` fail with `cancelled`, told at the next `expire`."""
        self._exchanges.abort(peer)

    def unreachable(self, peer: Peer, now: float) -> None:
        """Take that nobody listens where `peer` is (RFC 7252 4.2): what was sent to it again has failed."""
        self._exchanges.unreachable(peer, now)

    def withdraw(self, token: bytes, now: float) -> None:
        """Let one request fail with `cancelled`, told at the next `expire`; one that is over is no error."""
        self._requests.withdraw(token, now)

    def _settle(self, peer: Peer, message: Message, now: float) -> None:
        """Take an acknowledgement or a Reset; neither is ever answered."""
        exchange = self._exchanges.find(peer, message.mid)
        if message.type == numbers.RST:
            self.counters["resets_received"] += 1
            if message.code != numbers.EMPTY:
                self.counters["ignored"] += 1
            elif exchange is not None:
                self._exchanges.reset(exchange, now)
            elif not self._notices.reset(peer, message.mid, now):
                self.counters["ignored"] += 1
        elif message.code >= _RESPONSES:
            self._requests.acknowledged_with(exchange, peer, message, now)
        else:
            self.counters["ignored"] += 1

    def _take_response(self, peer: Peer, message: Message, key: bytes, now: float) -> None:
        """Take a response that is a message of its own, or a ping."""
        confirmable = message.type == numbers.CON
        if message.code == numbers.EMPTY:
            if confirmable:
                self._reset(peer, key)
            else:
                self.counters["ignored"] += 1
            return
        before = len(self._outbox)
        wanted = self._requests.deliver(peer, message, now)
        if wanted is None:
            return
        reply = b""
        if confirmable and wanted:
            reply = b"\x60\x00" + key[:2]
            # Ahead of what the response has caused: small devices look for one thing at a time.
            self._outbox.insert(before, (reply, peer))
        elif not wanted and (confirmable or message.observe is not None) and self._may_reset(peer, now):
            reply = self._reset(peer, key) if confirmable else self._reset(peer, key) and b""
        self._replies.store(peer, key, reply, now)

    def _malformed(self, peer: Peer, error: FormatError, now: float) -> None:
        self.counters["malformed"] += 1
        if error.type == numbers.CON and error.mid is not None and self._may_reset(peer, now):
            self._reset(peer, error.mid.to_bytes(2, "big"))

    def _may_reset(self, peer: Peer, now: float) -> bool:
        """Count a Reset against what a peer gets in a minute: some repeat a rejected message for ever."""
        sent = self._resets.get(peer, now) or 0
        if sent >= self._resets_per_minute:
            self.counters["resets_withheld"] += 1
            return False
        self._resets.put(peer, sent + 1, now)
        return True

    def _reset(self, peer: Peer, key: bytes) -> bytes:
        reply = b"\x70\x00" + key[:2]
        self._outbox.append((reply, peer))
        self.counters["resets_sent"] += 1
        return reply
