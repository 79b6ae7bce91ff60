"""Commits that wait for a transaction, and how long they may, so that one transaction is for many.

RULES: for whom somebody waits in a hurry goes at once; whoever is patient waits some milliseconds for others, and what
nobody waits for a little longer, while there is one transaction after the other. A commit counts as often as it has
events.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from lwm2md.server.effects import Commit

GATHER: Final = 0.02
"""How long changes that nobody waits for are gathered, in seconds."""
PATIENCE: Final = 0.006
"""How long those are for which somebody waits who is patient."""
ENOUGH: Final = 256
"""How many of them are worth a transaction."""


class Gathered:
    """The commits that wait, in the order in which they were made; ``weight`` says how many they count as."""

    __slots__ = ("_awaited", "_commits", "_urgent", "weight")

    def __init__(self) -> None:
        self._commits: deque[Commit] = deque()
        self._awaited = self._urgent = 0
        self.weight = 0

    def __len__(self) -> int:
        return len(self._commits)

    def add(self, commit: Commit) -> None:
        """Let one more wait."""
        self._commits.append(commit)
        self._count(commit, 1)

    def take(self) -> Commit:
        """Return the one that waits longest, which waits no longer."""
        commit = self._commits.popleft()
        self._count(commit, -1)
        return commit

    def rest(self) -> float:
        """How many seconds others may be waited for; 0 where somebody is in a hurry, or there are enough."""
        if self._urgent or self.weight >= ENOUGH:
            return 0.0
        return PATIENCE if self._awaited else GATHER

    def _count(self, commit: Commit, sign: int) -> None:
        self.weight += sign * commit.weight
        if commit.resume is not None:
            self._awaited += sign
            self._urgent += sign * (not commit.patient)
