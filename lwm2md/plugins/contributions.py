"""What plugins add to the daemon: settings, storage, alert rules, firmware, routes of the API, commands of lwm2mctl."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import attrs

from lwm2md.config.values import BadValue, Kind
from lwm2md.plugins.records import Delivered
from lwm2md.storage.interface import Storage

Severity = Literal["info", "warning", "critical"]


@attrs.frozen
class Setting:
    """One key of ``[plugin:NAME]``: its ``kind`` of `lwm2md.config.values`, its ``default`` as text, a line of help.

    A key whose ``default`` is None has to be given.
    """

    key: str
    kind: Kind
    default: str | None
    help: str


@attrs.frozen
class StorageBackend:
    """A place to keep what must survive, for ``[storage] url = SCHEME:…``.

    ``check`` raises `BadValue` for a URL that can't be meant; it opens nothing. ``make`` gets the URL, the directory of
    what the daemon keeps and the reactor, and returns a storage that is not open yet.
    """

    scheme: str
    make: Callable[[str, Path, Any], Storage]
    check: Callable[[str], object] = lambda url: None


@attrs.frozen
class Alert:
    """What an alert rule has found: of one ``rule`` and ``endpoint`` there is one alert at a time."""

    endpoint: str | None
    severity: Severity
    text: str
    raised: bool = True


@attrs.frozen
class AlertRule:
    """A rule: ``test`` looks at an event of one of the ``types``, shell globs, and returns what it raises or clears."""

    name: str
    types: Sequence[str]
    test: Callable[[Delivered], Alert | None]


@attrs.frozen
class FirmwareImage:
    """A firmware image that a repository has: for which devices, of which version, how long, and its SHA-256 in hex."""

    name: str
    version: str
    size: int
    sha256: str
    manufacturer: str = "*"
    model: str = "*"


@runtime_checkable
class FirmwareRepository(Protocol):
    """Where firmware comes from. Both methods may be plain or asynchronous, like hooks."""

    def images(self) -> Sequence[FirmwareImage] | Awaitable[Sequence[FirmwareImage]]:
        """The images that there are."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes | Awaitable[bytes]:
        """At most ``size`` bytes of an image from ``offset`` on; fewer only at its end. Raises LookupError."""
        ...


@attrs.frozen
class ApiRequest:
    """A call of a plugin's route: decoded arguments of the path, of the query, and the body in the route's type."""

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str | None]
    body: Any
    principal: str


@attrs.frozen
class ApiReply:
    """An answer of a plugin's route: a document for JSON, or bytes with their ``content_type``."""

    body: object = None
    status: int = 200
    content_type: str = "application/json"


class ApiProblem(Exception):  # noqa: N818  the word of RFC 9457
    """Raised by a route: the caller gets a problem document with this status, code and detail."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


@attrs.frozen
class ApiRoute:
    """A route that a plugin adds to the API, under ``/v1/plugins/NAME/``; one that begins with ``/v1/`` is as it is.

    ``handler`` gets an `ApiRequest` and returns an `ApiReply`, a document, or an awaitable of either; it runs where a
    hook of its shape would. ``query`` maps parameters to a line of help. ``body`` is the type of the body, decoded by
    msgspec, and ``answer`` that of the document; both are in the OpenAPI document.
    """

    method: str
    path: str
    handler: Callable[[ApiRequest], Any]
    summary: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = None
    answer: Any = None
    status: int = 200


class CommandClient(Protocol):
    """What a command of lwm2mctl asks the daemon with. Raises ``lwm2md.ctl.errors.CommandError``."""

    def get(self, path: str, query: Mapping[str, object] = ...) -> Any:
        """The document at a path of the API."""
        ...

    def request(
        self, method: str, path: str, query: Mapping[str, object] = ..., body: object = None, wait: float = 0.0
    ) -> Any:
        """One request; its ``status`` and ``document``."""
        ...


class CommandOutput(Protocol):
    """What a command of lwm2mctl shows its result with: for a person, or as JSON."""

    def facts(self, document: Mapping[str, object]) -> None:
        """One document."""
        ...

    def items(self, items: Any, heads: Sequence[str], names: Sequence[str]) -> None:
        """A list of documents as a table."""
        ...

    def said(self, text: str) -> None:
        """A sentence, where the output is for a person."""
        ...


@attrs.frozen
class Command:
    """A command of lwm2mctl. ``arguments`` are pairs of a name and the keywords of argparse's ``add_argument``.

    ``run`` gets the parsed arguments, the client and the output, and returns the exit status.
    """

    name: str
    summary: str
    run: Callable[[Any, CommandClient, CommandOutput], int]
    arguments: Sequence[tuple[str, Mapping[str, Any]]] = ()


__all__ = [
    "Alert",
    "AlertRule",
    "ApiProblem",
    "ApiReply",
    "ApiRequest",
    "ApiRoute",
    "BadValue",
    "Command",
    "CommandClient",
    "CommandOutput",
    "FirmwareImage",
    "FirmwareRepository",
    "Setting",
    "StorageBackend",
]
