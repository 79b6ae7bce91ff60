"""What a device tells without being asked: notifications and Sends, now, later, or stored until it can.

Source: OMA LwM2M Core TS 1.2, 6.4, and queue mode, 6.5. RULES: while the device cannot be heard, and does not wake up
for it, notifications are stored if /1/x/6 says so and else lost; Sends wait. Where it wakes up at another address its
Update is answered first. A Confirmable notification that nobody acknowledges ends the observation, unless the settings
keep it or the network was gone.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Delivery, Failure, Outcome, Received, Response
from lwm2md.coap.message import Options, options
from lwm2md.device import objects
from lwm2md.device.enrolling import Enrolment, Report
from lwm2md.device.errors import Refused
from lwm2md.device.narrating import sent, told
from lwm2md.device.observers import Observation
from lwm2md.device.reach import NOTIFICATION, SEND, Reach
from lwm2md.device.registration import OBJECTS, Registration, State
from lwm2md.device.requests import with_observe
from lwm2md.device.sending import Sender
from lwm2md.device.unit import Unit

_KNOWN: Final = (State.REGISTERED, State.UPDATING)


class Post(Protocol):
    """Sends a request, Confirmable or not."""

    def __call__(self, made: Options, payload: bytes, on_outcome: Outcome, now: float, *, confirmable: bool) -> None:
        """Send it."""


class Notify(Protocol):
    """Sends a notification, Confirmable or not."""

    def __call__(self, token: bytes, response: Response, on_result: Delivery, now: float, *, confirmable: bool) -> None:
        """Send it."""


class Reporting:
    """Tells the server of one device what is new; ``details`` says whether each notification is reported.

    ``now`` is Unix time in seconds.
    """

    __slots__ = ("_details", "_enrolment", "_notify", "_post", "_reach", "_report", "_settings")

    def __init__(
        self,
        settings: objects.Settings,
        enrolment: Enrolment,
        reach: Reach,
        *,
        report: Report,
        details: bool,
        post: Post,
        notify: Notify,
    ) -> None:
        self._settings = settings
        self._enrolment = enrolment
        self._reach = reach
        self._report = report
        self._details = details
        self._post = post
        self._notify = notify

    @property
    def _registration(self) -> Registration:
        return self._enrolment.registration

    def next_deadline(self, unit: Unit) -> float:
        """When ``expire`` has something to do; the world of a unit never stands still."""
        due = unit.simulation.world.next_step
        if len(unit.observers):
            news = None
            if self._may(NOTIFICATION):
                news = unit.observers.next_deadline()
            elif not self._reach.announcing:
                news = unit.observers.next_change()
            due = due if news is None else min(due, news)
        if unit.sender is not None:
            post = unit.sender.next_deadline(able=self._may(SEND))
            due = due if post is None else min(due, post)
        return due

    def expire(self, unit: Unit, now: float) -> None:
        """Tell what is due, or store it."""
        if len(unit.observers):
            self._observed(unit, now)
        if unit.sender is not None:
            self._send(unit, unit.sender, now)

    def _may(self, what: str) -> bool:
        """Whether something may leave, if need be by waking the device."""
        return self._registration.state in _KNOWN and self._reach.lets(what)

    def _observed(self, unit: Unit, now: float) -> None:
        if not self._may(NOTIFICATION):
            if not self._reach.announcing:
                unit.observers.store(now, self._settings.history if self._enrolment.flag(objects.STORING) else 0)
        elif self._reach.awake:
            unit.observers.expire(now, partial(self._tell, unit))
        elif (due := unit.observers.next_deadline()) is not None and due <= now:
            self._rouse(now)

    def _tell(self, unit: Unit, observation: Observation, confirmable: bool, now: float) -> bool:
        """Send the present state to an observer; False when there is none any more, which it is told."""
        try:
            response = unit.requests.report(observation)
            alive = True
        except Refused as refusal:
            response, alive = Response(refusal.code, refusal.reason.encode()), False
        stored = bool(observation.history)
        self._notify(
            observation.token,
            with_observe(response, observation.sequence) if alive else response,
            partial(self._delivered, unit, observation, observation.sequence),
            now,
            confirmable=confirmable or not alive,
        )
        if self._details:
            path = observation.paths[0]
            single = len(path) > 2 and len(observation.paths) == 1 and not stored
            value = unit.tree.value(path) if single else None
            self._report(told(f"{unit.requests.root}{observation.shown}", response, value), True)
        return alive

    def _delivered(self, unit: Unit, observation: Observation, sequence: int, failure: str | None, now: float) -> None:
        if failure is None:
            unit.observers.delivered(observation, sequence)
        elif failure == Failure.CANCELLED or (
            failure == Failure.TIMEOUT and (self._settings.keeps or self._reach.offline)
        ):
            unit.observers.undelivered(observation)
        elif unit.observers.lost(observation):
            self._report(f"observation of {unit.requests.root}{observation.shown} ended ({failure})", False)

    def _send(self, unit: Unit, sender: Sender, now: float) -> None:
        """Take what is to be sent by itself, and send what is due."""
        version = self._registration.version
        muted = version == "1.0" or self._enrolment.flag(objects.MUTE_SEND) is not False
        sender.expire(now, muted=muted)
        if not sender.due(now) or not self._may(SEND):
            return
        if not self._reach.awake:
            self._rouse(now)
            return
        parcel = sender.ready(now)
        try:
            content = unit.requests.parcel(parcel, now)
        except Refused as refusal:
            sender.taken()
            self._report(f"Send failed: {refusal.reason}", False)
            return
        made = options(path=(*self._settings.prefix, "dp"), extra=content.options)
        on_outcome = partial(self._sent, sender, content)
        self._post(made, content.payload, on_outcome, now, confirmable=parcel.sending.confirmable)

    def _sent(self, sender: Sender, content: Response, result: Received | str, now: float) -> None:
        """A Send was answered, or was not."""
        if not sender.under_way or result == Failure.CANCELLED:
            return
        what, answer = "", result.message if isinstance(result, Received) else str(result)
        if isinstance(answer, str):
            what = sender.unanswered(now)
        elif answer.code == numbers.CHANGED:
            sender.taken()
        else:
            what = sender.refused(answer.code, now, answer.max_age)
            if answer.code == numbers.NOT_FOUND:
                self._enrolment.perform(self._registration.changed({OBJECTS}, now), now)
        self._report(sent(content, answer, what), not what)

    def _rouse(self, now: float) -> None:
        """Wake up to send something: where that has a new address, an Update has to come first."""
        self._reach.rise()
        if self._reach.announcing:
            self._enrolment.perform(self._registration.trigger(now), now)
