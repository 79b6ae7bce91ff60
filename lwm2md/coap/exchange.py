"""Messages of ours that want something back: sent, sent again, given up (RFC 7252 4.2, 4.7, 4.8).

Rules: an `Exchange` is queued, then flies (it has a message ID, a Confirmable one is retransmitted), then may wait
(acknowledged, its response comes separately), then is over; it is told so once. NSTART exchanges fly to one peer, the
rest queue behind, up to a limit; a transfer of many blocks has its peer for itself until its end. Non-confirmable
requests to a peer that does not answer keep to PROBING_RATE. A failure that is our own decision (overloaded,
cancelled) is told at the next `expire`, never from within the call that caused it. State of a peer exists only while
an exchange with it does.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from lwm2md.coap import numbers
from lwm2md.coap.context import Context
from lwm2md.coap.interfaces import Failure, Peer
from lwm2md.coap.memory import Generations
from lwm2md.coap.timers import Timers

QUEUED: Final = 0
FLYING: Final = 1
WAITING: Final = 2
OVER: Final = 3

_LONGEST_PROBE: Final = 1500.0
EMPTY_ACKNOWLEDGEMENT: Final = bytes((1 << 6 | numbers.ACK << 4, numbers.EMPTY))
"""The first two of the four bytes of an empty acknowledgement."""
HEADERS: Final = Struct(">BBH")
"""The head of a message (RFC 7252 3): version, type and length of the token; code; message ID."""
_CONFIRMABLE: Final = 1 << 6 | numbers.CON << 4
_NON_CONFIRMABLE: Final = 1 << 6 | numbers.NON << 4


class Exchange(msgspec.Struct, eq=False, gc=False):
    """One message of ours; subclasses say what its end means.

    `tail` is what follows the message ID: token, options and payload. While an `exclusive` one is not over nothing else
    goes to that peer. A flying one is to be looked at `again_at` that time; `due` may come before that. The next one
    to that peer is `behind` it. There are very many, and the garbage collector does not look at them: so nothing that
    they lead to may keep one that is over, and whoever gives an engine up has to close it.
    """

    peer: Peer
    code: int
    token: bytes
    tail: bytes
    confirmable: bool
    timeout: float
    exclusive: bool = False
    state: int = QUEUED
    failure: Failure | None = None
    due: float | None = None
    again_at: float = 0.0
    mid: int = 0
    attempt: int = 0
    retries: int = 0
    interval: float = 0.0
    limit: float = 0.0
    datagram: bytes = b""
    behind: Exchange | None = None

    urgent = False  # whether it goes out whatever else flies to that peer

    def acknowledged(self, now: float) -> bool:
        """Take an empty acknowledgement; return True if the exchange goes on, waiting for a response."""
        raise NotImplementedError

    def failed(self, failure: Failure, now: float) -> None:
        """Take the end that is not a response or acknowledgement."""
        raise NotImplementedError

    def renew(self) -> bool:
        """Return True if `tail` was replaced by newer content, to be sent under a new message ID."""
        return False


class Exchanges:
    """All exchanges of one engine."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._outbox = context.outbox
        self._limits = context.limits
        self._counters = context.counters
        self._timers: Timers[Exchange] = Timers()
        # Every exchange that is not over: the first to each peer, with the others behind it.
        self._lanes: dict[Peer, Exchange] = {}
        self._outstanding = 0
        # Until when a peer gets no further Non-confirmable request, unless it answers (PROBING_RATE).
        self._probed: Generations[Peer, float] = Generations(_LONGEST_PROBE, context.limits.peers)

    def __len__(self) -> int:
        return self._outstanding

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""
        return self._timers.next_deadline()

    def close(self) -> None:
        """Forget everything; nobody is told."""
        self._lanes.clear()
        self._timers = Timers()
        self._outstanding = 0

    def acknowledged(self, data: bytes, peer: Peer, now: float) -> None:
        """Take a datagram that is an empty acknowledgement."""
        exchange = self.find(peer, data[2] << 8 | data[3])
        if exchange is None:
            self._counters["ignored"] += 1
        else:
            self.acknowledge(exchange, now)

    def find(self, peer: Peer, mid: int) -> Exchange | None:
        """Return the flying exchange that `peer` may acknowledge or reset under `mid`."""
        exchange = self._lanes.get(peer)
        while exchange is not None and (exchange.mid != mid or exchange.state != FLYING):
            exchange = exchange.behind
        return exchange

    def may_fly(self, peer: Peer) -> bool:
        """Whether a Confirmable message may leave at once: to that peer nothing is under way but responses to us."""
        found, place = self._lanes.get(peer), 0
        while found is not None:
            if found.state != WAITING or found.exclusive:
                return False
            found, place = found.behind, place + 1
        return place < self._limits.queued_per_peer and self._outstanding < self._limits.outstanding

    def fly(self, exchange: Exchange, when: float) -> None:
        """Send what is ready, to a peer to which it may fly; it is to be looked at again at that time."""
        self._lead(exchange)
        self._outbox.append((exchange.datagram, exchange.peer))
        exchange.again_at = when
        self._timers.schedule(exchange, when)

    def start(self, exchange: Exchange, now: float, *, first: bool = False) -> None:
        """Send `exchange` now, or when its turn comes, before all others if `first`; fail it if there are too many."""
        if exchange.confirmable and self.may_fly(exchange.peer):
            # Nearly always there is nothing to compare it with.
            self._lead(exchange)
            self._transmit(exchange, now)
            return
        lane = _lane(self._lanes.get(exchange.peer))
        if self._outstanding >= self._limits.outstanding or len(lane) >= self._limits.queued_per_peer:
            self._counters["overloaded"] += 1
            self._fail_later(exchange, Failure.OVERLOADED)
            return
        if first or not lane:
            self._lead(exchange)
        else:
            lane[-1].behind = exchange
            self._outstanding += 1
        if exchange.urgent:
            self._transmit(exchange, now)
        else:
            self._advance(exchange.peer, now)

    def again(self, exchange: Exchange, tail: bytes, now: float) -> None:
        """Send another part of what is under way, under a new message ID, before all that waits for that peer."""
        exchange.tail = tail
        exchange.attempt = 0
        exchange.exclusive = True
        if self._lanes[exchange.peer] is not exchange:
            self._leave(exchange)
            exchange.behind = self._lanes[exchange.peer]
            self._lanes[exchange.peer] = exchange
        if exchange.state == FLYING and exchange.confirmable:
            self._transmit(exchange, now)
        else:
            self._timers.cancel(exchange)
            exchange.state = QUEUED
            self._advance(exchange.peer, now)

    def acknowledge(self, exchange: Exchange, now: float) -> None:
        """Take an empty acknowledgement of a flying exchange."""
        if exchange.acknowledged(now):
            exchange.state = WAITING
            exchange.datagram = exchange.tail = b""
            exchange.again_at = exchange.limit  # the timer stays: it finds out that there is time left
            if exchange.behind is not None or self._lanes[exchange.peer] is not exchange:
                self._advance(exchange.peer, now)
        else:
            self.finish(exchange, now)

    def reset(self, exchange: Exchange, now: float) -> None:
        """Take a Reset of a flying exchange."""
        self._fail(exchange, Failure.RESET, now)

    def finish(self, exchange: Exchange, now: float) -> None:
        """Let `exchange` be over, and the next one to that peer begin."""
        self._remove(exchange)
        if exchange.peer in self._lanes:
            self._advance(exchange.peer, now)

    def abort(self, peer: Peer) -> None:
        """Let every exchange with `peer` be over; each is told at the next `expire`."""
        for exchange in _lane(self._lanes.get(peer)):
            self._remove(exchange)
            self._fail_later(exchange, Failure.CANCELLED)

    def unreachable(self, peer: Peer, now: float) -> None:
        """Take that nobody listens where `peer` is: what was sent again by then is given up.

        The first time it may be in the midst of a restart, or somebody else may say so.
        """
        for exchange in _lane(self._lanes.get(peer)):
            if exchange.state == FLYING and exchange.attempt:
                self._counters["timeouts"] += 1
                self._fail(exchange, Failure.TIMEOUT, now)

    def heard(self, peer: Peer, now: float) -> None:
        """Take that `peer` answers."""
        if self._probed:
            self._probed.pop(peer, now)

    def withdraw(self, exchange: Exchange, now: float) -> None:
        """Let one exchange be over, and the next one to that peer begin; it is told at the next `expire`."""
        self.finish(exchange, now)
        self._fail_later(exchange, Failure.CANCELLED)

    def expire(self, now: float) -> None:
        """Do what is due: retransmit, give up, tell failures."""
        # Taken first: what a callback starts, and what fails at once again, waits for the next time.
        for exchange in self._timers.take_all(now):
            if exchange.due is not None or (exchange.state == OVER and exchange.failure is None):
                # A callback before it in this row has ended it, or given it another deadline.
                continue
            if exchange.state == QUEUED:
                self._advance(exchange.peer, now)
            elif exchange.failure is not None:
                exchange.failed(exchange.failure, now)
            elif now < exchange.again_at:
                self._timers.schedule(exchange, exchange.again_at)
            elif exchange.state == FLYING and exchange.attempt < exchange.retries and now < exchange.limit:
                self._retransmit(exchange, now)
            else:
                self._counters["timeouts"] += 1
                self._fail(exchange, Failure.TIMEOUT, now)

    def _fail(self, exchange: Exchange, failure: Failure, now: float) -> None:
        self.finish(exchange, now)
        exchange.failed(failure, now)

    def _fail_later(self, exchange: Exchange, failure: Failure) -> None:
        exchange.state = OVER
        exchange.failure = failure
        self._timers.schedule(exchange, 0.0)

    def _advance(self, peer: Peer, now: float) -> None:
        lane = _lane(self._lanes.get(peer))
        nstart = self._context.parameters_for(peer).nstart
        free = nstart - sum([exchange.state == FLYING and not exchange.urgent for exchange in lane])
        for exchange in lane:
            if free <= 0:
                return
            if exchange.state == QUEUED and not self._must_wait(exchange, now):
                self._transmit(exchange, now)
                free -= 1
            if exchange.exclusive:
                return

    def _must_wait(self, exchange: Exchange, now: float) -> bool:
        """Tell whether the peer, which did not answer, had too much of late; look again when that is over."""
        if exchange.confirmable:
            return False
        free = self._probed.get(exchange.peer, now)
        if free is None or free <= now:
            return False
        self._timers.schedule(exchange, free)
        return True

    def _transmit(self, exchange: Exchange, now: float) -> None:
        parameters = self._context.parameters_for(exchange.peer)
        exchange.state = FLYING
        exchange.limit = now + exchange.timeout
        if exchange.confirmable:
            exchange.interval = parameters.ack_timeout * self._context.spread(parameters.ack_random_factor)
            exchange.retries = parameters.max_retransmit
        else:
            exchange.interval = exchange.timeout
        self._launch(exchange, now)
        if not exchange.confirmable:
            self._probed.put(exchange.peer, now + len(exchange.datagram) / parameters.probing_rate, now)

    def _launch(self, exchange: Exchange, now: float) -> None:
        """Give a message ID, build the datagram and send it."""
        mid = exchange.mid = self._context.next_mid(exchange.peer, now)
        first = (_CONFIRMABLE if exchange.confirmable else _NON_CONFIRMABLE) | len(exchange.token)
        exchange.datagram = HEADERS.pack(first, exchange.code, mid) + exchange.tail
        self._send(exchange, now)

    def _retransmit(self, exchange: Exchange, now: float) -> None:
        exchange.attempt += 1
        exchange.interval *= 2
        if exchange.renew():
            self._launch(exchange, now)
        else:
            self._counters["retransmitted"] += 1
            self._send(exchange, now)

    def _send(self, exchange: Exchange, now: float) -> None:
        self._outbox.append((exchange.datagram, exchange.peer))
        when = exchange.again_at = min(now + exchange.interval, exchange.limit)
        # Between the blocks of a transfer the timer stays: it finds out that there is time left.
        if exchange.due is None or exchange.due > when:
            self._timers.schedule(exchange, when)

    def _lead(self, exchange: Exchange) -> None:
        """Put a new one before all others to its peer."""
        exchange.behind = self._lanes.get(exchange.peer)
        self._lanes[exchange.peer] = exchange
        self._outstanding += 1

    def _remove(self, exchange: Exchange) -> None:
        """Take `exchange` out of every index."""
        self._timers.cancel(exchange)
        exchange.state = OVER
        self._outstanding -= self._leave(exchange)

    def _leave(self, exchange: Exchange) -> bool:
        """Take `exchange` out of its lane; whether it was there."""
        first = self._lanes.get(exchange.peer)
        if first is exchange:
            if exchange.behind is None:
                del self._lanes[exchange.peer]
            else:
                self._lanes[exchange.peer] = exchange.behind
        else:
            before = first
            while before is not None and before.behind is not exchange:
                before = before.behind
            if before is None:
                return False
            before.behind = exchange.behind
        exchange.behind = None
        return True


def _lane(first: Exchange | None) -> list[Exchange]:
    """The exchanges with one peer, in their order."""
    found = []
    while first is not None:
        found.append(first)
        first = first.behind
    return found
