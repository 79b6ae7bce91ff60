"""What the engine remembers for a while, in bounded space: two generations of a dictionary.

Rules: entries go into the young generation; when its period is over or it is full, it becomes the old one and what
was old is forgotten at once. Reading and writing cost the same however many peers there are, no timer runs, and a
flood of made-up addresses costs memory up to the limit and nothing more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from lwm2md.coap.interfaces import Peer, Receipt
from lwm2md.coap.numbers import EMPTY

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# What CPython needs for one more peer, beside the bytes of its records.
_PER_PEER: Final = 200


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


class MessageIds:
    """The message ID of the last message to each peer, for `period` seconds at least, of up to twice `limit` peers.

    ``number`` gives random ones of 16 bits, to begin with.
    """

    __slots__ = ("_limit", "_number", "_old", "_period", "_turn", "_young")

    def __init__(self, period: float, limit: int, number: Callable[[], int]) -> None:
        self._period = period
        self._limit = limit
        self._number = number
        self._turn = float("-inf")
        self._young: dict[Peer, int] = {}
        self._old: dict[Peer, int] = {}

    def next(self, peer: Peer, now: float) -> int:
        """Return the message ID for the next message to `peer`: a random start, then one more each time."""
        young = self._young
        if now >= self._turn or len(young) >= self._limit:
            # After a whole period of silence the young ones are old enough to be forgotten, too.
            self._old = {} if now >= self._turn + self._period else young
            self._turn = now + self._period
            young = self._young = {}
        last = young.get(peer)
        if last is None:
            last = self._old.get(peer)
        mid = self._number() if last is None else (last + 1) & 0xFFFF
        young[peer] = mid
        return mid


class Replies:
    """The replies to the last few messages of each peer, for duplicates (RFC 7252 4.2, 4.5).

    A message is known by its peer, message ID and token: devices that restart use message IDs again. Every reply holds
    both, or stands for one that does: so nothing else is kept, and all that is kept of a peer is one piece of bytes,
    the newest reply and ``tail`` bytes of those before it. Of all peers it is about ``budget`` bytes.
    """

    __slots__ = ("_bytes", "_half", "_heads", "_lifetime", "_non_lifetime", "_old", "_tail", "_turn", "_when", "_young")

    def __init__(self, lifetime: float, non_lifetime: float, budget: int, tail: int) -> None:
        self._lifetime = lifetime
        self._non_lifetime = non_lifetime
        self._half = budget // 2
        self._tail = tail
        self._bytes = 0
        self._turn = float("-inf")
        self._when = float("-inf")
        self._heads: dict[int, bytes] = {}
        self._young: dict[Peer, bytes] = {}
        self._old: dict[Peer, bytes] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, peer: Peer, key: bytes, now: float) -> bytes | None:
        """Return the reply to the message `key` of `peer`, empty where a duplicate gets none; None if it is new."""
        records = self._young.get(peer)
        if records is None:
            records = self._old.get(peer)
            if records is None:
                return None
        # This search is all that a new message costs; `in` takes three times as long, since it tries numbers first.
        return None if records.find(key) < 0 else self._look_up(records, key, now)

    def store(self, peer: Peer, key: bytes, reply: bytes, now: float) -> None:
        """Remember the reply to the message `key` of `peer`, which was sent at `now`; an empty one if none was."""
        if not reply or reply[1] == EMPTY:
            reply = bytes(((reply[0] if reply else _SILENCE) | len(key) - _MID, EMPTY)) + key
        self.store_response(peer, reply, now)

    def store_acknowledgements(self, receipts: Iterable[Receipt], now: float) -> None:
        """Remember that these messages got an empty acknowledgement; for each at a smaller price than `store` has."""
        if now != self._when:
            self._begin(now)
        begins: dict[int, bytes] = {}
        young, tail, grown = self._young, self._tail, 0
        for key, peer, _ in receipts:
            size = len(key)
            begin, records = begins.get(size), young.get(peer)
            if begin is None or records is None:
                begins[size] = _RECORD.pack(len(_EMPTY[size]) + size, now) + _EMPTY[size]
                self._bytes += grown
                self.store_response(peer, _EMPTY[size] + key, now)
                young, grown = self._young, 0
            else:
                young[peer] = found = begin + key + records[:tail]
                grown += len(found) - len(records)
        self._bytes += grown

    def store_response(self, peer: Peer, reply: bytes, now: float) -> None:
        """Remember an acknowledgement with a response, which holds the key that it is found by."""
        if now != self._when:
            self._begin(now)
        size = len(reply)
        head = self._heads.get(size)
        if head is None:
            head = self._heads[size] = _RECORD.pack(size, now)
        records = self._young.get(peer)
        if records is None:
            if self._bytes >= self._half:
                self._rotate(now)
            records = self._old.pop(peer, b"")
            self._bytes += _PER_PEER
        else:
            self._bytes -= len(records)
        self._young[peer] = records = head + reply + records[: self._tail]
        self._bytes += len(records)

    def _look_up(self, records: bytes, key: bytes, now: float) -> bytes | None:
        """Return the reply to `key`, which stands somewhere in the records; None if that is by chance."""
        position = 0
        while position + _RECORD.size < len(records):
            size, time = _RECORD.unpack_from(records, position)
            start = position + _RECORD.size
            position = start + size
            reply = records[start:position]
            if len(reply) == size and reply[2 : 2 + _MID + (reply[0] & 0x0F)] == key:
                return self._reply(reply, now - time)
        return None

    def _reply(self, reply: bytes, age: float) -> bytes | None:
        """Return what is sent for a record, None if it is too old."""
        silence = reply[0] < _ACKNOWLEDGEMENT
        if age >= (self._non_lifetime if silence else self._lifetime):
            return None
        if reply[1] != EMPTY:
            return reply
        return b"" if silence else bytes((reply[0] & 0xF0, EMPTY)) + reply[2 : 2 + _MID]

    def _begin(self, now: float) -> None:
        self._when = now
        self._heads.clear()
        if now >= self._turn:
            self._rotate(now)

    def _rotate(self, now: float) -> None:
        self._old = {} if now >= self._turn + self._lifetime else self._young
        self._young = {}
        self._bytes = 0
        self._turn = now + self._lifetime


# A record: the length of the reply, the time, the reply. The last one of a peer may be cut off. A reply without token,
# an empty acknowledgement or a Reset, is kept with that of the message behind it; so is the silence that answers a
# Non-confirmable message, whose first byte is below that of an acknowledgement. The code 0.00 tells them.
_RECORD: Final = struct.Struct(">Id")
_MID: Final = 2
_SILENCE: Final = 0x50
_EMPTY: Final = tuple(bytes((0x60 | max(0, length - 2), EMPTY)) for length in range(2 + 8 + 1))
"""How the record of an empty acknowledgement begins, by the length of the key."""
_ACKNOWLEDGEMENT: Final = 0x60
