"""A session as storage keeps it, over a restart and beyond.

RULES: what is stored is older than the session in memory, by whatever happened since. So it names a number to send with
that lies `RESERVE` above the one that is next; a session has to be stored again long before it gets there
(`Sessions.note`), since no number may serve twice with one key. It also names the life of the daemon in which it was
stored: one that is restored again and again without being stored begins a `RESERVE` higher each time. And of what was
received it names only the highest number: a restored session accepts what is above it, as the records below may be
replays. The bytes hold the keys.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from lwm2md.security.dtls.records import CID_LENGTH
from lwm2md.security.dtls.replay import ALL
from lwm2md.security.dtls.session import EPOCH_1, FIRST, LAST, PEER, DtlsSession
from lwm2md.security.dtls.suites import BY_NUMBER
from lwm2md.security.identity import Identity

RESERVE: Final = 1 << 20
_VERSION: Final = 1
_MAX_CID: Final = 255

_Identity = tuple[Literal["psk", "x509"], str, tuple[str, ...], str, str, str]


class StoredSession(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is kept of a `DtlsSession`; ``sent`` is the number that one restored in this ``life`` would send first."""

    version: int
    peer: bytes
    address: bytes
    suite: int
    keys: bytes
    identity: _Identity
    own_cid: bool
    cid: bytes
    scope: str
    sent: int
    top: int
    seen: float
    life: int = 0

    @classmethod
    def of(cls, session: DtlsSession, life: int = 0) -> StoredSession:
        """Return what is to be stored of a session now; ``life`` counts how often the daemon was started."""
        who = session.identity
        return cls(
            _VERSION,
            session.peer,
            session.address,
            session.suite.number,
            session.keys,
            (who.kind, who.name, who.sans, who.serial, who.issuer, who.key_hash),
            session.own_cid,
            session.cid,
            session.scope,
            session.sent + RESERVE,
            session.top,
            session.seen,
            life,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> StoredSession:
        """Return what `to_bytes` made ``data`` of; raise ValueError if that was something else."""
        try:
            stored = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"not a stored session: {error}") from None
        stored._check()
        return stored

    def to_bytes(self) -> bytes:
        """Return the bytes to store."""
        return _ENCODER.encode(self)

    def session(self, life: int = 0) -> DtlsSession:
        """Return the session, as far as it was stored; raise ValueError if that was in a life that is yet to come."""
        if life < self.life:
            raise ValueError(f"a stored session of life {self.life}, and this is {life}")
        session = DtlsSession(
            self.peer,
            self.address,
            BY_NUMBER[self.suite],
            self.keys,
            Identity(*self.identity),
            own_cid=self.own_cid,
            cid=self.cid,
            scope=self.scope,
        )
        session.sent = self.sent + (life - self.life) * RESERVE
        session.top, session.bits = self.top, ALL
        session.seen = self.seen
        return session

    def _check(self) -> None:
        suite = BY_NUMBER.get(self.suite)
        if self.version != _VERSION:
            raise ValueError(f"a stored session of version {self.version}")
        if suite is None or suite.in_openssl:
            raise ValueError(f"a stored session with cipher suite {self.suite}")
        if (
            len(self.keys) != suite.block_length
            or len(self.peer) != len(PEER) + CID_LENGTH
            or not self.peer.startswith(PEER)
            or len(self.cid) > _MAX_CID
            or self.sent < FIRST
            or self.life < 0
            or not EPOCH_1 - 1 <= self.top <= LAST
        ):
            raise ValueError("not a stored session: lengths or numbers that none has")


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(StoredSession)
