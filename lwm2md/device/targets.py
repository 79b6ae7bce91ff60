"""What a request is about: its options, its method and its path, and whether that is there.

Source: OMA LwM2M Core TS 1.2, 6.3, and the table of critical options that devices in the field understand. RULES: what
no device understands comes first, then what this one does not have: options and path syntax 4.02, methods that the
LwM2M version does not have 4.05, an empty path 4.00, Security Objects 4.01, unknown Objects 4.04. A composite operation
has no path but the root of the names.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.message import Message
from lwm2md.device.errors import Refused
from lwm2md.device.tree import Tree, writable
from lwm2md.lwm2m.linkformat import SECURITY_OBJECTS
from lwm2md.lwm2m.paths import ROOT, Path, PathError

_SINGLE: Final = frozenset({numbers.GET, numbers.PUT, numbers.POST, numbers.DELETE})
_COMPOSITE: Final = frozenset({numbers.FETCH, numbers.IPATCH})
_CRITICAL: Final = {
    numbers.DELETE: frozenset({numbers.URI_PATH, numbers.ACCEPT}),
    numbers.IPATCH: frozenset({numbers.URI_PATH, numbers.ACCEPT, numbers.BLOCK1, numbers.BLOCK2}),
}
_USUALLY_CRITICAL: Final = frozenset(
    {numbers.URI_PATH, numbers.URI_QUERY, numbers.ACCEPT, numbers.BLOCK1, numbers.BLOCK2}
)


def target(message: Message, tree: Tree, version: str, root: tuple[str, ...]) -> Path:
    """The path that a request is about, whose Object exists, or the root for a composite one. Raises Refused."""
    known = _CRITICAL.get(message.code, _USUALLY_CRITICAL)
    for number, _ in message.options:
        if number & 1 and number not in known:
            raise Refused(numbers.BAD_OPTION, f"option {number} is not understood")
    if message.code in _COMPOSITE and version != "1.0":
        if message.path not in ((), root):
            raise Refused(numbers.BAD_OPTION, "a composite operation names its paths in the payload")
        return ROOT
    if message.code not in _SINGLE:
        raise Refused(numbers.METHOD_NOT_ALLOWED)
    return _existing(_path(_below(root, message.path)), tree, version)


def must_be_there(tree: Tree, path: Path) -> None:
    """Refuse (4.04) a missing Instance and a Resource that this device does not have."""
    if len(path) > 1 and tree.instance(path) is None:
        raise Refused(numbers.NOT_FOUND, f"no instance {Path(path[:2])}")
    if len(path) > 2 and tree.model(path) is None:
        raise Refused(numbers.NOT_FOUND, f"no resource {Path(path[:3])}")


def must_have_value(tree: Tree, path: Path) -> None:
    """Refuse (4.04) a Resource or Resource Instance that has no value now."""
    if not tree.exists(path):
        raise Refused(numbers.NOT_FOUND, f"{path} has no value")


def must_be_writable(tree: Tree, path: Path) -> None:
    """Refuse (4.05) what is not for the server to write, and (4.04) a Resource Instance that is not there."""
    model = tree.model(path)
    if model is not None and not writable(model):
        raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path} is not writable")
    if len(path) == 4:
        if model is not None and not model.multiple:
            raise Refused(numbers.METHOD_NOT_ALLOWED, f"{path.parent} has a single instance")
        must_have_value(tree, path)


def no_query(message: Message) -> None:
    """Refuse (4.02) parameters where none are understood."""
    if message.query:
        raise Refused(numbers.BAD_OPTION, f"query {message.query[0][:32]!r} is not understood")


def _existing(path: Path, tree: Tree, version: str) -> Path:
    if not path:
        raise Refused(numbers.BAD_REQUEST, "the root takes no operation")
    if path[0] in SECURITY_OBJECTS:
        raise Refused(numbers.UNAUTHORIZED)
    if path[0] not in tree.supported:
        raise Refused(numbers.NOT_FOUND, f"no object {path[0]}")
    if len(path) == 4 and version == "1.0":
        raise Refused(numbers.METHOD_NOT_ALLOWED, "resource instances came with LwM2M 1.1")
    return path


def _below(root: tuple[str, ...], segments: tuple[str, ...]) -> tuple[str, ...]:
    if segments[: len(root)] != root:
        raise Refused(numbers.NOT_FOUND, f"all paths begin with /{'/'.join(root)}")
    return segments[len(root) :]


def _path(segments: tuple[str, ...]) -> Path:
    if any("/" in segment for segment in segments):
        raise Refused(numbers.BAD_OPTION, "the path is not made of ids")
    try:
        return Path.from_segments(segments)
    except PathError as error:
        raise Refused(numbers.BAD_OPTION, str(error)) from error
