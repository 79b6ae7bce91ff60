"""The parameters of Register and Update as the device sends them.

Source: OMA LwM2M Core TS 6.2.1, 6.2.2. RULES: Register names everything, Update only what changed; until 1.0 queue
mode is part of the binding, from 1.1 on the parameter ``Q``; ``plain`` leaves out queue mode and everything beyond
the specification.
"""

from __future__ import annotations

from collections.abc import Collection

from lwm2md.device.objects import BINDING, Settings
from lwm2md.device.registration import BINDING as BINDING_NEWS
from lwm2md.device.registration import LIFETIME as LIFETIME_NEWS
from lwm2md.device.registration import Registration
from lwm2md.device.tree import Tree


def register_query(settings: Settings, registration: Registration, tree: Tree) -> tuple[str, ...]:
    """The Uri-Query of a Register."""
    query = [
        f"lwm2m={registration.version}",
        f"ep={settings.endpoint}",
        f"lt={registration.lifetime}",
        f"b={_binding(settings, registration, tree)}",
    ]
    if not registration.plain:
        if settings.queue and registration.version != "1.0":
            query.append("Q")
        query += [f"{name}={value}" for name, value in settings.labels]
    return tuple(query)


def update_query(settings: Settings, registration: Registration, tree: Tree, news: Collection[str]) -> tuple[str, ...]:
    """The Uri-Query of an Update that tells ``news``."""
    query = []
    if LIFETIME_NEWS in news:
        query.append(f"lt={registration.lifetime}")
    if BINDING_NEWS in news:
        query.append(f"b={_binding(settings, registration, tree)}")
    return tuple(query)


def _binding(settings: Settings, registration: Registration, tree: Tree) -> str:
    stored = tree.value(BINDING)
    if registration.version != "1.0":
        return "U"
    if registration.plain:
        return "U"
    return stored if settings.version == "1.0" and isinstance(stored, str) else "UQ" if settings.queue else "U"
