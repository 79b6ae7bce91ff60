"""The audit log where it is kept: read page by page, and cut at its old end.

RULES: records come with the commits of what they tell (`lwm2md.server.effects.Commit`), and are changed by nobody.
"""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lwm2md.security.audit import Record, from_row
from lwm2md.storage.interface import Storage

LOG: Final = "audit"
_INTERVAL: Final = 3600.0


class AuditLog:
    """The log of one daemon; ``keep`` is the number of records that stay."""

    def __init__(self, storage: Storage, clock: IReactorTime, keep: int) -> None:
        self._storage = storage
        self._clock = clock
        self._keep = keep
        self._log = Logger()
        self._timer: IDelayedCall | None = None

    def configure(self, keep: int) -> None:
        """Keep so many from the next time that the log is trimmed."""
        self._keep = keep

    def start(self) -> None:
        """Trim now, and again and again; the storage is open."""
        self._timer = self._clock.callLater(_INTERVAL, self.start)
        trimming = self._storage.trim(LOG, self._keep)
        trimming.addErrback(lambda failure: self._log.error("audit can't be trimmed: {error}", error=failure.value))

    def stop(self) -> None:
        """Trim no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def page(self, after: str, limit: int) -> list[tuple[str, Record]]:
        """At most ``limit`` records behind an id, the oldest first. Raises StorageError."""
        found = []
        for key, row in await self._storage.read(LOG, after, limit):
            try:
                found.append((key, from_row(row)))
            except msgspec.DecodeError as error:
                self._log.error("record {key} of the audit log can't be read: {error}", key=key, error=error)
        return found
