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

import msgspec

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Notification
from lwm2md.coap.message import Message, Options, decode, encode

_HALF: Final = 1 << 23
_STALE_AFTER: Final = 128.0
_MID: Final = 2


def is_newer(old: int, old_time: float, new: int, new_time: float) -> bool:
    """Tell whether the sequence number `new` is fresher than `old`; times are those of arrival, in seconds."""
    return (old < new and new - old < _HALF) or (old > new and old - new > _HALF) or new_time > old_time + _STALE_AFTER


@lru_cache(maxsize=1024)
def packed(code: int, options: Options, payload: bytes) -> bytes:
    """Return a request as an observation keeps it; those of a fleet that are alike are one object."""
    return encode(Message(numbers.CON, code, 0, b"", options, payload))


class Observation(msgspec.Struct, eq=False, gc=False):
    """One observation that a peer has accepted.

    `asked` is the request that the peer observes for, packed, None if it is not known; `subject` what the layer above
    keeps for it (see `Notice`). `newest` is the sequence number of the newest notification so far, which came at
    `time`, `open` the message ID and token of the Confirmable one that is not acknowledged yet, the ID alone where
    that is an old one. There are very many, and the garbage collector does not look at them: the engine forgets them
    when it is closed.
    """

    on_notification: Notification
    asked: bytes | None
    subject: object | None = None
    newest: int | None = None
    time: float = 0.0
    open: bytes | None = None

    @property
    def request(self) -> Message | None:
        """The request that the peer observes for, None if it is not known."""
        return None if self.asked is None else decode(self.asked)

    def expects(self, key: bytes, sequence: int, now: float) -> bool:
        """Tell whether a notification would be the newest so far, and is not the one that is to be acknowledged.

        The ``key`` is its message ID and token.
        """
        newest = self.newest
        if self.open is not None and key.startswith(self.open):
            return False
        return newest is None or 0 < sequence - newest < _HALF or is_newer(newest, self.time, sequence, now)

    def confirmable(self, key: bytes, sequence: int, now: float) -> bool:
        """Take a Confirmable notification that is to be acknowledged; return whether it is the newest so far."""
        if self.open is None or not key.startswith(self.open):
            self.open = key if self.fresh(sequence, now) else key[:_MID]
        return self.open == key

    def acknowledged(self, key: bytes) -> None:
        """Take that a notification was acknowledged."""
        # A comparison is all that nearly every one costs.
        if self.open == key or (self.open is not None and key.startswith(self.open)):
            self.open = None

    def passed(self, sequence: int, since: float, now: float) -> bool:
        """Tell whether a notification that came `since` then is newer than what has that sequence number."""
        newest = self.newest
        return newest is not None and self.time >= since and not is_newer(newest, self.time, sequence, now)

    def fresh(self, sequence: int, now: float) -> bool:
        """Take the sequence number of a notification; return whether it is the newest so far."""
        if self.newest is not None and not is_newer(self.newest, self.time, sequence, now):
            return False
        self.newest = sequence
        self.time = now
        self.outdate()
        return True

    def outdate(self) -> None:
        """Take that a newer one came: what is not acknowledged yet is an old one when it comes again."""
        if self.open is not None:
            self.open = self.open[:_MID]
