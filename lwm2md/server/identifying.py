"""Asking devices what they are, where the operator's profiles or templates depend on it.

RULES: each of manufacturer, model and firmware is read once, if a profile or a template asks for it and nothing is
known; behind all that the operator asks. A device that refuses is not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import attrs

from lwm2md.lwm2m.paths import Path
from lwm2md.server.deviceprofiles import UNTRIED
from lwm2md.server.operations import Operations
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import READ, Device, Operation, OperationRequest, Order
from lwm2md.server.state import State

_PRIORITY: Final = -1000
_DEVICE: Final = Path((3, 0))


class Identifying:
    """Reads what `Profiling.needed` says."""

    def __init__(self, state: State, profiling: Profiling, operations: Operations) -> None:
        self._state = state
        self._profiling = profiling
        self._operations = operations
        profiling.look, profiling.asks = self.look, self.asks
        self.also: Callable[[], Collection[Path]] = tuple

    def asks(self) -> bool:
        """Whether there is anything that devices are asked for."""
        return bool(self._profiling.needed or self.also()) and self._state.settings.identify

    def look(self, device: Device, now: float) -> None:
        """Ask a registered device for what has to be known of it and is not."""
        registration = device.registration
        if registration is None or not self.asks():
            return
        if (device.learned is not None and device.learned.nameless) or _DEVICE not in registration.objects.paths:
            return
        known = device.twin or {}
        coming = {each.path for each in (*(device.queue or ()), device.carrier.current) if each and each.internal}
        for path in sorted({*self._profiling.needed, *self.also()}):
            if path not in known and path not in coming:
                self._ask(device, path, now)

    def _ask(self, device: Device, path: Path, now: float) -> None:
        def ended(operation: Operation) -> None:
            if operation.coap_code is not None and operation.state != "done":
                self._profiling.learn(device, attrs.evolve(device.learned or UNTRIED, nameless=True))

        request = OperationRequest(op=READ, path=str(path), priority=_PRIORITY, force=True)
        operation = self._operations.enqueue(device, Order(request, path), now, internal=True)
        operation.watchers = [*(operation.watchers or ()), ended]
