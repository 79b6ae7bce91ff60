"""Counting the fleet by state and by deviation, for status and metrics, without walking it for every call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, get_args

from lwm2md.http.node import Node
from lwm2md.server.deviations import kinds_of
from lwm2md.server.records import DeviceState

_STATES: Final = get_args(DeviceState)
_PER_SECOND: Final = 100_000
"""Devices that may be looked at per second of the daemon's life: a hundredth of a core or so."""


class Census:
    """Devices by state, and by kind of deviation; for a large fleet a few seconds old at most."""

    __slots__ = ("_counts", "_deviations", "_deviations_until", "_size", "_valid_until")

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}
        self._deviations: Mapping[str, int] = {}
        self._size = -1
        self._valid_until = self._deviations_until = 0.0

    def states(self, node: Node) -> Mapping[str, int]:
        """How many devices are in each state."""
        now = node.now()
        devices = node.server.devices
        if now >= self._valid_until or len(devices) != self._size:
            found = Counter(device.state(now) for device in devices.values())
            self._counts = {state: found[state] for state in _STATES}
            self._size = len(devices)
            self._valid_until = now + len(devices) / _PER_SECOND
        return self._counts

    def deviations(self, node: Node) -> Mapping[str, int]:
        """How many devices have deviations of each kind."""
        now = node.now()
        devices = node.server.devices
        if now >= self._deviations_until:
            self._deviations = Counter(kind for device in devices.values() for kind in kinds_of(device))
            self._deviations_until = now + len(devices) / _PER_SECOND
        return self._deviations
