"""What keeps wishes alive: back-off, a budget for each device, streams that went silent, the pace after a start.

RULES: a wish that was refused, or not answered, is asked for again after a while that doubles each time, with some
chance in it, until the device registers anew or the operator wishes again. A device has no more observations than it
can keep; what is more waits. Where a pmax says when something must come, or without one the device itself by a Max-Age
(RFC 7641 3.3.1), and nothing does, it is asked once more, with the same token; only such wishes, and those that failed,
have a plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import attrs

from lwm2md.server.deviations import SILENT_STREAM, noting
from lwm2md.server.deviceprofiles import UNTRIED
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import ESTABLISHING, Device
from lwm2md.server.state import State
from lwm2md.server.wish import Fold, Observation, Target

Establish = Callable[[Device, Observation, float], None]


class Carrier(Protocol):
    """Who carries several wishes by one observation, where a device has no place for each: `folding`."""

    def members(self, device: Device) -> list[Observation]:
        """The wishes of a device that are to be carried together."""

    def look(self, device: Device) -> None:
        """See soon whether what is carried is still what is to be carried."""

    def anew(self, device: Device) -> None:
        """Be told that a device registers."""


SLACK: Final = 60.0
"""Seconds that a notification may be late beyond twice its pmax: round trips, retransmissions, a slow clock."""

_AT_ONCE: Final = 50
_PAUSE: Final = 0.1
_MOST_FAILURES: Final = 30
_NO_ROOM: Final = frozenset({"4.29", "5.03"})
"""Codes of devices that have no more room for an observation, or no time for this one."""


class Tending:
    """Looks after the wishes of every device; ``establish`` asks a device for one."""

    def __init__(self, state: State, profiling: Profiling, establish: Establish) -> None:
        self._state = state
        self._profiling = profiling
        self._establish = establish
        self.fold: Carrier
        self._coming: deque[Observation] = deque()

    # The budget

    def admit(self, device: Device, wish: Observation) -> bool:
        """Whether the device has room for a wish; one that it has no room for waits."""
        budget = self.budget(device)
        if budget is None or wish.state == "active" or isinstance(wish, Fold):
            return True
        members = self.fold.members(device)
        shared = bool(members) or any(isinstance(each, Fold) for each in device.observations)
        if all(each is not wish for each in members) and sum(self._held(device, wish)) < budget - shared:
            return True
        self.rest(wish)
        if wish.state != "folded":
            wish.settle("waiting", f"beyond the {budget} observations that the device can keep")
        if shared:
            self.fold.look(device)
        return False

    def next(self, device: Device, now: float) -> None:
        """Ask for what waited, as far as there is room now."""
        if device.registration is None:
            return
        for wish in device.observations:
            if wish.state == "waiting" and wish.aside.retry_at is None and self.admit(device, wish):
                wish.settle("pending")
                self._establish(device, wish, now)
        if any(isinstance(wish, Fold) for wish in device.observations):
            self.fold.look(device)

    def budget(self, device: Device) -> int | None:
        """How many observations a device can keep, by its profile and by what it has shown; None: as many as wished."""
        return self._state.profile(device).observations

    def _show(self, device: Device, observations: int | None) -> None:
        """Remember, over restarts too, how many a device had when it refused one more; None: it may have room."""
        if _shown(device) != observations:
            self._profiling.learn(device, attrs.evolve(device.learned or UNTRIED, observations=observations))

    @staticmethod
    def _held(device: Device, but: Observation) -> Iterator[bool]:
        """For each other wish, but a fold, whether it has a place at the device, or is being asked for."""
        asked: set[Target] = {each.target for each in device.queue or () if each.op in ESTABLISHING}
        current = device.carrier.current
        own = current is not None and current.endpoint == device.endpoint and not current.finished
        if own and current is not None and current.op in ESTABLISHING:
            asked.add(current.target)
        return (
            wish.state == "active" or wish.target in asked
            for wish in device.observations
            if wish is not but and not isinstance(wish, Fold)
        )

    # Back-off

    def established(self, device: Device, wish: Observation, max_age: int | None, now: float) -> None:
        """The device observes; from now on something has to come in time."""
        aside = wish.aside
        if aside.max_age != max_age:
            wish.own.max_age = max_age
        if aside.retry_at is not None:
            wish.own.retry_at = None
        failed = aside.failures > 0
        self._watch(wish, now)
        if failed:
            self.next(device, now)  # it may have room for others too

    def failed(self, device: Device, wish: Observation, code: str | None, now: float) -> None:
        """The device did not take a wish, or ended it with an error: it is asked again, later each time."""
        if device.registration is None:
            return
        active = sum(other.state == "active" for other in device.observations)
        if code in _NO_ROOM and active:
            self._show(device, active)
            wish.settle("waiting", wish.error)
        self._retry(device, wish, now)
        self.next(device, now)

    def _retry(self, device: Device, wish: Observation, now: float) -> None:
        own = wish.own
        own.failures = min(own.failures + 1, _MOST_FAILURES)
        settings = self._state.settings
        longest = min(settings.observe_retry * 2.0 ** (own.failures - 1), settings.observe_retry_max)
        chance = int.from_bytes(self._state.environment.random(2), "big") / 0x10000
        own.retry_at = now + longest * (0.75 + chance / 2)
        self._plan(wish, own.retry_at, self._again)

    def _again(self, wish: Observation, now: float) -> None:
        own = wish.own
        own.plan, own.retry_at = None, None
        device = self._state.devices.get(wish.endpoint)
        if device is None or device.registration is None or self._state.observations.get(wish.id) is not wish:
            return
        self._show(device, None)  # it may have room now
        if self.admit(device, wish):
            wish.settle("pending", wish.error)
            self._establish(device, wish, now)

    def rest(self, wish: Observation) -> None:
        """Plan nothing more for a wish."""
        if wish.aside.plan is not None:
            self._state.deadlines.cancel(wish.own.plan)
            wish.own.plan = None
        if wish.aside.retry_at is not None:
            wish.own.retry_at = None

    def anew(self, device: Device) -> None:
        """The device registers: whatever failed before counts no more."""
        self.gone(device)
        for wish in device.observations:
            self.rest(wish)
            if wish.aside.failures:
                wish.own.failures = 0
            wish.settle("pending")

    def gone(self, device: Device) -> None:
        """The device has no registration: what it has shown in the one before counts no more."""
        self._show(device, None)
        self.fold.anew(device)

    # Streams

    def fresh(self, wish: Observation, max_age: int, now: float) -> None:
        """The device says for how long what it told is fresh."""
        wish.own.max_age = max_age
        if wish.own.plan is None:
            self._watch(wish, now)

    def _watch(self, wish: Observation, now: float) -> None:
        period = self._period(wish)
        if period is None:
            self.rest(wish)
            if wish.aside.failures:
                wish.own.failures = 0
        else:
            self._plan(wish, now + period, self._look)

    def _period(self, wish: Observation) -> float | None:
        """How long nothing may come; longer each time that nothing came although the device observed anew."""
        pmax = self._longest(wish) if isinstance(wish, Fold) else _pmax(wish)
        longest = pmax or wish.aside.max_age  # of what must not be kept, 0, it says nothing on what comes
        return None if not longest else (2 * longest + SLACK) * 2.0 ** min(wish.aside.failures, 10)

    def _longest(self, fold: Fold) -> int:
        """The longest pmax of those that a fold carries: some devices take one for all."""
        carried = (each for each in self._state.devices[fold.endpoint].observations if each.target in fold.paths)
        return max((_pmax(each) or 0 for each in carried), default=0)

    def _look(self, wish: Observation, now: float) -> None:
        wish.own.plan = None
        device = self._state.devices.get(wish.endpoint)
        if device is None or device.registration is None or wish.state != "active":
            return
        established = wish.established or 0.0
        heard = max(wish.last_notification or 0.0, established)
        if (wish.last_notification or 0.0) > established:
            wish.own.failures = 0
        period = self._period(wish)
        if period is None:
            return
        if now < heard + period:
            self._plan(wish, heard + period, self._look)
            return
        self._state.count("observations_silent")
        noting(self._state, device, b"", now)(SILENT_STREAM)
        wish.own.failures = min(wish.own.failures + 1, _MOST_FAILURES)
        wish.settle("pending", f"nothing came for {now - heard:.0f} seconds")
        self._establish(device, wish, now)

    def _plan(self, wish: Observation, when: float, due: Callable[[Observation, float], None]) -> None:
        own = wish.own
        self._state.deadlines.cancel(own.plan)
        own.plan = self._state.deadlines.at(when, due, wish)

    # After a start

    def take_up(self, wish: Observation, now: float) -> None:
        """Take up a wish after a start: watch one that goes on; another one is asked for from `start` on."""
        if wish.state == "active":
            self._watch(wish, now)
        else:
            self._coming.append(wish)

    def start(self, now: float) -> None:
        """All wishes were taken up: ask for those that do not go on, a few at a time."""
        self._go_on(None, now)

    def _go_on(self, _subject: None, now: float) -> None:
        for _index in range(min(_AT_ONCE, len(self._coming))):
            wish = self._coming.popleft()
            device = self._state.devices.get(wish.endpoint)
            known = self._state.observations.get(wish.id) is wish
            if known and device is not None and device.registration is not None and wish.state == "pending":
                self._establish(device, wish, now)
                self._wait(device, wish, now)
        if self._coming:
            self._state.deadlines.at(now + _PAUSE, self._go_on)

    def _wait(self, device: Device, wish: Observation, now: float) -> None:
        """Plan to ask a device that had no room before the start whether it has some by now, by one of its wishes."""
        planned = any(each.aside.retry_at is not None for each in device.observations)
        if wish.state == "waiting" and _shown(device) is not None and not planned:
            self._retry(device, wish, now)


def _pmax(wish: Observation) -> int | None:
    return None if wish.attributes is None else wish.attributes.pmax


def _shown(device: Device) -> int | None:
    """How many observations a device had when it refused one more, by all that is known."""
    return None if device.learned is None else device.learned.observations
