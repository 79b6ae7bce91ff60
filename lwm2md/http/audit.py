"""The audit log: who did what when, the oldest first."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from lwm2md.documents import time_text
from lwm2md.http import parameters as p
from lwm2md.http.asking import answer_with
from lwm2md.http.documents import Page
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.security.audit import ACTIONS, Record

_PAGES: Final = 20
_READ: Final = 1000


class AuditDocument(msgspec.Struct):
    """One record: ``by`` whom, which ``action`` on what ``subject``, and what belongs to the action."""

    id: str
    time: str | None
    by: str
    action: str
    subject: str
    details: dict[str, Any]


def _document(key: str, record: Record) -> AuditDocument:
    return AuditDocument(key, time_text(record.time), record.by, record.action, record.subject, dict(record.details))


def _list(call: Call) -> None:
    answer_with(call, _page(call))


async def _page(call: Call) -> Reply:
    """One page; where few records are of what is asked for, it may have less of them than the limit, or none."""
    limit, action, subject = (call.query[name] for name in ("limit", "action", "subject"))
    after, found = call.query["after"] or "", []
    for _ in range(_PAGES):
        rows = await call.node.audit.page(after, limit if action is subject is None else _READ)
        for key, record in rows:
            after = key
            if action in {None, record.action} and subject in {None, record.subject}:
                found.append(_document(key, record))
                if len(found) == limit:
                    return json_reply(Page(found, after))
        if not rows:
            return json_reply(Page(found, None))
    return json_reply(Page(found, after))


ROUTES: Final = (
    Route(
        "GET",
        "/v1/audit",
        _list,
        "Who did what when, the oldest first",
        (
            p.choice("action", "records of this action only", ACTIONS),
            p.text("subject", "records on this subject only"),
            p.LIMIT,
            p.AFTER,
        ),
        answers={200: Page[AuditDocument]},
        fails=(503,),
    ),
)
