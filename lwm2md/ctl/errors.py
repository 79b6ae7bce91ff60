"""Exit statuses, and the one exception of lwm2mctl that carries them."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
"""Refused or failed."""
USAGE: Final = 2
UNREACHABLE: Final = 3
PENDING: Final = 4
"""Queued, or timed out."""


class CommandError(Exception):
    """A command came to nothing; the text is for the operator, ``status`` is the exit status."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status
