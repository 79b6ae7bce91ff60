"""One device: its engine, its registration, its observers and its world, behind datagrams and ``now``.

RULES: only the server's datagrams are taken, everything else is dropped unseen; a disabled device hears nothing. What
a request causes beyond its answer (an Update, a restart) starts after the answer has left, at the next ``expire``. A
Register ends all observations, as a restart ends the attached attributes too. What is due while the device is disabled,
asleep or offline is stored; one that wakes up at a new address tells its server by an Update first, the rest after the
answer. Paths that begin with the prefix of a device behind this one are its.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine
from lwm2md.coap.interfaces import Datagram, Delivery, IncomingRequest, Peer, Response
from lwm2md.coap.interfaces import Outcome as Asked
from lwm2md.coap.message import Message, Options
from lwm2md.device import gateway, objects, testobjects
from lwm2md.device.enrolling import Enrolment, Report
from lwm2md.device.errors import Refused
from lwm2md.device.narrating import asked
from lwm2md.device.reach import Reach
from lwm2md.device.registration import BINDING, LIFETIME, OBJECTS, Registration, State, Step
from lwm2md.device.reporting import Reporting
from lwm2md.device.requests import CREATED, DELETED, WRITTEN, Outcome
from lwm2md.device.sending import Sender, Sending
from lwm2md.device.simulation import Moving
from lwm2md.device.tree import Stored, Supported
from lwm2md.device.unit import Unit
from lwm2md.device.world import CURRENT_TIME, World, stream
from lwm2md.lwm2m.execute import Arguments
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

BOOT_TIME: Final = 1.0
"""Seconds from a reboot to the Register that follows it."""

__all__ = ("BOOT_TIME", "Client", "Report")

_OFF: Final = (State.IDLE, State.STOPPED)
_KNOWN: Final = (State.REGISTERED, State.UPDATING)
_UNDER_WAY: Final = (State.REGISTERING, State.UPDATING, State.LEAVING)
_DEAF: Final = (State.IDLE, State.DISABLED, State.STOPPED)
_UNKNOWN: Final = (State.REGISTERING, State.WAITING)
"""Where there is no registration, but may be one with the next answer."""


class Client:
    """A simulated device and its one server. ``now`` is Unix time in seconds everywhere.

    ``supported`` is shared between the devices of a process; ``random`` gives unguessable bytes for the engine;
    ``report`` is told what happens, of requests and notifications only with ``details``; ``on_error`` gets tracebacks
    of our own mistakes.
    """

    __slots__ = (
        "_children",
        "_details",
        "_enrolment",
        "_later",
        "_on_error",
        "_own",
        "_random",
        "_report",
        "_reporting",
        "_server",
        "_settings",
        "_units",
        "engine",
        "reach",
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
        details: bool = True,
    ) -> None:
        self._settings = settings
        self._server = server
        self._report = report
        self._details = details
        self._random = random
        self._later: list[Callable[[float], None]] = []
        self.reach = Reach()
        self._own = Unit(
            settings, supported, self._initial(), world, execute=self._execute, now=now, root=settings.root
        )
        self._children = {child.prefix: self._child(child, supported, now) for child in settings.children}
        self._units = (self._own, *self._children.values())
        if settings.sendings:
            self._own.sender = Sender(settings.sendings, self._own.tree, now, max(1, settings.history))
        self._enrolment = Enrolment(
            settings, self._own.tree, post=self._enrol, report=report, registers=self._registers, settled=self._settled
        )
        self._reporting = Reporting(
            settings, self._enrolment, self.reach, report=report, details=details, post=self._post, notify=self._notify
        )
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

    @property
    def registration(self) -> Registration:
        """Where the device stands with its server."""
        return self._enrolment.registration

    @property
    def waiting(self) -> bool:
        """Whether the device waits for an answer of its server."""
        return self.registration.state in _UNDER_WAY or any(unit.waiting for unit in self._units)

    def start(self, now: float) -> list[Datagram]:
        """Register; the datagrams to send. Raises IllegalMove when started before."""
        self._enrolment.perform(self.registration.start(now), now)
        return self.engine.take()

    def stop(self, now: float) -> list[Datagram]:
        """De-register for good; the datagrams to send. Raises IllegalMove when not started, or stopped before."""
        self._leave(now, None)
        return self.engine.take()

    def reboot(self, now: float, down: float) -> list[Datagram]:
        """Lose power for ``down`` seconds: message IDs and tokens start anew, and nobody knows of a registration."""
        if self.registration.state is not State.STOPPED:
            self._restart(now, down)
            self.engine.close()
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

    def sleep(self, wakes: Collection[str], *, announces: bool) -> None:
        """The radio is off until there is an Update or something of ``wakes`` (NOTIFICATION, SEND) to send.

        ``announces``: the address will be another one then, so that an Update comes first.
        """
        self.reach.sleep(wakes, announces=announces)

    def wake(self, now: float) -> list[Datagram]:
        """The radio is on again by itself; the datagrams to send."""
        self.reach.rise()
        self._announce(now)
        return self.engine.take()

    def lose(self) -> None:
        """There is no network any more."""
        self.reach.lose()

    def find(self, now: float) -> list[Datagram]:
        """The network is there again; the datagrams to send."""
        self.reach.find()
        self._announce(now)
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
        due = self.engine.next_deadline()
        enrol = None if self.reach.offline else self.registration.deadline
        if enrol is not None and (due is None or enrol < due):
            due = enrol
        if self.registration.state not in _OFF:
            for unit in self._units:
                other = self._reporting.next_deadline(unit)
                if due is None or other < due:
                    due = other
        return due

    def expire(self, now: float) -> list[Datagram]:
        """Do what is due, return the datagrams to send."""
        out = self.engine.expire(now)
        if self._later:
            later, self._later = self._later, []
            for action in later:
                action(now)
        if not self.reach.offline:
            self._enrolment.perform(self.registration.due(now), now)
        if self.registration.state not in _OFF:
            for unit in self._units:
                unit.move(now)
                self._reporting.expire(unit, now)
        return out + self.engine.take()

    def handle(self, request: IncomingRequest, now: float) -> Response:
        """Answer a request of the server (for the engine)."""
        path = request.message.path
        unit = self._children.get(path[0], self._own) if path else self._own
        unit.simulation.tick(now)
        outcome = unit.requests.handle(request.message, now)
        self._follow(unit, outcome, now)
        if self._details:
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
                self.registration.lifetime = self._enrolment.number(objects.LIFETIME, self._settings.lifetime)
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
        self._enrolment.perform(self.registration.changed(news, now), now)

    def _execute(self, unit: Unit, path: Path, arguments: Arguments, now: float) -> None:
        """Execute a Resource, or plan it for after the answer. Raises Refused."""
        what = (path[0], path[2])
        if what == (objects.SERVER, objects.BOOTSTRAP_TRIGGER):
            raise Refused(numbers.METHOD_NOT_ALLOWED, "there is no bootstrap server")
        if arguments and path[0] in (objects.SERVER, objects.DEVICE) and not _names_our_binding(what, arguments):
            raise Refused(numbers.BAD_REQUEST, "these arguments are not expected")
        if paths := testobjects.to_send(unit.tree, path):
            self._later.append(partial(self._send_once, unit, paths))
        action = _ACTIONS.get(what)
        if action is None:
            unit.touch(unit.execute(path, arguments, self._random), now)
        elif unit is self._own:
            self._later.append(partial(action, self))
        else:
            self._later.append(partial(self._restart_child, unit, what[1] == objects.FACTORY_RESET))

    def _send_once(self, unit: Unit, paths: tuple[Path, ...], now: float) -> None:
        if unit.sender is None:
            unit.sender = Sender((), unit.tree, now, max(1, self._settings.history))
        unit.sender.send(Sending(paths), now)

    def _announce(self, now: float) -> None:
        """Tell the server that the device can be reached; one that is not registered has nothing to tell."""
        if self.registration.state in _KNOWN:
            self._trigger(now)
        else:
            self.reach.settle()

    def _disable(self, now: float) -> None:
        if self.registration.state in _KNOWN:
            timeout = self._enrolment.number(objects.DISABLE_TIMEOUT, objects.DEFAULT_DISABLE_TIMEOUT)
            self._leave(now, float(timeout))

    def _trigger(self, now: float) -> None:
        self._enrolment.perform(self.registration.trigger(now), now)

    def _reboot(self, now: float) -> None:
        if self.registration.state not in _DEAF and self.registration.state is not State.LEAVING:
            self._restart(now, BOOT_TIME)

    def _restart(self, now: float, down: float) -> None:
        self._report("restarting", False)
        self.reach.rise()
        self._drop()
        for unit in self._units:
            unit.restart(now)
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
        unit.restart(now)
        if reset:
            index = list(self._children.values()).index(unit)
            unit.reset(objects.child_instances(self._settings.children[index]), now)
            self._show_children(now)

    def _leave(self, now: float, silence: float | None) -> None:
        step = self.registration.leave(now, silence)
        self._drop()
        if silence is None:
            for unit in self._units:
                unit.observers.clear()
        self._enrolment.perform(step, now)

    def _drop(self) -> None:
        """Let go of everything that is under way with the server."""
        self._enrolment.forget()
        self.reach.settle()
        for unit in self._units:
            unit.drop()
        self.engine.abort(self._server)

    def _registers(self) -> None:
        """A Register is about to leave."""
        for unit in self._units:
            unit.observers.retire()
            unit.requests.speak(self.registration.version)

    def _settled(self, step: Step, now: float) -> None:
        """The server knows the device and where it is."""
        self.reach.settle()
        if step is Step.REGISTER:
            for unit in self._units:
                if unit.sender is not None:
                    unit.sender.registered()

    def _enrol(self, code: int, made: Options, payload: bytes, on_outcome: Asked, now: float) -> None:
        """Send a message of the registration; that wakes the device."""
        self.reach.rise()
        self.engine.request(self._server, code, made, payload, on_outcome=on_outcome, now=now)

    def _post(self, made: Options, payload: bytes, on_outcome: Asked, now: float, *, confirmable: bool) -> None:
        self.engine.request(
            self._server, numbers.POST, made, payload, on_outcome=on_outcome, confirmable=confirmable, now=now
        )

    def _notify(self, token: bytes, response: Response, on_result: Delivery, now: float, *, confirmable: bool) -> None:
        self.engine.notify(self._server, token, response, confirmable=confirmable, on_result=on_result, now=now)


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
