"""Send (OMA Core 6.4.6): values that devices report by themselves, with ``POST /dp``.

RULES: who sends is known by its address or proved identity; of several endpoints at one address it is the only one that
has all that is named, else nobody can say. A Send is answered when its values are durable, and then, because the device
is awake, the first request that waits for it leaves. Nothing is taken of a payload that can't be read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Peer, Response
from lwm2md.coap.message import Message
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import ContentError, Nodes
from lwm2md.lwm2m.paths import ROOT
from lwm2md.server.admission import Gate, rejection
from lwm2md.server.answers import UNDECODABLE, rows
from lwm2md.server.checking import has_instance
from lwm2md.server.deviations import noting
from lwm2md.server.parameters import Rejected
from lwm2md.server.records import Device, Registration
from lwm2md.server.requests import root_of
from lwm2md.server.state import State
from lwm2md.server.twin import Twin

DP: Final = "dp"
FORMATS: Final = frozenset({n.SENML_JSON, n.SENML_CBOR, n.LWM2M_CBOR})
UNLISTED: Final = "unlisted-object"
TOO_EARLY: Final = "send-before-1.1"

_SECRET: Final = frozenset({0, 21})
"""Objects whose values no device may tell: Security and OSCORE."""
MOST_VALUES: Final = 10_000
"""Values of one Send; each is stored and told, and everybody waits for that."""
_MOST_SENDERS: Final = 16
"""Endpoints at one address among which the sender is looked for."""
_CHANGED: Final = Response(n.CHANGED)
_UNAVAILABLE: Final = Response(n.SERVICE_UNAVAILABLE, b"storage", ((n.MAX_AGE, b"\x1e"),))


class Sends:
    """Decides on ``/dp``. A proved identity that comes in a new session may go on if the ``gate`` says so, and
    ``moved(device, peer, now)`` is told of it.
    """

    def __init__(
        self,
        state: State,
        twin: Twin,
        *,
        gate: Gate,
        uplink: Callable[[Device, float], None],
        moved: Callable[[Device, Peer, float], None],
    ) -> None:
        self._gate = gate
        self._state = state
        self._twin = twin
        self._uplink = uplink
        self._moved = moved

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request to ``/dp``; None where the answer goes, or has gone, by itself."""
        message = request.message
        if message.path != (DP,):
            return Response(n.NOT_FOUND)
        if message.code != n.POST:
            return Response(n.METHOD_NOT_ALLOWED, b"Send is a POST")
        try:
            device = self._sender(request.peer, message)
            if device is None:
                self._from_elsewhere(request, now)
                return None
        except Rejected as refusal:
            return self._refused(refusal)
        self._taken(device, request, now)
        return None

    def _taken(self, device: Device, request: IncomingRequest, now: float) -> None:
        try:
            self._take(device, request, now)
        except Rejected as refusal:
            self._state.engine.respond(request, self._refused(refusal), now)
            self._uplink(device, now)

    def _refused(self, refusal: Rejected) -> Response:
        self._state.count("sends_refused")
        return Response(refusal.code, refusal.text.encode())

    # Who sends

    def _sender(self, peer: Peer, message: Message) -> Device | None:
        """Who sends; None where it may be known by its identity, in another session."""
        identity = self._state.environment.describe(peer).identity
        found = [each for each in self._state.peers.find(peer) if each.identity == identity]
        if not found and identity is not None and len(self._state.identities.find(identity)) == 1:
            return None
        if not found:
            raise Rejected(n.NOT_FOUND, "not registered from this address")
        return self._device(found[0] if len(found) == 1 else self._fitting(found, message))

    def _from_elsewhere(self, request: IncomingRequest, now: float) -> None:
        where = self._state.environment.describe(request.peer)
        (registration,) = self._state.identities.find(where.identity or "")

        def asked(cause: str, now: float) -> None:
            device = self._state.devices.get(registration.endpoint)
            if cause or device is None or device.registration is not registration:
                refusal = rejection(cause) if cause else Rejected(n.NOT_FOUND, "not registered")
                self._state.engine.respond(request, self._refused(refusal), now)
                return
            self._moved(device, request.peer, now)
            self._taken(device, request, now)

        self._gate.again(registration.endpoint, where, now, asked)

    def _device(self, registration: Registration) -> Device:
        return self._state.devices[registration.endpoint]

    def _fitting(self, registrations: Collection[Registration], message: Message) -> Registration:
        """The only registration at an address that lists all Object Instances that are named."""
        fitting = []
        for each in registrations if len(registrations) <= _MOST_SENDERS else ():
            target, nodes, _ = self._read(self._device(each), message)
            if target.registration is not None and not _unlisted(target.registration, nodes):
                fitting.append(each)
        if len(fitting) != 1:
            raise Rejected(n.BAD_REQUEST, "several endpoints are at this address")
        return fitting[0]

    # What is sent

    def _take(self, device: Device, request: IncomingRequest, now: float) -> None:
        message = request.message
        if (self._state.profile(device).send or self._state.settings.send) == "refuse":
            raise Rejected(n.FORBIDDEN, "Send is not wanted")
        target, nodes, deviations = self._read(device, message, now)
        registration = target.registration
        if len(nodes) > MOST_VALUES:
            raise Rejected(n.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_VALUES} values")
        if any(entry.path[0] in _SECRET for entry in nodes):
            raise Rejected(n.BAD_REQUEST, "credentials are not for sending")
        if registration is not None and _unlisted(registration, nodes):
            deviations.append(UNLISTED)
        if registration is not None and registration.version == "1.0":
            deviations.append(TOO_EARLY)
        values = rows(nodes, self._state.resource_model(target), now, deviations.append)
        if not values:
            raise Rejected(n.BAD_REQUEST, "no values")
        note = noting(self._state, target, message.payload, now)
        for kind in dict.fromkeys(deviations):
            note(kind)

        def ended(committed: bool, now: float) -> None:
            self._state.count("sends_accepted" if committed else "sends_refused")
            self._state.engine.respond(request, _CHANGED if committed else _UNAVAILABLE, now)
            if target.registration is not None:
                self._uplink(target, now)

        self._twin.learn(target, (), values, "send", now=now, resume=ended)

    def _read(self, device: Device, message: Message, now: float | None = None) -> tuple[Device, Nodes, list[str]]:
        """Whose values these are (the device's, or of one behind it), the values, and what was passed over.

        Where ``now`` is given, what can't be read is noted. Raises Rejected.
        """
        number = message.content_format
        if number is None:
            raise Rejected(n.BAD_REQUEST, "Content-Format is missing")
        if number not in FORMATS:
            raise Rejected(n.UNSUPPORTED_CONTENT_FORMAT, f"Content-Format {number} is not for Send")
        failure = ""
        for target, root in _readings(device, number, message.payload):
            deviations: list[str] = []
            type_of = self._state.resource_model(target)
            try:
                nodes = formats.decode(number, ROOT, message.payload, type_of, deviations.append, root=root)
            except ContentError as error:
                failure = failure or str(error)
            else:
                return target, nodes, deviations
        if now is not None:
            noting(self._state, device, message.payload, now)(UNDECODABLE)
        raise Rejected(n.BAD_REQUEST, failure[:100])


def _readings(device: Device, number: int, payload: bytes) -> Iterator[tuple[Device, str]]:
    """As whose values a payload may be read, and what stands before the ids in its names then."""
    root = "" if device.registration is None else root_of(device.registration)
    yield device, root
    if root:
        yield device, ""
    places = []
    for prefix, child in (device.children or {}).items():
        sign = prefix if number == n.LWM2M_CBOR else f"/{prefix}/"
        place = payload.find(sign.encode())
        if place >= 0:
            places.append((place, -len(prefix), prefix, child))
    if places:
        _, _, prefix, child = min(places)
        yield child, f"/{prefix}"


def _unlisted(registration: Registration, nodes: Nodes) -> bool:
    """Whether one of these is of an Object Instance that the device does not have; a bare Object has any."""
    bare = {path[0] for path in registration.objects.paths if len(path) == 1}
    instances = {entry.path[:2] for entry in nodes}
    return any(place[0] not in bare and not has_instance(registration, place) for place in instances)
