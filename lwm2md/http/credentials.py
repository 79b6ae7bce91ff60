"""Credentials: what proves an identity, and as which endpoints it may register.

RULES: keys go in and never come out; no document and no problem holds one. What a file of the configuration says is
shown and not changed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec

from lwm2md.documents import time_text
from lwm2md.http import parameters as p
from lwm2md.http.asking import answer_with
from lwm2md.http.bodies import Body
from lwm2md.http.documents import Page
from lwm2md.http.problems import FieldError, Problem
from lwm2md.http.replies import NO_STORE, Reply, json_reply, no_content
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.security.credentials import LONGEST, BadCredential, Credential, Kind, Scope, checked_identity, key_of
from lwm2md.server.errors import UnknownCredential
from lwm2md.vault import Vault, Wanted

MOST_ITEMS: Final = 1000
"""Credentials that are put with one call."""
_MOST_PATTERNS: Final = 64
_MOST_LABELS: Final = 64
_LONGEST_OVERLAP: Final = 365 * 86400.0
_HEX: Final = "^([0-9a-fA-F]{2}){8,64}$"

_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
_Patterns = Annotated[list[_Pattern], msgspec.Meta(max_length=_MOST_PATTERNS)]
_Label = Annotated[str, msgspec.Meta(pattern="^[^=!,]+$", max_length=LONGEST)]


class CredentialBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential. ``key`` is hex, and as it was where it is absent; those before a new one are valid for ``overlap``
    seconds more. ``endpoint`` is a pattern or several of what it may register as; without any the rules of the
    configuration say. A ``blocked`` one is refused. ``labels`` go to the devices that register with it.
    """

    type: Kind
    key: Annotated[str, msgspec.Meta(description="8 to 64 bytes in hex; write-only")] | None = None
    endpoint: _Pattern | _Patterns | None = None
    scope: Scope = "registration"
    labels: Annotated[dict[_Label, str], msgspec.Meta(max_length=_MOST_LABELS)] = {}
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    blocked: bool = False
    overlap: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_OVERLAP)] = 0.0


class CredentialItem(CredentialBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One credential of several."""

    identity: str


class CredentialsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Credentials to be put together, all or none; ``check`` only looks whether that could be."""

    items: Annotated[list[CredentialItem], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]
    check: bool = False


class CredentialDocument(msgspec.Struct):
    """A credential without its secrets: ``keys`` is how many are valid, ``overlap_until`` when the older ones end.

    ``source`` is ``api``, or ``file`` for those of the configuration.
    """

    identity: str
    type: Kind
    scope: Scope
    endpoint: list[str]
    labels: dict[str, str]
    note: str
    blocked: bool
    keys: int
    overlap_until: str | None
    created: str | None
    changed: str | None
    source: str


class CredentialsPutDocument(msgspec.Struct):
    """How many credentials are new, and how many are in place of others."""

    created: int
    replaced: int
    checked: bool


def document(vault: Vault, credential: Credential) -> CredentialDocument:
    """A credential as it is shown."""
    now = vault.now()
    ends = [key.until for key in credential.keys if key.until is not None and key.until > now]
    return CredentialDocument(
        credential.identity,
        credential.type,
        credential.scope,
        list(credential.endpoints),
        dict(credential.labels),
        credential.note,
        credential.blocked,
        sum(key.until is None or key.until > now for key in credential.keys),
        time_text(max(ends, default=None)),
        time_text(credential.created or None),
        time_text(credential.changed or None),
        "file" if vault.in_file(credential.identity) else "api",
    )


def wanted(identity: str, body: CredentialBody) -> Wanted:
    """The credential that a body asks for. Raises BadCredential."""
    checked_identity(identity, body.type)
    if body.type != "psk" and body.key is not None:
        raise BadCredential("key", f"a credential of type {body.type} has no key here")
    if body.type == "nosec" and body.endpoint is not None:
        raise BadCredential("endpoint", "the endpoint is the one that the identity names")
    key = None if body.key is None else key_of(body.key)
    endpoints = body.endpoint if isinstance(body.endpoint, list) else [body.endpoint] if body.endpoint else []
    if not all(endpoint.isprintable() for endpoint in endpoints):
        raise BadCredential("endpoint", "patterns of printable characters are expected")
    asked = Credential(
        identity,
        body.type,
        body.scope,
        tuple(dict.fromkeys(endpoints)),
        labels=body.labels,
        note=body.note,
        blocked=body.blocked,
    )
    return Wanted(asked, key, body.overlap)


def principal(call: Call) -> str:
    """Who calls, for the audit log."""
    return "admin"


def _list(call: Call) -> None:
    async def work() -> Reply:
        vault = call.node.vault
        found, cursor = await vault.page(call.query["after"] or "", call.query["limit"])
        return json_reply(Page([document(vault, each) for each in found], cursor))

    answer_with(call, work())


def _get(call: Call) -> None:
    async def work() -> Reply:
        vault, identity = call.node.vault, call.path_arguments["identity"]
        found = await vault.find(identity)
        if found is None:
            raise UnknownCredential(f"no credential {identity[:LONGEST]!r}")
        return json_reply(document(vault, found))

    answer_with(call, work())


def _put(call: Call) -> None:
    async def work() -> Reply:
        vault = call.node.vault
        item = wanted(call.path_arguments["identity"], call.document)
        [(credential, new)] = await vault.put((item,), principal(call))
        if not new:
            return json_reply(document(vault, credential))
        location = b"/v1/credentials/" + quote(credential.identity, safe="").encode("ascii")
        return json_reply(document(vault, credential), 201, (*NO_STORE, (b"Location", location)))

    answer_with(call, work())


def _put_all(call: Call) -> None:
    async def work() -> Reply:
        body: CredentialsBody = call.document
        items = _all(body.items)
        made = await call.node.vault.put(items, principal(call), check=body.check)
        new = sum(new for _, new in made)
        return json_reply(CredentialsPutDocument(new, len(made) - new, body.check))

    answer_with(call, work())


def _all(items: Sequence[CredentialItem]) -> list[Wanted]:
    """What the items ask for; raises `Problem` with everything that is wrong with any of them."""
    found: list[Wanted] = []
    errors: list[FieldError] = []
    seen: dict[str, int] = {}
    for number, item in enumerate(items):
        try:
            if seen.setdefault(item.identity, number) != number:
                raise BadCredential("identity", f"is in items[{seen[item.identity]}] already")
            found.append(wanted(item.identity, item))
        except BadCredential as error:
            errors.append(FieldError(f"items[{number}].{error.field}", str(error)))
    if errors:
        raise Problem("bad-credential", f"{errors[0].field}: {errors[0].message}", errors=errors)
    return found


def _delete(call: Call) -> None:
    async def work() -> Reply:
        await call.node.vault.remove(call.path_arguments["identity"], principal(call))
        return no_content()

    answer_with(call, work())


_ONE: Final = "/v1/credentials/{identity}"
_BODY: Final[Any] = Body(CredentialBody, secret=True)

ROUTES: Final = (
    Route(
        "GET",
        "/v1/credentials",
        _list,
        "List credentials, without their keys",
        (p.LIMIT, p.AFTER),
        answers={200: Page[CredentialDocument]},
        fails=(503,),
    ),
    Route(
        "POST",
        "/v1/credentials",
        _put_all,
        "Put several credentials, all or none",
        body=Body(CredentialsBody, secret=True),
        answers={200: CredentialsPutDocument},
        fails=(409, 503),
    ),
    Route("GET", _ONE, _get, "One credential, without its keys", answers={200: CredentialDocument}, fails=(503,)),
    Route(
        "PUT",
        _ONE,
        _put,
        "Make a credential valid, or give it another key",
        body=_BODY,
        answers={200: CredentialDocument, 201: CredentialDocument},
        fails=(409, 503),
    ),
    Route("DELETE", _ONE, _delete, "Revoke a credential; its sessions end", answers={204: None}, fails=(409, 503)),
)
