"""What a device sends by itself: which values, when they are taken, and what becomes of a Send that fails.

Source: OMA LwM2M Core TS 1.2, 6.4.5 (Send), from 1.1 on. RULES: a sending takes its values when they are to be sent, or
more often where it collects; what waits is bounded, the oldest moment gives way. Values that leave in the moment in
which they were taken have no times, all others have. One Send is under way; what it carried is forgotten when it was
taken, or refused for good. 4.04, 5.xx and silence are tried again, ``ATTEMPTS`` times in all: 5.xx after its Max-Age, a
day at most, the others after 60 seconds, then 120 and so on. 4.01, 4.03 and 4.05 end all Sends until the next Register.
While Mute Send (/1/x/23) is true or missing nothing is taken, and what waits is forgotten.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.device import composite
from lwm2md.device.storing import stamped
from lwm2md.device.tree import Tree
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path

ATTEMPTS: Final = 5
PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 86400.0

_MOST_SINGLES: Final = 16
_STOPPED_BY: Final = frozenset({numbers.UNAUTHORIZED, numbers.FORBIDDEN, numbers.METHOD_NOT_ALLOWED})
_SERVER_ERROR: Final = 0xA0


@attrs.frozen(slots=True)
class Sending:
    """Which ``paths`` are sent ``every`` so many seconds, with values of ``collect`` seconds in between.

    With ``on_change`` they are sent when one of them changes, ``every`` seconds apart at least. ``content_format`` None
    is the device's choice.
    """

    paths: tuple[Path, ...]
    every: float | None = None
    collect: float | None = None
    on_change: bool = False
    confirmable: bool = True
    content_format: int | None = None


@attrs.define(slots=True, eq=False)
class Parcel:
    """One sending and what waits to be sent of it.

    Times are Unix seconds, infinity for never: when the next values are taken, and when the next Send is due.
    ``wanted_at`` is since when it waits to leave, ``attempts`` how often it has failed, ``sent_at`` when it last left.
    """

    sending: Sending
    collect_at: float
    due_at: float
    moments: deque[tuple[float, Nodes]]
    wanted_at: float | None = None
    attempts: int = 0
    sent_at: float = -math.inf

    @property
    def wanted(self) -> bool:
        """Whether it waits to leave."""
        return self.wanted_at is not None

    def take(self, tree: Tree, now: float) -> None:
        """Take the values that are there now."""
        if self.moments and self.moments[-1][0] == now:
            self.moments.pop()
        nodes = stamped(composite.nodes(tree, self.sending.paths), now)
        if nodes:
            self.moments.append((now, nodes))

    def nodes(self, now: float, *, timed: bool) -> Nodes:
        """What it carries if it leaves now; the newest values only where the format has no times."""
        moments = tuple(self.moments)
        if not timed or (len(moments) == 1 and moments[0][0] == now):
            return tuple(Entry(entry.path, entry.value) for entry in moments[-1][1])
        return tuple(entry for _, nodes in moments for entry in nodes)


class Sender:
    """The Sends of one tree, which began at ``now``; ``room`` is how many moments of each sending may wait."""

    __slots__ = ("_again_at", "_parcels", "_room", "_stopped", "_tree", "_under_way")

    def __init__(self, sendings: Sequence[Sending], tree: Tree, now: float, room: int) -> None:
        self._tree = tree
        self._room = room
        self._stopped = False
        self._again_at = -math.inf
        self._under_way: Parcel | None = None
        self._parcels = [self._parcel(sending, now) for sending in sendings]

    def _parcel(self, sending: Sending, now: float) -> Parcel:
        every = math.inf if sending.every is None or sending.on_change else sending.every
        collect = math.inf if sending.collect is None else sending.collect
        return Parcel(sending, now + collect, now + every, deque(maxlen=self._room))

    @property
    def under_way(self) -> bool:
        """Whether a Send waits for its answer."""
        return self._under_way is not None

    @property
    def waits(self) -> bool:
        """Whether something is to be sent."""
        return any(parcel.wanted for parcel in self._parcels)

    def touch(self, path: Path, now: float) -> None:
        """The value at or below ``path`` has changed."""
        for parcel in self._parcels:
            if parcel.sending.on_change and parcel.due_at == math.inf and _concerns(parcel.sending, path):
                parcel.due_at = max(now, parcel.sent_at + (parcel.sending.every or 0.0))

    def send(self, sending: Sending, now: float) -> None:
        """Have something sent once."""
        singles = [parcel for parcel in self._parcels if not _lasts(parcel.sending)]
        if len(singles) >= _MOST_SINGLES:
            self._parcels.remove(singles[0])
        self._parcels.append(parcel := self._parcel(sending, now))
        self._want(parcel, now)
        self._sweep()

    def expire(self, now: float, *, muted: bool) -> None:
        """Take the values whose time has come."""
        for parcel in self._parcels:
            if muted or self._stopped:
                parcel.moments.clear()
                parcel.wanted_at = None
            if now >= parcel.collect_at:
                self._collect(parcel, now, muted=muted)
            if now >= parcel.due_at:
                self._post(parcel, now, muted=muted)
        self._sweep()

    def due(self, now: float) -> bool:
        """Whether something could leave now."""
        return self._under_way is None and now >= self._again_at and self.waits

    def ready(self, now: float) -> Parcel:
        """What has to leave now, when something is ``due``; it counts as under way from here on."""
        parcel = next(parcel for parcel in self._parcels if parcel.wanted)
        parcel.sent_at = now
        self._under_way = parcel
        return parcel

    def taken(self) -> None:
        """The server has what was under way, or will never want it."""
        parcel, self._under_way = self._under_way, None
        if parcel is not None:
            while parcel.moments and parcel.moments[0][0] <= parcel.sent_at:
                parcel.moments.popleft()
            if parcel.wanted_at is not None and parcel.wanted_at <= parcel.sent_at:
                parcel.wanted_at = None
            parcel.attempts = 0
            self._sweep()

    def returned(self) -> None:
        """What was under way did not leave: it waits on."""
        self._under_way = None

    def refused(self, code: int, now: float, max_age: float | None) -> str:
        """The server refused what was under way; what follows from it, in words."""
        if code in _STOPPED_BY:
            self._stopped = True
            self.taken()
            return "no more until the next registration"
        if code >= _SERVER_ERROR:
            return self._again(now, PAUSE if max_age is None else min(max_age, LONGEST_PAUSE))
        if code == numbers.NOT_FOUND:
            return self.unanswered(now)
        self.taken()
        return "given up"

    def unanswered(self, now: float) -> str:
        """Nobody answered; what follows from it, in words."""
        attempts = 0 if self._under_way is None else self._under_way.attempts
        return self._again(now, PAUSE * 2**attempts)

    def registered(self) -> None:
        """The device has registered anew: it may send again."""
        self._stopped, self._again_at = False, -math.inf

    def restart(self, now: float) -> None:
        """The device restarts: nothing waits any more."""
        self._under_way, self._again_at, self._stopped = None, -math.inf, False
        planned = [parcel.sending for parcel in self._parcels if _lasts(parcel.sending)]
        self._parcels = [self._parcel(sending, now) for sending in planned]

    def next_deadline(self, *, able: bool) -> float | None:
        """When there is something to take, or, if the device is ``able`` to, to send; None for never."""
        due = min((min(parcel.collect_at, parcel.due_at) for parcel in self._parcels), default=math.inf)
        if able and self._under_way is None and self.waits:
            due = min(due, self._again_at)
        return None if due == math.inf else due

    def _collect(self, parcel: Parcel, now: float, *, muted: bool) -> None:
        every = parcel.sending.collect or math.inf
        parcel.collect_at += every * (math.floor((now - parcel.collect_at) / every) + 1)
        if not muted and not self._stopped:
            parcel.take(self._tree, now)

    def _post(self, parcel: Parcel, now: float, *, muted: bool) -> None:
        every = math.inf if parcel.sending.on_change else parcel.sending.every or math.inf
        due, parcel.due_at = parcel.due_at, math.inf
        if every != math.inf:
            parcel.due_at = due + every * (math.floor((now - due) / every) + 1)
        if not muted and not self._stopped:
            self._want(parcel, now)

    def _want(self, parcel: Parcel, now: float) -> None:
        parcel.take(self._tree, now)
        if parcel.moments:
            parcel.wanted_at = now

    def _again(self, now: float, pause: float) -> str:
        parcel = self._under_way
        if parcel is None or parcel.attempts + 1 >= ATTEMPTS:
            self.taken()
            return "given up"
        parcel.attempts += 1
        self._under_way, self._again_at = None, now + pause
        return f"again in {pause:g} s"

    def _sweep(self) -> None:
        """Let go of what was to be sent once and has left."""
        self._parcels = [
            parcel for parcel in self._parcels if parcel.wanted or parcel is self._under_way or _lasts(parcel.sending)
        ]


def _lasts(sending: Sending) -> bool:
    return sending.every is not None or sending.on_change


def _concerns(sending: Sending, path: Path) -> bool:
    return any(own.covers(path) or path.covers(own) for own in sending.paths)
