"""What may be served beside the server's own paths, without the server knowing what it is.

RULES: the server's paths come first and are never handed on; a neighbour sees the requests for all others. It obeys the
rules of an engine's handler: it answers, or returns None and responds later.
"""

from __future__ import annotations

from typing import Final, Protocol

from lwm2md.coap.engine import IncomingRequest, Response

RESERVED: Final = frozenset({"rd", "bs", "dp", ".well-known"})
"""First segments of the paths that belong to LwM2M, and to discovery."""


class Neighbour(Protocol):
    """A further handler of requests."""

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request, or return None and answer later with `Engine.respond`."""

    def links(self) -> str:
        """Return its links for /.well-known/core (RFC 6690), separated by commas; none is the empty text."""
