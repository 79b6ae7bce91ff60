"""A Read-Composite carried out as one Read after the other, for devices without composite operations.

RULES: what the device has not, or does not show, is left out, as a composite answer leaves it out; where it has nothing
of all that, its last refusal is the end of the operation. A Read that is not answered is the operation not answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Received
from lwm2md.coap.message import Message
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server import negotiation
from lwm2md.server.abilities import Abilities
from lwm2md.server.answers import BadAnswer, diagnostic
from lwm2md.server.reading import Reading
from lwm2md.server.records import READ, Composed, Device, Operation, OperationRequest, Registration, Result
from lwm2md.server.requests import compose
from lwm2md.server.state import State
from lwm2md.server.twin import Twin

Ended = Callable[[Device, Operation, str | None, float], None]


@attrs.define(slots=True, eq=False)
class _Run:
    """One operation on its way: the path that is asked for, those to come, and what was found."""

    device: Device
    operation: Operation
    path: Path
    left: deque[Path]
    composed: Composed | None = None
    found: list[ValueRow] = attrs.Factory(list)
    answered: bool = False
    refusal: Message | None = None


class Singly:
    """Carries such operations out.

    ``uplink`` is told that the device spoke, ``unheard`` of an operation that was not answered, with the engine's word
    for it, ``ended`` of any other end: with an error, or with the result in place.
    """

    def __init__(
        self,
        state: State,
        abilities: Abilities,
        *,
        reading: Reading,
        twin: Twin,
        uplink: Callable[[Device, float], None],
        unheard: Callable[[Device, Operation, str, float], None],
        ended: Ended,
    ) -> None:
        self._state = state
        self._abilities = abilities
        self._reading = reading
        self._twin = twin
        self._uplink = uplink
        self._unheard = unheard
        self._ended = ended

    def begin(self, device: Device, registration: Registration, operation: Operation, now: float) -> None:
        """Send the first Read of an operation."""
        left = deque(_expanded(operation.paths, registration))
        self._ask(_Run(device, operation, left.popleft(), left), registration, now)

    def _ask(self, run: _Run, registration: Registration, now: float) -> None:
        path = run.path
        request = OperationRequest(op=READ, path=str(path), force=True)
        preferred = negotiation.preferred_by(self._state.profile(run.device))
        composed = run.composed = compose(request, path, (), registration, self._state.models, preferred=preferred)
        run.operation.token = self._state.engine.request(
            registration.peer,
            composed.code,
            composed.options,
            composed.payload,
            on_outcome=lambda outcome, then: self._heard(run, outcome, then),
            timeout=self._state.patience(run.operation),
            now=now,
        )

    def _heard(self, run: _Run, outcome: Received | str, now: float) -> None:
        device, operation = run.device, run.operation
        registration = device.registration
        if not isinstance(outcome, Received) or registration is None or operation.finished:
            self._unheard(device, operation, outcome if isinstance(outcome, str) else "cancelled", now)
            return
        self._uplink(device, now)
        if operation.misses and not run.answered:
            self._abilities.silent(device, now)
        run.answered = True
        try:
            again = self._take(run, registration, outcome.message, now)
        except BadAnswer as error:
            self._ended(device, operation, str(error), now)
            return
        if not again and not run.left:
            self._end(run, now)
            return
        if not again:
            run.path = run.left.popleft()
        self._ask(run, registration, now)

    def _take(self, run: _Run, registration: Registration, message: Message, now: float) -> bool:
        """Take the answer to one Read; whether it is to be asked again in another format. Raises BadAnswer."""
        if message.code >> 5 != 2:
            run.refusal = message
            return run.composed is not None and negotiation.learn(registration, run.composed, message.code)
        accept = None if run.composed is None else run.composed.accept
        values, run.operation.format = self._reading.values(run.device, run.path, (), message, accept=accept, now=now)
        self._twin.learn(run.device, (run.path,), values, "read", now=now)
        run.found += values
        run.operation.coap_code = n.dotted(message.code)
        return False

    def _end(self, run: _Run, now: float) -> None:
        error = None
        if run.operation.coap_code is None and run.refusal is not None:
            run.operation.coap_code, error = n.dotted(run.refusal.code), diagnostic(run.refusal)
        else:
            run.operation.result = Result(values=tuple(run.found))
        self._ended(run.device, run.operation, error, now)


def _expanded(paths: tuple[Path, ...], registration: Registration) -> Iterator[Path]:
    """The paths that can be read; the root, which can't, is every Object."""
    for path in paths:
        if path:
            yield path
        else:
            yield from dict.fromkeys(Path(each[:1]) for each in registration.objects.paths)
