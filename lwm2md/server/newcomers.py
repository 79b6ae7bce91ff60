"""Registers of devices that say what others have said: nearly all of a new fleet, and of one that comes back.

RULES: each is decided, answered and told of as `Registering` does it, with all of a batch in one commit and no layer
asked that has nothing to say. What is not as plain goes the general way: a proved identity, labels, a profile id, a
gateway and those behind it, rules about names, somebody to be asked, an address that has to be shown. What is at hand
for many holds for the settings that it was made with. Whether a part wants to hear of devices of which nothing is known
but their registration is asked when they are stored; of others all are told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
import msgspec

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Peer
from lwm2md.server import stored
from lwm2md.server.admission import Gate
from lwm2md.server.arrivals import departures, facts_of, resume, resumption
from lwm2md.server.deviations import count
from lwm2md.server.effects import Commit, Resume, Write, resume_all
from lwm2md.server.gateways import listed as listed_by_gateway
from lwm2md.server.idle import Idle
from lwm2md.server.lifetimes import Lifetimes
from lwm2md.server.meanings import Frame, Meaning, lifetime_of, new_id, registration_of
from lwm2md.server.moving import Moves
from lwm2md.server.ramp import Ramp
from lwm2md.server.records import NO_LABELS, Device, Registration
from lwm2md.server.registrationrows import registration_row
from lwm2md.server.state import PeerDescription, State
from lwm2md.server.turns import UNAVAILABLE

_MOST: Final = 256
_LOCATION_PATH: Final = b"\x82"
"""How the options begin that make a Location of what would be a Uri-Path: the number of the first is another."""
_MARK: Final = "\0"
_encode: Final = msgspec.json.Encoder().encode


class Coming(msgspec.Struct, frozen=True, gc=False):
    """A Register that is being stored, and what comes of it: one that is ``resumed`` says nothing new.

    The device was ``known`` before.
    """

    request: IncomingRequest
    registration: Registration
    known: bool
    resumed: bool


@attrs.frozen(kw_only=True)
class Concerned:
    """Who has a say. Those who are told, ``arrived`` of a device and ``relisted`` of its list of Objects, have nothing
    to do for a bare one while they are ``indifferent``: then it is just an ``uplink``.
    """

    gate: Gate
    idle: Idle
    lifetimes: Lifetimes
    moves: Moves
    ramp: Ramp
    arrived: Callable[[Device, float], None]
    relisted: Callable[[Device], None]
    indifferent: Callable[[], bool]
    uplink: Callable[[Device, float], None]


class _Together:
    """Those that share a ``commit``, which grows until somebody takes it."""

    __slots__ = ("coming", "commit", "events", "writes")

    def __init__(self, ended: Callable[[list[Coming], bool, float], None]) -> None:
        self.writes: list[Write] = []
        self.events: list[events.Event] = []
        self.coming: list[Coming] = []
        self.commit = Commit(self.writes, self.events, partial(ended, self.coming))


class Newcomers:
    """Takes Registers that are as plain as that."""

    def __init__(self, state: State, parts: Concerned) -> None:
        self._state = state
        self._parts = parts
        self._together: _Together | None = None

    def take(
        self, request: IncomingRequest, meaning: Meaning, endpoint: str, where: PeerDescription, now: float
    ) -> bool:
        """Decide on a Register; False for one that goes the general way, of which nothing was noted."""
        state, parts, frame = self._state, self._parts, meaning.frame
        if frame is None or frame.settings is not state.settings:
            frame = meaning.frame = self._frame(meaning)
        objects = frame.objects
        if objects is None or where.identity is not None or endpoint in state.busy:
            return False
        device = state.devices.get(endpoint)
        if device is not None and not self._returns(device, request.peer):
            return False
        if state.draining or not parts.gate.is_open or not parts.idle.room(endpoint, now):
            return False
        registration = registration_of(
            meaning.parameters,
            objects,
            frame.lifetime,
            identifier=new_id(state.environment.random),
            endpoint=endpoint,
            peer=request.peer,
            transport=where.transport,
            identity=None,
            now=now,
        )
        known = device is not None
        registration.device = device or Device(endpoint, None, None, now)
        own = frame.told % (_encode(registration.id), _encode(where.address), _encode(registration.transport))
        self._store(request, registration, own, known, now)
        return True

    def _returns(self, device: Device, peer: Peer) -> bool:
        """Whether a known device is as plain: nobody else speaks for it, and it has never proved who it is."""
        previous = device.registration
        if device.behind is not None or device.disabled or device.secured:
            return False
        return previous is None or (previous.identity is None and self._parts.moves.is_free(previous, peer))

    def _store(self, request: IncomingRequest, registration: Registration, own: bytes, known: bool, now: float) -> None:
        endpoint, state, together = registration.endpoint, self._state, self._together
        effects = state.effects
        if together is None or not effects or effects[-1] is not together.commit or len(together.coming) >= _MOST:
            together = self._together = _Together(self._ended)
            effects.append(together.commit)
        labels, resumed = NO_LABELS, False
        if known:
            device = registration.device
            labels = device.all_labels(registration)
            resumed = resume(device.registration, registration, now)
            if not resumed:
                together.events += departures(state, device, device.registration, now)
        if resumed:
            told = resumption(registration, labels, now)
        else:
            told = events.Event(events.DEVICE_REGISTERED, now, endpoint, labels, own=own)
        together.events.append(told)
        together.writes.append(Write(stored.REGISTRATIONS, endpoint, registration_row(registration)))
        together.coming.append(Coming(request, registration, known, resumed))
        state.busy[endpoint] = []
        self._parts.ramp.begin(now)

    def _frame(self, meaning: Meaning) -> Frame:
        """What all of them make, found out with a registration that is nobody's."""
        settings, objects, parameters = self._state.settings, meaning.listed, meaning.parameters
        if objects is None or parameters.labels or parameters.profiles:
            return Frame(settings)
        lifetime = lifetime_of(parameters.lifetime, meaning.version, settings)
        nobody = registration_of(
            parameters,
            objects,
            lifetime,
            identifier=_MARK,
            endpoint="",
            peer=b"",
            transport=_MARK,
            identity=None,
            now=0.0,
        )
        if listed_by_gateway(nobody) or not settings.policy.is_open:
            return Frame(settings)
        told = _encode(facts_of(nobody, _MARK)).replace(b"%", b"%%").replace(_encode(_MARK), b"%b")
        return Frame(settings, objects, lifetime, told)

    def _ended(self, coming: list[Coming], committed: bool, now: float) -> None:
        """They are durable, or could not be made so."""
        if self._together is not None and self._together.coming is coming:
            self._together = None  # it holds what nobody needs any more
        parts = self._parts
        for _ in coming:
            parts.ramp.end(now)
        endpoints = [each.registration.endpoint for each in coming]
        parts.idle.arrived_all(endpoints)
        go_on = self._install if committed else self._refuse
        self._state.end_all(endpoints, partial(go_on, coming), now)

    def _refuse(self, coming: Sequence[Coming], now: float) -> None:
        for each in coming:
            self._state.engine.respond(each.request, UNAVAILABLE, now)

    def _install(self, coming: Sequence[Coming], now: float) -> None:
        """Let committed registrations be those of their devices, answer, and tell of them."""
        parts = self._parts
        registrations = [each.registration for each in coming]
        indifferent = parts.indifferent()
        bare = [indifferent and (not each.known or each.registration.device.is_bare) for each in coming]
        others = [not each.known or self._replace(each.registration, now) for each in coming]
        paths = parts.lifetimes.begin(registrations, bare)
        answers = [(each.request, _LOCATION_PATH + path[1:]) for each, path in zip(coming, paths, strict=True)]
        for each in coming:
            device, deviations = each.registration.device, each.registration.objects.deviations
            device.disabled = False
            device.turned(now, "resumed" if each.resumed else "registered")
            if deviations:
                count(self._state, deviations)
        self._state.engine.respond_all(n.CREATED, answers, now)
        told: list[Resume] = []
        for registration, another, is_bare in zip(registrations, others, bare, strict=True):
            device = registration.device
            if not is_bare:
                told.append(partial(self._tell, device, another))
                continue
            device.last_seen = now
            if registration.queue_mode:
                parts.uplink(device, now)
        resume_all(told, True, now)

    def _replace(self, coming: Registration, now: float) -> bool:
        """Forget the registration that a device has; whether the coming one has another list of Objects."""
        previous = coming.device.registration
        if previous is None:
            return True
        self._parts.lifetimes.remove(previous)
        if previous.peer != coming.peer:
            self._parts.moves.withdraw(coming.device, now)
        return previous.objects != coming.objects

    def _tell(self, device: Device, another: bool, _committed: bool, now: float) -> None:
        if another:
            self._parts.relisted(device)
        self._parts.arrived(device, now)
