"""The types of settings: each reads its text into a value and writes a value as canonical text.

RULES: ``parse`` raises ``BadValue`` and nothing else, whatever the text; ``parse(show(value)) == value``; values are
immutable and hashable. Only ``secret`` looks outside the text (a file, the environment), because that is its purpose.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from lwm2md.config.errors import nearest

MASK: Final = "***"
_SECRET_LIMIT: Final = 65536
_DURATIONS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_SIZES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_AMOUNT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*:.*", re.ASCII)
PLUGIN_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
"""What a plugin may be called."""
STORAGE_SCHEMES: Final = ("sqlite", "memory")
"""The schemes of the storages that need no plugin."""
STORAGE_EXPECTED: Final = "sqlite: (a file in the state directory), sqlite:PATH or memory:"
_WORDS: Final = {
    "yes": True,
    "true": True,
    "on": True,
    "1": True,
    "no": False,
    "false": False,
    "off": False,
    "0": False,
}


class BadValue(ValueError):  # noqa: N818  the name says it in the words of the message
    """A text that is no value of its type: what was ``expected``, and perhaps what was meant."""

    def __init__(self, expected: str, suggestion: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.suggestion = suggestion


class Secret:
    """A text that is shown to nobody: only ``reveal()`` gives it; every way of printing it gives asterisks."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@attrs.frozen
class Kind:
    """A type of settings: its name and range for people, and its two directions."""

    name: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    range: str = ""
    secret: bool = False


def _amount(text: str, units: Mapping[str, Decimal | int], expected: str, lone: str) -> Decimal:
    """Read a number with one of ``units``; ``lone`` is the unit to suggest where there is none."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise BadValue(expected)
    number, unit = match.groups()
    if unit in units:
        return Decimal(number) * units[unit]
    folded = {known.lower(): known for known in units} | {"k": "KiB", "kb": "KiB", "mb": "MiB", "gb": "GiB"}
    folded |= {"sec": "s", "secs": "s", "min": "m", "mins": "m", "hours": "h", "days": "d"}
    guess = folded.get(unit.lower(), lone) if unit else lone
    raise BadValue(expected, f"{number}{guess}" if guess in units else None)


def _largest_unit(value: Decimal, units: Mapping[str, Decimal | int]) -> str:
    for unit in sorted(units, key=lambda unit: units[unit], reverse=True):
        amount = value / units[unit]
        if amount == amount.to_integral_value():
            return f"{int(amount)}{unit}"
    smallest = min(units, key=lambda unit: units[unit])
    return f"{value / units[smallest]:f}{smallest}"


def show_duration(seconds: float) -> str:
    """Write ``seconds`` in the largest unit that leaves no fraction."""
    value = Decimal(repr(seconds))
    return "0s" if not value else _largest_unit(value, _DURATIONS)


def show_size(size: int) -> str:
    """Write ``size`` bytes in the largest unit that leaves no fraction."""
    return "0B" if not size else _largest_unit(Decimal(size), _SIZES)


def duration(low: float = 0.0, high: float = 10 * 365 * 86400.0) -> Kind:
    """Durations like ``500ms 90s 15m 24h 1d``, as float seconds from ``low`` to ``high``."""
    limits = f"{show_duration(low)} to {show_duration(high)}"
    expected = f"a duration like 500ms, 90s, 15m, 24h or 1d, {limits}"

    def parse(text: str) -> float:
        seconds = float(_amount(text, _DURATIONS, expected, "s"))
        if not low <= seconds <= high:
            raise BadValue(expected)
        return seconds

    return Kind("duration", parse, show_duration, limits)


def size(low: int = 0, high: int = 1 << 40) -> Kind:
    """Sizes like ``512B 64KiB 1MiB``, as whole bytes from ``low`` to ``high``."""
    limits = f"{show_size(low)} to {show_size(high)}"
    expected = f"a size like 512B, 64KiB or 1MiB, {limits}"

    def parse(text: str) -> int:
        value = _amount(text, _SIZES, expected, "B")
        if value != value.to_integral_value() or not low <= value <= high:
            raise BadValue(expected)
        return int(value)

    return Kind("size", parse, show_size, limits)


def integer(low: int, high: int) -> Kind:
    """Whole numbers from ``low`` to ``high``."""
    expected = f"a whole number from {low} to {high}"

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise BadValue(expected)
        return int(text)

    return Kind("integer", parse, str, f"{low} to {high}")


def power(low: int, high: int) -> Kind:
    """Powers of two from ``low`` to ``high``."""
    allowed = [str(1 << bit) for bit in range(high.bit_length()) if low <= 1 << bit <= high]

    def parse(text: str) -> int:
        if text not in allowed:
            raise BadValue("one of " + ", ".join(allowed))
        return int(text)

    return Kind("power of two", parse, str, f"{low} to {high}")


def number(low: float, high: float) -> Kind:
    """Decimal numbers from ``low`` to ``high``."""
    expected = f"a number from {low:g} to {high:g}"

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text) or not low <= float(text) <= high or math.isinf(float(text)):
            raise BadValue(expected)
        return float(text)

    return Kind("number", parse, lambda value: f"{Decimal(repr(value)):f}", f"{low:g} to {high:g}")


def boolean() -> Kind:
    """``yes`` or ``no`` (also true, on, 1, false, off, 0)."""

    def parse(text: str) -> bool:
        if text.lower() not in _WORDS:
            raise BadValue("yes or no", nearest(text, ("yes", "no", "true", "false")))
        return _WORDS[text.lower()]

    return Kind("boolean", parse, lambda value: "yes" if value else "no", "yes, no")


def choice(*words: str) -> Kind:
    """One of ``words``."""
    expected = f"one of {', '.join(words)}"

    def parse(text: str) -> str:
        if text not in words:
            raise BadValue(expected, nearest(text, words))
        return text

    return Kind("choice", parse, str, ", ".join(words))


def text(longest: int = 255) -> Kind:
    """One line of 1 to ``longest`` printable characters."""

    def parse(text: str) -> str:
        if not 1 <= len(text) <= longest or not text.isprintable():
            raise BadValue(f"one line of 1 to {longest} characters")
        return text

    return Kind("text", parse, str, f"1 to {longest} characters")


def directory() -> Kind:
    """The path of a directory; empty is none."""

    def parse(text: str) -> str:
        if len(text) > 4096 or not text.isprintable():
            raise BadValue("the path of a directory, or nothing")
        return text

    return Kind("directory", parse, str, "PATH")


def storage_url() -> Kind:
    """Where to keep what must survive: ``sqlite:`` (in the state directory), ``sqlite:PATH`` or ``memory:``.

    Or the URL of a plugin's storage, whose scheme is looked at when the plugins are known.
    """

    def parse(text: str) -> str:
        if not _URL.fullmatch(text) or not text.isprintable():
            guess = nearest(text.partition(":")[0], STORAGE_SCHEMES)
            raise BadValue(STORAGE_EXPECTED, f"{guess}:" if guess else None)
        if text.startswith("memory:") and text != "memory:":
            raise BadValue(STORAGE_EXPECTED, "memory:")
        return text

    return Kind("url", parse, str, "sqlite:, sqlite:PATH, memory:, SCHEME:...")


def names() -> Kind:
    """Names of plugins, separated by commas or lines, each once."""
    expected = "names of plugins: lower-case letters, digits and dashes, each once"

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(split_list(text))
        if len(set(found)) != len(found) or not all(map(PLUGIN_NAME.fullmatch, found)):
            raise BadValue(expected)
        return found

    return Kind("names", parse, ", ".join, "NAME, ...")


def paths() -> Kind:
    """Paths of directories, separated by commas or lines."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(split_list(text))
        if not all(path.isprintable() and len(path) <= 4096 for path in found):
            raise BadValue("paths of directories")
        return found

    return Kind("paths", parse, ", ".join, "PATH, ...")


def levels(*words: str) -> Kind:
    """Pairs ``NAMESPACE=LEVEL`` separated by commas or lines, as a tuple of pairs; each namespace once."""
    expected = f"namespaces with one of the levels {', '.join(words)}, like lwm2md.net=debug"

    def parse(text: str) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for item in split_list(text):
            namespace, _, level = (part.strip() for part in item.partition("="))
            if not re.fullmatch(r"\w+(\.\w+)*", namespace) or namespace in found:
                raise BadValue(expected)
            if level not in words:
                guess = nearest(level, words)
                raise BadValue(expected, f"{namespace}={guess}" if guess else None)
            found[namespace] = level
        return tuple(found.items())

    return Kind("levels", parse, lambda value: ", ".join(map("=".join, value)), f"NAMESPACE={'|'.join(words)}")


def split_list(text: str) -> list[str]:
    """Return the items of a list that is separated by commas or lines, without empty ones."""
    return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]


def secret() -> Kind:
    """A text, or ``file:PATH`` or ``env:NAME`` that hold it; empty is None, which means "not set"."""
    return Kind(
        "secret", _parse_secret, lambda value: "" if value is None else MASK, "TEXT, file:PATH, env:NAME", secret=True
    )


def _parse_secret(text: str) -> Secret | None:
    if not text:
        return None
    scheme, _, rest = text.partition(":")
    if scheme == "file":
        content = _secret_file(rest)
    elif scheme == "env":
        content = _secret_variable(rest)
    else:
        content = text
    if not content or not content.isprintable():
        raise BadValue("a secret of one line of printable characters")
    return Secret(content)


def _secret_variable(name: str) -> str:
    if name not in os.environ:
        raise BadValue(f"an environment variable of the name '{name}'")
    return os.environ[name]


def _secret_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(_SECRET_LIMIT)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise BadValue(f"a readable file at '{path}' ({reason})") from None
    return content.rstrip("\r\n")
