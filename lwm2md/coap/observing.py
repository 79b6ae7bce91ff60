"""Observations of ours: a token, and what was the newest notification (RFC 7641 3).

Rules: an observation is known by its token alone, since a device may have moved to another address; whether to
believe that is the upper layer's decision. A Confirmable notification is acknowledged when the upper layer says so,
which is when it has kept the value; until then its retransmission is delivered again, as fresh as it was. An
observation ends with an error notification, with one that has no Observe option, or when it is forgotten. The request
is kept, packed, to ask for the rest of a notification that is larger than a block.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.exchange import Exchange
from lwm2md.coap.interfaces import Notification
from lwm2md.coap.message import FormatError, Message, Options, decode, encode
from lwm2md.coap.options import FINE, response_kind

SHORT: Final = frozenset(bytes((1 << 6 | kind << 4 | 8, numbers.CONTENT)) for kind in (numbers.CON, numbers.NON))
"""How nearly every notification begins: one of its own with a 2.05 and a token of eight bytes."""
_TOKEN_END: Final = 12
_LONGEST_SEQUENCE: Final = 3
_HALF: Final = 1 << 23
_STALE_AFTER: Final = 128.0


def is_newer(old: int, old_time: float, new: int, new_time: float) -> bool:
    """Tell whether the sequence number `new` is fresher than `old`; times are those of arrival, in seconds."""
    return (old < new and new - old < _HALF) or (old > new and old - new > _HALF) or new_time > old_time + _STALE_AFTER


@lru_cache(maxsize=1024)
def packed(code: int, options: Options, payload: bytes) -> bytes:
    """Return a request as an observation keeps it; those of a fleet that are alike are one object."""
    return encode(Message(numbers.CON, code, 0, b"", options, payload))


def short(data: bytes) -> Message | None:
    """Read a datagram that begins as in `SHORT`, the Observe first among its options; None for any other.

    It is what `decode` reads, in a third of the time: but for the sequence number the options are always the same.
    """
    length = data[_TOKEN_END] - (numbers.OBSERVE << 4) if len(data) > _TOKEN_END else -1
    if not 0 <= length <= _LONGEST_SEQUENCE:
        return None
    end = _TOKEN_END + 1 + length
    options, _, payload = data[end:].partition(b"\xff")
    others = _behind_observe(options)
    if others is None or not payload:
        return None
    sequence = data[_TOKEN_END + 1 : end]
    kind = numbers.NON if data[0] & 0x10 else numbers.CON
    mid = data[2] << 8 | data[3]
    return Message(kind, numbers.CONTENT, mid, data[4:_TOKEN_END], ((numbers.OBSERVE, sequence), *others), payload)


@lru_cache(maxsize=1024)
def _behind_observe(data: bytes) -> Options | None:
    """The options that follow an Observe; None where they are cut off, or not all understood."""
    try:
        options = decode(_OBSERVE_ONLY + data).options[1:]
    except FormatError:
        return None
    return options if response_kind(options) == FINE else None


_OBSERVE_ONLY: Final = encode(Message(numbers.NON, numbers.CONTENT, 0, b"", ((numbers.OBSERVE, b""),)))


class Observation:
    """One observation that a peer has accepted."""

    __slots__ = ("_newest", "_open", "_request", "_time", "fetch", "on_notification")

    def __init__(self, on_notification: Notification, request: bytes | None) -> None:
        self.on_notification = on_notification
        self.fetch: Exchange | None = None
        """What asks for the rest of a notification."""
        self._request = request
        self._newest: int | None = None
        self._time = 0.0
        # The message ID of the Confirmable notification that is not acknowledged yet, inverted where it is an old one.
        self._open: int | None = None

    @property
    def request(self) -> Message | None:
        """The request that the peer observes for, None if it is not known."""
        return None if self._request is None else decode(self._request)

    def confirmable(self, mid: int, sequence: int, now: float) -> bool:
        """Take a Confirmable notification that is to be acknowledged; return whether it is the newest so far."""
        if self._open not in (mid, ~mid):
            self._open = mid if self.fresh(sequence, now) else ~mid
        return self._open == mid

    def acknowledged(self, mid: int) -> None:
        """Take that the notification `mid` was acknowledged."""
        if self._open in (mid, ~mid):
            self._open = None

    def passed(self, sequence: int, since: float, now: float) -> bool:
        """Tell whether a notification that came `since` then is newer than what has that sequence number."""
        newest = self._newest
        return newest is not None and self._time >= since and not is_newer(newest, self._time, sequence, now)

    def fresh(self, sequence: int, now: float) -> bool:
        """Take the sequence number of a notification; return whether it is the newest so far."""
        if self._newest is not None and not is_newer(self._newest, self._time, sequence, now):
            return False
        self._newest = sequence
        self._time = now
        if self._open is not None:
            self._open = min(self._open, ~self._open)  # when it comes again it is an old one
        return True
