"""The CoRE Link Format (RFC 6690) as devices really send it, and as strict readers want it.

Rules: ``parse`` takes whatever has one meaning and names each deviation it passed over with a short stable code; it
reads every character once, and its input is bounded. ``compose`` writes no space, because some readers refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

MAX_LENGTH: Final = 65536
"""The longest text that is read, in characters."""

MAX_LINKS: Final = 4096
MAX_ATTRIBUTES: Final = 64
"""The most attributes that one link may have."""

ATTRIBUTE_TWICE: Final = "attribute-twice"
UNQUOTED_LIST: Final = "unquoted-list"
WHITE_SPACE: Final = "white-space"
EMPTY_LINK: Final = "empty-link"
EMPTY_ATTRIBUTE: Final = "empty-attribute"


class LinkError(ValueError):
    """The text is no list of links; the message says where."""


@attrs.frozen(slots=True)
class Link:
    """A target and its attributes in order; a value has lost its quotes, and is None where there was no ``=``."""

    target: str
    attributes: tuple[tuple[str, str | None], ...] = ()

    def get(self, name: str) -> str | None:
        """The value of the first attribute of that name; None if there is none, or it has no value."""
        return next((value for key, value in self.attributes if key == name), None)

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all attributes of that name."""
        return tuple(value for key, value in self.attributes if key == name and value is not None)


# Each of them is one character class, so that none can backtrack.
_SPACES: Final = (" ", "\t", "\r", "\n")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_GAP: Final = re.compile(r"[ \t\r\n,]*")
_NAME: Final = re.compile(r"[^ \t\r\n;,=<>\"]*")
_BARE: Final = re.compile(r"[^;,\"<>]*")
_QUOTED: Final = re.compile(r"[^\"\\]*")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_TARGET: Final = re.compile(r"[!#-;=?-~]*")
_KEY: Final = re.compile(r"[A-Za-z0-9!#$&+.^_`|~*-]+")


def parse(text: str) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """Read links; return them and the codes of the deviations, each once. Raises LinkError."""
    if len(text) > MAX_LENGTH:
        raise LinkError(f"longer than {MAX_LENGTH} characters")
    reader = _Reader(text)
    return tuple(reader.links()), tuple(reader.deviations)


def compose(links: Iterable[Link]) -> str:
    """Write links without a space: numbers bare, every other value quoted. Raises LinkError for what has no form."""
    return ",".join(map(_compose, links))


def _compose(link: Link) -> str:
    if _TARGET.fullmatch(link.target) is None:
        raise LinkError(f"target {link.target!r} cannot be written")
    return f"<{link.target}>" + "".join(_attribute(name, value) for name, value in link.attributes)


def _attribute(name: str, value: str | None) -> str:
    if _KEY.fullmatch(name) is None:
        raise LinkError(f"attribute {name!r} cannot be written")
    if value is None:
        return f";{name}"
    if _NUMBER.fullmatch(value):
        return f";{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f';{name}="{escaped}"'


class _Reader:
    """A position in the text that only moves forward."""

    __slots__ = ("_at", "_text", "deviations")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.deviations: dict[str, None] = {}

    def links(self) -> list[Link]:
        found: list[Link] = []
        self._gap(0)
        while self._at < len(self._text):
            if len(found) >= MAX_LINKS:
                raise LinkError(f"more than {MAX_LINKS} links")
            found.append(Link(self._target(), self._attributes()))
            self._space()
            if self._at < len(self._text) and self._text[self._at] != ",":
                raise self._wrong("a comma or a semicolon")
            self._gap(1)
        return found

    def _target(self) -> str:
        end = self._text.find(">", self._at) if self._text[self._at] == "<" else -1
        if end < 0:
            raise self._wrong("a target in angle brackets")
        target = self._text[self._at + 1 : end]
        self._at = end + 1
        return target.strip()

    def _attributes(self) -> tuple[tuple[str, str | None], ...]:
        found: list[tuple[str, str | None]] = []
        names: set[str] = set()
        while self._next_is(";"):
            if len(found) >= MAX_ATTRIBUTES:
                raise LinkError(f"more than {MAX_ATTRIBUTES} attributes of one link")
            self._space()
            name = self._take(_NAME)
            if not name:
                self.deviations[EMPTY_ATTRIBUTE] = None
                if self._next_is("="):
                    raise self._wrong("the name of an attribute")
                continue
            if name in names:
                self.deviations[ATTRIBUTE_TWICE] = None
            names.add(name)
            found.append((name, self._value() if self._next_is("=") else None))
        return tuple(found)

    def _value(self) -> str:
        self._space()
        if self._text.startswith('"', self._at):
            return self._quoted()
        value = self._take(_BARE).rstrip()
        if len(value.split(None, 1)) > 1:
            self.deviations[UNQUOTED_LIST] = None
        return value

    def _quoted(self) -> str:
        self._at += 1
        parts = []
        while True:
            parts.append(self._take(_QUOTED))
            if self._at >= len(self._text):
                raise self._wrong("a closing quotation mark")
            if self._text[self._at] == '"':
                self._at += 1
                return "".join(parts)
            parts.append(self._text[self._at + 1 : self._at + 2])
            self._at += 2

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _next_is(self, character: str) -> bool:
        if self._text.startswith(_SPACES, self._at):
            self._space()
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    def _space(self) -> None:
        if self._take(_SPACE):
            self.deviations[WHITE_SPACE] = None

    def _gap(self, commas: int) -> None:
        skipped = self._take(_GAP)
        if skipped == ",":
            if self._at >= len(self._text):
                self.deviations[EMPTY_LINK] = None
            return
        found = skipped.count(",")
        if found < len(skipped):
            self.deviations[WHITE_SPACE] = None
        if found > commas or (found and self._at >= len(self._text)):
            self.deviations[EMPTY_LINK] = None

    def _wrong(self, expected: str) -> LinkError:
        return LinkError(f"{expected} expected at character {self._at}")
