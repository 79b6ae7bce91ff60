"""Who may register as what: rules from identities to Endpoint Client Names, allow and block lists.

RULES: what is not said is refused. A credential that names endpoints has the last word on them; else the operator's
rules that match the identity, any of them; else an identity may register under its own name (PSK identity, common name
or a name of the certificate). Blocks come before all that, and nothing here looks at what a device claims of itself.
Patterns are shell globs, with upper and lower case as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal

import attrs

from lwm2md.security.identity import Identity

Kind = Literal["psk", "cn", "san", "serial", "issuer", "key-hash"]

_VALUES: Final[Mapping[str, Callable[[Identity], Sequence[str]]]] = {
    "psk": lambda identity: (identity.name,) if identity.kind == "psk" else (),
    "cn": lambda identity: (identity.name,) if identity.kind == "x509" and identity.name else (),
    "san": lambda identity: identity.sans,
    "serial": lambda identity: (f"{identity.serial.lower()}@{identity.issuer}",) if identity.serial else (),
    "issuer": lambda identity: (identity.issuer,) if identity.issuer else (),
    "key-hash": lambda identity: (identity.key_hash.lower(),) if identity.key_hash else (),
}
_MATCHED: Final = "{}"
_WILD: Final = re.compile(r"[*?[]")
_ESCAPED: Final = re.compile(r"\[([*?[])\]")
_EXPECTED: Final = f"KIND PATTERN -> ENDPOINT ..., where KIND is one of {', '.join(_VALUES)}"


class BadRule(ValueError):  # noqa: N818  what is wrong with a setting
    """A line that is no rule."""


@attrs.frozen(slots=True)
class Rule:
    """Identities whose ``kind`` of name is like ``pattern`` may register as one of ``endpoints`` (globs)."""

    kind: str
    pattern: str
    endpoints: tuple[str, ...]

    def __str__(self) -> str:
        """The rule as it is written."""
        return f"{self.kind} {self.pattern} -> {' '.join(self.endpoints)}"

    def grants(self, identity: Identity) -> Iterator[str]:
        """The globs of endpoints that this rule gives an identity."""
        for value in _VALUES[self.kind](identity):
            if fnmatchcase(value, self.pattern):
                for endpoint in self.endpoints:
                    yield endpoint.replace(_MATCHED, exactly(value))


@attrs.frozen(slots=True)
class Grant:
    """What is known of an identity by its credential: where it may register, and what labels come with that."""

    endpoints: tuple[str, ...] = ()
    labels: Mapping[str, str] = attrs.Factory(dict)
    scope: Literal["registration", "bootstrap"] = "registration"
    blocked: bool = False


@attrs.frozen(slots=True, kw_only=True)
class Policy:
    """The operator's word on who may register: see `lwm2md.config.security.Security`."""

    rules: tuple[Rule, ...] = ()
    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    block_identities: tuple[str, ...] = ()
    unsecured: tuple[str, ...] = ("*",)
    known_certificates: bool = False
    take_over: Literal["same", "proved", "any"] = "proved"

    @property
    def is_open(self) -> bool:
        """Whether anybody may register as any endpoint without having proved anything: `refusal` is "" for all."""
        return not self.block and not self.allow and "*" in self.unsecured

    def refusal(self, endpoint: str, identity: Identity | None, grant: Grant | None) -> str:
        """Why this identity may not register as this endpoint, as a stable word; "" where it may.

        ``identity`` None has proved nothing, and ``grant`` then is the operator's leave to register without security;
        it is None where there is no credential.
        """
        if matches(endpoint, self.block):
            return "blocked-endpoint"
        named = grant is not None and not grant.blocked and bool(grant.endpoints)
        if self.allow and not named and not matches(endpoint, self.allow):
            return "endpoint-not-allowed"
        if identity is not None:
            return self._of_identity(endpoint, identity, grant)
        if grant is not None:
            return "blocked-identity" if grant.blocked else ""
        return "" if matches(endpoint, self.unsecured) else "security-needed"

    def _of_identity(self, endpoint: str, identity: Identity, grant: Grant | None) -> str:
        if any(matches(name, self.block_identities) for name in identity.names):
            return "blocked-identity"
        if grant is None and (identity.kind == "psk" or self.known_certificates):
            return "unknown-identity"
        if grant is not None and grant.blocked:
            return "blocked-identity"
        if grant is not None and grant.scope != "registration":
            return "wrong-scope"
        return "" if matches(endpoint, self.endpoints_of(identity, grant)) else "endpoint-of-another"

    def endpoints_of(self, identity: Identity, grant: Grant | None) -> tuple[str, ...]:
        """Globs of the endpoints that are an identity's."""
        if grant is not None and grant.endpoints:
            return grant.endpoints
        granted = [endpoint for rule in self.rules for endpoint in rule.grants(identity)]
        if granted:
            return tuple(granted)
        return tuple(exactly(name) for name in (identity.name, *identity.sans) if name)

    def implied(self, identity: Identity, grant: Grant | None) -> str | None:
        """The endpoint of an identity that registers without naming one: the only one that it may have, or its name."""
        granted = self.endpoints_of(identity, grant)
        if len(granted) == 1 and literal(granted[0]) is not None:
            return literal(granted[0])
        return identity.name or None

    def displaces(self, before: str | None, coming: str | None) -> bool:
        """Whether the identity ``coming`` (its text) may take the place of a live registration of ``before``."""
        if before == coming or self.take_over == "any":
            return True
        return self.take_over == "proved" and before is None


def parse_rule(line: str) -> Rule:
    """The rule of a line such as ``cn gateway-* -> {} {}-*``. Raises BadRule."""
    left, arrow, right = line.rpartition(" -> ")
    kind, _, pattern = left.strip().partition(" ")
    endpoints = tuple(right.split())
    if not arrow or kind not in _VALUES or not pattern.strip() or not endpoints or not line.isprintable():
        raise BadRule(_EXPECTED)
    return Rule(kind, pattern.strip(), endpoints)


def matches(name: str, globs: Sequence[str]) -> bool:
    """Whether one of the globs is like the name."""
    # Nearly always there is none, or one that is like everything.
    if not globs or "*" in globs:
        return bool(globs)
    return any(fnmatchcase(name, glob) if _WILD.search(glob) else name == glob for glob in globs)


def literal(glob: str) -> str | None:
    """The only name that a glob is like; None where there are several."""
    rest = _ESCAPED.sub("", glob)
    return None if _WILD.search(rest) else _ESCAPED.sub(lambda found: found[1], glob)


def exactly(name: str) -> str:
    """The glob that is like this name only."""
    return _WILD.sub(lambda found: f"[{found[0]}]", name)
