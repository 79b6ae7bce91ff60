"""The observation table of the device: who watches which path, and when the next notification is due.

Source: RFC 7641 and OMA LwM2M Core TS 1.2, 6.4 and 7.3. RULES: the answer to the Observe counts as the first
notification; each one restarts ``pmin`` and ``pmax``; a trigger within ``pmin`` is kept and sent at its end with the
value of that time; ``pmax`` counts only when it is positive and not below ``pmin``; notifications are Non-confirmable,
but for ``con`` and for one at least every 24 hours; one Confirmable is under way per observation, and a newer state
takes its place. An observation whose path is gone ends with an error and without an Observe option. A composite one has
a Watch for each of its paths, with the attributes of that path, and any of them makes it tell all; it never ends by a
path that is gone. ``epmax`` asks for nothing that does not happen anyway: a value is looked at when it changes, or at
the end of ``epmin``. What is due while nobody listens is stored (``storing``) and told later at once, before anything
else; where ``hqmax`` is set anywhere, only paths with an ``hqmax`` are. A Register ends the observations, and what they
had stored waits for the same paths to be observed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from lwm2md.device import composite as several
from lwm2md.device.attached import Attached
from lwm2md.device.conditions import triggers
from lwm2md.device.storing import History
from lwm2md.device.tree import Stored, Tree
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.paths import Path

MAX_OBSERVATIONS: Final = 64
DAY: Final = 86400.0

_LONG_AGO: Final = float("-inf")
_SEQUENCE_MASK: Final = 0xFFFFFF


@attrs.define(slots=True, eq=False)
class Watch:
    """One path of an observation.

    ``reported`` is the value that was last told, ``seen`` the last one that was looked at, both None for an Object or
    Instance; ``evaluated_at`` is the Unix time of that look; ``wanted`` says that the conditions were met since,
    ``unevaluated`` that there is something to look at when ``epmin`` is over.
    """

    path: Path
    reported: Stored | None
    seen: Stored | None
    evaluated_at: float
    wanted: bool = False
    unevaluated: bool = False


@attrs.define(slots=True, eq=False)
class Observation:
    """One observer of one path, or of several at once.

    ``override`` are the parameters of its own. Times are Unix seconds: of the last notification, and of the last
    Confirmable one. ``history`` is what it could not tell; ``stalled`` says that its path went while nobody listened.
    """

    token: bytes
    watches: tuple[Watch, ...]
    accept: int | None
    override: NotificationAttributes | None
    sequence: int
    sent_at: float
    confirmed_at: float
    composite: bool = False
    under_way: bool = False
    history: History | None = None
    stalled: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is observed."""
        return tuple(watch.path for watch in self.watches)

    @property
    def shown(self) -> str:
        """What is observed, for people."""
        return " ".join(map(str, self.paths))


Send = Callable[[Observation, bool, float], bool]
"""Sends the present state (observation, confirmable, now); False when the path is gone and the observer was told so."""


class Observers:
    """The observations of one tree by the server. ``now`` is Unix time in seconds everywhere."""

    __slots__ = ("_attached", "_by_token", "_left", "_tree")

    def __init__(self, tree: Tree, attached: Attached) -> None:
        self._tree = tree
        self._attached = attached
        self._by_token: dict[bytes, Observation] = {}
        self._left: dict[tuple[Path, ...], History] | None = None

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[Observation]:
        return iter(tuple(self._by_token.values()))

    def observe(
        self,
        token: bytes,
        paths: Iterable[Path],
        accept: int | None,
        override: NotificationAttributes | None,
        now: float,
        *,
        composite: bool = False,
    ) -> Observation | None:
        """Start an observation, or start it again for a known token; None when there is no room for another."""
        known = self._by_token.get(token)
        if known is None and len(self._by_token) >= MAX_OBSERVATIONS:
            return None
        sequence = 0 if known is None else known.sequence + 1 & _SEQUENCE_MASK
        watches = tuple(Watch(path, value := self._snapshot(path), value, now) for path in paths)
        observation = Observation(token, watches, accept, override, sequence, now, now, composite)
        observation.history = self._inherited(observation) if known is None else known.history
        self._by_token[token] = observation
        return observation

    def cancel(self, token: bytes) -> Observation | None:
        """End the observation with that token, if there is one, without a word."""
        return self._by_token.pop(token, None)

    def clear(self) -> None:
        """End all observations without a word, and forget what they have stored."""
        self._by_token.clear()
        self._left = None

    def retire(self) -> None:
        """End all observations without a word; what they have stored waits for others of the same paths."""
        kept = {o.paths: o.history for o in self._by_token.values() if o.history}
        if kept:
            merged = {**(self._left or {}), **kept}
            self._left = dict(tuple(merged.items())[-MAX_OBSERVATIONS:])
        self._by_token.clear()

    def touch(self, path: Path, now: float) -> None:
        """The value at or below ``path`` may have changed."""
        for observation in self._by_token.values():
            for watch in observation.watches:
                if not watch.wanted and (watch.path.covers(path) or path.covers(watch.path)):
                    self._evaluate(observation, watch, now)

    def removed(self, path: Path) -> None:
        """The Instance at ``path`` is gone: whoever observed it or something in it is told at once."""
        for observation in self._by_token.values():
            if not observation.composite and path.covers(observation.watches[0].path):
                observation.watches[0].wanted, observation.sent_at = True, _LONG_AGO

    def attributes(self, observation: Observation, watch: Watch) -> NotificationAttributes:
        """The attributes that hold for a path: the observation's own parameters, or those attached and inherited."""
        return self._attached.effective(watch.path, observation.override)

    def delivered(self, observation: Observation, sequence: int) -> None:
        """The notification of that sequence number was acknowledged; a newer one may be under way by now."""
        if sequence == observation.sequence:
            observation.under_way = False
            _forget(observation)

    def undelivered(self, observation: Observation) -> None:
        """Nobody acknowledged the notification under way, and the observation goes on: there is news still."""
        observation.under_way = False
        for watch in observation.watches:
            watch.wanted = True

    def lost(self, observation: Observation) -> bool:
        """The observer is gone: end this very observation; whether it was still there."""
        if self._by_token.get(observation.token) is not observation:
            return False
        del self._by_token[observation.token]
        return True

    def next_deadline(self) -> float | None:
        """When ``expire`` has to be called, None for never."""
        dues = [due for o in self._by_token.values() if (due := self._due(o)) is not None]
        return min(dues, default=None)

    def expire(self, now: float, send: Send) -> None:
        """Send what is due."""
        for observation in tuple(self._by_token.values()):
            self._look(observation, now)
            due = self._due(observation)
            if due is not None and due <= now:
                self._notify(observation, now, send)

    def drop(self) -> None:
        """What was under way was not delivered."""
        for observation in self._by_token.values():
            if observation.under_way:
                self.undelivered(observation)

    def next_change(self) -> float | None:
        """When ``store`` has to be called while nobody listens, None for never."""
        dues = [due for o in self._by_token.values() if (due := self._news(o)) is not None]
        return min(dues, default=None)

    def store(self, now: float, room: int) -> None:
        """Nobody listens: store what is due, ``room`` moments of each path at most, none at all with 0."""
        for observation in self._by_token.values():
            self._look(observation, now)
            due = self._news(observation)
            if due is not None and due <= now:
                self._keep(observation, now, room)

    def _look(self, observation: Observation, now: float) -> None:
        for watch in observation.watches:
            if watch.unevaluated:
                self._evaluate(observation, watch, now)

    def _keep(self, observation: Observation, now: float, room: int) -> None:
        override = observation.override
        chosen = self._attached.queues or (override is not None and override.hqmax is not None)
        for watch in observation.watches:
            most = self.attributes(observation, watch).hqmax
            space = min(room, most or 0) if chosen else room
            if space and (observation.composite or self._tree.exists(watch.path)):
                if observation.history is None:
                    observation.history = History()
                observation.history.keep(watch.path, several.nodes(self._tree, (watch.path,)), now, space)
        self._told(observation, now)

    def _inherited(self, observation: Observation) -> History | None:
        return None if self._left is None else self._left.pop(observation.paths, None)

    def _notify(self, observation: Observation, now: float, send: Send) -> None:
        confirmable = (
            observation.under_way
            or now - observation.confirmed_at >= DAY
            or any(self.attributes(observation, watch).con for watch in observation.watches)
        )
        observation.sequence = observation.sequence + 1 & _SEQUENCE_MASK
        observation.under_way = confirmable
        if not send(observation, confirmable, now):
            self._by_token.pop(observation.token, None)
            return
        self._told(observation, now)
        if confirmable:
            observation.confirmed_at = now
        else:
            _forget(observation)

    def _told(self, observation: Observation, now: float) -> None:
        """What is there now counts as told."""
        for watch in observation.watches:
            watch.wanted = watch.unevaluated = False
            watch.reported = watch.seen = self._snapshot(watch.path)
            watch.evaluated_at = now
        observation.sent_at = now
        observation.stalled = not observation.composite and not self._tree.exists(observation.watches[0].path)

    def _due(self, observation: Observation) -> float | None:
        news = self._news(observation)
        if observation.under_way:
            return None if observation.history else news
        if observation.history or observation.stalled:
            return _LONG_AGO
        daily = observation.confirmed_at + DAY
        return daily if news is None else min(news, daily)

    def _news(self, observation: Observation) -> float | None:
        """When there is something new to tell, None for never."""
        if observation.stalled and not self._tree.exists(observation.watches[0].path):
            return None
        dues = [due for watch in observation.watches if (due := self._path_due(observation, watch)) is not None]
        return min(dues, default=None)

    def _path_due(self, observation: Observation, watch: Watch) -> float | None:
        attributes = self.attributes(observation, watch)
        pmin, pmax = attributes.pmin or 0, attributes.pmax or 0
        due = math.inf
        if watch.wanted:
            due = observation.sent_at + pmin
        if pmax > 0 and pmax >= pmin:
            due = min(due, observation.sent_at + pmax)
        if watch.unevaluated:
            due = min(due, watch.evaluated_at + (attributes.epmin or 0))
        return None if due == math.inf else due

    def _evaluate(self, observation: Observation, watch: Watch, now: float) -> None:
        attributes = self.attributes(observation, watch)
        if now < watch.evaluated_at + (attributes.epmin or 0):
            watch.unevaluated = True
            return
        watch.unevaluated, watch.evaluated_at = False, now
        watch.wanted = self._differs(watch, attributes)

    def _differs(self, watch: Watch, attributes: NotificationAttributes) -> bool:
        told, seen, new = watch.reported, watch.seen, self._snapshot(watch.path)
        watch.seen = new
        if told is None or seen is None or new is None:
            return len(watch.path) < 3 or new is not told
        if isinstance(told, dict) and isinstance(seen, dict) and isinstance(new, dict):
            if not told.keys() == seen.keys() == new.keys():
                return True
            return any(triggers(attributes, told[number], seen[number], new[number]) for number in told)
        if isinstance(told, dict) or isinstance(seen, dict) or isinstance(new, dict):
            return True
        return triggers(attributes, told, seen, new)

    def _snapshot(self, path: Path) -> Stored | None:
        if len(path) < 3:
            return None
        stored = self._tree.value(path) if len(path) == 4 else self._tree.resource(path)
        return dict(stored) if isinstance(stored, dict) else stored


def _forget(observation: Observation) -> None:
    """What was stored until the last notification is told."""
    if observation.history is not None:
        observation.history.forget(observation.sent_at)
