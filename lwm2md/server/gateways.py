"""Devices behind an LwM2M Gateway (OMA Gateway enabler, Object 25), shown as devices of their own.

RULES: what the gateway's twin holds below ``/25``, of the instances that its registration lists, is the truth; so a
restart shows the same devices without asking again. A device behind a gateway is named ``{gateway}/{prefix}``, is
reached under ``/{prefix}`` at the gateway's address, and waits for the gateway's turn. It never takes the name of an
endpoint that registered by itself, and gives its own up to one that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from lwm2md import events
from lwm2md.lwm2m.linkformat import LinkError, ObjectList, objects_of, parse
from lwm2md.lwm2m.models import default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.security.rules import matches
from lwm2md.server import stored
from lwm2md.server.deviations import noting
from lwm2md.server.effects import Write
from lwm2md.server.idle import Idle
from lwm2md.server.observing import Observations
from lwm2md.server.operations import Operations
from lwm2md.server.records import READ, Behind, Device, Operation, OperationRequest, Order, Registration, TwinValue
from lwm2md.server.state import State

GATEWAY: Final = 25
_DEVICE_ID: Final = 0
_PREFIX: Final = 1
_OBJECTS: Final = 3
_MAX_PREFIX: Final = 64
_MAX_DEVICE_ID: Final = 255
_REFUSED: Final = "gateway_devices_refused"
_ALL: Final = Path((GATEWAY,))
_AGAIN: Final = 300.0
_AT_ONCE: Final = 1000
"""Seconds until a gateway is asked again that did not answer."""


@attrs.frozen(slots=True)
class Child:
    """What a gateway says of one device behind it."""

    prefix: str
    device_id: str
    objects: ObjectList


def listed(registration: Registration) -> list[int]:
    """The instances of Object 25 that a registration names; LwM2M 1.0 has no gateways."""
    if registration.version == "1.0":
        return []
    return [path[1] for path in registration.objects.paths if path[0] == GATEWAY and len(path) > 1]


def children_of(
    twin: Mapping[Path, TwinValue], registration: Registration, most: int
) -> tuple[dict[str, Child], list[tuple[str, str]]]:
    """What a gateway's values say of the devices behind it, by prefix, at most ``most``.

    And who was left out: why, in a short stable word, and the prefix. A prefix is a segment of a path that can't be
    taken for an Object ID. Of two instances with one prefix the first counts.
    """
    found: dict[str, Child] = {}
    refused: list[tuple[str, str]] = []
    values = sorted((path, known.value) for path, known in twin.items() if path[0] == GATEWAY)
    for instance in listed(registration):
        mine = {path[2:]: _text(value) for path, value in values if path[1] == instance}
        prefix = mine.get((_PREFIX,), "").strip("/")
        if not mine:
            continue
        if not _is_prefix(prefix):
            refused.append(("gateway-prefix", prefix))
        elif prefix in found:
            refused.append(("gateway-prefix-twice", prefix))
        elif len(found) >= most:
            refused.append(("gateway-limit", prefix))
        else:
            text = ",".join(value for key, value in mine.items() if key[0] == _OBJECTS)
            objects = _objects(text, prefix, registration)
            found[prefix] = Child(prefix, mine.get((_DEVICE_ID,), "")[:_MAX_DEVICE_ID], objects)
    return found, refused


def _text(value: object) -> str:
    """A string, also where no model said that it is one."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_prefix(text: str) -> bool:
    if not 0 < len(text) <= _MAX_PREFIX or text in (".", ".."):
        return False
    return text.isprintable() and not text.isdecimal() and not any(sign in text for sign in "/ <>\ufffd")


def _objects(text: str, prefix: str, registration: Registration) -> ObjectList:
    """The links of one device, which may have its prefix or not."""
    root = f"/{prefix}"
    try:
        links, deviations = parse(text)
    except LinkError:
        return ObjectList(root, registration.objects.formats, (), {}, ("gateway-links",))
    bare = [
        attrs.evolve(link, target=link.target[len(root) :] or "/")
        if link.target == root or link.target.startswith(root + "/")
        else link
        for link in links
    ]
    found = objects_of(bare, deviations)
    versions = {
        path[0]: found.versions.get(path[0]) or default_version(path[0], registration.version) for path in found.paths
    }
    return ObjectList(root, registration.objects.formats, found.paths, versions, found.deviations)


def _left(state: State, child: Device, reason: str, now: float) -> events.Event:
    identifier = "" if child.registration is None else child.registration.id
    return state.event(events.DEVICE_DEREGISTERED, child, now, registration_id=identifier, reason=reason)


class Gateways:
    """The devices behind the fleet's gateways."""

    def __init__(self, state: State, operations: Operations, observations: Observations, idle: Idle) -> None:
        self._state = state
        self._operations = operations
        self._observations = observations
        self._idle = idle
        self._read: dict[str, tuple[str, list[int]]] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._announced: dict[str, frozenset[str]] = {}
        self._to_restore: dict[str, None] = {}

    # The life of the gateway

    def registered(self, gateway: Device, now: float) -> None:
        """The gateway registered, and may have rebooted: what was observed behind it is observed anew."""
        self.changed(gateway, now)
        for child in list((gateway.children or {}).values()):
            self._observations.registered(child, now)

    def changed(self, gateway: Device, now: float) -> None:
        """The gateway's registration changed: those behind it follow; it is read when it lists other instances."""
        registration = gateway.registration
        if registration is None:
            return
        instances = listed(registration)
        if not instances and not gateway.children:
            return
        for child in (gateway.children or {}).values():
            self._renew(child, registration)
        known = self._read.get(gateway.endpoint)
        if known is not None and set(instances) < set(known[1]):
            self.learned(gateway, now)
        if instances and known != (registration.id, instances):
            self._ask(gateway, registration, now)

    def departures(self, gateway: Device, now: float) -> list[events.Event]:
        """The events of those behind a gateway, to be stored with the end of its registration."""
        children = gateway.children or {}
        if children:
            self._announced[gateway.endpoint] = frozenset(children)
        return [_left(self._state, child, "gateway", now) for child in children.values()]

    def gone(self, gateway: Device, now: float) -> None:
        """The gateway's registration ended; `departures` were stored with that, but of those who came since."""
        announced = self._announced.pop(gateway.endpoint, frozenset())
        self._read.pop(gateway.endpoint, None)
        self._named.pop(gateway.endpoint, None)
        for prefix, child in list((gateway.children or {}).items()):
            if prefix not in announced:
                self._state.commit((), (_left(self._state, child, "gateway", now),))
            self._leave(gateway, child, now)

    def _ask(self, gateway: Device, registration: Registration, now: float) -> None:
        self._read[gateway.endpoint] = (registration.id, listed(registration))
        if any(each.internal and each.path == _ALL for each in gateway.queue or ()):
            return

        def ended(operation: Operation) -> None:
            if operation.state != "done" and operation.coap_code is None:
                self._state.deadlines.at(now + _AGAIN, self._ask_again, (gateway, registration))

        request = OperationRequest(op=READ, path=str(_ALL))
        operation = self._operations.enqueue(gateway, Order(request, _ALL), now, internal=True)
        operation.watchers = [*(operation.watchers or ()), ended]

    def _ask_again(self, subject: tuple[Device, Registration], now: float) -> None:
        gateway, registration = subject
        if gateway.registration is registration:
            self._ask(gateway, registration, now)

    def review(self, gateway: Device, now: float) -> None:
        """The block list is another: those behind a gateway that are on it leave."""
        block = self._state.settings.policy.block
        for child in list((gateway.children or {}).values()):
            if matches(child.endpoint, block):
                self._state.commit((), (_left(self._state, child, "blocked-endpoint", now),))
                self._leave(gateway, child, now)

    # What the gateway says

    def learned(self, gateway: Device, now: float) -> None:
        """The gateway's values below ``/25``, or the instances that it lists, are others now."""
        registration = gateway.registration
        if registration is None or gateway.behind is not None:
            return
        wanted, refused = children_of(gateway.twin or {}, registration, self._state.settings.devices_per_gateway)
        self._named[gateway.endpoint] = frozenset(wanted)
        for kind, prefix in refused:
            self._state.count(_REFUSED)
            noting(self._state, gateway, prefix.encode(), now)(kind)
        for prefix, child in list((gateway.children or {}).items()):
            if prefix not in wanted:
                self._state.commit((), (_left(self._state, child, "unlisted", now),))
                self._leave(gateway, child, now)
        for told in wanted.values():
            known = (gateway.children or {}).get(told.prefix)
            if known is None:
                self._come(gateway, told, now)
            else:
                self._change(known, told, now)

    def _come(self, gateway: Device, told: Child, now: float) -> None:
        name = f"{gateway.endpoint}/{told.prefix}"

        def decide(now: float) -> None:
            device = self._state.devices.get(name)
            registration = gateway.registration
            if registration is None or told.prefix in (gateway.children or {}):
                return
            blocked = matches(name, self._state.settings.policy.block)
            if blocked or not _may_take(device, name, gateway) or not self._idle.room(name, now):
                self._state.count(_REFUSED)
                return
            behind = Behind(gateway, told.prefix, told.device_id)
            self._show(gateway, device or Device(name, last_seen=now), behind, told, now)

        if not self._state.exclusive(name, now, decide):
            self._state.count(_REFUSED)

    def _show(self, gateway: Device, device: Device, behind: Behind, told: Child, now: float) -> None:
        row = stored.device_row(attrs.evolve(device, behind=behind, last_seen=now))
        facts = {
            "registration_id": "" if gateway.registration is None else gateway.registration.id,
            "gateway": gateway.endpoint,
            "device_id": told.device_id,
            "objects": [str(path) for path in told.objects.paths],
        }
        event = self._state.event(events.DEVICE_REGISTERED, device, now, **facts)

        def ended(committed: bool, now: float) -> None:
            self._idle.arrived(device.endpoint)
            if not committed:
                return
            self._state.devices[device.endpoint] = device
            device.last_seen = now
            self._attach(gateway, device, behind, told.objects, now)
            if told.prefix not in self._named.get(gateway.endpoint, ()):
                # The gateway left, or names it no more, while this was being stored.
                reason = "gateway" if gateway.registration is None else "unlisted"
                self._state.commit((), (_left(self._state, device, reason, now),))
                self._leave(gateway, device, now)
            else:
                self._observations.registered(device, now)

        self._state.commit_exclusive(device.endpoint, (Write(stored.DEVICES, device.endpoint, row),), (event,), ended)

    def _attach(self, gateway: Device, device: Device, behind: Behind, objects: ObjectList, now: float) -> None:
        device.behind = behind
        registration = gateway.registration
        if registration is not None:
            device.registration = attrs.evolve(
                registration,
                endpoint=device.endpoint,
                objects=objects,
                labels={},
                sms=None,
                registered_at=now,
                expiry=None,
            )
        if gateway.children is None:
            gateway.children = {}
        gateway.children[behind.prefix] = device

    def _change(self, child: Device, told: Child, now: float) -> None:
        registration, behind = child.registration, child.behind
        if registration is None or behind is None:
            return
        if (behind.device_id, registration.objects) == (told.device_id, told.objects):
            return
        registration.objects = told.objects
        child.behind = attrs.evolve(behind, device_id=told.device_id)
        facts = {"device_id": told.device_id, "objects": [str(path) for path in told.objects.paths]}
        event = self._state.event(events.DEVICE_UPDATED, child, now, reason="gateway", **facts)
        self._state.commit((Write(stored.DEVICES, child.endpoint, stored.device_row(child)),), (event,))

    @staticmethod
    def _renew(child: Device, registration: Registration) -> None:
        """Let a child's registration say what the gateway's says now."""
        mine = child.registration
        if mine is not None:
            names = ("id", "peer", "transport", "identity", "version", "lifetime", "binding", "queue_mode")
            for name in names:
                setattr(mine, name, getattr(registration, name))

    def _leave(self, gateway: Device, child: Device, now: float) -> None:
        """A child is there no more; its name stays known, as that of any device without a registration."""
        self._drop(gateway, child, now)
        self._state.commit((Write(stored.DEVICES, child.endpoint, stored.device_row(child)),))
        self._idle.add(child, now)

    def _drop(self, gateway: Device, child: Device, now: float) -> None:
        self._observations.gone(child)
        self._operations.drop(child, now)
        child.registration = None
        if gateway.children is not None and child.behind is not None:
            gateway.children.pop(child.behind.prefix, None)
            gateway.children = gateway.children or None
        self._operations.dispatch(gateway, now)

    def release(self, child: Device, now: float) -> None:
        """Give a name up: an endpoint registers by it, or the operator forgets it."""
        behind = child.behind
        if behind is not None:
            if child.registration is not None:
                self._drop(behind.gateway, child, now)
            child.behind = None

    # After a start

    def expect(self, gateway: Device) -> None:
        """There is a stored device behind this gateway."""
        self._to_restore[gateway.endpoint] = None

    def restore(self) -> None:
        """Put those that were stored behind their gateways again; after the twin, before the observations."""
        names, self._to_restore = list(self._to_restore), {}
        for gateway in self._known(names):
            if gateway.registration is None or not _was_read(gateway, gateway.registration):
                continue
            most = self._state.settings.devices_per_gateway
            told, _ = children_of(gateway.twin or {}, gateway.registration, most)
            for child in told.values():
                device = self._state.devices.get(f"{gateway.endpoint}/{child.prefix}")
                if device is not None and device.behind is not None and device.registration is None:
                    self._attach(gateway, device, device.behind, child.objects, gateway.registration.registered_at)

    def _known(self, names: Iterable[str]) -> list[Device]:
        return [self._state.devices[name] for name in names if name in self._state.devices]

    def start(self, now: float) -> Iterator[None]:
        """Ask the gateways that were not asked since they registered, and show who was not shown yet.

        A few devices are looked at in each step. A fleet shares a few lists, so that each of these is looked at once.
        """
        looked: dict[tuple[int, str], tuple[ObjectList, bool]] = {}  # with the list, so that no other gets its id
        for number, device in enumerate(tuple(self._state.devices.values())):
            if number % _AT_ONCE == 0:
                yield
            registration = device.registration
            if registration is None or device.behind is not None:
                continue
            key = (id(registration.objects), registration.version)
            if key not in looked:
                looked[key] = registration.objects, bool(listed(registration))
            if looked[key][1]:
                self._begin(device, registration, now)

    def _begin(self, gateway: Device, registration: Registration, now: float) -> None:
        if _was_read(gateway, registration):
            self._read[gateway.endpoint] = (registration.id, listed(registration))
            self.learned(gateway, now)
        else:
            self._ask(gateway, registration, now)


def _was_read(gateway: Device, registration: Registration) -> bool:
    """Whether what is known of ``/25`` was read since the gateway registered."""
    times = [known.time for path, known in (gateway.twin or {}).items() if path[0] == GATEWAY]
    return max(times, default=0.0) >= registration.registered_at


def _may_take(device: Device | None, name: str, gateway: Device) -> bool:
    """Whether a name is free for a device behind this gateway: unknown, or its own from before."""
    if device is None:
        return True
    return (
        device.registration is None and device.behind is not None and device.behind.gateway.endpoint == gateway.endpoint
    )
