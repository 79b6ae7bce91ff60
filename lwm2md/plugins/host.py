"""What plugins need of the daemon: the contract between `lwm2md.plugins` and `lwm2md.node`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lwm2md.delivery import Delivery
    from lwm2md.plugins.calling import Calls
    from lwm2md.plugins.contributions import ApiRoute
    from lwm2md.plugins.plugin import Plugin
    from lwm2md.plugins.running import Running
    from lwm2md.server.core import Server


class Host(Protocol):
    """One running daemon, as its plugins' machinery sees it, by its ``name``. ``reactor`` is Twisted's."""

    name: str
    server: Server
    delivery: Delivery
    reactor: Any

    def now(self) -> float:
        """The Unix time of the injected clock."""
        ...

    def settle(self) -> None:
        """Carry out what the core decided. To be called after every change."""
        ...

    def mount(self, root: Any, render: Callable[[Any, Any], Any]) -> None:
        """Serve a tree of CoAP resources, rendered so. Raises ValueError if it claims a path of the daemon's."""
        ...

    def unmount(self, root: Any) -> None:
        """Serve it no longer."""
        ...

    def add_routes(self, plugin: Plugin, calls: Calls, routes: Iterable[ApiRoute]) -> None:
        """Serve routes of a plugin in the API. Raises ValueError for one that can't be."""
        ...

    def remove_routes(self, plugin: Plugin) -> None:
        """Serve them no longer."""
        ...

    def rewired(self, running: Running) -> None:
        """Learn that other plugins may be asked now."""
        ...
