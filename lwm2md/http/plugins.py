"""Plugins: what they do, what has gone wrong with them, and running them or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lwm2md.config.errors import ConfigErrors
from lwm2md.http.documents import Page
from lwm2md.http.problems import bad_configuration
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.plugins.managing import UnknownPlugin
from lwm2md.plugins.plugin import Plugin


class PluginDocument(msgspec.Struct):
    """A plugin: its state, what it says of itself, its last failure, and what it has done.

    ``origin`` is the distribution or file that it is of; a ``restartable`` one can be disabled and enabled. ``events``
    were handled, ``events_dropped`` lost; ``seconds`` were spent in its hooks.
    """

    name: str
    state: str
    failure: str | None
    health: str | None
    origin: str
    restartable: bool
    hooks: list[str]
    calls: int
    failures: int
    timeouts: int
    events: int
    events_dropped: int
    seconds: float


def plugin_document(plugin: Plugin) -> PluginDocument:
    """A plugin as ``/v1/plugins/{name}`` shows it."""
    counters = plugin.counters
    return PluginDocument(
        plugin.name,
        plugin.state,
        plugin.failure,
        plugin.health,
        plugin.origin,
        plugin.restartable,
        sorted(plugin.hooks),
        counters["calls"],
        counters["failures"],
        counters["timeouts"],
        counters["events"],
        counters["events_dropped"],
        round(plugin.seconds, 6),
    )


def _known(call: Call) -> Plugin:
    name = call.path_arguments["name"]
    found = call.node.plugins.plugins.get(name)
    if found is None:
        raise UnknownPlugin(f"no plugin {name!r} was enabled")
    return found


def _list(call: Call) -> Reply:
    return json_reply(Page([plugin_document(each) for each in call.node.plugins.plugins.values()], None))


def _get(call: Call) -> Reply:
    return json_reply(plugin_document(_known(call)))


def _change(call: Call, change: Callable[[str], Coroutine[Any, Any, Plugin]]) -> None:
    """Answer with the plugin when that is done."""
    changing = Deferred.fromCoroutine(change(call.path_arguments["name"]))
    changing.addCallbacks(
        lambda plugin: call.complete(lambda: json_reply(plugin_document(plugin))),
        lambda failure: call.complete(lambda: _raise(failure)),
    )


def _raise(failure: Failure) -> Reply:
    if isinstance(failure.value, ConfigErrors):
        raise bad_configuration(failure.value)
    failure.raiseException()
    raise AssertionError


def _enable(call: Call) -> None:
    _change(call, call.node.managing.enable)


def _disable(call: Call) -> None:
    _change(call, call.node.managing.disable)


def _reload(call: Call) -> None:
    _change(call, call.node.managing.reload)


ROUTES: Final = (
    Route(
        "GET",
        "/v1/plugins",
        _list,
        "List plugins, in the order of `[plugins] enable`",
        answers={200: Page[PluginDocument]},
    ),
    Route("GET", "/v1/plugins/{name}", _get, "One plugin", answers={200: PluginDocument}),
    Route(
        "POST",
        "/v1/plugins/{name}/enable",
        _enable,
        "Let a plugin run that does not, until the daemon's next start",
        answers={200: PluginDocument},
        fails=(409, 422, 502),
    ),
    Route(
        "POST",
        "/v1/plugins/{name}/disable",
        _disable,
        "Stop a plugin, until the daemon's next start",
        answers={200: PluginDocument},
        fails=(409,),
    ),
    Route(
        "POST",
        "/v1/plugins/{name}/reload",
        _reload,
        "Read a plugin's settings again and let it run by them",
        answers={200: PluginDocument},
        fails=(409, 422, 502),
    ),
)
