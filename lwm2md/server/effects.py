"""Effects: what the pure core asks the shell to make durable, and to publish, before anybody is answered.

RULES: a decision that must survive a crash is returned as a ``Commit`` and takes effect in the answer only when its
``resume`` was called. Commits are carried out in the order in which they were made. Nothing in here does anything.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lwm2md.events import Event

Resume = Callable[[bool, float], None]
"""``resume(committed, now)``: whether the writes are durable, and the Unix time at which that became known."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """One row of a table to be replaced, or deleted where ``value`` is None. ``key`` is not empty."""

    table: str
    key: str
    value: bytes | None


Sample = tuple[str, str, int, bytes]
"""One value of a series: the device (owner), the path (name), the time in Unix microseconds, and the value."""


class Commit(msgspec.Struct, frozen=True):
    """Writes, events and samples that become durable together, or not at all.

    ``dropped`` are owners that lose all samples they had until now; ``records`` go to the audit log.

    ``resume`` is called exactly once, on the reactor's thread, when the transaction has ended; with a storage that
    answers at once (memory) that can be before the call that handed the Commit in returns. After ``resume(False, now)``
    nothing was written and no event goes out; nobody tries again but the core itself.
    """

    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    resume: Resume | None = None
    samples: tuple[Sample, ...] = ()
    dropped: tuple[str, ...] = ()
    records: tuple[bytes, ...] = ()
