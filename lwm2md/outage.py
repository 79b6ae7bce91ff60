"""A storage that fails, from the first failure to the first success: what is said of it, and told to readers.

RULES: that it began is told to those who read at the moment, as nothing can be stored; that it is over is stored.
"""

from __future__ import annotations

from lwm2md.events import STORAGE_FAILED, STORAGE_RECOVERED, Event, Timestamp
from lwm2md.server.effects import Commit


class Outage:
    """``reason`` says why it fails now, None while it works."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._since = 0.0

    def begin(self, reason: str, now: float) -> Event | None:
        """It fails for this reason; the event to tell, the first time."""
        first = self.reason is None
        self.reason = reason
        if not first:
            return None
        self._since = now
        return Event(STORAGE_FAILED, now, None, fields={"reason": reason}, stored=False)

    def end(self, now: float) -> tuple[Commit, ...]:
        """It works; what is to be stored of that."""
        if self.reason is None:
            return ()
        fields = {"reason": self.reason, "since": Timestamp(self._since)}
        self.reason = None
        return (Commit((), (Event(STORAGE_RECOVERED, now, None, fields=fields),)),)
