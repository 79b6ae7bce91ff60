"""The contract of a storage: tables of keyed rows, append-only logs and series of samples, changed by atomic batches.

RULES: keys and ids are non-empty strings, ordered by code point; values are bytes that the storage does not look into.
Tables and logs have fixed names. A series is named by its owner and a name of its own, is there as soon as it has a
sample, and has one sample for each time, in microseconds. What is asked is carried out and answered in the order of
asking: a read sees every batch submitted before it and none after it. All methods are called on the reactor's thread
and their Deferreds fire there, possibly at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred

from lwm2md.server.effects import Sample, Write

__all__ = [
    "LAST",
    "LOGS",
    "START",
    "TABLES",
    "Append",
    "Batch",
    "Condition",
    "Place",
    "Sample",
    "Samples",
    "Storage",
    "StorageError",
    "Write",
]

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
        "templates",
        "cursors",
        "notes",
        "credentials",
        "refused",
        "sessions",
    }
)
LOGS: Final = frozenset({"events", "audit"})

Rows = list[tuple[str, bytes]]
Samples = list[tuple[int, bytes]]
Place = tuple[str, str]
"""The owner and the name of a series: where `Storage.thin` has come to."""
LAST: Final = "\U0010ffff"
"""A name behind all others."""
START: Final[Place] = ("", "")
"""Before all series."""


class StorageError(Exception):
    """The storage could not do what was asked; the text names the file or server and the cause."""


class Append(msgspec.Struct, frozen=True, gc=False, array_like=True):
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
    """What is written in one transaction. Conditions are checked first; the last of several writes to a row wins.

    Of several samples of one time the last one wins too. Owners in ``dropped`` lose the series that they had before.
    """

    writes: Sequence[Write] = ()
    appends: Sequence[Append] = ()
    conditions: Sequence[Condition] = ()
    samples: Sequence[Sample] = ()
    dropped: Sequence[str] = ()


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

    def names(self, owner: str, start: str = "", end: str = LAST, limit: int = 1000) -> Deferred[list[str]]:
        """Return at most ``limit`` names of an owner's series, from ``start`` and before ``end``, in order."""
        ...

    def samples(self, owner: str, name: str, start: int, end: int, limit: int = 1000) -> Deferred[Samples]:
        """Return at most ``limit`` samples of a series, from time ``start`` and before ``end``, oldest first."""
        ...

    def thin(self, after: Place, before: int, keep: int, limit: int = 1000) -> Deferred[tuple[Place, int]]:
        """Remove a few old samples: those from before a time, and of each series those beyond the newest ``keep``.

        One call looks at some series in the order of their places, those behind ``after``, and removes about ``limit``
        samples at most. Returns after which series the next call goes on, `START` when all were seen, and how many
        samples were removed.
        """
        ...
