"""What the operator says of a device, beside what it says of itself: labels, and a profile by hand.

RULES: of two changes of one device the second one waits for the first, and is looked at again then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from msgspec import UnsetType

from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BadOperation, LimitReached, QueueFull, Refused
from lwm2md.server.idle import Idle
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import Device
from lwm2md.server.state import State

NO_LABELS: Final[Mapping[str, str | None]] = {}
_MAX_LABEL: Final = 256

Given = str | UnsetType | None
"""A name to give, None to take it away, unset to leave it."""


class Amendments:
    """Changes what is kept of a device by the operator's word."""

    def __init__(self, state: State, profiling: Profiling, idle: Idle) -> None:
        self._state = state
        self._profiling = profiling
        self._idle = idle

    def make(self, device: Device, labels: Mapping[str, str | None], profile: Given, now: float, then: Resume) -> None:
        """Change labels, where None removes one, and the profile. Raises LimitReached, BadOperation, QueueFull."""
        endpoint = device.endpoint
        self._amended(device, labels, profile)

        def decide(now: float) -> None:
            known = self._state.devices.get(endpoint)
            try:
                kept = None if known is None else self._amended(known, labels, profile)
            except Refused:
                kept = None
            if known is None or kept is None:
                then(False, now)  # it was forgotten, or got other labels, while this call waited for its turn
            else:
                self._store(known, kept, then)

        if not self._state.exclusive(endpoint, now, decide):
            raise QueueFull(f"too much is being decided for {endpoint!r}")

    def _amended(self, device: Device, labels: Mapping[str, str | None], profile: Given) -> Device:
        merged: dict[str, str | None] = {**(device.labels or {}), **labels}
        kept = {name: value for name, value in merged.items() if value is not None}
        most = self._state.settings.labels_per_device
        if len(kept) > most or any(len(name) > _MAX_LABEL or len(kept[name]) > _MAX_LABEL for name in kept):
            raise LimitReached(f"at most {most} labels of {_MAX_LABEL} characters", "labels")
        if isinstance(profile, str) and profile not in self._profiling.definitions:
            raise BadOperation(f"no profile {profile!r}", "profile")
        hand = device.hand if isinstance(profile, UnsetType) else profile
        return attrs.evolve(device, labels=kept or None, hand=hand)

    def _store(self, device: Device, kept: Device, then: Resume) -> None:
        def ended(ok: bool, now: float) -> None:
            if ok:
                device.labels, device.hand = kept.labels, kept.hand
                self._profiling.changed(device)
                self._idle.add(device, now)
            then(ok, now)

        row = stored.device_row(kept)
        self._state.commit_exclusive(device.endpoint, (Write(stored.DEVICES, device.endpoint, row),), (), ended)
