"""One device: its engine, its registration, its observers and its world, behind datagrams and ``now``.

RULES: only the server's datagrams are taken, everything else is dropped unseen; a disabled device hears nothing. What
a request causes beyond its answer (an Update, a restart) starts after the answer has left, at the next ``expire``. A
Register ends all observations, as a restart ends the attached attributes too. Outcomes of requests that no longer
matter are told apart by their serial number. Paths that begin with the prefix of a device behind this one are its.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine
from lwm2md.coap.interfaces import Datagram, Failure, IncomingRequest, Peer, Received, Response
from lwm2md.coap.message import Message, options
from lwm2md.device import announcing, gateway, objects
from lwm2md.device.errors import Refused
from lwm2md.device.narrating import asked, told
from lwm2md.device.observers import Observation
from lwm2md.device.registration import BINDING, LIFETIME, OBJECTS, Registration, Retry, State, Step
from lwm2md.device.requests import CREATED, DELETED, WRITTEN, Outcome, with_observe
from lwm2md.device.simulation import Moving
from lwm2md.device.tree import Stored, Supported
from lwm2md.device.unit import Unit
from lwm2md.device.world import CURRENT_TIME, World, stream
from lwm2md.lwm2m.execute import Arguments
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

BOOT_TIME: Final = 1.0
"""Seconds from a reboot to the Register that follows it."""

Report = Callable[[str, bool], None]
"""Told in words what happened, and whether that is a detail."""

_DEAF: Final = (State.IDLE, State.DISABLED, State.STOPPED)
_UNKNOWN: Final = (State.REGISTERING, State.WAITING)
"""Where there is no registration, but may be one with the next answer."""


class Client:
    """A simulated device and its one server. ``now`` is Unix time in seconds everywhere.

    ``supported`` is shared between the devices of a process; ``random`` gives unguessable bytes for the engine;
    ``report`` is told what happens; ``on_error`` gets tracebacks of our own mistakes.
    """

    __slots__ = (
        "_children",
        "_later",
        "_on_error",
        "_own",
        "_random",
        "_report",
        "_serial",
        "_server",
        "_settings",
        "_units",
        "engine",
        "registration",
    )

    def __init__(
        self,
        settings: objects.Settings,
        *,
        supported: Mapping[int, Supported],
        server: Peer,
        world: Moving,
        random: Callable[[int], bytes],
        report: Report,
        now: float,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._server = server
        self._report = report
        self._random = random
        self._later: list[Callable[[float], None]] = []
        self._serial = 0
        self._own = Unit(
            settings, supported, self._initial(), world, execute=self._execute, now=now, root=settings.root
        )
        self._children = {child.prefix: self._child(child, supported, now) for child in settings.children}
        self._units = (self._own, *self._children.values())
        self.registration = Registration(settings.version, settings.lifetime, profiled=settings.profile != 0)
        self._show_children(now)
        self._on_error = on_error
        self.engine = self._new_engine()

    def _initial(self) -> Mapping[Path, Mapping[int, Stored]]:
        return {**objects.instances(self._settings), **gateway.instances(self._settings.children)}

    def _child(self, child: objects.Child, supported: Mapping[int, Supported], now: float) -> Unit:
        initial = objects.child_instances(child)
        return Unit(
            self._settings,
            gateway.known(supported, initial),
            initial,
            World(stream(child.endpoint), self._settings.interval, now),
            execute=self._execute,
            now=now,
            root=(child.prefix,),
            server=self._own.tree,
        )

    def start(self, now: float) -> list[Datagram]:
        """Register; the datagrams to send. Raises IllegalMove when started before."""
        self._perform(self.registration.start(now), now)
        return self.engine.take()

    def stop(self, now: float) -> list[Datagram]:
        """De-register for good; the datagrams to send. Raises IllegalMove when not started, or stopped before."""
        self._leave(now, None)
        return self.engine.take()

    def reboot(self, now: float, down: float) -> list[Datagram]:
        """Lose power for ``down`` seconds: message IDs and tokens start anew, and nobody knows of a registration."""
        if self.registration.state is not State.STOPPED:
            self._restart(now, down)
            self.engine = self._new_engine()
        return []

    def leave(self, now: float, silence: float | None) -> list[Datagram]:
        """De-register; after ``silence`` seconds, in which nothing is heard, register again, with None never."""
        if self.registration.state not in (*_DEAF, State.LEAVING):
            self._leave(now, silence)
        return self.engine.take()

    def update(self, now: float) -> list[Datagram]:
        """Update the registration, if there is one; the datagrams to send."""
        self._trigger(now)
        return self.engine.take()

    def set(self, path: Path, value: Value, now: float) -> None:
        """A value changes by itself."""
        if self._own.tree.put(path, value):
            self._own.touch((path,), now)

    @property
    def stopped(self) -> bool:
        """Whether the device has gone for good, so that its socket can be closed."""
        return self.registration.state is State.STOPPED

    def receive(self, batch: Sequence[Datagram], now: float) -> list[Datagram]:
        """Take the datagrams that arrived, return those to send."""
        if self.registration.state in _DEAF:
            return []
        out: list[Datagram] = []
        for data, peer in batch:
            # Without a registration a request is not heard, and comes again; an answer before it may complete that.
            if peer == self._server and not (self.registration.state in _UNKNOWN and _asks(data)):
                out += self.engine.receive([(data, peer)], now)
        return out

    def next_deadline(self) -> float | None:
        """When ``expire`` has something to do, None for never; 0 stands for at once."""
        if self._later:
            return 0.0
        dues = [self.engine.next_deadline(), self.registration.deadline]
        if self.registration.state not in _DEAF:
            dues += (unit.next_deadline() for unit in self._units)
        return min((due for due in dues if due is not None), default=None)

    def expire(self, now: float) -> list[Datagram]:
        """Do what is due, return the datagrams to send."""
        out = self.engine.expire(now)
        later, self._later = self._later, []
        for action in later:
            action(now)
        self._perform(self.registration.due(now), now)
        if self.registration.state not in _DEAF:
            for unit in self._units:
                unit.expire(now, partial(self._notify, unit))
        return out + self.engine.take()

    def handle(self, request: IncomingRequest, now: float) -> Response:
        """Answer a request of the server (for the engine)."""
        path = request.message.path
        unit = self._children.get(path[0], self._own) if path else self._own
        unit.simulation.tick(now)
        outcome = unit.requests.handle(request.message, now)
        self._follow(unit, outcome, now)
        self._report(asked(request.message, outcome.response, outcome.what), True)
        return outcome.response

    def unexpected(self, peer: Peer, message: Message, now: float) -> bool:
        """Nobody waits for that response: have it Reset (for the engine)."""
        return True

    def _follow(self, unit: Unit, outcome: Outcome, now: float) -> None:
        """Let the rest of the device know what a request changed."""
        if outcome.what == CREATED:
            unit.simulation.measure(outcome.path, now)
            unit.touch((outcome.path,), now)
            self._relist(unit, now)
        elif outcome.what == DELETED:
            if len(outcome.path) == 2:
                unit.attached.removed(outcome.path)
                unit.observers.removed(outcome.path)
                self._relist(unit, now)
            unit.touch((outcome.path,), now)
        elif outcome.what == WRITTEN:
            unit.touch(outcome.changed, now)
            if CURRENT_TIME in outcome.changed:
                unit.simulation.clock_written(now)
            news = {what for path, what in _NEWS.items() if path in outcome.changed}
            if news and unit is self._own:
                self.registration.lifetime = self._number(objects.LIFETIME, self._settings.lifetime)
                self._later.append(partial(self._tell, news))

    def _relist(self, unit: Unit, now: float) -> None:
        """The Instances of ``unit`` have changed: the server is told, by an Update or by the Gateway Object."""
        if unit is self._own:
            self._later.append(partial(self._tell, {OBJECTS}))
        else:
            self._show_children(now)

    def _show_children(self, now: float) -> None:
        if objects.GATEWAY in self._own.tree.supported:
            for index, unit in enumerate(self._children.values()):
                changed = gateway.show(self._own.tree, index, unit.tree, self.registration.version)
                if changed is not None:
                    self._own.touch((changed,), now)

    def _tell(self, news: Iterable[str], now: float) -> None:
        self._perform(self.registration.changed(news, now), now)

    def _execute(self, unit: Unit, path: Path, arguments: Arguments, now: float) -> None:
        """Execute a Resource, or plan it for after the answer. Raises Refused."""
        what = (path[0], path[2])
        if what == (objects.SERVER, objects.BOOTSTRAP_TRIGGER):
            raise Refused(numbers.METHOD_NOT_ALLOWED, "there is no bootstrap server")
        if arguments and path[0] in (objects.SERVER, objects.DEVICE) and not _names_our_binding(what, arguments):
            raise Refused(numbers.BAD_REQUEST, "these arguments are not expected")
        action = _ACTIONS.get(what)
        if action is None:
            unit.touch(unit.execute(path, arguments, self._random), now)
        elif unit is self._own:
            self._later.append(partial(action, self))
        else:
            self._later.append(partial(self._restart_child, unit, what[1] == objects.FACTORY_RESET))

    def _disable(self, now: float) -> None:
        if self.registration.state in (State.REGISTERED, State.UPDATING):
            self._leave(now, float(self._number(objects.DISABLE_TIMEOUT, objects.DEFAULT_DISABLE_TIMEOUT)))

    def _trigger(self, now: float) -> None:
        self._perform(self.registration.trigger(now), now)

    def _reboot(self, now: float) -> None:
        if self.registration.state not in _DEAF and self.registration.state is not State.LEAVING:
            self._restart(now, BOOT_TIME)

    def _restart(self, now: float, down: float) -> None:
        self._report("restarting", False)
        self._drop()
        for unit in self._units:
            unit.restart()
        self.registration.restart(now, down)

    def _new_engine(self) -> Engine:
        return Engine(self, self._random, on_error=self._on_error)

    def _factory_reset(self, now: float) -> None:
        self._own.reset(self._initial(), now)
        self._show_children(now)
        self.registration.lifetime = self._settings.lifetime
        self._reboot(now)

    def _restart_child(self, unit: Unit, reset: bool, now: float) -> None:
        """A device behind this one restarts: it forgets what a restart forgets, the gateway stays registered."""
        self._report(f"{unit.requests.root} restarting", False)
        unit.restart()
        if reset:
            index = list(self._children.values()).index(unit)
            unit.reset(objects.child_instances(self._settings.children[index]), now)
            self._show_children(now)

    def _leave(self, now: float, silence: float | None) -> None:
        step = self.registration.leave(now, silence)
        self._drop()
        self._perform(step, now)

    def _drop(self) -> None:
        """Let go of everything that is under way with the server."""
        self._serial += 1
        for unit in self._units:
            unit.observers.clear()
        self.engine.abort(self._server)

    def _perform(self, step: Step | None, now: float) -> None:
        """Send what the registration asks for."""
        if step is None:
            return
        self._serial += 1
        registration = self.registration
        registration.retry = self._retry()
        query: tuple[str, ...] = ()
        payload = b""
        code, path = numbers.POST, registration.location
        if step is Step.REGISTER:
            for unit in self._units:
                unit.observers.clear()
                unit.requests.speak(registration.version)
            path = (*self._settings.prefix, "rd")
            query, payload = announcing.register(self._settings, registration, self._own.tree)
        elif step is Step.UPDATE:
            query, payload = announcing.update(self._settings, registration, self._own.tree, registration.take_news())
        else:
            code = numbers.DELETE
        self.engine.request(
            self._server,
            code,
            options(path=path, query=query, content_format=numbers.LINK_FORMAT if payload else None),
            payload,
            on_outcome=partial(self._answered, step, self._serial),
            now=now,
        )

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
        elif step is Step.UPDATE and result.message.code == numbers.CHANGED:
            again = self.registration.updated(now)
            self._report("→ Update → 2.04", True)
        else:
            message = result.message
            again = self.registration.refused(message.code, now, message.max_age)
            reason = message.payload.decode("utf-8", "replace")
            self._report_failure(step, f"{numbers.dotted(message.code)} {reason}".rstrip(), now)
        self._perform(again, now)

    def _report_failure(self, step: Step, why: str, now: float) -> None:
        deadline = self.registration.deadline
        again = "at once" if deadline is None else f"in {deadline - now:g} s"
        self._report(f"{step.value} failed: {why}, registering again {again}", False)

    def _notify(self, unit: Unit, observation: Observation, confirmable: bool, now: float) -> bool:
        """Send the present state to an observer; False when there is none any more, which it is told."""
        try:
            response = unit.requests.report(observation)
            alive = True
        except Refused as refusal:
            response, alive = Response(refusal.code, refusal.reason.encode()), False
        self.engine.notify(
            self._server,
            observation.token,
            with_observe(response, observation.sequence) if alive else response,
            confirmable=confirmable or not alive,
            on_result=partial(self._delivered, unit, observation),
            now=now,
        )
        path = observation.paths[0]
        value = unit.tree.value(path) if len(path) > 2 and len(observation.paths) == 1 else None
        self._report(told(f"{unit.requests.root}{observation.shown}", response, value), True)
        return alive

    def _delivered(self, unit: Unit, observation: Observation, failure: str | None, now: float) -> None:
        if failure is None:
            unit.observers.delivered(observation)
        elif unit.observers.lost(observation):
            self._report(f"observation of {unit.requests.root}{observation.shown} ended ({failure})", False)

    def _retry(self) -> Retry:
        default = Retry()
        return Retry(
            max(1, self._number(objects.RETRY_COUNT, default.count)),
            self._number(objects.RETRY_TIMER, int(default.timer)),
            self._number(objects.SEQUENCE_DELAY, int(default.sequence_delay)),
        )

    def _number(self, path: Path, default: int) -> int:
        value = self._own.tree.value(path)
        return value if isinstance(value, int) else default


def _asks(data: bytes) -> bool:
    """Whether a datagram is a request: the code is its second octet."""
    return len(data) > 1 and numbers.is_request(data[1])


def _names_our_binding(what: tuple[int, int], arguments: Arguments) -> bool:
    return what == (objects.SERVER, objects.UPDATE_TRIGGER) and arguments == {0: "U"}


_NEWS: Final = {objects.LIFETIME: LIFETIME, objects.BINDING: BINDING}
_ACTIONS: Final[Mapping[tuple[int, int], Callable[[Client, float], None]]] = {
    (objects.SERVER, objects.DISABLE): Client._disable,
    (objects.SERVER, objects.UPDATE_TRIGGER): Client._trigger,
    (objects.DEVICE, objects.REBOOT): Client._reboot,
    (objects.DEVICE, objects.FACTORY_RESET): Client._factory_reset,
}
