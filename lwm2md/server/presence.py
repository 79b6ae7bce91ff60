"""Whether devices are there: what an uplink means, when one is asleep, and when one does not respond (`field.md`).

RULES: only what a device sends moves its last uplink. A change of state is told when it happens, or, where nothing
happens, when the time comes that was planned for it. Nobody is called not responding for being asleep. Who does not
respond is remembered over a restart, so that each change is told once.
"""

from __future__ import annotations

from collections.abc import Callable

from lwm2md import events
from lwm2md.server import reach, stored
from lwm2md.server.effects import Write
from lwm2md.server.known import Habits
from lwm2md.server.records import Device, Operation, Registration
from lwm2md.server.state import State

AWAKE = "awake"
RESPONDED = "responded"
UNANSWERED = "unanswered"
OVERDUE = "overdue"


class Presence:
    """Follows the states of all devices.

    ``dispatch(device, now)`` sends what waits for a device, ``plan(registration)`` looks at it when it may be overdue.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._drowse = self._drowsed  # one bound method for all
        self._wants = state.environment.wants
        self.dispatch: Callable[[Device, float], None]
        self.plan: Callable[[Registration], None]

    def uplink(self, device: Device, now: float) -> None:
        """A device was heard of: it is awake, it responds, and what waits for it may leave."""
        device.last_seen = now
        if not device.responding:
            self._responds(device, now)
        if device.behind is not None:
            self.uplink(device.behind.gateway, now)
            return
        registration = device.registration
        if registration is not None and registration.queue_mode:
            self._awake(device, now)
        if device.queue or device.children:
            self.dispatch(device, now)

    def answered(self, device: Device, silence: float, now: float) -> None:
        """A device has answered a request that left ``silence`` seconds after its last uplink."""
        if reach.learn(self._state, device, silence, answered=True):
            self._store(device)

    def unanswered(self, device: Device, operation: Operation, silence: float, now: float) -> bool:
        """A device did not answer; whether it is asleep, or out of reach, rather than gone."""
        carrier = device.carrier
        registration = carrier.registration
        if registration is None:
            return False
        if registration.queue_mode or reach.nat_time(self._state, carrier) is not None:
            if reach.learn(self._state, carrier, silence, answered=False):
                self._store(carrier)
            if registration.queue_mode and carrier.awake_until > now:
                carrier.awake_until = now
                carrier.turned(now, UNANSWERED)
                self._state.live(events.DEVICE_SLEEPING, carrier, now, reason=UNANSWERED)
            return True
        if device.responding and self._count(device) >= self._state.settings.unanswered:
            self._silent(device, UNANSWERED, now, operation=operation.id)
        return False

    def overdue(self, device: Device, now: float) -> None:
        """A device did not send what was expected, and the grace is over."""
        expected = reach.next_expected(device)
        if device.responding and expected is not None:
            self._silent(device, OVERDUE, now, next_expected=events.Timestamp(expected))

    def grace(self, device: Device) -> float:
        """How long a device may be overdue before it counts as not responding, in seconds."""
        told = self._state.profile(device).grace
        return self._state.settings.overdue if told is None else told

    def start(self, device: Device) -> None:
        """Take up a device after a restart: what its last uplink tells of it."""
        registration = device.registration
        if registration is None or device.behind is not None:
            return
        if device.responding:
            device.turned(registration.registered_at, "registered")
        if registration.queue_mode:
            device.awake_until = device.last_seen + reach.awake_time(self._state, device)

    def _awake(self, device: Device, now: float) -> None:
        if now >= device.awake_until:
            device.changed, device.reason = now, AWAKE  # as in `Device.turned`
            device.awake_until = now + reach.awake_time(self._state, device)
            wants = self._wants
            if wants(events.DEVICE_AWAKE):
                self._state.live(events.DEVICE_AWAKE, device, now, awake_until=events.Timestamp(device.awake_until))
            if wants(events.DEVICE_SLEEPING):
                self._state.deadlines.at(device.awake_until, self._drowse, (device.endpoint, now))
        else:
            device.awake_until = now + reach.awake_time(self._state, device)

    def _drowsed(self, subject: tuple[str, float], now: float) -> None:
        """Tell that a device fell asleep, if it has not been heard of since that was planned.

        It was planned for a name: devices that are forgotten in between are not kept for it.
        """
        endpoint, since = subject
        device = self._state.devices.get(endpoint)
        if device is None or device.registration is None or not device.registration.queue_mode:
            return
        if device.changed != since:
            return
        if now < device.awake_until:
            self._state.deadlines.at(device.awake_until, self._drowse, subject)
        else:
            self._state.live(events.DEVICE_SLEEPING, device, now, reason="asleep")

    def _responds(self, device: Device, now: float) -> None:
        device.responding = True
        device.turned(now, RESPONDED)
        self._store(device, self._state.event(events.DEVICE_RESPONDING, device, now))
        if device.registration is not None and device.behind is None:
            self.plan(device.registration)

    def _silent(self, device: Device, reason: str, now: float, **fields: object) -> None:
        device.responding = False
        device.turned(now, reason)
        fields["last_seen"] = events.Timestamp(device.last_seen)
        event = self._state.event(events.DEVICE_NOT_RESPONDING, device, now, reason=reason, **fields)
        self._store(device, event)

    def _count(self, device: Device) -> int:
        """How many requests in a row were left unanswered, this one included."""
        if self._state.settings.unanswered == 1:
            return 1
        if device.habits is None:
            device.habits = Habits()
        habits = device.habits
        habits.unanswered = habits.unanswered + 1 if habits.heard == device.last_seen else 1
        habits.heard = device.last_seen
        return habits.unanswered

    def _store(self, device: Device, *told: events.Event) -> None:
        self._state.commit((Write(stored.DEVICES, device.endpoint, stored.device_row(device)),), told)
