"""Letting a refused device in with one step: which credential was missing, or what else is needed.

RULES: a step makes one credential, or changes one; the operator's settings are changed by nobody else. What a device
has only claimed gives it no more than it was refused for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from lwm2md.security.credentials import NOSEC, Credential, kind_of
from lwm2md.security.rules import Grant, Policy, exactly
from lwm2md.server.errors import NeedsMore
from lwm2md.server.refused import Refusal

KEYLESS: Final = frozenset({"unknown-identity", "wrong-key"})
"""Causes that a key of a PSK identity is the answer to."""
_NEEDED: Final[Mapping[str, str]] = {
    "blocked-endpoint": "its name must come off [security] block",
    "registered-by-another": "forget the device that has the endpoint, or see [security] take-over",
    "too-many-registrations": "see [limits] registrations-per-identity",
    "wrong-scope": "put its credential with scope registration",
    "no-endpoint": "it must name an endpoint, or its credential must have just one",
    "admission-timeout": "the storage or a plugin did not answer; it may come again",
    "admission-failed": "a plugin failed; it may come again",
    "denied": "a plugin refused it",
    "handshake-failed": "its detail says why: a certificate must be signed by one of [security] ca, in date and on "
    "no list of [security] crl, and there must be a cipher suite that both have",
    "malformed-identity": "it must be configured with an identity that can be one",
    "no-identity": "it must have an identity, or a certificate with a name",
    "timeout": "it did not end its handshake; it may come again",
    "revoked": "its credential was revoked while it shook hands",
}
_NEEDS_KEY: Final = "its key is needed: send it as key, in hex"


def missing(refusal: Refusal, known: Credential | None, policy: Policy, *, key: bool) -> Credential:
    """The credential that lets this device in, from the ``known`` one if it has one; ``key``: one comes along.

    Raises NeedsMore.
    """
    if refusal.cause in KEYLESS:
        return _identified(refusal, known, key)
    if refusal.cause == "blocked-identity" and known is not None and known.blocked:
        return msgspec.structs.replace(known, blocked=False)
    if refusal.cause in {"security-needed", "endpoint-not-allowed"} and refusal.proved is None and refusal.endpoint:
        return Credential(NOSEC + refusal.endpoint, "nosec")
    if refusal.cause in {"endpoint-of-another", "endpoint-not-allowed"} and refusal.proved is not None:
        return _widened(refusal, known, policy)
    if refusal.cause == "blocked-identity":
        raise NeedsMore("its identity must come off [security] block-identities")
    raise NeedsMore(_NEEDED.get(refusal.cause, f"no credential answers {refusal.cause}"))


def _identified(refusal: Refusal, known: Credential | None, key: bool) -> Credential:
    if refusal.identity is None:
        raise NeedsMore("it has shown no identity")
    kind = kind_of(refusal.identity)
    if kind != "psk" and refusal.proved is None:
        raise NeedsMore("it must be configured with an identity that can be one: nobody has proved this name")
    if kind == "psk" and not key:
        raise NeedsMore(_NEEDS_KEY, "key")
    if known is not None:
        return known
    name = refusal.proved.name if refusal.proved is not None else refusal.identity
    endpoints = (exactly(refusal.endpoint),) if refusal.endpoint and refusal.endpoint != name else ()
    return Credential(refusal.identity, kind, endpoints=endpoints)


def _widened(refusal: Refusal, known: Credential | None, policy: Policy) -> Credential:
    assert refusal.proved is not None
    assert refusal.identity is not None
    grant = None if known is None else Grant(known.endpoints)
    endpoints = dict.fromkeys((*policy.endpoints_of(refusal.proved, grant), exactly(refusal.endpoint or "")))
    credential = known or Credential(refusal.identity, kind_of(refusal.identity))
    return msgspec.structs.replace(credential, endpoints=tuple(endpoints))
