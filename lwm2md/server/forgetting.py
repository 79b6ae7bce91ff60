"""Forgetting a device: everything that is known of it goes in one transaction, by the operator's word or with time.

RULES: a decision about the device that is under way comes first. Rows go, then memory; what was written in between goes
once more.
"""

from __future__ import annotations

import attrs

from lwm2md import events
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import QueueFull
from lwm2md.server.findings import Findings
from lwm2md.server.gateways import Gateways
from lwm2md.server.lifetimes import Lifetimes
from lwm2md.server.observing import Observations
from lwm2md.server.operations import Operations
from lwm2md.server.records import Device
from lwm2md.server.state import State
from lwm2md.server.twin import Twin


@attrs.frozen
class Parts:
    """Who keeps something of a device, and lets it go here."""

    gateways: Gateways
    observations: Observations
    operations: Operations
    twin: Twin
    findings: Findings
    lifetimes: Lifetimes


class Forgetting:
    """Removes devices from memory and from storage."""

    def __init__(self, state: State, parts: Parts) -> None:
        self._state = state
        self._parts = parts

    def device(self, endpoint: str, now: float, then: Resume) -> None:
        """Remove everything known of a device: registration, wishes, queue, twin, history. Raises QueueFull."""
        if not self._state.exclusive(endpoint, now, lambda later: self._forget(endpoint, "removed", later, then)):
            raise QueueFull(f"too much is being decided for {endpoint!r}")

    def idle(self, device: Device, reason: str, now: float, then: Resume) -> None:
        """Forget a device that has no registration, unless it comes back in the meantime."""

        def decide(now: float) -> None:
            if device.registration is None and self._state.devices.get(device.endpoint) is device:
                self._forget(device.endpoint, reason, now, then)
            else:
                then(False, now)

        if not self._state.exclusive(device.endpoint, now, decide):
            then(False, now)

    def _forget(self, endpoint: str, reason: str, now: float, then: Resume) -> None:
        device = self._state.devices.get(endpoint)
        if device is None:
            self._state.commit((), (), then)
            return
        registration = device.registration
        gone = self._parts.gateways.departures(device, now)
        if registration is not None:
            fields = {"reason": "removed", "registration_id": registration.id}
            gone.append(self._state.event(events.DEVICE_DEREGISTERED, device, now, **fields))
        gone.append(self._state.event(events.DEVICE_FORGOTTEN, device, now, reason=reason))
        tables = (stored.REGISTRATIONS, stored.REFRESHES, stored.DEVICES)
        writes = [Write(table, endpoint, None) for table in tables]

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._remove(device, now)
            then(ok, now)

        writes += (*self._parts.observations.wishes.removal(device), *self._parts.twin.removal(device))
        writes.append(self._parts.findings.removal(device))
        self._state.commit_exclusive(endpoint, writes, gone, ended, dropped=(endpoint,))

    def _remove(self, device: Device, now: float) -> None:
        """Forget a device whose rows are gone, and once more what was written in between."""
        self._parts.gateways.release(device, now)
        if device.registration is not None:
            self._parts.lifetimes.remove(device.registration)
            device.registration = None
        self._parts.gateways.gone(device, now)
        self._parts.observations.gone(device)
        device.disabled = False  # what waited for it to come back waits no more
        self._parts.operations.drop(device, now)
        self._state.erase(self._parts.observations.wishes.removal(device))
        meanwhile = (*self._parts.twin.removal(device), Write(stored.DEVICES, device.endpoint, None))
        self._state.commit(meanwhile, dropped=(device.endpoint,))
        self._parts.observations.wishes.forget(device)
        device.twin = None
        self._parts.findings.forget(device)
        del self._state.devices[device.endpoint]
