"""The registration of a device on the wire: Register, Update and De-register sent, their answers told to the machine.

RULES: outcomes of requests that no longer matter are told apart by their serial number. Before a Register leaves and
when a registration is settled the device is told, since its observations, its LwM2M version and what waits to be told
depend on that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Failure, Outcome, Received
from lwm2md.coap.message import Options, options
from lwm2md.device import announcing, objects
from lwm2md.device.registration import Registration, Retry, Step
from lwm2md.device.tree import Tree
from lwm2md.lwm2m.paths import Path

Report = Callable[[str, bool], None]
"""Told in words what happened, and whether that is a detail."""


Post = Callable[[int, Options, bytes, Outcome, float], None]
"""Sends a request: its code, options and payload, who is told of the outcome, and the time."""


class Enrolment:
    """One registration and its messages. ``now`` is Unix time in seconds.

    ``registers`` is told before a Register leaves, ``settled`` when an answer leaves the device registered.
    """

    __slots__ = ("_post", "_registers", "_report", "_serial", "_settings", "_settled", "_tree", "registration")

    def __init__(
        self,
        settings: objects.Settings,
        tree: Tree,
        *,
        post: Post,
        report: Report,
        registers: Callable[[], None],
        settled: Callable[[Step, float], None],
    ) -> None:
        self._settings = settings
        self._tree = tree
        self._post = post
        self._report = report
        self._registers = registers
        self._settled = settled
        self._serial = 0
        self.registration = Registration(settings.version, settings.lifetime, profiled=settings.profile != 0)

    def forget(self) -> None:
        """Nothing that is under way matters any more."""
        self._serial += 1

    def perform(self, step: Step | None, now: float) -> None:
        """Send what the registration asks for."""
        if step is None:
            return
        self._serial += 1
        registration = self.registration
        query: tuple[str, ...] = ()
        payload = b""
        code, path = numbers.POST, registration.location
        if step is Step.REGISTER:
            registration.retry = self._retry()
            self._registers()
            path = (*self._settings.prefix, "rd")
            query, payload = announcing.register(self._settings, registration, self._tree)
        elif step is Step.UPDATE:
            query, payload = announcing.update(self._settings, registration, self._tree, registration.take_news())
        else:
            code = numbers.DELETE
        made = options(path=path, query=query, content_format=numbers.LINK_FORMAT if payload else None)
        self._post(code, made, payload, partial(self._answered, step, self._serial), now)

    def number(self, path: Path, default: int) -> int:
        """A whole number of the device's tree."""
        value = self._tree.value(path)
        return value if isinstance(value, int) else default

    def flag(self, path: Path) -> bool | None:
        """A Boolean of the device's tree, None where there is none."""
        value = self._tree.value(path)
        return value if isinstance(value, bool) else None

    def _answered(self, step: Step, serial: int, result: Received | str, now: float) -> None:
        if serial != self._serial or result == Failure.CANCELLED:
            return
        if step is Step.DEREGISTER:
            self.registration.left(now)
            deadline = self.registration.deadline
            self._report("de-registered" if deadline is None else f"de-registered for {deadline - now:g} s", False)
            return
        if not isinstance(result, Received):
            again = self.registration.unanswered(now)
            self._report_failure(step, f"no answer ({result})", now)
        elif step is Step.REGISTER and result.message.code == numbers.CREATED:
            again = self.registration.registered(result.message.location, now)
            location = "/".join(result.message.location)
            self._report(f"registered at {location}, lifetime {self.registration.lifetime} s", False)
            self._settled(step, now)
        elif step is Step.UPDATE and result.message.code == numbers.CHANGED:
            again = self.registration.updated(now)
            self._report("→ Update → 2.04", True)
            self._settled(step, now)
        else:
            message = result.message
            again = self.registration.refused(message.code, now, message.max_age)
            reason = message.payload.decode("utf-8", "replace")
            self._report_failure(step, f"{numbers.dotted(message.code)} {reason}".rstrip(), now)
        self.perform(again, now)

    def _report_failure(self, step: Step, why: str, now: float) -> None:
        deadline = self.registration.deadline
        again = "at once" if deadline is None else f"in {deadline - now:g} s"
        self._report(f"{step.value} failed: {why}, registering again {again}", False)

    def _retry(self) -> Retry:
        default = Retry()
        return Retry(
            max(1, self.number(objects.RETRY_COUNT, default.count)),
            self.number(objects.RETRY_TIMER, int(default.timer)),
            self.number(objects.SEQUENCE_DELAY, int(default.sequence_delay)),
        )
