"""Whose a datagram is, and what is in it: the way of every record, in and out.

RULES: a record belongs to the session that its Connection ID names, or that is at the address it came from. What can't
be opened is dropped in silence and counted (RFC 6347 section 4.1.2.7); an alert counts only if it was authenticated
(RFC 9147 section 4.5.2 says why). Renegotiation is refused by an alert (RFC 5246 section 7.2.2). What is not of a
session goes back to the caller: handshakes are not made here. Batches of one kind of datagram take the shortest way,
one look-up and one decryption each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from lwm2md.security.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CID_HEADER,
    HANDSHAKE,
    HEADER,
    TLS12_CID,
    VERSION,
    head,
    number,
    split,
)
from lwm2md.security.dtls.session import DROPS, EPOCH_1, PEER, DtlsSession
from lwm2md.security.dtls.sessions import Sessions

Datagram = tuple[bytes, bytes]
"""Bytes, and the address they come from or go to; on the engine's side a peer in its place."""

CLOSE_NOTIFY: Final = b"\x01\x00"
ACCESS_DENIED: Final = b"\x02\x31"
_NO_RENEGOTIATION: Final = b"\x01\x64"
_FATAL: Final = b"\2"
_HELLOS: Final = (b"\0", b"\1")
"""The types of HelloRequest and ClientHello: a session asked to shake hands again."""

_NOTHING: Final = (0, 0, 0, 0)
_NOTE_EVERY: Final = (1 << 16) - 1
_COUNTERS: Final = (
    *DROPS,
    "alerts",
    "late_handshakes",
    "opened",
    "renegotiations",
    "sealed",
    "unknown_types",
    "unsent",
)


class Traffic:
    """What passes between the network and the engine on the sessions of a table.

    ``confirmed`` is told each session that was heard for the first time after its handshake; it must not raise.
    """

    def __init__(self, sessions: Sessions, confirmed: Callable[[DtlsSession], None]) -> None:
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self._sessions = sessions
        self._confirmed = confirmed
        self._outbox: list[Datagram] = []

    def receive(self, batch: Sequence[Datagram], now: float) -> tuple[list[Datagram], list[Datagram]]:
        """Return the application data in a batch, with its peers, and what is left for others, with its addresses:
        handshakes, whatever belongs to no session, and handshake records of sessions that are not confirmed.
        """
        data: list[Datagram] = []
        rest: list[Datagram] = []
        sessions, counters = self._sessions, self.counters
        by_address, by_peer, heard = sessions.by_address, sessions.by_peer, sessions.heard
        for datagram, address in batch:
            session = None
            kind, version, numbered, length = head(datagram) if len(datagram) >= CID_HEADER else _NOTHING
            if version == VERSION:
                if kind == APPLICATION_DATA:
                    session = by_address.get(address)
                    length += HEADER
                elif kind == TLS12_CID:
                    session = by_peer.get(PEER + datagram[11:19])
                    length = (datagram[19] << 8 | datagram[20]) + CID_HEADER
            if session is None or length != len(datagram):
                if kind == HANDSHAKE and numbered < EPOCH_1 and length + HEADER == len(datagram):
                    rest.append((datagram, address))
                else:
                    self._receive_several(datagram, address, now, data, rest)
                continue
            if session.ciphers is None:
                sessions.warm(session)
            opened = session.open(datagram, numbered, counters)
            if opened is None:
                continue
            heard(session, address, opened[2], now)
            if opened[0] != APPLICATION_DATA or not session.confirmed:
                self._receive_other(session, opened, (datagram, address), data, rest)
                continue
            data.append((opened[1], session.peer))
        counters["opened"] += len(data)
        return data, rest

    def send(self, batch: Sequence[Datagram]) -> tuple[list[Datagram], list[Datagram]]:
        """Return the records that hide a batch for peers, with their addresses, and what is for no session here."""
        out: list[Datagram] = []
        rest: list[Datagram] = []
        sessions = self._sessions
        by_peer = sessions.by_peer
        for item in batch:
            session = by_peer.get(item[1])
            if session is None:
                rest.append(item)
            else:
                self._send(session, APPLICATION_DATA, item[0], out)
        self.counters["sealed"] += len(out)
        return out, rest

    def take(self) -> list[Datagram]:
        """Return the alerts that wait to be sent."""
        out, self._outbox = self._outbox, []
        return out

    def end(self, session: DtlsSession, cause: str = "ended", alert: bytes = CLOSE_NOTIFY) -> None:
        """End a session with an alert to its peer, unless it ended before."""
        by_peer = self._sessions.by_peer
        if by_peer.get(session.peer) is session:
            self._send(session, ALERT, alert, self._outbox)
        if by_peer.get(session.peer) is session:
            self._sessions.drop(session, cause)

    def revoke(self, texts: Collection[str]) -> int:
        """End all sessions of the identities with these texts; return how many there were."""
        found = self._sessions.of_identities(texts)
        for session in found:
            self.end(session, "revoked", ACCESS_DENIED)
        return len(found)

    def _send(self, session: DtlsSession, content_type: int, data: bytes, out: list[Datagram]) -> None:
        sessions = self._sessions
        if not session.address:
            self.counters["unsent"] += 1
            return
        if session.ciphers is None:
            sessions.warm(session)
        record = session.seal(content_type, data)
        if record is None:
            sessions.drop(session, "exhausted")
            return
        if not session.sent & _NOTE_EVERY:
            sessions.note(session)
        out.append((record, session.address))

    def _receive_several(
        self, datagram: bytes, address: bytes, now: float, data: list[Datagram], rest: list[Datagram]
    ) -> None:
        """Take a datagram that is anything but one whole record of a session."""
        records, clean = split(datagram)
        if not clean:
            self.counters["malformed"] += 1
        if any(number(record) < EPOCH_1 for record in records):
            # Of a handshake, and so is what of epoch 1 stands beside it.
            rest.append((datagram, address))
            return
        for record in records:
            cid = record[0] == TLS12_CID
            session = self._find(record[11:19] if cid else b"", address)
            if session is None:
                rest.append((record, address))
                continue
            if session.ciphers is None:
                self._sessions.warm(session)
            opened = session.open(record, number(record), self.counters)
            if opened is not None:
                self._sessions.heard(session, address, opened[2], now)
                self._receive_other(session, opened, (record, address), data, rest)

    def _find(self, cid: bytes, address: bytes) -> DtlsSession | None:
        return self._sessions.by_peer.get(PEER + cid) if cid else self._sessions.by_address.get(address)

    def _receive_other(
        self,
        session: DtlsSession,
        opened: tuple[int, bytes, bool],
        datagram: Datagram,
        data: list[Datagram],
        rest: list[Datagram],
    ) -> None:
        """Take what was in an authenticated record, whatever it is."""
        content_type, plaintext, _ = opened
        if content_type == HANDSHAKE:
            if session.confirmed:
                self._refuse(session, plaintext)
            else:
                rest.append(datagram)
        elif content_type == ALERT:
            self._alerted(session, plaintext)
        elif content_type == APPLICATION_DATA:
            if not session.confirmed:
                session.confirmed = True
                self._confirmed(session)
            data.append((plaintext, session.peer))
        else:
            self.counters["unknown_types"] += 1

    def _refuse(self, session: DtlsSession, message: bytes) -> None:
        """Take a handshake message of a session that needs none any more."""
        if message[:1] in _HELLOS:
            self.counters["renegotiations"] += 1
            self._send(session, ALERT, _NO_RENEGOTIATION, self._outbox)
        else:
            self.counters["late_handshakes"] += 1

    def _alerted(self, session: DtlsSession, alert: bytes) -> None:
        self.counters["alerts"] += 1
        if alert == CLOSE_NOTIFY:
            self.end(session, "closed")
        elif len(alert) == len(CLOSE_NOTIFY) and alert[:1] == _FATAL:
            self._sessions.drop(session, "alert")
