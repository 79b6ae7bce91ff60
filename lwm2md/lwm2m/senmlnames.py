"""The names of SenML records: base name and name put together, and the paths that they stand for (RFC 8428 4.1, 4.5.1).

Rules: names are only put together, with no slash added; the whole is the root and then a path. The version is at most
10. A label that ends in ``_`` must be understood, any other that is unknown is passed over.
"""

from __future__ import annotations

from typing import Final, TypeVar

from lwm2md.lwm2m.nodes import ContentError
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.senmlform import Form, Record

_CACHED: Final = 4096
_MAX_VERSION: Final = 10

_Known = TypeVar("_Known")
_Found = TypeVar("_Found")


class _Places(dict[str, tuple[Path, int]]):
    """The paths of names without a root, and their keys; made on demand, which raises PathError."""

    def __missing__(self, name: str) -> tuple[Path, int]:
        path = Path.parse(name)
        return _kept(self, name, (path, _key(path)))


class _Names(dict[Path, tuple[str, int]]):
    """The names of paths, and their keys; made on demand."""

    def __missing__(self, path: Path) -> tuple[str, int]:
        return _kept(self, path, (str(path), _key(path)))


def _kept(cache: dict[_Known, _Found], known: _Known, found: _Found) -> _Found:
    # Names that come at all come again and again: there are as many as models have Resources, times their Instances.
    if len(cache) >= _CACHED:
        cache.clear()
    cache[known] = found
    return found


PLACES: Final = _Places()
"""From a name to its path and key: two paths of one depth have the same key if they have the same model."""
NAMES: Final = _Names()
"""From a path to its name and key."""


def _key(path: Path) -> int:
    # Above Resources there is no model, and no value.
    return (path[0] << 16 | path[2]) << 1 | (len(path) == 4) if len(path) > 2 else -1


def base_name(record: Record, form: Form, current: str) -> str:
    """The base name from this record on. Raises ContentError, for another version than ours too."""
    labels = form.labels
    version = record.get(labels.base_version, _MAX_VERSION)
    if type(version) is not int or not 0 < version <= _MAX_VERSION:
        raise ContentError("a version of SenML above 10, or none")
    name = record.get(labels.base_name, current)
    if type(name) is not str:
        raise ContentError("a base name that is no string")
    return name


def full_name(record: Record, form: Form, current: str) -> str:
    """The whole name of a record. Raises ContentError."""
    name = record.get(form.labels.name, "")
    if type(name) is not str:
        raise ContentError("a name that is no string")
    return current + name


def without_root(name: str, root: str) -> str | None:
    """What is behind the root, None if the name is not below it; the root itself is ``/``."""
    if not name.startswith(root):
        return None
    bare = name[len(root) :]
    return bare if bare or not root else "/"


def check_labels(record: Record, form: Form) -> None:
    """Raise ContentError if the record has a label that must be understood and is not."""
    for label in record.keys() - form.known:
        if type(label) is str and label.endswith("_"):
            raise ContentError(f"the label {label[:20]!r} is not understood")
