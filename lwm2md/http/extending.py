"""Routes of plugins in the API: checked when they come, isolated when they are called.

RULES: a route is below ``/v1/plugins/NAME/``, or below a first word after ``/v1/`` that nobody else has. What its
handler raises is a failure of the plugin, never of the API; its caller gets a problem document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from twisted.python.failure import Failure

from lwm2md.http import parameters
from lwm2md.http.bodies import Body
from lwm2md.http.problems import Problem, foreign
from lwm2md.http.replies import NO_STORE, Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import JSON, Handler, Route
from lwm2md.plugins.calling import Calls
from lwm2md.plugins.contributions import ApiProblem, ApiReply, ApiRequest, ApiRoute
from lwm2md.plugins.marks import is_asynchronous
from lwm2md.plugins.plugin import Plugin

PRINCIPAL: Final = "admin"
_TAKEN: Final = frozenset({"enable", "disable", "reload"})
_STATUSES: Final = frozenset(status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class PluginRoutes:
    """The routes of plugins. ``changed`` gets all of them whenever there are others; ``own`` are the daemon's."""

    def __init__(self, own: Iterable[Route], changed: Callable[[Sequence[Route]], None]) -> None:
        self._roots = {_root(route.template) for route in own}
        self._changed = changed
        self._routes: dict[str, tuple[Route, ...]] = {}

    def add(self, plugin: Plugin, calls: Calls, found: Iterable[ApiRoute]) -> None:
        """Serve a plugin's routes. Raises ValueError, or TypeError for types that have no JSON."""
        others = {_root(each.template) for name, given in self._routes.items() if name != plugin.name for each in given}
        taken = self._roots | others
        routes = tuple(_route(plugin, calls, each, taken) for each in found)
        if routes:
            self._routes[plugin.name] = routes
            self._told()

    def remove(self, plugin: Plugin) -> None:
        """Serve them no longer."""
        if self._routes.pop(plugin.name, None):
            self._told()

    def all(self) -> list[Route]:
        """All of them."""
        return [route for routes in self._routes.values() for route in routes]

    def _told(self) -> None:
        self._changed(self.all())


def _root(template: str) -> str:
    """The first word after ``/v1/``; of a plugin's own place that and its name."""
    parts = template.split("/")
    return "/".join(parts[2:4]) if parts[2:3] == ["plugins"] else "/".join(parts[2:3])


def _route(plugin: Plugin, calls: Calls, given: ApiRoute, taken: set[str]) -> Route:
    template = given.path if given.path.startswith("/") else f"/v1/plugins/{plugin.name}/{given.path}"
    own = template.startswith(f"/v1/plugins/{plugin.name}/")
    root = _root(template)
    if (
        not template.startswith("/v1/")
        or not root
        or (not own and (root in taken or root.startswith(("plugins", "{"))))
    ):
        raise ValueError(f"a plugin can't have the route {given.path!r}")
    if own and template.split("/")[4] in _TAKEN:
        raise ValueError(f"{template} is a route of the daemon")
    if given.method not in _METHODS:
        raise ValueError(f"{given.method!r} is no method of a route")
    answer = {HTTPStatus(given.status).value: given.answer}
    msgspec.json.schema_components([each for each in (given.body, given.answer) if each is not None])
    return Route(
        given.method,
        template,
        _handler(plugin, calls, given),
        given.summary,
        tuple(parameters.text(name, text) for name, text in given.query.items()),
        None if given.body is None else Body(given.body),
        answer,
        fails=(502,),
    )


def _handler(plugin: Plugin, calls: Calls, given: ApiRoute) -> Handler:
    name, asynchronous = f"{given.method} {given.path}", is_asynchronous(given.handler)

    def handle(call: Call) -> Reply | None:
        asked = ApiRequest(given.method, dict(call.path_arguments), dict(call.query), call.document, PRINCIPAL)
        answer = calls.invoke(
            plugin, name, lambda: given.handler(asked), asynchronous=asynchronous, passes=(ApiProblem,)
        )
        answer.addCallback(lambda found: _reply(found, given.status))
        answer.addCallbacks(
            lambda reply: call.complete(lambda: reply), lambda failure: call.complete(lambda: _problem(plugin, failure))
        )
        return None

    return handle


def _reply(found: Any, status: int) -> Reply:
    given = found if isinstance(found, ApiReply) else ApiReply(found, status)
    status = HTTPStatus(given.status).value
    if given.body is None and given.content_type == JSON:
        return Reply(status, b"")
    if isinstance(given.body, bytes):
        return Reply(status, given.body, given.content_type.encode("ascii"), NO_STORE)
    return json_reply(given.body, status)


def _problem(plugin: Plugin, failure: Failure) -> Reply:
    error = failure.value
    if isinstance(error, ApiProblem) and error.status in _STATUSES:
        return foreign(error.status, error.code, str(error))
    raise Problem("plugin-failed", f"the plugin {plugin.name} failed; the daemon's log says more")
