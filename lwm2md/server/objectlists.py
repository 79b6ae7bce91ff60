"""Object lists of Register and Update, read once and shared.

A fleet of one model registers the same list from every device; parsing it once and keeping one copy is most of what
keeps a registration small and a Register quick.
"""

from __future__ import annotations

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.lwm2m.linkformat import LinkError, ObjectList, object_list
from lwm2md.lwm2m.models import default_version
from lwm2md.server.parameters import Rejected

_MOST = 1024
_LINK_FORMATS = (n.LINK_FORMAT, n.TEXT, None)


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

    def said(self, message: Message, version: str, deviations: tuple[str, ...] = ()) -> ObjectList | None:
        """The list in the payload of a Register or Update; None when there is none. Raises Rejected with 4.00.

        Text, or no Content-Format, is taken for a link format.
        """
        if not message.payload:
            return None
        if message.content_format not in _LINK_FORMATS:
            raise Rejected(n.BAD_REQUEST, "the object list is not in link format")
        try:
            return self.read(message.payload, version, deviations)
        except LinkError as error:
            raise Rejected(n.BAD_REQUEST, str(error)[:60]) from None

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
