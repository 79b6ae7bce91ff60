"""Effects: what the pure core asks the shell to make durable, and to publish, before anybody is answered.

RULES: a decision that must survive a crash is returned as a ``Commit`` and takes effect in the answer only when its
``resume`` was called. Commits are carried out in the order in which they were made. Nothing in here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from lwm2md.events import Event
from lwm2md.lwm2m.rows import Heading
from lwm2md.lwm2m.values import Value

Resume = Callable[[bool, float], None]
"""``resume(committed, now)``: whether the writes are durable, and the Unix time at which that became known."""


class Write(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One row of a table to be replaced, or deleted where ``value`` is None. ``key`` is not empty."""

    table: str
    key: str
    value: bytes | None


Sample = tuple[str, str, int, bytes]
"""One value of a series: the device (owner), the path (name), the time in Unix microseconds, and the value."""


class Told(msgspec.Struct, frozen=True):
    """Values of single Resources that devices have notified at one ``time``, each in the place of a known one.

    Of each become the known value and an event, and where it is ``kept`` a sample. `lwm2md.server.telling` says how.
    """

    time: float
    kept: bool
    values: list[tuple[str, Mapping[str, str], Heading, Value]]
    """The endpoint, its labels, what the value is of, and the value."""


class Commit(msgspec.Struct, frozen=True):
    """Writes, events and samples that become durable together, or not at all.

    What was ``told`` is some more of them, not written out yet. ``dropped`` are owners that lose all samples they had
    until now; ``records`` go to the audit log. Who waits for a ``patient`` one does not mind some milliseconds more, in
    which others join it.

    ``resume`` is called exactly once, on the reactor's thread, when the transaction has ended; with a storage that
    answers at once (memory) that can be before the call that handed the Commit in returns. After ``resume(False, now)``
    nothing was written and no event goes out; nobody tries again but the core itself.
    """

    writes: Sequence[Write] = ()
    events: Sequence[Event] = ()
    resume: Resume | None = None
    samples: Sequence[Sample] = ()
    dropped: tuple[str, ...] = ()
    records: tuple[bytes, ...] = ()
    patient: bool = False
    told: Told | None = None

    @property
    def weight(self) -> int:
        """How many changes it counts as: as many as it has events."""
        return len(self.events) + (len(self.told.values) if self.told is not None else 0) or 1
