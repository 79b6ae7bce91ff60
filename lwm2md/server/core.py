"""The server: one object that takes what devices and operators ask, and says what must be stored, sent and told.

RULES: no clock, no socket, no storage. Requests of devices come through the engine (`handle`, `unexpected`), those of
operators through the methods; every method that changes something takes ``now``. What must become durable is in
`effects`; the shell commits it and calls what is to go on then. Whoever called flushes the engine's datagrams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from msgspec import UNSET, UnsetType

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine, IncomingRequest, Peer, Response
from lwm2md.coap.message import Message
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.models import Models, ObjectModel
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server.abilities import Abilities
from lwm2md.server.admission import Gate
from lwm2md.server.amendments import NO_LABELS, Amendments
from lwm2md.server.deviations import REFUSED_STREAM, deviations_of, noting
from lwm2md.server.draining import Draining
from lwm2md.server.effects import Commit, Resume
from lwm2md.server.errors import UnknownDevice
from lwm2md.server.findings import Findings
from lwm2md.server.forgetting import Forgetting, Parts
from lwm2md.server.gateways import Gateways
from lwm2md.server.identifying import Identifying
from lwm2md.server.idle import Idle
from lwm2md.server.known import Deviation
from lwm2md.server.library import Library
from lwm2md.server.neighbour import RESERVED, Neighbour
from lwm2md.server.observing import Observations
from lwm2md.server.operations import Operations
from lwm2md.server.parameters import Rejected
from lwm2md.server.presence import Presence
from lwm2md.server.profiling import Profiling
from lwm2md.server.reach import Facts, facts
from lwm2md.server.reading import Reading
from lwm2md.server.records import CANCEL_OBSERVE, ESTABLISHING, Device, Operation, OperationRequest
from lwm2md.server.refreshes import PARTS
from lwm2md.server.refused import Inbox
from lwm2md.server.registration import RD, RegistrationInterface
from lwm2md.server.requests import changes_of
from lwm2md.server.sending import DP, Sends
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import Environment, State
from lwm2md.server.takeup import Parts as Stored
from lwm2md.server.takeup import TakeUp
from lwm2md.server.templating import Templating
from lwm2md.server.twin import Twin
from lwm2md.server.wish import Observation, Target

_WELL_KNOWN: Final = (".well-known", "core")
_LINKS: Final = b'</rd>;rt="core.rd";ct=40'
_AT_ONCE: Final = 0.05
_NOT_FOUND: Final = Response(n.NOT_FOUND)
_NOT_ALLOWED: Final = Response(n.METHOD_NOT_ALLOWED)
_LINK_FORMAT: Final = ((n.CONTENT_FORMAT, bytes((n.LINK_FORMAT,))),)
_NOT_ACCEPTABLE: Final = Response(n.NOT_ACCEPTABLE)
_DISCOVERED: Final = Response(n.CONTENT, _LINKS, _LINK_FORMAT)


class Server:
    """The LwM2M Server's decisions over one fleet."""

    neighbour: Neighbour | None = None

    def __init__(self, settings: ServerSettings, models: Models, environment: Environment) -> None:
        self._state = state = State(settings, models, environment)
        self.device_profiles = Profiling(state)
        self._twin = Twin(state, self._gateway_told, self.device_profiles.changed)
        reading = Reading(state)
        abilities = Abilities(state, self.device_profiles)
        self._presence = Presence(state)
        self._uplink = self._presence.uplink
        self._observations = Observations(state, self._twin, reading, self.device_profiles, self._uplink)
        self._operations = Operations(
            state, self._twin, reading, self._observations, self._presence, abilities=abilities
        )
        self._presence.dispatch = self._operations.dispatch
        self._draining = Draining(state, self._operations)
        self._observations.operations = self._observations.folding.operations = self._operations
        self.templates = Templating(state, self._observations)
        self.device_profiles.told = self.templates.look
        self._identifying = Identifying(state, self.device_profiles, self._operations)
        self._identifying.also = lambda: self.templates.needed
        self.templates.identify = self._identifying.look
        self._findings = Findings(state)
        self._idle = Idle(state, self._let_go)
        self._amendments = Amendments(state, self.device_profiles, self._idle)
        self._gateways = Gateways(state, self._operations, self._observations, self._idle)
        self.refused = Inbox(state)
        self.gate = Gate(state, self.refused)
        self._registration = RegistrationInterface(
            state,
            self._gateways,
            self._idle,
            self._presence,
            self.device_profiles,
            gate=self.gate,
            registered=self._registered,
            gone=self._gone,
            relisted=self._relisted,
            indifferent=self._is_indifferent,
        )
        lifetimes = self._registration.lifetimes
        self._forgetting = Forgetting(
            state,
            Parts(self._gateways, self._observations, self._operations, self._twin, self._findings, lifetimes),
        )
        self._sends = Sends(state, self._twin, gate=self.gate, uplink=self._uplink, moved=self._registration.moves.move)
        self._observations.notifications.moved = self._session_goes_on
        self.profiles = self._registration.profiles
        self.glance, self.notice = self._registration.glances, self._observations.notifications.notice
        self.library = Library(state)
        self.take_up = self._make_take_up()
        self.devices: Mapping[str, Device] = state.devices
        self.operations: Mapping[str, Operation] = state.operations
        self.observations: Mapping[str, Observation] = state.observations
        self.effects: list[Commit] = state.effects
        self.counters: Mapping[str, int] = state.counters

    def _make_take_up(self) -> TakeUp:
        parts = Stored(
            registration=self._registration,
            gateways=self._gateways,
            observations=self._observations,
            operations=self._operations,
            twin=self._twin,
            findings=self._findings,
            idle=self._idle,
            presence=self._presence,
            profiling=self.device_profiles,
            templates=self.templates,
            refused=self.refused,
            library=self.library,
        )
        return TakeUp(self._state, parts, self.handle)

    @property
    def models(self) -> Models:
        """The object models in force."""
        return self._state.models

    def attach(self, engine: Engine) -> None:
        """Take the engine through which devices are reached; once, before anything else."""
        self._state.engine = engine

    def configure(self, settings: ServerSettings, now: float) -> None:
        """Decide by other settings from now on; who may be registered no longer is not, a lifetime stays as it is."""
        self._registration.configure(settings, now)
        self._idle.plan(now)

    # Devices ask

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request of a device; None when the answer follows a commit."""
        if self._state.hold is not None and self.take_up.holds(request):
            return None
        options = request.message.options
        if options and options[0] == RD:
            return self._registration.handle(request, now)
        path = request.message.path
        if path[:1] == ("rd",):
            return self._registration.handle(request, now)
        if path[:1] == (DP,):
            return self._sends.handle(request, now)
        if path == _WELL_KNOWN:
            return self._discovered(request.message) if request.message.code == n.GET else _NOT_ALLOWED
        if self.neighbour is None or (path and path[0] in RESERVED):
            return _NOT_FOUND
        return self.neighbour.handle(request, now)

    def _discovered(self, message: Message) -> Response:
        if message.accept not in (None, n.LINK_FORMAT):
            return _NOT_ACCEPTABLE
        links = "" if self.neighbour is None else self.neighbour.links()
        return Response(n.CONTENT, _LINKS + b"," + links.encode(), _LINK_FORMAT) if links else _DISCOVERED

    def unexpected(self, peer: Peer, message: Message, now: float) -> bool | None:
        """Whether a response that nobody waits for is answered with Reset; None where it is not answered at all.

        It is where the token was cancelled, where the device has refused or ended the observation and goes on all the
        same, and where no registered device speaks: modems that are reset by a server that should know them stop
        reporting.
        """
        if self._state.hold is not None:
            return None  # it may well be known when it comes again
        if self._observations.wishes.was_cancelled(message.token):
            return True
        wish = self._observations.wishes.with_token(message.token)
        if wish is not None and wish.state == "refused":
            device = self._device(wish.endpoint)
            if device.registration is not None and device.registration.peer == peer:
                noting(self._state, device, message.payload, now)(REFUSED_STREAM)
            return True
        self._state.count("unexpected_responses")
        return peer not in self._state.peers

    def knows(self, peer: Peer) -> bool:
        """Whether a registered device is at this address, which has shown that it gets what is sent there."""
        return peer in self._state.peers

    def lost(self, peer: Peer, now: float) -> None:
        """The session of a peer has ended: what is under way to it has its turn again when the device comes back."""
        for registration in tuple(self._state.peers.find(peer)):
            self._registration.moves.withdraw(self.devices[registration.endpoint], now)

    def rejoined(self, before: Peer, peer: Peer, now: float) -> None:
        """A device shook hands again where it was, and its session has another name: its registration goes on by it."""
        for registration in tuple(self._state.peers.find(before)):
            self._registration.moves.move(self.devices[registration.endpoint], peer, now)

    def address_of(self, peer: Peer) -> str:
        """A peer's address as text."""
        return self._state.environment.describe(peer).address

    # Operators ask

    def submit(self, endpoint: str, request: OperationRequest, now: float) -> Operation:
        """Take an operation for a device; its watchers hear of its end. Raises a `Refused`.

        One with the ``key`` of an earlier one is that one.
        """
        known = self._operations.asked_before(endpoint, request)
        if known is not None:
            return known
        self._draining.admit()
        if request.op in ESTABLISHING:
            return self.observe(endpoint, request, now)[2]
        if request.op == CANCEL_OBSERVE:
            _, order = self._operations.check(endpoint, request)
            wish = self._observations.wishes.find(endpoint, order.target)
            return self._observations.cancel(wish, request, now)
        return self._operations.submit(endpoint, request, now)

    def keep(self, operation: Operation, now: float, then: Resume) -> None:
        """Make an open operation durable before its caller is told to come back."""
        self._operations.keep(operation, now, then)

    def cancel(self, operation_id: str, now: float, then: Resume) -> Operation:
        """End an operation that has not ended. Raises UnknownOperation."""
        return self._operations.cancel(operation_id, now, then)

    def cancel_all(self, endpoint: str, now: float, then: Resume) -> int:
        """End every operation of a device that has not ended; how many there were. Raises UnknownDevice."""
        return self._operations.cancel_all(self._device(endpoint), now, then)

    def observe(
        self, endpoint: str, request: OperationRequest, now: float, then: Resume | None = None
    ) -> tuple[Observation, bool, Operation]:
        """Wish to observe a path or several; the wish, whether it is new, and its operation. Raises a `Refused`."""
        self._draining.admit()
        device, order = self._operations.check(endpoint, request)
        changes = changes_of(request.attributes, order.path, self._state.resource_model(device))
        attributes = NotificationAttributes().changed(changes) if changes else None
        return self._observations.put(device, order, now, then, attributes=attributes)

    def unobserve(
        self, observation_id: str, now: float, then: Resume | None = None, *, active: bool = True
    ) -> Operation | None:
        """End a wish; the operation that tells the device, if it is told. Raises UnknownObservation."""
        wish = self._state.observations.get(observation_id)

        def ended(ok: bool, now: float) -> None:
            device = self._state.devices.get(wish.endpoint) if wish is not None else None
            if device is not None:
                self._idle.add(device, now)
            if then is not None:
                then(ok, now)

        return self._observations.remove(observation_id, now, ended, active=active)

    def observation(self, endpoint: str, target: Target) -> Observation:
        """The wish for a path, or for a set of paths in their order. Raises UnknownObservation."""
        return self._observations.wishes.find(endpoint, target)

    def amend(
        self,
        endpoint: str,
        now: float,
        then: Resume,
        *,
        labels: Mapping[str, str | None] = NO_LABELS,
        profile: str | UnsetType | None = UNSET,
    ) -> None:
        """Change what the operator has said of a device: labels, and the profile by hand; None removes one.

        Raises UnknownDevice, LimitReached, BadOperation.
        """
        self._amendments.make(self._device(endpoint), labels, profile, now, then)

    def forget(self, endpoint: str, now: float, then: Resume) -> None:
        """Remove everything known of a device: registration, wishes, queue, twin, history. Raises UnknownDevice."""
        self._device(endpoint)
        self._forgetting.device(endpoint, now, then)

    def twin_rows(self, endpoint: str, path: Path) -> tuple[ValueRow, ...]:
        """The last known values at or below a path. Raises UnknownDevice."""
        return self._twin.rows(self._device(endpoint), path)

    def facts(self, device: Device, now: float) -> Facts:
        """What is known of the ways to a device, and of when it will be heard of."""
        return facts(self._state, device, now)

    def deviations(self, endpoint: str) -> Mapping[str, Deviation]:
        """In which ways a device departs from the specifications, by kind. Raises UnknownDevice."""
        return deviations_of(self._device(endpoint))

    @property
    def waiting(self) -> int:
        """How many operations have not ended."""
        return self._operations.waiting

    def deviation_counts(self) -> Mapping[str, int]:
        """How often each kind of deviation was passed over since the start."""
        return self._state.deviations

    def model_of(self, device: Device, object_id: int) -> ObjectModel | None:
        """The model of an Object in the version that a device registered, or the nearest."""
        return self._state.object_model(device, object_id)

    def _device(self, endpoint: str) -> Device:
        device = self._state.devices.get(endpoint)
        if device is None:
            raise UnknownDevice(f"no device {endpoint!r}")
        return device

    # What the parts tell each other

    def _let_go(self, device: Device, reason: str, now: float, then: Resume) -> None:
        self._forgetting.idle(device, reason, now, then)

    def _registered(self, device: Device, now: float) -> None:
        self._observations.registered(device, now)
        self.templates.registered(device, now)
        self._gateways.registered(device, now)
        self._identifying.look(device, now)

    def _is_indifferent(self) -> bool:
        """Whether `_registered` and `_relisted` do nothing for a device that is known by its registration only.

        It is no gateway, and its Objects are no news to anybody.
        """
        folding = self._observations.folding
        return self.templates.is_empty and self.device_profiles.is_indifferent and folding.is_indifferent

    def _relisted(self, device: Device) -> None:
        self._twin.listed(device)
        self.templates.look(device)

    def _session_goes_on(self, device: Device, peer: Peer, now: float, then: Callable[[float], None]) -> None:
        """A proved identity notifies in another session: it is the device's path from now on, if it may be."""
        registration = device.registration
        if self._state.hold is not None:
            return  # whom to ask is not there yet; it is not acknowledged, and comes again

        def asked(cause: str, now: float) -> None:
            if not cause and registration is not None and device.registration is registration:
                self._registration.moves.move(device, peer, now)
                then(now)

        with suppress(Rejected):  # too many wait; it is not acknowledged, and comes again
            self.gate.again(device.endpoint, self._state.environment.describe(peer), now, asked)

    def _gone(self, device: Device, now: float) -> None:
        self._gateways.gone(device, now)
        self._observations.gone(device)
        self._operations.drop(device, now)
        self._idle.add(device, now)

    def _gateway_told(self, device: Device, now: float) -> None:
        self._gateways.learned(device, now)

    # Draining

    def drain(self, now: float) -> None:
        """Take nothing new for devices: no device that is not registered, no operation; nothing leaves that waits.

        What waits is asked to be stored.
        """
        self._draining.begin(now)

    def undrain(self, now: float) -> None:
        """Take all that comes again, and go on with what waits."""
        self._draining.end(now)

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken."""
        return self._state.draining

    def under_way(self) -> int:
        """How many requests of operators left for their devices and have not ended."""
        return self._draining.under_way()

    # Time

    def next_deadline(self) -> float | None:
        """When `expire` has something to do, in Unix seconds."""
        return self._state.deadlines.next()

    def expire(self, now: float) -> None:
        """Do what is due: lifetimes, waiting times, the flush of refreshes."""
        self._state.deadlines.expire(now)

    def start(self, now: float) -> None:
        """Go on with what waited, and begin to write refreshes behind; after everything was restored."""
        for _ in self.take_up.go_on(now):
            pass
        self.started(now)

    def started(self, now: float) -> None:
        """The same at the end of what `TakeUp.go_on` does step by step."""
        self.take_up.end(now)
        self._flush(now)
        self._findings.flush(now)

    def stop(self, now: float, then: Callable[[], None] = lambda: None) -> None:
        """Ask for everything to be stored that is written behind, part by part; ``then`` is called at the end."""
        self.refused.flush()
        # What is found out comes last: it is told at once, where a refresh may be missing that came after ``now``.
        self._registration.lifetimes.refreshes.finish(now, lambda: self._findings.finish(then))

    def _flush(self, now: float) -> None:
        more = self.flush(now)
        interval = _AT_ONCE if more else self._state.settings.flush_interval / PARTS
        self._state.deadlines.at(now + interval, lambda _, then: self._flush(then))

    def flush(self, now: float) -> bool:
        """Ask for the next refreshes to be stored; whether there are more than go into one transaction."""
        return self._registration.lifetimes.refreshes.flush(now)

    # After a start

    def restore(self, table: str, rows: Iterable[tuple[str, bytes]], now: float) -> list[str]:
        """Take up rows of a table, in the order of `RESTORED`; returns what could not be read, a line each."""
        return self.take_up.restore(table, rows, now)
