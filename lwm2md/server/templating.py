"""Templates at work: which are in force, and the wishes that they make and take back.

RULES: those of `templates`. Devices are looked at a few at a time, however many a change concerns; a device that
changes is looked at soon after, and once, however much changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
_AT_START: Final = 1000
_LATER: Final = 10.0
_PRIORITY: Final = -100


class Templating:
    """The templates by name. ``identify(device, now)`` asks a device what it is, where that has to be known."""

    def __init__(self, state: State, observations: Observations) -> None:
        self._state = state
        self._observations = observations
        self._patterns: dict[str, Pattern] = {}
        self._changed: dict[str, None] = {}
        self._rest: Iterator[Device] | None = None  # of all devices, where a change concerns all
        self.needed: frozenset[Path] = frozenset()
        """The Resources without which it can't be said whether a template is for a device."""
        self.identify: Callable[[Device, float], None] = lambda device, now: None

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

    def start(self, now: float) -> Iterator[None]:
        """Look at devices after a start, since a change may not have come to its end before: at every one, or where
        there is no template any more at those that have wishes of one, which are looked for a few at each step.
        """
        if self._patterns:
            self._all(now)
            return
        for number, wish in enumerate(tuple(self._state.observations.values())):
            if number % _AT_START == 0:
                yield
            if wish.template is not None:
                self._plan(wish.endpoint, now)

    # Devices

    def registered(self, device: Device, now: float) -> None:
        """A device registers: what templates want of it is wished for at once."""
        if self._patterns or device.observations:
            self._changed.pop(device.endpoint, None)
            self._apply(device, now)

    def look(self, device: Device) -> None:
        """Something that templates depend on may have changed: labels, Objects, what the device says of itself."""
        if device.registration is not None and (self._patterns or _has_made(device)):
            self._plan(device.endpoint, 0.0)

    def _all(self, now: float) -> None:
        self._begin(now)
        self._rest = iter(tuple(self._state.devices.values()))

    def _plan(self, endpoint: str, when: float) -> None:
        self._begin(when)
        self._changed[endpoint] = None

    def _begin(self, when: float) -> None:
        if not self._changed and self._rest is None:
            self._state.deadlines.at(when, self._go_on)

    def _go_on(self, _subject: None, now: float) -> None:
        for device in self._next():
            if device.registration is not None and self._state.devices.get(device.endpoint) is device:
                self.identify(device, now)
                self._apply(device, now)
        if self._changed or self._rest is not None:
            self._state.deadlines.at(now + _PAUSE, self._go_on)

    def _next(self) -> list[Device]:
        """The next few devices: those that changed go before those that are looked at because all are."""
        changed = tuple(islice(self._changed, _AT_ONCE))
        for endpoint in changed:
            self._changed.pop(endpoint)
        found = [device for endpoint in changed if (device := self._state.devices.get(endpoint)) is not None]
        if self._rest is not None:
            room = _AT_ONCE - len(changed)
            more = tuple(islice(self._rest, room))
            found += more
            if len(more) < room:
                self._rest = None
        return found

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
