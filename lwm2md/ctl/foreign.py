"""Commands of lwm2mctl that installed plugins add.

RULES: plugins are imported only where none of the daemon's own commands is meant. One that can't be imported is told
on standard error, and the others go on; a command of the daemon's name is not replaced.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lwm2md.plugins.contributions import Command


def own_commands(top: ArgumentParser) -> frozenset[str]:
    """The names of the commands that a parser has."""
    return frozenset(
        name for action in top._actions if isinstance(action, _SubParsersAction) for name in action.choices
    )


def wanted(top: ArgumentParser, given: Sequence[str]) -> bool:
    """Whether none of the commands of the parser is among the arguments."""
    return own_commands(top).isdisjoint(given)


def commands(taken: frozenset[str], complain: Callable[[str], None]) -> Iterator[Command]:
    """The commands of all installed plugins."""
    found = entry_points(group="lwm2md")
    if not found:
        return
    from lwm2md.config.schema import Settings  # noqa: PLC0415  what most calls don't need
    from lwm2md.plugins.contributions import Command  # noqa: PLC0415
    from lwm2md.plugins.loading import Loader  # noqa: PLC0415

    loader, settings = Loader(), Settings()
    for name in sorted(found.names):
        plugin = loader.one(name, settings)
        hook = plugin.hooks.get("lwm2md_commands")
        if plugin.failure is not None:
            complain(f"the commands of plugin {name} are not here: {plugin.failure}")
        elif hook is not None:
            try:
                offered = [each for each in hook.function() if isinstance(each, Command)]
            except Exception as error:
                complain(f"the commands of plugin {name} are not here: {type(error).__name__}: {error}")
                continue
            yield from (each for each in offered if each.name not in taken)
