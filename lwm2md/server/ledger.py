"""The operations that are known, how they end, and which are forgotten.

RULES: who waits for an operation is told once, when its end is durable. Of those that ended the newest stay; one that
has not ended never makes room. A caller that comes again with the same key finds the operation that it made before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from lwm2md import events
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import Device, Operation, OperationRequest, OperationState
from lwm2md.server.state import State

OUTCOME_UNKNOWN: Final = "outcome-unknown"
GONE: Final = "the registration ended"
SUPERSEDED: Final = "superseded"
UNSTORED: Final = "storage failed; nothing was sent"
_QUIET: Final = frozenset({"read", "discover", "read-composite"})


class Ledger:
    """Every operation from acceptance to the time when it is forgotten."""

    def __init__(self, state: State, failed: Callable[[Operation], None]) -> None:
        self._state = state
        self._failed = failed
        self._ended: deque[Operation] = deque()
        self._keys: dict[tuple[str, str], Operation] = {}

    def __len__(self) -> int:
        """How many operations have not ended."""
        return len(self._state.operations) - len(self._ended)

    def add(self, operation: Operation) -> None:
        """Know an operation by its id, and by the key that its caller gave it."""
        self._state.operations[operation.id] = operation
        if operation.request.key is not None:
            self._keys[operation.endpoint, operation.request.key] = operation

    def asked_before(self, endpoint: str, request: OperationRequest) -> Operation | None:
        """The operation that the same call made before. Raises BadOperation where its key was for something else."""
        if request.key is None:
            return None
        known = self._keys.get((endpoint, request.key))
        if known is not None and known.request != request:
            raise BadOperation("was used for another operation on this device", "key")
        return known

    def end(
        self,
        operation: Operation,
        state: OperationState,
        now: float,
        *,
        error: str | None = None,
        then: Resume | None = None,
        also: Iterable[Write] = (),
    ) -> None:
        """The end of an operation: state, event, storage, and then everybody who waits for it.

        ``also`` are writes that become durable together with it.
        """
        operation.state, operation.ended, operation.error, operation.composed = state, now, error, None
        if state != "done":
            self._failed(operation)
        writes = (*(self.row(operation) if operation.kept else ()), *also)
        found = self._event(operation, state, now)

        def committed(ok: bool, now: float) -> None:
            if then is not None:
                then(ok, now)
            _tell(operation)

        if writes or found or then is not None:
            operation.watchers = operation.watchers or []  # until it is durable, see `Operation.ending`
            self._state.commit(writes, found, committed)
        else:
            _tell(operation)
        if not operation.internal:
            self._ended.append(operation)
            self._make_room()

    def ended(self, operation: Operation) -> None:
        """Take up an operation from storage that had ended."""
        self._ended.append(operation)
        self._make_room()

    @staticmethod
    def row(operation: Operation) -> tuple[Write, ...]:
        """What keeps an operation as it is now."""
        return (Write(stored.OPERATIONS, operation.id, stored.operation_row(operation)),)

    def _event(self, operation: Operation, state: OperationState, now: float) -> tuple[events.Event, ...]:
        """The event to be stored; what only shows what is, is told to those who listen now."""
        if operation.internal:
            return ()
        # Of one that was accepted the end is told, even where the device was forgotten meanwhile.
        device = self._state.devices.get(operation.endpoint) or Device(operation.endpoint)
        kind = events.OPERATION_DONE if state == "done" else events.OPERATION_FAILED
        if operation.kept or operation.op not in _QUIET:
            return (self._state.event(kind, device, now, **_facts(operation)),)
        if self._state.environment.wants(kind):
            self._state.live(kind, device, now, **_facts(operation))
        return ()

    def _make_room(self) -> None:
        """Forget what ended first, in storage too, where more have ended than may be known."""
        known = self._state.operations
        while len(self._ended) > self._state.settings.operations_kept:
            oldest = self._ended.popleft()
            known.pop(oldest.id, None)
            key = (oldest.endpoint, oldest.request.key or "")
            if self._keys.get(key) is oldest:
                del self._keys[key]
            if oldest.kept:
                self._state.commit((Write(stored.OPERATIONS, oldest.id, None),))


def _tell(operation: Operation) -> None:
    """Tell everybody who waits for the end, once."""
    watchers, operation.watchers = operation.watchers, None
    for watcher in watchers or ():
        watcher(operation)


def _facts(operation: Operation) -> dict[str, object]:
    facts: dict[str, object] = {
        "operation": operation.id,
        "op": operation.op,
        "path": str(operation.path),
        "state": operation.state,
        "coap_code": operation.coap_code,
        "error": operation.error,
    }
    if operation.paths:
        facts["paths"] = [str(path) for path in operation.paths]
    if operation.result is not None and operation.result.values is not None:
        facts["values"] = operation.result.values
    return facts
