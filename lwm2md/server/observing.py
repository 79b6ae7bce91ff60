"""Observations as standing wishes of the operator (OMA Core 6.4, RFC 7641).

RULES: a wish is stored before its first request leaves, with its token, so that notifications go on after a restart. It
is established anew after each Register, through the device's queue and behind all that operators ask, until the
operator cancels it. A composite wish is one of several paths, and in all else like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from lwm2md.coap.engine import Received
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server import stored
from lwm2md.server.attaching import Asking, parametrized
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BadOperation, LimitReached, Refused, UnknownObservation
from lwm2md.server.exchanges import Outcome
from lwm2md.server.folding import Folding
from lwm2md.server.ledger import GONE, UNSTORED
from lwm2md.server.negotiation import preferred_by
from lwm2md.server.notifying import Notifications
from lwm2md.server.operations import Operations
from lwm2md.server.profiling import Profiling
from lwm2md.server.reading import Reading
from lwm2md.server.records import (
    CANCEL_OBSERVE,
    ESTABLISHING,
    OBSERVE,
    OBSERVE_COMPOSITE,
    Composed,
    Device,
    Operation,
    OperationRequest,
    Order,
    Registration,
    Result,
    Source,
)
from lwm2md.server.requests import compose, home_of
from lwm2md.server.state import State
from lwm2md.server.tending import Tending
from lwm2md.server.twin import Twin
from lwm2md.server.wish import Fold, Observation, Target, id_of
from lwm2md.server.wishes import Wishes, order_of

Uplink = Callable[[Device, float], None]

_AT_ONCE: Final = 1000


class Observations:
    """The wishes of every device: how they are made, established and ended."""

    def __init__(self, state: State, twin: Twin, reading: Reading, profiling: Profiling, uplink: Uplink) -> None:
        self._state = state
        self._twin = twin
        self.wishes = Wishes(state)
        self.tending = Tending(state, profiling, self._establish)
        self.folding = Folding(state, self.wishes, self.tending, remove=self._remove, establish=self._establish)
        self.tending.fold = self.folding
        self.notifications = Notifications(state, self.wishes, reading, twin, uplink=uplink, tending=self.tending)
        self._cancelling: dict[str, Observation] = {}
        self._coming: dict[tuple[str, Target], Observation] = {}
        self.operations: Operations

    # What the operator wishes

    def put(
        self,
        device: Device,
        order: Order,
        now: float,
        then: Resume | None = None,
        *,
        attributes: NotificationAttributes | None = None,
        template: str | None = None,
    ) -> tuple[Observation, bool, Operation]:
        """Make or replace a wish; also whether it is new, and the operation that establishes it.

        ``then`` is called when the wish is durable, and only then the device is asked. Raises LimitReached.
        """
        endpoint, target = device.endpoint, order.target
        known = {other.target for other in device.observations if not isinstance(other, Fold)}
        known |= {place for name, place in self._coming if name == endpoint}
        existing = self._coming.get((endpoint, target)) or self.wishes.get(device, target)
        if existing is None and len(known) >= self._state.settings.observations_per_device:
            raise LimitReached(f"{endpoint!r} has {len(known)} observations")
        wish = self._wish(device, order, existing, now)
        wish.attributes, wish.template = attributes, template
        operation = self.operations.make(device, order, now, internal=template is not None)
        if existing is not None:
            existing.own.superseded += 1
        self._coming[endpoint, target] = wish

        def committed(ok: bool, now: float) -> None:
            if self._coming.get((endpoint, target)) is wish:
                del self._coming[endpoint, target]
            if ok and self._state.devices.get(endpoint) is not device:
                self.operations.fail(operation, GONE, now)
                self._state.erase((Write(stored.OBSERVATIONS, wish.id, None),))
            elif ok:
                if existing is not None:
                    self.tending.rest(existing)
                self._take(device, wish, operation, now)
            else:
                if existing is not None:
                    existing.own.superseded -= 1
                self.operations.fail(operation, UNSTORED, now)
            if then is not None:
                then(ok, now)

        self._state.commit((Write(stored.OBSERVATIONS, wish.id, stored.observation_row(wish)),), (), committed)
        return wish, existing is None, operation

    def _wish(self, device: Device, order: Order, existing: Observation | None, now: float) -> Observation:
        """A wish that is nowhere yet; one in the place of another has its id and token."""
        random = self._state.environment.random
        wish = Observation(
            id=id_of(random(8)) if existing is None else existing.id,
            endpoint=device.endpoint,
            path=order.path,
            token=random(8) if existing is None else existing.token,
            created=now if existing is None else existing.created,
            format=order.request.format,
            paths=order.paths,
        )
        if existing is not None and existing.is_attached and (outdated := tuple(existing.changes())):
            wish.own.outdated = outdated
            wish.own.attached = existing.aside.attached
        return wish

    def _take(self, device: Device, wish: Observation, operation: Operation, now: float) -> None:
        """Take up a wish that is durable, and ask the device, if that can keep one more."""
        self.wishes.add(device, wish)
        if self.tending.admit(device, wish):
            self._ask(device, operation, now)
        else:
            self.operations.fail(operation, wish.error or "", now)

    def remove(
        self, observation_id: str, now: float, then: Resume | None = None, *, active: bool = True
    ) -> Operation | None:
        """End a wish; the operation that cancels it at the device, or None where there is nothing to tell it.

        Not ``active``: the device is told by the Reset that answers its next notification. Raises UnknownObservation.
        """
        wish = self._state.observations.get(observation_id)
        if wish is None:
            raise UnknownObservation(f"no observation {observation_id!r}")
        if isinstance(wish, Fold):
            raise BadOperation("it carries other observations for the device: cancel those")
        device = self._state.devices[wish.endpoint]
        operation = None
        if active and device.registration is not None and wish.state == "active":
            operation = self.operations.make(device, order_of(CANCEL_OBSERVE, wish), now)
        self._remove(device, wish, operation, then)
        return operation

    def cancel(self, wish: Observation, request: OperationRequest, now: float) -> Operation:
        """End a wish by an operation; it is done at once where the device was not told of the wish yet."""
        device = self._state.devices[wish.endpoint]
        order = Order(msgspec.structs.replace(request, format=wish.format), wish.path, wish.paths)
        operation = self.operations.make(device, order, now)
        if wish.state == "active":
            self._remove(device, wish, operation, None)
            return operation

        def removed(ok: bool, now: float) -> None:
            if ok:
                self.operations.succeed(operation, now)
            else:
                self.operations.fail(operation, UNSTORED, now)

        self._remove(device, wish, None, removed)
        return operation

    def _remove(self, device: Device, wish: Observation, operation: Operation | None, then: Resume | None) -> None:
        wish.own.superseded += 1

        def committed(ok: bool, now: float) -> None:
            if ok:
                self.tending.rest(wish)
                self.wishes.drop(device, wish)
                self.operations.revoke(device, wish.target, now)
                self.tending.next(device, now)
            else:
                wish.own.superseded -= 1
            if operation is not None and ok:
                self._cancelling[operation.id] = wish
                self._ask(device, operation, now)
            elif operation is not None:
                self.operations.fail(operation, UNSTORED, now)
            if then is not None:
                then(ok, now)

        self._state.commit((Write(stored.OBSERVATIONS, wish.id, None),), (), committed)

    def _ask(self, device: Device, operation: Operation, now: float) -> None:
        """Queue an operation whose wish is durable, if there still is a registration and nobody cancelled it."""
        if device.registration is None:
            self.operations.fail(operation, GONE, now)
        elif not operation.finished:
            self.operations.queue(device, operation, now)
        if operation.finished:
            self._cancelling.pop(operation.id, None)

    # The life of registrations

    def registered(self, device: Device, now: float) -> None:
        """Establish every wish anew: a device that registers may have rebooted."""
        self.tending.anew(device)
        for wish in self.wishes.of(device):
            if self.tending.admit(device, wish):
                self._establish(device, wish, now)

    def start(self, now: float) -> Iterator[None]:
        """Establish what was not before a restart, a few at a time, and watch the rest; a few are seen at each step."""
        devices, known = self._state.devices, self._state.observations
        for number, wish in enumerate(tuple(known.values())):
            if number % _AT_ONCE == 0:
                yield
            if known.get(wish.id) is wish and devices[wish.endpoint].registration is not None:
                self.tending.take_up(wish, now)
        self.tending.start(now)

    def _establish(self, device: Device, wish: Observation, now: float) -> None:
        waiting = (each.target for each in device.queue or () if each.op in ESTABLISHING)
        if wish.target not in waiting and self.tending.admit(device, wish):
            order = order_of(OBSERVE, wish)
            self.operations.enqueue(device, order, now, internal=True)

    def gone(self, device: Device) -> None:
        """The registration ended, and with it what the device knew of the wishes."""
        self.tending.gone(device)
        for wish in self.wishes.of(device):
            self.tending.rest(wish)
            wish.settle("pending")
            self._state.engine.forget(wish.token)

    def restore(self, wish: Observation) -> None:
        """Take up a wish from storage; notifications of a device that is still registered just go on."""
        device = self._state.devices.get(wish.endpoint)
        if device is None:
            self._state.erase((Write(stored.OBSERVATIONS, wish.id, None),))
            return
        self.wishes.add(device, wish)
        registration = device.registration
        if registration is None:
            return
        if (wish.established or 0.0) >= registration.registered_at:
            wish.settle("active")
        # Also of one that is to be established anew: the device may have taken it when the daemon ended, and notify.
        self._adopt(device, registration, wish)

    def _adopt(self, device: Device, registration: Registration, wish: Observation) -> None:
        """Take notifications; with the request, since one may be larger than a block and the rest is asked for."""
        request = order_of(OBSERVE, wish).request
        try:
            composed = compose(
                request,
                wish.path,
                wish.paths,
                registration,
                self._state.models,
                home=home_of(device),
                preferred=preferred_by(self._state.profile(device)),
            )
        except Refused:
            return  # not to be asked for of the device as it registered last, so that it can't have taken it
        self._state.engine.adopt(
            registration.peer,
            wish.token,
            self.notifications.listener,
            code=composed.code,
            options=composed.options,
            payload=composed.payload,
        )

    # What Operations asks of the operations that are carried out here

    def send(self, device: Device, operation: Operation, done: Callable[[Outcome, float], None], now: float) -> bytes:
        """Send an observe, with the attributes of its wish, or its cancellation."""
        wish = self._cancelling.get(operation.id) or self.wishes.find(device.endpoint, operation.target)
        registration = self.operations.registration(device)
        composed = self.operations.composed(device, operation)
        if operation.op == OBSERVE_COMPOSITE and operation.internal and not self._takes_several(device, now):
            raise BadOperation("the device takes no composite operations")
        if operation.op == CANCEL_OBSERVE:
            # It has the options of the request that it cancels (RFC 7641 3.6).
            same = parametrized(wish, registration, composed) or composed
            return self._cancel(operation, wish, same, done, now)
        listener = self.notifications.listener
        return Asking(self._state, registration, operation, wish, composed, listener, done).start(now)

    def _takes_several(self, device: Device, now: float) -> bool:
        """Whether a device is to be asked for several paths; one that took none before, when some time has passed."""
        again = device.learned is not None and device.learned.retry is not None and device.learned.retry <= now
        return again or self._state.profile(device).composes

    def answered(self, device: Device, operation: Operation, received: Received, now: float) -> Result:
        """The result of an observe or its cancellation. Raises BadAnswer."""
        message = received.message
        wish = self._cancelling.pop(operation.id, None) or self.wishes.find(device.endpoint, operation.target)
        if operation.op in ESTABLISHING:
            observed = message.observe is not None
            wish.settle(
                "active" if observed else "refused", None if observed else "the device answered without observing"
            )
            self.notifications.established(wish, now if observed else None)
            if observed:
                self.tending.established(device, wish, message.max_age, now)
            if isinstance(wish, Fold):
                self.folding.established(device, wish, now)
            elif not observed:
                self.tending.failed(device, wish, None, now)
        values: tuple[ValueRow, ...]
        values, operation.format = self.notifications.values(device, wish, message, now)
        if values and not received.late:
            source: Source = "observe" if operation.op in ESTABLISHING else "read"
            kept = self.notifications.keep(received)
            self._twin.learn(device, wish.paths or (wish.path,), values, source, now=now, resume=kept)
        else:
            self._state.engine.acknowledge(received, now)
        return Result(values=values)

    def failed(self, operation: Operation) -> None:
        """An observe, or its cancellation, ended without success."""
        self._cancelling.pop(operation.id, None)
        device = self._state.devices.get(operation.endpoint)
        wish = self.wishes.get(device, operation.target) if device is not None else None
        if device is None or wish is None or operation.op not in ESTABLISHING:
            return
        if wish.state in ("active", "waiting"):
            wish.settle(wish.state, operation.error)
            return
        wish.settle("refused" if operation.coap_code is not None else "pending", operation.error)
        if operation.ended is None:
            return
        if isinstance(wish, Fold):
            self.folding.failed(device, wish, operation.coap_code, operation.ended)
        else:
            self.tending.failed(device, wish, operation.coap_code, operation.ended)

    def _cancel(
        self,
        operation: Operation,
        wish: Observation,
        composed: Composed,
        done: Callable[[Outcome, float], None],
        now: float,
    ) -> bytes:
        self._state.engine.cancel(
            self.operations.registration(self._state.devices[wish.endpoint]).peer,
            wish.token,
            composed.code,
            composed.options,
            composed.payload,
            on_outcome=done,
            now=now,
            timeout=self._state.patience(operation),
        )
        return wish.token
