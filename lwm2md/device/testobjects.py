"""The test Objects 3441 and 3442: Resources of every type, and what their executables do.

Source: the registered models of both Objects. RULES: reset puts one known value everywhere, with two Instances in what
is multiple; clear empties; randomize draws from the given bytes; Exec With Arguments leaves each argument in the
Arguments List, its digit being the Resource Instance and its value, or nothing, the string. Send Data of 3442 sends
what the paths in Resources to Send name, which are none after a reset.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from typing import Final

from lwm2md.device.tree import Resources, Stored, Supported, Tree, writable
from lwm2md.lwm2m.execute import Arguments
from lwm2md.lwm2m.models import ResourceModel
from lwm2md.lwm2m.paths import Path, PathError
from lwm2md.lwm2m.values import NULL_LINK, ObjectLink, ResourceType, Value

OBJECTS: Final = frozenset({3441, 3442})

_RESET: Final = 0
_RANDOMIZE: Final = 1
_CLEAR: Final = 2
_LIST_ARGUMENTS: Final = 3
_ARGUMENTS: Final = 4
_SEND_DATA: Final = 5
_TO_SEND: Final = 6

Random = Callable[[int], bytes]

_KNOWN: Final[Mapping[ResourceType, Value]] = {
    ResourceType.STRING: "initial",
    ResourceType.INTEGER: -1024,
    ResourceType.UNSIGNED: 1024,
    ResourceType.FLOAT: 3.25,
    ResourceType.BOOLEAN: True,
    ResourceType.OPAQUE: b"\x01\x23\x45\x67",
    ResourceType.TIME: 946684800,
    ResourceType.OBJLNK: ObjectLink(3, 0),
    ResourceType.CORELNK: "</3/0>",
}
_EMPTY: Final[Mapping[ResourceType, Value]] = {
    ResourceType.STRING: "",
    ResourceType.INTEGER: 0,
    ResourceType.UNSIGNED: 0,
    ResourceType.FLOAT: 0.0,
    ResourceType.BOOLEAN: False,
    ResourceType.OPAQUE: b"",
    ResourceType.TIME: 0,
    ResourceType.OBJLNK: NULL_LINK,
    ResourceType.CORELNK: "",
}


def initial(supported: Supported) -> Resources:
    """What an Instance holds after a reset."""
    return _filled(supported, lambda model: _KNOWN[model.type], (0, 1))


def execute(tree: Tree, path: Path, arguments: Arguments, random: Random) -> tuple[Path, ...]:
    """Execute a Resource of a test Object; the Instance if anything in it changed."""
    supported = tree.supported[path[0]]
    changed: Mapping[int, Stored]
    if path[2] == _RESET:
        changed = initial(supported)
    elif path[2] == _RANDOMIZE:
        changed = _filled(supported, lambda model: _drawn(model.type, random), range(1 + random(1)[0] % 4))
    elif path[2] == _CLEAR:
        changed = _filled(supported, lambda model: _EMPTY[model.type], ())
    elif path[2] == _LIST_ARGUMENTS:
        changed = {_ARGUMENTS: {digit: value or "" for digit, value in arguments.items()}}
    else:
        return ()
    instance = path.parent
    tree.commit(instance, {**tree.copy(instance), **changed})
    return (instance,)


def to_send(tree: Tree, path: Path) -> tuple[Path, ...]:
    """What an Execute of ``path`` sends: nothing if it is not Send Data."""
    if path[0] not in OBJECTS or path[2] != _SEND_DATA:
        return ()
    named = tree.resource(path.parent.child(_TO_SEND))
    texts = named.values() if isinstance(named, dict) else ()
    return tuple(found for text in texts if (found := _path(text)) is not None)


def _path(text: Value) -> Path | None:
    try:
        return Path.parse(text) if isinstance(text, str) else None
    except PathError:
        return None


def _filled(supported: Supported, value: Callable[[ResourceModel], Value], several: Collection[int]) -> Resources:
    models = (supported.model.resources[number] for number in sorted(supported.resources))
    filled: Resources = {
        model.id: {number: value(model) for number in several} if model.multiple else value(model)
        for model in models
        if writable(model)
    }
    for lists in (_ARGUMENTS, _TO_SEND):
        if lists in supported.resources:
            filled[lists] = {}
    return filled


def _drawn(kind: ResourceType, random: Random) -> Value:
    number = int.from_bytes(random(4), "big")
    match kind:
        case ResourceType.STRING:
            return base64.b32encode(random(5)).decode("ascii")
        case ResourceType.CORELNK:
            return f"</{number % 65535}>"
        case ResourceType.FLOAT:
            return number / 256
        case ResourceType.BOOLEAN:
            return bool(number & 1)
        case ResourceType.OPAQUE:
            return random(8)
        case ResourceType.OBJLNK:
            return NULL_LINK if number & 1 else ObjectLink(3, 0)
        case ResourceType.INTEGER:
            return number - 2**31
        case _:
            return number
