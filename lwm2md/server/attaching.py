"""How the attributes of a wish get to the device: ahead of an Observe, or with it (OMA Core 5.1.2 and 6.4.1).

RULES: those of one path are written to it first, since every version knows Write-Attributes; a device of LwM2M 1.2 that
refuses is given them as parameters of the Observe. Those of several paths are parameters of the Observe-Composite from
1.2 on, which touches nothing that is attached; an older device, and one that refuses parameters, has them written to
each path, and what it has not of these is passed over. One request is under way at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Received
from lwm2md.lwm2m.paths import Path
from lwm2md.server.exchanges import Outcome
from lwm2md.server.records import Composed, Operation, Registration
from lwm2md.server.requests import PARAMETERS, with_parameters, write_attributes
from lwm2md.server.state import State
from lwm2md.server.wish import Observation

_UNKNOWN: Final = frozenset({n.BAD_REQUEST, n.BAD_OPTION})
"""How devices refuse parameters that they do not know."""


def parametrized(wish: Observation, registration: Registration, composed: Composed) -> Composed | None:
    """The request of a composite wish with its attributes; None where it is made, or has to be made, without."""
    if not wish.paths or wish.attributes is None or wish.aside.attached or registration.version < PARAMETERS:
        return None
    return with_parameters(composed, wish.attributes)


@attrs.frozen(slots=True, eq=False)
class Asking:
    """One request for one wish. ``listener`` hears notifications, ``done`` how the request ended."""

    _state: State
    _registration: Registration
    _operation: Operation
    _wish: Observation
    _composed: Composed
    _listener: Callable[[Received, bool], None]
    _done: Callable[[Outcome, float], None]

    def start(self, now: float) -> bytes:
        """Send the first message; its token."""
        wish = self._wish
        if not wish.changes():
            return self._observe(self._composed, self._done, now)
        if not wish.paths:
            return self._write(iter((wish.path,)), now)
        given = parametrized(wish, self._registration, self._composed)
        return self._write_each(now) if given is None else self._observe(given, self._tried, now)

    def _write_each(self, now: float) -> bytes:
        self._wish.own.attached = True
        return self._write(iter(self._wish.paths), now)

    def _tried(self, outcome: Outcome, now: float) -> None:
        """The Observe-Composite with parameters was answered, or was not."""
        refused = isinstance(outcome, Received) and outcome.message.code in _UNKNOWN
        if refused and all(self._wish.paths) and not self._operation.finished:
            self._operation.token = self._write_each(now)
        else:
            self._done(outcome, now)

    def _write(self, left: Iterator[Path], now: float) -> bytes:
        """Write the attributes to the next path that is left, and observe when there is none."""
        path, wish = next(left, None), self._wish
        if path is None:
            if wish.aside.outdated:
                wish.own.outdated = ()
            return self._observe(self._composed, self._done, now)
        before = write_attributes(wish.changes(), path, self._registration)
        return self._state.engine.request(
            self._registration.peer,
            before.code,
            before.options,
            on_outcome=partial(self._written, left),
            timeout=self._state.patience(self._operation),
            now=now,
        )

    def _written(self, left: Iterator[Path], outcome: Outcome, now: float) -> None:
        wish, operation = self._wish, self._operation
        code = outcome.message.code if isinstance(outcome, Received) else None
        if code is None or operation.finished:
            self._done(outcome, now)
        elif code == n.CHANGED or (code == n.NOT_FOUND and wish.paths):
            operation.token = self._write(left, now)
        elif not wish.paths and self._registration.version >= PARAMETERS and wish.attributes and code >> 5 == 4:
            operation.token = self._observe(with_parameters(self._composed, wish.attributes), self._done, now)
        else:
            self._done(outcome, now)

    def _observe(self, composed: Composed, done: Callable[[Outcome, float], None], now: float) -> bytes:
        return self._state.engine.observe(
            self._registration.peer,
            composed.code,
            composed.options,
            composed.payload,
            on_outcome=done,
            on_notification=self._listener,
            now=now,
            token=self._wish.token,
            timeout=self._state.patience(self._operation),
        )
