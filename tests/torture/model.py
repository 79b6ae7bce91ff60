"""What was acknowledged to whom, and so what a daemon may say after it was killed.

RULES: a cell is one thing that somebody can change, such as a label. While a change is under way, and after one whose
answer was lost, the cell may be the old or the new value; an acknowledgement leaves only the new one, a refusal only
the old. What is then seen must be one of these, and is the only one from there on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

import attrs

ANY: Final = "any"
"""A value that is given by the daemon and was not heard of yet."""
_TRAIL: Final = 400
Key = tuple[Hashable, ...]


class Violation(AssertionError):  # noqa: N818 - it is a finding
    """The daemon broke a promise; the text says which."""


@attrs.define
class Cell:
    """The values that something may have; ``version`` grows with each change of them.

    ``made`` is when the change was asked for that brought about what there is now, in the reactor's seconds.
    """

    may: frozenset[Hashable]
    version: int = 0
    busy: bool = False
    made: float = 0.0

    @property
    def sure(self) -> bool:
        """Whether there is but one value, and nobody is changing it."""
        return len(self.may) == 1 and ANY not in self.may and not self.busy

    @property
    def value(self) -> Hashable:
        """The only value there is."""
        (only,) = self.may
        return only

    def set(self, *values: Hashable) -> None:
        """Be one of these from now on."""
        self.may = frozenset(values)
        self.version += 1


@attrs.define
class Asked:
    """An operation that was asked for: its ``mark`` travels to the device, ``id`` is what the daemon called it.

    It is ``doubtful`` where an answer was lost: whether it was refused or taken nobody heard.
    """

    endpoint: str
    op: str
    mark: str
    body: dict[str, object]
    id: str | None = None
    state: str | None = None
    refused: bool = False
    doubtful: bool = False


class Model:
    """All cells and operations, and the events that must have been stored."""

    def __init__(self) -> None:
        self.cells: dict[Key, Cell] = {}
        self.asked: dict[str, Asked] = {}
        self.open: dict[str, Asked] = {}
        self.expected: dict[Key, str] = {}
        self.found: set[Key] = set()
        self.checked = 0
        self.trail: deque[str] = deque(maxlen=_TRAIL)

    def note(self, what: str) -> None:
        """Keep a line for whoever looks for the cause of a violation."""
        self.trail.append(f"{time.time():.3f} {what}")

    def cell(self, *key: Hashable, initial: Hashable = None) -> Cell:
        """The cell of that name."""
        found = self.cells.get(key)
        if found is None:
            found = self.cells[key] = Cell(frozenset({initial}))
        return found

    def of(self, kind: str, endpoint: str | None = None) -> list[tuple[Key, Cell]]:
        """The cells of a kind, of one device or all."""
        return [(key, cell) for key, cell in self.cells.items() if key[0] == kind and endpoint in (None, *key[1:2])]

    def see(self, value: Hashable, *key: Hashable) -> None:
        """Something was seen as it is now. Raises Violation."""
        cell = self.cell(*key)
        self.checked += 1
        if value not in cell.may and ANY not in cell.may:
            raise Violation(f"{key} is {value!r}, and was acknowledged as {_shown(cell)}")
        if not cell.busy and cell.may != {value}:
            cell.set(value)

    def expect(self, what: str, *key: Hashable) -> None:
        """An event must be in the log: ``what`` says for which promise."""
        self.expected[key] = what

    def stored(self, *key: Hashable) -> None:
        """An event is in the log."""
        self.found.add(key)

    def due(self) -> dict[Key, str]:
        """The events that must be in the log by now."""
        due, self.expected = self.expected, {}
        return due

    def check_events(self, due: dict[Key, str]) -> None:
        """Every event that was due was found in the log. Raises Violation."""
        for key, what in due.items():
            self.checked += 1
            if key not in self.found:
                raise Violation(f"no event {key} is stored: {what}")

    def check_marks(self, kind: str, counts: Callable[[str], dict[str, int]]) -> None:
        """No operation was carried out twice, none that was refused at all, and all that are done were. May raise."""
        for asked in self.asked.values():
            if asked.op != kind:
                continue
            self.checked += 1
            times = counts(asked.endpoint).get(asked.mark, 0)
            if times > 1:
                raise Violation(f"{kind} {asked.mark} was carried out {times} times by {asked.endpoint}")
            if times and asked.refused:
                raise Violation(f"{kind} {asked.mark} was refused, and carried out by {asked.endpoint}")
            if not times and asked.state == "done":
                raise Violation(f"{kind} {asked.mark} is done, and was not carried out by {asked.endpoint}")


def _shown(cell: Cell) -> str:
    return " or ".join(sorted(map(repr, cell.may)))
