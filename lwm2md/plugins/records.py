"""What hooks are asked with and answer: frozen records, never a part of the daemon that could be changed.

RULES: names are those of the API and of the specifications; times are Unix seconds. A record may get further fields
with a default; none is renamed or taken away within one `API_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

import attrs

from lwm2md.security.identity import Identity
from lwm2md.subscriptions import Delivered

__all__ = [
    "ALLOW",
    "AskedOperation",
    "BootstrapConfiguration",
    "BootstrapRequest",
    "Credential",
    "CredentialQuery",
    "Delivered",
    "Identity",
    "RegistrationRequest",
    "Verdict",
    "deny",
]

Scope = Literal["registration", "bootstrap"]

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


def _frozen(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(given))


def _listed(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(given)


@attrs.frozen
class Verdict:
    """Whether something may be done, and if not why: ``cause`` is told to whoever asked, and to operators.

    ``labels`` are given to a device whose registration is allowed; policies may look at them.
    """

    allowed: bool
    cause: str = ""
    labels: Mapping[str, str] = attrs.field(default=_NOTHING, converter=_frozen)


ALLOW: Final = Verdict(True)
"""Yes, and nobody else is asked."""


def deny(cause: str) -> Verdict:
    """No, for this reason."""
    return Verdict(False, cause)


@attrs.frozen
class RegistrationRequest:
    """A device that wants to register: its name, who it has proved to be, where it is, what it says of itself.

    ``labels`` are the claims of the device.
    """

    endpoint: str
    identity: Identity | None
    address: str
    transport: str
    labels: Mapping[str, str] = attrs.field(default=_NOTHING, converter=_frozen)


@attrs.frozen
class AskedOperation:
    """An operation that somebody asks of a device: ``principal`` is ``admin``, or ``plugin:NAME``.

    ``op`` and ``paths`` say what and of what; ``request`` is the body as the API has it. ``labels`` are the device's.
    """

    principal: str
    endpoint: str
    op: str
    paths: tuple[str, ...]
    request: Mapping[str, Any] = attrs.field(converter=_frozen, repr=False)
    labels: Mapping[str, str] = attrs.field(default=_NOTHING, converter=_frozen)


@attrs.frozen
class CredentialQuery:
    """A PSK identity, as bytes on the wire, whose key is wanted to register or to bootstrap."""

    identity: bytes
    scope: Scope = "registration"


@attrs.frozen
class Credential:
    """The key of an identity; ``endpoint`` is the name, or the shell glob of names, that it may register with."""

    key: bytes = attrs.field(repr=False)
    endpoint: str = "*"


@attrs.frozen
class BootstrapRequest:
    """A device that asks for its configuration, with what its request said."""

    endpoint: str
    identity: Identity | None
    address: str
    preferred_format: int | None = None


@attrs.frozen
class BootstrapConfiguration:
    """What a device is told at bootstrap, as ``/v1/bootstrap/configurations`` has it.

    Keys of ``security`` and ``server`` are Object Instance IDs, their values Resources by name or id; ``objects`` has
    further Resources by path, ``delete`` the paths that are removed first.
    """

    security: Mapping[str, Mapping[str, object]] = attrs.field(default=_NOTHING, converter=_frozen, repr=False)
    server: Mapping[str, Mapping[str, object]] = attrs.field(default=_NOTHING, converter=_frozen)
    objects: Mapping[str, object] = attrs.field(default=_NOTHING, converter=_frozen, repr=False)
    delete: Sequence[str] = attrs.field(default=(), converter=_listed)
