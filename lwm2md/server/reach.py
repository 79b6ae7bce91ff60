"""When a device can be reached: how long it listens after an exchange, and how long the way to it stays open.

RULES (`field.md`, sleeping devices and NAT; OMA Core 6.5 for queue mode): the last uplink counts, never what was sent.
What somebody said (a profile) holds; else what was learned of the device; else the settings. What was learned is one
number, moved a little by each request that was answered late in its window, or not at all.
"""

from __future__ import annotations

from typing import Final

import attrs

from lwm2md.server.known import Habits
from lwm2md.server.records import Device
from lwm2md.server.state import State

_LEAST: Final = 1.0
"""Seconds below which an answer that is missing says nothing of windows."""
_MOST: Final = 3600.0
"""Seconds that no window is learned to exceed."""
_LATE: Final = 0.8
"""The part of a window after which an answer shows that it is longer."""
_GROWTH: Final = 1.25
_WORTH: Final = 0.1
"""The relative change that is worth a write to storage."""


@attrs.frozen(slots=True)
class Facts:
    """What is known of the ways to a device; times in Unix seconds, None where there is no such time.

    ``awake_until`` is of a device in queue mode, ``reachable_until`` of one behind a NAT; ``overdue`` is whether the
    uplink that was expected by ``next_expected`` did not come.
    """

    awake_until: float | None
    reachable_until: float | None
    next_expected: float | None
    overdue: bool


def facts(state: State, device: Device, now: float) -> Facts:
    """What is known of a device at ``now``; nothing of one that is not registered."""
    carrier = device.carrier
    registration = carrier.registration
    if registration is None or device.registration is None:
        return Facts(None, None, None, False)
    expected = next_expected(carrier)
    return Facts(
        carrier.awake_until if registration.queue_mode else None,
        reachable_until(state, carrier),
        expected,
        expected is not None and now > expected,
    )


def awake_time(state: State, device: Device) -> float:
    """How long a device in queue mode listens after an exchange, in seconds."""
    told = (device.profile or state.profile(device)).awake  # once for each Update of a sleeper
    if told is not None:
        return told
    habits = device.habits
    return state.settings.awake if habits is None or habits.awake is None else habits.awake


def nat_time(state: State, device: Device) -> float | None:
    """How long a device can be reached after its last uplink, in seconds; None as long as it is registered."""
    told = (device.profile or state.profile(device)).nat  # once for each Update of a sleeper that is waited for
    if told is not None:
        return told or None
    habits = device.habits
    return (habits.nat if habits is not None else None) or state.settings.nat or None


def reachable_until(state: State, device: Device) -> float | None:
    """Until when the way to a device is open; None as long as it is registered."""
    time = nat_time(state, device)
    return None if time is None else device.last_seen + time


def is_open(state: State, device: Device, now: float) -> bool:
    """Whether a registered device listens, and can be reached."""
    registration = device.registration
    if registration is None or (registration.queue_mode and now >= device.awake_until):
        return False
    if not state.environment.reaches(registration.peer):
        return False
    if now == device.last_seen:
        return True  # it was just heard, as nearly always
    time = nat_time(state, device)
    return time is None or now < device.last_seen + time


def next_expected(device: Device) -> float | None:
    """When the next uplink comes at the latest, as far as is known."""
    registration = device.registration
    interval = None if registration is None else registration.interval()
    if registration is None or interval is None:
        return None
    # A Register that is just being taken is not yet the last uplink.
    return max(device.last_seen, registration.updated_at) + interval


def nat_seen(state: State, device: Device) -> None:
    """A device shows that there is a NAT before it: it has the same address, and another port."""
    seen = state.settings.nat_seen
    if seen and nat_time(state, device) is None:
        _habits(device).nat = seen


def learn(state: State, device: Device, silence: float, *, answered: bool) -> bool:
    """Learn from a request that left ``silence`` seconds after the last uplink; whether it is worth storing."""
    registration = device.registration
    if registration is None:
        return False
    if registration.queue_mode:
        if state.profile(device).awake is not None:
            return False
        before = awake_time(state, device)
        after = _moved(before, silence, answered, state.settings.awake)
        if after != before:
            _habits(device).awake = after
    else:
        known = nat_time(state, device)
        if known is None or state.profile(device).nat is not None:
            return False
        before, after = known, _moved(known, silence, answered, _MOST)
        if after != before:
            _habits(device).nat = after
    return abs(after - before) > _WORTH * before


def _moved(window: float, silence: float, answered: bool, likely: float) -> float:
    """The window after a request; an answer late in it lets it grow, without further evidence to what is ``likely``."""
    if answered:
        tried = min(_GROWTH * window, likely) if silence > _LATE * window else window
        return max(window, tried, min(silence, _MOST))
    if silence < _LEAST or silence >= window:
        return window
    return max((window + _LATE * silence) / 2, _LEAST)


def _habits(device: Device) -> Habits:
    if device.habits is None:
        device.habits = Habits()
    return device.habits
