"""What the device says about its own tree: the object list of a Register, and the answer to Discover.

Source: OMA LwM2M Core TS 1.2, 6.2.1 and 6.3.2. RULES: the Security Objects are never listed; an Object's version is
told only where it is not the one that the LwM2M version implies; the link of the target itself shows attached and
inherited attributes, every link below it only its own. ``edge``, ``con`` and ``hqmax`` are left out towards servers
below 1.2, because Leshan throws the whole payload away when it meets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lwm2md.device.attached import Attached
from lwm2md.device.tree import Tree, executable
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.linkformat import Link, compose
from lwm2md.lwm2m.models import default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import plain

_DEFAULT_DEPTH: Final = {1: 2, 2: 1, 3: 1}
_FROM_1_2: Final = ("edge", "con", "hqmax")


def object_list(tree: Tree, version: str, formats: tuple[int, ...], root: str = "") -> str:
    """The links of a Register or Update in LwM2M ``version``: ``root``, the Content-Formats to tell, the Objects."""
    contents: tuple[tuple[str, str | None], ...] = (("rt", "oma.lwm2m"),)
    if formats:
        contents += (("ct", " ".join(map(str, formats))),)
    return compose([Link(root or "/", contents), *_objects(tree, version, root)])


def objects_alone(tree: Tree, version: str) -> str:
    """The links of the Objects without the root, as a gateway lists those of a device and a profile is hashed."""
    return compose(_objects(tree, version, ""))


def _objects(tree: Tree, version: str, root: str) -> Iterator[Link]:
    for number in sorted(tree.supported):
        told = _version(tree, number, version)
        instances = sorted(tree.instances(number))
        if told or not instances:
            yield Link(f"{root}/{number}", told)
        yield from (Link(f"{root}/{number}/{instance}") for instance in instances)


def discover(tree: Tree, attached: Attached, path: Path, version: str, depth: int | None, *, root: str = "") -> str:
    """The links of a Discover on the existing ``path`` of one to three ids, ``depth`` levels deep (None: default)."""
    levels = _DEFAULT_DEPTH[len(path)] if depth is None else depth
    if version == "1.0" and len(path) == 3:
        levels = 0
    return compose(
        Link(f"{root}{here}", _attributes(tree, attached, here, version, inherit=here == path))
        for here in _below(tree, path, levels)
    )


def _below(tree: Tree, path: Path, levels: int) -> Iterator[Path]:
    yield path
    if levels > 0:
        for child in _children(tree, path):
            yield from _below(tree, child, levels - 1)


def _children(tree: Tree, path: Path) -> Iterator[Path]:
    if len(path) == 1:
        yield from (path.child(number) for number in sorted(tree.instances(path[0])))
    elif len(path) == 2:
        supported, present = tree.supported[path[0]], tree.instances(path[0])[path[1]]
        for number in sorted(supported.resources):
            if number in present or executable(supported.model.resources[number]):
                yield path.child(number)
    else:
        stored = tree.resource(path)
        if isinstance(stored, dict):
            yield from (path.child(number) for number in sorted(stored))


def _attributes(
    tree: Tree, attached: Attached, path: Path, version: str, *, inherit: bool
) -> tuple[tuple[str, str | None], ...]:
    found: list[tuple[str, str | None]] = []
    if len(path) == 1:
        found += _version(tree, path[0], version)
    if len(path) == 3 and isinstance(stored := tree.resource(path), dict):
        found.append(("dim", str(len(stored))))
    shown: NotificationAttributes = attached.inherited(path) if inherit else attached.at(path)
    found += [
        (name, plain(value))
        for name, value in shown.as_changes().items()
        if value is not None and (version == "1.2" or name not in _FROM_1_2)
    ]
    return tuple(found)


def _version(tree: Tree, number: int, version: str) -> tuple[tuple[str, str | None], ...]:
    own = tree.supported[number].model.version
    return () if own == default_version(number, version) else (("ver", own),)
