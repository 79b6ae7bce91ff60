"""Unguessable bytes for tokens, message IDs and names, drawn from the system in larger pieces.

RULES: no byte is given twice. Each call of the system lets other threads run, and the one that answers devices waits
until it has its turn again; so there is one for thousands of bytes, and not one for each token.
"""

from __future__ import annotations

import os
from collections.abc import Callable

PIECE = 4096


class Chance:
    """Gives bytes of ``source``, which makes as many unguessable ones as it is asked for."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._drawn = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """Return so many bytes."""
        start, end = self._at, self._at + size
        if end > len(self._drawn):
            if size > PIECE:
                return self._source(size)
            self._drawn = self._source(PIECE)
            start, end = 0, size
        self._at = end
        return self._drawn[start:end]
