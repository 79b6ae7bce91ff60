"""Register (OMA Core 6.2.1): who wants to register as what, with which Objects, and what becomes of it.

RULES: who may not register is refused before anything is stored. Of two that may have the same endpoint the operator's
rule says who wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import attrs
import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Response
from lwm2md.coap.message import uint
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.server import stored
from lwm2md.server.admission import ANOTHER, TOO_MANY, Admission, Verdict, asked_of, rejection
from lwm2md.server.arrivals import register_events, resume
from lwm2md.server.deviations import count
from lwm2md.server.effects import Write
from lwm2md.server.gateways import Gateways
from lwm2md.server.meanings import Meaning, lifetime_of, new_id, registration_of
from lwm2md.server.newcomers import Concerned, Newcomers
from lwm2md.server.objectlists import ObjectLists
from lwm2md.server.parameters import RegistrationParameters, Rejected, name_of, parse
from lwm2md.server.profiles import Profiles
from lwm2md.server.records import Device, Registration
from lwm2md.server.registrationrows import registration_row
from lwm2md.server.state import State
from lwm2md.server.turns import UNAVAILABLE, Turns

_FULL: Final = Response(n.SERVICE_UNAVAILABLE, b"too many devices", ((n.MAX_AGE, b"\x3c"),))
_RD: Final = (n.LOCATION_PATH, b"rd")


@attrs.frozen(kw_only=True)
class Parts(Concerned):
    """Who else has a say when a device registers that may be known, or says something special."""

    gateways: Gateways
    lists: ObjectLists
    profiles: Profiles
    turns: Turns


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What a Register says: its parameters, its whole object list, and the part of it that came as a list."""

    parameters: RegistrationParameters
    version: str
    objects: ObjectList
    listed: ObjectList | None
    labels: Mapping[str, str]


class _Coming(msgspec.Struct, frozen=True, gc=False):
    """A Register that is being stored. ``kept`` is the device as it is stored too, if it is."""

    request: IncomingRequest
    device: Device
    registration: Registration
    kept: Device | None
    resumed: bool


class Registering:
    """Decides on Registers."""

    def __init__(self, state: State, parts: Parts) -> None:
        self._state = state
        self._parts = parts
        self._newcomers = Newcomers(state, parts)

    def register(self, request: IncomingRequest, now: float) -> None:
        """Decide; the answer goes when that is done. Raises Rejected for what is refused at once."""
        name, meaning = self._read(request)
        where = self._state.environment.describe(request.peer)
        if name is None and where.identity is None:
            raise Rejected(n.BAD_REQUEST, "ep is missing")
        later = self._parts.ramp.refuse(now, known=(name or where.identity) in self._state.devices)
        if later is not None:
            self._state.count("registrations_deferred")
            busy = Response(n.SERVICE_UNAVAILABLE, b"too many at once", ((n.MAX_AGE, uint(later)),))
            self._state.engine.respond(request, busy, now)
            return
        if name is not None and meaning.listed is not None and self._newcomers.take(request, meaning, name, where, now):
            return
        asked = asked_of(where, name, meaning.parameters.labels)
        self._parts.gate.ask(asked, now, partial(self._admitted, request, meaning))

    def _read(self, request: IncomingRequest) -> tuple[str | None, Meaning]:
        """The name that a Register says, and all else: a fleet says the same again and again."""
        shape = request.shape
        if shape is not None and isinstance(shape.meaning, Meaning):
            return name_of(shape.argument(request.message)), shape.meaning
        name, parameters = parse(request.message.options)
        return name, Meaning(parameters)

    def _admitted(
        self, request: IncomingRequest, meaning: Meaning, asked: Admission, verdict: Verdict, now: float
    ) -> None:
        """Go on with one that may register, or may not; that can be long after it came."""
        try:
            if not verdict.allowed:
                raise rejection(verdict.cause)
            self._take_turn(request, asked, self._said(request, meaning, asked, verdict), now)
        except Rejected as refusal:
            self._state.engine.respond(request, self._parts.turns.refused(refusal), now)

    def _said(self, request: IncomingRequest, meaning: Meaning, asked: Admission, verdict: Verdict) -> _Said:
        parameters, listed = meaning.parameters, meaning.listed
        version = meaning.version
        if listed is None:
            listed = self._parts.lists.said(request.message, version, parameters.deviations)
            if request.shape is not None and listed is not None:
                request.shape.meaning = Meaning(parameters, listed)
        objects = listed
        device = self._state.devices.get(asked.endpoint)
        if self._state.draining and (device is None or device.registration is None):
            raise Rejected(n.SERVICE_UNAVAILABLE, "draining")
        if parameters.profiles:
            objects = self._parts.profiles.resolve(device, parameters.profiles, listed, version)
        if objects is None:
            raise Rejected(n.BAD_REQUEST, "the object list is missing")
        return _Said(parameters, version, objects, listed, verdict.labels)

    def _take_turn(self, request: IncomingRequest, asked: Admission, said: _Said, now: float) -> None:
        """Decide when the endpoint's turn is; nearly always that is now."""
        device = self._state.devices.get(asked.endpoint)
        refused = None if device is None else self._parts.moves.challenge_register(request, device, now)
        if refused is None and asked.endpoint not in self._state.busy:
            self._decide(asked, said, request, now)
            return
        if refused is None:
            refused = self._parts.turns.take(request, asked.endpoint, now, partial(self._decide, asked, said))
        if refused is not None:
            self._state.engine.respond(request, refused, now)

    def _decide(self, asked: Admission, said: _Said, request: IncomingRequest, now: float) -> None:
        endpoint, parts = asked.endpoint, self._parts
        device = self._state.devices.get(endpoint) or Device(endpoint)
        previous = device.registration if device.behind is None else None  # a gateway's word for it gives way
        registration = self._registration(request, asked, said, now)
        cause = self._conflict(previous, registration)
        if cause:
            parts.gate.note(asked, cause, now)
            raise rejection(cause)
        if not parts.idle.room(endpoint, now):
            self._state.engine.respond(request, _FULL, now)
            return
        resumed = resume(previous, registration, now)
        kept = self._kept(device, registration, said, now)
        labels = (kept or device).all_labels(registration)
        events = register_events(
            self._state, device, previous, registration, resumed=resumed, labels=labels, address=asked.address, now=now
        )
        writes = [Write(stored.REGISTRATIONS, endpoint, registration_row(registration))]
        if kept is not None:
            writes.append(Write(stored.DEVICES, endpoint, stored.device_row(kept)))
        parts.ramp.begin(now)
        coming = _Coming(request, device, registration, kept, resumed)
        self._state.commit_exclusive(endpoint, writes, events, partial(self._ended, coming))

    def _ended(self, coming: _Coming, committed: bool, now: float) -> None:
        """It is durable, or could not be made so."""
        parts, request = self._parts, coming.request
        device, registration = coming.device, coming.registration
        parts.ramp.end(now)
        parts.idle.arrived(device.endpoint)
        if not committed:
            self._state.engine.respond(request, UNAVAILABLE, now)
            return
        self._take(device, registration, coming.kept, now)
        device.turned(now, "resumed" if coming.resumed else "registered")
        location = (_RD, (n.LOCATION_PATH, registration.id.encode()))
        self._state.engine.respond(request, Response(n.CREATED, b"", location), now)
        parts.arrived(device, now)

    def _conflict(self, previous: Registration | None, coming: Registration) -> str:
        """Why this registration may not take its place among the others; "" where it may."""
        settings = self._state.settings
        if previous is not None and not settings.policy.displaces(previous.identity, coming.identity):
            return ANOTHER
        if coming.identity is not None and (previous is None or previous.identity != coming.identity):
            known = self._state.identities.find(coming.identity)
            if len(known) >= settings.registrations_per_identity:
                return TOO_MANY
        return ""

    def _kept(self, device: Device, registration: Registration, said: _Said, now: float) -> Device | None:
        """The device as it is to be stored, where there is anything that its registration does not say."""
        named = said.parameters.profiles
        profiles = self._parts.profiles.learned(device, named, said.listed) if named else None
        labels = {**said.labels, **(device.labels or {})}
        secured = device.secured or registration.identity is not None
        if device.endpoint not in self._state.devices:
            device.last_seen, device.profiles, device.labels, device.secured = now, profiles, labels or None, secured
            return device if profiles or labels or secured else None
        back = device.behind is not None or device.disabled
        if not (back or profiles is not None or labels != (device.labels or {}) or secured != device.secured):
            return None
        return attrs.evolve(
            device,
            last_seen=now,
            behind=None,
            disabled=False,
            profiles=profiles or device.profiles,
            labels=labels or None,
            secured=secured,
        )

    def _take(self, device: Device, registration: Registration, kept: Device | None, now: float) -> None:
        """Let a committed registration be the device's."""
        if device.behind is not None:
            self._parts.gateways.release(device, now)
        if registration.objects.deviations:
            count(self._state, registration.objects.deviations)
        device.disabled = False
        if kept is not None:
            device.profiles, device.labels, device.secured = kept.profiles, kept.labels, kept.secured
        another = device.registration is None or device.registration.objects != registration.objects
        self.install(device, registration, now)
        if another:
            self._parts.relisted(device)

    def _registration(self, request: IncomingRequest, asked: Admission, said: _Said, now: float) -> Registration:
        parameters, version = said.parameters, said.version
        return registration_of(
            parameters,
            said.objects,
            self.lifetime(parameters.lifetime, version),
            identifier=new_id(self._state.environment.random),
            endpoint=asked.endpoint,
            peer=request.peer,
            # As it was when it asked: a session may have ended since, and must not be taken for none.
            transport=asked.transport,
            identity=None if asked.identity is None else asked.identity.text,
            now=now,
        )

    def lifetime(self, seconds: int | None, version: str) -> int | None:
        """The effective lifetime of one that is asked for, in seconds; None is infinite."""
        return lifetime_of(seconds, version, self._state.settings)

    def install(self, device: Device, registration: Registration, now: float) -> None:
        """Put a committed registration where requests find it, in place of the one before."""
        previous = device.registration
        if previous is not None:
            self._parts.lifetimes.remove(previous)
            if previous.peer != registration.peer:
                self._parts.moves.withdraw(device, now)
        self._state.devices[device.endpoint] = device
        self._parts.lifetimes.add(device, registration)
