"""The record of a standing wish to observe. Times are Unix seconds; what is stored is in `lwm2md.server.stored`."""

from __future__ import annotations

import base64
from typing import Final, Literal

import attrs
import msgspec

from lwm2md.lwm2m.attributes import Changes, NotificationAttributes
from lwm2md.lwm2m.paths import Path
from lwm2md.server.deadlines import Plan

ObservationState = Literal["pending", "active", "refused", "waiting", "folded"]
Target = Path | tuple[Path, ...]
"""What an observation is of: one path, or a set of paths in their order."""


def target_of(path: Path, paths: tuple[Path, ...]) -> Target:
    """The path, or the set of paths where there are some."""
    return tuple(sorted(paths)) if paths else path


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Aside:
    """What few wishes have.

    ``error`` is why the device does not observe, ``failures`` how often in a row it came to nothing and ``retry_at``
    when it is asked again; ``plan`` is that, or the look whether anything still comes. ``superseded`` counts what is
    being stored in its place: another wish, or none. ``outdated`` names attributes that an earlier wish for the path
    has set and this one has not. ``attached`` says of a composite one that its attributes were written to each path.
    ``max_age`` is for how many seconds the device said that what it told is fresh, if it did.
    """

    error: str | None = None
    failures: int = 0
    retry_at: float | None = None
    plan: Plan | None = attrs.field(default=None, repr=False)
    superseded: int = 0
    outdated: tuple[str, ...] = ()
    attached: bool = False
    max_age: int | None = None


_NOTHING_ASIDE: Final = Aside()
"""Of nearly every wish; never changed."""


class Observation(msgspec.Struct, eq=False, gc=False):
    """A standing wish to be told of changes below ``path``, until the operator cancels it (OMA Core 6.4).

    A composite one is of all its ``paths``, and its path is the root. ``established`` is when the device took it last,
    ``template`` the name of the template that made it, if one did. A wish costs what its fields cost: what few have is
    ``aside``. The garbage collector does not look at wishes; nothing that one leads to keeps it for longer than a plan.
    """

    id: str
    endpoint: str
    path: Path
    token: bytes
    created: float
    attributes: NotificationAttributes | None = None
    format: str | None = None
    state: ObservationState = "pending"
    last_notification: float | None = None
    notifications: int = 0
    established: float | None = None
    paths: tuple[Path, ...] = ()
    template: str | None = None
    _aside: Aside | None = None

    @property
    def target(self) -> Target:
        """The path, or the set of paths."""
        return target_of(self.path, self.paths)

    @property
    def aside(self) -> Aside:
        """What few wishes have, to be read."""
        return self._aside or _NOTHING_ASIDE

    @property
    def own(self) -> Aside:
        """The same, to be changed."""
        if self._aside is None:
            self._aside = Aside()
        return self._aside

    @property
    def error(self) -> str | None:
        """Why the device does not observe it."""
        return self.aside.error

    def settle(self, state: ObservationState, error: str | None = None) -> None:
        """Have another state."""
        self.state = state
        if error is not None or self._aside is not None:
            self.own.error = error

    def came(self, now: float) -> None:
        """A notification came: the device observes it."""
        if self.state != "active" or self._aside is not None:
            self.settle("active")
        self.last_notification = now
        self.notifications += 1

    @property
    def is_attached(self) -> bool:
        """Whether its attributes are those of its path or paths at the device, and not of the observation alone."""
        return not self.paths or self.aside.attached

    def changes(self) -> Changes:
        """The attributes that are to be written to the device; None unsets one."""
        wanted = self.attributes.as_changes() if self.attributes is not None else {}
        return {**dict.fromkeys(self.aside.outdated), **wanted}


class Fold(Observation, gc=False):
    """A composite wish of the daemon's own, which carries wishes of the operator: see `folding`."""


def id_of(drawn: bytes) -> str:
    """An id out of random bytes; in base 32 it takes a sixth less memory than in hexadecimal digits."""
    return base64.b32encode(drawn).decode("ascii").rstrip("=").lower()
