"""Statements that are yet to be carried out.

RULES: each statement gives up the interpreter's lock, and whoever wants it back waits: so one writes many rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

ROWS: Final = 50
"""Rows that one statement writes, where there are many."""

Statement = tuple[str, Sequence[object]]


def in_rows(one: str, several: str, rows: Sequence[tuple[object, ...]]) -> Iterator[Statement]:
    """The statements that write rows: ``several`` writes `ROWS` at once, ``one`` each of those that are left."""
    whole = len(rows) - len(rows) % ROWS
    if whole:
        values = list(chain.from_iterable(rows[:whole]))
        size = ROWS * len(rows[0])
        for start in range(0, len(values), size):
            yield several, values[start : start + size]
    for row in rows[whole:]:
        yield one, row
