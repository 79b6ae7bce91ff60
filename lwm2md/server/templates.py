"""Templates of observations: which paths are observed at which devices, without asking for each by hand.

RULES: a template is stored before it is in force. It makes wishes when a device registers and when something changes
that it depends on, a few devices at a time; they bear its name, and go when it goes or is not for the device any more.
What an operator wished himself is never touched. Of several templates for one path the first by name counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import translate
from typing import Annotated, Final

import attrs
import msgspec

from lwm2md.lwm2m.attributes import OF_SEVERAL, Changes, NotificationAttributes
from lwm2md.lwm2m.formats import NUMBERS
from lwm2md.lwm2m.paths import ROOT, Path, PathError
from lwm2md.server import selectors
from lwm2md.server.checking import known_to
from lwm2md.server.definitions import IDENTITY, Glob, Labels, facts_of
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import Device
from lwm2md.server.requests import MOST_PATHS, changes_of
from lwm2md.server.state import State
from lwm2md.server.wish import Target, target_of

_MAX_NAME: Final = 64
_MOST: Final = 100
_ANY: Final = "*"
_GLOBS: Final = ("endpoint", "manufacturer", "model", "firmware")

PathText = Annotated[str, msgspec.Meta(min_length=2, max_length=24)]


class TemplateMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which devices a template is for; all that is said must hold, and what is not known of a device matches nothing.

    Globs on what a device says of itself, a selector on its labels, the name of a profile that fits it, and Objects
    that it must have registered.
    """

    endpoint: Glob | None = None
    manufacturer: Glob | None = None
    model: Glob | None = None
    firmware: Glob | None = None
    labels: Labels | None = None
    profile: Annotated[str, msgspec.Meta(max_length=_MAX_NAME)] | None = None
    objects: Annotated[tuple[PathText, ...], msgspec.Meta(max_length=_MOST)] = ()


class WishAttributes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The notification attributes that are written to a device before it is asked to observe (OMA Core 5.1.2)."""

    pmin: int | None = None
    pmax: int | None = None
    gt: float | None = None
    lt: float | None = None
    st: float | None = None
    epmin: int | None = None
    epmax: int | None = None
    edge: bool | int | None = None
    con: bool | int | None = None
    hqmax: int | None = None


class TemplateWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is observed: a path, or ``paths`` as one observation where the device takes composite ones.

    Each is that of every Object Instance where ``*`` stands in the place of one.
    """

    path: PathText | None = None
    paths: Annotated[tuple[PathText, ...], msgspec.Meta(max_length=_MOST)] = ()
    attributes: WishAttributes = WishAttributes()
    format: str | None = None


Observed = Annotated[tuple[TemplateWish, ...], msgspec.Meta(min_length=1, max_length=_MOST)]


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One template; without any condition it is for every device."""

    name: str
    observe: Observed
    match: TemplateMatch = TemplateMatch()


class Wanted(msgspec.Struct, frozen=True):
    """What a template wants of one device: a path, or ``paths`` as one, whose path is the root."""

    template: str
    path: Path
    attributes: NotificationAttributes | None
    format: str | None
    paths: tuple[Path, ...] = ()

    @property
    def target(self) -> Target:
        """What is observed: the path, or the set of paths."""
        return target_of(self.path, self.paths)


_Place = tuple[int | None, ...]


class _Wish(msgspec.Struct, frozen=True):
    """An item of a template that is ready to be asked; ``together`` is that its places are one observation."""

    places: tuple[_Place, ...]
    changes: Changes
    format: str | None
    together: bool


@attrs.frozen(slots=True, eq=False)
class Pattern:
    """A template that is ready to be asked."""

    template: Template
    _globs: tuple[tuple[str, Callable[[str], object]], ...]
    _selector: selectors.Selector | None
    _objects: tuple[Path, ...]
    _wishes: tuple[_Wish, ...]

    def fits(self, state: State, device: Device) -> bool:
        """Whether it is for this device."""
        match, registration = self.template.match, device.registration
        if registration is None:
            return False
        facts = facts_of(device) if self._globs else {}
        if not all(name in facts and glob(facts[name]) for name, glob in self._globs):
            return False
        if self._selector is not None and not self._selector(device.all_labels()):
            return False
        listed = registration.objects.paths
        if not all(any(each.covers(path) or path.covers(each) for path in listed) for each in self._objects):
            return False
        return match.profile is None or match.profile in state.profile_names(device)

    def needed(self) -> Iterator[Path]:
        """The Resources without which it can't be said whether it is for a device."""
        return (IDENTITY[name] for name, _ in self._globs if name in IDENTITY)

    def wants(self, state: State, device: Device) -> Iterator[Wanted]:
        """What it wants of a device: what is in the Objects and instances that this has registered, with the
        attributes that its version knows.
        """
        registration = device.registration
        if registration is None:
            return
        name, listed = self.template.name, registration.objects.paths
        for wish in self._wishes:
            known = known_to(wish.changes, registration.version)
            attributes = NotificationAttributes().changed(known) if known else None
            found = [path for place in wish.places for each in listed if (path := _placed(place, each)) is not None]
            if wish.together and len(found) > 1 and registration.version >= "1.1" and state.profile(device).composes:
                for paths in _batches(tuple(sorted(set(found)))):
                    yield Wanted(name, ROOT, attributes, wish.format, paths)
            else:
                for path in found:
                    yield Wanted(name, path, attributes, wish.format)


def _batches(paths: tuple[Path, ...]) -> Iterator[tuple[Path, ...]]:
    return (paths[start : start + MOST_PATHS] for start in range(0, len(paths), MOST_PATHS))


def pattern(template: Template) -> Pattern:
    """Make a template ready to be asked. Raises BadOperation, naming the field that is wrong."""
    if not 0 < len(template.name) <= _MAX_NAME or not template.name.isprintable():
        raise BadOperation(f"a template's name has 1 to {_MAX_NAME} printable characters", "name")
    match = template.match
    try:
        selector = None if match.labels is None else selectors.parse(match.labels)
    except ValueError as error:
        raise BadOperation(str(error), "match.labels") from None
    globs = tuple(
        (name, re.compile(translate(glob)).match) for name in _GLOBS if (glob := getattr(match, name)) is not None
    )
    objects = tuple(_path(text, "match.objects") for text in match.objects)
    return Pattern(template, globs, selector, objects, tuple(_wish(each) for each in template.observe))


def wanted(patterns: Mapping[str, Pattern], state: State, device: Device) -> dict[Target, Wanted]:
    """What all templates want of a device, by what it is of."""
    found: dict[Target, Wanted] = {}
    for name in sorted(patterns):
        each = patterns[name]
        if each.fits(state, device):
            for wish in each.wants(state, device):
                found.setdefault(wish.target, wish)
    return found


def _path(text: str, field: str) -> Path:
    try:
        return Path.parse(text)
    except PathError as error:
        raise BadOperation(f"{text[:40]!r}: {error}", field) from None


def _wish(found: TemplateWish) -> _Wish:
    if (found.path is None) == (not found.paths):
        raise BadOperation("either path or paths is expected", "observe.path")
    if found.format is not None and found.format not in NUMBERS:
        raise BadOperation(f"format {found.format[:40]!r} is none of {', '.join(NUMBERS)}", "observe.format")
    given = {name: value for name, value in msgspec.structs.asdict(found.attributes).items() if value is not None}
    if found.path is not None:
        place, path = _place(found.path, "observe.path")
        return _Wish((place,), dict(changes_of(given, path, lambda _: None)), found.format, together=False)
    if not given.keys() <= OF_SEVERAL:
        raise BadOperation(f"several paths have {', '.join(sorted(OF_SEVERAL))}", "observe.attributes")
    places = tuple(_place(text, "observe.paths")[0] for text in found.paths)
    return _Wish(places, dict(changes_of(given, ROOT, lambda _: None)), found.format, together=True)


def _place(text: str, field: str) -> tuple[_Place, Path]:
    """Where something is observed, and a path of that kind."""
    segments = text.split("/")
    anywhere = len(segments) > 2 and segments[2] == _ANY
    path = _path("/".join([*segments[:2], "0", *segments[3:]]) if anywhere else text, field)
    place: _Place = (path[0], None, *path[2:]) if anywhere else (*path, None) if len(path) == 1 else tuple(path)
    return place, path


def _placed(place: _Place, listed: Path) -> Path | None:
    """Where a wish is at a device that lists this Object or Object Instance; None where it is not of that."""
    if place[0] != listed[0]:
        return None
    if len(listed) == 1:
        # It does not say which instances there are: what can be asked for is the Object, or one that is named.
        return Path(each for each in place if each is not None) if None not in place[1:] else listed
    if place[1] is not None:
        return Path(each for each in place if each is not None) if place[1] == listed[1] else None
    return Path((listed[0], listed[1], *(each for each in place[2:] if each is not None)))
