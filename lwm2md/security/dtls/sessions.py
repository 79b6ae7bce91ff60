"""(skeleton)"""
from __future__ import annotations
from lwm2md.security.dtls.session import DtlsSession

class Sessions:
    """All sessions of a node (all listeners): by peer (CID = peer[1:]) and by address."""
    counters: dict[str, int]
    def __init__(self, random, limits, *, node: int = 0, ended, confirmed, moved) -> None:
        """ended(session, cause), confirmed(session) (first valid record: drop the SSL object), moved(session, old_address)."""
    def new_peer(self) -> bytes: """A name for a session to come; its CID is peer[1:]."""
    def add(self, session: DtlsSession, now: float) -> None: """After the handshake (or from storage); replaces the one at its address."""
    def get(self, peer: bytes) -> DtlsSession | None: ...
    def at(self, address: bytes) -> DtlsSession | None: ...
    def receive(self, batch, now: float) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """(application data with peers for the engine, what is not ours with addresses: handshakes, unknown addresses, retransmitted Finished of unconfirmed sessions)."""
    def send(self, batch) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        """(records with addresses, what belongs to no session of ours)."""
    def take(self) -> list[tuple[bytes, bytes]]: """Alerts to send."""
    def end(self, peer: bytes, cause: str) -> None: """close_notify goes out by take()."""
    def end_identities(self, texts) -> int: ...
    def take_changed(self, limit: int) -> list[DtlsSession]: """Those to be written to storage; marks them written."""
    def next_deadline(self) -> float | None: ...
    def expire(self, now: float) -> None: """Ends the idle ones."""
