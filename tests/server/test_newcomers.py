"""Tests of lwm2md.server.newcomers: the short way of a Register does what the general way does."""

from __future__ import annotations

import contextlib
import hashlib
import re
from base64 import b64encode
from typing import Final

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode, options
from lwm2md.documents import event_document
from lwm2md.events import DEVICE_DEREGISTERED, DEVICE_REGISTERED, DEVICE_UPDATED
from lwm2md.security.rules import Policy
from lwm2md.server.admission import Verdict
from lwm2md.server.definitions import Definition, Match
from lwm2md.server.deviceprofiles import ProfileValues
from lwm2md.server.errors import Refused
from lwm2md.server.records import Device
from lwm2md.server.settings import ServerSettings
from lwm2md.server.templates import Template, TemplateWish
from lwm2md.server.wish import id_of
from tests.server.fixtures import LINKS, Answer, Bench, FakeDevice

SAYS: Final = (
    ("lwm2m=1.1", "lt=300"),
    ("lwm2m=1.1", "lt=300", "b=U", "Q"),
    ("lwm2m=1.0", "lt=60", "b=UQ"),
    ("lwm2m=1.1",),
    ("lwm2m=1.1", "lt=0", "sms=49151"),
    ("lwm2m=1.1", "lt=300", "farm=north"),
    ("lwm2m=1.1", "lt=300", "b=UQ"),
)
"""What is said beside the name; labels are not plain, and the last is a deviation."""
LISTS: Final = (LINKS, "</1/0>,</3/0>,</3303/0>", "</1/0>,</3/0>,</25/0>", '</>;ct="112",</3/0>')
WISHED: Final = Template(name="t", observe=(TemplateWish(path="/3303/0/5700"),))
TUNED: Final = Definition(name="p", match=Match(endpoint="dev-1"), set=ProfileValues(ack_timeout=5.0))


_PLACE: Final = re.compile(" at 0x[0-9a-f]+")


def register(number: int, name: str, query: tuple[str, ...], links: str) -> bytes:
    """The datagram of a Register."""
    fields = options(path=("rd",), query=(f"ep={name}", *query), content_format=n.LINK_FORMAT)
    return encode(Message(n.CON, n.POST, number, b"tk", fields, links.encode()))


def ignore(_ok: bool, _now: float) -> None:
    """Let it have ended."""


class NewcomerTests(SynchronousTestCase):
    """Which Registers are short, and what becomes of them."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.bench.registered("dev-a", 90)

    def come(self, name: str, number: int, *query: str, links: str = LINKS) -> FakeDevice:
        """A device that registers as `Bench.registered` lets it."""
        device = self.bench.device(name, number)
        device.register("lwm2m=1.1", "lt=300", *query, links=links)
        return device

    def code(self, name: str, number: int) -> int:
        """What the Register of a device gets."""
        answer = self.come(name, number).answer()
        assert answer is not None
        return answer.code

    def known(self, name: str) -> Device:
        """A device."""
        return self.bench.server.devices[name]

    def assert_short(self, *names: str) -> None:
        """These, and no others, came by the short way."""
        self.assertEqual([event.endpoint for event in self.bench.events if event.own], [*names])

    def test_short(self) -> None:
        """The second that says the same is short; its Location is one that answers."""
        device = self.come("dev-b", 1)
        self.assert_short("dev-b")
        found = self.known("dev-b").registration
        assert found is not None
        self.assertEqual((found.id, found.lifetime, found.peer), (device.location, 300, device.peer))
        self.assertIs(found.device, self.known("dev-b"))
        for answer, code in ((device.update(), n.CHANGED), (device.deregister(), n.DELETED)):
            assert answer is not None
            self.assertEqual(answer.code, code)

    def test_expires(self) -> None:
        """Its lifetime ends, unless it has none."""
        self.come("dev-b", 1)
        self.bench.advance(299)
        self.assertIsNotNone(self.known("dev-b").registration)
        self.bench.advance(1)
        self.assertIsNone(self.known("dev-b").registration)

    def test_back(self) -> None:
        """One that comes back is short too: its registration begins anew, goes on, or gives way to another."""
        device = self.come("dev-b", 1)
        first = device.location
        device.deregister()
        device.register("lwm2m=1.1", "lt=300")
        second = device.location
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(device.location, second)
        device.move(2)
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(len({first, second, device.location}), 3)
        self.assert_short("dev-b", "dev-b", "dev-b")
        told = [(event.type, event.fields.get("reason")) for event in self.bench.events[2:]]
        self.assertEqual(
            told,
            [
                (DEVICE_DEREGISTERED, "deregistered"),
                (DEVICE_REGISTERED, None),
                (DEVICE_UPDATED, "resumed"),
                (DEVICE_DEREGISTERED, "replaced"),
                (DEVICE_REGISTERED, None),
            ],
        )
        device.location = second
        answer = device.update()
        assert answer is not None
        self.assertEqual(answer.code, n.NOT_FOUND)

    def test_elsewhere(self) -> None:
        """From another address it is short where nobody is asked to show that it is there."""
        server, before = self.bench.server, self.bench.settings
        for number, settings_ in enumerate((attrs.evolve(before, displace=False), attrs.evolve(before, follow="echo"))):
            name = f"dev-{number}"
            self.come(name, 1)
            server.configure(settings_, self.bench.now)
            self.come(name, 2)
            server.configure(before, self.bench.now)
        self.assert_short("dev-0", "dev-1")
        self.come("dev-0", 3)
        self.assert_short("dev-0", "dev-1", "dev-0")

    def test_known(self) -> None:
        """Of one of which more is known all are told when it comes back: it is observed again, and gets what waits."""
        device = self.come("dev-b", 1)
        device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"1", n.TEXT, observe=8)
        self.bench.submit("dev-b", "observe", "/3303/0/5700")
        device.deregister()
        device.heard.clear()
        device.register("lwm2m=1.1", "lt=300")
        self.assert_short("dev-b", "dev-b")
        self.assertEqual([each.code for each in device.heard], [n.CREATED, n.GET])

    def test_fitted(self) -> None:
        """What was worked out by what the registration before said holds no longer."""
        match = Match(labels="farm=north")
        self.bench.server.device_profiles.put(Definition(name="p", match=match, set=ProfileValues(grace=9.0)), ignore)
        self.bench.settle()
        self.come("dev-b", 1, "farm=north")
        state = self.bench.server._state
        before = state.profile(self.known("dev-b")).name
        self.come("dev-b", 1)
        self.assert_short("dev-b")
        self.assertEqual((before, state.profile(self.known("dev-b")).name), ("p", None))

    def test_disabled_meanwhile(self) -> None:
        """One that was told to be silent while it was being stored has come back, and is not silent."""
        device = self.come("dev-b", 1)
        self.bench.hold()
        device.register("lwm2m=1.1", "lt=300")
        self.known("dev-b").disabled = True
        self.bench.release()
        self.assertFalse(self.known("dev-b").disabled)

    def test_deviating(self) -> None:
        """What is passed over is counted, of each."""
        for number in range(3):
            self.bench.device(f"dev-{number}", number).register("lwm2m=1.1", "lt=300", "b=UQ")
        self.assert_short("dev-1", "dev-2")
        self.assertEqual([*self.bench.server.deviation_counts().values()], [3])

    def test_others(self) -> None:
        """A proved identity, labels, a profile id and a gateway go the general way, and get in."""
        self.bench.identities[self.bench.device("dev-b", 2).peer] = "dev-b"
        for number, (name, query, links) in enumerate(
            (
                ("dev-b", (), LINKS),
                ("dev-c", ("farm=north",), LINKS),
                ("dev-d", ("farm=north",), LINKS),
                ("dev-e", ("pid=6:27354b9a",), LINKS),
                ("dev-f", ("pid=6:27354b9a",), LINKS),
                ("dev-g", (), "</1/0>,</3/0>,</25/0>"),
                ("dev-h", (), "</1/0>,</3/0>,</25/0>"),
            ),
            2,
        ):
            self.come(name, number, *query, links=links)
            self.assertIsNotNone(self.known(name).registration, name)
        self.assert_short()

    def test_asked(self) -> None:
        """Where a plugin has the last word it is asked."""
        asked: list[str] = []

        def admit(admission: object, then: object) -> None:
            asked.append(admission.endpoint)  # type: ignore[attr-defined]
            then(Verdict(False, "denied"), self.bench.now)  # type: ignore[operator]

        self.bench.server.gate.admit = admit
        self.assertEqual((self.code("dev-b", 1), asked), (n.FORBIDDEN, ["dev-b"]))
        self.bench.server.gate.admit = None
        self.assertEqual(self.code("dev-c", 2), n.CREATED)
        self.assert_short("dev-c")

    def test_settings(self) -> None:
        """What is at hand for all holds no longer than the settings: other lifetimes, other rules, other limits."""
        self.come("dev-b", 1)
        server, before = self.bench.server, self.bench.settings
        server.configure(attrs.evolve(before, min_lifetime=600), self.bench.now)
        self.come("dev-c", 2)
        server.configure(attrs.evolve(before, policy=Policy(block=("dev-d",))), self.bench.now)
        self.assertEqual([self.code("dev-d", 3), self.code("dev-e", 4)], [n.FORBIDDEN, n.CREATED])
        server.configure(attrs.evolve(before, policy=Policy(unsecured=())), self.bench.now)
        self.assertEqual(self.code("dev-f", 5), n.FORBIDDEN)
        server.configure(attrs.evolve(before, max_devices=len(server.devices)), self.bench.now)
        self.assertEqual(self.code("dev-g", 6), n.SERVICE_UNAVAILABLE)
        server.configure(before, self.bench.now)
        self.come("dev-h", 7)
        lifetimes = {name: each.registration and each.registration.lifetime for name, each in server.devices.items()}
        self.assertEqual((lifetimes["dev-b"], lifetimes["dev-c"], lifetimes["dev-h"]), (300, 600, 300))
        self.assert_short("dev-b", "dev-c", "dev-h")

    def test_draining(self) -> None:
        """While nothing new is taken it is refused."""
        self.bench.server.drain(self.bench.now)
        self.assertEqual(self.code("dev-b", 1), n.SERVICE_UNAVAILABLE)
        self.bench.server.undrain(self.bench.now)
        self.assertEqual(self.code("dev-c", 2), n.CREATED)

    def test_wanted(self) -> None:
        """Who wants something of every device is told of those that came by the short way, from then on."""
        self.come("dev-b", 1)
        self.bench.server.templates.put(WISHED, ignore)
        self.bench.settle()
        device = self.come("dev-c", 2)
        self.assert_short("dev-b", "dev-c")
        self.assertEqual(
            [(each.code, each.path) for each in device.heard], [(n.CREATED, ()), (n.GET, ("3303", "0", "5700"))]
        )

    def test_one_commit(self) -> None:
        """Of one batch they are one commit, which is answered together, or not at all."""
        devices = [self.bench.device(f"dev-{number}", number) for number in range(5)]
        for number, (ok, code, known) in enumerate(((False, n.SERVICE_UNAVAILABLE, 1), (True, n.CREATED, 6)), 1):
            self.bench.hold()
            batch = [(register(number, each.endpoint, SAYS[0], LINKS), each.peer) for each in devices]
            self.bench._send(self.bench.engine.receive(batch, self.bench.now))
            self.bench.settle()
            heard = [len(each.replies) for each in devices]
            self.assertEqual((len(self.bench.held), heard), (1, [number - 1] * 5))
            self.bench.release(ok=ok)
            self.assertEqual([each.replies[-1].code for each in devices], [code] * 5)
            self.assertEqual(len(self.bench.server.devices), known)

    def test_waiting(self) -> None:
        """What waits for its endpoint has its turn after it, one after the other."""
        self.bench.hold()
        one, two = self.bench.device("dev-b", 1), self.bench.device("dev-b", 2)
        for device in (one, two):
            device.register("lwm2m=1.1", "lt=300")
        other = self.come("dev-c", 3)
        self.bench.release(only=1)
        self.assertEqual((len(one.replies), len(two.replies), len(other.replies)), (1, 0, 0))
        self.bench.release()
        self.assertEqual((len(two.replies), len(other.replies)), (1, 1))
        found = self.known("dev-b").registration
        assert found is not None
        self.assertEqual(found.peer, two.peer)
        self.assert_short("dev-b", "dev-c")

    def test_failing(self) -> None:
        """What waits has its turn, too, where the end of those before it fails."""
        devices = [self.bench.device(f"dev-{name}", number) for number, name in enumerate("bbcc")]
        self.bench.hold()
        batch = [(register(1, device.endpoint, SAYS[0], LINKS), device.peer) for device in devices]
        self.bench.engine.receive(batch, self.bench.now)
        self.bench.settle()

        def fail(*_: object) -> None:
            raise RuntimeError

        (commit,) = self.bench.held
        self.bench.held = []
        self.bench.engine.respond_all = fail  # type: ignore[method-assign, assignment]
        assert commit.resume is not None
        self.assertRaises(RuntimeError, commit.resume, True, self.bench.now)
        self.bench.settle()
        self.bench.release()
        self.assertEqual([len(device.replies) for device in devices], [0, 1, 0, 1])


REGISTERS: Final = st.tuples(
    st.just("register"),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, len(SAYS) - 1), st.integers(0, len(LISTS) - 1)),
        min_size=1,
        max_size=6,
    ),
)
PLAIN: Final = st.tuples(
    st.just("register"),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1), st.just(0)), min_size=1, max_size=6),
)
OTHERS: Final[st.SearchStrategy[tuple[str, list[tuple[int, int, int, int]]]]] = st.tuples(
    st.sampled_from(
        [
            *(
                "hold",
                "release",
                "fail",
                "advance",
                "wish",
                "forget",
                "tune",
                "configure",
                "limit",
                "identity",
                "drain",
            ),
            *("expire", "echo", "stay"),
        ]
    ),
    st.just([]),
)
KNOWN: Final = st.tuples(
    st.sampled_from(["end", "end", "observe", "read", "label", "hand", "disable"]),
    st.lists(st.tuples(st.integers(0, 4), st.just(0), st.just(0), st.just(0)), min_size=1, max_size=4),
)
"""What happens to devices that are known."""


_LOCATION: Final = 12
"""The bytes of an id for a Location."""
_NAME: Final = 8
"""The bytes of tokens, and of the ids of operations and wishes; the rest is message IDs and jitter."""


class _Bench(Bench):
    """A bench where it makes no difference in which order chance is asked by different parts."""

    def __init__(self, settings: ServerSettings, *, short: bool) -> None:
        self.drawn: dict[int, list[bytes]] = {_LOCATION: [], _NAME: []}
        super().__init__(settings, short=short)

    def _random(self, size: int) -> bytes:
        drawn = self.drawn.get(size)
        if drawn is None:
            return size * b"\x10"
        drawn.append(hashlib.sha256(b"%d of %d" % (len(drawn), size)).digest()[:size])
        return drawn[-1]

    def plain(self, found: object) -> str:
        """Anything as text, without names: which of two goes first whose time is the same, nobody says."""
        text = _PLACE.sub("", repr(found))
        for name in self.drawn[_NAME]:
            for form in (name.hex(), id_of(name), b64encode(name).decode(), repr(name)):
                text = text.replace(form, "a name")
        return text


class _Fleet:
    """A fleet at a bench, whose Registers go the short way or the general way."""

    def __init__(self, *, short: bool) -> None:
        self.bench = _Bench(ServerSettings(flush_interval=5.0, registers=8), short=short)
        self.fakes = [self.bench.device(f"dev-{number}", number) for number in range(10)]
        for fake in self.fakes[::2]:
            fake.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"1", n.TEXT, observe=8)
        self.number = 0
        self.drained = False

    def step(self, what: str, registers: list[tuple[int, int, int, int]]) -> None:
        """Let something happen."""
        bench, server = self.bench, self.bench.server
        if what == "register":
            batch = []
            for name, at, says, lists in registers:
                self.number += 1
                batch.append((register(self.number, f"dev-{name}", SAYS[says], LISTS[lists]), self.fakes[at].peer))
            bench._send(bench.engine.receive(batch, bench.now))
        elif what in ("end", "observe", "read", "label", "hand", "disable"):
            for name, _, _, _ in registers:
                if f"dev-{name}" in server.devices:
                    self.know(what, server.devices[f"dev-{name}"])
        elif what == "hold":
            bench.hold()
        elif what in ("release", "fail"):
            bench.release(ok=what == "release")
        elif what in ("advance", "expire"):
            bench.advance(40 if what == "advance" else 400)
        elif what == "wish":
            server.templates.put(WISHED, ignore)
        elif what == "forget" and not server.templates.is_empty:
            server.templates.remove("t", ignore)
        elif what == "tune":
            server.device_profiles.put(TUNED, ignore)
        elif what == "identity":
            bench.identities[self.fakes[0].peer] = "dev-0"
        elif what == "drain":
            self.drained = not self.drained
            (server.drain if self.drained else server.undrain)(bench.now)
        elif what in ("configure", "limit"):
            lifetime, most = (100, 1000) if what == "configure" else (1, 3)
            server.configure(attrs.evolve(bench.settings, min_lifetime=lifetime, max_devices=most), bench.now)
        elif what in ("echo", "stay"):
            server.configure(attrs.evolve(bench.settings, follow="echo", displace=what == "echo"), bench.now)
        bench.settle()

    def know(self, what: str, device: Device) -> None:
        """Let something happen to a device that is known."""
        bench, server = self.bench, self.bench.server
        if what == "end" and device.registration is not None:
            self.number += 1
            fields = options(path=("rd", device.registration.id))
            bench.receive(encode(Message(n.CON, n.DELETE, self.number, b"tk", fields)), device.registration.peer)
        elif what in ("observe", "read"):
            with contextlib.suppress(Refused):
                bench.submit(device.endpoint, what, "/3303/0/5700")
        elif what == "disable":
            device.disabled = True
        elif what in ("label", "hand"):
            labels, profile = ({"farm": "south"}, UNSET) if what == "label" else ({}, "p")
            with contextlib.suppress(Refused):
                server.amend(device.endpoint, bench.now, ignore, labels=labels, profile=profile)
            bench.settle()

    def seen(self) -> list[object]:
        """All that anybody can see of it."""
        bench, server = self.bench, self.bench.server
        bench.release()
        bench.advance(100)
        # Of several whose time is the same those of one device are in order.
        ordered = sorted(bench.events, key=lambda each: each.endpoint or "")
        documents = [bench.plain(event_document(each, "1")) for each in ordered]
        rows = [(table, *row) for table, rows in bench.tables.items() for row in rows.items()]
        tables = sorted(map(bench.plain, rows))
        devices = [bench.plain(each) for each in server.devices.values()]
        counters = (dict(server.counters), dict(server.deviation_counts()))
        # Of several behind one address all are answered before anybody is asked.
        heard = [sorted(bench.plain(encode(message).hex()) for message in fake.heard) for fake in self.fakes]
        due = (bench.engine.next_deadline(), server.next_deadline())
        return [documents, tables, heard, devices, counters, due, dict(bench.engine.counters), bench.errors]


class AsTheGeneralWayTests(SynchronousTestCase):
    """The short way does what the general way does, whatever happens around it."""

    @given(st.lists(st.one_of(PLAIN, PLAIN, REGISTERS, OTHERS, KNOWN), max_size=16))
    @settings(max_examples=150, deadline=None)
    def test_same(self, steps: list[tuple[str, list[tuple[int, int, int, int]]]]) -> None:
        """Rows, events, answers, what is known and what is due are the same."""
        short, general = _Fleet(short=True), _Fleet(short=False)
        for what, registers in steps:
            short.step(what, registers)
            general.step(what, registers)
        for one, other in zip(short.seen(), general.seen(), strict=True):
            self.assertEqual(one, other)
