"""Profile ids: names for object lists, which devices register with in place of the list (OMA Core 1.2, 6.2.1).

RULES: an id says nothing of what it stands for: even one that looks like a hash can't be checked, since the form that
is hashed is not laid down. So what one device claims holds for that device only; for all devices only what the
operator has configured. An id that stands for nothing is refused with 4.09, and then the device sends its list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.linkformat import LinkError, ObjectList, object_list
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BadOperation, LimitReached, UnknownProfile
from lwm2md.server.objectlists import ObjectLists
from lwm2md.server.parameters import MAX_PROFILE, Rejected
from lwm2md.server.records import Device
from lwm2md.server.state import State

_LEARNED: Final = 4
"""Lists that are kept of one device; the oldest goes first."""


class Profiles:
    """The lists that profile ids stand for. ``configured`` are the operator's, as text in link format."""

    def __init__(self, state: State, lists: ObjectLists) -> None:
        self._state = state
        self._lists = lists
        self.configured: dict[str, str] = {}

    # Devices

    def resolve(
        self, device: Device | None, profiles: tuple[str, ...], listed: ObjectList | None, version: str
    ) -> ObjectList | None:
        """The whole object list of a Register or Update: what it ``listed`` and what its ids stand for.

        None where it says neither. Raises Rejected with 4.09 where an id stands for nothing and there is no list.
        """
        found = [self._lists.read(self.configured[each].encode(), version) for each in self._known(profiles)]
        if listed is not None:
            return union([listed, *found]) if found else listed
        learned = (device.profiles if device is not None else None) or {}
        for profile in profiles:
            if profile in self.configured:
                continue
            if profile not in learned:
                raise Rejected(n.CONFLICT, "unknown profile id: send the object list")
            found.append(learned[profile])
        return union(found) if found else None

    def learned(
        self, device: Device, profiles: tuple[str, ...], listed: ObjectList | None
    ) -> dict[str, ObjectList] | None:
        """What the device's lists become by a request with an id and a list; None where nothing changes.

        With several ids that the operator has not configured it can't be said which of them the list is for.
        """
        unknown = [profile for profile in profiles if profile not in self.configured]
        if listed is None or len(unknown) != 1:
            return None
        known = device.profiles or {}
        if known.get(unknown[0]) == listed:
            return None
        kept = {name: found for name, found in known.items() if name != unknown[0]}
        while len(kept) >= _LEARNED:
            del kept[next(iter(kept))]
        return {**kept, unknown[0]: listed}

    def _known(self, profiles: Iterable[str]) -> list[str]:
        return [profile for profile in profiles if profile in self.configured]

    # The operator

    def put(self, profile: str, links: str, then: Resume) -> None:
        """Let an id stand for a list, for all devices. Raises BadOperation, LimitReached."""
        check(profile)
        try:
            found = object_list(links.encode())
        except LinkError as error:
            raise BadOperation(f"links: {error}", "links") from None
        if not found.paths:
            raise BadOperation("links names no Object", "links")
        if profile not in self.configured and len(self.configured) >= self._state.settings.profile_ids:
            raise LimitReached(f"{len(self.configured)} profile ids are configured")

        def ended(committed: bool, now: float) -> None:
            if committed:
                self.configured[profile] = links
            then(committed, now)

        self._state.commit((Write(stored.PROFILES, profile, links.encode()),), (), ended)

    def remove(self, profile: str, then: Resume) -> None:
        """Let an id stand for nothing any more; who registered with it stays. Raises UnknownProfile."""
        self.links(profile)

        def ended(committed: bool, now: float) -> None:
            if committed:
                self.configured.pop(profile, None)
            then(committed, now)

        self._state.commit((Write(stored.PROFILES, profile, None),), (), ended)

    def links(self, profile: str) -> str:
        """The list of an id. Raises UnknownProfile."""
        if profile not in self.configured:
            raise UnknownProfile(f"no profile id {profile!r} is configured")
        return self.configured[profile]

    def restore(self, profile: str, row: bytes) -> None:
        """Take a configured id up from storage."""
        object_list(row)
        self.configured[profile] = row.decode()


def check(profile: str) -> None:
    """Raise BadOperation for what a device could not name in its parameter."""
    if not 0 < len(profile) <= MAX_PROFILE or not profile.isprintable() or any(sign in profile for sign in '," '):
        raise BadOperation(f"a profile id has 1 to {MAX_PROFILE} characters, no comma, quotation mark or space", "pid")


def union(lists: Iterable[ObjectList]) -> ObjectList:
    """One list of all; root and versions of the first that has them."""
    every = list(lists)
    if len(every) == 1:
        return every[0]
    versions: dict[int, str] = {}
    for found in reversed(every):
        versions |= found.versions
    paths = {path for found in every for path in found.paths}
    instances = {path[0] for path in paths if len(path) > 1}
    roots: Mapping[str, None] = dict.fromkeys(found.root for found in every if found.root != "/")
    return attrs.evolve(
        every[0],
        root=next(iter(roots), "/"),
        formats=tuple(dict.fromkeys(number for found in every for number in found.formats)),
        paths=tuple(sorted(path for path in paths if len(path) > 1 or path[0] not in instances)),
        versions=versions,
        deviations=tuple(dict.fromkeys(code for found in every for code in found.deviations)),
    )
