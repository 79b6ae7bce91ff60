"""What the parts of the server share: the fleet in memory, what is due, and the effects that the shell must carry out.

RULES: a part changes a record only when the change was committed, or when it is one that is written behind (lifetime
refreshes, address changes, twin values). What belongs to one endpoint is decided one after the other: `exclusive`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import attrs
import msgspec

from lwm2md.coap.engine import Engine, IncomingRequest, Peer
from lwm2md.coap.message import encode_body, options
from lwm2md.coap.places import Places, QuickPlaces
from lwm2md.events import Event
from lwm2md.lwm2m.models import Models, ObjectModel, ResourceModel
from lwm2md.lwm2m.paths import Path
from lwm2md.security.identity import Identity
from lwm2md.server.deadlines import Deadlines
from lwm2md.server.deviceprofiles import DeviceProfile
from lwm2md.server.effects import Commit, Joint, Resume, Sample, Write, resume_all
from lwm2md.server.records import Device, Operation, Registration
from lwm2md.server.senders import Senders
from lwm2md.server.settings import ServerSettings
from lwm2md.server.wish import Observation

Decide = Callable[[float], None]
COUNTERS: Final = (
    "registrations_refused",
    "registrations_deferred",
    "gateway_devices_refused",
    "notifications_undecodable",
    "notifications_reordered",
    "observations_ended_by_device",
    "observations_silent",
    "template_wishes_refused",
    "unexpected_responses",
    "sends_accepted",
    "sends_refused",
    "notifications_refused",
)
_LONGEST: Final = 64
_HEADS: Final = tuple(encode_body(options(path=("rd", "i" * size)), b"")[: -size or None] for size in range(_LONGEST))
"""What stands before an id in a Location, by its length."""
_MAX_WAITING: Final = 8
_PAUSE: Final = 5.0


class PeerDescription(msgspec.Struct, frozen=True, gc=False):
    """What the shell knows of a peer: ``address`` as text, ``transport`` (``coap``), its authenticated ``identity``.

    ``proved`` is that identity with all that it is known by.
    """

    address: str
    transport: str
    identity: str | None = None
    proved: Identity | None = None


@attrs.frozen(slots=True)
class Environment:
    """What the shell hands in.

    ``random(size)`` gives unguessable bytes, ``describe(peer)`` says who and where a peer is, ``wants(event_type)``
    whether a live event of that type would have a reader, and ``publish(event)`` hands it to them. ``reaches(peer)``
    says whether there is a way to a peer at all: to one named by its session there is none without that. Registrations
    are kept in ``places``.
    """

    random: Callable[[int], bytes]
    describe: Callable[[Peer], PeerDescription]
    wants: Callable[[str], bool]
    publish: Callable[[Event], None]
    reaches: Callable[[Peer], bool] = lambda _peer: True
    places: Callable[[], Places[Registration]] = QuickPlaces


def location(registration_id: str) -> bytes:
    """The options of a pure refresh: the Uri-Path of a registration as it is encoded in a message (RFC 7252 3.1)."""
    name = registration_id.encode()
    if len(name) < len(_HEADS):
        return _HEADS[len(name)] + name
    return encode_body(options(path=("rd", registration_id)), b"")


class State:
    """The fleet in memory, shared by the parts of the server.

    ``registrations`` are found by their Location as `location` writes it, ``peers`` finds those at an address and
    ``identities`` those of a proved identity; an endpoint is ``busy`` while a decision on it is being committed, and
    others wait for that. ``deviations`` counts by kind what was passed over since the start; of those in ``found_out``
    something was found out that is not stored yet. ``fit`` works out the profile of a device that has none at hand,
    ``profile_names`` which profiles are for one. While ``draining`` nothing new is taken, and nothing leaves that
    waits. Nor does it while the fleet is taken up: then there is a ``hold``, which takes requests of devices that have
    to wait for that. What is read back is ``outdated`` where it is from a backup: much may have happened since.
    """

    def __init__(self, settings: ServerSettings, models: Models, environment: Environment) -> None:
        self.settings = settings
        self.models = models
        self.environment = environment
        self.devices: dict[str, Device] = {}
        self.registrations: Places[Registration] = environment.places()
        self.peers: Senders[Peer] = Senders()
        self.identities: Senders[str] = Senders()
        self.operations: dict[str, Operation] = {}
        self.observations: dict[str, Observation] = {}
        self.effects: list[Commit] = []
        self._joint = Joint()
        self.deadlines = Deadlines()
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.deviations: dict[str, int] = {}
        self.found_out: set[Device] = set()
        self.engine: Engine
        self.fit: Callable[[Device], DeviceProfile]
        self.profile_names: Callable[[Device], tuple[str, ...]]
        self.busy: dict[str, list[Decide]] = {}
        self.draining = False
        self.hold: Callable[[IncomingRequest], None] | None = None
        self.outdated = False

    def registered(self, registration_id: str) -> Registration | None:
        """The live registration with that id in its Location."""
        return self.registrations.get(location(registration_id))

    def count(self, name: str) -> None:
        """Add one to a counter of `COUNTERS`, which metrics show."""
        self.counters[name] += 1

    def profile(self, device: Device) -> DeviceProfile:
        """How a device is to be treated: by hand, by profiles that fit it, by what was learned. Cheap to ask for."""
        return device.profile or self.fit(device)

    def patience(self, operation: Operation) -> float:
        """How long a device may take to answer an operation, in seconds."""
        asked = operation.request.timeout
        return self.settings.timeout if asked is None else asked

    def commit(
        self,
        writes: Iterable[Write],
        events: Iterable[Event] = (),
        resume: Resume | None = None,
        samples: tuple[Sample, ...] = (),
        dropped: tuple[str, ...] = (),
        *,
        records: tuple[bytes, ...] = (),
    ) -> None:
        """Ask the shell to make all this durable, then to call ``resume``."""
        self.effects.append(Commit(tuple(writes), tuple(events), resume, samples, dropped, records))

    def erase(self, writes: Iterable[Write]) -> None:
        """Ask for rows to be deleted that nothing stands for any more, again and again until it is done."""
        rows = tuple(writes)

        def ended(committed: bool, now: float) -> None:
            if not committed:
                self.deadlines.at(now + _PAUSE, lambda *_: self.erase(rows))

        if rows:
            self.commit(rows, (), ended)

    def exclusive(self, endpoint: str, now: float, decide: Decide) -> bool:
        """Decide now, or when what is being committed for this endpoint has ended; False when too many wait already."""
        waiting = self.busy.get(endpoint)
        if waiting is None:
            decide(now)
        elif len(waiting) < _MAX_WAITING:
            waiting.append(decide)
        else:
            return False
        return True

    def commit_exclusive(
        self,
        endpoint: str,
        writes: Iterable[Write],
        events: Iterable[Event],
        resume: Resume,
        dropped: tuple[str, ...] = (),
    ) -> None:
        """Like `commit`, and nothing else is decided for this endpoint until it has ended."""
        self.busy[endpoint] = []
        ended = partial(self.end, endpoint, resume)
        if dropped:
            self.commit(writes, events, ended, dropped=dropped)
            return
        effects, joint = self.effects, self._joint
        if not effects or effects[-1] is not joint.commit or joint.is_full:
            joint = self._joint = Joint()
            effects.append(joint.commit)
        joint.add(writes, events, ended)

    def end(self, endpoint: str, resume: Resume, committed: bool, now: float) -> None:
        """Go on with what was committed for an endpoint, then with what waited for that."""
        waiting = self.busy.pop(endpoint)
        if not waiting:
            resume(committed, now)
            return
        try:
            resume(committed, now)
        finally:
            self._go_on(endpoint, waiting, now)

    def end_all(self, endpoints: Iterable[str], go_on: Callable[[float], None], now: float) -> None:
        """The same for several endpoints whose commits were one."""
        pop = self.busy.pop
        waiting = [(endpoint, decisions) for endpoint in endpoints if (decisions := pop(endpoint))]
        if not waiting:
            go_on(now)
            return
        try:
            go_on(now)
        finally:
            resume_all([partial(self._next, endpoint, decisions) for endpoint, decisions in waiting], True, now)

    def _next(self, endpoint: str, waiting: list[Decide], _committed: bool, now: float) -> None:
        self._go_on(endpoint, waiting, now)

    def _go_on(self, endpoint: str, waiting: list[Decide], now: float) -> None:
        """Take the decisions that waited; one that fails does not keep the others from being taken."""
        if waiting:
            try:
                self.exclusive(endpoint, now, waiting[0])
            finally:
                self._go_on(endpoint, waiting[1:], now)

    def event(self, kind: str, device: Device, now: float, **fields: object) -> Event:
        """Make a stored event of a device, with the labels it has now."""
        return Event(kind, now, device.endpoint, device.all_labels(), fields)

    def live(self, kind: str, device: Device, now: float, **fields: object) -> None:
        """Publish an event that is not stored, if anybody reads."""
        if self.environment.wants(kind):
            self.environment.publish(Event(kind, now, device.endpoint, device.all_labels(), fields, stored=False))

    def resource_model(self, device: Device) -> Callable[[Path], ResourceModel | None]:
        """How the codecs find a Resource's model in the versions that this device registered."""
        registration = device.registration
        versions = registration.objects.versions if registration is not None else {}
        return lambda path: self.models.resource(path, versions)

    def object_model(self, device: Device, object_id: int) -> ObjectModel | None:
        """The model of an Object in the version that this device registered, or the nearest."""
        registration = device.registration
        version = registration.objects.versions.get(object_id) if registration is not None else None
        return self.models.object(object_id, version)
