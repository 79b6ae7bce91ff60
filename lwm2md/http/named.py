"""Documents that operators put under a name: listed, shown, put, taken back, in the same way for every kind of them.

RULES: what is put is in force when it is durable, and only then answered; 201 where the name is new, else 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body
from lwm2md.http.documents import Page
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_when_durable
from lwm2md.server.core import Server
from lwm2md.server.effects import Resume


@attrs.frozen(eq=False)
class Words:
    """What the four routes of a kind do, in a line each."""

    list: str
    get: str
    put: str
    delete: str


@attrs.frozen(eq=False)
class Named:
    """One kind: ``route`` is that of one document, and ends in ``/{name}``.

    ``known(server)`` are those that there are, ``get(server, name)`` is one and raises a `Refused`, ``show(server,
    found)`` makes its document of the type ``document``. ``put(server, name, body, then)`` and ``remove(server, name,
    then)`` change them; ``kept`` says that some can't be removed.
    """

    route: str
    words: Words
    document: Any
    body: Any
    known: Callable[[Server], Mapping[str, Any]]
    get: Callable[[Server, str], Any]
    show: Callable[[Server, Any], object]
    put: Callable[[Server, str, Any, Resume], None]
    remove: Callable[[Server, str, Resume], None]
    kept: bool = False

    def routes(self) -> tuple[Route, ...]:
        """The routes that list, show, put and take back."""
        every, shown = self.route.rpartition("/")[0], {200: self.document}
        answers = {200: Page[self.document]}  # type: ignore[name-defined]
        gone = (409, 503) if self.kept else (503,)
        return (
            Route("GET", every, self._list, self.words.list, (p.LIMIT, p.AFTER), answers=answers),
            Route("GET", self.route, self._get, self.words.get, answers=shown),
            Route(
                "PUT",
                self.route,
                self._put,
                self.words.put,
                body=Body(self.body),
                answers={**shown, 201: self.document},
                fails=(409, 503),
            ),
            Route("DELETE", self.route, self._delete, self.words.delete, answers={204: None}, fails=gone),
        )

    def _name(self, call: Call) -> str:
        return call.path_arguments[self.route.rpartition("{")[2].removesuffix("}")]

    def _document(self, call: Call) -> object:
        server = call.node.server
        return self.show(server, self.get(server, self._name(call)))

    def _list(self, call: Call) -> Reply:
        server = call.node.server
        known = self.known(server)
        window = (call.query["limit"], call.query["after"])
        items, cursor = page(known, SortedKeys(known), window, lambda found: self.show(server, found))
        return json_reply(Page(items, cursor))

    def _get(self, call: Call) -> Reply:
        return json_reply(self._document(call))

    def _put(self, call: Call) -> None:
        server, name = call.node.server, self._name(call)
        status = 200 if name in self.known(server) else 201
        answer_when_durable(
            call,
            lambda then: self.put(server, name, call.document, then),
            lambda: json_reply(self._document(call), status),
        )

    def _delete(self, call: Call) -> None:
        server, name = call.node.server, self._name(call)
        answer_when_durable(call, lambda then: self.remove(server, name, then), no_content)
