"""The inbox of devices that were refused, with one-step admission."""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.defer import Deferred

from lwm2md.documents import time_text
from lwm2md.http import parameters as p
from lwm2md.http.asking import answer_with
from lwm2md.http.bodies import Body
from lwm2md.http.credentials import CredentialDocument, document, principal
from lwm2md.http.documents import Page
from lwm2md.http.replies import Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.http.waiting import answer_when_durable
from lwm2md.security import audit
from lwm2md.security.credentials import Credential, key_of
from lwm2md.server.admitting import missing
from lwm2md.server.refused import Refusal
from lwm2md.tuning import policy
from lwm2md.vault import NotStored, Wanted


class AdmitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the device needs beside leave: the ``key`` of its identity, in hex."""

    key: str | None = None


class RefusedDocument(msgspec.Struct):
    """A device that was refused, and why. ``identity`` is what it said, and has ``proved`` if that is true; a
    certificate has several ``names`` that a credential may go by.
    """

    id: str
    cause: str
    endpoint: str | None
    identity: str | None
    proved: bool
    names: list[str]
    address: str
    transport: str
    detail: str
    count: int
    first: str | None
    last: str | None


def _document(refusal: Refusal) -> RefusedDocument:
    proved = refusal.proved
    return RefusedDocument(
        refusal.id,
        refusal.cause,
        refusal.endpoint,
        refusal.identity,
        proved is not None,
        [] if proved is None else list(proved.names),
        refusal.address,
        refusal.transport,
        refusal.detail,
        refusal.count,
        time_text(refusal.first),
        time_text(refusal.last),
    )


def _list(call: Call) -> Reply:
    limit, after, cause = (call.query[name] for name in ("limit", "after", "cause"))
    found = [each for each in call.node.server.refused.entries() if cause is None or each.cause == cause]
    ids = [each.id for each in found]
    start = ids.index(after) + 1 if after in ids else 0
    shown = found[start : start + limit]
    cursor = shown[-1].id if shown and start + limit < len(found) else None
    return json_reply(Page([_document(each) for each in shown], cursor))


def _get(call: Call) -> Reply:
    return json_reply(_document(call.node.server.refused.get(call.path_arguments["id"])))


def _dismiss(call: Call) -> None:
    node, refusal_id = call.node, call.path_arguments["id"]
    by, now = principal(call), node.now()
    answer_when_durable(
        call, lambda then: node.server.refused.remove(refusal_id, by, audit.DISMISSED, now, then), no_content
    )


def _admit(call: Call) -> None:
    answer_with(call, _admitted(call))


async def _admitted(call: Call) -> Reply:
    node, body = call.node, call.document
    refusal = node.server.refused.get(call.path_arguments["id"])
    key = None if body.key is None else key_of(body.key)
    names = refusal.proved.names if refusal.proved is not None else (refusal.identity,) if refusal.identity else ()
    known: Credential | None = None
    for name in names:
        known = known or await node.vault.find(name)
    credential = missing(refusal, known, policy(node.settings.security), key=key is not None)
    [(made, _)] = await node.vault.put((Wanted(credential, key),), principal(call))
    done: Deferred[bool] = Deferred()
    node.server.refused.remove(
        refusal.id, principal(call), audit.ADMITTED, node.now(), lambda committed, _: done.callback(committed)
    )
    node.settle()
    if not await done:
        raise NotStored
    return json_reply(document(node.vault, made))


_CAUSE: Final = p.text("cause", "those of this cause only")
_ONE: Final = "/v1/refused/{id}"

ROUTES: Final = (
    Route(
        "GET",
        "/v1/refused",
        _list,
        "Devices that were refused, the newest first",
        (_CAUSE, p.LIMIT, p.AFTER),
        answers={200: Page[RefusedDocument]},
    ),
    Route("GET", _ONE, _get, "One device that was refused", answers={200: RefusedDocument}),
    Route(
        "POST",
        _ONE + "/admit",
        _admit,
        "Let a refused device in, by the credential that was missing",
        body=Body(AdmitBody, optional=True, secret=True),
        answers={200: CredentialDocument},
        fails=(409, 503),
    ),
    Route("DELETE", _ONE, _dismiss, "Take a refused device out of the list", answers={204: None}, fails=(503,)),
)
