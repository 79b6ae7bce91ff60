"""Records of secure peers as they are on the wire, and the secrets of their handshakes, for traces that ask for both.

RULES: nothing is kept but while such a trace runs. Who shakes hands is known at the end only: so what belongs to
handshakes is kept of everybody for a moment, bounded in bytes, and a trace of one device or identity takes its own
from there, and follows its address and its Connection ID from then on. A session that began before the trace has no
such secret any more, as that was cut into keys and forgotten. Secrets are in memory only, and go with their trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs
from twisted.logger import Logger

from lwm2md.security.dtls.records import ALERT, CHANGE_CIPHER_SPEC, CID_HEADER, HANDSHAKE, TLS12_CID
from lwm2md.tracing.ring import Batch, Seen

if TYPE_CHECKING:
    from lwm2md.tracing.trace import Trace

_SHAKES: Final = frozenset((CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE))
_CID: Final = slice(11, CID_HEADER - 2)
_BUDGET: Final = 1 << 20
_OVERHEAD: Final = 200
_FOLLOWED: Final = 4096


@attrs.define(slots=True, eq=False)
class Wired:
    """What a trace has of the wire: ``records`` as they were, one ``keys`` line for each handshake, and the addresses
    and Connection IDs that it follows.
    """

    records: list[Seen] = attrs.Factory(list)
    keys: list[str] = attrs.field(factory=list, repr=False)
    followed: set[bytes] = attrs.Factory(set)

    def follow(self, *names: bytes) -> None:
        """Take what comes from there, too."""
        if len(self.followed) < _FOLLOWED:
            self.followed.update(names)


class Wire:
    """Hands what passes on a secure port to the ``traces`` that asked for it; ``ended`` is told whose room is used up.

    None of its methods fails.
    """

    def __init__(self, ended: Callable[[Trace], None], budget: int = _BUDGET) -> None:
        self._traces: tuple[Trace, ...] = ()
        self._ended = ended
        self._budget = budget
        self._recent: deque[Seen] = deque()
        self._size = 0
        self._log = Logger()

    def run(self, traces: tuple[Trace, ...]) -> bool:
        """Let these traces run; return whether there are any. Without any nothing is kept."""
        self._traces = traces
        if not traces:
            self._recent.clear()
            self._size = 0
        return bool(traces)

    def received(self, batch: Batch, now: float) -> None:
        """Look at what arrived, with the addresses it came from."""
        self._guarded(lambda: self._pass(batch, now, True))

    def sent(self, batch: Batch, now: float) -> None:
        """Look at what leaves, with the addresses it goes to."""
        self._guarded(lambda: self._pass(batch, now, False))

    def established(self, address: bytes, cid: bytes, identity: str, secrets: tuple[bytes, bytes, bytes]) -> None:
        """Know of a handshake that went well: the master secret, the client's and the server's random."""
        self._guarded(lambda: self._establish(address, cid, identity, secrets))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            self._log.failure("a trace of the wire failed")
        for trace in self._traces:
            if trace.reason is not None:
                self._ended(trace)

    def _pass(self, batch: Batch, now: float, incoming: bool) -> None:
        for data, address in batch:
            seen = Seen(now, incoming, data, address)
            for trace in self._traces:
                if trace.reason is None and _concerns(trace, seen):
                    trace.wire(seen)
            if data[:1] and data[0] in _SHAKES:
                self._keep(seen)

    def _keep(self, seen: Seen) -> None:
        self._recent.append(seen)
        self._size += len(seen.data) + _OVERHEAD
        while self._size > self._budget:
            self._size -= len(self._recent.popleft().data) + _OVERHEAD

    def _establish(self, address: bytes, cid: bytes, identity: str, secrets: tuple[bytes, bytes, bytes]) -> None:
        master, client_random, _ = secrets
        for trace in self._traces:
            wired = trace.wired
            if wired is None or trace.reason is not None or not trace.wanted.concerns(address, identity):
                continue
            trace.key(f"CLIENT_RANDOM {client_random.hex()} {master.hex()}")
            if address not in wired.followed and not trace.wanted.concerns(address, ""):
                for seen in self._recent:
                    if seen.peer == address and trace.reason is None:
                        trace.wire(seen)
            wired.follow(address, cid)


def _concerns(trace: Trace, seen: Seen) -> bool:
    wired = trace.wired
    if wired is None:
        return False
    if seen.peer in wired.followed or trace.wanted.concerns(seen.peer, ""):
        return True
    if seen.incoming and seen.data[:1] == bytes((TLS12_CID,)) and seen.data[_CID] in wired.followed:
        wired.follow(seen.peer)
        return True
    return False
