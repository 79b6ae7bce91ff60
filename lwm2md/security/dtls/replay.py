"""Which records were there before: the sliding window of RFC 6347 section 4.1.2.6, over 64 sequence numbers.

RULES: a window is two integers, so that a session keeps no object for it: ``top``, the highest sequence number that
was accepted, and ``bits``, in which bit n stands for ``top - n``. Only a record that was
authenticated may be marked.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 64
ALL: Final = (1 << WINDOW) - 1
"""The bits with which nothing at or below the top is accepted any more."""


def fresh(top: int, bits: int, sequence: int) -> bool:
    """Return whether a record with this sequence number may still be accepted."""
    behind = top - sequence
    return behind < 0 or (behind < WINDOW and not bits >> behind & 1)


def mark(top: int, bits: int, sequence: int) -> tuple[int, int]:
    """Return the window with that sequence number accepted."""
    behind = top - sequence
    if behind >= 0:
        return top, bits | 1 << behind
    return sequence, (bits << -behind & ALL if behind > -WINDOW else 0) | 1
