"""Link lists of LwM2M: the Objects and Object Instances that a device registers (OMA LwM2M Core, Register).

The generic reader and writer of links, in ``lwm2md.lwm2m.links``, is at hand here too.

Rules: what has one meaning is taken and its deviation named; a link that cannot be an Object of this device is ignored,
never an error. Security Objects are never listed to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from lwm2md.lwm2m.formats import ALIASES
from lwm2md.lwm2m.links import Link, LinkError, compose, parse
from lwm2md.lwm2m.paths import MAX_ID, Path, PathError

__all__ = ["SECURITY_OBJECTS", "Link", "LinkError", "ObjectList", "compose", "object_list", "objects_of", "parse"]

SECURITY_OBJECTS: Final = frozenset({0, 21, 23})
"""LwM2M Security, OSCORE and COSE: their keys are the business of bootstrap only."""

_VERSION: Final = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
_FORMAT: Final = re.compile(r"[0-9]{1,5}")


@attrs.frozen(slots=True)
class ObjectList:
    """What a registration says about its Objects.

    ``root`` is ``"/"`` or the alternate path without a slash at its end, ``formats`` the Content-Formats the device
    says it has, ``paths`` the Object Instances, and an Object only where it is listed without any. ``versions`` has
    those versions that were given. ``deviations`` are short stable codes, each once.
    """

    root: str
    formats: tuple[int, ...]
    paths: tuple[Path, ...]
    versions: dict[int, str]
    deviations: tuple[str, ...]


def object_list(payload: bytes) -> ObjectList:
    """Read the payload of a Register or Update. Raises LinkError if it is no list of links."""
    try:
        links, deviations = parse(payload.decode())
    except UnicodeDecodeError as error:
        raise LinkError(f"not UTF-8 at byte {error.start}") from None
    return objects_of(links, deviations)


def objects_of(links: Sequence[Link], deviations: Iterable[str] = ()) -> ObjectList:
    """Read links that were parsed already; ``deviations`` are those that were found then."""
    return _Reader(links, deviations).read()


class _Reader:
    __slots__ = ("_deviations", "_links", "_objects", "_versions")

    def __init__(self, links: Sequence[Link], deviations: Iterable[str]) -> None:
        self._links = links
        self._deviations = dict.fromkeys(deviations)
        self._objects: dict[int, set[int]] = {}
        self._versions: dict[int, str] = {}

    def read(self) -> ObjectList:
        root_link = self._root_link()
        root = "/" if root_link is None else root_link.target.rstrip("/") or "/"
        on_instance: set[int] = set()
        for link in self._links:
            if link is not root_link:
                self._read_link(link, root, on_instance)
        if any(len(self._objects[identifier]) > 1 for identifier in on_instance):
            self._note("ver-on-instance")
        return ObjectList(
            root,
            () if root_link is None else tuple(dict.fromkeys(self._formats(root_link))),
            tuple(self._paths()),
            self._versions,
            tuple(self._deviations),
        )

    def _root_link(self) -> Link | None:
        named = [link for link in self._links if any("oma.lwm2m" in value.split() for value in link.all("rt"))]
        roots = [link for link in named if not any(part.isdecimal() for part in link.target.split("/"))]
        if len(roots) < len(named):
            self._note("numeric-root")
        if len(roots) > 1:
            self._note("root-twice")
        return roots[0] if roots else next((link for link in self._links if link.target == "/"), None)

    def _formats(self, root: Link) -> Iterator[int]:
        for value in root.all("ct"):
            for word in value.replace(",", " ").split():
                number = int(word) if _FORMAT.fullmatch(word) else MAX_ID + 2
                if number > MAX_ID + 1:
                    self._note("bad-ct")
                else:
                    yield ALIASES.get(number, number)

    def _read_link(self, link: Link, root: str, on_instance: set[int]) -> None:
        ids = self._ids(link.target, root)
        if not ids:
            return
        if ids[0] in SECURITY_OBJECTS:
            self._note("security-object-listed")
            return
        if len(ids) > 2:
            self._note("resource-path-in-list")
        instances = self._objects.setdefault(ids[0], set())
        instances.update(ids[1:2])
        for version in link.all("ver"):
            self._read_version(ids[0], version)
            if len(ids) > 1:
                on_instance.add(ids[0])

    def _ids(self, target: str, root: str) -> Sequence[int]:
        """The ids of a numeric path below the root, none for a link that is not one of ours."""
        if root != "/":
            if not target.startswith(root + "/"):
                return ()
            target = target[len(root) :]
        try:
            return Path.parse(target)
        except PathError:
            return self._odd_ids(target)

    def _odd_ids(self, target: str) -> Sequence[int]:
        if not target.startswith("/"):
            return ()
        rest = target[1:]
        if rest.endswith("/"):
            self._note("trailing-slash")
            rest = rest.rstrip("/")
        segments = rest.split("/")
        if not all(segment.isascii() and segment.isdecimal() for segment in segments):
            return ()
        if len(segments) > 4:
            self._note("path-too-long")
            return ()
        if any(len(segment) > 5 or int(segment) > MAX_ID or segment != str(int(segment)) for segment in segments):
            self._note("id-out-of-range")
            return ()
        return [int(segment) for segment in segments]

    def _read_version(self, identifier: int, version: str) -> None:
        if _VERSION.fullmatch(version) is None:
            self._note("bad-ver")
            return
        known = self._versions.get(identifier, version)
        if known != version:
            self._note("ver-conflict")
            version = max(known, version, key=lambda text: [int(part) for part in text.split(".")])
        self._versions[identifier] = version

    def _paths(self) -> Iterator[Path]:
        for identifier, instances in sorted(self._objects.items()):
            if not instances:
                yield Path((identifier,))
            for instance in sorted(instances):
                yield Path((identifier, instance))

    def _note(self, deviation: str) -> None:
        self._deviations[deviation] = None
