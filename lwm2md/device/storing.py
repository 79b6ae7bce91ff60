"""What an observation could not tell while nobody listened: values with their times.

Source: /1/x/6 (Notification Storing When Disabled or Offline) and ``hqmax``, OMA LwM2M Core TS 1.2, 7.3.2. RULES: each
observed path has room for so many moments; the oldest gives way. A moment of a path is told once, however often the
path is among those that are observed together. Times are Unix seconds.
"""

from __future__ import annotations

from collections import deque

from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path

_Moment = tuple[float, Nodes]


class History:
    """The stored values of one observation, by the path under which they were observed."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: dict[Path, deque[_Moment]] = {}

    def __bool__(self) -> bool:
        return any(self._moments.values())

    def keep(self, path: Path, nodes: Nodes, now: float, room: int) -> None:
        """Store the values at and below ``path`` at ``now``; ``room``, at least 1, is how many moments there may be."""
        moments = self._moments.setdefault(path, deque())
        if moments and moments[-1][0] == now:
            moments.pop()
        moments.append((now, stamped(nodes, now)))
        while len(moments) > room:
            moments.popleft()

    def nodes(self) -> Nodes:
        """All of it, the oldest first."""
        moments = [moment for kept in self._moments.values() for moment in kept]
        moments.sort(key=_when)
        found = {(entry.path, entry.time): entry for _, nodes in moments for entry in nodes}
        return tuple(found.values())

    def forget(self, until: float) -> None:
        """What was stored up to that time is told."""
        for moments in self._moments.values():
            while moments and moments[0][0] <= until:
                moments.popleft()


def stamped(nodes: Nodes, now: float) -> Nodes:
    """The values among ``nodes``, each with that time."""
    return tuple(Entry(entry.path, entry.value, now) for entry in nodes if entry.value is not None)


def _when(moment: _Moment) -> float:
    return moment[0]
