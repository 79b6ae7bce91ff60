"""From INI text to raw entries: syntax only, every fault of it, with file and line.

RULES: the standard library's parser reads; it stops at the first duplicate, so the offending line is renamed with a NUL
(which no file may contain) and the text is read again, until all is said. What was renamed is dropped from the result.
``=`` is the only delimiter, names are case-sensitive, continuation lines are indented, comments have their own.
"""

from __future__ import annotations

import configparser
import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from lwm2md.config.errors import ConfigError

MOST_ERRORS: Final = 50
LARGEST_FILE: Final = 1 << 20
COMMAND_LINE: Final = "--set"
_NUL: Final = "\0"


@attrs.frozen
class Entry:
    """One ``key = value`` of one section, as written; ``key`` is None for the section's own line."""

    file: str
    section: str
    key: str | None
    value: str = attrs.field(default="", repr=False)


class _Parser(configparser.ConfigParser):
    SECTCRE = re.compile(r"\[(?P<header>[^\[\]]+)\]\s*(?:[#;].*)?$")

    def __init__(self) -> None:
        super().__init__(interpolation=None, strict=True, delimiters=("=",), default_section=_NUL)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_file(path: str) -> tuple[list[Entry], list[ConfigError]]:
    """Read the file at ``path``; a file that cannot be read is an error of the list like any other."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE + 1)
    except UnicodeDecodeError:
        return [], [ConfigError(path, "UTF-8 text")]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return [], [ConfigError(path, f"a readable file ({reason})")]
    return read_text(path, text)


def read_text(file: str, text: str) -> tuple[list[Entry], list[ConfigError]]:
    """Read the ``text`` of an INI file; ``file`` is its name in entries and errors."""
    if len(text) > LARGEST_FILE:
        return [], [ConfigError(file, f"a file of at most {LARGEST_FILE} characters")]
    if _NUL in text:
        return [], [ConfigError(file, "text, found a NUL character", line=text[: text.index(_NUL)].count("\n") + 1)]
    lines = text.replace("\r\n", "\n").split("\n")
    errors: list[ConfigError] = []
    while True:
        parser = _Parser()
        try:
            parser.read_file((line + "\n" for line in lines), source=file)
        except configparser.Error as error:
            errors.extend(_faults(file, lines, error))
        else:
            break
        if len(errors) >= MOST_ERRORS:
            return [], errors[:MOST_ERRORS]
    return list(_entries(file, parser)), sorted(errors, key=lambda error: error.line or 0)


def read_sets(sets: Sequence[str]) -> tuple[list[Entry], list[ConfigError]]:
    """Read ``section.key=value`` of the command line: split at the first ``=``, then at the last ``.`` before it."""
    entries: list[Entry] = []
    errors: list[ConfigError] = []
    for item in sets:
        name, equals, value = item.partition("=")
        section, dot, key = name.rpartition(".")
        if equals and dot and section.strip() and key.strip():
            entries.append(Entry(COMMAND_LINE, section.strip(), key.strip(), value.strip()))
        else:
            # what follows the equals sign may be a secret
            errors.append(ConfigError(COMMAND_LINE, "section.key=value", value=name + equals))
    return entries, errors


def _entries(file: str, parser: _Parser) -> Iterator[Entry]:
    for section in parser.sections():
        name, _, renamed = section.partition(_NUL)
        if not name:
            continue
        if not renamed:
            yield Entry(file, name, None)
        yield from (Entry(file, name, key, value) for key, value in parser.items(section) if _NUL not in key)


def _faults(file: str, lines: list[str], error: configparser.Error) -> Iterator[ConfigError]:
    """Say what ``error`` is about and rename the lines it is about, so that reading can go on."""
    if isinstance(error, configparser.DuplicateOptionError) and error.lineno:
        yield ConfigError(
            file,
            "every key once",
            error.section.partition(_NUL)[0] or None,
            error.option,
            problem="it is there twice",
            line=error.lineno,
        )
        _rename(lines, error.lineno, f"again{_NUL}{error.lineno} =")
    elif isinstance(error, configparser.DuplicateSectionError) and error.lineno:
        yield ConfigError(file, "every section once", error.section, problem="it is there twice", line=error.lineno)
        _rename(lines, error.lineno, f"[{error.section}{_NUL}{error.lineno}]")
    elif isinstance(error, configparser.MissingSectionHeaderError):
        yield _unreadable(file, error.lineno, lines[error.lineno - 1], "a [section] before the first key")
        _rename(lines, error.lineno, f"[{_NUL}{error.lineno}]")
    elif isinstance(error, configparser.ParsingError):
        for number, _ in error.errors:
            yield _unreadable(
                file, number, lines[number - 1], "[section], key = value, or an indented line that continues a value"
            )
            _rename(lines, number, f"unreadable{_NUL}{number} =")
    else:
        raise error


def _rename(lines: list[str], number: int, text: str) -> None:
    """Put ``text`` in place of a line, as deep as that was: what continues it must go on to do so."""
    old = lines[number - 1]
    lines[number - 1] = old[: len(old) - len(old.lstrip())] + text


def _unreadable(file: str, number: int, line: str, expected: str) -> ConfigError:
    """A line that is no INI; its text is shown only where it cannot be part of a secret."""
    address = re.match(r"\s*\[([0-9A-Fa-f:.]+(?:%[^\]]*)?)\]", line)
    if address and _is_ipv6(address[1]):
        problem = "an IPv6 address at the start of a line reads as a section"
        return ConfigError(file, "it indented below its key", value=line.strip(), problem=problem, line=number)
    if line.lstrip().startswith("["):
        return ConfigError(file, expected, value=line.strip(), line=number)
    return ConfigError(file, expected, line=number)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
