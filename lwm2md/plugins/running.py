"""The plugins of one daemon at work: started, asked, stopped, and started again by other settings.

RULES: the daemon waits for no plugin but those that have a say in its security, and for these no longer than their
deadline. Who of the plugins is asked for a hook is worked out when that changes, not when it is called: a hook that
nobody has is None where it would be called. A plugin that guards something and does not run, denies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, TimeoutError, succeed  # noqa: A004  what addTimeout raises
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.config.plugins import Plugins
from lwm2md.events import PLUGIN_FAILED, Event
from lwm2md.hookspecs import SECURE, SPECIFIED
from lwm2md.plugins import seams
from lwm2md.plugins.calling import Calls, Pair
from lwm2md.plugins.context import PluginContext
from lwm2md.plugins.loading import Loaded
from lwm2md.plugins.plugin import Plugin, PluginFailed, Trouble
from lwm2md.plugins.queues import Queue
from lwm2md.plugins.records import AskedOperation, Verdict
from lwm2md.server.effects import Commit
from lwm2md.storage.interface import Storage

if TYPE_CHECKING:
    from lwm2md.plugins.host import Host

GRACE: Final = 2.0
"""How long the handlers of events of a plugin that is stopped may take for what they are at, in seconds."""

_NOTHING: Final[Mapping[str, Any]] = {}


class StartError(Exception):
    """A plugin failed, and the operator wants no daemon without it."""


class Running:
    """The plugins of one daemon. ``operation_authorizer`` is None while nobody has that hook."""

    def __init__(self, host: Host, storage: Storage, loaded: Loaded, settings: Plugins) -> None:
        self.plugins: dict[str, Plugin] = dict(loaded.plugins)
        self.calls = Calls(host.reactor, settings.deadline, self._troubled, self._held_up)
        self.storage = storage
        self.queue = settings.queue
        self.strict = settings.strict
        self.operation_authorizer: Callable[[AskedOperation], Deferred[Verdict]] | None = None
        self._host = host
        self._contexts: dict[str, PluginContext] = {}
        self._trees: dict[str, list[Any]] = {}
        self._pairs: dict[str, tuple[Pair, ...]] = {}
        self._log = Logger(namespace="lwm2md.plugins")
        self._rewire()

    def configure(self, settings: Plugins) -> None:
        """Go by other settings, as far as they need no restart."""
        self.calls.deadline = settings.deadline

    def pairs(self, hook: str) -> tuple[Pair, ...]:
        """Who is asked for a hook, in order."""
        return self._pairs.get(hook, ())

    async def start(self) -> None:
        """Start all plugins, and wait for those that guard something; raises StartError if the operator is strict."""
        for plugin in self.plugins.values():
            if plugin.state == "failed":
                self._log.error("plugin {name} is left out: {why}", name=plugin.name, why=plugin.failure)
                self._troubled(Trouble(plugin.name, "load", plugin.failure or "", self._host.now()))
        begun = {
            plugin: Deferred.fromCoroutine(self.begin(plugin))
            for plugin in self.plugins.values()
            if plugin.state == "loaded"
        }
        for plugin, started in begun.items():
            if self.strict or SECURE & set(plugin.hooks):
                await started
        failed = [f"{plugin.name}: {plugin.failure}" for plugin in self.plugins.values() if plugin.state == "failed"]
        if failed and self.strict:
            raise StartError(f"[plugins] strict: {'; '.join(failed)}")

    async def stop(self) -> None:
        """Stop all plugins; those that ran can be started by another daemon in this process, if they say so."""
        ran = [plugin for plugin in self.plugins.values() if plugin.state in ("starting", "running")]
        for ended in [Deferred.fromCoroutine(self.end(plugin)) for plugin in self.plugins.values()]:
            await ended
        for plugin in ran:
            plugin.rest()
        self.calls.stop()

    async def begin(self, plugin: Plugin) -> bool:
        """Start one plugin; whether it runs then."""
        plugin.renewed()
        plugin.state = "starting"
        context = self._contexts[plugin.name] = PluginContext(self._host, plugin, self)
        try:
            for step in (self._introduce, self._listen, self._take_tree, self._take_routes):
                await step(plugin, context)
                if plugin.state != "starting":  # it was stopped meanwhile
                    return False
        except Exception as error:
            if plugin.state == "starting":
                await self.end(plugin, f"can't start: {_text(error)}")
            return False
        plugin.state = "running"
        self._rewire()
        self._log.info("plugin {name} runs ({origin})", name=plugin.name, origin=plugin.origin)
        return True

    def take(self, plugin: Plugin) -> Plugin:
        """Have a plugin among the others, in the place of one of the same name."""
        self.plugins[plugin.name] = plugin
        return plugin

    async def reload(self, plugin: Plugin, values: Mapping[str, Any]) -> bool:
        """Let a running plugin take other settings through its hook; whether it did."""
        try:
            await self._call(plugin, "lwm2md_reload", {"settings": values})
        except Exception:
            return False
        plugin.settings = values
        return True

    async def end(self, plugin: Plugin, failure: str | None = None) -> None:
        """Stop one plugin: because it is ``disabled``, or because of a ``failure``."""
        if plugin.state not in ("starting", "running"):
            return
        plugin.state = "stopping"
        self._rewire()
        self._host.remove_routes(plugin)
        for root in self._trees.pop(plugin.name, ()):
            self._host.unmount(root)
        context = self._contexts.pop(plugin.name)
        with suppress(TimeoutError):
            await Deferred.fromCoroutine(context.finish()).addTimeout(GRACE, self._host.reactor)
        with suppress(Exception):  # told already
            await self._call(plugin, "lwm2md_stop")
        context.close()
        self.calls.ended(plugin)
        plugin.state = "disabled" if failure is None else "failed"
        if failure is not None:
            plugin.failure = failure
            self._log.error("plugin {name} does not run any more: {why}", name=plugin.name, why=failure)
            self._troubled(Trouble(plugin.name, "plugin", failure, self._host.now()))
        self._rewire()

    def ask(self, name: str, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function that a plugin has contributed, where a hook of its shape would run. Fails as that does."""
        shown = getattr(function, "__qualname__", "a function")
        return self.calls.handle(self.plugins[name], shown, function, *arguments, passes=(LookupError,))

    def mount(self, plugin: Plugin, root: Any) -> None:
        """Serve a tree of a plugin's CoAP resources until it ends. Raises ValueError for a path of the daemon's."""
        self._host.mount(root, partial(self.calls.render, plugin))
        self._trees.setdefault(plugin.name, []).append(root)

    async def _introduce(self, plugin: Plugin, context: PluginContext) -> None:
        await self._call(plugin, "lwm2md_metrics", {"metrics": plugin.metrics})
        await self._call(plugin, "lwm2md_start", {"context": context})

    async def _take_tree(self, plugin: Plugin, context: PluginContext) -> None:
        root = await self._call(plugin, "lwm2md_coap_resources")
        if root is not None and plugin.state == "starting":
            self.mount(plugin, root)

    async def _take_routes(self, plugin: Plugin, context: PluginContext) -> None:
        routes = await self._call(plugin, "lwm2md_http_routes")
        if plugin.state == "starting":
            self._host.add_routes(plugin, self.calls, routes or ())

    async def _listen(self, plugin: Plugin, context: PluginContext) -> None:
        hook = plugin.hooks.get("lwm2md_events")
        if hook is None:
            return
        types = await self._call(plugin, "lwm2md_event_types")
        context.check()
        context.add(
            Queue(
                self._host.delivery,
                plugin,
                ("*",) if types is None else tuple(types),
                lambda events: self.calls.call(plugin, hook, {"events": events}),
                self.queue,
            )
        )

    def _call(self, plugin: Plugin, hook: str, arguments: Mapping[str, Any] = _NOTHING) -> Deferred[Any]:
        """Call a hook of one plugin, if it has it."""
        found = plugin.hooks.get(hook)
        return succeed(None) if found is None else self.calls.call(plugin, found, arguments)

    def _rewire(self) -> None:
        """Work out who is asked for what."""
        self._pairs = {hook: found for hook in SPECIFIED if (found := tuple(self._asked(hook)))}
        asked = "lwm2md_authorize_operation" in self._pairs
        self.operation_authorizer = self._authorize_operation if asked else None
        self._host.rewired(self)

    def _asked(self, hook: str) -> Iterable[Pair]:
        found = [
            (plugin, plugin.hooks[hook])
            for plugin in self.plugins.values()
            if hook in plugin.hooks and (plugin.state == "running" or (hook in SECURE and plugin.state != "disabled"))
        ]
        return sorted(found, key=lambda pair: pair[1].rank)

    def _authorize_operation(self, asked: AskedOperation) -> Deferred[Verdict]:
        return Deferred.fromCoroutine(seams.authorize_operation(self, asked))

    def _troubled(self, trouble: Trouble) -> None:
        fields = {"plugin": trouble.plugin, "hook": trouble.hook, "reason": trouble.reason}
        self._host.delivery.submit((Commit((), (Event(PLUGIN_FAILED, trouble.time, None, {}, fields),)),))

    def _held_up(self, plugin: Plugin, reason: str) -> None:
        ending = Deferred.fromCoroutine(self.end(plugin, reason))
        ending.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a plugin could not be stopped", failure)


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, PluginFailed) else f"{type(error).__name__}: {error}"
