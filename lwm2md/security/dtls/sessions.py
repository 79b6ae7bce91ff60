"""The table of sessions: where each is, which has to be stored, and which have to go.

RULES: a session is found by its peer's name, of which our Connection ID is a part, or by the address at which it was
heard last. A handshake has shown that its peer is at an address, so that is the new session's. Whoever was there before
lives on if it has a Connection ID and is somebody else; nothing is sent to it until it was heard again. A record shows
only who sent it, so that a session which moves (RFC 9146 section 6) takes nobody's place. Idle ones end after days;
where there are too many, or too many bytes, those go that were silent longest. Nothing here takes longer the more there
are, but for `restore` and `of_identities`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Final

import attrs

from lwm2md.security.dtls.records import CID_LENGTH
from lwm2md.security.dtls.session import PEER, DtlsSession

ENDS: Final = ("alert", "closed", "ended", "evicted", "exhausted", "idle", "replaced", "revoked")
"""Why a session may end: the counters are called so, too."""

_FIXED_BYTES: Final = 700


@attrs.frozen(slots=True)
class Limits:
    """What the table may hold: so many sessions and about so many bytes of them, seconds of silence, and how many of
    those in use keep their cipher objects, which are larger than the sessions.
    """

    sessions: int = 1_100_000
    bytes: int = 1 << 30
    idle: float = 7 * 86400.0
    warm: int = 4096


class Sessions:
    """All sessions of a node, whichever listener they came by.

    ``random`` gives unguessable bytes; ``node`` is the first octet of every Connection ID, so that others know whose
    it is. ``ended`` is told each session that is gone and why, one of `ENDS`; ``moved`` each that is at a new address,
    and the old one, empty if it had none. Neither may raise.
    """

    def __init__(
        self,
        random: Callable[[int], bytes],
        limits: Limits | None = None,
        *,
        node: int = 0,
        ended: Callable[[DtlsSession, str], None],
        moved: Callable[[DtlsSession, bytes], None],
    ) -> None:
        self.counters = dict.fromkeys((*ENDS, "displaced", "moved"), 0)
        self.bytes = 0
        self.by_address: dict[bytes, DtlsSession] = {}
        self.by_peer: OrderedDict[bytes, DtlsSession] = OrderedDict()
        """In the order in which they were heard last."""
        self._random = random
        self._limits = limits or Limits()
        self._head = PEER + bytes((node,))
        self._ended = ended
        self._moved = moved
        self._warm: deque[DtlsSession] = deque()
        self._changed: dict[bytes, DtlsSession] = {}

    def __len__(self) -> int:
        return len(self.by_peer)

    def new_peer(self) -> bytes:
        """Return the name of a session to come, which nobody has; its Connection ID is what follows the first octet."""
        while True:
            peer = self._head + self._random(CID_LENGTH - 1)
            if peer not in self.by_peer:
                return peer

    def add(self, session: DtlsSession, now: float) -> None:
        """Begin a session at its address."""
        session.seen = now
        self._enter(session)
        self.note(session)

    def restore(self, sessions: Iterable[DtlsSession]) -> None:
        """Take back those that storage has, in whatever order: where two were at one address the later one is."""
        for session in sorted(sessions, key=lambda each: each.seen):
            self._enter(session)

    def heard(self, session: DtlsSession, address: bytes, newest: bool, now: float) -> None:
        """Know that a record of a session was authenticated that came from ``address``."""
        session.seen = now
        self.by_peer.move_to_end(session.peer)
        if not session.changed:
            self.note(session)
        if newest and session.address != address:
            self.move(session, address)

    def warm(self, session: DtlsSession) -> None:
        """Make the ciphers of a session that has none; those that have theirs longest give them up."""
        if len(self._warm) >= self._limits.warm:
            self._warm.popleft().ciphers = None
        session.ready()
        self._warm.append(session)

    def note(self, session: DtlsSession) -> None:
        """Remember that a session has to be stored again."""
        if not session.changed:
            session.changed = True
            self._changed[session.peer] = session

    def stored(self, session: DtlsSession) -> None:
        """Know that a session is being stored as it is now."""
        session.changed = False
        self._changed.pop(session.peer, None)

    def take_changed(self, limit: int) -> list[DtlsSession]:
        """Return up to ``limit`` sessions that have to be stored, those that wait longest first."""
        out = list(islice(self._changed.values(), limit))
        for session in out:
            self.stored(session)
        return out

    def of_identities(self, texts: Collection[str]) -> list[DtlsSession]:
        """Return the sessions of all identities of which one of the names is among these texts."""
        wanted = frozenset(texts)
        return [session for session in self.by_peer.values() if session.identity.goes_by(wanted)]

    def drop(self, session: DtlsSession, cause: str) -> None:
        """Forget a session that is in the table, without a word to its peer."""
        del self.by_peer[session.peer]
        if self.by_address.get(session.address) is session:
            del self.by_address[session.address]
        session.ciphers = None
        self._changed.pop(session.peer, None)
        self.bytes -= cost(session)
        self.counters[cause] += 1
        self._ended(session, cause)

    def next_deadline(self) -> float | None:
        """Return when the one that was silent longest ends."""
        for session in self.by_peer.values():
            return session.seen + self._limits.idle
        return None

    def expire(self, now: float) -> None:
        """End those that were silent too long."""
        while self.by_peer:
            session = next(iter(self.by_peer.values()))
            if session.seen + self._limits.idle > now:
                break
            self.drop(session, "idle")

    def _enter(self, session: DtlsSession) -> None:
        """Put a session, which is at its address, into the table; make room."""
        self._displace(session, session.address)
        self.by_peer[session.peer] = session
        if session.address:
            self.by_address[session.address] = session
        self.bytes += cost(session)
        limits = self._limits
        while len(self.by_peer) > limits.sessions or self.bytes > limits.bytes:
            self.drop(next(iter(self.by_peer.values())), "evicted")

    def move(self, session: DtlsSession, address: bytes) -> None:
        """Let a session be at another address."""
        old = session.address
        if self.by_address.get(old) is session:
            del self.by_address[old]
        session.address = address
        # Whoever sent the record may have lied about where it is; that must not cost another one its session.
        sitting = self.by_address.get(address)
        if sitting is None or sitting.own_cid:
            self.by_address[address] = session
        self.counters["moved"] += 1
        self._moved(session, old)

    def _displace(self, session: DtlsSession, address: bytes) -> None:
        """Make room for a session at an address."""
        old = self.by_address.get(address)
        if old is None:
            return
        if not old.own_cid or old.identity.text == session.identity.text:
            self.drop(old, "replaced")
            return
        del self.by_address[address]
        old.address = b""
        self.note(old)
        self.counters["displaced"] += 1


def cost(session: DtlsSession) -> int:
    """Return about how many bytes a session takes, which stays the same while it lives."""
    identity = session.identity
    names = len(identity.name) + len(identity.issuer) + sum(49 + len(name) for name in identity.sans)
    return _FIXED_BYTES + len(session.keys) + len(session.cid) + names
