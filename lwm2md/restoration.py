"""Going back to a backup: the file is checked while the daemon serves, then the daemon takes it up as after a restart.

RULES: all or nothing. A file that is damaged, or newer than this daemon, is refused before anything is changed. What
was there before is kept aside, and is taken up again where the new state can't be. Ids of events go on where they were,
so that none is given out twice. What was under way at the time of the backup may have been carried out since: it ends
as `outcome-unknown`. Sessions of secure transports that a backup has are dropped: their counters must never be used
again. Those of the daemon go on, from memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import attrs
from twisted.logger import Logger

from lwm2md import events
from lwm2md.backup import BusyError, able
from lwm2md.eventids import appended
from lwm2md.events import Event
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.storage.interface import TABLES, Batch, Storage, StorageError

RestoreState = Literal["none", "checking", "restoring", "done", "failed"]
DROPPED: Final = frozenset({"sessions"}) & TABLES
"""Tables that are not taken up from a backup."""
_PAGE: Final = 5000


@attrs.define
class Restoration:
    """Where going back to a backup is: ``error`` says why it failed, ``aside`` where the state before is kept.

    ``begin(source)`` begins a moment later to `go_back`. ``replace(swap)`` ends the daemon's node, lets the swap be
    made while nobody uses the storage, and starts another node; where that fails it lets the swap be taken back.
    """

    begin: Callable[[Path], None]
    replace: Callable[[Swap], Awaitable[None]]
    state: RestoreState = "none"
    error: str | None = None
    aside: Path | None = None
    _log: Logger = attrs.field(factory=Logger, repr=False)

    def require(self, storage: Storage) -> None:
        """Return where one may begin. Raises BusyError, UnsupportedError."""
        able(storage)
        if self.state in ("checking", "restoring"):
            raise BusyError("the daemon is going back to a backup already")

    async def check(self, storage: Storage, source: Path) -> None:
        """Read a whole file; nothing is changed. Raises StorageError."""
        self.require(storage)
        self.state, self.error, self.aside = "checking", None, None
        try:
            staged = able(storage).staged(source, check=True)
            await staged.open()
            await staged.close()
        except StorageError as error:
            self.state, self.error = "failed", str(error)
            source.unlink(missing_ok=True)
            raise
        self.state = "restoring"

    async def go_back(self, source: Path) -> None:
        """Take a file up that was checked; what comes of it is told by `state`."""
        swap = Swap(source)
        try:
            await self.replace(swap)
        except StorageError as error:
            self.state, self.error = "failed", str(error)
            self._log.error("the backup was not taken up, the state before it is: {error}", error=error)
        else:
            self.state, self.aside = "done", swap.aside
            self._log.warn("the daemon went back to a backup; the state before it is {aside}", aside=swap.aside)


@attrs.define
class Swap:
    """A change of state, there and back, while nobody uses the storage."""

    source: Path
    aside: Path | None = None

    async def there(self, storage: Storage, next_id: int, now: float) -> None:
        """Let the file be the state. ``next_id`` is that of the next event. Raises StorageError."""
        staged = able(storage).staged(self.source, check=False)
        await staged.open()
        try:
            await _adapt(staged, next_id, now)
        finally:
            await staged.close()
        self.aside = await able(storage).swap(self.source)

    async def back(self, storage: Storage) -> None:
        """Let the state before be the state. Raises StorageError."""
        if self.aside is not None:
            aside, self.aside = self.aside, None
            (await able(storage).swap(aside)).unlink()


async def _adapt(staged: Storage, next_id: int, now: float) -> None:
    """Let a backup be what a daemon may go on with today."""
    for table in DROPPED:
        while rows := await staged.scan(table, "", _PAGE):
            await staged.commit(Batch([Write(table, key, None) for key, _ in rows]))
    event = Event(events.STORAGE_RESTORED, now, None)
    reservation, append = await appended(staged, event, next_id)
    mark = Write(stored.META, stored.RESTORED, str(now).encode())
    await staged.commit(Batch((reservation, mark), (append,)))
