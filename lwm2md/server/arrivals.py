"""What is told when a device registers, and whether that is anything new.

RULES: the same Register again is no other registration (`field.md`); one that takes a place says whose.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Final

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
        return [resumption(registration, labels, now)]
    found = departures(state, device, previous, now)
    found.append(events.Event(events.DEVICE_REGISTERED, now, endpoint, labels, facts_of(registration, address)))
    return found


def resumption(registration: Registration, labels: Mapping[str, str], now: float) -> events.Event:
    """What is told of a Register that says nothing new."""
    fields = {"reason": "resumed", "registration_id": registration.id}
    return events.Event(events.DEVICE_UPDATED, now, registration.endpoint, labels, fields)


def departures(state: State, device: Device, previous: Registration | None, now: float) -> list[events.Event]:
    """What is told of those whose place a Register takes: the ``previous`` registration, and a gateway's word."""
    found = []
    if device.behind is not None and device.registration is not None:
        gone = {"reason": "displaced", "registration_id": device.registration.id}
        found.append(state.event(events.DEVICE_DEREGISTERED, device, now, **gone))
    if previous is not None:
        gone = {"reason": "replaced", "registration_id": previous.id}
        found.append(state.event(events.DEVICE_DEREGISTERED, device, now, **gone))
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


def resume(previous: Registration | None, coming: Registration, now: float) -> bool:
    """Let a Register that says nothing new be the ``previous`` registration that goes on; whether it is such a one.

    The device came back from sleep, or its 2.01 was lost.
    """
    if previous is None or _said(previous) != _said(coming):
        return False
    coming.id, coming.registered_at = previous.id, previous.registered_at
    coming.gap, coming.settled = max(previous.gap, now - previous.updated_at), previous.settled
    return True


_said: Final = attrgetter("peer", "version", "lifetime", "binding", "queue_mode", "sms", "objects", "labels")
"""What a registration is made of that a device says."""
