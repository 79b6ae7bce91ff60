"""What the engine remembers for a while, in bounded space: two generations of a dictionary.

Rules: entries go into the young generation; when its period is over or it is full, it becomes the old one and what
was old is forgotten at once. Reading and writing cost the same however many peers there are, no timer runs, and a
flood of made-up addresses costs memory up to the limit and nothing more.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Generic, TypeVar

from lwm2md.coap.interfaces import Peer

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# What CPython needs for one more key, reply and time, and for one more peer, beside the bytes themselves.
_PER_REPLY: Final = 130
_PER_PEER: Final = 200
_FIELDS: Final = 3


class Generations(Generic[Key, Value]):
    """A mapping that forgets: an entry lives for one to two periods, or less if more than `limit` arrive in one."""

    __slots__ = ("_limit", "_old", "_period", "_turn", "_young")

    def __init__(self, period: float, limit: int) -> None:
        self._period = period
        self._limit = limit
        self._turn = float("-inf")
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Key, now: float) -> Value | None:
        """Return what is remembered under `key`."""
        if now >= self._turn:
            self._rotate(now)
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: Key, value: Value, now: float) -> None:
        """Remember `value` under `key`."""
        if now >= self._turn or len(self._young) >= self._limit:
            self._rotate(now)
        self._young[key] = value

    def pop(self, key: Key, now: float) -> Value | None:
        """Forget `key`; return what was remembered."""
        if now >= self._turn:
            self._rotate(now)
        old = self._old.pop(key, None)
        return self._young.pop(key, old)

    def _rotate(self, now: float) -> None:
        # After a whole period of silence the young ones are older than an entry may become, too.
        self._old = {} if now >= self._turn + self._period else self._young
        self._young = {}
        self._turn = now + self._period


class Replies:
    """The replies to the last few messages of each peer, for duplicates (RFC 7252 4.2, 4.5).

    A message is known by its peer, message ID and token: devices that restart use message IDs again. The empty reply
    stands for a Non-confirmable message, whose duplicates are dropped.
    """

    __slots__ = ("_bytes", "_half", "_lifetime", "_longest", "_non_lifetime", "_old", "_turn", "_young")

    def __init__(self, lifetime: float, non_lifetime: float, budget: int, per_peer: int) -> None:
        self._lifetime = lifetime
        self._non_lifetime = non_lifetime
        self._half = budget // 2
        self._longest = per_peer * _FIELDS
        self._bytes = 0
        self._turn = float("-inf")
        # key, reply, time, newest first, in one flat tuple: `in` then runs at the speed of C, and is nearly all that
        # a message that was never seen costs.
        self._young: dict[Peer, tuple[Any, ...]] = {}
        self._old: dict[Peer, tuple[Any, ...]] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, peer: Peer, key: bytes, now: float) -> bytes | None:
        """Return the reply to the message `key` of `peer`, or None if it is a new message."""
        entry = self._young.get(peer)
        if entry is None:
            entry = self._old.get(peer)
            if entry is None:
                return None
        if key not in entry:
            return None
        for index in range(0, len(entry), _FIELDS):
            if entry[index] == key:
                reply, time = entry[index + 1 : index + 3]
                return reply if now < time + (self._lifetime if reply else self._non_lifetime) else None
        return None

    def store(self, peer: Peer, key: bytes, reply: bytes, now: float) -> None:
        """Remember the reply to the message `key` of `peer`, which was sent at `now`."""
        if now >= self._turn or self._bytes >= self._half:
            self._rotate(now)
        entry = self._young.get(peer)
        if entry is None:
            entry = self._old.pop(peer, ())
            self._bytes += _PER_PEER + _size(entry)
        if len(entry) >= self._longest:
            self._bytes += len(reply) - len(entry[-2])
            entry = entry[:-_FIELDS]
        else:
            self._bytes += _PER_REPLY + len(reply)
        # Not unpacked into a display, which costs a third more.
        self._young[peer] = (key, reply, now) + entry  # noqa: RUF005

    def _rotate(self, now: float) -> None:
        self._old = {} if now >= self._turn + self._lifetime else self._young
        self._young = {}
        self._bytes = 0
        self._turn = now + self._lifetime


def _size(entry: tuple[Any, ...]) -> int:
    return sum(_PER_REPLY + len(reply) for reply in entry[1::_FIELDS])
