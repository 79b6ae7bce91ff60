"""What a plugin keeps of its own over restarts: small things by a key, such as whom it still owes an answer.

RULES: what is kept is written by the same group commit as everything else of the daemon. It is not for what grows with
the fleet: a note is small, and all of a plugin's are read back at once.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from lwm2md.plugins.host import Host
from lwm2md.server.effects import Commit, Write
from lwm2md.storage.interface import Storage

NOTES: Final = "notes"
LARGEST: Final = 64 << 10
"""The longest note, in bytes."""
_LONGEST_KEY: Final = 255
_PAGE: Final = 1_000

Kept = list[tuple[str, bytes]]


class Notes:
    """The notes of the plugin of this ``name``."""

    def __init__(self, host: Host, storage: Storage, name: str) -> None:
        self._host = host
        self._storage = storage
        self._prefix = f"{name}/"

    def put(self, key: str, value: bytes | None) -> Deferred[bool]:
        """Keep a value, or none any more; fires with whether that is durable. Raises ValueError for one too large."""
        if not 1 <= len(key) <= _LONGEST_KEY or (value is not None and len(value) > LARGEST):
            raise ValueError(f"a note has a key of 1 to {_LONGEST_KEY} characters and at most {LARGEST} bytes")
        durable: Deferred[bool] = Deferred()
        write = Write(NOTES, self._prefix + key, value)
        self._host.delivery.submit((Commit((write,), (), lambda committed, _: durable.callback(committed)),))
        return durable

    def all(self) -> Deferred[Kept]:
        """All notes, by their keys."""
        return Deferred.fromCoroutine(self._all())

    async def _all(self) -> Kept:
        found: Kept = []
        after = self._prefix
        while True:
            rows = await self._storage.scan(NOTES, after, _PAGE)
            for key, value in rows:
                if not key.startswith(self._prefix):
                    return found
                found.append((key.removeprefix(self._prefix), value))
            if len(rows) < _PAGE:
                return found
            after = rows[-1][0]
