"""Devices without a registration: which of them goes first, when room is needed or its time is over.

RULES: who has operator's labels, profile or observations stays until the operator forgets it, who has requests waiting
until those have expired. Of the others the one that was last seen longest ago gives way to a new device where the limit
is reached, and each is forgotten after a while. An entry that became wrong (the device registered, or got labels) is
found out when it comes up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Final, Literal

from lwm2md.server.deadlines import Plan
from lwm2md.server.effects import Resume
from lwm2md.server.records import Device
from lwm2md.server.state import State

Reason = Literal["limit", "age"]
Forget = Callable[[Device, Reason, float, Resume], None]
_AT_ONCE: Final = 200
_PAUSE: Final = 1.0
_SLACK: Final = 1024


class Idle:
    """The devices that may be forgotten, in the order in which they were last seen.

    ``forget(device, reason, now, then)`` removes one, and calls ``then`` with whether that is durable.
    """

    def __init__(self, state: State, forget: Forget) -> None:
        self._state = state
        self._forget = forget
        self._heap: list[tuple[float, str]] = []
        self._seen: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._coming: set[str] = set()
        self._plan: Plan | None = None

    def add(self, device: Device, now: float) -> None:
        """Consider a device that lost its registration, its labels or an observation, or was read back."""
        if device.registration is None and device.queue:
            # It was disabled, and the operator's requests wait for it.
            self._state.deadlines.at(max(each.expires for each in device.queue), self.add, device)
            return
        if not _is_idle(device) or self._seen.get(device.endpoint) == device.last_seen:
            return
        self._seen[device.endpoint] = device.last_seen
        heappush(self._heap, (device.last_seen, device.endpoint))
        if len(self._heap) > 2 * len(self._seen) + _SLACK:
            self._heap = [(seen, endpoint) for endpoint, seen in self._seen.items()]
            heapify(self._heap)
        self.plan(now)

    def room(self, endpoint: str, now: float) -> bool:
        """Whether a device may become known; if need be, another one is being forgotten for it.

        The place is kept for it until `arrived`; one that is known has its place.
        """
        if endpoint in self._state.devices:
            return True
        known = len(self._state.devices) - len(self._leaving) + len(self._coming)
        if known >= self._state.settings.max_devices:
            oldest = self._oldest()
            if oldest is None:
                return False
            self._take(oldest, "limit", now)
        self._coming.add(endpoint)
        return True

    def arrived(self, endpoint: str) -> None:
        """The device is known now, or it will not be."""
        self._coming.discard(endpoint)

    def arrived_all(self, endpoints: Iterable[str]) -> None:
        """The same of several."""
        self._coming.difference_update(endpoints)

    def plan(self, now: float) -> None:
        """Look again when the first of them has not been seen for long enough, by the settings as they are."""
        oldest = self._oldest()
        after = self._state.settings.forget_after
        if oldest is None or not after:
            return
        when = max(oldest.last_seen + after, now + _PAUSE)
        if self._plan is None or when < self._plan:
            self._state.deadlines.cancel(self._plan)
            self._plan = self._state.deadlines.at(when, self._check)

    def _check(self, _subject: None, now: float) -> None:
        self._plan = None
        after = self._state.settings.forget_after
        for _ in range(_AT_ONCE):
            oldest = self._oldest()
            if not after or oldest is None or oldest.last_seen + after > now:
                break
            self._take(oldest, "age", now)
        self.plan(now)

    def _oldest(self) -> Device | None:
        while self._heap:
            seen, endpoint = self._heap[0]
            device = self._state.devices.get(endpoint)
            if device is not None and self._seen.get(endpoint) == seen == device.last_seen and _is_idle(device):
                return device
            self._drop_first()
        return None

    def _drop_first(self) -> None:
        seen, endpoint = heappop(self._heap)
        if self._seen.get(endpoint) == seen:
            del self._seen[endpoint]

    def _take(self, device: Device, reason: Reason, now: float) -> None:
        """Forget the first."""
        self._drop_first()
        self._leaving.add(device.endpoint)

        def ended(committed: bool, now: float) -> None:
            self._leaving.discard(device.endpoint)
            if not committed and self._state.devices.get(device.endpoint) is device:
                self.add(device, now)

        self._forget(device, reason, now, ended)


def _is_idle(device: Device) -> bool:
    kept = device.labels or device.hand or device.observations or device.queue
    return device.registration is None and not kept
