"""Finding, importing and checking plugins: from entry points of the group ``lwm2md``, or from ``[plugins] path``.

RULES: only what `[plugins] enable` names is imported. Each is loaded on its own: what is wrong with one leaves the
others alone, and it becomes a failed `Plugin` whose failure says why. Nothing is called here but hooks of the kind
``load``.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

import attrs
import pluggy

from lwm2md import hookspecs
from lwm2md.config.errors import ConfigError, nearest
from lwm2md.config.loader import PLUGIN, fault_of
from lwm2md.config.schema import Settings
from lwm2md.config.values import PLUGIN_NAME, STORAGE_EXPECTED, STORAGE_SCHEMES, BadValue
from lwm2md.hookspecs import API_VERSION, SPECIFIED
from lwm2md.plugins import settings as plugin_settings
from lwm2md.plugins.contributions import Setting, StorageBackend
from lwm2md.plugins.marks import PROJECT, is_asynchronous
from lwm2md.plugins.plugin import Implementation, Plugin
from lwm2md.plugins.settings import Found

GROUP: Final = "lwm2md"
_HOOK: Final = re.compile(r"lwm2md_\w+", re.ASCII)


class LoadError(Exception):
    """A plugin that can't be used, with a reason fit for the operator."""


@attrs.frozen
class Loaded:
    """The plugins that were asked for, by name and in order, and what is wrong with them and their settings.

    ``found`` are the checked settings of those that could be loaded. Without what is ``missing`` there is no daemon;
    ``remarks`` are oddities that stop nobody.
    """

    plugins: Mapping[str, Plugin] = attrs.Factory(dict)
    errors: Sequence[ConfigError] = ()
    found: Mapping[str, Found] = attrs.Factory(dict)
    backends: Mapping[str, StorageBackend] = attrs.Factory(dict)
    missing: Sequence[ConfigError] = ()
    remarks: Sequence[str] = ()


class Loader:
    """Loads plugins; one that is loaded again is imported anew only if it failed."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def load(self, settings: Settings) -> Loaded:
        """Load what the settings enable, and check its settings."""
        plugins: dict[str, Plugin] = {}
        errors: list[ConfigError] = []
        found: dict[str, Found] = {}
        for path in settings.plugins.path:
            if path not in sys.path:
                sys.path.append(path)
        for name in settings.plugins.enable:
            plugin = plugins[name] = self.one(name, settings)
            if plugin.failure is not None:
                errors.append(fault_of(settings, "plugins", "enable", "", name, problem=plugin.failure))
                continue
            found[name] = checked = plugin_settings.check(name, plugin.schema, settings.plugin_entries.get(name, ()))
            errors += checked.errors
            if checked.errors:
                plugin.state, plugin.failure = "failed", "; ".join(map(str, checked.errors))
            else:
                plugin.settings = checked.values
        backends = self._backends(plugins.values())
        missing = tuple(_storage_fault(settings, backends))
        return Loaded(plugins, errors, found, backends, missing, tuple(_remarks(settings)))

    def one(self, name: str, settings: Settings) -> Plugin:
        """Import and check one plugin; its settings aside."""
        try:
            module, origin = _import(name, settings.plugins.path)
            return self._register(name, module, origin)
        except LoadError as error:
            return Plugin(name, state="failed", failure=str(error))

    def _register(self, name: str, module: Any, origin: str) -> Plugin:
        _check_version(module)
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
        except Exception as error:
            self._forget(name)
            raise LoadError(_misfit(error)) from None
        try:
            hooks = dict(_implementations(self._manager, name))
            plugin = Plugin(name, origin, bool(getattr(module, "RESTARTABLE", False)), hooks)
            plugin.schema = _schema(plugin)
        except LoadError:
            self._forget(name)
            raise
        return plugin

    def _forget(self, name: str) -> None:
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def _backends(self, plugins: Any) -> dict[str, StorageBackend]:
        backends: dict[str, StorageBackend] = {}
        for plugin in plugins:
            hook = plugin.hooks.get("lwm2md_storage_backends")
            if hook is None or plugin.failure is not None:
                continue
            try:
                for backend in _now(hook):
                    backends.setdefault(backend.scheme, backend)
            except BaseException as error:
                plugin.state, plugin.failure = "failed", f"lwm2md_storage_backends: {_said(error)}"
        return backends


def describe(loaded: Loaded) -> Iterator[str]:
    """Give the lines of ``--check`` about plugins: each with its origin, its settings that were set, and oddities."""
    for name, plugin in loaded.plugins.items():
        yield f"plugin {name} ({plugin.origin})"
        if name in loaded.found:
            yield from plugin_settings.shown(name, plugin.schema, loaded.found[name])
    yield from (f"note {remark}" for remark in loaded.remarks)


def _import(name: str, paths: Sequence[str]) -> tuple[Any, str]:
    """The plugin's module or object, and where it is from; raises LoadError."""
    if not PLUGIN_NAME.fullmatch(name):
        raise LoadError("this is no name of a plugin")
    points = entry_points(group=GROUP)
    found = sorted({_origin(point): point for point in points if point.name == name}.items())
    if len(found) > 1:
        raise LoadError(f"several distributions have a plugin of this name: {', '.join(dict(found))}")
    for _, point in found:
        return _guarded(point.load), _origin(point)
    for path in paths:
        file = Path(path) / f"{name.replace('-', '_')}.py"
        if file.is_file():
            return _guarded(partial(_from_file, name, file)), str(file)
    guess = nearest(name, points.names)
    hint = f"; did you mean '{guess}'?" if guess else ""
    raise LoadError(f"no plugin of this name is installed, or in [plugins] path{hint}")


def _from_file(name: str, file: Path) -> Any:
    module_name = f"lwm2md_plugin_{name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _guarded(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may well say SystemExit when it is imported
        raise LoadError(f"it can't be imported: {_said(error)}") from None


def _origin(point: EntryPoint) -> str:
    return point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _check_version(module: Any) -> None:
    version = getattr(module, "API_VERSION", None)
    if isinstance(module, type):
        raise LoadError("it is a class; the entry point has to name a module, or an object")
    if version is None:
        raise LoadError(f"it does not say for which contract it is: API_VERSION = {API_VERSION}")
    if version != API_VERSION:
        newer = isinstance(version, int) and version > API_VERSION
        advice = "a newer lwm2md" if newer else "a newer version of the plugin"
        raise LoadError(f"it is for API_VERSION {version!r}, this daemon has {API_VERSION}: it takes {advice}")


def _misfit(error: Exception) -> str:
    text = _said(error)
    unknown = next((word for word in _HOOK.findall(text) if word not in SPECIFIED), None)
    if unknown is not None:
        guess = nearest(unknown, SPECIFIED) or _similar(unknown)
        return f"there is no hook {unknown}" + (f"; did you mean {guess}?" if guess else "")
    return f"a hook does not fit its specification: {text}"


def _similar(name: str) -> str | None:
    return next((each for each in SPECIFIED if name.startswith(each) or each.startswith(name)), None)


def _implementations(manager: pluggy.PluginManager, name: str) -> Iterator[tuple[str, Implementation]]:
    for hook, call in SPECIFIED.items():
        for each in getattr(manager.hook, hook).get_hookimpls():
            if each.plugin_name != name:
                continue
            if each.hookwrapper or each.wrapper:
                raise LoadError(f"{hook} is a wrapper; here a hook answers for its own plugin only")
            asynchronous = is_asynchronous(each.function)
            if asynchronous and call.at == "load":
                raise LoadError(f"{hook} is asynchronous; it is called before there is a reactor that runs")
            rank = each.trylast - each.tryfirst
            shape = asynchronous or call.reactor
            yield hook, Implementation(hook, each.function, tuple(each.argnames), shape, rank)


def _schema(plugin: Plugin) -> tuple[Setting, ...]:
    hook = plugin.hooks.get("lwm2md_settings")
    if hook is None:
        return ()
    try:
        schema = tuple(_now(hook))
        if not all(isinstance(each, Setting) for each in schema):
            raise LoadError("it gives something else than settings")
        for each in schema:
            if each.default is not None:
                each.kind.parse(each.default)
    except BadValue as error:
        raise LoadError(f"lwm2md_settings: the default of {each.key!r} is none of its kind: {error}") from None
    except LoadError as error:
        raise LoadError(f"lwm2md_settings: {error}") from None
    except BaseException as error:
        raise LoadError(f"lwm2md_settings: {_said(error)}") from None
    return schema


def _now(hook: Implementation) -> Any:
    return hook.function()


def _storage_fault(settings: Settings, backends: Mapping[str, StorageBackend]) -> Iterator[ConfigError]:
    url = settings.storage.url
    scheme = url.partition(":")[0]
    if scheme in STORAGE_SCHEMES:
        return
    backend = backends.get(scheme)
    if backend is None:
        known = ", ".join(f"{each}:" for each in backends)
        expected = STORAGE_EXPECTED + (f", or of a plugin: {known}" if known else "; no plugin that runs has another")
        yield fault_of(settings, "storage", "url", expected)
        return
    try:
        backend.check(url)
    except BaseException as error:
        expected = error.expected if isinstance(error, BadValue) else f"a URL for {scheme}: ({_said(error)})"
        yield fault_of(settings, "storage", "url", expected)


def _remarks(settings: Settings) -> Iterator[str]:
    for name, entries in settings.plugin_entries.items():
        if name not in settings.plugins.enable:
            guess = nearest(name, settings.plugins.enable)
            hint = f"; did you mean [{PLUGIN}:{guess}]?" if guess else ""
            yield f"{entries[0].file}: [{PLUGIN}:{name}] has no effect, [plugins] enable does not name it{hint}"


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
