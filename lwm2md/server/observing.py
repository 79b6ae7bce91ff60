"""Observations as standing wishes of the operator (OMA Core 6.4, RFC 7641).

RULES: a wish is stored before its first request leaves, with its token, so that notifications go on after a restart. It
is established anew after each Register, through the device's queue, until the operator cancels it. A notification is
acknowledged when its values are durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Received
from lwm2md.coap.message import Message
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server import stored
from lwm2md.server.answers import BadAnswer, decode_nodes, diagnostic, rows
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import LimitReached, UnknownObservation
from lwm2md.server.lanes import insert
from lwm2md.server.operations import GONE, UNSTORED, Operations, Outcome
from lwm2md.server.records import (
    CANCEL_OBSERVE,
    OBSERVE,
    Device,
    Observation,
    Operation,
    OperationRequest,
    Result,
    Source,
)
from lwm2md.server.requests import Composed, compose, write_attributes
from lwm2md.server.state import State
from lwm2md.server.twin import Twin

_FORGOTTEN: Final = 10_000

Uplink = Callable[[Device, float], None]


class Observations:
    """The wishes of every device, and what devices tell because of them."""

    def __init__(self, state: State, twin: Twin, uplink: Uplink) -> None:
        self._state = state
        self._twin = twin
        self._uplink = uplink
        self._wishes: dict[bytes, Observation] = {}
        self._listener = self._notified  # one bound method for all
        self._cancelled: dict[bytes, None] = {}
        self._cancelling: dict[str, Observation] = {}
        self._coming: dict[tuple[str, Path], Observation] = {}
        self._storing: set[tuple[bytes, int]] = set()
        self.operations: Operations

    # What the operator wishes

    def put(
        self,
        endpoint: str,
        request: OperationRequest,
        now: float,
        then: Resume | None = None,
        attributes: NotificationAttributes | None = None,
    ) -> tuple[Observation, bool, Operation]:
        """Make or replace the wish for a path; also whether it is new, and the operation that establishes it.

        ``then`` is called when the wish is durable, and only then the device is asked. Raises a `Refused`.
        """
        device, path = self.operations.check(endpoint, request)
        known = set(device.observations or ()) | {place for name, place in self._coming if name == endpoint}
        existing = self._coming.get((endpoint, path)) or (device.observations or {}).get(path)
        if existing is None and len(known) >= self._state.settings.observations_per_device:
            raise LimitReached(f"{endpoint!r} has {len(known)} observations")
        wish = Observation(
            id=self._state.environment.random(8).hex() if existing is None else existing.id,
            endpoint=endpoint,
            path=path,
            token=self._state.environment.random(8) if existing is None else existing.token,
            created=now if existing is None else existing.created,
            attributes=attributes,
            format=request.format,
            outdated=() if existing is None else tuple(existing.changes()),
        )
        operation = self.operations.make(device, request, path, now)
        if existing is not None:
            existing.superseded += 1
        self._coming[endpoint, path] = wish

        def committed(ok: bool, now: float) -> None:
            if self._coming.get((endpoint, path)) is wish:
                del self._coming[endpoint, path]
            if ok and self._state.devices.get(endpoint) is not device:
                self.operations.fail(operation, GONE, now)
                self._state.erase((Write(stored.OBSERVATIONS, wish.id, None),))
            elif ok:
                self._add(device, wish)
                self._ask(device, operation, now)
            else:
                if existing is not None:
                    existing.superseded -= 1
                self.operations.fail(operation, UNSTORED, now)
            if then is not None:
                then(ok, now)

        self._state.commit((Write(stored.OBSERVATIONS, wish.id, stored.observation_row(wish)),), (), committed)
        return wish, existing is None, operation

    def remove(
        self, observation_id: str, now: float, then: Resume | None = None, *, active: bool = True
    ) -> Operation | None:
        """End a wish; the operation that cancels it at the device, or None where there is nothing to tell it.

        Not ``active``: the device is told by the Reset that answers its next notification. Raises UnknownObservation.
        """
        wish = self._state.observations.get(observation_id)
        if wish is None:
            raise UnknownObservation(f"no observation {observation_id!r}")
        device = self._state.devices[wish.endpoint]
        operation = None
        if active and device.registration is not None and wish.state == "active":
            request = OperationRequest(op=CANCEL_OBSERVE, path=str(wish.path), format=wish.format)
            operation = self.operations.make(device, request, wish.path, now)
        self._remove(device, wish, operation, then)
        return operation

    def cancel(self, wish: Observation, request: OperationRequest, now: float) -> Operation:
        """End a wish by an operation; it is done at once where the device was not told of the wish yet."""
        device = self._state.devices[wish.endpoint]
        request = msgspec.structs.replace(request, format=wish.format)
        operation = self.operations.make(device, request, wish.path, now)
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
        wish.superseded += 1

        def committed(ok: bool, now: float) -> None:
            if ok:
                self._drop(device, wish)
                self.operations.revoke(device, wish.path, now)
            else:
                wish.superseded -= 1
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
            insert(device, operation)
            self.operations.dispatch(device, now)
        if operation.finished:
            self._cancelling.pop(operation.id, None)

    def find(self, endpoint: str, path: Path) -> Observation:
        """The wish for a path. Raises UnknownObservation."""
        device = self._state.devices.get(endpoint)
        wish = (device.observations or {}).get(path) if device is not None else None
        if wish is None:
            raise UnknownObservation(f"{endpoint!r} is not observed at {path}")
        return wish

    def removal(self, device: Device) -> list[Write]:
        """The writes that remove every wish for a device; nothing is forgotten yet."""
        return [Write(stored.OBSERVATIONS, wish.id, None) for wish in (device.observations or {}).values()]

    def forget(self, device: Device) -> None:
        """Forget every wish for a device."""
        for wish in list((device.observations or {}).values()):
            self._drop(device, wish)

    def _add(self, device: Device, wish: Observation) -> None:
        self._cancelled.pop(wish.token, None)
        if device.observations is None:
            device.observations = {}
        device.observations[wish.path] = wish
        self._wishes[wish.token] = wish
        self._state.observations[wish.id] = wish

    def _drop(self, device: Device, wish: Observation) -> None:
        known = (device.observations or {}).get(wish.path)
        if device.observations is not None and known is not None and known.id == wish.id:
            del device.observations[wish.path]
        self._state.observations.pop(wish.id, None)
        self._wishes.pop(wish.token, None)
        self._state.engine.forget(wish.token)
        self._cancelled[wish.token] = None
        if len(self._cancelled) > _FORGOTTEN:
            del self._cancelled[next(iter(self._cancelled))]

    def was_cancelled(self, token: bytes) -> bool:
        """Whether notifications with this token are no longer wanted, so that a Reset should say so."""
        return token in self._cancelled

    # The life of registrations

    def registered(self, device: Device, now: float) -> None:
        """Establish every wish anew: a device that registers may have rebooted."""
        for wish in list((device.observations or {}).values()):
            wish.state, wish.error = "pending", None
            self._establish(device, wish, now)

    def start(self, now: float) -> None:
        """Establish what was not before a restart."""
        for wish in self._state.observations.values():
            device = self._state.devices[wish.endpoint]
            if device.registration is not None and wish.state != "active":
                self._establish(device, wish, now)

    def _establish(self, device: Device, wish: Observation, now: float) -> None:
        if not any(each.op == OBSERVE and each.path == wish.path for each in device.queue or ()):
            request = OperationRequest(op=OBSERVE, path=str(wish.path), format=wish.format)
            self.operations.enqueue(device, request, wish.path, now, internal=True)

    def gone(self, device: Device) -> None:
        """The registration ended, and with it what the device knew of the wishes."""
        for wish in (device.observations or {}).values():
            wish.state = "pending"
            self._state.engine.forget(wish.token)

    def restore(self, wish: Observation) -> None:
        """Take up a wish from storage; notifications of a device that is still registered just go on."""
        device = self._state.devices.get(wish.endpoint)
        if device is None:
            self._state.erase((Write(stored.OBSERVATIONS, wish.id, None),))
            return
        self._add(device, wish)
        registration = device.registration
        if registration is not None and (wish.established or 0.0) >= registration.registered_at:
            wish.state = "active"
            request = OperationRequest(op=OBSERVE, path=str(wish.path), format=wish.format)
            composed = compose(request, wish.path, registration, self._state.resource_model(device))
            # With its request, since a notification may be larger than a block and the rest is asked for.
            self._state.engine.adopt(
                registration.peer,
                wish.token,
                self._listener,
                code=composed.code,
                options=composed.options,
                payload=composed.payload,
            )

    # What Operations asks of the operations that are carried out here

    def send(self, device: Device, operation: Operation, done: Callable[[Outcome, float], None], now: float) -> bytes:
        """Send an observe or its cancellation; attributes go ahead of the former in a request of their own."""
        wish = self._cancelling.get(operation.id) or self.find(device.endpoint, operation.path)
        registration = self.operations.registration(device)
        composed = compose(operation.request, operation.path, registration, self._state.resource_model(device))
        if operation.op == CANCEL_OBSERVE:
            return self._cancel(operation, wish, composed, done, now)
        changes = wish.changes()
        if not changes:
            return self._observe(operation, wish, composed, done, now)

        def written(outcome: Outcome, then: float) -> None:
            if isinstance(outcome, Received) and outcome.message.code == n.CHANGED and not operation.finished:
                wish.outdated = ()
                operation.token = self._observe(operation, wish, composed, done, then)
            else:
                done(outcome, then)

        before = write_attributes(changes, operation.path, registration)
        return self._state.engine.request(
            registration.peer,
            before.code,
            before.options,
            on_outcome=written,
            timeout=self.operations.timeout(operation),
            now=now,
        )

    def answered(self, device: Device, operation: Operation, message: Message, now: float) -> Result:
        """The result of an observe or its cancellation. Raises BadAnswer."""
        wish = self._cancelling.pop(operation.id, None) or self.find(device.endpoint, operation.path)
        if operation.op == OBSERVE:
            observed = message.observe is not None
            wish.state = "active" if observed else "refused"
            wish.error = None if observed else "the device answered without observing"
            self._established(wish, now if observed else None)
        values, operation.format = self._values(device, wish, message, now)
        if values:
            source: Source = "observe" if operation.op == OBSERVE else "read"
            self._twin.learn(device, wish.path, values, source, now=now)
        return Result(values=values)

    def _established(self, wish: Observation, when: float | None) -> None:
        """Store when the device took a wish, or that it has it no more, unless something else is being stored."""
        wish.established = when
        if not wish.superseded:
            self._state.commit((Write(stored.OBSERVATIONS, wish.id, stored.observation_row(wish)),))

    def failed(self, operation: Operation) -> None:
        """An observe, or its cancellation, ended without success."""
        self._cancelling.pop(operation.id, None)
        device = self._state.devices.get(operation.endpoint)
        wish = (device.observations or {}).get(operation.path) if device is not None else None
        if wish is not None and operation.op == OBSERVE:
            wish.error = operation.error
            if wish.state != "active":
                wish.state = "refused" if operation.coap_code is not None else "pending"

    def _observe(
        self,
        operation: Operation,
        wish: Observation,
        composed: Composed,
        done: Callable[[Outcome, float], None],
        now: float,
    ) -> bytes:
        return self._state.engine.observe(
            self.operations.registration(self._state.devices[wish.endpoint]).peer,
            composed.code,
            composed.options,
            composed.payload,
            on_outcome=done,
            on_notification=self._listener,
            now=now,
            token=wish.token,
            timeout=self.operations.timeout(operation),
        )

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
            timeout=self.operations.timeout(operation),
        )
        return wish.token

    # What devices tell

    def _notified(self, received: Received, fresh: bool) -> None:
        """A notification: its values go to the twin and to everybody who reads events, then it is acknowledged."""
        wish = self._wishes.get(received.message.token)
        device = self._state.devices.get(wish.endpoint) if wish is not None else None
        if wish is None or device is None or device.registration is None:
            self._acknowledge(received, True, received.now)
            return
        now = received.now
        message = received.message
        unverified = received.peer != device.registration.peer
        if not unverified:
            self._uplink(device, now)
        key = (wish.token, message.mid)
        if key in self._storing:
            return  # a retransmission of what is being stored, and acknowledged then
        if message.code >> 5 != 2:
            wish.state, wish.error = "refused", f"{n.dotted(message.code)} {diagnostic(message)}"
            self._established(wish, None)
            self._state.count("observations_ended_by_device")
            self._acknowledge(received, True, now)
            return
        wish.state, wish.error = "active", None
        wish.last_notification, wish.notifications = now, wish.notifications + 1
        try:
            values, _ = self._values(device, wish, message, now)
        except BadAnswer as error:
            wish.error = str(error)
            self._state.count("notifications_undecodable")
            self._acknowledge(received, True, now)
            return
        if not fresh:
            self._state.count("notifications_reordered")
            self._acknowledge(received, True, now)
            return
        fields: dict[str, object] = {"unverified_path": True} if unverified else {}
        self._storing.add(key)

        def kept(durable: bool, now: float) -> None:
            self._storing.discard(key)
            self._acknowledge(received, durable, now)

        self._twin.learn(device, wish.path, values, "observe", now=now, resume=kept, **fields)

    def _acknowledge(self, received: Received, durable: bool, now: float) -> None:
        """Acknowledge a notification; one that could not be stored is not, so that the device sends it again."""
        if durable:
            self._state.engine.acknowledge(received, now)

    def _values(
        self, device: Device, wish: Observation, message: Message, now: float
    ) -> tuple[tuple[ValueRow, ...], str]:
        """The values of a notification or first answer, and the name of their format. Raises BadAnswer."""
        type_of = self._state.resource_model(device)
        accept = None
        if message.content_format is None and device.registration is not None:
            request = OperationRequest(op=OBSERVE, path=str(wish.path), format=wish.format)
            accept = compose(request, wish.path, device.registration, type_of).accept
        nodes, name = decode_nodes(message, wish.path, accept, type_of)
        return rows(nodes, type_of, now), name
