"""Requests to ``/rd`` take turns: what concerns one endpoint is decided one after the other, late answers included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Response
from lwm2md.server.parameters import Rejected
from lwm2md.server.state import State

UNAVAILABLE: Final = Response(n.SERVICE_UNAVAILABLE, b"storage", ((n.MAX_AGE, b"\x1e"),))
BUSY: Final = Response(n.SERVICE_UNAVAILABLE, b"busy", ((n.MAX_AGE, b"\x05"),))
_LATER: Final = ((n.MAX_AGE, b"\x3c"),)

Decide = Callable[[IncomingRequest, float], None]


class Turns:
    """Lets requests be decided when their endpoint's turn is, and answers those that are refused then."""

    def __init__(self, state: State) -> None:
        self._state = state

    def take(self, request: IncomingRequest, endpoint: str, now: float, decide: Decide) -> Response | None:
        """Decide now, or when what is being decided for the endpoint has ended; the answer where too many wait."""
        later = self.guarded(request, decide)
        return None if self._state.exclusive(endpoint, now, later) else BUSY

    def guarded(self, request: IncomingRequest, decide: Decide) -> Callable[[float], None]:
        """The decision on a request, at any time, whose refusal is answered."""

        def later(now: float) -> None:
            try:
                decide(request, now)
            except Rejected as refusal:
                self._state.engine.respond(request, self.refused(refusal), now)

        return later

    def refused(self, refusal: Rejected) -> Response:
        """The answer to a request that was refused; one that may come again is told when."""
        self._state.count("registrations_refused")
        options = _LATER if refusal.code == n.SERVICE_UNAVAILABLE else ()
        return Response(refusal.code, refusal.text.encode(), options)
