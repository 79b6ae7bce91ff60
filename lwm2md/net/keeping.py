"""Sessions in storage: written behind in groups, so that a restart interrupts no device.

RULES: a session is stored when it begins and, while it is used, every few seconds; what was not stored yet is lost
in a crash, which `stored` allows for, as long as each life of the daemon has another number (`Keeper.count`). Rows are
sealed like credentials. A session that sends on and on while nothing can be stored ends before it needs numbers with
which another life would begin. A row that can't be stored is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from lwm2md.net.driver import Deadlines
from lwm2md.security.dtls.session import PEER, DtlsSession
from lwm2md.security.dtls.sessions import Sessions
from lwm2md.security.dtls.stored import RESERVE, StoredSession
from lwm2md.security.sealing import Seal, SealError
from lwm2md.server.effects import Commit, Write

TABLE: Final = "sessions"
META: Final = "meta"
LIVES: Final = "dtls-lives"
LATER: Final = 5.0
SOON: Final = 0.2
_MOST: Final = 2000


class Keeper:
    """Keeps the sessions of a table in storage. ``submit`` makes commits durable."""

    def __init__(
        self,
        sessions: Sessions,
        seal: Seal,
        submit: Callable[[Sequence[Commit]], None],
        clock: IReactorTime,
        deadlines: Deadlines,
    ) -> None:
        self.due: float | None = None
        self._life = 0
        self._uncounted = False
        self.counters = dict.fromkeys(("sessions_stored", "sessions_unreadable"), 0)
        self._sessions = sessions
        self._seal = seal
        self._submit = submit
        self._clock = clock
        self._deadlines = deadlines
        self._begun: list[bytes] = []
        self._gone: set[str] = set()
        self._unstored: dict[bytes, int] = {}
        """Of sessions whose row is on its way, or could not be stored: their number when that was first asked for."""

    def count(self, life: int, *, stored: bool) -> None:
        """Know which life of the daemon this is, before `restore`; unless that is ``stored`` it will be beside rows."""
        self._life, self._uncounted = life, not stored

    def start(self) -> None:
        """Store what has changed, from now on."""
        self._set(LATER)

    def begun(self, peer: bytes) -> None:
        """Store a new session before the next datagram is read, together with all that begin until then.

        What its device registers comes after it, so that nobody is left without one.
        """
        if not self._begun:
            self._clock.callLater(0, self._store)
        self._begun.append(peer)

    def _store(self) -> None:
        begun, self._begun = self._begun, []
        found = [session for peer in begun if (session := self._sessions.by_peer.get(peer)) is not None]
        for session in found:
            self._sessions.stored(session)
        if found:
            self._ask(found, frozenset())

    def ended(self, peer: bytes) -> None:
        """Know that a session is gone."""
        self._gone.add(_key(peer))
        self._unstored.pop(peer, None)
        self._set(SOON)

    def wake(self, now: float) -> None:
        """Store what has changed."""
        self.due = None
        self._set(SOON if self.flush() else LATER)

    def flush(self) -> bool:
        """Ask for a group of rows to be stored; whether there is more."""
        taken = self._sessions.take_changed(_MOST)
        sessions = [session for session in taken if not self._is_spent(session)]
        gone, self._gone = self._gone, set()
        if not sessions and not gone:
            return False
        self._ask(sessions, gone)
        return len(taken) == _MOST

    def _is_spent(self, session: DtlsSession) -> bool:
        """Whether a session has used up what a restart may count on; it ends then."""
        spent = session.sent - self._unstored.get(session.peer, session.sent) > RESERVE // 2
        if spent:
            self._sessions.drop(session, "exhausted")
        return spent

    def _ask(self, sessions: Sequence[DtlsSession], gone: Collection[str]) -> None:
        """Ask for these to be stored, and those rows to be removed."""
        writes = (*self._rows(sessions), *(Write(TABLE, key, None) for key in gone))
        for session in sessions:
            self._unstored.setdefault(session.peer, session.sent)

        def ended(committed: bool, _now: float) -> None:
            if committed:
                self.counters["sessions_stored"] += len(sessions)
                self._uncounted = False
                for session in sessions:
                    self._unstored.pop(session.peer, None)
                return
            self._gone.update(gone)
            for session in sessions:
                # One that has ended meanwhile may be gone from storage already.
                if self._sessions.by_peer.get(session.peer) is session:
                    self._sessions.note(session)

        self._submit((Commit(writes, (), ended, patient=True),))

    def flush_all(self) -> None:
        """Ask for everything to be stored that is not, before a stop."""
        # Where the storage fails at once, what is asked for comes back, and would without end.
        for _ in range(len(self._sessions) // _MOST + 1):
            self.flush()

    def stop(self) -> None:
        """Do nothing any more."""
        self._deadlines.remove(self)

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Take sessions up from storage, and give what is wrong with those that can't be."""
        found = []
        for key, row in rows:
            try:
                session = StoredSession.from_bytes(self._seal.open(row, key)).session(self._life)
                if _key(session.peer) != key:
                    raise ValueError("the row of another session")
            except (ValueError, SealError) as error:
                self.counters["sessions_unreadable"] += 1
                yield f"{TABLE} {key}: {error}"
                continue
            found.append(session)
        self._sessions.restore(found)

    def inherit(self, sessions: Iterable[DtlsSession]) -> None:
        """Go on with sessions that another keeper has had, which keeps them no more; they are stored here."""
        found = tuple(sessions)
        for session in found:
            session.ciphers, session.changed = None, False  # whoever counted them counts no more
        self._sessions.restore(found)
        for session in found:
            self._sessions.note(session)

    def _rows(self, sessions: Sequence[DtlsSession]) -> tuple[Write, ...]:
        rows = tuple(Write(TABLE, key := _key(session.peer), self._row(session, key)) for session in sessions)
        return (Write(META, LIVES, b"%d" % self._life), *rows) if self._uncounted else rows

    def _row(self, session: DtlsSession, key: str) -> bytes:
        return self._seal.seal(StoredSession.of(session, self._life).to_bytes(), key)

    def _set(self, wait: float) -> None:
        when = self._clock.seconds() + wait
        if self.due is None or when < self.due:
            self._deadlines.set(self, when)


def _key(peer: bytes) -> str:
    return peer[len(PEER) :].hex()
