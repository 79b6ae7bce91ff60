"""How many handshakes, and from where. Pure decisions. (skeleton)"""
from __future__ import annotations

class HandshakeGuard:
    """admit at a ClientHello with a valid cookie; release when that handshake ended, however."""
    def __init__(self, limits, trusted=None) -> None: ...
    counters: dict[str, int]
    def admit(self, address: bytes, now: float) -> str | None: """None: go on (it counts as half-open now); else the cause: "half_open", "half_open_source", "rate", "rate_source"."""
    def release(self, address: bytes) -> None: ...
