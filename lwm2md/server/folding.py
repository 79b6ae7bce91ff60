"""Folding: where a device keeps fewer observations than are wished for, one composite observation carries several.

RULES: only of devices that are known to take composite operations. Of the wishes for one path the oldest stay by
themselves, one fewer than the device can keep; all that came later are members of the fold, which takes the last place.
A member stays the operator's wish, with its id and attributes; its state says that it is carried. The fold is a wish
like others, stored with its token, and asked for anew with the same token when its members change. A device that
refuses it is asked for what it can keep, path by path, until it registers anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.operations import Operations
from lwm2md.server.records import CANCEL_OBSERVE, WRITE_ATTRIBUTES, Device, Operation, OperationRequest, Order
from lwm2md.server.state import State
from lwm2md.server.tending import Tending
from lwm2md.server.wish import Fold, Observation, id_of
from lwm2md.server.wishes import LAST, Wishes, order_of

_LATER: Final = 10.0

Remove = Callable[[Device, Observation, Operation | None, Resume | None], None]
Establish = Callable[[Device, Observation, float], None]


class Folding:
    """Decides which wishes are carried together, and keeps the observation that carries them.

    ``remove(device, wish, operation, then)`` ends a wish, ``establish(device, wish, now)`` asks a device for one.
    """

    def __init__(self, state: State, wishes: Wishes, tending: Tending, *, remove: Remove, establish: Establish) -> None:
        self._state = state
        self._wishes = wishes
        self._tending = tending
        self._remove = remove
        self._establish = establish
        self._due: dict[str, Device] = {}
        self._unable: set[str] = set()
        self.operations: Operations

    def members(self, device: Device) -> list[Observation]:
        """The wishes that are to be carried together; none where each can have a place of its own."""
        budget = self._tending.budget(device)
        single = [wish for wish in device.observations if not isinstance(wish, Fold)]
        if budget is None or len(single) <= budget or not self._can(device):
            return []
        foldable = [wish for wish in single if not wish.paths and wish.format is None]
        alone = max(0, budget - 1 - (len(single) - len(foldable)))
        return foldable[alone:] if len(foldable) - alone > 1 else []

    def _can(self, device: Device) -> bool:
        registration, profile = device.registration, self._state.profile(device)
        if registration is None or registration.version < "1.1" or device.endpoint in self._unable:
            return False
        return profile.composite is True and profile.fetch is not False

    def look(self, device: Device) -> None:
        """See soon, and once, whether the wishes for a device are carried as they are to be."""
        if not self._due:
            self._state.deadlines.at(0.0, self._go_on)
        self._due[device.endpoint] = device

    @property
    def is_indifferent(self) -> bool:
        """Whether it remembers nothing of what any device refused."""
        return not self._unable

    def anew(self, device: Device) -> None:
        """The device registers: what it refused before it may take now."""
        self._unable.discard(device.endpoint)

    def _go_on(self, _subject: None, now: float) -> None:
        due, self._due = self._due, {}
        for endpoint, device in due.items():
            if self._state.devices.get(endpoint) is device and device.registration is not None:
                self._apply(device, now)

    def _apply(self, device: Device, now: float) -> None:
        members = self.members(device)
        fold = next((wish for wish in device.observations if isinstance(wish, Fold)), None)
        paths = tuple(sorted(wish.path for wish in members))
        if not members:
            if fold is not None:
                self._dissolve(device, fold, now)
        elif fold is None or fold.paths != paths:
            self._carry(device, fold, paths, now)
        elif fold.state == "active":
            self._settle(device, fold, now)

    def _carry(self, device: Device, earlier: Fold | None, paths: tuple[Path, ...], now: float) -> None:
        """Ask for one observation of all these paths, in the place of an earlier one if there is one."""
        taken = self._wishes.get(device, paths)
        if taken is not None and not isinstance(taken, Fold):
            return  # the operator's own composite wish carries them already
        random = self._state.environment.random
        fold = Fold(
            id=id_of(random(8)) if earlier is None else earlier.id,
            endpoint=device.endpoint,
            path=ROOT,
            token=random(8) if earlier is None else earlier.token,
            created=now if earlier is None else earlier.created,
            paths=paths,
        )

        def committed(ok: bool, now: float) -> None:
            if not ok:
                self._state.deadlines.at(now + _LATER, lambda again, _: self.look(again), device)
            elif self._state.devices.get(device.endpoint) is not device:
                self._state.erase((Write(stored.OBSERVATIONS, fold.id, None),))
            else:
                if earlier is not None:
                    self._tending.rest(earlier)
                self._wishes.add(device, fold)
                self._prepare(device, fold, now)
                self._establish(device, fold, now)

        self._state.commit((Write(stored.OBSERVATIONS, fold.id, stored.observation_row(fold)),), (), committed)

    def _prepare(self, device: Device, fold: Fold, now: float) -> None:
        """Make room for a fold, and have the attributes of its members at the device before it."""
        for wish in device.observations:
            if wish.target not in fold.paths:
                continue
            if wish.state == "active":
                self._tending.rest(wish)
                wish.settle("waiting", "to be carried together with others")
                self.operations.enqueue(device, order_of(CANCEL_OBSERVE, wish), now, internal=True)
            elif wish.state != "folded" and wish.attributes is not None:
                attributes = dict(wish.attributes.as_changes())
                request = OperationRequest(
                    op=WRITE_ATTRIBUTES, path=str(wish.path), attributes=attributes, force=True, priority=LAST
                )
                self.operations.enqueue(device, Order(request, wish.path), now, internal=True)

    def _dissolve(self, device: Device, fold: Fold, now: float) -> None:
        """End a fold that is needed no more, or refused: its members are asked for one by one, as far as they fit."""
        told = device.registration is not None and fold.state == "active"
        operation = self.operations.make(device, order_of(CANCEL_OBSERVE, fold), now, internal=True) if told else None
        for wish in device.observations:
            if wish.state == "folded":
                wish.settle("waiting")
        self._remove(device, fold, operation, None)

    # What the device said

    def established(self, device: Device, fold: Fold, now: float) -> None:
        """The device took a fold, or refused it."""
        if fold.state == "active":
            self._settle(device, fold, now)
        else:
            self._give_up(device, fold, now)

    def failed(self, device: Device, fold: Fold, code: str | None, now: float) -> None:
        """An observation of a fold came to nothing: ``code`` is what the device said, None if nothing."""
        if code is not None or fold.aside.failures:
            self._give_up(device, fold, now)
        else:
            self._tending.failed(device, fold, code, now)

    def _give_up(self, device: Device, fold: Fold, now: float) -> None:
        self._unable.add(device.endpoint)
        fold.settle("refused", fold.error)
        self._dissolve(device, fold, now)

    def _settle(self, device: Device, fold: Fold, now: float) -> None:
        """Say of each member that it is carried, and ask for those that are carried no more."""
        for wish in tuple(device.observations):
            if wish.target in fold.paths:
                self._tending.rest(wish)
                wish.settle("folded")
            elif wish.state == "folded":
                wish.settle("pending")
                self._establish(device, wish, now)
