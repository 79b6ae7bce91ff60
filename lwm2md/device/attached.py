"""Notification attributes that the server attached to paths, and which of them hold for an observation.

Source: OMA LwM2M Core TS 1.2, 5.1.2 and 7.3. RULES: for an observation of a path each value comes from the path itself,
else from its parent, up to the Object, else from /1/0/2, /1/0/3 and /1/0/26; what is attached below does not count. The
parameters of an observation replace all that is attached to its path or inherited. A valueless attribute unsets. What
was written one after the other and contradicts itself is no error: the conditions, or epmin, then don't hold.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.device.errors import Refused
from lwm2md.device.tree import Tree, readable
from lwm2md.lwm2m.attributes import (
    BadAttributes,
    Changes,
    NotificationAttributes,
    check_changes,
    effective,
    parse_query,
)
from lwm2md.lwm2m.paths import Path

MAX_PATHS: Final = 64

_NONE: Final = NotificationAttributes()
_SINCE: Final = {"epmin": "1.1", "epmax": "1.1", "edge": "1.2", "con": "1.2", "hqmax": "1.2"}
_SERVER: Final = Path((1, 0))
_DEFAULTS: Final = (("pmin", 2), ("pmax", 3), ("con", 26))


class Attached:
    """The attributes of one tree, by path; ``server`` is the tree that has the Server Object, if it is another."""

    __slots__ = ("_by_path", "_server", "_tree")

    def __init__(self, tree: Tree, server: Tree | None = None) -> None:
        self._tree = tree
        self._server = server or tree
        self._by_path: dict[Path, NotificationAttributes] = {}

    def write(self, path: Path, query: tuple[str, ...], version: str) -> None:
        """Write-Attributes in LwM2M ``version`` on the existing ``path``. Raises Refused; then nothing has changed."""
        changes = parameters(self._tree, path, query, version)
        here = self._by_path.get(path)
        if here is None and len(self._by_path) >= MAX_PATHS:
            raise Refused(numbers.INTERNAL_SERVER_ERROR, "no room for attributes of another path")
        attributes = (here or _NONE).changed(changes)
        if attributes == _NONE:
            self._by_path.pop(path, None)
        else:
            self._by_path[path] = attributes

    @property
    def queues(self) -> bool:
        """Whether ``hqmax`` is attached anywhere: then only what has one is stored."""
        return any(attributes.hqmax is not None for attributes in self._by_path.values())

    def at(self, path: Path) -> NotificationAttributes:
        """What is attached to ``path`` itself."""
        return self._by_path.get(path, _NONE)

    def inherited(self, path: Path) -> NotificationAttributes:
        """What is attached to ``path`` itself or to what is above it."""
        return effective(path, self._by_path)

    def effective(self, path: Path, override: NotificationAttributes | None = None) -> NotificationAttributes:
        """What holds for an observation of ``path`` that has parameters of its own or, with None, has not."""
        found = override
        if found is None:
            found = effective(path, self._by_path) if self._by_path else _NONE
        server = self._server.instance(_SERVER)
        if server is not None:
            missing: dict[str, int | float | None] = {
                name: value
                for name, number in _DEFAULTS
                if isinstance(value := server.get(number), int) and getattr(found, name) is None
            }
            if missing:
                found = found.changed(missing)
        return _coherent(found)

    def removed(self, path: Path) -> None:
        """The Instance at ``path`` is gone, and what was attached to it and below."""
        for attached in [other for other in self._by_path if path.covers(other)]:
            del self._by_path[attached]

    def clear(self) -> None:
        """Forget everything, as a restart does."""
        self._by_path.clear()


def parameters(tree: Tree, path: Path, query: tuple[str, ...], version: str) -> Changes:
    """Read attributes for ``path`` and check them against its level, its type and the version. Raises Refused."""
    model = tree.model(path)
    try:
        changes = parse_query(query)
        if unknown := [name for name in changes if _SINCE.get(name, version) > version]:
            raise BadAttributes(f"{unknown[0]} came with LwM2M {_SINCE[unknown[0]]}")
        check_changes(changes, path, None if model is None else model.type)
    except BadAttributes as error:
        raise Refused(numbers.BAD_REQUEST, str(error)) from error
    if model is not None and not readable(model):
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is not readable")
    return changes


def _coherent(found: NotificationAttributes) -> NotificationAttributes:
    if found.gt is not None and found.lt is not None and found.lt + 2 * (found.st or 0) >= found.gt:
        found = found.changed({"gt": None, "lt": None, "st": None})
    if found.epmin is not None and found.epmax is not None and found.epmin >= found.epmax:
        found = found.changed({"epmin": None})
    return found
