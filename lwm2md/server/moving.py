"""Changes of address: what takes a registration to another one, and what does not (`field.md`).

RULES: on plain CoAP a Location that nobody can guess, an Echo (RFC 9175) or a new Register, as the operator says; an
authenticated identity was checked before and may be anywhere. What is under way to the old address is withdrawn, and
its turn comes again.
"""

from __future__ import annotations

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Peer, Response
from lwm2md.server import reach
from lwm2md.server.lifetimes import Lifetimes
from lwm2md.server.parameters import Rejected
from lwm2md.server.records import Device, Registration
from lwm2md.server.state import State


class Moves:
    """Decides on addresses, and moves registrations."""

    def __init__(self, state: State, lifetimes: Lifetimes) -> None:
        self._state = state
        self._lifetimes = lifetimes

    def challenge(self, request: IncomingRequest, registration: Registration, now: float) -> Response | None:
        """What the sender of a request to a registration has to show first; None where it may be where it is.

        Raises Rejected where nothing would help.
        """
        follow = self._state.settings.follow
        if request.peer == registration.peer or registration.identity is not None or follow == "update":
            return None
        if follow == "register":
            raise Rejected(n.NOT_FOUND, "registered from another address")
        return self._state.engine.challenge(request.peer, now)

    def challenge_register(self, request: IncomingRequest, device: Device | None, now: float) -> Response | None:
        """Like `challenge`, of a Register that would take the place of a registration at another address."""
        previous = None if device is None or device.behind is not None else device.registration
        if previous is None or previous.identity is not None or self.is_free(previous, request.peer):
            return None
        settings = self._state.settings
        if not settings.displace:
            raise Rejected(n.FORBIDDEN, "registered from another address")
        return self._state.engine.challenge(request.peer, now) if settings.follow == "echo" else None

    def is_free(self, previous: Registration, peer: Peer) -> bool:
        """Whether a Register from there may take the place of one without an identity, whoever sends it."""
        settings = self._state.settings
        return previous.peer == peer or (settings.displace and settings.follow != "echo")

    def move(self, device: Device, peer: Peer, now: float) -> None:
        """Find a registered device at this address from now on, where it proved to be."""
        registration = device.registration
        if registration is not None and peer != registration.peer:
            self.withdraw(device, now)
            before = self._host(registration)
            self._lifetimes.move(registration, peer)
            if before == self._host(registration):
                reach.nat_seen(self._state, device)

    def withdraw(self, device: Device, now: float) -> None:
        """The device has another address: what is under way to the old one ends."""
        if device.current is not None and device.current.token is not None:
            self._state.engine.withdraw(device.current.token, now)

    def _host(self, registration: Registration) -> str:
        """The address of a registration without its port."""
        return self._state.environment.describe(registration.peer).address.rpartition(":")[0]
