"""The devices behind a gateway, and how the Gateway Object (25) shows them.

Source: the registered model of Object 25, OMA LwM2M Gateway. RULES: a device has a prefix, the first segment of its
paths and of its names; the gateway lists its Objects as it would in a registration of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lwm2md.device.discovery import objects_alone
from lwm2md.device.objects import GATEWAY, Child
from lwm2md.device.tree import Stored, Supported, Tree
from lwm2md.lwm2m.paths import Path

_DEVICE_ID: Final = 0
_PREFIX: Final = 1
_OBJECTS: Final = 3


def instances(children: tuple[Child, ...]) -> Mapping[Path, Mapping[int, Stored]]:
    """The Instances of Object 25, whose lists of Objects ``show`` fills in."""
    return {
        Path((GATEWAY, index)): {_DEVICE_ID: child.endpoint, _PREFIX: child.prefix}
        for index, child in enumerate(children)
    }


def known(supported: Mapping[int, Supported], initial: Mapping[Path, Mapping[int, Stored]]) -> Mapping[int, Supported]:
    """Those of the ``supported`` Objects of the gateway that a device with these Instances has."""
    return {number: supported[number] for number in sorted({path[0] for path in initial} & supported.keys())}


def show(tree: Tree, index: int, child: Tree, version: str) -> Path | None:
    """Bring the list of a device's Objects up to date; its path in the gateway's ``tree`` if it changed."""
    path = Path((GATEWAY, index, _OBJECTS))
    return path if tree.put(path, objects_alone(child, version)) else None
