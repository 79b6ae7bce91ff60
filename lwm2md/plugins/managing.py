"""Running plugins or not while the daemon does: one at a time through the API, or all of them by a reload.

RULES: a plugin is stopped or started at run time only where it says that it can be. A reload is worked out whole, and
refused whole, before anything of it is done. Code is imported once: another version of a plugin needs a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lwm2md.config.errors import ConfigError, ConfigErrors
from lwm2md.config.schema import Settings
from lwm2md.plugins import settings as plugin_settings
from lwm2md.plugins.loading import Loader
from lwm2md.plugins.plugin import Plugin
from lwm2md.plugins.running import Running
from lwm2md.server.errors import Refused

_LOOSE: Final = ("disabled", "failed", "loaded")


class UnknownPlugin(Refused):
    """No plugin of this name was enabled, or is installed."""

    code: ClassVar[str] = "unknown-plugin"


class NotRestartable(Refused):
    """The plugin does not say that it can be started and stopped at run time."""

    code: ClassVar[str] = "not-restartable"


class PluginBroken(Refused):
    """The plugin failed when it was to start, or to take other settings."""

    code: ClassVar[str] = "plugin-failed"


@attrs.define
class Plan:
    """What a reload does to plugins: which ``begin``, which ``end``, which get other settings.

    ``changed`` and ``restart`` name settings as ``[plugin:mqtt] url``.
    """

    begin: list[Plugin] = attrs.Factory(list)
    end: list[Plugin] = attrs.Factory(list)
    other: list[tuple[Plugin, Mapping[str, Any]]] = attrs.Factory(list)
    changed: list[str] = attrs.Factory(list)
    restart: list[str] = attrs.Factory(list)


class Managing:
    """Changes which plugins run. ``settings`` gives those in force, ``read`` reads the configuration again."""

    def __init__(
        self, running: Running, settings: Callable[[], Settings], read: Callable[[], Settings], loader: Loader
    ) -> None:
        self._running = running
        self._settings = settings
        self._read = read
        self._loader = loader
        self._busy: Deferred[Any] | None = None
        self._log = Logger(namespace="lwm2md.plugins")

    async def enable(self, name: str) -> Plugin:
        """Let a plugin run. Raises UnknownPlugin, NotRestartable, PluginBroken, ConfigErrors."""
        known = self._running.plugins.get(name)
        if known is not None and known.state not in _LOOSE:
            return known
        plugin = self._loaded(name, self._settings(), known)
        if not plugin.restartable:
            raise NotRestartable(f"the plugin {name} can be started only with the daemon")
        if not await self._running.begin(self._running.take(plugin)):
            raise PluginBroken(f"the plugin {name} does not start: {plugin.failure}")
        return plugin

    async def disable(self, name: str) -> Plugin:
        """Stop a plugin. Raises UnknownPlugin, NotRestartable."""
        plugin = self._known(name)
        if plugin.state == "running" and not plugin.restartable:
            raise NotRestartable(f"the plugin {name} can be stopped only with the daemon")
        await self._running.end(plugin)
        return plugin

    async def reload(self, name: str) -> Plugin:
        """Let a plugin run by its settings as they are in the files now. Raises as `enable` does."""
        plugin, found = self._known(name), self._read()
        if plugin.state != "running":
            return await self.enable(name)
        values = self._checked(plugin, found)
        if not (plugin.restartable or "lwm2md_reload" in plugin.hooks):
            raise NotRestartable(f"the plugin {name} can take other settings only with the daemon's start")
        if not await self._other(plugin, values):
            raise PluginBroken(f"the plugin {name} does not take its settings: {plugin.failure}")
        return plugin

    def plan(self, found: Settings) -> Plan:
        """What comes of these settings. Raises ConfigErrors, and then nothing was changed."""
        plan = Plan()
        errors: list[ConfigError] = []
        for name in found.plugins.enable:
            known = self._running.plugins.get(name)
            try:
                if known is None or known.state in _LOOSE:
                    self._plan_begin(plan, self._loaded(name, found, known))
                else:
                    self._plan_other(plan, known, self._checked(known, found))
            except ConfigErrors as wrong:
                errors += wrong.errors
            except Refused as refused:
                self._log.error("{reason}", reason=str(refused))
        for name, plugin in self._running.plugins.items():
            if name not in found.plugins.enable and plugin.state == "running":
                plan.end.append(plugin) if plugin.restartable else plan.restart.append("[plugins] enable")
        if errors:
            raise ConfigErrors(errors)
        return plan

    def carry_out(self, plan: Plan) -> None:
        """Do it, one after the other; what fails is told as any failure of a plugin is."""
        carrying = Deferred.fromCoroutine(self._carry_out(plan))
        carrying.addErrback(lambda failure: self._log.failure("plugins could not be reloaded", failure))

    async def _carry_out(self, plan: Plan) -> None:
        for plugin in plan.end:
            await self._running.end(plugin)
        for plugin, values in plan.other:
            await self._other(plugin, values)
        for plugin in plan.begin:
            await self._running.begin(self._running.take(plugin))

    def _plan_begin(self, plan: Plan, plugin: Plugin) -> None:
        if plugin.restartable:
            plan.begin.append(plugin)
        else:
            plan.restart.append("[plugins] enable")

    def _plan_other(self, plan: Plan, plugin: Plugin, values: Mapping[str, Any]) -> None:
        section = plugin_settings.PREFIX + plugin.name
        keys = [f"[{section}] {key}" for key, value in values.items() if value != plugin.settings.get(key)]
        if not keys:
            return
        if plugin.restartable or "lwm2md_reload" in plugin.hooks:
            plan.other.append((plugin, values))
            plan.changed += keys
        else:
            plan.restart += keys

    async def _other(self, plugin: Plugin, values: Mapping[str, Any]) -> bool:
        """Let a running plugin take other settings; whether it did."""
        if "lwm2md_reload" in plugin.hooks:
            return await self._running.reload(plugin, values)
        await self._running.end(plugin)
        plugin.settings = values
        return await self._running.begin(plugin)

    def _known(self, name: str) -> Plugin:
        found = self._running.plugins.get(name)
        if found is None:
            raise UnknownPlugin(f"no plugin {name!r} was enabled")
        return found

    def _loaded(self, name: str, settings: Settings, known: Plugin | None) -> Plugin:
        """The plugin with its settings, imported if it is not yet."""
        plugin = known if known is not None and known.hooks else self._loader.one(name, settings)
        if not plugin.hooks and plugin.failure is not None:
            raise UnknownPlugin(f"{name}: {plugin.failure}")
        plugin.settings = self._checked(plugin, settings)
        return plugin

    def _checked(self, plugin: Plugin, settings: Settings) -> Mapping[str, Any]:
        entries = settings.plugin_entries.get(plugin.name, ())
        found = plugin_settings.check(plugin.name, plugin.schema, entries)
        if found.errors:
            raise ConfigErrors(found.errors)
        return found.values
