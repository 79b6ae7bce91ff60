"""Reading devices and their registrations back from storage after a start.

RULES: a device comes before its registration, and that before its refresh; a row that can't be read raises, and whoever
reads rows says which one that was. Where the clock was set back since the storage was written, nothing was heard of
later than now: else a device that has gone would be there until that time comes.
"""

from __future__ import annotations

from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.gateways import Gateways
from lwm2md.server.reach import awake_time
from lwm2md.server.records import Device
from lwm2md.server.refreshes import ALIVE
from lwm2md.server.registration import RegistrationInterface
from lwm2md.server.registrationrows import read_refresh, read_registration
from lwm2md.server.state import State


class Registry:
    """Takes rows up: each method is for those of one table, with key, value and the time."""

    def __init__(self, state: State, registration: RegistrationInterface, gateways: Gateways) -> None:
        self._state = state
        self._lists = registration.lists
        self._lifetimes = registration.lifetimes
        self._gateways = gateways
        self._unread: dict[str, Device] = {}
        self._set_back = False

    def meta(self, key: str, value: bytes, now: float) -> None:
        """How long the daemon was away, and what earlier starts have granted."""
        if key == ALIVE:
            self._set_back = float(value) > now
            downtime = max(0.0, now - float(value))
            self._lifetimes.grant(downtime + self._state.settings.flush_interval, now)
        elif key == "grants":
            self._lifetimes.restore_grants(value)
        elif key == stored.RESTORED:
            self._state.outdated = True

    def device(self, key: str, value: bytes, now: float) -> None:
        """What is kept of a device without its registration."""
        if key in self._state.devices:
            return  # it was fetched before the others
        device = self._state.devices[key] = stored.read_device(key, value, self._gateway)
        if device.profiles is not None:
            device.profiles = {profile: self._lists.share(listed) for profile, listed in device.profiles.items()}
        if device.behind is not None:
            self._gateways.expect(device.behind.gateway)

    def registration(self, key: str, value: bytes, now: float) -> None:
        """A registration as it was made, or changed last."""
        device = self._state.devices.get(key)
        if device is None:
            device = self._state.devices[key] = self._awaited(key)
        elif device.registration is not None:
            return
        registration = read_registration(value, device.endpoint)
        device.last_seen = max(device.last_seen, registration.updated_at)
        self._lifetimes.restore(device, registration)

    def refresh(self, key: str, value: bytes, now: float) -> None:
        """When a registration was refreshed last, and from where."""
        device = self._state.devices.get(key)
        if device is None or device.registration is None or device.noted:
            return  # of one that is noted something newer is known
        refreshed, peer = read_refresh(value)
        if refreshed > device.registration.updated_at:
            self._lifetimes.restore_refresh(device.registration, refreshed, peer)
        device.last_seen = max(device.last_seen, refreshed)

    def _awaited(self, endpoint: str) -> Device:
        """A device that only its registration tells of; those behind it may have been read before."""
        return self._unread.pop(endpoint) if endpoint in self._unread else Device(endpoint)

    def start(self, now: float) -> None:
        """Everything was read back."""
        if self._state.outdated:
            self._state.outdated = False
            self._state.erase((Write(stored.META, stored.RESTORED, None),))
        if self._set_back:
            self._lifetimes.set_back(now)
            for device in self._state.devices.values():
                self._clamp(device, now)

    def _clamp(self, device: Device, now: float) -> None:
        """Let a device have been heard of by now, and so long ago that it is taken to be asleep if it sleeps at all."""
        registration, latest = device.registration, now
        if registration is not None:
            registration.updated_at = min(registration.updated_at, now)
            latest -= awake_time(self._state, device) if registration.queue_mode else 0.0
        device.last_seen = min(device.last_seen, latest)

    def _gateway(self, endpoint: str) -> Device:
        """A gateway that devices are behind; one that was forgotten stands for itself until it registers again."""
        known = self._state.devices.get(endpoint)
        return self._unread.setdefault(endpoint, Device(endpoint)) if known is None else known
