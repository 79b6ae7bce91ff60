"""Notifications as nearly all of them are, taken by their bytes.

Rules: such a one is a 2.05 with a token of eight bytes, the Observe first among its options; it is the newest of its
observation, none that came before, and says nothing on how long it is fresh. The layer above takes it or leaves it.
What it leaves, and all that is not of this kind, nobody has touched: it goes the ordinary way, by `decode`, which says
what a notification means.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.context import Context
from lwm2md.coap.interfaces import Peer
from lwm2md.coap.memory import Replies
from lwm2md.coap.message import FormatError, Message, decode, encode
from lwm2md.coap.options import FINE, response_kind
from lwm2md.coap.requests import Requests

SHORT: Final = frozenset(bytes((1 << 6 | kind << 4 | 8, numbers.CONTENT)) for kind in (numbers.CON, numbers.NON))
"""How nearly every notification begins."""
_NON: Final = 0x58
_TOKEN_END: Final = 12
_TOKEN_BEGIN: Final = 4
_HEAD: Final = Struct(">8sI")
"""The token, and the head of the first option with up to three bytes of its value."""
_BEHIND_HEAD: Final = _TOKEN_END + 1
_SHORTEST: Final = 16
"""No datagram with an Observe, a Content-Format and a payload is shorter."""
_OBSERVE: Final = numbers.OBSERVE << 4
_LONGEST_SEQUENCE: Final = 3
_OBSERVE_ONLY: Final = encode(Message(numbers.NON, numbers.CONTENT, 0, b"", ((numbers.OBSERVE, b""),)))


class Noticing:
    """Takes notifications of observations by their bytes, but those about which a request is under way."""

    def __init__(self, context: Context, replies: Replies, requests: Requests) -> None:
        self._context = context
        self._counters = context.counters
        self._notice = context.notice
        self._replies = replies
        self._observations = requests.observations
        self._asks = requests.asks
        self._fetches = requests.fetches

    def take(self, data: bytes, peer: Peer, now: float) -> bool:
        """Take a datagram that begins as in `SHORT`; tell whether that was done."""
        if self._notice is None or len(data) < _SHORTEST:
            return False
        token, head = _HEAD.unpack_from(data, _TOKEN_BEGIN)
        observation = self._observations.get(token)
        length = (head >> 24) - _OBSERVE
        if observation is None or token in self._asks or token in self._fetches or not 0 <= length <= _LONGEST_SEQUENCE:
            return False
        sequence = (head & 0xFFFFFF) >> 24 - 8 * length
        key = data[2:_TOKEN_END]
        if not observation.expects(key, sequence, now):
            return False
        options, _, payload = data[_BEHIND_HEAD + length :].partition(b"\xff")
        content_format = _format_in(options)
        if content_format is None or not payload or self._replies.find(peer, key, now) is not None:
            return False
        confirmable = data[0] != _NON
        try:
            receipt = key, peer, observation
            subject = self._notice(
                observation.subject, receipt, content_format, payload, confirmable=confirmable, now=now
            )
        except Exception:
            self._context.report()  # it is not acknowledged, and comes again
            return True
        if subject is None:
            return False
        self._counters["notifications"] += 1
        if observation.subject is not subject:
            observation.subject = subject
        observation.newest = sequence
        observation.time = now
        if confirmable:
            observation.open = key
        else:
            observation.outdate()
            self._replies.store(peer, key, b"", now)
        return True


@lru_cache(maxsize=1024)
def _format_in(options: bytes) -> int | None:
    """The Content-Format among the options behind an Observe; None without, or where one of them asks for more.

    But for the sequence number the options of a fleet are nearly always the same.
    """
    try:
        message = decode(_OBSERVE_ONLY + options)
    except FormatError:
        return None
    usual = response_kind(message.options) == FINE and message.max_age is None
    return message.content_format if usual else None
