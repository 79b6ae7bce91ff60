"""Draining: nothing new is taken for devices, what has left is ended, what waits is stored, until that is taken back.

RULES: devices that are registered are served as ever: their Updates, notifications and Sends, and a Register of theirs.
An operation that waits stays in its queue, over a restart too, and leaves when the draining is over.
"""

from __future__ import annotations

from lwm2md.server.errors import Drained
from lwm2md.server.operations import Operations
from lwm2md.server.state import State


class Draining:
    """Begins and ends it, and counts what is under way."""

    def __init__(self, state: State, operations: Operations) -> None:
        self._state = state
        self._operations = operations

    def admit(self) -> None:
        """Return when operations are taken. Raises Drained."""
        if self._state.draining:
            raise Drained("the daemon is being drained, and takes no operations")

    def begin(self, now: float) -> None:
        """Take nothing new, and store what waits and was not stored yet."""
        self._state.draining = True
        for operation in self._state.operations.values():
            if operation.state == "queued" and not operation.kept:
                self._operations.keep(operation, now, lambda *_: None)

    def end(self, now: float) -> None:
        """Take everything again; what waited leaves, as far as its devices are there."""
        self._state.draining = False
        for device in self._state.devices.values():
            if device.queue:
                self._operations.dispatch(device, now)

    def under_way(self) -> int:
        """How many operations left for their devices and have not ended."""
        return sum(operation.state == "sent" for operation in self._state.operations.values())
