"""Templates at work: which are in force, and the wishes that they make and take back.

RULES: those of `templates`. Devices are looked at a few at a time, however many a change concerns; a device that
changes is looked at soon after, and once, however much changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from lwm2md.lwm2m.paths import Path
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import LimitReached, UnknownTemplate
from lwm2md.server.observing import Observations
from lwm2md.server.records import OBSERVE, OBSERVE_COMPOSITE, Device, OperationRequest, Order
from lwm2md.server.state import State
from lwm2md.server.templates import Pattern, Template, Wanted, pattern, wanted
from lwm2md.server.wish import Observation

_AT_ONCE: Final = 50
_PAUSE: Final = 0.1
_LATER: Final = 10.0
_PRIORITY: Final = -100


class Templating:
    """The templates by name."""

    def __init__(self, state: State, observations: Observations) -> None:
        self._state = state
        self._observations = observations
        self._patterns: dict[str, Pattern] = {}
        self._changed: dict[str, None] = {}
        self.needed: frozenset[Path] = frozenset()
        """The Resources without which it can't be said whether a template is for a device."""

    # The operator

    @property
    def templates(self) -> Mapping[str, Template]:
        """Those in force, by name."""
        return {name: found.template for name, found in self._patterns.items()}

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self._patterns

    def get(self, name: str) -> Template:
        """The one of that name. Raises UnknownTemplate."""
        found = self._patterns.get(name)
        if found is None:
            raise UnknownTemplate(f"no observation template {name!r}")
        return found.template

    def put(self, template: Template, then: Resume) -> None:
        """Keep a template, and put it in force when it is durable. Raises BadOperation, LimitReached."""
        found = pattern(template)
        if template.name not in self._patterns and len(self._patterns) >= self._state.settings.templates:
            raise LimitReached(f"at most {self._state.settings.templates} observation templates")

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._patterns[template.name] = found
                self._arrange()
                self._all(now)
            then(ok, now)

        self._state.commit((Write(stored.TEMPLATES, template.name, stored.encode(template)),), (), ended)

    def remove(self, name: str, then: Resume) -> None:
        """Take a template back, and the wishes that it made. Raises UnknownTemplate."""
        self.get(name)

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._patterns.pop(name, None)
                self._arrange()
                self._all(now)
            then(ok, now)

        self._state.commit((Write(stored.TEMPLATES, name, None),), (), ended)

    def restore(self, value: bytes) -> None:
        """Take up a row."""
        found = pattern(msgspec.json.decode(value, type=Template))
        self._patterns[found.template.name] = found
        self._arrange()

    def _arrange(self) -> None:
        self.needed = frozenset(path for each in self._patterns.values() for path in each.needed())

    def start(self, now: float) -> None:
        """Look at every device after a start: a change may not have come to its end before."""
        if self._patterns or any(wish.template is not None for wish in self._state.observations.values()):
            self._all(now)

    # Devices

    def registered(self, device: Device, now: float) -> None:
        """A device registers: what templates want of it is wished for at once."""
        if self._patterns or device.observations:
            self._changed.pop(device.endpoint, None)
            self._apply(device, now)

    def look(self, device: Device) -> None:
        """Something that templates depend on may have changed: labels, Objects, what the device says of itself."""
        if device.registration is not None and (self._patterns or _has_made(device)):
            self._plan((device.endpoint,), 0.0)

    def _all(self, now: float) -> None:
        self._plan((each.endpoint for each in self._state.devices.values() if each.registration is not None), now)

    def _plan(self, endpoints: Iterable[str], when: float) -> None:
        idle = not self._changed
        self._changed.update(dict.fromkeys(endpoints))
        if idle and self._changed:
            self._state.deadlines.at(when, self._go_on)

    def _go_on(self, _subject: None, now: float) -> None:
        for endpoint in tuple(islice(self._changed, _AT_ONCE)):
            self._changed.pop(endpoint, None)
            device = self._state.devices.get(endpoint)
            if device is not None and device.registration is not None:
                self._apply(device, now)
        if self._changed:
            self._state.deadlines.at(now + _PAUSE, self._go_on)

    def _apply(self, device: Device, now: float) -> None:
        wishes = {wish.target: wish for wish in device.observations}
        found = wanted(self._patterns, self._state, device)
        going = [wish for wish in device.observations if wish.template is not None and wish.target not in found]
        for wish in going:
            if not wish.aside.superseded:
                self._observations.remove(wish.id, now, self._looking(device, after=True))
        refused = 0
        for target, each in found.items():
            known = wishes.get(target)
            if known is None or (known.template is not None and not _same(known, each)):
                refused += not self._wish(device, each, now)
        if not going:  # else there is a second look, when there is room
            self._state.counters["template_wishes_refused"] += refused

    def _looking(self, device: Device, *, after: bool) -> Resume:
        """Look at a device once more: ``after`` a commit, and a while after one that failed."""

        def ended(ok: bool, now: float) -> None:
            if not ok:
                self._state.deadlines.at(now + _LATER, lambda found, _: self.look(found), device)
            elif after:
                self.look(device)

        return ended

    def _wish(self, device: Device, each: Wanted, now: float) -> bool:
        """Make a wish; False where the device has as many as it may have."""
        order = Order(_request(each), each.path, each.paths)
        try:
            then = self._looking(device, after=False)
            self._observations.put(device, order, now, then, attributes=each.attributes, template=each.template)
        except LimitReached:
            return False
        return True


def _request(each: Wanted) -> OperationRequest:
    return OperationRequest(
        op=OBSERVE_COMPOSITE if each.paths else OBSERVE,
        path=None if each.paths else str(each.path),
        paths=tuple(map(str, each.paths)) or None,
        format=each.format,
        force=True,
        priority=_PRIORITY,
    )


def _has_made(device: Device) -> bool:
    return any(wish.template is not None for wish in device.observations)


def _same(wish: Observation, each: Wanted) -> bool:
    return (wish.template, wish.attributes, wish.format) == (each.template, each.attributes, each.format)
