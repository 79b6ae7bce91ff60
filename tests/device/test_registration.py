"""The registration state machine: every move from every state that knows it, and the moves that are illegal."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.device.errors import IllegalMove
from lwm2md.device.registration import LIFETIME, OBJECTS, Registration, Retry, State, Step, refresh_after

_AT = 1000.0


def _in(state: State) -> Registration:
    """A registration that was led into a state."""
    machine = Registration("1.2", 300)
    if state is State.IDLE:
        return machine
    machine.start(_AT)
    if state is State.REGISTERING:
        return machine
    if state is State.WAITING:
        machine.unanswered(_AT)
        return machine
    machine.registered(("rd", "a"), _AT)
    if state is State.UPDATING:
        machine.trigger(_AT)
    elif state in (State.LEAVING, State.STOPPED):
        machine.leave(_AT)
        if state is State.STOPPED:
            machine.left(_AT)
    elif state is State.DISABLED:
        machine.leave(_AT, 50.0)
        machine.left(_AT)
    return machine


_MOVES: dict[str, tuple[Callable[[Registration], object], frozenset[State]]] = {
    "start": (lambda one: one.start(_AT), frozenset({State.IDLE})),
    "registered": (lambda one: one.registered(("rd", "b"), _AT), frozenset({State.REGISTERING})),
    "updated": (lambda one: one.updated(_AT), frozenset({State.UPDATING})),
    "refused": (lambda one: one.refused(numbers.BAD_REQUEST, _AT), frozenset({State.REGISTERING, State.UPDATING})),
    "unanswered": (lambda one: one.unanswered(_AT), frozenset({State.REGISTERING, State.UPDATING})),
    "left": (lambda one: one.left(_AT), frozenset({State.LEAVING})),
    "leave": (
        lambda one: one.leave(_AT),
        frozenset(State) - {State.IDLE, State.STOPPED, State.LEAVING},
    ),
    "restart": (lambda one: one.restart(_AT, 1.0), frozenset(State) - {State.IDLE, State.STOPPED}),
    "changed": (lambda one: one.changed({LIFETIME}, _AT), frozenset(State)),
    "trigger": (lambda one: one.trigger(_AT), frozenset(State)),
    "due": (lambda one: one.due(_AT), frozenset(State)),
}


class MoveTests(SynchronousTestCase):
    """The table of moves."""

    def test_every_state_is_reached(self) -> None:
        """The helper of these tests leads into each state."""
        for state in State:
            self.assertIs(_in(state).state, state)

    def test_illegal_moves(self) -> None:
        """A move that a state does not know raises and changes nothing; one that it knows does not raise."""
        for name, (move, known) in _MOVES.items():
            for state in State:
                machine = _in(state)
                if state in known:
                    move(machine)
                    continue
                with self.assertRaises(IllegalMove, msg=f"{name} while {state}"):
                    move(machine)
                self.assertEqual(machine, _in(state))


class RefreshTests(SynchronousTestCase):
    """When the registration is refreshed."""

    def test_table(self) -> None:
        """Half the lifetime while that is short, else 93 seconds before its end; never when it is infinite."""
        for lifetime, expected in ((0, None), (20, 10), (185, 92.5), (186, 93), (300, 207), (86400, 86307)):
            self.assertEqual(refresh_after(lifetime), expected)

    def test_update_is_due(self) -> None:
        """An Update is due then and not before, and its answer sets the next one."""
        machine = _in(State.REGISTERED)
        self.assertEqual(machine.deadline, _AT + 207)
        self.assertIsNone(machine.due(_AT + 206.9))
        self.assertIs(machine.due(_AT + 207), Step.UPDATE)
        self.assertIsNone(machine.deadline)
        self.assertIsNone(machine.updated(_AT + 208))
        self.assertEqual(machine.deadline, _AT + 208 + 207)


class NewsTests(SynchronousTestCase):
    """What the server has to be told."""

    def test_told_at_once(self) -> None:
        """A change while registered leads to an Update that tells it."""
        machine = _in(State.REGISTERED)
        self.assertIs(machine.changed({LIFETIME}, _AT), Step.UPDATE)
        self.assertEqual(machine.take_news(), {LIFETIME})

    def test_told_after_the_update_under_way(self) -> None:
        """A change during an Update is told by the next one."""
        machine = _in(State.UPDATING)
        machine.take_news()
        self.assertIsNone(machine.changed({OBJECTS}, _AT))
        self.assertIs(machine.updated(_AT), Step.UPDATE)
        self.assertEqual(machine.take_news(), {OBJECTS})

    def test_told_after_the_register_under_way(self) -> None:
        """A change after the Register left is told by an Update."""
        machine = _in(State.REGISTERING)
        machine.changed({OBJECTS}, _AT)
        self.assertIs(machine.registered(("rd", "a"), _AT), Step.UPDATE)

    def test_forgotten_by_a_register(self) -> None:
        """A Register tells everything, so nothing is left to tell."""
        machine = _in(State.UPDATING)
        machine.changed({OBJECTS}, _AT)
        self.assertIs(machine.refused(numbers.NOT_FOUND, _AT), Step.REGISTER)
        self.assertIsNone(machine.registered(("rd", "b"), _AT))

    def test_trigger(self) -> None:
        """A trigger while registered leads to an Update, during one to another, else to nothing."""
        self.assertIs(_in(State.REGISTERED).trigger(_AT), Step.UPDATE)
        machine = _in(State.UPDATING)
        self.assertIsNone(machine.trigger(_AT))
        self.assertIs(machine.updated(_AT), Step.UPDATE)
        self.assertIsNone(_in(State.WAITING).trigger(_AT))


class FailureTests(SynchronousTestCase):
    """What follows a Register or Update that failed."""

    def test_failed_update_registers(self) -> None:
        """A refused or unanswered Update leads to a full Register at once."""
        for code in (numbers.BAD_REQUEST, numbers.FORBIDDEN, numbers.NOT_FOUND, numbers.SERVICE_UNAVAILABLE):
            machine = _in(State.UPDATING)
            self.assertIs(machine.refused(code, _AT), Step.REGISTER)
            self.assertEqual(machine.location, ())
        self.assertIs(_in(State.UPDATING).unanswered(_AT), Step.REGISTER)

    def test_back_off(self) -> None:
        """Waits double from attempt to attempt; after a failed sequence comes its delay, then a new one."""
        machine = _in(State.REGISTERING)
        now, waits = _AT, []
        for _ in range(7):
            machine.unanswered(now)
            assert machine.deadline is not None
            waits.append(machine.deadline - now)
            now = machine.deadline
            self.assertIs(machine.due(now), Step.REGISTER)
        self.assertEqual(waits, [60, 120, 240, 480, 86400, 60, 120])

    def test_success_ends_the_sequence(self) -> None:
        """After a success the next failure is a first one again."""
        machine = _in(State.WAITING)
        machine.due(_AT + 60)
        machine.registered(("rd", "a"), _AT)
        machine.trigger(_AT)
        machine.unanswered(_AT)
        machine.unanswered(_AT)
        self.assertEqual(machine.deadline, _AT + 60)

    def test_own_timers(self) -> None:
        """The server's own retry settings are used."""
        machine = Registration("1.2", 300, Retry(2, 5.0, 100.0))
        machine.start(_AT)
        machine.unanswered(_AT)
        self.assertEqual(machine.deadline, _AT + 5)
        machine.due(_AT + 5)
        machine.unanswered(_AT + 5)
        self.assertEqual(machine.deadline, _AT + 105)

    def test_version_steps_down(self) -> None:
        """4.12 steps the version down at once; at 1.0 it is a failure like others."""
        machine = _in(State.REGISTERING)
        for version in ("1.1", "1.0"):
            self.assertIs(machine.refused(numbers.PRECONDITION_FAILED, _AT), Step.REGISTER)
            self.assertEqual(machine.version, version)
        self.assertIsNone(machine.refused(numbers.PRECONDITION_FAILED, _AT))
        self.assertEqual(machine.deadline, _AT + 60)

    def test_bad_request_is_tried_plain_once(self) -> None:
        """4.00 is tried once more without the extras."""
        machine = _in(State.REGISTERING)
        self.assertIs(machine.refused(numbers.BAD_REQUEST, _AT), Step.REGISTER)
        self.assertTrue(machine.plain)
        self.assertIsNone(machine.refused(numbers.BAD_REQUEST, _AT))

    def test_forbidden_waits_long(self) -> None:
        """4.03 waits the delay of a sequence."""
        machine = _in(State.REGISTERING)
        self.assertIsNone(machine.refused(numbers.FORBIDDEN, _AT))
        self.assertEqual(machine.deadline, _AT + 86400)

    def test_unavailable_waits_max_age(self) -> None:
        """5.03 waits its Max-Age, 60 seconds without."""
        for max_age, expected in ((7, 7), (None, 60)):
            machine = _in(State.REGISTERING)
            machine.refused(numbers.SERVICE_UNAVAILABLE, _AT, max_age)
            self.assertEqual(machine.deadline, _AT + expected)


class LeaveTests(SynchronousTestCase):
    """How the device goes."""

    def test_registered(self) -> None:
        """A registered device de-registers, and has stopped when that ended."""
        machine = _in(State.REGISTERED)
        self.assertIs(machine.leave(_AT), Step.DEREGISTER)
        self.assertEqual(machine.location, ("rd", "a"))
        machine.left(_AT)
        self.assertIs(machine.state, State.STOPPED)

    def test_unknown_at_the_server(self) -> None:
        """A device that is not registered stops without a word."""
        for state in (State.REGISTERING, State.WAITING, State.DISABLED):
            machine = _in(state)
            self.assertIsNone(machine.leave(_AT))
            self.assertIs(machine.state, State.STOPPED)

    def test_disabled(self) -> None:
        """A disabled device registers when its time of silence is over."""
        machine = _in(State.DISABLED)
        self.assertIsNone(machine.due(_AT + 49))
        self.assertIs(machine.due(_AT + 50), Step.REGISTER)
