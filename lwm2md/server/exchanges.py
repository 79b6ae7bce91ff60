"""One operation at its device: the request that leaves, what comes back, and what is made of it.

RULES: an answer becomes a result or an error, never an exception. A Content-Format that was chosen here and that the
device refuses is replaced within the same operation; that is safe for a Create too, since a refused one did nothing.
What may have been done is never sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Failure, Received
from lwm2md.lwm2m.paths import Path
from lwm2md.server import negotiation, stored
from lwm2md.server.abilities import Abilities
from lwm2md.server.answers import BadAnswer, created, diagnostic, discovered
from lwm2md.server.checking import instances_changed
from lwm2md.server.effects import Write
from lwm2md.server.errors import BadOperation, Refused
from lwm2md.server.ledger import GONE, OUTCOME_UNKNOWN, Ledger
from lwm2md.server.presence import Presence
from lwm2md.server.reading import Reading
from lwm2md.server.records import (
    AT_MOST_ONCE,
    CANCEL_OBSERVE,
    CREATE,
    DELETE,
    DISCOVER,
    ESTABLISHING,
    EXECUTE,
    NOW,
    READ,
    READ_COMPOSITE,
    Composed,
    Device,
    Operation,
    Registration,
    Result,
)
from lwm2md.server.requests import compose, home_of
from lwm2md.server.singly import Singly
from lwm2md.server.state import State
from lwm2md.server.twin import Twin

_ERRORS: Final = {
    "timeout": "no answer",
    "reset": "the device answered with Reset",
    "overloaded": "too much is under way to this address",
    "bad-response": "the answer can't be understood",
    "cancelled": "the address of the device changed",
}
_DISABLE: Final = (1, 4)
"""Object and Resource of the Server Object's Disable."""

_UNHEARD: Final = frozenset({Failure.TIMEOUT, Failure.RESET})
_SPECIAL: Final = ESTABLISHING | {CANCEL_OBSERVE}

Outcome = Received | str


class Special(Protocol):
    """The operations that another part carries out: those that observe, and the cancellation."""

    def send(self, device: Device, operation: Operation, done: Callable[[Outcome, float], None], now: float) -> bytes:
        """Send it; call ``done`` with what came of it."""
        ...

    def answered(self, device: Device, operation: Operation, received: Received, now: float) -> Result:
        """Make the result of a 2.xx answer. Raises BadAnswer."""
        ...

    def failed(self, operation: Operation) -> None:
        """Hear that the operation ended without success."""
        ...


class _Asked(msgspec.Struct, eq=False, gc=False):
    """A request that left: when its carrier was last ``heard`` of before, and when it ``left``, until its end.

    The garbage collector does not see it: only the engine has it, until it has called it.
    """

    exchanges: Exchanges
    device: Device
    operation: Operation
    heard: float
    left: float

    def __call__(self, outcome: Outcome, now: float) -> None:
        """Take what came of it."""
        silence = self.left - self.heard if self.device.carrier.last_seen == self.heard else None
        self.exchanges.took(self.device, self.operation, outcome, now, silence)


class Exchanges:
    """The requests that are under way, one to each device.

    ``again`` puts an operation back to be sent once more, ``over`` hears that one is no longer under way.
    """

    def __init__(
        self,
        state: State,
        ledger: Ledger,
        special: Special,
        *,
        reading: Reading,
        twin: Twin,
        presence: Presence,
        abilities: Abilities,
    ) -> None:
        self._state = state
        self._abilities = abilities
        self._singly = Singly(
            state,
            abilities,
            reading=reading,
            twin=twin,
            uplink=presence.uplink,
            unheard=self._unheard,
            ended=self._ended,
        )
        self._ledger = ledger
        self._special = special
        self._reading = reading
        self._twin = twin
        self._presence = presence
        self.again: Callable[[Device, Operation], None]
        self.probe: Callable[[Device, Operation, float], None]
        self.over: Callable[[Device, Operation, float], None]

    def send(self, device: Device, operation: Operation, now: float) -> None:
        """Send an operation whose turn has come; it has ended at once where that can't be done any more."""
        done = _Asked(self, device, operation, device.carrier.last_seen, now)
        op = operation.request.op
        try:
            if op in _SPECIAL:
                operation.token = self._special.send(device, operation, done, now)
                return
            if op == READ_COMPOSITE and self._abilities.singly(device, operation, now):
                self._singly.begin(device, self.registration(device), operation, now)
                return
            registration = self.registration(device)
            composed = self._composed(device, registration, operation)
        except Refused as error:
            # The registration changed since it was checked, or the wish is gone.
            device.carrier.current = None
            self._ledger.end(operation, "failed", now, error=str(error))
            return
        state, ready = self._state, composed.ready or composed.prepared
        operation.token = state.engine.send(registration.peer, ready, done, state.patience(operation), now)

    def composed(self, device: Device, operation: Operation) -> Composed:
        """The message of an operation, made anew where the list of Objects is another one since. Raises a Refused."""
        return self._composed(device, self.registration(device), operation)

    def _composed(self, device: Device, registration: Registration, operation: Operation) -> Composed:
        known = operation.composed
        if known is not None and known.objects is registration.objects:
            return known
        profile = device.profile or self._state.profile(device)
        operation.composed = known = compose(
            operation.request,
            operation.path,
            operation.paths,
            registration,
            self._state.models,
            home=None if device.behind is None else home_of(device),
            preferred=negotiation.preferred_by(profile) if profile.formats else (),
        )
        return known

    @staticmethod
    def registration(device: Device) -> Registration:
        """The registration that a request goes to. Raises BadOperation when it ended meanwhile."""
        if device.registration is None:
            raise BadOperation(GONE)
        return device.registration

    # What comes back

    def took(self, device: Device, operation: Operation, outcome: Outcome, now: float, silence: float | None) -> None:
        """Take what came of a request; ``silence`` is that before it left, None if something else was heard since."""
        spoke = isinstance(outcome, Received) or outcome in (Failure.RESET, Failure.BAD_RESPONSE)
        if spoke and device.registration is not None:
            if silence is not None:
                self._presence.answered(device.carrier, silence, now)
            self._presence.uplink(device, now)
        if isinstance(outcome, Received):
            self._abilities.answered(device, operation, outcome, now)
        if not operation.finished and self._another_way(device, operation, outcome):
            self.send(device, operation, now)
            if not operation.finished:
                return
        else:
            asleep = self._asleep(device, operation, outcome, silence or 0.0, now)
            if operation.finished:  # it was cancelled, or the registration ended
                if isinstance(outcome, Received):
                    self._state.engine.acknowledge(outcome, now)
            elif isinstance(outcome, Received):
                self._answered(device, operation, outcome, now)
            else:
                self._unanswered(device, operation, outcome, now, asleep=asleep)
        self.over(device, operation, now)

    def _asleep(self, device: Device, operation: Operation, outcome: Outcome, silence: float, now: float) -> bool:
        """Whether a device that did not answer is asleep, or out of reach, rather than gone."""
        return outcome == Failure.TIMEOUT and self._presence.unanswered(device, operation, silence, now)

    def _another_way(self, device: Device, operation: Operation, outcome: Outcome) -> bool:
        """Whether the device is to be asked the same in another format, or path by path."""
        if not isinstance(outcome, Received):
            sleeper = device.registration is not None and device.registration.queue_mode
            asleep = sleeper and outcome == Failure.TIMEOUT
            return outcome in _UNHEARD and self._abilities.missed(operation, sleeper=asleep)
        message = outcome.message
        if message.code >> 5 == 2:
            return False
        return self._abilities.refused(device, operation, message) or self._refused_format(
            device, operation, message.code
        )

    def _unheard(self, device: Device, operation: Operation, outcome: str, now: float) -> None:
        asleep = self._asleep(device, operation, outcome, 0.0, now)
        if not operation.finished:
            self._unanswered(device, operation, outcome, now, asleep=asleep)
        self.over(device, operation, now)

    def _ended(self, device: Device, operation: Operation, error: str | None, now: float) -> None:
        self._ledger.end(operation, "done" if error is None else "failed", now, error=error)
        self.over(device, operation, now)

    def _refused_format(self, device: Device, operation: Operation, code: int) -> bool:
        """Whether the device refuses a format that was chosen here, and there is another one to try."""
        composed, registration = operation.composed, device.registration
        if composed is None or registration is None or not negotiation.learn(registration, composed, code):
            return False
        operation.composed = None
        return True

    def _answered(self, device: Device, operation: Operation, received: Received, now: float) -> None:
        message = received.message
        operation.coap_code = n.dotted(message.code)
        if message.code >> 5 != 2:
            self._ledger.end(operation, "failed", now, error=diagnostic(message))
            return
        try:
            operation.result = self._result(device, operation, received, now)
        except (BadAnswer, Refused) as error:
            self._state.engine.acknowledge(received, now)
            self._ledger.end(operation, "failed", now, error=str(error))
            return
        if operation.op == EXECUTE and (operation.path[0], operation.path[2]) == _DISABLE:
            self._disable(device)
        self._ledger.end(operation, "done", now)

    def _disable(self, device: Device) -> None:
        """The device leaves, and comes back by itself: what waits for it waits until then, over a restart too."""
        device.disabled = True
        self._state.commit((Write(stored.DEVICES, device.endpoint, stored.device_row(device)),))

    def _result(self, device: Device, operation: Operation, received: Received, now: float) -> Result:
        op, message = operation.op, received.message
        if op in _SPECIAL:
            return self._special.answered(device, operation, received, now)
        if op in (READ, READ_COMPOSITE):
            accept = operation.composed.accept if operation.composed is not None else None
            values, operation.format = self._reading.values(
                device, operation.path, operation.paths, message, accept=accept, now=now
            )
            self._twin.learn(device, operation.paths or (operation.path,), values, "read", now=now)
            return Result(values=values)
        registration = self.registration(device)
        if op == DISCOVER:
            return discovered(message, registration.objects.root)
        if op == CREATE:
            result = created(message, operation.path, operation.request.id, registration.objects.root)
            if result.location is not None:
                instances_changed(registration, Path.parse(result.location), created=True)
            return result
        if op == DELETE:
            self._twin.deleted(device, operation.path)
            if len(operation.path) == 2:
                instances_changed(registration, operation.path, created=False)
        return Result()

    def _unanswered(self, device: Device, operation: Operation, outcome: str, now: float, *, asleep: bool) -> None:
        registered = device.registration is not None
        if registered and self._comes_again(operation, outcome, asleep):
            self.again(device, operation)
        else:
            unknown = operation.op in AT_MOST_ONCE and outcome in (Failure.TIMEOUT, Failure.CANCELLED)
            error = OUTCOME_UNKNOWN if unknown else _ERRORS.get(outcome, outcome)
            self._ledger.end(operation, "failed", now, error=error)
        silent = registered and outcome == Failure.TIMEOUT
        if silent and self._abilities.doubtful(device, operation, sleeper=asleep):
            self.probe(device, operation, now)

    @staticmethod
    def _comes_again(operation: Operation, outcome: str, asleep: bool) -> bool:
        """Whether an operation has another turn: its device moved, or fell asleep, or it may be tried again."""
        if operation.op in AT_MOST_ONCE or outcome not in (Failure.TIMEOUT, Failure.CANCELLED):
            return False
        if outcome == Failure.CANCELLED:
            return True
        operation.timeouts += 1
        retries = operation.request.retries
        if retries is None:
            return asleep and operation.request.when != NOW
        return operation.timeouts <= retries
