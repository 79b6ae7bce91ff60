"""Reading the fleet back from storage at a start, while devices are served: the part that asks the storage.

RULES: what is decided of that is in `lwm2md.server.takeup`. Rows are read a page at a time, and between two pages
devices have their turn; the rows of a device that waits for its answer are read between two pages, too. A row that
can't be read is told and left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from lwm2md.server.core import Server
from lwm2md.server.restoring import FLEET, RESTORED
from lwm2md.server.stored import REGISTRATIONS
from lwm2md.server.takeup import FETCHED
from lwm2md.server.whereabouts import GROUP
from lwm2md.storage.interface import Rows, Storage, StorageError

PAGE: Final = 1000
"""Rows that are read at once: devices wait for their answers meanwhile."""


_KEY: Final = itemgetter(0)


class Starting:
    """One start. ``settle`` carries out what the server decided. One that is ``abandoned`` ends at its next step."""

    def __init__(self, server: Server, storage: Storage, reactor: Any, settle: Callable[[], None]) -> None:
        self.abandoned = False
        self._take_up = server.take_up
        self._storage = storage
        self._reactor = reactor
        self._settle = settle
        self._log = Logger(namespace="lwm2md")
        self._take_up.fetch = self._fetch

    async def prepare(self) -> None:
        """Read what does not grow with the fleet, and which registrations there are: devices can be served then."""
        for table in RESTORED:
            if table not in FLEET:
                await self.read(table, partial(self._take_up.restore, table))
        await self.read(REGISTRATIONS, self._take_up.place)
        self._take_up.begin()

    async def take_up(self) -> None:
        """Read the fleet, and bring it to life."""
        await self._side_by_side(FETCHED)
        for table in FLEET[len(FETCHED) :]:
            await self.read(table, partial(self._take_up.restore, table))
        for _ in self._take_up.go_on(self._reactor.seconds()):
            if self.abandoned:
                return
            await self._turn()

    async def read(self, table: str, take: Callable[[Rows, float], Iterable[str]]) -> None:
        """Hand all rows of a table on; what can't be taken is told."""
        after = ""
        while not self.abandoned:
            rows = await self._storage.scan(table, after, PAGE)
            self._tell(take(rows, self._reactor.seconds()))
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def _side_by_side(self, tables: Sequence[str]) -> None:
        """Hand all rows of several tables on, those of a device one right after the other: it is at hand then."""
        pages: dict[str, Rows] = {table: [] for table in tables}
        after = dict.fromkeys(tables, "")
        unread = set(tables)
        end = ""
        while not self.abandoned and (unread or any(pages.values())):
            for table in [each for each in tables if each in unread and not pages[each]]:
                pages[table] = rows = await self._storage.scan(table, after[table], PAGE)
                if len(rows) < PAGE:
                    unread.discard(table)
                else:
                    after[table] = rows[-1][0]
            # No text is behind all names: a device chooses its own.
            last = max((rows[-1][0] for rows in pages.values() if rows), default=end)
            end = min((after[table] for table in unread), default=last)
            for table, rows in pages.items():
                there = bisect_right(rows, end, key=_KEY)
                self._tell(self._take_up.restore(table, rows[:there], self._reactor.seconds()))
                pages[table] = rows[there:]
            self._take_up.passed(end)

    def _fetch(self, registration_id: str, after: str) -> None:
        fetching = ensureDeferred(self._fetched(registration_id, after))
        fetching.addErrback(lambda failure: self._log.failure("a device can't be taken up", failure))

    async def _fetched(self, registration_id: str, after: str) -> None:
        """Read the rows of one device that somebody waits for."""
        ok = True
        try:
            found = await self._storage.scan(REGISTRATIONS, after, GROUP)
            endpoint = self._take_up.endpoint_of(registration_id, found)
            for table in FETCHED:
                row = None if endpoint is None else await self._storage.get(table, endpoint)
                if endpoint is not None and row is not None:
                    self._tell(self._take_up.restore(table, [(endpoint, row)], self._reactor.seconds()))
        except StorageError as error:
            self._log.error("a device that waits can't be taken up: {error}", error=error)
            ok = False
        self._take_up.fetched(registration_id, self._reactor.seconds(), ok=ok)
        self._settle()

    def _tell(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self._log.error("a row of the storage is left out: {fault}", fault=fault)

    def _turn(self) -> Deferred[None]:
        """Let others have their turn."""
        turn: Deferred[None] = Deferred()
        self._reactor.callLater(0, turn.callback, None)
        return turn
