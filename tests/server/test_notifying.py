"""Tests of lwm2md.server.notifying: the short way of a notification leads where the long one does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, options
from lwm2md.documents import event_document
from lwm2md.lwm2m.models import ObjectModel, ResourceModel
from lwm2md.lwm2m.paths import ROOT
from lwm2md.lwm2m.values import ResourceType
from lwm2md.server.errors import Refused
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice

FLOAT: Final = "/3303/0/5700"
PATHS: Final = (FLOAT, "/3/0/1", "/3/0/9", "/3303/0", "/5/0/1")
"""A number, what a device is, an integer, an Object Instance, and a Resource that can only be written."""
TLV_FLOAT: Final = bytes.fromhex("e41644")
PAYLOADS: Final = (
    (n.TLV, TLV_FLOAT + bytes.fromhex("41ac0000")),
    (n.TLV, bytes.fromhex("e81644084035800000000000")),
    (n.TLV, TLV_FLOAT + bytes.fromhex("7fc00000")),
    (n.TLV, TLV_FLOAT + b"\0"),
    (n.TLV, bytes.fromhex("c10955")),
    (n.TLV, bytes.fromhex("c309000055")),
    (n.TLV, bytes.fromhex("c401") + b"acme"),
    (n.TEXT, b"21.5"),
    (n.TEXT, b"55"),
    (n.TEXT, b"warm"),
    (n.TEXT, b"\xff"),
    (n.TEXT, b""),
    (None, b"12"),
    (n.SENML_JSON, b'[{"n":"/3303/0/5700","v":3,"t":-5}]'),
    (4711, b"x"),
)
Step = Callable[["World"], object]


class World:
    """A server with two devices and their observations."""

    def __init__(self, *, short: bool) -> None:
        self.bench = Bench(ServerSettings(observations_per_device=9, history=True), short=short)
        self.devices = [self._device(f"d{number}", number) for number in (1, 2)]
        self.sequences = dict.fromkeys(self.bench.server.observations, 9)
        self.sent: list[tuple[FakeDevice, Message]] = []

    def _device(self, endpoint: str, number: int) -> FakeDevice:
        device = self.bench.registered(endpoint, number, *(("Q",) if number == 2 else ()))
        for path in PATHS:
            answer = Answer(n.CONTENT, b"1", n.TEXT, observe=8)
            device.answers[n.GET, path] = answer
            self.bench.submit(endpoint, "observe", path)
        return device

    def notify(self, who: int, path: str, content: int, step: int, confirmable: bool) -> None:
        """Let a device tell a value; its sequence number is so many steps behind the newest."""
        for wish in self.bench.server.observations.values():
            if wish.endpoint == f"d{who + 1}" and str(wish.path) == path:
                found = self.sequences.get(wish.id, 9) + step
                self.sequences[wish.id] = max(found, self.sequences.get(wish.id, 9))
                content_format, payload = PAYLOADS[content]
                given = options(observe=max(found, 0), content_format=content_format)
                kind = n.CON if confirmable else n.NON
                message = Message(kind, n.CONTENT, next(self.bench.mids), wish.token, given, payload)
                self.send(self.devices[who], message)

    def send(self, device: FakeDevice, message: Message) -> None:
        """Send a message that may come again."""
        self.sent.append((device, message))
        device.send(message)

    def again(self, back: int) -> None:
        """Send again what was sent a while ago."""
        if self.sent:
            device, message = self.sent[-1 - back % len(self.sent)]
            device.send(message)

    def ask(self, op: str, path: str) -> None:
        """Let the operator ask for something, which may be refused."""
        with contextlib.suppress(Refused):
            self.bench.submit("d1", op, path)

    def model(self, version: str) -> None:
        """Let the operator have a model of his own, in which the number is an opaque value."""
        resource = ResourceModel(5700, "Raw", "R", ResourceType.OPAQUE)
        model = ObjectModel(3303, version, "Raw", False, False, {5700: resource})
        self.bench.server.library.put((model,), lambda *_: None)
        self.bench.settle()

    def version(self) -> None:
        """Let a device have another version of an Object, as those behind a gateway do without a Register."""
        registration = self.bench.server.devices["d1"].registration
        assert registration is not None
        registration.objects = attrs.evolve(registration.objects, versions={3303: "1.9"})

    def told(self) -> dict[str, object]:
        """Everything that can be seen from outside."""
        bench, server = self.bench, self.bench.server
        return {
            "tables": bench.tables,
            "events": [event_document(each, "1") for each in bench.events],
            "live": bench.live,
            "samples": bench.samples,
            "held": len(bench.held) > 0,
            "heard": [device.heard for device in self.devices],
            "unheard": bench.unheard,
            "counters": (dict(server.counters), bench.engine.counters),
            "wishes": [
                (wish.id, wish.state, wish.error, wish.last_notification, wish.notifications)
                for wish in server.observations.values()
            ],
            "facts": [(each.last_seen, each.awake_until, each.responding) for each in server.devices.values()],
            "twin": [repr(server.twin_rows(name, ROOT)) for name in server.devices],
            "deviations": [repr(server.deviations(name)) for name in server.devices],
            "errors": bench.errors,
        }


_notifications = st.builds(
    lambda who, path, content, step, confirmable: lambda world: world.notify(who, path, content, step, confirmable),
    st.integers(0, 1),
    st.sampled_from((FLOAT, FLOAT, FLOAT, *PATHS)),
    st.integers(0, len(PAYLOADS) - 1),
    st.sampled_from((1, 1, 1, 2, 0, -1, 1 << 23)),
    st.booleans(),
)
_others = st.one_of(
    st.builds(lambda back: lambda world: world.again(back), st.integers(0, 3)),
    st.builds(lambda seconds: lambda world: world.bench.advance(seconds), st.sampled_from((0.5, 40.0, 130.0, 250.0))),
    st.just(lambda world: world.bench.hold()),
    st.builds(lambda ok: lambda world: world.bench.release(ok=ok), st.booleans()),
    st.just(lambda world: world.devices[0].move(7)),
    st.just(lambda world: world.devices[0].register("lwm2m=1.1", "lt=300", "place=attic")),
    st.just(lambda world: world.devices[1].deregister()),
    st.builds(lambda path: lambda world: world.ask("observe", path), st.sampled_from(PATHS)),
    st.just(lambda world: world.ask("cancel-observe", FLOAT)),
    st.just(lambda world: world.bench.server.amend("d1", world.bench.now, lambda *_: None, labels={"farm": "north"})),
)


def _tells(world: World) -> None:
    world.notify(0, FLOAT, 0, 1, True)
    world.notify(0, "/3/0/9", 8, 1, True)


class SameTests(SynchronousTestCase):
    """Two servers, of which one decodes every notification."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(_notifications, _notifications, _notifications, _others), max_size=25))
    def test_short_and_long(self, steps: list[Step]) -> None:
        """Whatever devices and operators do, what is known, stored, told and answered is the same by both ways."""
        short, long = World(short=True), World(short=False)
        for step in steps:
            step(short)
            step(long)
            self.compare(short, long)
        for world in (short, long):
            world.bench.release()
        self.compare(short, long)

    def test_turns(self) -> None:
        """Where something else has happened since the last notification, that is seen by both ways."""
        turns: dict[str, tuple[Step, ...]] = {
            "back where it was before": (
                lambda world: world.devices[0].answers.clear(),
                lambda world: world.devices[0].move(7),
                lambda world: world.devices[0].register("lwm2m=1.1", "lt=300"),
                lambda world: world.devices[0].move(1),
            ),
            "registered anew": (
                lambda world: world.devices[0].deregister(),
                lambda world: world.devices[0].register("lwm2m=1.1", "lt=300"),
            ),
            "known no more": (lambda world: world.devices[0].update(links="</1/0>,</3/0>"),),
            "deleted": (
                lambda world: world.devices[0].answers.update({(n.DELETE, "/3303/0"): Answer(n.DELETED)}),
                lambda world: world.ask("delete", "/3303/0"),
            ),
            "another wish": (
                lambda world: world.devices[0].answers.clear(),
                lambda world: world.ask("observe", FLOAT),
            ),
            "another wish that waits": (
                lambda world: world.devices[0].answers.clear(),
                lambda world: world.ask("read", "/3/0/2"),
                lambda world: world.ask("observe", FLOAT),
            ),
            "cancelled": (lambda world: world.ask("cancel-observe", FLOAT),),
            "being stored": (
                lambda world: world.bench.hold(),
                lambda world: world.notify(0, FLOAT, 0, 1, True),
                lambda world: world.again(0),
                lambda world: world.bench.release(ok=False),
                lambda world: world.again(0),
            ),
            "a day later": (lambda world: world.bench.advance(130.0), lambda world: world.again(0)),
            "labels": (
                lambda world: world.bench.server.amend("d1", world.bench.now, lambda *_: None, labels={"a": "b"}),
                lambda world: world.bench.settle(),
            ),
            "another model": (lambda world: world.model("1.0"),),
            "another version": (lambda world: world.model("1.9"), _tells, lambda world: world.version()),
        }
        for name, steps in turns.items():
            short, long = World(short=True), World(short=False)
            for step in (_tells, _tells, *steps, _tells, _tells):
                step(short)
                step(long)
                self.compare(short, long, name)

    def compare(self, short: World, long: World, case: str = "") -> None:
        """Nobody can tell one from the other."""
        expected = long.told()
        for name, found in short.told().items():
            self.assertEqual(found, expected[name], f"{case}: {name}")
