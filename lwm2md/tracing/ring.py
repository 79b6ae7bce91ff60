"""The last datagrams of everybody: one ring for all devices, bounded in bytes.

RULES: taking a batch costs the append of a reference. A hundred datagrams or so are packed into one piece of
bytes, and the oldest pieces go when there are too many. So memory is what the configuration says, however many devices
there are, and a device costs nothing. Who asks pays: the pieces are searched for what names a device, newest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

import attrs
import msgspec

Batch = Sequence[tuple[bytes, bytes]]
"""Datagrams, each with its peer."""

PIECE: Final = 128
"""Datagrams that are packed together."""
_MOST_PEERS: Final = 16

_Taken = tuple[float, bool, list[tuple[bytes, bytes]]]
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[_Taken]).decode


@attrs.frozen(slots=True)
class Seen:
    """One datagram: when (Unix seconds), whether it came ``incoming`` from its peer, and its bytes.

    ``hidden`` says that the payload is a secret: it was overwritten. ``address`` is where a peer was that is named by
    its session, empty for others. A ``note`` stands in the place of a datagram, such as what became of a handshake.
    """

    time: float
    incoming: bool
    data: bytes
    peer: bytes
    hidden: bool = False
    address: bytes = b""
    note: str = ""


@attrs.frozen(slots=True)
class Name:
    """How a device is found: its peer if it has one, the exact test of a request, and one or two ``marks``.

    Each request that passes the test holds a mark.
    """

    peer: bytes | None
    marks: tuple[bytes, ...]
    named_in: Callable[[bytes], bool]


class Ring:
    """The last datagrams, at most ``budget`` bytes of them; with a budget of 0 none are kept."""

    __slots__ = ("_budget", "_open", "_open_count", "_pieces", "size")

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._pieces: deque[bytes] = deque()
        self._open: list[tuple[float, bool, Batch]] = []
        self._open_count = 0
        self.size = 0

    def resize(self, budget: int) -> None:
        """Keep so many bytes from now on."""
        self._budget = budget
        self._seal()

    def received(self, batch: Batch, now: float) -> None:
        """Keep a batch that arrived; it must not be changed afterwards."""
        self._open.append((now, True, batch))
        self._open_count += len(batch)
        if self._open_count >= PIECE:
            self._seal()

    def sent(self, batch: Batch, now: float) -> None:
        """Keep a batch that leaves; it must not be changed afterwards."""
        self._open.append((now, False, batch))
        self._open_count += len(batch)
        if self._open_count >= PIECE:
            self._seal()

    def last(self, name: Name, limit: int) -> list[Seen]:
        """Return the newest ``limit`` datagrams of a device, oldest first; those of its earlier addresses too."""
        self._seal()
        peers = {name.peer} if name.peer is not None else set()
        found, named = self._walk(name, peers, limit)
        if not named <= peers:
            found, _ = self._walk(name, peers | named, limit)
        return found

    def _walk(self, name: Name, peers: Collection[bytes], limit: int) -> tuple[list[Seen], set[bytes]]:
        """Search back until there are enough; with the datagrams, the peers whose requests named the device."""
        found: list[Seen] = []
        named: set[bytes] = set()
        needles = (*peers, *name.marks)
        first, last = name.marks[0], name.marks[-1]
        for piece in reversed(self._pieces):
            if not any(needle in piece for needle in needles):
                continue
            for now, incoming, batch in reversed(_unpack(piece)):
                for data, peer in reversed(batch):
                    if incoming and (first in data or last in data) and name.named_in(data):
                        if len(named) < _MOST_PEERS:
                            named.add(peer)
                    elif peer not in peers:
                        continue
                    found.append(Seen(now, incoming, data, peer))
                    if len(found) == limit:
                        return found[::-1], named
        return found[::-1], named

    def _seal(self) -> None:
        if self._open:
            piece = _pack(self._open)
            self._open = []
            self._open_count = 0
            self._pieces.append(piece)
            self.size += len(piece)
        while self.size > self._budget and self._pieces:
            self.size -= len(self._pieces.popleft())
