"""Where the rows of registrations are that were not read back yet, by id.

RULES: a key for each would take too much memory, so one key leads to a few rows that are side by side. Registrations
are read back in the order in which they were placed: they are kept in parts, and a part goes, as a whole, when all of
it was read back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from lwm2md.server.registrationrows import read_id

GROUP: Final = 32
"""Registrations of which one key leads to all."""
_PART: Final = 512 * GROUP


class Whereabouts:
    """Of each registration the key behind which its row is, or one of the next `GROUP` rows."""

    def __init__(self) -> None:
        # The last key before each part, and what is in it.
        self._parts: deque[tuple[str, dict[str, str]]] = deque()
        self._count = 0
        self._last = self._key = ""

    def place(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Learn of some more, from rows in the order of their keys; one that can't be read is left out."""
        count, last, key = self._count, self._last, self._key
        places = self._parts[-1][1] if self._parts else {}
        for endpoint, value in rows:
            if count % GROUP == 0:
                key = last
            if count % _PART == 0:
                places = {}
                self._parts.append((last, places))
            count += 1
            last = endpoint
            found = read_id(value)
            if found is not None:
                places[found] = key
        self._count, self._last, self._key = count, last, key

    def find(self, registration_id: str) -> str | None:
        """Behind which key it is."""
        return next((places[registration_id] for _, places in self._parts if registration_id in places), None)

    def drop(self, registration_id: str) -> None:
        """Forget one that was read back before its turn."""
        for _, places in self._parts:
            places.pop(registration_id, None)

    def passed(self, key: str) -> None:
        """Forget those that were read back, which all are up to a key: their memory is for what comes."""
        while len(self._parts) > 1 and self._parts[1][0] <= key:
            self._parts.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._parts.clear()
