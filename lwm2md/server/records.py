"""The records that the server keeps: devices, registrations, operations and observation wishes.

They are mutable only inside this package; the shell reads them. Times are Unix seconds. What is stored of them is
written and read back in `lwm2md.server.stored`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import attrs
import msgspec

from lwm2md.coap.engine import Peer
from lwm2md.coap.message import Options
from lwm2md.coap.prepared import Prepared, prepare
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.lwm2m.values import Value
from lwm2md.server.deadlines import Plan
from lwm2md.server.deviceprofiles import DeviceProfile, Learned
from lwm2md.server.known import Deviation, Habits
from lwm2md.server.wish import Observation, Target, target_of

DeviceState = Literal["online", "sleeping", "not-responding", "offline"]
OperationState = Literal["queued", "sent", "done", "failed", "expired", "cancelled"]
When = Literal["now", "next-contact", "window"]
Source = Literal["read", "observe", "send"]

NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
"""The labels of every registration that has none."""

READ: Final = "read"
WRITE: Final = "write"
WRITE_PARTIAL: Final = "write-partial"
EXECUTE: Final = "execute"
CREATE: Final = "create"
DELETE: Final = "delete"
DISCOVER: Final = "discover"
WRITE_ATTRIBUTES: Final = "write-attributes"
OBSERVE: Final = "observe"
READ_COMPOSITE: Final = "read-composite"
WRITE_COMPOSITE: Final = "write-composite"
OBSERVE_COMPOSITE: Final = "observe-composite"
CANCEL_OBSERVE: Final = "cancel-observe"
OPERATIONS: Final = (
    READ,
    WRITE,
    WRITE_PARTIAL,
    EXECUTE,
    CREATE,
    DELETE,
    DISCOVER,
    WRITE_ATTRIBUTES,
    READ_COMPOSITE,
    WRITE_COMPOSITE,
    OBSERVE,
    OBSERVE_COMPOSITE,
    CANCEL_OBSERVE,
)
ESTABLISHING: Final = frozenset({OBSERVE, OBSERVE_COMPOSITE})
"""The operations that make a standing wish."""
AT_MOST_ONCE: Final = frozenset({EXECUTE, CREATE})
NOW: Final = "now"
NEXT_CONTACT: Final = "next-contact"
WINDOW: Final = "window"
MOST_RETRIES: Final = 100
MOST_PRIORITY: Final = 1_000_000
FINAL_STATES: Final = frozenset({"done", "failed", "expired", "cancelled"})


@attrs.frozen(slots=True)
class Instances:
    """Object Instances that were ``created`` and ``deleted`` after the device told the list ``objects``."""

    objects: ObjectList
    created: frozenset[Path] = frozenset()
    deleted: frozenset[Path] = frozenset()


class _OftenOfRegistration:
    """What each Update touches of a registration, first in the object: side by side it is in fewer lines of the cache,
    and of a fleet that is larger than the cache each line is waited for. `QuickPlaces` fetches these ahead.
    """

    __slots__ = ("device", "gap", "peer", "queue_mode", "updated_at")


class _OftenOfDevice:
    """What each Update touches of a device."""

    __slots__ = ("behind", "children", "disabled", "last_seen", "noted", "queue", "registration", "responding")


class _OftenOfSleeper(_OftenOfDevice):
    """What else each Update of a sleeper touches that it is waited for."""

    __slots__ = ("awake_until", "changed", "current", "habits", "profile", "queue_check", "reason")


class _OftenOfOperation:
    """What is touched of an operation when it leaves."""

    __slots__ = ("composed", "expires", "path", "request", "sent", "state", "token")


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Registration(_OftenOfRegistration):
    """One live registration (OMA Core 6.2). ``lifetime`` is the effective one in seconds, None when infinite.

    ``refused_formats`` are Content-Formats that the device refused since it registered, each with the use it was for;
    ``instances`` what was created and deleted since it told its list of Objects. Both are None for nearly every device.
    ``gap`` is the longest time between two Updates, in seconds, and ``settled`` once that was watched for a lifetime.
    ``device`` is whose it is, once it is in force.
    """

    id: str
    endpoint: str
    peer: Peer
    transport: str
    identity: str | None
    version: str
    lifetime: int | None
    binding: str
    queue_mode: bool
    sms: str | None
    objects: ObjectList
    labels: Mapping[str, str]
    registered_at: float
    updated_at: float
    expiry: Plan | None = attrs.field(default=None, repr=False)
    device: Device = attrs.field(init=False, repr=False)
    refused_formats: frozenset[tuple[str, int | None]] | None = None
    instances: Instances | None = None
    gap: float = 0.0
    settled: bool = False

    def refreshed(self, now: float) -> None:
        """An Update came."""
        gap = now - self.updated_at
        self.gap = max(self.gap, gap)
        self.updated_at = now

    def expires_at(self) -> float | None:
        """When the lifetime is over, in Unix seconds; None for an infinite one."""
        return None if self.lifetime is None else self.updated_at + self.lifetime

    def interval(self) -> float | None:
        """How many seconds are between two uplinks at most: as the device's habit is, else its lifetime."""
        lifetime = self.lifetime
        if not self.settled or not self.gap:
            return lifetime
        return self.gap if lifetime is None else min(self.gap, lifetime)


@attrs.frozen(slots=True)
class Standing:
    """The state of a device, since when (Unix seconds, None where that is not known), and why in a stable word."""

    state: DeviceState
    since: float | None
    reason: str


class TwinValue(msgspec.Struct, eq=False, gc=False):
    """The last known value of one Resource or Resource Instance, and where it came from."""

    value: Value
    time: float
    source: Source


@attrs.frozen(slots=True, eq=False)
class Behind:
    """Where a device is that an LwM2M Gateway speaks for (Object 25): the gateway, its prefix there, its Device ID."""

    gateway: Device
    prefix: str
    device_id: str


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Device(_OftenOfSleeper):
    """Everything known of one Endpoint Client Name, registered or not.

    One ``behind`` a gateway shares the gateway's turns to be asked, and has a copy of its registration; the gateway has
    it among its ``children``, by prefix. ``profiles`` are the object lists that the device named by a profile id;
    ``disabled`` is one that was told to be silent until it registers again. ``hand`` is the profile that the operator
    gave it, ``learned`` what it has shown; ``profile`` is what comes of both, kept by `State.profile`.
    ``timeouts`` counts how often nobody answered it; one that is ``secured`` has registered with a proved identity.
    ``noted`` belongs to `Refreshes`.
    """

    endpoint: str
    labels: dict[str, str] | None = None
    registration: Registration | None = None
    last_seen: float = 0.0
    awake_until: float = 0.0
    responding: bool = True
    queue: list[Operation] | None = None
    queue_check: Plan | None = attrs.field(default=None, repr=False)
    current: Operation | None = None
    observations: tuple[Observation, ...] = ()
    twin: dict[Path, TwinValue] | None = None
    deviations: dict[str, Deviation] | None = None
    behind: Behind | None = None
    children: dict[str, Device] | None = None
    profiles: dict[str, ObjectList] | None = None
    disabled: bool = False
    hand: str | None = None
    learned: Learned | None = None
    profile: DeviceProfile | None = attrs.field(default=None, repr=False)
    changed: float = 0.0
    reason: str = ""
    habits: Habits | None = None
    secured: bool = False
    noted: bool | None = attrs.field(default=None, repr=False)

    @property
    def carrier(self) -> Device:
        """The device that messages go to: itself, or its gateway."""
        return self if self.behind is None else self.behind.gateway

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of it but its name and its registration."""
        return not (self.twin or self.labels or self.hand or self.learned)

    @property
    def is_bare(self) -> bool:
        """Whether it is unknown, and nobody waits for it."""
        return self.is_unknown and self.responding and not (self.children or self.observations or self.queue)

    def state(self, now: float) -> DeviceState:
        """What an operator wants to know first; ``now`` in Unix seconds."""
        if self.registration is None:
            return "offline"
        carrier = self.carrier
        if not (self.responding and carrier.responding):
            return "not-responding"
        if self.registration.queue_mode and now >= carrier.awake_until:
            return "sleeping"
        return "online"

    def standing(self, now: float) -> Standing:
        """The state with what led to it; ``now`` in Unix seconds."""
        state, carrier = self.state(now), self.carrier
        if state == "sleeping":
            cut = carrier.changed == carrier.awake_until  # an answer was missing
            return Standing(state, carrier.awake_until or None, carrier.reason if cut else "asleep")
        who = carrier if state == "not-responding" and self.responding else self
        return Standing(state, who.changed or None, who.reason)

    def turned(self, now: float, reason: str) -> None:
        """Note that the device has another state now, and why."""
        self.changed, self.reason = now, reason

    def all_labels(self, coming: Registration | None = None) -> Mapping[str, str]:
        """Labels of the registration, or of the ``coming`` one, overruled by the operator's of the same name."""
        registration = coming or self.registration
        claimed = registration.labels if registration is not None else NO_LABELS
        return {**claimed, **self.labels} if self.labels else claimed


class OperationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a caller asks of a device: the body of ``POST /v1/devices/{endpoint}/operations``.

    ``timeout`` and ``ttl`` are seconds: how long to wait for the device's answer, and how long the request may wait
    for the device. ``force`` sends what the device's model, version or list of Objects speak against. ``when`` is
    `now` though the device may be asleep, at its `next-contact`, or as soon as it listens (`window`); ``retries`` how
    often a request may leave again that nobody has answered.
    """

    op: Literal[
        "read",
        "write",
        "write-partial",
        "execute",
        "create",
        "delete",
        "discover",
        "write-attributes",
        "read-composite",
        "write-composite",
        "observe",
        "observe-composite",
        "cancel-observe",
    ]
    path: str | None = None
    paths: tuple[str, ...] | None = None
    id: int | None = None
    value: object = msgspec.UNSET
    values: dict[str, object] | None = None
    arguments: dict[str, str | None] | None = None
    attributes: dict[str, float | int | bool | None] | None = None
    depth: int | None = None
    format: str | None = None
    timeout: float | None = None
    ttl: float | None = None
    priority: Annotated[int, msgspec.Meta(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] = 0
    key: str | None = None
    force: bool = False
    when: When = "window"
    retries: Annotated[int, msgspec.Meta(ge=0, le=MOST_RETRIES)] | None = None


class Composed(msgspec.Struct, frozen=True, gc=False):
    """A request ready for the engine, and the list of ``objects`` that it was made from.

    ``accept`` is the Content-Format that was asked for, if one was. ``replaceable`` is the format that was chosen here,
    with its use, where another can be tried if the device refuses it. ``ready`` are its bytes, if they are at hand.
    """

    code: int
    options: Options
    payload: bytes
    objects: ObjectList
    accept: int | None = None
    replaceable: tuple[str, int | None] | None = None
    ready: Prepared | None = None

    @property
    def prepared(self) -> Prepared:
        """What the engine sends: ``ready`` where others are asked the same."""
        return self.ready or prepare(self.code, self.options, self.payload)


class Order(msgspec.Struct, frozen=True):
    """A request that can be taken: what is asked, of which path or ``paths``, and the message that it makes now."""

    request: OperationRequest
    path: Path
    paths: tuple[Path, ...] = ()
    composed: Composed | None = None

    @property
    def target(self) -> Target:
        """What is observed: the path, or the set of paths."""
        return target_of(self.path, self.paths)


@attrs.frozen(slots=True)
class Link:
    """One link of a Discover's answer: the path and its attributes."""

    path: str
    attributes: Mapping[str, str | None]


@attrs.frozen(slots=True)
class Result:
    """What the device answered: value rows, the links of a Discover, or the path of what was created."""

    values: tuple[ValueRow, ...] | None = None
    links: tuple[Link, ...] | None = None
    location: str | None = None


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Operation(_OftenOfOperation):
    """One request to a device from acceptance to its end, as ``/v1/operations/{id}`` shows it.

    ``composed`` is its message while that is at hand: not while it waits, since the registration may change. A
    composite one that was not answered so many ``misses`` is carried out ``singly``, as one Read after the other.
    ``timeouts`` counts how often nobody answered it.
    """

    id: str
    endpoint: str
    request: OperationRequest
    path: Path
    paths: tuple[Path, ...]
    created: float
    expires: float
    state: OperationState = "queued"
    sent: float | None = None
    ended: float | None = None
    result: Result | None = None
    error: str | None = None
    coap_code: str | None = None
    format: str | None = None
    internal: bool = False
    kept: bool = False
    timeouts: int = 0
    token: bytes | None = None
    composed: Composed | None = attrs.field(default=None, repr=False)
    watchers: list[Callable[[Operation], None]] | None = None
    misses: int = 0
    singly: bool = False

    @property
    def op(self) -> str:
        """The operation's name, as in `OPERATIONS`."""
        return self.request.op

    @property
    def target(self) -> Target:
        """What is observed: the path, or the set of paths."""
        return target_of(self.path, self.paths)

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL_STATES

    @property
    def ending(self) -> bool:
        """Whether its end is on its way to the storage: ``watchers``, a list then, are told when it is durable."""
        return self.watchers is not None and self.finished

    @property
    def certain(self) -> Operation:
        """The operation as it may be told to anybody: without an end that a crash could take back."""
        if not self.ending:
            return self
        state: OperationState = "queued" if self.sent is None else "sent"
        return attrs.evolve(self, state=state, ended=None, result=None, error=None, coap_code=None, format=None)
