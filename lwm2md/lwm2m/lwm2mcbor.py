"""Content-Format 11544, application/vnd.oma.lwm2m+cbor, of LwM2M 1.2 (OMA LwM2M Core 1.2, LwM2M CBOR).

Rules: maps of ids within maps of ids; a key is one id, or an array of the ids of several levels. Ids start at the
Object in whatever is written. In what is read they may start further down, where the path of the request leaves only
one place for them. There are no times: those of nodes are lost. The prefix of a gateway's device is a text as the
first key.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final, TypeAlias

from lwm2md.lwm2m.cboritems import array, dump, load, mapping
from lwm2md.lwm2m.leaves import empty, placed, shaped
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes, Note, ignore
from lwm2md.lwm2m.paths import MAX_DEPTH, MAX_ID, ROOT, Path
from lwm2md.lwm2m.typed import read, write
from lwm2md.lwm2m.values import ObjectLink

RELATIVE: Final = "lwm2m-cbor-relative-ids"

_EMPTY: Final = object()
"""In the place of a value: an empty map."""

Items: TypeAlias = dict[Any, Any]
"""A map as CBOR has it: from ids, or arrays of them, to maps and values."""

_Leaf: TypeAlias = tuple[tuple[int, ...], Any]
_Tree: TypeAlias = "dict[int, _Tree | bytes]"


def decode(base: Path, payload: bytes, type_of: TypeOf, note: Note = ignore, root: str = "") -> Nodes:
    """Read what was sent for ``base``; an empty map is an empty Object, Instance or multiple Resource.

    ``root`` may be the first key, without its slash. Raises ContentError.
    """
    item = _without_root(_load(payload), root.strip("/"))
    if not item:
        return empty(base, type_of) if base else ()
    return _decode(base, item, type_of, note)


def apart(payload: bytes, prefixes: Container[str]) -> dict[str, Items]:
    """The maps of devices behind a gateway by prefix, with "" for what it tells of itself. Raises ContentError."""
    found: dict[str, Items] = {}
    for key, below in _load(payload).items():
        if type(key) is str and key in prefixes:
            if type(below) is not dict:
                raise ContentError("a prefix without a map")
            found[key] = below
        else:
            found.setdefault("", {})[key] = below
    return found


def decode_part(item: Items, type_of: TypeOf, note: Note, _root: str = "") -> Nodes:
    """Read one of these maps, of absolute ids. Raises ContentError."""
    return _decode(ROOT, item, type_of, note) if item else ()


def _load(payload: bytes) -> Items:
    item = load(payload)
    if type(item) is not dict:
        raise ContentError("LwM2M CBOR is a map")
    return item


def _decode(base: Path, item: Items, type_of: TypeOf, note: Note) -> Nodes:
    leaves: list[_Leaf] = []
    _collect((), item, leaves)
    start = _start(base, leaves, type_of)
    if start:
        note(RELATIVE)
    _check_apart([ids for ids, _ in leaves])
    found = [_entry(Path(start + ids), value, type_of, note) for ids, value in leaves]
    if len({entry.path for entry in found}) != len(found):
        raise ContentError("a path is there twice")
    return tuple(found)


def _without_root(item: Items, root: str) -> Items:
    """The map below the text key that stands for a device behind a gateway, if there is one."""
    if not any(type(key) is str for key in item):
        return item
    below = item.get(root)
    if not root or len(item) != 1 or type(below) is not dict:
        raise ContentError("a prefix that is not that of the device")
    return below


def _collect(above: tuple[int, ...], item: dict[Any, Any], leaves: list[_Leaf]) -> None:
    """Find the values and empty maps, each with its ids. Raises ContentError for keys that are none."""
    for key, value in item.items():
        ids = above + ((key,) if type(key) is int else _several(key))
        if len(ids) > MAX_DEPTH or not 0 <= ids[-1] <= MAX_ID:
            raise ContentError("a key that is no id, or with too many")
        if type(value) is not dict:
            leaves.append((ids, value))
        elif value:
            _collect(ids, value, leaves)
        else:
            leaves.append((ids, _EMPTY))


def _several(key: object) -> tuple[int, ...]:
    """The ids of a key that is an array of them."""
    if type(key) is not tuple or not key:
        raise ContentError("a key without ids")
    for identifier in key:
        if type(identifier) is not int or not 0 <= identifier <= MAX_ID:
            raise ContentError("a key that is no id")
    return key


def _start(base: Path, leaves: list[_Leaf], type_of: TypeOf) -> tuple[int, ...]:
    """The ids that belong before those of the payload: none, or what of ``base`` alone makes all of them fit."""
    if _fits(base, (), leaves):
        return ()
    found = [start for start in (base[:depth] for depth in range(1, len(base) + 1)) if _fits(base, start, leaves)]
    if len(found) > 1:
        found = [start for start in found if all(_known(start + ids, type_of) for ids, _ in leaves)]
    if len(found) != 1:
        raise ContentError(f"the ids are not of {base}, or may be at more than one place")
    return found[0]


def _fits(base: Path, start: tuple[int, ...], leaves: list[_Leaf]) -> bool:
    above = len(start)
    for depth, is_value in {(above + len(ids), value is not _EMPTY) for ids, value in leaves}:
        if depth >= MAX_DEPTH + is_value or (is_value and depth < 3):
            return False
    rest = tuple(base[above:])
    return not rest or all(ids[: len(rest)] == rest for ids, _ in leaves)


def _known(ids: tuple[int, ...], type_of: TypeOf) -> bool:
    model = type_of(Path(ids))
    return model is not None and model.multiple == (len(ids) == MAX_DEPTH)


def _check_apart(found: list[tuple[int, ...]]) -> None:
    """Raise ContentError for ids that are there twice, or that have values below and are a value, or empty, too."""
    level = set(found)
    apart = len(level) == len(found)
    inner: set[tuple[int, ...]] = set()
    while level:
        level = {ids[:-1] for ids in level}
        level.discard(())
        inner |= level
    if not apart or not inner.isdisjoint(found):
        raise ContentError("a path is there twice")


def _entry(path: Path, value: Any, type_of: TypeOf, note: Note) -> Entry:
    if value is _EMPTY:
        return empty(path, type_of)[0]
    model = type_of(path)
    try:
        return Entry(placed(path, model, note), read(value, model, note))
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None


def encode(base: Path, nodes: Nodes, type_of: TypeOf, root: str = "") -> bytes:
    """Write nodes that all lie at or below ``base``, with ``root`` as the first key. Raises ContentError."""
    tree: _Tree = {}
    # Nodes have mostly the same ids above them as others.
    inner: dict[tuple[int, ...], _Tree] = {(): tree}
    for entry in nodes:
        path, value = entry.path, entry.value
        depth = len(path)
        if not base.covers(path) or (depth < 3 if value is not None else depth == MAX_DEPTH):
            raise ContentError(f"{path} is not a node below {base}")
        if not depth:
            continue
        above, last = path[:-1], path[-1]
        if above not in inner:
            inner[above] = _inner(tree, path)
        if last in inner[above]:
            raise ContentError(f"{path} is there twice")
        if not 0 <= last <= MAX_ID:
            raise ContentError(f"{path} has an id that is out of range")
        inner[above][last] = {} if value is None else _item(entry, type_of)
    prefix = root.strip("/")
    return (mapping(1) + dump(prefix) if prefix else b"") + _write(tree)


def _item(entry: Entry, type_of: TypeOf) -> bytes:
    path, value = entry.path, entry.value
    model = type_of(path)
    shaped(path, model)
    assert value is not None
    try:
        value = write(value, model)
        return dump(str(value) if isinstance(value, ObjectLink) else value)
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None


def _inner(tree: _Tree, path: Path) -> _Tree:
    """The map that the last id of a path belongs into; made if there is none."""
    for identifier in path[:-1]:
        if not 0 <= identifier <= MAX_ID:
            raise ContentError(f"{path} has an id that is out of range")
        inner = tree.setdefault(identifier, {})
        if isinstance(inner, bytes):
            raise ContentError(f"{path} is below a value")
        tree = inner
    return tree


def _write(tree: _Tree) -> bytes:
    parts = [mapping(len(tree))]
    for identifier, below in tree.items():
        if isinstance(below, bytes):
            parts += dump(identifier), below
            continue
        ids, last = _chain(identifier, below)
        # From three ids on an array is shorter than maps of one id each.
        if len(ids) > 2:
            parts.append(array(len(ids)))
        parts.append((mapping(1) if len(ids) == 2 else b"").join(map(dump, ids)))
        parts.append(last if isinstance(last, bytes) else _write(last))
    return b"".join(parts)


def _chain(identifier: int, below: _Tree | bytes) -> tuple[list[int], _Tree | bytes]:
    """The ids down to where there is a value, or a choice; and what is there."""
    ids = [identifier]
    while isinstance(below, dict) and len(below) == 1:
        ((identifier, below),) = below.items()
        ids.append(identifier)
    return ids, below
