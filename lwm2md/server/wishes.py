"""The wishes to observe that there are: by id, by device and what they are of, and by the token of notifications.

RULES: tokens of wishes that ended are remembered for a while, so that a notification to one of them is answered with a
Reset. Nothing here sends or stores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.errors import UnknownObservation
from lwm2md.server.records import CANCEL_OBSERVE, OBSERVE, OBSERVE_COMPOSITE, Device, OperationRequest, Order
from lwm2md.server.state import State
from lwm2md.server.wish import Observation, Target

LAST: Final = -100
"""The priority of what the daemon asks by itself: behind all that operators ask."""
_FORGOTTEN: Final = 10_000


class Wishes:
    """The wishes of every device."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_token: dict[bytes, Observation] = {}
        self.with_token: Callable[[bytes], Observation | None] = self._by_token.get
        """The one whose notifications have this token."""
        self._cancelled: dict[bytes, None] = {}

    def of(self, device: Device) -> list[Observation]:
        """Those for one device."""
        return list(device.observations)

    def get(self, device: Device, target: Target) -> Observation | None:
        """The one for a path or a set of paths; a device has few."""
        return next((wish for wish in device.observations if wish.target == target), None)

    def find(self, endpoint: str, target: Target) -> Observation:
        """The one for a path or a set of paths. Raises UnknownObservation."""
        device = self._state.devices.get(endpoint)
        wish = self.get(device, target) if device is not None else None
        if wish is None:
            raise UnknownObservation(f"{endpoint!r} is not observed at {_shown(target)}")
        return wish

    def add(self, device: Device, wish: Observation) -> None:
        """Take one up, in place of an earlier one for the same."""
        self._cancelled.pop(wish.token, None)
        before = self._by_token.get(wish.token)
        if before is not None and before is not wish:
            before.state = "pending"  # who still has it looks for its token again
        others = tuple(other for other in device.observations if other.id != wish.id and other.target != wish.target)
        device.observations = (*others, wish)
        self._by_token[wish.token] = wish
        self._state.observations[wish.id] = wish

    def drop(self, device: Device, wish: Observation) -> None:
        """Forget one, and what the engine knows of it."""
        device.observations = tuple(other for other in device.observations if other.id != wish.id)
        self._state.observations.pop(wish.id, None)
        self._by_token.pop(wish.token, None)
        self._state.engine.forget(wish.token)
        self._cancelled[wish.token] = None
        if len(self._cancelled) > _FORGOTTEN:
            del self._cancelled[next(iter(self._cancelled))]

    def was_cancelled(self, token: bytes) -> bool:
        """Whether notifications with this token are no longer wanted, so that a Reset should say so."""
        return token in self._cancelled

    def removal(self, device: Device) -> list[Write]:
        """The writes that remove every wish for a device; nothing is forgotten yet."""
        return [Write(stored.OBSERVATIONS, wish.id, None) for wish in self.of(device)]

    def forget(self, device: Device) -> None:
        """Forget every wish for a device."""
        for wish in self.of(device):
            self.drop(device, wish)


def _shown(target: Target) -> str:
    return ", ".join(str(each) for each in target) if target and isinstance(target[0], tuple) else str(target)


def order_of(op: Literal["observe", "cancel-observe"], wish: Observation) -> Order:
    """What establishes a wish anew, or ends it: by force, since it was checked when it was made."""
    asked = OBSERVE_COMPOSITE if wish.paths and op == OBSERVE else op
    path = None if wish.paths else str(wish.path)
    paths = tuple(map(str, wish.paths)) or None
    request = OperationRequest(
        op=asked, path=path, paths=paths, format=wish.format, force=True, priority=0 if op == CANCEL_OBSERVE else LAST
    )
    return Order(request, wish.path, wish.paths)
