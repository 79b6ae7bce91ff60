"""Tables of a world file, read key by key: what a key may hold, and a fault for everything else.

RULES: a reader is a function from what TOML gave to what the program wants, or it raises Wrong with what was expected;
a key that nobody asked for is a fault, with a guess what was meant. Nothing here raises but Wrong, and that never
leaves a Table. ``bool`` is no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from lwm2md.device.faults import Fault, nearest, shown

LONGEST_TIME: Final = 10 * 365 * 86400.0
"""The longest time that a key takes, in seconds."""

LARGEST: Final = 1e18
"""The largest number that a function takes: below it, sums and quotients of such numbers stay finite."""

_T = TypeVar("_T")
_D = TypeVar("_D")


class Wrong(ValueError):  # noqa: N818  it narrows, and is never shown
    """The value is not what a key takes; the message says what it takes."""


Reader = Callable[[Any], _T]


class Faults:
    """The faults of one file, as they are found; what is read twice, for two Instances, is told once."""

    __slots__ = ("_file", "_found")

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[Fault, None] = {}

    @property
    def found(self) -> tuple[Fault, ...]:
        """The faults so far."""
        return tuple(self._found)

    def add(self, place: str, expected: str, value: object = None, meant: str | None = None) -> None:
        """Note a fault; ``value`` is what stands in the file, None where there is nothing to show."""
        self._found[Fault(self._file, place, expected, None if value is None else shown(value), meant)] = None


class Table:
    """One table of the file. Each key is taken once; ``end`` complains about the rest."""

    __slots__ = ("_bare", "_content", "_known", "faults", "place")

    def __init__(self, faults: Faults, place: str, content: Mapping[str, Any], *, bare: bool = False) -> None:
        self.faults = faults
        self._content = content
        self._known: list[str] = []
        self._bare = bare
        self.place = place

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """All keys with their values, taken or not."""
        return iter(self._content.items())

    def take(self, key: str, reader: Reader[_T], default: _D) -> _T | _D:
        """What ``reader`` makes of the key's value; ``default`` where it is absent or wrong."""
        self._known.append(key)
        if key not in self._content:
            return default
        value = self._content[key]
        try:
            return reader(value)
        except Wrong as wrong:
            self.complain(key, str(wrong), value)
            return default

    def need(self, key: str, reader: Reader[_T]) -> _T | None:
        """The same for a key that must be there; None when it is absent or wrong."""
        if key not in self._content:
            self._known.append(key)
            self.complain(key, "it to be given")
            return None
        return self.take(key, reader, None)

    def table(self, key: str) -> Table | None:
        """The table under ``key``, None when it is absent or wrong."""
        content = self.take(key, mapping, None)
        return None if content is None else Table(self.faults, _join(self.place, key), content)

    def tables(self, key: str) -> list[Table]:
        """The array of tables under ``key``; empty when it is absent or wrong."""
        rows = self.take(key, _mappings, [])
        return [Table(self.faults, f"{_join(self.place, key)}[{index}]", row) for index, row in enumerate(rows, 1)]

    def rest(self) -> Iterable[tuple[str, Any]]:
        """The keys that were not taken yet, with their values: they count as taken from here on."""
        left = [(key, value) for key, value in self._content.items() if key not in self._known]
        self._known += (key for key, _ in left)
        return left

    def below(self, key: str, content: Mapping[str, Any], *, bare: bool = False) -> Table:
        """A table that was found among ``rest``; ``bare``: it stands for a value that is no table in the file."""
        return Table(self.faults, _join(self.place, key), content, bare=bare)

    def complain(self, key: str, expected: str, value: object = None, meant: str | None = None) -> None:
        """Note a fault of ``key`` (of the table itself when it is empty)."""
        self.faults.add(self.place if self._bare or not key else _join(self.place, key), expected, value, meant)

    def end(self) -> None:
        """All keys were taken: whatever is left is unknown."""
        known = tuple(dict.fromkeys(self._known))
        for key, value in self.rest():
            expected = f"one of the keys {', '.join(known)}" if known else "no keys here"
            self.complain(key, expected, value, nearest(key, known))


def whole(low: int, high: int) -> Reader[int]:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Wrong(f"a whole number from {low} to {high}")
        return value

    return read


def number(low: float = -LARGEST, high: float = LARGEST) -> Reader[float]:
    """A number within bounds."""
    low, high = max(low, -LARGEST), min(high, LARGEST)
    expected = "a number" if (low, high) == (-LARGEST, LARGEST) else f"a number from {low:g} to {high:g}"

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise Wrong(expected)
        return float(value)

    return read


def seconds(low: float, *, above: bool = False) -> Reader[float]:
    """A time in seconds from ``low`` up, or, with ``above``, truly above it."""
    expected = f"a number of seconds {'above' if above else 'from'} {low:g}{'' if above else ' up'}"

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not (low < value if above else low <= value) or value > LONGEST_TIME:
            raise Wrong(expected)
        return float(value)

    return read


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise Wrong("true or false")
    return value


def text(value: Any) -> str:
    """A string that is not empty and can be printed."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Wrong("a printable string that is not empty")
    return value


def anything(value: Any) -> Any:
    """What stands there."""
    return value


def mapping(value: Any) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise Wrong("a table")
    return value


def choice(choices: Iterable[str]) -> Reader[str]:
    """One of some words."""
    words = tuple(choices)

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            guess = nearest(value, words) if isinstance(value, str) else None
            raise Wrong(f"one of {', '.join(words)}" + (f"; did you mean '{guess}'?" if guess else ""))
        return value

    return read


def array(reader: Reader[_T], least: int = 1) -> Reader[tuple[_T, ...]]:
    """A list of ``least`` or more values that are each right."""

    def read(value: Any) -> tuple[_T, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise Wrong("a list" if least < 1 else f"a list of at least {least}")
        return tuple(map(reader, value))

    return read


def span(value: Any) -> tuple[float, float]:
    """A time in seconds, or a list of the shortest and the longest."""
    read = seconds(0)
    try:
        low, high = map(read, value) if isinstance(value, list) else (read(value), read(value))
    except ValueError:
        low, high = 0.0, -math.inf
    if high < low:
        raise Wrong("a number of seconds, or a list of the least and the greatest")
    return low, high


def _mappings(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Wrong("an array of tables")
    return value


def _join(place: str, key: str) -> str:
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    name = key if plain else f"'{key}'"
    return f"{place}.{name}" if place else name
