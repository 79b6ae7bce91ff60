"""Any sequence of what may befall a device: it never spins, never fails, and comes back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import options
from lwm2md.device.objects import Settings
from lwm2md.device.reach import NOTIFICATION, SEND
from lwm2md.device.registration import State
from lwm2md.device.sending import Sending
from lwm2md.lwm2m.paths import Path
from tests.device.harness import NOW, Pair

_VALUE = Path((3303, 0, 5700))
_MOST_TURNS = 3000
_MOVES = (
    "sleep",
    "sleep deeply",
    "sleep at home",
    "wake",
    "lose",
    "find",
    "update",
    "reboot",
    "disable",
    "silence",
    "speech",
    "refuse",
    "busy",
    "accept",
    "observe",
    "confirm",
    "store nothing",
    "mute",
    "unmute",
    "delete",
    "create",
    "show",
)


class _Life(Pair):
    """A device to which things happen, a quarter of a minute apart."""

    def __init__(self, *, keeps: bool) -> None:
        sendings = (Sending((_VALUE,), 45.0, 10.0), Sending((_VALUE,), on_change=True, confirmable=False))
        super().__init__(Settings("one", 120, "1.2", history=5, keeps=keeps, sendings=sendings))
        self.value = 20.0
        for number, seconds in ((5, 60), (17, 3), (18, 5), (19, 60)):
            self.device._own.tree.put(Path((1, 0, number)), seconds)
        self.start()

    def advance(self, seconds: float) -> None:
        """Move the clock from deadline to deadline, and fail where that never ends."""
        end = self.now + seconds
        for _ in range(_MOST_TURNS):
            dues = [due for due in (self.device.next_deadline(), self.server.next_deadline()) if due is not None]
            due = min(dues, default=end + 1)
            if due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            self.settle()
        raise AssertionError(f"it spins at {self.now - NOW:g} s, due {due - NOW:g}: {self.lines[-5:]}")

    def move(self, name: str) -> None:
        """Let something happen."""
        device = self.device
        if name == "sleep" and not device.waiting:
            device.sleep((NOTIFICATION, SEND), announces=True)
        elif name == "sleep deeply" and not device.waiting:
            device.sleep((), announces=True)
        elif name == "sleep at home" and not device.waiting:
            device.sleep((SEND,), announces=False)
        elif name == "wake":
            self.deliver(device.wake(self.now))
        elif name == "lose":
            device.lose()
        elif name == "find" and device.reach.offline:
            self.deliver(device.find(self.now))
        elif name == "update":
            self.deliver(device.update(self.now))
        elif name == "reboot":
            self.deliver(device.reboot(self.now, 3.0))
        elif name == "show":
            self.value += 1
            device.set(_VALUE, self.value, self.now)
        else:
            self._serve(name)

    def _serve(self, name: str) -> None:
        answers = self.registrar.answers
        if name in ("silence", "speech"):
            self.registrar.silent = name == "silence"
        elif name == "refuse":
            answers[numbers.POST] = Response(numbers.NOT_FOUND)
        elif name == "busy":
            answers[numbers.POST] = Response(numbers.SERVICE_UNAVAILABLE, b"", options(max_age=5))
        elif name == "accept":
            answers.clear()
        elif name == "observe":
            self._request(numbers.GET, options(path=("3303", "0", "5700"), observe=0))
        elif name == "confirm":
            self._request(numbers.PUT, options(path=("3303",), query=("con=1",)))
        elif name == "delete":
            self._request(numbers.DELETE, options(path=("3303", "0")))
        elif name == "create":
            self._request(numbers.POST, options(path=("3303",), content_format=numbers.TLV))
        elif name == "disable":
            self._request(numbers.POST, options(path=("1", "0", "4")))
        elif name == "store nothing":
            self.device.set(Path((1, 0, 6)), False, self.now)
        elif name in ("mute", "unmute"):
            self.device.set(Path((1, 0, 23)), name == "mute", self.now)

    def _request(self, code: int, made: tuple[tuple[int, bytes], ...]) -> None:
        self.server.request(b"device", code, made, on_outcome=lambda result, now: None, now=self.now)
        for data, _ in self.server.take():
            self.deliver(self.device.receive([(data, b"server")], self.now))


class LifeTests(SynchronousTestCase):
    """Lives of many kinds."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(_MOVES), max_size=25), st.booleans())
    def test_any_life(self, moves: list[str], keeps: bool) -> None:
        """Whatever happens, the device neither fails nor spins nor stores without bound, and recovers after it."""
        life = _Life(keeps=keeps)
        for move in moves:
            life.move(move)
            life.advance(15)
            kept = [len(o.history.nodes()) for o in life.device._own.observers if o.history]
            self.assertLessEqual(max(kept, default=0), 5)
        for move in ("speech", "accept", "unmute", "find", "wake"):
            life.move(move)
        life.advance(900)
        life.move("create")
        self.assertEqual(life.errors, [])
        self.assertIn(life.device.registration.state, (State.REGISTERED, State.UPDATING))
        self.assertTrue(life.device.reach.awake)
        sends = sum(message.path[-1:] == ("dp",) for message in life.registrar.requests)
        life.advance(100)
        self.assertGreater(sum(message.path[-1:] == ("dp",) for message in life.registrar.requests), sends)
