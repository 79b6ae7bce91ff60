"""Send (OMA Core 6.4.6): values that devices report by themselves, with ``POST /dp``.

RULES: who sends is known by its address or proved identity; of several endpoints at one address it is the only one that
has all that is named, else nobody can say. A gateway sends for itself and for those behind it: each value is of the
device whose prefix its name has. A Send is answered when its values are durable, and then, because the device is awake,
the first request that waits for it leaves. Nothing is taken of a payload that can't be read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Peer, Response
from lwm2md.coap.message import Message
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.apart import FORMATS, Part, apart
from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import ContentError, Nodes, Note
from lwm2md.lwm2m.paths import ROOT
from lwm2md.lwm2m.rows import ValueRow
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


class _Part(NamedTuple):
    """What a Send tells of one device, and what was passed over to read it."""

    device: Device
    nodes: Nodes
    deviations: list[str]


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
            if not any(map(_is_unlisted, self._read(self._device(each), message))):
                fitting.append(each)
        if len(fitting) != 1:
            raise Rejected(n.BAD_REQUEST, "several endpoints are at this address")
        return fitting[0]

    # What is sent

    def _take(self, device: Device, request: IncomingRequest, now: float) -> None:
        message = request.message
        if (self._state.profile(device).send or self._state.settings.send) == "refuse":
            raise Rejected(n.FORBIDDEN, "Send is not wanted")
        parts = self._read(device, message, now)
        if sum(len(part.nodes) for part in parts) > MOST_VALUES:
            raise Rejected(n.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_VALUES} values")
        if any(entry.path[0] in _SECRET for part in parts for entry in part.nodes):
            raise Rejected(n.BAD_REQUEST, "credentials are not for sending")
        found = [(part.device, values) for part in parts if (values := self._values(part, message, now))]
        if not found:
            raise Rejected(n.BAD_REQUEST, "no values")
        outcomes: list[bool] = []

        def ended(committed: bool, now: float) -> None:
            outcomes.append(committed)
            if len(outcomes) == len(found):
                self._ended(request, [device for device, _ in found], all(outcomes), now)

        for target, values in found:
            self._twin.learn(target, (), values, "send", now=now, resume=ended)

    def _values(self, part: _Part, message: Message, now: float) -> tuple[ValueRow, ...]:
        """The values of one device, and a note of what was passed over."""
        deviations = list(part.deviations)
        registration = part.device.registration
        if _is_unlisted(part):
            deviations.append(UNLISTED)
        if registration is not None and registration.version == "1.0":
            deviations.append(TOO_EARLY)
        values = rows(part.nodes, self._state.resource_model(part.device), now, deviations.append)
        if values:
            note = noting(self._state, part.device, message.payload, now)
            for kind in dict.fromkeys(deviations):
                note(kind)
        return values

    def _ended(self, request: IncomingRequest, devices: list[Device], committed: bool, now: float) -> None:
        self._state.count("sends_accepted" if committed else "sends_refused")
        self._state.engine.respond(request, _CHANGED if committed else _UNAVAILABLE, now)
        for device in devices:
            if device.registration is not None:
                self._uplink(device, now)

    def _read(self, device: Device, message: Message, now: float | None = None) -> list[_Part]:
        """The values, by whose they are: the device's, or of those behind it.

        Where ``now`` is given, what can't be read is noted. Raises Rejected.
        """
        number = message.content_format
        if number is None:
            raise Rejected(n.BAD_REQUEST, "Content-Format is missing")
        if number not in FORMATS:
            raise Rejected(n.UNSUPPORTED_CONTENT_FORMAT, f"Content-Format {number} is not for Send")
        try:
            if device.children:
                return self._apart(device, number, message.payload)
            return [self._part(device, partial(_whole, number, message.payload), _roots(device))]
        except ContentError as error:
            if now is not None:
                noting(self._state, device, message.payload, now)(UNDECODABLE)
            raise Rejected(n.BAD_REQUEST, str(error)[:100]) from None

    def _apart(self, gateway: Device, number: int, payload: bytes) -> list[_Part]:
        children = gateway.children or {}
        found = []
        for prefix, part in apart(number, payload, children).items():
            target, roots = (children[prefix], (f"/{prefix}",)) if prefix else (gateway, _roots(gateway))
            found.append(self._part(target, part, roots))
        return found

    def _part(self, device: Device, part: Part, roots: tuple[str, ...]) -> _Part:
        """What a device tells, with names that begin with one of the roots.

        Raises ContentError as the first root has it. No name holds the error: with its frames it would be a cycle that
        keeps the message until the garbage collector comes.
        """
        try:
            return self._below(device, part, roots[0])
        except ContentError:
            for root in roots[1:]:
                with suppress(ContentError):
                    return self._below(device, part, root)
            raise

    def _below(self, device: Device, part: Part, root: str) -> _Part:
        deviations: list[str] = []
        return _Part(device, part(self._state.resource_model(device), deviations.append, root), deviations)


def _whole(number: int, payload: bytes, type_of: TypeOf, note: Note, root: str) -> Nodes:
    return formats.decode(number, ROOT, payload, type_of, note, root=root)


def _roots(device: Device) -> tuple[str, ...]:
    """What may stand before the ids in the names of a device's own values."""
    root = "" if device.registration is None else root_of(device.registration)
    return (root, "") if root else ("",)


def _is_unlisted(part: _Part) -> bool:
    """Whether one of the values is of an Object Instance that the device does not have; a bare Object has any."""
    registration = part.device.registration
    if registration is None:
        return False
    bare = {path[0] for path in registration.objects.paths if len(path) == 1}
    instances = {entry.path[:2] for entry in part.nodes}
    return any(place[0] not in bare and not has_instance(registration, place) for place in instances)
