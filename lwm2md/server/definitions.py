"""Definitions of device profiles: which devices one is for, and what it says of them.

RULES: every pattern of a definition must match; a definition without any is for those to which it is given by hand.
Patterns are shell globs that see capitals; what is not known of a device matches none. A shipped definition comes from
a file of the package, so that what is known of devices is data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Annotated, Final

import attrs
import msgspec

from lwm2md.lwm2m.paths import Path
from lwm2md.server import selectors
from lwm2md.server.deviceprofiles import ProfileValues
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import Device

Glob = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Labels = Annotated[str, msgspec.Meta(max_length=4096)]

IDENTITY: Final[Mapping[str, Path]] = {
    "manufacturer": Path((3, 0, 0)),
    "model": Path((3, 0, 1)),
    "firmware": Path((3, 0, 3)),
}
"""Where a device says what it is."""

_MAX_NAME: Final = 64


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which devices a profile is for: globs on what they say of themselves, and a selector on their labels."""

    manufacturer: Glob | None = None
    model: Glob | None = None
    firmware: Glob | None = None
    endpoint: Glob | None = None
    labels: Labels | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One profile. Of several that fit a device that with the highest ``priority`` comes first, then by name."""

    name: str
    match: Match = Match()
    set: ProfileValues = ProfileValues()
    priority: int = 0
    note: str = ""


@attrs.frozen(slots=True, eq=False)
class Rule:
    """A definition that is ready to be asked."""

    definition: Definition
    shipped: bool
    _globs: tuple[tuple[str, Callable[[str], object]], ...]
    _selector: selectors.Selector | None

    @property
    def order(self) -> tuple[bool, int, str]:
        """Its place among the rules: the operator's first."""
        return self.shipped, -self.definition.priority, self.definition.name

    @property
    def blind(self) -> bool:
        """Whether it may fit a device of which nothing is known but its name."""
        if not self._globs and self._selector is None:
            return False
        return not self.needed() and (self._selector is None or self._selector({}))

    def fits(self, device: Device, facts: Mapping[str, str]) -> bool:
        """Whether the definition is for a device of which these facts are known."""
        if not self._globs and self._selector is None:
            return False
        for name, glob in self._globs:
            value = facts.get(name)
            if value is None or not glob(value):
                return False
        return self._selector is None or self._selector(device.all_labels())

    def needed(self) -> tuple[Path, ...]:
        """The Resources without which it can't be said whether the definition fits."""
        return tuple(IDENTITY[name] for name, _ in self._globs if name in IDENTITY)


def rule(definition: Definition, *, shipped: bool = False) -> Rule:
    """Make a definition ready to be asked. Raises BadOperation, naming the field that is wrong."""
    if not 0 < len(definition.name) <= _MAX_NAME or not definition.name.isprintable():
        raise BadOperation(f"a profile's name has 1 to {_MAX_NAME} printable characters", "name")
    match = definition.match
    try:
        selector = None if match.labels is None else selectors.parse(match.labels)
    except ValueError as error:
        raise BadOperation(str(error), "match.labels") from None
    globs = tuple(
        (name, re.compile(translate(glob)).match)
        for name in (*IDENTITY, "endpoint")
        if (glob := getattr(match, name)) is not None
    )
    return Rule(definition, shipped, globs, selector)


def facts_of(device: Device) -> dict[str, str]:
    """What a device is known to be, by the names in `Match`."""
    facts = {"endpoint": device.endpoint}
    for name, path in IDENTITY.items():
        known = device.twin.get(path) if device.twin is not None else None
        if known is not None and isinstance(known.value, str):
            facts[name] = known.value
    return facts


def shipped(text: str) -> tuple[Rule, ...]:
    """The definitions of a file of the package. Raises ``msgspec.ValidationError`` for a wrong one."""
    return tuple(rule(found, shipped=True) for found in msgspec.json.decode(text, type=tuple[Definition, ...]))
