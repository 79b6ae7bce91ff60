"""What composite operations read: the values at a list of paths.

Source: OMA LwM2M Core TS 1.2, 6.3.9 and 6.4. RULES: the answer is a best effort: a path that is absent, not readable or
of a Security Object is left out without a word, and nothing at all is an answer too; ``/`` stands for everything. What
is named twice, by itself and by what it lies in, is told once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lwm2md.coap import numbers
from lwm2md.device.errors import Refused
from lwm2md.device.tree import Tree, readable
from lwm2md.lwm2m.attributes import OF_SEVERAL, BadAttributes, NotificationAttributes, check_changes, parse_query
from lwm2md.lwm2m.linkformat import SECURITY_OBJECTS
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path

MAX_PATHS: Final = 64
"""The most paths in one request."""


def check(paths: tuple[Path, ...]) -> None:
    """Refuse a list of no paths (4.00), and one of too many (4.13)."""
    if not paths:
        raise Refused(numbers.BAD_REQUEST, "no paths")
    if len(paths) > MAX_PATHS:
        raise Refused(numbers.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_PATHS} paths")


def nodes(tree: Tree, paths: tuple[Path, ...]) -> Nodes:
    """Every readable value at or below one of ``paths``, each once."""
    found: dict[Path, Entry] = {}
    for path in paths:
        for instance_or_below in _starts(tree, path):
            for entry in tree.nodes(instance_or_below):
                if len(entry.path) > 2:
                    found.setdefault(entry.path, entry)
    return tuple(found.values())


def parameters(query: tuple[str, ...]) -> NotificationAttributes:
    """The parameters of an Observe-Composite. Raises Refused (4.00)."""
    try:
        changes = parse_query(query)
        check_changes(changes)
    except BadAttributes as error:
        raise Refused(numbers.BAD_REQUEST, str(error)) from error
    if not changes.keys() <= OF_SEVERAL:
        raise Refused(numbers.BAD_REQUEST, f"only {', '.join(sorted(OF_SEVERAL))} are for several paths")
    return NotificationAttributes().changed(changes)


def _starts(tree: Tree, path: Path) -> Iterator[Path]:
    if not path:
        yield from (Path((number,)) for number in sorted(tree.supported) if number not in SECURITY_OBJECTS)
    elif path[0] not in SECURITY_OBJECTS and tree.exists(path):
        model = tree.model(path)
        if model is None or readable(model):
            yield path
