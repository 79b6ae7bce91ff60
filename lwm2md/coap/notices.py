"""Notifications of ours to those who observe us (RFC 7641 4).

Rules: at most one Confirmable notification per observer and token is under way; newer content takes its place, with a
new message ID and with the retransmissions that are left (RFC 7641 4.5.2). A Reset ends the observation, also one of
a Non-confirmable notification, whose message ID is remembered for that. Of a body larger than a block the first block
is sent, and the observer asks for the rest.
"""

from __future__ import annotations

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.context import Context
from lwm2md.coap.exchange import FLYING, Exchange, Exchanges
from lwm2md.coap.interfaces import Delivery, Failure, Peer, Response
from lwm2md.coap.memory import Generations
from lwm2md.coap.message import encode_body
from lwm2md.coap.slicing import Slices


@attrs.frozen
class _Content:
    code: int
    body: bytes
    on_result: Delivery | None


class Notice(Exchange, kw_only=True):
    """A Confirmable notification under way, and what has come to replace it."""

    owner: Notices
    on_result: Delivery | None = None
    successor: _Content | None = None

    def acknowledged(self, now: float) -> bool:
        """Be delivered."""
        self.owner.delivered(self, now)
        return False

    def failed(self, failure: Failure, now: float) -> None:
        """Tell why it was not delivered."""
        self.owner.lost(self, failure, now)

    def renew(self) -> bool:
        """Put the successor's content in the place of the old."""
        if self.successor is None:
            return False
        self.code = self.successor.code
        self.tail = self.token + self.successor.body
        self.on_result = self.successor.on_result
        self.successor = None
        return True


class Notices:
    """All notifications of one engine."""

    def __init__(self, context: Context, exchanges: Exchanges, slices: Slices) -> None:
        self._context = context
        self._exchanges = exchanges
        self._slices = slices
        self._under_way: dict[tuple[Peer, bytes], Notice] = {}
        self._sent: Generations[tuple[Peer, int], tuple[bytes, Delivery]] = Generations(
            context.parameters.non_lifetime, context.limits.peers
        )

    def close(self) -> None:
        """Forget everything; nobody is told."""
        self._under_way.clear()

    def send(
        self, peer: Peer, token: bytes, response: Response, *, confirmable: bool, on_result: Delivery | None, now: float
    ) -> None:
        """Send a notification, or let it replace the one that is under way."""
        response = self._slices.notification(peer, token, response, now)
        content = _Content(response.code, encode_body(response.options, response.payload), on_result)
        if not confirmable:
            self._send_non(peer, token, content, now)
            return
        notice = self._under_way.get((peer, token))
        if notice is None:
            self._start(peer, token, content, now)
            return
        notice.successor = content
        if notice.state != FLYING:
            notice.renew()

    def reset(self, peer: Peer, mid: int, now: float) -> bool:
        """Take a Reset; return whether it met a Non-confirmable notification."""
        sent = self._sent.pop((peer, mid), now)
        if sent is None:
            return False
        token, on_result = sent
        self._slices.forget(peer, token)
        self._context.call(on_result, Failure.RESET, now)
        return True

    def delivered(self, notice: Notice, now: float) -> None:
        """End a notice that was acknowledged; send its successor."""
        del self._under_way[notice.peer, notice.token]
        if notice.successor is not None:
            self._start(notice.peer, notice.token, notice.successor, now)
        if notice.on_result is not None:
            self._context.call(notice.on_result, None, now)

    def lost(self, notice: Notice, failure: Failure, now: float) -> None:
        """End a notice that was not delivered, and its successor with it."""
        if self._under_way.get((notice.peer, notice.token)) is notice:
            del self._under_way[notice.peer, notice.token]
        self._slices.forget(notice.peer, notice.token)
        on_result = notice.on_result if notice.successor is None else notice.successor.on_result
        if on_result is not None:
            self._context.call(on_result, failure, now)

    def _start(self, peer: Peer, token: bytes, content: _Content, now: float) -> None:
        tail = token + content.body
        notice = Notice(peer, content.code, token, tail, True, float("inf"), owner=self, on_result=content.on_result)
        self._under_way[peer, token] = notice
        self._exchanges.start(notice, now)

    def _send_non(self, peer: Peer, token: bytes, content: _Content, now: float) -> None:
        mid = self._context.next_mid(peer, now)
        head = bytes((0x40 | numbers.NON << 4 | len(token), content.code, mid >> 8, mid & 0xFF))
        self._context.outbox.append((head + token + content.body, peer))
        if content.on_result is not None:
            self._sent.put((peer, mid), (token, content.on_result), now)
            self._context.call(content.on_result, None, now)
