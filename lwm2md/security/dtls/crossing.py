"""Epoch 1 of a handshake between the wire and OpenSSL (was: cidtext). (skeleton)"""
from __future__ import annotations

class Crossing:
    """One handshake's datagrams both ways; with and without Connection IDs. OpenSSL only ever sees plain records."""
    def __init__(self, *, own_cid: bytes = b"", peer_cid: bytes = b"") -> None: """own_cid: ours if negotiated (b"" not), peer_cid: the peer's (b"" none)"""
    own_cid: bytes; peer_cid: bytes      # may be set later, when the hellos were seen
    held: list[bytes]                    # application records that came early, for the session after the handshake (bounded)
    top: int                             # highest epoch 1 sequence of the peer given to OpenSSL -> session.top
    def incoming(self, datagram: bytes, counters: dict[str, int]) -> list[bytes]:
        """Records for OpenSSL, in order, plain. Records of epoch 1 in tls12_cid form wait inside until `keyed`."""
    def keyed(self, suite, keys: bytes, counters) -> list[bytes]:
        """Keys (session.own_keys) are known, right after ClientKeyExchange was fed: what had to wait."""
    def outgoing(self, datagram: bytes) -> bytes:
        """OpenSSL's flight as it travels; b"" if nothing is left. Drops epoch 1 records numbered >= session.FIRST (numbers must never serve twice)."""
