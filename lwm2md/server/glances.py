"""The shortest path of all: pure refreshes, of which nearly all of a fleet's traffic is.

RULES: nothing changes but the time, and what waits for the device leaves behind the answer. From another address it
is no such refresh, nor that of a gateway, or of a device that was told to be silent. All registrations of a batch are
found before any of it is taken: one may have ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Peer
from lwm2md.server.records import Device, Registration
from lwm2md.server.refreshes import Refreshes
from lwm2md.server.state import State


class Glances:
    """Takes Updates that have neither parameters nor payload: see `lwm2md.coap.interfaces.Glance`.

    ``uplink(device, now)`` is told of each.
    """

    def __init__(self, state: State, refreshes: Refreshes, uplink: Callable[[Device, float], None]) -> None:
        self.find_all = state.registrations.find_all
        self._state = state
        self._busy = state.busy
        self._wants = state.environment.wants
        self._note = refreshes.note
        self._uplink = uplink

    def take(self, registration: Registration, peer: Peer, now: float) -> int:
        """Take a refresh, known by its options as they are encoded; 0 where it is none."""
        device = registration.device
        if registration.peer != peer or device.registration is not registration:
            return 0
        if device.children or device.disabled or (self._busy and registration.endpoint in self._busy):
            return 0
        gap = now - registration.updated_at  # as in `Registration.refreshed`; no call on the shortest path
        if gap > registration.gap:  # noqa: PLR1730  max would be a call
            registration.gap = gap
        registration.updated_at = now
        if not device.noted:
            self._note(device)
        self._uplink(device, now)
        if self._wants(events.DEVICE_UPDATED):
            self._state.live(events.DEVICE_UPDATED, device, now, reason="refresh", registration_id=registration.id)
        return n.CHANGED
