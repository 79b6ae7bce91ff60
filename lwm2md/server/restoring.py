"""Taking up what the storage holds, after a start.

RULES: the tables come in the order of `RESTORED`, in which they need each other; those with a row for each device may
come side by side, a few rows of each in turn, in the order of their keys. One bad row must not keep a fleet out:
it is left out and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from lwm2md.server import stored

Reader = Callable[[str, bytes, float], None]
"""Takes a row up: its key, its value, the time; raises anything where it can't be read."""

RESTORED: Final = (
    stored.META,
    stored.MODELS,
    stored.PROFILES,
    stored.DEVICE_PROFILES,
    stored.TEMPLATES,
    stored.REFUSED,
    stored.DEVICES,
    stored.REGISTRATIONS,
    stored.REFRESHES,
    stored.FINDINGS,
    stored.TWIN,
    stored.OBSERVATIONS,
    stored.OPERATIONS,
)
"""The tables that a server is restored from, in the order in which it needs them."""
FLEET: Final = RESTORED[RESTORED.index(stored.DEVICES) :]
"""Those that grow with the fleet."""


def taken(table: str, read: Reader, rows: Iterable[tuple[str, bytes]], now: float) -> list[str]:
    """Take up rows of a table; returns what could not be read, a line each."""
    faults = []
    for key, value in rows:
        try:
            read(key, value, now)
        except Exception as error:
            faults.append(f"{table} {key!r}: {type(error).__name__}: {error}")
    return faults
