"""Sweeps: rows of a table that come by the thousand and in the order of their keys.

RULES: what comes so is side by side in its table, as it would be if it had been gathered in the journal first: it goes
there at once, in the same transaction. What the journal has of a row goes to the table later, and again after a crash:
so a row that it names goes that way again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter, lt
from typing import Final

from lwm2md.storage.interface import Write

TABLE: Final = "refreshes"
"""The table that is written so: the times and addresses of a fleet, again and again."""
MANY: Final = 1000
_PART: Final = 0.9
"""The part of them that has to be in order: devices that have moved come before."""
_KEY: Final = attrgetter("key")
_ROW: Final = attrgetter("key", "value")

Row = tuple[str, bytes]


def parted(writes: Sequence[Write], journal: Iterable[Collection[str]]) -> tuple[Sequence[Row], Sequence[Write]]:
    """The rows that can go to `TABLE` at once, and all other writes; ``journal`` has the keys that it names."""
    if len(writes) < MANY:
        return (), writes
    some = [write for write in writes if write.table == TABLE]
    if len(some) < MANY or not _in_order([*map(_KEY, some)]):
        return (), writes
    swept = [_ROW(write) for write in some if write.value is not None]
    for keys in filter(None, journal):
        swept = [row for row in swept if row[0] not in keys]
    if len(swept) == len(writes):
        return swept, ()
    there = {key for key, _ in swept}
    return swept, [write for write in writes if write.table != TABLE or write.key not in there]


def _in_order(keys: Sequence[str]) -> bool:
    """Whether no key comes twice, and nearly each comes before the next."""
    return len({*keys}) == len(keys) and sum(map(lt, keys, keys[1:])) >= _PART * (len(keys) - 1)
