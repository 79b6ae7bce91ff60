"""What a device has shown that it can do: FETCH, composite operations, the size of its blocks.

RULES: an answer teaches, also one that refuses. Silence teaches only where the device answered something else right
after it, and is asked something else for this alone where need be. What a device can't do is tried again after a week,
since firmware is replaced and messages are lost.
"""

from __future__ import annotations

from typing import Final, cast

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Received
from lwm2md.coap.message import Message
from lwm2md.server.deviations import noting
from lwm2md.server.deviceprofiles import UNTRIED, BlockSize, Learned
from lwm2md.server.errors import BadOperation
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import (
    OBSERVE_COMPOSITE,
    READ_COMPOSITE,
    WRITE_COMPOSITE,
    Device,
    Operation,
    OperationRequest,
)
from lwm2md.server.state import State

UNANSWERED: Final = "fetch-unanswered"
REFUSED: Final = "composite-refused"
WITHOUT_TOKEN: Final = "answer-without-token"
_WEEK: Final = 7 * 86400.0
_UNABLE: Final = frozenset({n.METHOD_NOT_ALLOWED, n.NOT_IMPLEMENTED})
_LARGEST: Final = 1024
_OTHERS: Final = frozenset({OBSERVE_COMPOSITE, WRITE_COMPOSITE})


class Abilities:
    """Learns from what comes back, and says what can be asked."""

    def __init__(self, state: State, profiling: Profiling) -> None:
        self._state = state
        self._profiling = profiling

    def check(self, device: Device, request: OperationRequest) -> None:
        """Raise BadOperation for a Write-Composite of a device that takes none, unless it is forced."""
        if request.op == WRITE_COMPOSITE and not request.force and not self._state.profile(device).composes:
            raise BadOperation("the device takes no composite operations: write path by path, or use force", "op")

    def singly(self, device: Device, operation: Operation, now: float) -> bool:
        """Whether an operation is to be carried out as one Read after the other."""
        if operation.op != READ_COMPOSITE or operation.request.force:
            return False
        self._try_again(device, now)
        return operation.singly or not self._state.profile(device).composes

    def answered(self, device: Device, operation: Operation, received: Received, now: float) -> None:
        """Learn from the answer to an operation."""
        message, learned = received.message, device.learned or UNTRIED
        if message.token == b"":
            noting(self._state, device, message.payload, now)(WITHOUT_TOKEN)
        size = received.block_size
        if size is not None and size < (learned.block_size or _LARGEST):
            learned = attrs.evolve(learned, block_size=cast("BlockSize", size))
        if not operation.path and not operation.singly:
            learned = self._composed(device, operation, learned, message, now)
        self._profiling.learn(device, learned)

    def refused(self, device: Device, operation: Operation, message: Message) -> bool:
        """Whether an answer says that the device takes no composite Read, so that it is to be asked path by path."""
        if operation.op != READ_COMPOSITE or operation.singly or operation.request.force:
            return False
        if message.code in _UNABLE:
            operation.singly, operation.misses = True, 0
        return operation.singly

    def missed(self, operation: Operation, *, sleeper: bool) -> bool:
        """Take that a composite Read was not answered; whether it is to be asked path by path now.

        A device in queue mode may just have fallen asleep, and is asked as before once more.
        """
        if operation.op != READ_COMPOSITE or operation.singly or operation.request.force:
            return False
        operation.misses += 1
        operation.singly = operation.misses >= 1 + sleeper
        return operation.singly and not sleeper

    def doubtful(self, device: Device, operation: Operation, *, sleeper: bool) -> bool:
        """Take that another composite operation was not answered; whether to see now if the device answers a Read.

        Nothing can be asked in its place, as Reads are in that of a Read-Composite.
        """
        if operation.op not in _OTHERS or (device.learned or UNTRIED).fetch is not None:
            return False
        operation.misses += 1
        return operation.misses == 1 + sleeper

    def silent(self, device: Device, now: float) -> None:
        """Learn that a FETCH was not answered by a device that answers a Read."""
        noting(self._state, device, b"", now)(UNANSWERED)
        learned = attrs.evolve(device.learned or UNTRIED, fetch=False, composite=False, retry=now + _WEEK)
        self._profiling.learn(device, learned)

    def _composed(
        self, device: Device, operation: Operation, learned: Learned, message: Message, now: float
    ) -> Learned:
        if operation.op == WRITE_COMPOSITE and message.code == n.METHOD_NOT_ALLOWED:
            return learned  # it may as well be one of the Resources that can't be written
        if message.code in _UNABLE:
            noting(self._state, device, message.payload, now)(REFUSED)
            return attrs.evolve(learned, fetch=True, composite=False, retry=now + _WEEK)
        return attrs.evolve(learned, fetch=True, composite=True if message.code >> 5 == 2 else learned.composite)

    def _try_again(self, device: Device, now: float) -> None:
        learned = device.learned
        if learned is not None and learned.retry is not None and learned.retry <= now:
            self._profiling.learn(device, attrs.evolve(learned, fetch=None, composite=None, retry=None))
