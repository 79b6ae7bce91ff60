"""Profile ids: the object lists that operators give them, for devices that register with an id in place of a list."""

from __future__ import annotations

from typing import Final

from lwm2md.http import parameters as p
from lwm2md.http.bodies import Body, ProfileBody
from lwm2md.http.documents import Page, ProfileDocument
from lwm2md.http.paging import SortedKeys, page
from lwm2md.http.problems import storage_failed
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route


def _list(call: Call) -> Reply:
    configured = call.node.server.profiles.configured
    known = {pid: ProfileDocument(pid, links) for pid, links in configured.items()}
    items, cursor = page(known, SortedKeys(known), (call.query["limit"], call.query["after"]), lambda found: found)
    return json_reply(Page(items, cursor))


def _get(call: Call) -> Reply:
    return json_reply(_document(call))


def _document(call: Call) -> ProfileDocument:
    pid = call.path_arguments["pid"]
    return ProfileDocument(pid, call.node.server.profiles.links(pid))


def _put(call: Call) -> None:
    profiles, pid = call.node.server.profiles, call.path_arguments["pid"]
    new = pid not in profiles.configured

    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        return json_reply(_document(call), 201 if new else 200)

    profiles.put(pid, call.document.links, lambda committed, _: call.complete(lambda: outcome(committed)))
    call.node.settle()


def _delete(call: Call) -> None:
    def outcome(committed: bool) -> Reply:
        if not committed:
            raise storage_failed(call.node.delivery.failure)
        return no_content()

    pid = call.path_arguments["pid"]
    call.node.server.profiles.remove(pid, lambda committed, _: call.complete(lambda: outcome(committed)))
    call.node.settle()


_ONE: Final = "/v1/profile-ids/{pid}"

ROUTES: Final = (
    Route(
        "GET",
        "/v1/profile-ids",
        _list,
        "List the profile ids that stand for an object list",
        (p.LIMIT, p.AFTER),
        answers={200: Page[ProfileDocument]},
    ),
    Route("GET", _ONE, _get, "One profile id with its list", answers={200: ProfileDocument}),
    Route(
        "PUT",
        _ONE,
        _put,
        "Let a profile id stand for an object list",
        body=Body(ProfileBody),
        answers={200: ProfileDocument, 201: ProfileDocument},
        fails=(409, 503),
    ),
    Route("DELETE", _ONE, _delete, "Let a profile id stand for nothing", answers={204: None}, fails=(503,)),
)
