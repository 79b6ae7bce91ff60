"""Ids of events in the log: strings that sort as they were given out, from a counter that is reserved durably.

RULES: what is reserved is in one row, before any id below it is given out; none is given out twice.
"""

from __future__ import annotations

from typing import Final

from lwm2md.documents import event_document
from lwm2md.events import Event
from lwm2md.server.effects import Write
from lwm2md.storage.interface import Append, Storage

LOG: Final = "events"
META: Final = "meta"
NEXT_ID: Final = "event-ids"
_WIDTH: Final = 16
_DIGITS: Final = 3
_LAST: Final = tuple(str(number).zfill(_DIGITS) for number in range(10**_DIGITS))


def text(number: int) -> str:
    """The id with this number."""
    return str(number).zfill(_WIDTH)


def texts(first: int, count: int) -> list[str]:
    """The ids with so many numbers from the first on."""
    found: list[str] = []
    while len(found) < count:
        # Of neighbours only the last digits are others.
        begin, last = divmod(first + len(found), len(_LAST))
        before = str(begin).zfill(_WIDTH - _DIGITS)
        found += [before + digits for digits in _LAST[last : last + count - len(found)]]
    return found


def reservation(end: int) -> Write:
    """What reserves all ids below ``end``."""
    return Write(META, NEXT_ID, b"%d" % end)


async def appended(storage: Storage, event: Event, least: int) -> tuple[Write, Append]:
    """What appends an event to the log of a storage that nobody serves from, with an id from ``least`` on."""
    number = max(least, int(await storage.get(META, NEXT_ID) or b"1"))
    return reservation(number + 1), Append(LOG, text(number), event_document(event, text(number)))
