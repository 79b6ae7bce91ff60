"""Profile ids: the object lists that operators give them, for devices that register with an id in place of a list."""

from __future__ import annotations

from typing import Final

from lwm2md.http.bodies import ProfileBody
from lwm2md.http.documents import ProfileDocument
from lwm2md.http.named import Named, Words

ROUTES: Final = Named(
    "/v1/profile-ids/{pid}",
    Words(
        "List the profile ids that stand for an object list",
        "One profile id with its list",
        "Let a profile id stand for an object list",
        "Let a profile id stand for nothing",
    ),
    ProfileDocument,
    ProfileBody,
    known=lambda server: {pid: ProfileDocument(pid, links) for pid, links in server.profiles.configured.items()},
    get=lambda server, pid: ProfileDocument(pid, server.profiles.links(pid)),
    show=lambda _, found: found,
    put=lambda server, pid, body, then: server.profiles.put(pid, body.links, then),
    remove=lambda server, pid, then: server.profiles.remove(pid, then),
).routes()
