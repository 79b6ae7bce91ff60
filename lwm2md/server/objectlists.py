"""Object lists of Register and Update, read once and shared.

A fleet of one model registers the same list from every device; parsing it once and keeping one copy is most of what
keeps a registration small and a Register quick.
"""

from __future__ import annotations

import attrs

from lwm2md.lwm2m.linkformat import ObjectList, object_list
from lwm2md.lwm2m.models import default_version

_MOST = 1024


class ObjectLists:
    """The lists seen lately, by payload and LwM2M version; at most some hundred are kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str, tuple[str, ...]], ObjectList] = {}
        self._restored: dict[tuple[object, ...], ObjectList] = {}

    def read(self, payload: bytes, version: str, deviations: tuple[str, ...] = ()) -> ObjectList:
        """The list of a payload, with the version of each Object filled in for a device of LwM2M ``version``.

        Raises LinkError. ``deviations`` of the request are added to those of the list.
        """
        key = (payload, version, deviations)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            known = self._known[key] = _read(payload, version, deviations)
        return known

    def share(self, found: ObjectList) -> ObjectList:
        """A list that was read back from storage, or the one known already that says the same."""
        key = (found.root, found.formats, found.paths, tuple(sorted(found.versions.items())), found.deviations)
        if len(self._restored) >= _MOST:
            self._restored.clear()
        return self._restored.setdefault(key, found)


def _read(payload: bytes, version: str, deviations: tuple[str, ...]) -> ObjectList:
    found = object_list(payload)
    versions = {path[0]: found.versions.get(path[0]) or default_version(path[0], version) for path in found.paths}
    return attrs.evolve(found, versions=versions, deviations=deviations + found.deviations)
