"""The command for plugins: list and show them, let them run or not, let them take their settings anew."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from lwm2md.ctl.client import Client, path_of
from lwm2md.ctl.errors import DONE, USAGE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.tables import show

_COLUMNS: Final = ("name", "state", "health", "failure", "failures", "events", "events_dropped", "origin")
_DOING: Final = ("enable", "disable", "reload")
_ACTIONS: Final = ("list", "show", *_DOING)


def plugins(options: Namespace, client: Client, output: Output) -> int:
    """``plugins``: how they are; one of them; or whether it runs, and by which settings."""
    action, name = options.action, options.plugin
    if action == "list":
        if name is not None:
            raise CommandError("plugins: list takes no name", USAGE)
        heads = [column.replace("_", " ").upper() for column in _COLUMNS]
        output.items(client.get("/v1/plugins")["items"], heads, _COLUMNS)
        return DONE
    if name is None:
        raise CommandError(f"plugins: {action} takes the name of a plugin", USAGE)
    if action in _DOING:
        if options.every is not None:
            raise CommandError("plugins: --watch is for list and show", USAGE)
        document = client.request("POST", path_of("plugins", name, action)).document
        output.document(document, [f"{show(document['name'])} is {show(document['state'])}"])
    else:
        output.facts(client.get(path_of("plugins", name)))
    return DONE


def add_to(add: Any, every: Any) -> None:
    """Declare the command."""
    add(
        "plugins",
        plugins,
        "List plugins, show one, or enable, disable or reload it",
        ("action", {"nargs": "?", "choices": _ACTIONS, "default": "list", "metavar": "ACTION",
                    "help": ", ".join(_ACTIONS) + " (default: list)"}),
        ("plugin", {"nargs": "?", "metavar": "NAME", "help": "the name of a plugin"}),
        every,
    )  # fmt: skip
