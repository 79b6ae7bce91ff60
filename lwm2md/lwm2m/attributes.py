"""Notification attributes: reading, checking, writing and inheriting them (OMA LwM2M Core, Write-Attributes).

Rules: a change sets attributes, or unsets those whose value is None; a change is checked whole before anything of it
applies. Numbers are written without exponent, because some devices throw the whole request away otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType, plain

Changes = dict[str, int | float | None]
"""Attributes by name; None unsets."""

NAMES: Final = ("pmin", "pmax", "gt", "lt", "st", "epmin", "epmax", "edge", "con", "hqmax")
"""All notification attributes, in the order in which they are written."""

OF_SEVERAL: Final = frozenset({"pmin", "pmax", "epmin", "epmax", "con"})
"""Those that an observation of several paths can have as its own parameters."""

_SECONDS: Final = frozenset({"pmin", "pmax", "epmin", "epmax", "hqmax"})
_FLAGS: Final = frozenset({"edge", "con"})
_THRESHOLDS: Final = frozenset({"gt", "lt", "st"})
_NUMERIC: Final = frozenset({ResourceType.INTEGER, ResourceType.UNSIGNED, ResourceType.FLOAT, ResourceType.TIME})
_WHOLE: Final = re.compile(r"[0-9]{1,10}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?")
_MAX_WHOLE: Final = 2**32 - 1


class BadAttributes(ValueError):  # noqa: N818 - named after what is bad
    """Unknown, malformed or contradicting attributes; the message says which."""


@attrs.frozen(slots=True)
class NotificationAttributes:
    """The attributes of one path, or those in force there; None is not set. Periods are in seconds."""

    pmin: int | None = None
    pmax: int | None = None
    gt: float | None = None
    lt: float | None = None
    st: float | None = None
    epmin: int | None = None
    epmax: int | None = None
    edge: int | None = None
    con: int | None = None
    hqmax: int | None = None

    @classmethod
    def from_query(cls, query: Iterable[str]) -> NotificationAttributes:
        """The attributes that a Write-Attributes on a path without any leaves there. Raises BadAttributes."""
        return cls().changed(parse_query(query))

    def changed(self, changes: Mapping[str, int | float | None]) -> NotificationAttributes:
        """These attributes after a change."""
        return attrs.evolve(self, **changes)  # type: ignore[arg-type]

    def merged(self, parent: NotificationAttributes) -> NotificationAttributes:
        """These attributes, and the parent's where these have none."""
        return attrs.evolve(parent, **self.as_changes())  # type: ignore[arg-type]

    def as_changes(self) -> Changes:
        """Those that are set, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def to_query(self) -> tuple[str, ...]:
        """Those that are set, as Uri-Query options."""
        return to_query(self.as_changes())


def parse_query(query: Iterable[str]) -> Changes:
    """Read the Uri-Query options of a Write-Attributes; a name alone unsets. Raises BadAttributes."""
    changes: Changes = {}
    for option in query:
        name, equals, text = option.partition("=")
        if name not in NAMES:
            raise BadAttributes(f"{name!r} is no attribute that can be written")
        if name in changes:
            raise BadAttributes(f"{name} twice")
        changes[name] = _number(name, text) if equals else None
    return changes


def to_query(changes: Mapping[str, int | float | None]) -> tuple[str, ...]:
    """Write a change as Uri-Query options, in the order of NAMES."""
    return tuple(
        name if (value := changes[name]) is None else f"{name}={plain(value)}" for name in NAMES if name in changes
    )


def check_changes(
    changes: Mapping[str, int | float | None], path: Path | None = None, kind: ResourceType | None = None
) -> None:
    """Check one change whole: each value, their relations, the level and type. Raises BadAttributes."""
    for name, value in changes.items():
        if name not in NAMES:
            raise BadAttributes(f"{name!r} is no attribute that can be written")
        if value is not None:
            _check_value(name, value)
    _check_relations(changes)
    for name in changes:
        if name in _THRESHOLDS or name == "edge":
            _check_place(name, path, kind)


def check_sendable(changes: Mapping[str, int | float | None]) -> None:
    """Refuse what the specification allows but devices refuse: a pmin above the pmax. Raises BadAttributes."""
    pmin, pmax = changes.get("pmin"), changes.get("pmax")
    if pmin is not None and pmax is not None and pmin > pmax:
        raise BadAttributes("pmin is above pmax")


def effective(path: Path, attached: Mapping[Path, NotificationAttributes]) -> NotificationAttributes:
    """The attributes in force at a path: its own, else those of the nearest path above that has the attribute."""
    found = NotificationAttributes()
    for depth in range(1, len(path) + 1):
        here = attached.get(Path(path[:depth]))
        if here is not None:
            found = here.merged(found)
    return found


def _number(name: str, text: str) -> int | float:
    pattern = _DECIMAL if name in _THRESHOLDS else _WHOLE
    if pattern.fullmatch(text) is None:
        raise BadAttributes(f"{name} has no number: {text[:20]!r}")
    value = float(text) if name in _THRESHOLDS else int(text)
    _check_value(name, value)
    return value


def _check_value(name: str, value: int | float) -> None:
    if isinstance(value, bool) or (name not in _THRESHOLDS and not isinstance(value, int)):
        raise BadAttributes(f"{name} is a whole number")
    if name in _FLAGS and value not in (0, 1):
        raise BadAttributes(f"{name} is 0 or 1")
    if name in _SECONDS and not 0 <= value <= _MAX_WHOLE:
        raise BadAttributes(f"{name} is out of range")
    if name in _THRESHOLDS and not abs(value) < float("inf"):
        raise BadAttributes(f"{name} is out of range")
    if name == "st" and value < 0:
        raise BadAttributes("st is below 0")


def _check_relations(changes: Mapping[str, int | float | None]) -> None:
    low, high, step = changes.get("lt"), changes.get("gt"), changes.get("st")
    if low is not None and high is not None:
        if low >= high:
            raise BadAttributes("lt is not below gt")
        if step is not None and low + 2 * step >= high:
            raise BadAttributes("lt and two steps are not below gt")
    epmin, epmax = changes.get("epmin"), changes.get("epmax")
    if epmin is not None and epmax is not None and epmin >= epmax:
        raise BadAttributes("epmin is not below epmax")


def _check_place(name: str, path: Path | None, kind: ResourceType | None) -> None:
    if path is not None and len(path) < 3:
        raise BadAttributes(f"{name} is for a Resource only")
    if kind is not None and (kind is not ResourceType.BOOLEAN if name == "edge" else kind not in _NUMERIC):
        raise BadAttributes(f"{name} does not fit the type {kind.value}")
