"""Register and Update as the device sends them: their parameters and the list of Objects.

Source: OMA LwM2M Core TS 1.2, 6.2.1, 6.2.2 and profile ids. RULES: Register names everything, Update only what changed;
until 1.0 queue mode is part of the binding, from 1.1 on the parameter ``Q``; ``plain`` leaves out queue mode, profile
id and everything beyond the specification. A profile id stands for the list until a server does not know it; then both
are sent, so that it can learn. What is hashed is the list without its root link, in ascending order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from lwm2md.device import contents
from lwm2md.device.discovery import object_list, objects_alone
from lwm2md.device.objects import BINDING, PROFILE_HASH, Settings
from lwm2md.device.registration import BINDING as BINDING_NEWS
from lwm2md.device.registration import LIFETIME as LIFETIME_NEWS
from lwm2md.device.registration import OBJECTS, Registration
from lwm2md.device.tree import Tree

Announcement = tuple[tuple[str, ...], bytes]
"""Uri-Query and payload; an empty payload has no Content-Format."""

_HASH_BYTES: Final = {1: 32, 2: 16, 3: 15, 4: 12, 5: 8, 6: 4}
"""The lengths of SHA-256 in the suites of RFC 6920."""


def register(settings: Settings, registration: Registration, tree: Tree) -> Announcement:
    """A Register."""
    query = [
        f"lwm2m={registration.version}",
        f"ep={settings.endpoint}",
        f"lt={registration.lifetime}",
        f"b={_binding(settings, registration, tree)}",
    ]
    if not registration.plain:
        if settings.queue and registration.version != "1.0":
            query.append("Q")
        query += _profile(settings, registration, tree)
        query += [f"{name}={value}" for name, value in settings.labels]
    return tuple(query), b"" if registration.profile_alone else _list(settings, registration, tree)


def update(settings: Settings, registration: Registration, tree: Tree, news: Collection[str]) -> Announcement:
    """An Update that tells ``news``."""
    query: list[str] = []
    if LIFETIME_NEWS in news:
        query.append(f"lt={registration.lifetime}")
    if BINDING_NEWS in news:
        query.append(f"b={_binding(settings, registration, tree)}")
    if OBJECTS not in news:
        return tuple(query), b""
    query += _profile(settings, registration, tree)
    return tuple(query), _list(settings, registration, tree)


def _list(settings: Settings, registration: Registration, tree: Tree) -> bytes:
    formats = contents.told(registration.version, settings.formats)
    root = "".join(f"/{segment}" for segment in settings.root)
    return object_list(tree, registration.version, formats, root).encode()


def _profile(settings: Settings, registration: Registration, tree: Tree) -> tuple[str, ...]:
    if not settings.profile or registration.version != "1.2" or registration.plain:
        return ()
    wished = tree.value(PROFILE_HASH)
    suite = wished if isinstance(wished, int) and wished in _HASH_BYTES else settings.profile
    digest = hashlib.sha256(objects_alone(tree, registration.version).encode()).digest()
    return (f"pid={suite}:{digest[: _HASH_BYTES[suite]].hex()}",)


def _binding(settings: Settings, registration: Registration, tree: Tree) -> str:
    if registration.plain:
        return "U"
    if registration.version != "1.0":
        return settings.binding
    stored = tree.value(BINDING)
    if settings.version == "1.0" and isinstance(stored, str):
        return stored
    return settings.binding + ("Q" if settings.queue else "")
