"""Operations on devices: one request at a time to each, a bounded queue behind it, states that the caller sees.

RULES: nothing leaves while the device sleeps or an earlier request is under way. Execute and Create are committed as
``sent`` before they leave, and are never sent twice. What was accepted for later (`keep`) is stored until it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Failure, Received
from lwm2md.coap.message import Message
from lwm2md.lwm2m.paths import Path
from lwm2md.server import stored
from lwm2md.server.answers import BadAnswer, created, decode_nodes, diagnostic, discovered, rows
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BadOperation, NotRegistered, QueueFull, Refused, UnknownDevice, UnknownOperation
from lwm2md.server.lanes import insert, take
from lwm2md.server.records import (
    AT_MOST_ONCE,
    EXECUTE,
    OBSERVE,
    READ,
    Device,
    Operation,
    OperationRequest,
    OperationState,
    Registration,
    Result,
)
from lwm2md.server.requests import Composed, compose, parse_path
from lwm2md.server.state import State
from lwm2md.server.twin import Twin

OUTCOME_UNKNOWN: Final = "outcome-unknown"
GONE: Final = "the registration ended"
UNSTORED: Final = "storage failed; nothing was sent"
_DISABLE: Final = (1, 4)
"""Object and Resource of the Server Object's Disable."""

_QUIET: Final = frozenset({"read", "discover"})
_ERRORS: Final = {
    "timeout": "no answer",
    "reset": "the device answered with Reset",
    "overloaded": "too much is under way to this address",
    "bad-response": "the answer can't be understood",
    "cancelled": "the address of the device changed",
}

Outcome = Received | str


class Special(Protocol):
    """The operations that another part carries out: observe and cancel-observe."""

    def send(self, device: Device, operation: Operation, done: Callable[[Outcome, float], None], now: float) -> bytes:
        """Send it; call ``done`` with what came of it."""
        ...

    def answered(self, device: Device, operation: Operation, message: Message, now: float) -> Result:
        """Make the result of a 2.xx answer. Raises BadAnswer."""
        ...

    def failed(self, operation: Operation) -> None:
        """Hear that the operation ended without success."""
        ...


class Operations:
    """The queue of every device and the operations in it."""

    def __init__(self, state: State, twin: Twin, special: Special, uplink: Callable[[Device, float], None]) -> None:
        self._state = state
        self._twin = twin
        self._special = special
        self._uplink = uplink
        self._ended: deque[Operation] = deque()

    # What the operator asks

    def submit(self, endpoint: str, request: OperationRequest, now: float) -> Operation:
        """Take an operation and send it as soon as its turn has come. Raises a `Refused`."""
        device, path = self.check(endpoint, request)
        return self.enqueue(device, request, path, now)

    def check(self, endpoint: str, request: OperationRequest) -> tuple[Device, Path]:
        """The device and path of a request that can be taken. Raises a `Refused`."""
        device = self._state.devices.get(endpoint)
        if device is None:
            raise UnknownDevice(f"no device {endpoint!r}")
        if device.registration is None:
            raise NotRegistered(f"{endpoint!r} is not registered")
        path = parse_path(request.path)
        compose(request, path, device.registration, self._state.resource_model(device))
        if request.timeout is not None and not 0 < request.timeout <= 3600:
            raise BadOperation("timeout is more than 0 and at most 3600 seconds", "timeout")
        if request.ttl is not None and not 0 < request.ttl <= 30 * 86400:
            raise BadOperation("ttl is more than 0 seconds and at most 30 days", "ttl")
        if device.queue is not None and len(device.queue) >= self._state.settings.queue_limit:
            raise QueueFull(f"{len(device.queue)} requests wait for {endpoint!r}")
        return device, path

    def enqueue(
        self, device: Device, request: OperationRequest, path: Path, now: float, *, internal: bool = False
    ) -> Operation:
        """Put an operation that was checked behind those of at least its priority, and see whether it can leave."""
        operation = self.make(device, request, path, now, internal=internal)
        insert(device, operation)
        self.dispatch(device, now)
        return operation

    def make(
        self, device: Device, request: OperationRequest, path: Path, now: float, *, internal: bool = False
    ) -> Operation:
        """Make an operation that can be asked for by its id, but waits nowhere yet."""
        ttl = self._state.settings.ttl if request.ttl is None else request.ttl
        identifier = self._state.environment.random(8).hex()
        operation = Operation(identifier, device.endpoint, request, path, now, now + ttl, internal=internal)
        if not internal:
            self._state.operations[identifier] = operation
        return operation

    def cancel(self, operation_id: str, now: float, then: Resume) -> Operation:
        """End an operation that has not ended; if it left already, its answer is not waited for."""
        operation = self._state.operations.get(operation_id)
        if operation is None:
            raise UnknownOperation(f"no operation {operation_id!r}")
        if operation.finished:
            self._state.commit((), (), then)
            return operation
        device = self._state.devices.get(operation.endpoint)
        if device is not None and device.queue is not None and operation in device.queue:
            device.queue.remove(operation)
        self._end(operation, "cancelled", now, then=then)
        return operation

    def keep(self, operation: Operation, now: float, then: Resume) -> None:
        """Make an operation that has not ended durable, before its caller is told to come back."""
        operation.kept = True
        self._state.commit((Write(stored.OPERATIONS, operation.id, stored.operation_row(operation)),), (), then)

    # The queue

    def dispatch(self, device: Device, now: float) -> None:
        """Send the next request, if the device is there to take it and owes no answer."""
        carrier = device.carrier
        registration = carrier.registration
        while registration is not None:
            asleep = carrier.disabled or (registration.queue_mode and now >= carrier.awake_until)
            if carrier.current is not None or asleep:
                self._plan_expiry(device)
                return
            taken = take(carrier)
            if taken is None:
                return
            chosen, operation = taken
            if operation.expires <= now:
                self._end(operation, "expired", now)
                continue
            carrier.current = operation
            operation.state, operation.sent = "sent", now
            if operation.op in AT_MOST_ONCE:
                self._commit_sent(chosen, operation)
            else:
                self._send(chosen, operation, now)

    def _commit_sent(self, device: Device, operation: Operation) -> None:
        """Send an operation that must not happen twice, once it is stored that it was sent."""

        def committed(ok: bool, now: float) -> None:
            if ok and not operation.finished:
                self._send(device, operation, now)
            elif not operation.finished:
                self._end(operation, "failed", now, error=UNSTORED)
            if operation.finished:
                self._release(device, operation, now)

        operation.kept = True
        self._state.commit((Write(stored.OPERATIONS, operation.id, stored.operation_row(operation)),), (), committed)

    def _plan_expiry(self, device: Device) -> None:
        """Look at the queue again when the first of its requests has waited long enough; one plan per device."""
        if device.queue:
            first = min(operation.expires for operation in device.queue)
            if device.queue_check is None or first < device.queue_check.time:
                self._state.deadlines.cancel(device.queue_check)
                device.queue_check = self._state.deadlines.at(first, self._expire, device)

    def _expire(self, device: Device, now: float) -> None:
        device.queue_check = None
        waiting = device.queue
        if not waiting:
            return
        device.queue = deque(operation for operation in waiting if operation.expires > now)
        for operation in waiting:
            if operation.expires <= now:
                self._end(operation, "expired", now)
        self._plan_expiry(device)

    def _send(self, device: Device, operation: Operation, now: float) -> None:
        def done(outcome: Outcome, then: float) -> None:
            self._outcome(device, operation, outcome, then)

        try:
            if operation.op in ("observe", "cancel-observe"):
                operation.token = self._special.send(device, operation, done, now)
                return
            composed = self._compose(device, operation)
        except Refused as error:
            # The registration changed since it was checked, or the wish is gone.
            device.carrier.current = None
            self._end(operation, "failed", now, error=str(error))
            return
        operation.token = self._state.engine.request(
            self.registration(device).peer,
            composed.code,
            composed.options,
            composed.payload,
            on_outcome=done,
            timeout=self.timeout(operation),
            now=now,
        )

    def timeout(self, operation: Operation) -> float:
        """How long the device may take to answer, in seconds."""
        return self._state.settings.timeout if operation.request.timeout is None else operation.request.timeout

    def _compose(self, device: Device, operation: Operation) -> Composed:
        return compose(operation.request, operation.path, self.registration(device), self._state.resource_model(device))

    @staticmethod
    def registration(device: Device) -> Registration:
        """The registration that a request goes to. Raises BadOperation when it ended meanwhile."""
        if device.registration is None:
            raise BadOperation(GONE)
        return device.registration

    # What comes back

    def _release(self, device: Device, operation: Operation, now: float) -> None:
        carrier = device.carrier
        if carrier.current is operation:
            carrier.current = None
            self.dispatch(device, now)

    def _outcome(self, device: Device, operation: Operation, outcome: Outcome, now: float) -> None:
        spoke = isinstance(outcome, Received) or outcome in (Failure.RESET, Failure.BAD_RESPONSE)
        if spoke and device.registration is not None:
            self._uplink(device, now)
        if operation.finished:
            pass  # it was cancelled, or the registration ended
        elif isinstance(outcome, Received):
            self._answered(device, operation, outcome, now)
        else:
            self._unanswered(device, operation, outcome, now)
        self._release(device, operation, now)

    def _answered(self, device: Device, operation: Operation, received: Received, now: float) -> None:
        message = received.message
        operation.coap_code = n.dotted(message.code)
        if message.code >> 5 != 2:
            self._end(operation, "failed", now, error=diagnostic(message))
            return
        try:
            operation.result = self._result(device, operation, message, now)
        except (BadAnswer, Refused) as error:
            self._end(operation, "failed", now, error=str(error))
            return
        if operation.op == EXECUTE and (operation.path[0], operation.path[2]) == _DISABLE:
            self._disable(device)
        self._end(operation, "done", now)

    def _disable(self, device: Device) -> None:
        """The device leaves, and comes back by itself: what waits for it waits until then, over a restart too."""
        device.disabled = True
        self._state.commit((Write(stored.DEVICES, device.endpoint, stored.device_row(device)),))

    def _result(self, device: Device, operation: Operation, message: Message, now: float) -> Result:
        op = operation.op
        if op in ("observe", "cancel-observe"):
            return self._special.answered(device, operation, message, now)
        root = device.registration.objects.root if device.registration is not None else "/"
        if op == READ:
            type_of = self._state.resource_model(device)
            accept = self._compose(device, operation).accept if message.content_format is None else None
            nodes, operation.format = decode_nodes(message, operation.path, accept, type_of)
            values = rows(nodes, type_of, now)
            self._twin.learn(device, operation.path, values, "read", now=now)
            return Result(values=values)
        if op == "discover":
            return discovered(message, root)
        if op == "create":
            return created(message, operation.path, operation.request.id, root)
        return Result()

    def _unanswered(self, device: Device, operation: Operation, outcome: str, now: float) -> None:
        registration = device.registration
        sleeper = registration is not None and registration.queue_mode
        if outcome == Failure.TIMEOUT and sleeper:
            device.carrier.awake_until = min(device.carrier.awake_until, now)
        elif outcome == Failure.TIMEOUT and registration is not None and device.responding:
            device.responding = False
            fields = {"operation": operation.id, "last_seen": events.Timestamp(device.last_seen)}
            self._state.commit((), (self._state.event(events.DEVICE_NOT_RESPONDING, device, now, **fields),))
        again = outcome == Failure.CANCELLED or (outcome == Failure.TIMEOUT and sleeper)
        if again and registration is not None and operation.op not in AT_MOST_ONCE:
            # It moved, or fell asleep, before it could take the request: its turn comes again.
            operation.state, operation.sent, operation.token = "queued", None, None
            device.queue = device.queue if device.queue is not None else deque()
            device.queue.appendleft(operation)
            return
        unknown = operation.op in AT_MOST_ONCE and outcome in (Failure.TIMEOUT, Failure.CANCELLED)
        self._end(operation, "failed", now, error=OUTCOME_UNKNOWN if unknown else _ERRORS.get(outcome, outcome))

    def fail(self, operation: Operation, error: str, now: float) -> None:
        """End an operation that never came to be sent."""
        if not operation.finished:
            self._end(operation, "failed", now, error=error)

    def succeed(self, operation: Operation, now: float) -> None:
        """End an operation for which nothing had to be sent."""
        self._end(operation, "done", now)

    def revoke(self, device: Device, path: Path, now: float) -> None:
        """End the observe operations of a path that still wait; the wish is gone."""
        for operation in [each for each in device.queue or () if each.op == OBSERVE and each.path == path]:
            if device.queue is not None:
                device.queue.remove(operation)
            self._end(operation, "cancelled", now)

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
                self._end(operation, "failed", now, error=OUTCOME_UNKNOWN if unknown else GONE)

    def _end(
        self,
        operation: Operation,
        state: OperationState,
        now: float,
        *,
        error: str | None = None,
        then: Resume | None = None,
    ) -> None:
        """The end of an operation: state, event, storage, and then everybody who waits for it."""
        operation.state, operation.ended, operation.error = state, now, error
        if state != "done" and operation.op in ("observe", "cancel-observe"):
            self._special.failed(operation)
        device = self._state.devices.get(operation.endpoint)
        kind = events.OPERATION_DONE if state == "done" else events.OPERATION_FAILED
        writes: tuple[Write, ...] = ()
        if operation.kept:
            writes = (Write(stored.OPERATIONS, operation.id, stored.operation_row(operation)),)
        found: tuple[events.Event, ...] = ()
        if device is not None and not operation.internal:
            if operation.kept or operation.op not in _QUIET:
                found = (self._state.event(kind, device, now, **_facts(operation)),)
            else:
                self._state.live(kind, device, now, **_facts(operation))

        def committed(ok: bool, now: float) -> None:
            if then is not None:
                then(ok, now)
            _tell(operation)

        if writes or found or then is not None:
            self._state.commit(writes, found, committed)
        else:
            _tell(operation)
        if not operation.internal:
            self._ended.append(operation)
            self._make_room()

    # Memory

    def _make_room(self) -> None:
        """Forget what ended first, in storage too, where more than allowed are known."""
        known = self._state.operations
        while self._ended and len(known) > self._state.settings.operations_kept:
            oldest = self._ended.popleft()
            known.pop(oldest.id, None)
            if oldest.kept:
                self._state.commit((Write(stored.OPERATIONS, oldest.id, None),))

    def start(self, device: Device, now: float) -> None:
        """Go on with what was restored for a device, in the order in which it was asked for."""
        if device.queue:
            device.queue = deque(sorted(device.queue, key=lambda each: (-each.request.priority, each.created)))
            self.dispatch(device, now)

    def restore(self, operation: Operation, now: float) -> None:
        """Take up an operation from storage: what waited waits on, what may have been executed is not sent again."""
        self._state.operations[operation.id] = operation
        device = self._state.devices.get(operation.endpoint)
        if operation.finished:
            self._ended.append(operation)
            self._make_room()
        elif operation.state == "sent" and operation.op in AT_MOST_ONCE:
            self._end(operation, "failed", now, error=OUTCOME_UNKNOWN)
        elif device is None or (device.registration is None and not device.disabled):
            self._end(operation, "failed", now, error=GONE)
        else:
            operation.state, operation.sent = "queued", None
            insert(device, operation)


def _tell(operation: Operation) -> None:
    """Tell everybody who waits for the end, once."""
    watchers, operation.watchers = operation.watchers, None
    for watcher in watchers or ():
        watcher(operation)


def _facts(operation: Operation) -> dict[str, object]:
    facts: dict[str, object] = {
        "operation": operation.id,
        "op": operation.op,
        "path": operation.request.path,
        "state": operation.state,
        "coap_code": operation.coap_code,
        "error": operation.error,
    }
    if operation.result is not None and operation.result.values is not None:
        facts["values"] = operation.result.values
    return facts
