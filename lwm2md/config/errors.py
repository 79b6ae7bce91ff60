"""What is wrong with a configuration, as data: one object per fault, one line of text per object."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import attrs

_LONGEST_VALUE = 100


def plain(text: str) -> str:
    """Return ``text`` on one line, with what a terminal would not print written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the one of ``choices`` that ``word`` was probably meant to be, or None."""
    wanted = word.lower().replace("_", "-")
    found = difflib.get_close_matches(wanted, list(choices), n=1, cutoff=0.6)
    return found[0] if found else None


@attrs.frozen
class ConfigError:
    """One fault: its ``file`` (``--set`` for the command line), place, what was ``expected``, a guess what was meant.

    ``problem`` names faults that are not about a value (``unknown key``), and may say all, with nothing ``expected``;
    ``value`` is never that of a secret.
    """

    file: str
    expected: str
    section: str | None = None
    key: str | None = None
    value: str | None = None
    suggestion: str | None = None
    problem: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return plain(": ".join(filter(None, (place, self._setting(), self._reason()))))

    def _setting(self) -> str:
        words = []
        if self.section is not None:
            words.append(f"[{self.section}]")
        if self.key is not None:
            words.append(self.key)
        if self.value is not None:
            value = self.value if len(self.value) <= _LONGEST_VALUE else self.value[:_LONGEST_VALUE] + "..."
            words.append(f"= '{value}'")
        return " ".join(words)

    def _reason(self) -> str:
        reason = ", ".join(filter(None, (self.problem, f"expected {self.expected}" if self.expected else None)))
        return f"{reason}; did you mean '{self.suggestion}'?" if self.suggestion else reason


class ConfigErrors(Exception):  # noqa: N818  it is a collection, and named as one
    """Everything that is wrong with a configuration; ``errors`` has at least one entry."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)
