"""What is wrong with a world file, as data: one object per fault, one line of text per object.

RULES: faults are gathered, never raised one by one, so that all of them are told at once. A value of the file is shown
as it would stand there, on one line and cut short.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

_LONGEST: Final = 80


@attrs.frozen(slots=True)
class Fault:
    """One fault: its ``file``, the ``place`` in it (the keys that lead there), the ``value`` as text, what was
    ``expected``, what was probably ``meant``, and the ``line`` where it is known (1 is the first, 0 unknown).
    """

    file: str
    place: str
    expected: str
    value: str | None = None
    meant: str | None = None
    line: int = 0

    def __str__(self) -> str:
        where = self.file if not self.line else f"{self.file}, line {self.line}"
        what = self.place if self.value is None else f"{self.place} = {self.value}"
        hint = "" if self.meant is None else f"; did you mean '{self.meant}'?"
        return printable(": ".join(filter(None, (where, what, f"expected {self.expected}"))) + hint)


class WorldErrors(Exception):  # noqa: N818  it is a collection, and named as one
    """Everything that is wrong with a world file; ``faults`` has at least one entry."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def printable(text: str) -> str:
    """The text on one line, with what a terminal would not print written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(value: object) -> str:
    """A value as it would stand in the file, cut short; a table only as that it is one."""
    if isinstance(value, dict):
        return "{...}" if value else "{}"
    if isinstance(value, list):
        return "[...]" if value else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to write out numbers of thousands of digits.
        return str(value) if value.bit_length() < 8 * _LONGEST else "a huge number"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that ``word`` was probably meant to be, or None."""
    found = difflib.get_close_matches(word.lower().replace("_", "-")[:_LONGEST], list(choices), n=1, cutoff=0.6)
    return found[0] if found else None
