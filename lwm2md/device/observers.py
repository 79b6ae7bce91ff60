"""The observation table of the device: who watches which path, and when the next notification is due.

Source: RFC 7641 and OMA LwM2M Core TS 1.2, 6.4 and 7.3. RULES: the answer to the Observe counts as the first
notification; each one restarts ``pmin`` and ``pmax``; the conditions compare with the value that was last *reported*;
a trigger within ``pmin`` is kept and sent at its end with the value of that time; ``pmax`` counts only when it is
positive and not below ``pmin``; notifications are Non-confirmable, but for ``con`` and for one at least every 24
hours; one Confirmable is under way per observation. An observation whose path is gone ends with an error and without
an Observe option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from lwm2md.device.attached import Attached
from lwm2md.device.conditions import triggers
from lwm2md.device.tree import Stored, Tree
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.paths import Path

MAX_OBSERVATIONS: Final = 64
DAY: Final = 86400.0

_LONG_AGO: Final = float("-inf")
_SEQUENCE_MASK: Final = 0xFFFFFF


@attrs.define(slots=True, eq=False)
class Observation:
    """One observer of one path.

    ``reported`` is the value that was last told, None for an Object or Instance. Times are Unix seconds: of the last
    notification, of the last confirmable one, and of the last look at the conditions.
    """

    token: bytes
    path: Path
    accept: int | None
    override: NotificationAttributes | None
    sequence: int
    reported: Stored | None
    sent_at: float
    confirmed_at: float
    evaluated_at: float
    wanted: bool = False
    unevaluated: bool = False
    under_way: bool = False


Send = Callable[[Observation, bool, float], bool]
"""Sends the present state (observation, confirmable, now); False when the path is gone and the observer was told so."""


class Observers:
    """The observations of one device by its server. ``now`` is Unix time in seconds everywhere."""

    __slots__ = ("_attached", "_by_token", "_tree")

    def __init__(self, tree: Tree, attached: Attached) -> None:
        self._tree = tree
        self._attached = attached
        self._by_token: dict[bytes, Observation] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[Observation]:
        return iter(tuple(self._by_token.values()))

    def observe(
        self, token: bytes, path: Path, accept: int | None, override: NotificationAttributes | None, now: float
    ) -> Observation | None:
        """Start an observation, or start it again for a known token; None when there is no room for another."""
        known = self._by_token.get(token)
        if known is None and len(self._by_token) >= MAX_OBSERVATIONS:
            return None
        sequence = 0 if known is None else known.sequence + 1 & _SEQUENCE_MASK
        observation = Observation(token, path, accept, override, sequence, self._snapshot(path), now, now, now)
        self._by_token[token] = observation
        return observation

    def cancel(self, token: bytes) -> Observation | None:
        """End the observation with that token, if there is one, without a word."""
        return self._by_token.pop(token, None)

    def clear(self) -> None:
        """End all observations without a word."""
        self._by_token.clear()

    def touch(self, path: Path, now: float) -> None:
        """The value at or below ``path`` may have changed."""
        for observation in self._by_token.values():
            if not observation.wanted and (observation.path.covers(path) or path.covers(observation.path)):
                self._evaluate(observation, now)

    def removed(self, path: Path) -> None:
        """The Instance at ``path`` is gone: whoever observed it or something in it is told at once."""
        for observation in self._by_token.values():
            if path.covers(observation.path):
                observation.wanted, observation.sent_at = True, _LONG_AGO

    def attributes(self, observation: Observation) -> NotificationAttributes:
        """The attributes that hold for an observation: its own parameters, or those attached and inherited."""
        return self._attached.effective(observation.path, observation.override)

    def delivered(self, observation: Observation) -> None:
        """The Confirmable notification under way was acknowledged."""
        observation.under_way = False

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
            if observation.unevaluated:
                self._evaluate(observation, now)
            due = self._due(observation)
            if due is not None and due <= now:
                self._notify(observation, now, send)

    def _notify(self, observation: Observation, now: float, send: Send) -> None:
        confirmable = bool(self.attributes(observation).con) or now - observation.confirmed_at >= DAY
        observation.sequence = observation.sequence + 1 & _SEQUENCE_MASK
        observation.under_way = confirmable
        if not send(observation, confirmable, now):
            self._by_token.pop(observation.token, None)
            return
        observation.wanted = observation.unevaluated = False
        observation.reported = self._snapshot(observation.path)
        observation.sent_at = observation.evaluated_at = now
        if confirmable:
            observation.confirmed_at = now

    def _due(self, observation: Observation) -> float | None:
        if observation.under_way:
            return None
        attributes = self.attributes(observation)
        pmin, pmax = attributes.pmin or 0, attributes.pmax or 0
        due = observation.confirmed_at + DAY
        if observation.wanted:
            due = min(due, observation.sent_at + pmin)
        if pmax > 0 and pmax >= pmin:
            due = min(due, observation.sent_at + pmax)
        if observation.unevaluated:
            due = min(due, observation.evaluated_at + (attributes.epmin or 0))
        return due

    def _evaluate(self, observation: Observation, now: float) -> None:
        attributes = self.attributes(observation)
        if now < observation.evaluated_at + (attributes.epmin or 0):
            observation.unevaluated = True
            return
        observation.unevaluated, observation.evaluated_at = False, now
        observation.wanted = self._differs(observation, attributes)

    def _differs(self, observation: Observation, attributes: NotificationAttributes) -> bool:
        old, new = observation.reported, self._snapshot(observation.path)
        if new is None or old is None:
            return True
        if isinstance(old, dict) and isinstance(new, dict):
            return old.keys() != new.keys() or any(triggers(attributes, old[number], new[number]) for number in old)
        if isinstance(old, dict) or isinstance(new, dict):
            return True
        return triggers(attributes, old, new)

    def _snapshot(self, path: Path) -> Stored | None:
        if len(path) < 3:
            return None
        stored = self._tree.value(path) if len(path) == 4 else self._tree.resource(path)
        return dict(stored) if isinstance(stored, dict) else stored
