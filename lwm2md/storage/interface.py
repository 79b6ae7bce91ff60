"""The contract of a storage: tables of keyed rows and append-only logs, changed by atomic batches.

RULES: keys and ids are non-empty strings, ordered by code point; values are bytes that the storage does not look into.
Tables and logs have fixed names. What is asked is carried out and answered in the order of asking: a read sees every
batch submitted before it and none after it. All methods are called on the reactor's thread and their Deferreds fire
there, possibly at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs
from twisted.internet.defer import Deferred

from lwm2md.server.effects import Write

__all__ = ["LOGS", "TABLES", "Append", "Batch", "Condition", "Storage", "StorageError", "Write"]

TABLES: Final = frozenset(
    {
        "registrations",
        "refreshes",
        "devices",
        "observations",
        "operations",
        "twin",
        "meta",
        "models",
        "profile_ids",
        "device_profiles",
        "findings",
    }
)
LOGS: Final = frozenset({"events"})

Rows = list[tuple[str, bytes]]


class StorageError(Exception):
    """The storage could not do what was asked; the text names the file or server and the cause."""


@attrs.frozen(slots=True)
class Append:
    """One record for the end of a log. ``id`` sorts after every id that the log has ever held."""

    log: str
    id: str
    value: bytes


@attrs.frozen(slots=True)
class Condition:
    """A row that must have exactly this value (None: must not exist) for the batch to be written."""

    table: str
    key: str
    expected: bytes | None


@attrs.frozen(slots=True)
class Batch:
    """What is written in one transaction. Conditions are checked first; the last of several writes to a row wins."""

    writes: Sequence[Write] = ()
    appends: Sequence[Append] = ()
    conditions: Sequence[Condition] = ()


class Storage(Protocol):
    """A place that keeps tables and logs. Every Deferred may fail with ``StorageError``, and with nothing else."""

    def open(self) -> Deferred[None]:
        """Make ready; called once, before anything else. Fails with a text fit for the operator."""
        ...

    def close(self) -> Deferred[None]:
        """Finish what was submitted, then let go of files and threads. What is asked later fails."""
        ...

    def commit(self, batch: Batch) -> Deferred[bool]:
        """Write a batch durably: True. False: a condition did not hold and nothing was written."""
        ...

    def get(self, table: str, key: str) -> Deferred[bytes | None]:
        """Return the value of one row, or None."""
        ...

    def scan(self, table: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return at most ``limit`` rows of a table whose keys are greater than ``after``, ordered by key."""
        ...

    def read(self, log: str, after: str = "", limit: int = 1000) -> Deferred[Rows]:
        """Return at most ``limit`` records of a log whose ids are greater than ``after``, oldest first."""
        ...

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """Remove the oldest records beyond the newest ``keep``; return the greatest id ever removed, or ``""``."""
        ...
