"""LwM2M paths: ``/``, ``/3``, ``/3/0``, ``/3/0/6`` and ``/3/0/6/1`` (OMA LwM2M Core, identifiers).

Rules: a path is a tuple of ids, so that it hashes, compares and sorts at a tuple's cost. Whoever has text uses
``Path.parse``, which is strict; the constructor trusts its caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from functools import lru_cache
from typing import Final

MAX_ID: Final = 65534
"""The highest Object, Object Instance, Resource and Resource Instance ID; 65535 is reserved."""

MAX_DEPTH: Final = 4

_LONGEST: Final = len("/65534") * MAX_DEPTH


class PathError(ValueError):
    """The text is not an LwM2M path; the message says why."""


class Path(tuple[int, ...]):
    """The ids of an Object, Object Instance, Resource or Resource Instance; empty for the root."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> Path:
        """Read ``/3/0/0``. Raises PathError for anything but canonical ids, at most four, with a leading slash."""
        if len(text) > _LONGEST:
            raise PathError(f"path longer than {_LONGEST} characters")
        return _parse(text)

    @staticmethod
    def from_segments(segments: Iterable[str]) -> Path:
        """Read the segments of a Uri-Path, ``("3", "0", "0")``. Raises PathError as ``parse`` does."""
        return Path.parse("/" + "/".join(segments))

    def __str__(self) -> str:
        return _text(self)

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"

    @property
    def object(self) -> int | None:
        """The Object ID, None for the root."""
        return self[0] if self else None

    @property
    def instance(self) -> int | None:
        """The Object Instance ID, None above that level."""
        return self[1] if len(self) > 1 else None

    @property
    def resource(self) -> int | None:
        """The Resource ID, None above that level."""
        return self[2] if len(self) > 2 else None

    @property
    def resource_instance(self) -> int | None:
        """The Resource Instance ID, None above that level."""
        return self[3] if len(self) > 3 else None

    @property
    def parent(self) -> Path:
        """The path one level up; the root is its own parent."""
        return Path(self[:-1])

    def child(self, identifier: int) -> Path:
        """The path one level down. Raises PathError below a Resource Instance or for an id out of range."""
        if len(self) >= MAX_DEPTH or not 0 <= identifier <= MAX_ID:
            raise PathError(f"no path {self}/{identifier}")
        return Path((*self, identifier))

    def covers(self, other: tuple[int, ...]) -> bool:
        """Whether ``other`` is this path or lies below it."""
        return other[: len(self)] == self


ROOT: Final = Path()


def covered(path: tuple[int, ...], paths: Set[tuple[int, ...]]) -> bool:
    """Whether ``path`` is one of ``paths`` or lies below one: a few look-ups, however many there are."""
    return any(path[:depth] in paths for depth in range(len(path) + 1))


@lru_cache(maxsize=4096)
def _text(path: Path) -> str:
    return "/" + "/".join(map(str, path))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Path:
    if text == "/":
        return ROOT
    if not text.startswith("/"):
        raise PathError("a path starts with a slash")
    segments = text[1:].split("/")
    if len(segments) > MAX_DEPTH:
        raise PathError("a path has at most four ids")
    return Path([_identifier(segment) for segment in segments])


def _identifier(segment: str) -> int:
    if not (segment.isascii() and segment.isdigit()):
        raise PathError(f"{segment!r} is not an id" if segment else "an id is missing")
    if len(segment) > 1 and segment[0] == "0":
        raise PathError(f"id {segment} has a leading zero")
    value = int(segment)
    if value > MAX_ID:
        raise PathError(f"id {value} is above {MAX_ID}")
    return value
