"""Operations on devices: one request at a time to each, a bounded queue behind it, states that the caller sees.

RULES: nothing leaves while an earlier request is under way, and nothing but what is to leave `now` while the device
sleeps or can't be reached. Execute and Create are committed as ``sent`` before they leave, and are never sent twice.
What was accepted for later (`keep`) is stored until it ends, or until what overwrites it is.
"""

from __future__ import annotations

from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.server import lanes, reach
from lwm2md.server.abilities import Abilities
from lwm2md.server.effects import Resume
from lwm2md.server.errors import BadOperation, NotRegistered, QueueFull, UnknownDevice, UnknownOperation
from lwm2md.server.exchanges import Exchanges, Special
from lwm2md.server.ledger import GONE, OUTCOME_UNKNOWN, SUPERSEDED, UNSTORED, Ledger
from lwm2md.server.negotiation import preferred_by
from lwm2md.server.presence import Presence
from lwm2md.server.reading import Reading
from lwm2md.server.records import (
    AT_MOST_ONCE,
    CANCEL_OBSERVE,
    ESTABLISHING,
    MOST_PRIORITY,
    MOST_RETRIES,
    READ_COMPOSITE,
    Composed,
    Device,
    Operation,
    OperationRequest,
    Order,
    Registration,
)
from lwm2md.server.requests import home_of, prepare
from lwm2md.server.state import State
from lwm2md.server.twin import Twin
from lwm2md.server.wish import Target

_LONGEST_ANSWER = 3600
_LONGEST_TTL = 30 * 86400
_ANYTHING = Path((3, 0, 0))


class Operations:
    """The queue of every device and the operations in it."""

    def __init__(
        self,
        state: State,
        twin: Twin,
        reading: Reading,
        special: Special,
        presence: Presence,
        *,
        abilities: Abilities,
    ) -> None:
        self._state = state
        self._abilities = abilities
        self._special = special
        self._ledger = Ledger(state, self._failed)
        self._exchanges = Exchanges(
            state, self._ledger, special, reading=reading, twin=twin, presence=presence, abilities=abilities
        )
        self._exchanges.again = self._again
        self._exchanges.over = self._over
        self._exchanges.probe = self._probe
        self.asked_before = self._ledger.asked_before

    @property
    def waiting(self) -> int:
        """How many have not ended, of those that operators asked for."""
        return len(self._ledger)

    # What the operator asks

    def submit(self, endpoint: str, request: OperationRequest, now: float) -> Operation:
        """Take an operation and send it as soon as its turn has come. Raises a `Refused`.

        One that asks what another asks that still waits is that one.
        """
        device, order = self._order(endpoint, request)
        joined = lanes.joined(device, order)
        if joined is not None:
            self._prolong(device, joined, now + self._ttl(request))
            return joined
        replaced = lanes.replaced(device, order)
        if replaced is None:
            self._find_room(device)
            return self.enqueue(device, order, now)
        operation = self.make(device, order, now)
        self._replace(device, replaced, operation, now)
        self.queue(device, operation, now)
        return operation

    def check(self, endpoint: str, request: OperationRequest) -> tuple[Device, Order]:
        """The device of a request that there is room for, and the order that it makes. Raises a `Refused`."""
        device, order = self._order(endpoint, request)
        self._find_room(device)
        return device, order

    def _order(self, endpoint: str, request: OperationRequest) -> tuple[Device, Order]:
        device = self._state.devices.get(endpoint)
        if device is None:
            raise UnknownDevice(f"no device {endpoint!r}")
        if device.registration is None:
            raise NotRegistered(f"{endpoint!r} is not registered")
        self._abilities.check(device, request)
        preferred = preferred_by(self._state.profile(device))
        order = prepare(request, device.registration, self._state.models, home_of(device), preferred)
        if request.timeout is not None and not 0 < request.timeout <= _LONGEST_ANSWER:
            raise BadOperation("timeout is more than 0 and at most 3600 seconds", "timeout")
        if request.ttl is not None and not 0 < request.ttl <= _LONGEST_TTL:
            raise BadOperation("ttl is more than 0 seconds and at most 30 days", "ttl")
        if request.retries is not None and not 0 <= request.retries <= MOST_RETRIES:
            raise BadOperation(f"retries is from 0 to {MOST_RETRIES}", "retries")
        if request.retries and request.op in AT_MOST_ONCE:
            raise BadOperation(f"{request.op} is sent once", "retries")
        return device, order

    def _find_room(self, device: Device) -> None:
        settings = self._state.settings
        if device.queue is not None and len(device.queue) >= settings.queue_limit:
            raise QueueFull(f"{len(device.queue)} requests wait for {device.endpoint!r}")
        if len(self._ledger) >= settings.queue_total:
            raise QueueFull(f"{len(self._ledger)} requests wait for all devices together")

    def _ttl(self, request: OperationRequest) -> float:
        return self._state.settings.ttl if request.ttl is None else request.ttl

    def _prolong(self, device: Device, operation: Operation, expires: float) -> None:
        """Let an operation wait as long as everybody wants it to who asked for it."""
        if expires > operation.expires:
            operation.expires = expires
            if operation.kept:
                self._state.commit(self._ledger.row(operation))

    def _replace(self, device: Device, old: Operation, new: Operation, now: float) -> None:
        """End a Write that would be overwritten; what was stored of it gives way to what is stored of the other."""
        lanes.remove(device, old)
        new.kept = old.kept
        self._ledger.end(old, "cancelled", now, error=SUPERSEDED, also=self._ledger.row(new) if old.kept else ())

    def enqueue(self, device: Device, order: Order, now: float, *, internal: bool = False) -> Operation:
        """Put an operation that was checked behind those of at least its priority, and see whether it can leave."""
        operation = self.make(device, order, now, internal=internal)
        self.queue(device, operation, now)
        return operation

    def make(self, device: Device, order: Order, now: float, *, internal: bool = False) -> Operation:
        """Make an operation that can be asked for by its id, but waits nowhere yet."""
        request = order.request
        operation = Operation(
            self._state.environment.random(8).hex(),
            device.endpoint,
            request,
            order.path,
            order.paths,
            now,
            now + self._ttl(request),
            internal=internal,
            composed=order.composed,
        )
        if not internal:
            self._ledger.add(operation)
        return operation

    def _probe(self, device: Device, operation: Operation, now: float) -> None:
        """Ask a device that left a composite operation without an answer for what any device answers, before all."""
        request = OperationRequest(op=READ_COMPOSITE, paths=(str(_ANYTHING),), priority=MOST_PRIORITY)
        probe = self.make(device, Order(request, ROOT, (_ANYTHING,)), now, internal=True)
        probe.singly, probe.misses = True, operation.misses
        self.queue(device, probe, now)

    def queue(self, device: Device, operation: Operation, now: float) -> None:
        """Put an operation in its place in the queue, and see whether it can leave."""
        lanes.insert(device, operation)
        self.dispatch(device, now)
        if operation.state == "queued":
            operation.composed = None  # it is made anew, and need not be kept until then
            self._plan_expiry(device, operation.expires)

    def cancel(self, operation_id: str, now: float, then: Resume) -> Operation:
        """End an operation that has not ended; if it left already, its answer is not waited for."""
        operation = self._state.operations.get(operation_id)
        if operation is None:
            raise UnknownOperation(f"no operation {operation_id!r}")
        if operation.finished:
            self._state.commit((), (), then)
            return operation
        self._cancel(self._state.devices.get(operation.endpoint), operation, now, then)
        return operation

    def cancel_all(self, device: Device, now: float, then: Resume) -> int:
        """End every operation of a device that has not ended; how many there were."""
        mine = [each for each in (device.carrier.current, *(device.queue or ())) if each is not None]
        mine = [each for each in mine if each.endpoint == device.endpoint and not (each.internal or each.finished)]
        for operation in mine:
            self._cancel(device, operation, now, None)
        self._state.commit((), (), then)
        return len(mine)

    def _cancel(self, device: Device | None, operation: Operation, now: float, then: Resume | None) -> None:
        if device is not None:
            lanes.remove(device, operation)
            self._unplan(device)
        self._ledger.end(operation, "cancelled", now, then=then)

    def keep(self, operation: Operation, now: float, then: Resume) -> None:
        """Make an operation that has not ended durable, before its caller is told to come back."""
        operation.kept = True
        self._state.commit(self._ledger.row(operation), (), then)

    # The queue

    def dispatch(self, device: Device, now: float) -> None:
        """Send the next request, if the device is there to take it and owes no answer."""
        carrier = device if device.behind is None else device.behind.gateway
        if self._state.draining or self._state.hold is not None:
            return
        while (
            (carrier.queue or carrier.children)
            and carrier.current is None
            and carrier.registration is not None
            and not carrier.disabled
        ):
            taken = lanes.take(carrier, is_open=reach.is_open(self._state, carrier, now))
            if taken is None:
                return
            chosen, operation = taken
            if not chosen.queue:
                self._unplan(chosen)
            if operation.expires <= now:
                self._ledger.end(operation, "expired", now)
                continue
            carrier.current = operation
            operation.state, operation.sent = "sent", now
            if operation.request.op in AT_MOST_ONCE:
                self._commit_sent(chosen, operation)
            else:
                self._exchanges.send(chosen, operation, now)

    def _commit_sent(self, device: Device, operation: Operation) -> None:
        """Send an operation that must not happen twice, once it is stored that it was sent."""

        def committed(ok: bool, now: float) -> None:
            if ok and not operation.finished:
                self._exchanges.send(device, operation, now)
            elif not operation.finished:
                self._ledger.end(operation, "failed", now, error=UNSTORED)
            if operation.finished:
                self._over(device, operation, now)

        operation.kept = True
        self._state.commit(self._ledger.row(operation), (), committed)

    def _plan_expiry(self, device: Device, when: float) -> None:
        """Look at the queue again when the first of its requests has waited long enough; one plan per device."""
        if device.queue_check is None or when < device.queue_check:
            self._state.deadlines.cancel(device.queue_check)
            device.queue_check = self._state.deadlines.at(when, self._expire, device)

    def _unplan(self, device: Device) -> None:
        """Nothing waits any more that could expire."""
        if not device.queue and device.queue_check is not None:
            self._state.deadlines.cancel(device.queue_check)
            device.queue_check = None

    def _expire(self, device: Device, now: float) -> None:
        device.queue_check = None
        waiting = device.queue
        if not waiting:
            return
        device.queue = [operation for operation in waiting if operation.expires > now] or None
        for operation in waiting:
            if operation.expires <= now:
                self._ledger.end(operation, "expired", now)
        if device.queue:
            self._plan_expiry(device, min(operation.expires for operation in device.queue))

    def _again(self, device: Device, operation: Operation) -> None:
        """Put an operation in front that its device did not get."""
        operation.state, operation.sent, operation.token, operation.composed = "queued", None, None, None
        device.queue = [operation, *(device.queue or ())]
        self._plan_expiry(device, operation.expires)

    def _over(self, device: Device, operation: Operation, now: float) -> None:
        """The device owes no answer to this operation any more: the next one may leave."""
        carrier = device.carrier
        if carrier.current is operation:
            carrier.current = None
        if carrier.current is None:
            self.dispatch(device, now)

    # What the observations ask

    def composed(self, device: Device, operation: Operation) -> Composed:
        """The message of an operation. Raises a `Refused` where it can't be sent any more."""
        return self._exchanges.composed(device, operation)

    def registration(self, device: Device) -> Registration:
        """The registration that a request goes to. Raises BadOperation when it ended meanwhile."""
        return self._exchanges.registration(device)

    def fail(self, operation: Operation, error: str, now: float) -> None:
        """End an operation that never came to be sent."""
        if not operation.finished:
            self._ledger.end(operation, "failed", now, error=error)

    def succeed(self, operation: Operation, now: float) -> None:
        """End an operation for which nothing had to be sent."""
        self._ledger.end(operation, "done", now)

    def revoke(self, device: Device, target: Target, now: float) -> None:
        """End the observe operations of a target that still wait; the wish is gone."""
        for operation in [each for each in device.queue or () if each.op in ESTABLISHING and each.target == target]:
            lanes.remove(device, operation)
            self._ledger.end(operation, "cancelled", now)

    def _failed(self, operation: Operation) -> None:
        if operation.op in ESTABLISHING or operation.op == CANCEL_OBSERVE:
            self._special.failed(operation)

    # The life of registrations, and of the daemon

    def drop(self, device: Device, now: float) -> None:
        """End what is under way to a device whose registration is gone, and what waits, unless it was disabled."""
        waiting: list[Operation] = []
        if not device.disabled:
            self._state.deadlines.cancel(device.queue_check)
            waiting, device.queue, device.queue_check = list(device.queue or ()), None, None
        carrier = device.carrier
        current = carrier.current
        if current is not None and current.endpoint == device.endpoint:
            carrier.current = None
            waiting.insert(0, current)
            if current.token is not None:
                self._state.engine.withdraw(current.token, now)
        for operation in waiting:
            if not operation.finished:
                unknown = operation.state == "sent" and operation.op in AT_MOST_ONCE
                self._ledger.end(operation, "failed", now, error=OUTCOME_UNKNOWN if unknown else GONE)

    def start(self, device: Device, now: float) -> None:
        """Go on with what was restored for a device, in the order in which it was asked for."""
        if device.queue:
            device.queue.sort(key=lambda each: (-each.request.priority, each.created))
            self.dispatch(device, now)
        if device.queue:
            self._plan_expiry(device, min(operation.expires for operation in device.queue))

    def restore(self, operation: Operation, now: float) -> None:
        """Take up an operation from storage: what waited waits on, what may have been executed is not sent again.

        One that was made later than now, by a clock that was wrong, waits as long as it was to.
        """
        ahead = operation.created - now
        if ahead > 0:
            operation.created, operation.expires = now, operation.expires - ahead
        self._ledger.add(operation)
        device = self._state.devices.get(operation.endpoint)
        if operation.finished:
            self._ledger.ended(operation)
        elif self._state.outdated or (operation.state == "sent" and operation.op in AT_MOST_ONCE):
            self._ledger.end(operation, "failed", now, error=OUTCOME_UNKNOWN)
        elif device is None or (device.registration is None and not device.disabled):
            self._ledger.end(operation, "failed", now, error=GONE)
        else:
            operation.state, operation.sent = "queued", None
            operation.endpoint = device.endpoint
            lanes.insert(device, operation)
