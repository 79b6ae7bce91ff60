"""The daemon as its plugins' machinery sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lwm2md.plugins.calling import Calls
from lwm2md.plugins.contributions import ApiRoute
from lwm2md.plugins.guarding import Guarding
from lwm2md.plugins.plugin import Plugin

if TYPE_CHECKING:
    from lwm2md.delivery import Delivery
    from lwm2md.node import Node
    from lwm2md.plugins.running import Running
    from lwm2md.server.core import Server


class Hosting:
    """One `Node` as a `lwm2md.plugins.host.Host`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.name: str = node.settings.lwm2md.name
        self.server: Server = node.server
        self.delivery: Delivery = node.delivery
        self.reactor: Any = node.reactor

    def now(self) -> float:
        """The Unix time of the injected clock."""
        return self._node.now()

    def settle(self) -> None:
        """Carry out what the core decided."""
        self._node.settle()

    def mount(self, root: Any, render: Callable[[Any, Any], Any]) -> None:
        """Serve a tree of CoAP resources."""
        self._node.mount(root, render)

    def unmount(self, root: Any) -> None:
        """Serve it no longer."""
        self._node.unmount(root)

    def add_routes(self, plugin: Plugin, calls: Calls, routes: Iterable[ApiRoute]) -> None:
        """Serve routes of a plugin in the API."""
        self._node.routes.add(plugin, calls, routes)

    def remove_routes(self, plugin: Plugin) -> None:
        """Serve them no longer."""
        self._node.routes.remove(plugin)

    def rewired(self, running: Running) -> None:
        """Learn that other plugins may be asked now: who guards nothing is not on the way of a device."""
        guarding = Guarding(running, self.now, self.settle)
        self.server.gate.admit = guarding.admit if running.pairs("lwm2md_authorize_registration") else None
        self._node.vault.elsewhere = guarding.credential if running.pairs("lwm2md_credentials") else None
