"""Effects: what the pure core asks the shell to make durable, and to publish, before anybody is answered.

RULES: a decision that must survive a crash is returned as a ``Commit`` and takes effect in the answer only when its
``resume`` was called. Commits are carried out in the order in which they were made. Nothing in here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from lwm2md.events import Event
from lwm2md.lwm2m.rows import Heading
from lwm2md.lwm2m.values import Value

_MOST: Final = 256
_LARGEST: Final = 1 << 18

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


class Joint:
    """Decisions that came one right after the other, and share a ``commit`` that grows until somebody takes it."""

    __slots__ = ("_events", "_resumes", "_size", "_writes", "commit")

    def __init__(self) -> None:
        self._writes: list[Write] = []
        self._events: list[Event] = []
        self._resumes: list[Resume] = []
        self._size = 0
        self.commit = Commit(self._writes, self._events, partial(resume_all, self._resumes))

    @property
    def is_full(self) -> bool:
        """Whether another one is worth another commit."""
        return len(self._resumes) >= _MOST or self._size >= _LARGEST

    def add(self, writes: Iterable[Write], events: Iterable[Event], resume: Resume) -> None:
        """Let a decision become durable with the others."""
        for write in writes:
            self._writes.append(write)
            self._size += len(write.value or b"")
        self._events.extend(events)
        self._resumes.append(resume)


def resume_all(resumes: list[Resume], committed: bool, now: float) -> None:
    """Let all go on, in order; one that fails keeps no other from it."""
    resumes.reverse()
    _go_on(resumes, committed, now)


def _go_on(waiting: list[Resume], committed: bool, now: float) -> None:
    """Take those that wait off the end; one that fails keeps no other from going on."""
    try:
        while waiting:
            waiting.pop()(committed, now)
    except Exception:
        _go_on(waiting, committed, now)
        raise
