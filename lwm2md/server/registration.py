"""The registration interface (OMA Core 6.2): Register, Update, De-register, and the end of a lifetime.

RULES: what creates, changes or removes a registration is committed, then answered. A pure refresh and a change of
address are written behind: they are answered at once and reach storage with the next flush. Of two decisions for the
same Endpoint Client Name the second one waits for the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Response
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.security.rules import Policy
from lwm2md.server import stored
from lwm2md.server.admission import Gate, rejection
from lwm2md.server.arrivals import address_of, facts_of
from lwm2md.server.effects import Write
from lwm2md.server.gateways import Gateways
from lwm2md.server.gateways import listed as listed_by_gateway
from lwm2md.server.glances import Glances
from lwm2md.server.idle import Idle
from lwm2md.server.late import Late
from lwm2md.server.lifetimes import Lifetimes
from lwm2md.server.moving import Moves
from lwm2md.server.objectlists import ObjectLists
from lwm2md.server.parameters import RegistrationParameters, Rejected, bounded, parse
from lwm2md.server.presence import Presence
from lwm2md.server.profiles import Profiles
from lwm2md.server.profiling import Profiling
from lwm2md.server.ramp import Ramp
from lwm2md.server.records import Device, Registration
from lwm2md.server.registering import Parts, Registering
from lwm2md.server.registrationrows import registration_row
from lwm2md.server.reviewing import Reviewing
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import State
from lwm2md.server.turns import UNAVAILABLE, Decide, Turns

RD: Final = (n.URI_PATH, b"rd")
CHANGED: Final = Response(n.CHANGED)

Uplink = Callable[[Device, float], None]


class RegistrationInterface:
    """Decides on ``/rd``. ``presence`` is told of each accepted message, ``registered`` and ``gone`` of what their
    names say, once that is durable; ``relisted(device)`` of another list of Objects than before. ``indifferent()``
    says that nobody wants to hear of a device that is known by its registration only.
    """

    def __init__(
        self,
        state: State,
        gateways: Gateways,
        idle: Idle,
        presence: Presence,
        profiling: Profiling,
        *,
        gate: Gate,
        registered: Uplink,
        gone: Uplink,
        relisted: Callable[[Device], None],
        indifferent: Callable[[], bool],
    ) -> None:
        self._state = state
        self._profiling = profiling
        self._gateways = gateways
        self._gate = gate
        self._uplink = presence.uplink
        self._registered = registered
        self._gone = gone
        self._late = Late(state)
        self._relisted = relisted
        self.lists = ObjectLists()
        self.profiles = Profiles(state, self.lists)
        self.lifetimes = Lifetimes(state, presence, profiling, self.expired)
        presence.plan = self.lifetimes.plan
        self.glances = Glances(state, self.lifetimes.refreshes, presence.uplink)
        self.moves = Moves(state, self.lifetimes)
        self.reviewing = Reviewing(state, gate, self._expel, gateways.review)
        self._turns = Turns(state)
        self._registering = Registering(
            state,
            Parts(
                gate=gate,
                gateways=gateways,
                idle=idle,
                lifetimes=self.lifetimes,
                lists=self.lists,
                moves=self.moves,
                profiles=self.profiles,
                ramp=Ramp(lambda: state.settings.registers, state.environment.random),
                turns=self._turns,
                arrived=self._arrived,
                relisted=relisted,
                indifferent=indifferent,
                uplink=presence.uplink,
            ),
        )

    def configure(self, settings: ServerSettings, now: float) -> None:
        """Decide by other settings from now on; who may be registered no longer is not."""
        before, self._state.settings = self._state.settings, settings
        self.reviewing.rules(before.policy, now)

    def start(self, now: float) -> None:
        """Look at all that was read back by the rules as they are today."""
        self.reviewing.rules(Policy(), now)

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request to ``/rd`` or ``/rd/{id}``; None when the answer follows the commit."""
        try:
            if request.shape is not None and request.shape.meaning is not None:
                self._registering.register(request, now)
                return None
            return self._decide(request, now)
        except Rejected as refusal:
            return self._turns.refused(refusal)

    def _decide(self, request: IncomingRequest, now: float) -> Response | None:
        message = request.message
        path = message.path
        if len(path) == 1:
            if message.code != n.POST:
                raise Rejected(n.METHOD_NOT_ALLOWED, "Register is a POST")
            self._registering.register(request, now)
            return None
        if len(path) != 2:
            raise Rejected(n.NOT_FOUND, "no such resource")
        if message.code not in (n.POST, n.DELETE):
            raise Rejected(n.METHOD_NOT_ALLOWED, "Update is a POST, De-register a DELETE")
        registration = self._state.registered(path[1])
        late = self._late.get(path[1]) if registration is None and message.code == n.POST else None
        found = registration or late
        if found is None:
            raise Rejected(n.NOT_FOUND, "no such registration")
        where = self._state.environment.describe(request.peer)
        if where.identity != found.identity:
            raise Rejected(n.BAD_REQUEST, "registered by another identity")
        challenge = self.moves.challenge(request, found, now)
        if challenge is not None:
            return challenge
        decide = self._deregister if message.code == n.DELETE else self._update if late is None else self._revive
        if where.identity is None or request.peer == found.peer or message.code == n.DELETE:
            return self._turns.take(request, found.endpoint, now, decide)

        def asked(cause: str, then: float) -> None:
            self._turns.guarded(request, lambda _, now: self._go_on(request, found.endpoint, cause, now, decide))(then)

        self._gate.again(found.endpoint, where, now, asked)
        return None

    def _go_on(self, request: IncomingRequest, endpoint: str, cause: str, now: float, decide: Decide) -> None:
        """Go on with what came in another session of the same identity, if that may still be this endpoint."""
        if cause:
            raise rejection(cause)
        refused = self._turns.take(request, endpoint, now, decide)
        if refused is not None:
            self._state.engine.respond(request, refused, now)

    def _arrived(self, device: Device, now: float) -> None:
        self._registered(device, now)
        self._uplink(device, now)

    # Update and De-register

    def _revive(self, request: IncomingRequest, now: float) -> None:
        """Bring a registration back whose lifetime was over a moment ago, and take its late Update."""
        registration = self._late.get(request.message.path[1])
        device = self._state.devices.get(registration.endpoint) if registration is not None else None
        if registration is None or device is None or device.registration is not None:
            raise Rejected(n.NOT_FOUND, "no such registration")
        coming = attrs.evolve(registration, updated_at=now, registered_at=now, expiry=None)
        row = Write(stored.REGISTRATIONS, coming.endpoint, registration_row(coming))
        facts = {**facts_of(coming, address_of(self._state, coming)), "reason": "revived"}
        event = events.Event(events.DEVICE_REGISTERED, now, coming.endpoint, device.all_labels(coming), facts)

        def ended(committed: bool, now: float) -> None:
            if not committed:
                self._state.engine.respond(request, UNAVAILABLE, now)
                return
            self._late.forget(coming.id)
            self._registering.install(device, coming, now)
            refused = self._turns.take(request, coming.endpoint, now, self._update)
            if refused is not None:
                self._state.engine.respond(request, refused, now)
            self._registered(device, now)

        self._state.commit_exclusive(coming.endpoint, (row,), (event,), ended)

    def _update(self, request: IncomingRequest, now: float) -> None:
        registration = self._state.registered(request.message.path[1])
        if registration is None:
            raise Rejected(n.NOT_FOUND, "no such registration")
        device = self._state.devices[registration.endpoint]
        _, parameters = parse(request.message.options)
        listed = self.lists.said(request.message, registration.version, parameters.deviations)
        changes = self._changes(device, registration, parameters, listed)
        if self._state.hold is not None and (changes or listed_by_gateway(registration)):
            self._state.hold(request)
            return
        if not changes:
            reason = "refresh" if request.peer == registration.peer else "address"
            self._accept(device, registration, request, now)
            fields = {"registration_id": registration.id, "address": address_of(self._state, registration)}
            self._state.live(events.DEVICE_UPDATED, device, now, reason=reason, **fields)
            return
        updated = attrs.evolve(registration, updated_at=now, peer=request.peer)
        for name, value in changes.items():
            setattr(updated, name, value)
        writes = [Write(stored.REGISTRATIONS, registration.endpoint, registration_row(updated))]
        facts = {
            "reason": "parameters",
            "changed": sorted(changes),
            **facts_of(updated, address_of(self._state, updated)),
        }
        event = events.Event(events.DEVICE_UPDATED, now, device.endpoint, device.all_labels(updated), facts)
        profiles = self.profiles.learned(device, parameters.profiles, listed)
        if profiles is not None:
            kept = stored.device_row(attrs.evolve(device, profiles=profiles))
            writes.append(Write(stored.DEVICES, registration.endpoint, kept))

        def ended(committed: bool, now: float) -> None:
            if not committed:
                self._state.engine.respond(request, UNAVAILABLE, now)
                return
            for name, value in changes.items():
                setattr(registration, name, value)
            device.profiles = profiles or device.profiles
            if "labels" in changes:
                self._profiling.changed(device)
            self._accept(device, registration, request, now)
            if "objects" in changes:
                self._relisted(device)
            self.lifetimes.plan(registration)

        self._state.commit_exclusive(registration.endpoint, writes, (event,), ended)

    def _changes(
        self, device: Device, registration: Registration, parameters: RegistrationParameters, listed: ObjectList | None
    ) -> dict[str, object]:
        """What an Update changes of a registration, by attribute name; parameters that say the same are no change."""
        changes: dict[str, object] = {}
        if parameters.lifetime is not None:
            changes["lifetime"] = self._registering.lifetime(parameters.lifetime, registration.version)
        if parameters.binding is not None:
            changes["binding"] = parameters.binding
        if parameters.binding is not None or parameters.queue_mode:
            changes["queue_mode"] = parameters.queue_mode
        if parameters.sms is not None:
            changes["sms"] = parameters.sms
        if parameters.labels:
            changes["labels"] = bounded({**registration.labels, **parameters.labels})
        objects = self.profiles.resolve(device, parameters.profiles, listed, registration.version)
        if objects is not None:
            changes["objects"] = objects
        return {name: value for name, value in changes.items() if getattr(registration, name) != value}

    def _accept(self, device: Device, registration: Registration, request: IncomingRequest, now: float) -> None:
        """Answer an Update, and take its time and address; what waits for the device goes out behind the answer."""
        self._state.engine.respond(request, CHANGED, now)
        self.moves.move(device, request.peer, now)
        registration.refreshed(now)
        device.disabled = False
        self.lifetimes.refreshes.note(device)
        self._gateways.changed(device, now)
        self._uplink(device, now)

    def _deregister(self, request: IncomingRequest, now: float) -> None:
        registration = self._state.registered(request.message.path[1])
        if registration is None:
            raise Rejected(n.NOT_FOUND, "no such registration")

        def answer(committed: bool, now: float) -> None:
            self._state.engine.respond(request, Response(n.DELETED) if committed else UNAVAILABLE, now)

        self._state.devices[registration.endpoint].last_seen = now
        self._end(registration, events.DEVICE_DEREGISTERED, "deregistered", now, answer)

    # The end of a registration

    def _end(
        self,
        registration: Registration,
        kind: str,
        reason: str,
        now: float,
        answer: Callable[[bool, float], None] | None = None,
    ) -> None:
        device = self._state.devices[registration.endpoint]
        row = stored.device_row(attrs.evolve(device, changed=now, reason=reason))
        event = self._state.event(kind, device, now, registration_id=registration.id, reason=reason)
        writes = [
            Write(stored.REGISTRATIONS, registration.endpoint, None),
            Write(stored.REFRESHES, registration.endpoint, None),
            Write(stored.DEVICES, registration.endpoint, row),
        ]
        events_ = (event, *self._gateways.departures(device, now))

        def ended(committed: bool, now: float) -> None:
            if answer is not None:
                answer(committed, now)
            if committed:
                self.lifetimes.remove(registration)
                device.registration = None
                device.turned(now, reason)
                self._gone(device, now)
            else:
                self.lifetimes.again(registration, now)

        self._state.commit_exclusive(registration.endpoint, writes, events_, ended)

    def _expel(self, registration: Registration, cause: str, now: float, then: Callable[[bool, float], None]) -> None:
        self._end(registration, events.DEVICE_DEREGISTERED, cause, now, then)

    def expired(self, registration: Registration, now: float) -> None:
        """The lifetime is over; called when nothing else is being decided for the endpoint."""
        self._late.keep(registration, now)
        self._end(registration, events.DEVICE_EXPIRED, "lifetime", now)
