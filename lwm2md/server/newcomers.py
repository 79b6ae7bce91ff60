"""Registers of devices of which nothing is known, and which say what others have said: nearly all of a new fleet.

RULES: each is decided, answered and told of as `Registering` does it, with all of a batch in one commit and no layer
asked that has nothing to say. What is not as plain goes the general way: a known device, a proved identity, labels, a
profile id, a gateway, rules about names, somebody to be asked. What is at hand for many holds for the settings that it
was made with; whether a part wants to hear of such devices is asked when they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
import msgspec

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest
from lwm2md.server import stored
from lwm2md.server.admission import Gate
from lwm2md.server.arrivals import facts_of
from lwm2md.server.effects import Commit, Write, resume_all
from lwm2md.server.gateways import listed as listed_by_gateway
from lwm2md.server.idle import Idle
from lwm2md.server.lifetimes import Lifetimes
from lwm2md.server.meanings import Frame, Meaning, lifetime_of, new_id, registration_of
from lwm2md.server.ramp import Ramp
from lwm2md.server.records import NO_LABELS, Device, Registration
from lwm2md.server.registrationrows import registration_row
from lwm2md.server.state import PeerDescription, State

_MOST: Final = 256
_LOCATION_PATH: Final = b"\x82"
"""How the options begin that make a Location of what would be a Uri-Path: the number of the first is another."""
_MARK: Final = "\0"
_encode: Final = msgspec.json.Encoder().encode


Coming = tuple[IncomingRequest, Registration]
"""A Register that is being stored, and what comes of it."""


@attrs.frozen
class Parts:
    """Who has a say; ``indifferent`` tells that no part has anything to do for a device that is known by its
    registration only, ``uplink`` is told of each in queue mode, ``ended`` goes on with one the general way.
    """

    gate: Gate
    idle: Idle
    lifetimes: Lifetimes
    ramp: Ramp
    indifferent: Callable[[], bool]
    uplink: Callable[[Device, float], None]
    ended: Callable[[IncomingRequest, Registration, bool, float], None]


class _Together:
    """Newcomers that share a ``commit``, which grows until somebody takes it."""

    __slots__ = ("coming", "commit", "events", "writes")

    def __init__(self, ended: Callable[[list[Coming], bool, float], None]) -> None:
        self.writes: list[Write] = []
        self.events: list[events.Event] = []
        self.coming: list[Coming] = []
        self.commit = Commit(self.writes, self.events, partial(ended, self.coming))


class Newcomers:
    """Takes Registers that are as plain as that."""

    def __init__(self, state: State, parts: Parts) -> None:
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
        if objects is None or where.identity is not None or endpoint in state.devices or endpoint in state.busy:
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
        registration.device = Device(endpoint, None, None, now)
        self._store(request, registration, frame, where.address, now)
        return True

    def _store(
        self, request: IncomingRequest, registration: Registration, frame: Frame, address: str, now: float
    ) -> None:
        endpoint, state, together = registration.endpoint, self._state, self._together
        effects = state.effects
        if together is None or not effects or effects[-1] is not together.commit or len(together.coming) >= _MOST:
            together = self._together = _Together(self._ended)
            effects.append(together.commit)
        own = frame.told % (_encode(registration.id), _encode(address), _encode(registration.transport))
        together.writes.append(Write(stored.REGISTRATIONS, endpoint, registration_row(registration)))
        together.events.append(events.Event(events.DEVICE_REGISTERED, now, endpoint, NO_LABELS, own=own))
        together.coming.append((request, registration))
        state.busy[endpoint] = []
        self._parts.ramp.begin(now)

    def _frame(self, meaning: Meaning) -> Frame:
        """What all of them make, found out with a registration that is nobody's."""
        settings, objects, parameters = self._state.settings, meaning.listed, meaning.parameters
        if objects is None or objects.deviations or parameters.labels or parameters.profiles:
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
        state, ended = self._state, self._parts.ended
        if self._together is not None and self._together.coming is coming:
            self._together = None  # it holds what nobody needs any more
        if committed and self._parts.indifferent():
            state.end_all([each.endpoint for _, each in coming], partial(self._take, coming), now)
        else:
            resume_all(
                [partial(state.end, each.endpoint, partial(ended, request, each)) for request, each in coming],
                committed,
                now,
            )

    def _take(self, coming: Sequence[Coming], now: float) -> None:
        """Let committed registrations be those of their devices, and answer."""
        parts = self._parts
        registrations = [registration for _, registration in coming]
        parts.ramp.end(now, len(coming))
        parts.idle.arrived_all(each.endpoint for each in registrations)
        paths = parts.lifetimes.begin(registrations)
        answers = [(request, _LOCATION_PATH + path[1:]) for (request, _), path in zip(coming, paths, strict=True)]
        for each in registrations:
            each.device.turned(now, "registered")
        self._state.engine.respond_all(n.CREATED, answers, now)
        for each in registrations:
            each.device.last_seen = now
            if each.queue_mode:
                parts.uplink(each.device, now)
