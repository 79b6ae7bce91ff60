"""(skeleton)"""
from __future__ import annotations
# StoredSession (msgspec.Struct, array_like): made by StoredSession.of(session), .to_bytes(), StoredSession.from_bytes(data) -> StoredSession (raises ValueError),
# .session() -> DtlsSession: sends above the reserve, accepts only above the stored sequence.
# RESERVE = 1 << 20 numbers; session.changed / Sessions.take_changed(limit) say what to write.
