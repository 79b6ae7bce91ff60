"""What is told when a device registers, and whether that is anything new.

RULES: the same Register again is no other registration (`field.md`); one that takes a place says whose.
"""

from __future__ import annotations

from collections.abc import Mapping

from lwm2md import events
from lwm2md.server.records import Device, Registration
from lwm2md.server.registrationrows import paths_of
from lwm2md.server.state import State


def register_events(
    state: State,
    device: Device,
    previous: Registration | None,
    registration: Registration,
    *,
    resumed: bool,
    labels: Mapping[str, str],
    address: str,
    now: float,
) -> list[events.Event]:
    """What is told of a Register from that ``address``: it says nothing new (``resumed``), takes a place, or begins.

    ``labels`` are those that the device has with it: whoever allowed it may have granted some.
    """
    endpoint = device.endpoint
    if resumed:
        fields = {"reason": "resumed", "registration_id": registration.id}
        return [events.Event(events.DEVICE_UPDATED, now, endpoint, labels, fields)]
    found = []
    if device.behind is not None and device.registration is not None:
        gone = {"reason": "displaced", "registration_id": device.registration.id}
        found.append(state.event(events.DEVICE_DEREGISTERED, device, now, **gone))
    if previous is not None:
        gone = {"reason": "replaced", "registration_id": previous.id}
        found.append(state.event(events.DEVICE_DEREGISTERED, device, now, **gone))
    found.append(events.Event(events.DEVICE_REGISTERED, now, endpoint, labels, facts_of(registration, address)))
    return found


def facts_of(registration: Registration, address: str) -> dict[str, object]:
    """What events tell of a registration from that ``address``."""
    return {
        "registration_id": registration.id,
        "version": registration.version,
        "lifetime": registration.lifetime,
        "binding": registration.binding,
        "queue_mode": registration.queue_mode,
        "address": address,
        "transport": registration.transport,
        "objects": paths_of(registration.objects),
    }


def address_of(state: State, registration: Registration) -> str:
    """The address of a registration as text."""
    return state.environment.describe(registration.peer).address


def same(previous: Registration, now: Registration) -> bool:
    """Whether a Register says nothing new: the device came back from sleep, or its 2.01 was lost."""
    names = ("peer", "version", "lifetime", "binding", "queue_mode", "sms", "objects", "labels")
    return all(getattr(previous, name) == getattr(now, name) for name in names)
