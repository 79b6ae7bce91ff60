"""Who may register: what is asked, in which order, with which deadline, and that nothing is stored before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.security.identity import Identity
from lwm2md.security.rules import Grant, Policy, parse_rule
from lwm2md.server.admission import Admission, Answer, Known, Verdict
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import PeerDescription
from tests.server.fixtures import START, Bench, FakeDevice, peer
from tests.server.fixtures import Answer as FakeAnswer

HASH = "ab" * 32


class GateCase(SynchronousTestCase):
    """A server whose credentials are in a dictionary."""

    policy = Policy()

    def setUp(self) -> None:
        self.use()

    def use(self, **fields: Any) -> None:
        """Begin anew with these settings."""
        self.bench = Bench(ServerSettings(flush_interval=5.0, **{"policy": self.policy, **fields}))
        self.grants: dict[str, Grant] = {}
        self.asked: list[tuple[str, ...]] = []
        self.bench.server.gate.grant = self._grant

    def _grant(self, names: tuple[str, ...], then: Known) -> None:
        self.asked.append(names)
        then(next((self.grants[name] for name in names if name in self.grants), None), self.bench.now)

    def proved(self, number: int, identity: Identity | str) -> None:
        """Let a peer have proved an identity."""
        found = Identity("psk", identity) if isinstance(identity, str) else identity
        described = self.bench.environment.describe

        def describe(sender: bytes) -> PeerDescription:
            if sender == peer(number):
                return PeerDescription("192.0.2.1:5684", "coaps", found.text, found)
            return described(sender)

        object.__setattr__(self.bench.environment, "describe", describe)

    def register(self, endpoint: str, number: int = 1, *query: str) -> tuple[int, bytes] | None:
        """Register, and the answer's code and diagnostic payload."""
        self.device: FakeDevice = self.bench.device(endpoint, number)
        answer = self.device.register("lwm2m=1.1", "lt=300", *query)
        return None if answer is None else (answer.code, answer.payload)

    def assertRefused(self, cause: str, endpoint: str, number: int = 1) -> None:
        """Check that a Register is refused for this cause, and leaves nothing but the refusal."""
        before = {name: dict(rows) for name, rows in self.bench.tables.items()}
        known = dict(self.bench.server.devices)
        self.assertEqual(self.register(endpoint, number), (n.FORBIDDEN, cause.encode()))
        self.assertEqual((self.bench.tables, dict(self.bench.server.devices)), (before, known))
        self.assertEqual(self.bench.server.refused.entries()[0].cause, cause)
        self.assertEqual(self.bench.server.gate.waiting, 0)


class RuleTests(GateCase):
    """What the operator's rules say."""

    policy = Policy(
        rules=(parse_rule("cn gateway-* -> {} {}-*"),),
        block=("bad",),
        unsecured=("toy-*",),
        block_identities=("stolen",),
    )

    def test_psk(self) -> None:
        """A PSK identity registers as what its credential says, else under its own name."""
        self.grants = {"id-1": Grant(("pump-*",)), "id-2": Grant()}
        self.proved(1, "id-1")
        self.proved(2, "id-2")
        self.assertEqual(self.register("pump-1"), (n.CREATED, b""))
        self.assertRefused("endpoint-of-another", "id-1", 1)
        self.assertRefused("endpoint-of-another", "pump-1", 2)
        self.assertEqual(self.register("id-2", 2), (n.CREATED, b""))
        self.assertEqual(self.bench.server.devices["pump-1"].registration.identity, "id-1")  # type: ignore[union-attr]

    def test_unknown(self) -> None:
        """An identity whose credential is gone is refused, though its session lives."""
        self.proved(1, "id-1")
        self.assertRefused("unknown-identity", "id-1")

    def test_certificate(self) -> None:
        """A trusted certificate registers by its names and rules; its credential, the most particular, overrules."""
        self.proved(1, Identity("x509", "gateway-1", ("gw.example",), "0A", "CN=ca", HASH))
        for endpoint in ("gateway-1", "gateway-1-a"):
            self.assertEqual(self.register(endpoint), (n.CREATED, b""))
        self.assertRefused("endpoint-of-another", "gateway-2")
        self.grants = {"x509:gateway-1": Grant(("x",)), f"x509:sha256:{HASH}": Grant(("y",))}
        self.assertRefused("endpoint-of-another", "x")
        self.assertEqual(self.register("y"), (n.CREATED, b""))

    def test_no_endpoint(self) -> None:
        """Who names no endpoint gets that of the credential, else the own name."""
        self.grants = {"id-1": Grant(("pump-1",)), "id-2": Grant()}
        self.proved(1, "id-1")
        self.proved(2, "id-2")
        for number, endpoint in ((1, "pump-1"), (2, "id-2")):
            self.assertEqual(self.register("", number), (n.CREATED, b""))
            self.assertIn(endpoint, self.bench.server.devices)
        self.assertEqual(self.register("", 3), (n.BAD_REQUEST, b"ep is missing"))

    def test_lists(self) -> None:
        """Blocked endpoints and identities are refused whatever they prove."""
        self.grants = {"id-1": Grant(("*",)), "stolen": Grant(("*",)), "off": Grant(("*",), blocked=True)}
        for number, identity in enumerate(self.grants, 1):
            self.proved(number, identity)
        self.assertRefused("blocked-endpoint", "bad", 1)
        self.assertRefused("blocked-identity", "a", 2)
        self.assertRefused("blocked-identity", "a", 3)

    def test_unsecured(self) -> None:
        """Without security only what the operator lets, or has given leave."""
        self.assertEqual(self.register("toy-1"), (n.CREATED, b""))
        self.assertEqual(self.asked, [])
        self.assertRefused("security-needed", "pump-1")
        self.grants = {"nosec:pump-1": Grant(("pump-1",))}
        self.assertEqual(self.register("pump-1"), (n.CREATED, b""))

    def test_secured_stays_secured(self) -> None:
        """A name that was registered with security is not to be had without, over restarts too, but by leave."""
        self.grants = {"toy-1": Grant()}
        self.proved(1, "toy-1")
        self.assertEqual(self.register("toy-1"), (n.CREATED, b""))
        self.device.deregister()
        self.assertRefused("security-needed", "toy-1", 2)
        self.bench, faults = self.bench.restart()
        self.assertEqual(faults, [])
        self.bench.server.gate.grant = self._grant
        self.assertRefused("security-needed", "toy-1", 2)
        self.grants = {"nosec:toy-1": Grant(("toy-1",))}
        self.assertEqual(self.register("toy-1", 2), (n.CREATED, b""))
        self.grants.clear()
        self.assertRefused("security-needed", "toy-1", 2)

    def test_labels(self) -> None:
        """Labels of the credential are the device's; the operator's own win, the device's claims lose."""
        self.grants = {"id-1": Grant(("*",), {"farm": "north", "row": "1"})}
        self.proved(1, "id-1")
        self.register("d", 1, "farm=mine")
        self.bench.server.amend("d", self.bench.now, lambda *_: None, labels={"row": "2"})
        self.bench.settle()
        self.register("d")
        device = self.bench.server.devices["d"]
        self.assertEqual(device.all_labels(), {"farm": "north", "row": "2"})

    def test_changed_rules(self) -> None:
        """Other rules hold with the next Register."""
        self.assertEqual(self.register("toy-1"), (n.CREATED, b""))
        self.bench.server.configure(ServerSettings(policy=Policy(block=("toy-*",))), self.bench.now)
        self.assertRefused("blocked-endpoint", "toy-1")


class TakeOverTests(GateCase):
    """Two that may have the same endpoint."""

    def pair(self, rule: str) -> None:
        """Two identities that may register as anything."""
        self.use(policy=Policy(take_over=rule))  # type: ignore[arg-type]
        self.grants = {"a": Grant(("*",)), "b": Grant(("*",))}
        self.proved(1, "a")
        self.proved(2, "b")

    def test_same(self) -> None:
        """Only the same identity comes in place of a live registration; not even in place of none."""
        self.pair("same")
        self.register("d", 1)
        self.assertRefused("registered-by-another", "d", 2)
        self.register("e", 3)
        self.assertRefused("registered-by-another", "e", 1)

    def test_proved(self) -> None:
        """A proved identity comes in place of none, and never the other way round."""
        self.pair("proved")
        self.register("e", 3)
        self.assertEqual(self.register("e", 1), (n.CREATED, b""))
        self.assertRefused("registered-by-another", "e", 2)
        self.assertRefused("security-needed", "e", 3)

    def test_any(self) -> None:
        """Any identity that may have the endpoint comes in place of another; the old one is told gone."""
        self.pair("any")
        self.register("d", 1)
        old = self.device
        self.assertEqual(self.register("d", 2), (n.CREATED, b""))
        self.assertEqual(self.bench.kinds()[-2:], [events.DEVICE_DEREGISTERED, events.DEVICE_REGISTERED])
        answer = old.update()
        assert answer is not None
        self.assertEqual(answer.code, n.NOT_FOUND)

    def test_most_of_one_identity(self) -> None:
        """One identity has a bounded number of endpoints; those that it has it may register again."""
        self.use(registrations_per_identity=2)
        self.grants = {"a": Grant(("*",))}
        self.proved(1, "a")
        for endpoint in ("d", "e", "d"):
            self.assertEqual(self.register(endpoint), (n.CREATED, b""))
        self.assertRefused("too-many-registrations", "f")


class OwnTests(GateCase):
    """A device touches only what is its own."""

    def setUp(self) -> None:
        super().setUp()
        self.grants = {"a": Grant(("*",)), "b": Grant(("*",))}
        self.proved(1, "a")
        self.proved(2, "b")
        self.register("d", 1)
        self.own = self.device

    def test_location_of_another(self) -> None:
        """Update and De-register by another identity, or by nobody, are refused and change nothing."""
        before = dict(self.bench.tables["registrations"])
        for number in (2, 3):
            thief = self.bench.device("d", number)
            thief.location = self.own.location
            for answer in (thief.update(), thief.update("lt=60"), thief.deregister()):
                assert answer is not None
                self.assertEqual(answer.code, n.BAD_REQUEST)
        self.assertEqual(self.bench.tables["registrations"], before)

    def test_send_of_another(self) -> None:
        """A Send by another identity, or by nobody, is not taken for the device's."""
        payload = b'[{"n":"/3303/0/5700","v":1}]'
        for number in (2, 3):
            thief = self.bench.device("d", number)
            answer = thief.request(n.POST, "dp", payload=payload, content_format=n.SENML_JSON)
            assert answer is not None
            self.assertEqual(answer.code, n.NOT_FOUND)
        self.assertNotIn(events.DEVICE_VALUE, self.bench.kinds())

    def test_notification_of_another(self) -> None:
        """A notification with a token that is right, by another identity or by nobody, is dropped and counted."""
        token = self.observe()
        told = len(self.bench.events)
        for number in (2, 3):
            self.bench.device("d", number).notify(token, 5 + number)
        self.assertEqual(len(self.bench.events), told)
        self.assertEqual(self.bench.server.counters["notifications_refused"], 2)
        self.own.notify(token, 20)
        self.assertEqual(len(self.bench.events), told + 1)

    def test_notification_from_elsewhere(self) -> None:
        """A notification of the same identity in another session is the device's, and the path moves with it."""
        token = self.observe()
        self.proved(4, "a")
        self.own.move(4)
        self.own.notify(token, 9)
        self.assertEqual(self.bench.events[-1].type, events.DEVICE_VALUE)
        self.assertNotIn("unverified_path", self.bench.events[-1].fields)
        registration = self.bench.server.devices["d"].registration
        assert registration is not None
        self.assertEqual(registration.peer, peer(4))

    def observe(self) -> bytes:
        """Observe a Resource; the token."""
        self.own.answers[n.GET, "/3303/0/5700"] = FakeAnswer(n.CONTENT, b"20.5", n.TEXT, observe=1)
        self.bench.submit("d", "observe", "/3303/0/5700")
        return self.own.requests[-1].token


class SessionTests(GateCase):
    """A proved identity that goes on in another session is asked about anew: its credential may have changed."""

    def setUp(self) -> None:
        super().setUp()
        self.grants = {"a": Grant(("d",))}
        for number in (1, 4):
            self.proved(number, "a")
        self.register("d", 1)
        self.own = self.device
        self.own.answers[n.GET, "/3303/0/5700"] = FakeAnswer(n.CONTENT, b"20.5", n.TEXT, observe=1)
        self.bench.submit("d", "observe", "/3303/0/5700")
        self.token = self.own.requests[-1].token
        self.own.move(4)

    def where(self) -> bytes:
        """Where the device is."""
        registration = self.bench.server.devices["d"].registration
        assert registration is not None
        return registration.peer

    def send(self) -> int:
        """A Send; the code of its answer."""
        payload = b'[{"n":"/3303/0/5700","v":1}]'
        answer = self.own.request(n.POST, "dp", payload=payload, content_format=n.SENML_JSON)
        assert answer is not None
        return answer.code

    def update(self) -> int:
        """An Update; the code of its answer."""
        answer = self.own.update()
        assert answer is not None
        return answer.code

    def test_goes_on(self) -> None:
        """An Update or a Send in another session moves the device there, and is asked about once."""
        asked = len(self.asked)
        self.assertEqual((self.update(), self.where()), (n.CHANGED, peer(4)))
        self.assertEqual(self.update(), n.CHANGED)
        self.assertEqual(len(self.asked), asked + 1)
        self.proved(5, "a")
        self.own.move(5)
        self.assertEqual((self.send(), self.where()), (n.CHANGED, peer(5)))
        self.assertEqual(len(self.asked), asked + 2)

    def test_blocked(self) -> None:
        """Who was blocked since, or may not be this endpoint any more, gets nothing done, and is in the inbox."""
        for grant, cause in (
            (Grant(("d",), blocked=True), "blocked-identity"),
            (Grant(("other",)), "endpoint-of-another"),
            (None, "unknown-identity"),
        ):
            self.grants = {} if grant is None else {"a": grant}
            told = [event for event in self.bench.events if event.type == events.DEVICE_VALUE]
            self.assertEqual((self.update(), self.send()), (n.FORBIDDEN, n.FORBIDDEN))
            self.own.notify(self.token, 9)
            self.assertEqual(self.where(), peer(1))
            self.assertEqual([event for event in self.bench.events if event.type == events.DEVICE_VALUE], told)
            self.assertEqual(self.bench.server.refused.entries()[0].cause, cause)

    def test_plugins_are_not_asked(self) -> None:
        """The word of plugins on the Register holds."""
        self.bench.server.gate.admit = lambda admission, then: self.fail("asked")
        self.assertEqual(self.update(), n.CHANGED)

    def test_gone_meanwhile(self) -> None:
        """What comes while the registration ends is not taken for another one's."""
        found: list[Callable[[Grant | None, float], None]] = []
        self.bench.server.gate.grant = lambda names, then: found.append(then)
        self.assertIsNone(self.own.request(n.POST, "dp", payload=b"[]", content_format=n.SENML_JSON))
        self.own.notify(self.token, 9)
        self.bench.advance(4)
        self.bench.server.forget("d", self.bench.now, lambda *_: None)
        self.bench.settle()
        for then in found:
            then(Grant(("d",)), self.bench.now)
            self.bench.settle()
        self.assertEqual(self.own.replies[-1].code, n.NOT_FOUND)
        self.assertEqual(self.bench.errors, [])


class WaitingTests(GateCase):
    """What is asked outside the core, and takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[tuple[Admission, Answer]] = []
        self.bench.server.gate.admit = lambda admission, then: self.waiting.append((admission, then))

    def answer(self, verdict: Verdict, number: int = 0) -> None:
        """Let a plugin answer."""
        self.waiting[number][1](verdict, self.bench.now)
        self.bench.settle()

    def test_admitted(self) -> None:
        """A Register waits for the last word, and is stored then; the plugin sees who asks for what."""
        self.assertIsNone(self.register("d", 1, "farm=north"))
        self.assertEqual(self.bench.server.devices, {})
        (asked, _) = self.waiting[0]
        self.assertEqual(
            (asked.endpoint, asked.identity, asked.address, asked.transport, dict(asked.labels)),
            ("d", None, "peer-1", "coap", {"farm": "north"}),
        )
        self.answer(Verdict(True, labels={"row": "7"}))
        self.assertEqual(self.device.replies[-1].code, n.CREATED)
        self.assertEqual(self.bench.server.devices["d"].all_labels(), {"farm": "north", "row": "7"})
        self.assertEqual(self.bench.events[-1].labels, {"farm": "north", "row": "7"})

    def test_denied(self) -> None:
        """A no is 4.03 with its cause, an event, and an entry of the inbox; nothing is stored."""
        self.register("d")
        self.answer(Verdict(False, "unpaid"))
        self.assertEqual((self.device.replies[-1].code, self.device.replies[-1].payload), (n.FORBIDDEN, b"unpaid"))
        self.assertEqual(self.bench.kinds(), [events.SECURITY_REFUSED])
        self.assertEqual(self.bench.tables["registrations"], {})

    def test_deadline(self) -> None:
        """No word in time is a no; a word that comes later changes nothing."""
        self.register("d")
        self.bench.advance(9.9)
        self.assertEqual(self.bench.server.refused.entries(), [])
        self.bench.advance(0.2)
        reply = self.device.replies[-1]
        self.assertEqual((reply.code, reply.payload), (n.SERVICE_UNAVAILABLE, b"admission-timeout"))
        self.answer(Verdict(True))
        self.assertEqual(self.bench.server.devices, {})
        self.assertEqual(self.bench.server.gate.waiting, 0)

    def test_twice(self) -> None:
        """Only the first word counts."""
        self.register("d")
        self.answer(Verdict(True))
        self.answer(Verdict(False))
        self.assertIn("d", self.bench.server.devices)
        self.assertEqual(len(self.bench.kinds()), 1)

    def test_exception(self) -> None:
        """A plugin that fails says no."""

        def fail(admission: Admission, then: Answer) -> None:
            raise RuntimeError

        self.bench.server.gate.admit = fail
        self.assertEqual(self.register("d"), (n.SERVICE_UNAVAILABLE, b"admission-failed"))
        self.assertEqual(self.bench.server.devices, {})

    def test_rules_first(self) -> None:
        """A plugin is not asked for what the rules refuse."""
        self.bench.server.configure(ServerSettings(policy=Policy(block=("d",))), self.bench.now)
        self.assertRefused("blocked-endpoint", "d")
        self.assertEqual(self.waiting, [])

    def test_bounded(self) -> None:
        """When too many wait, the next is told to come again."""
        self.bench.server.gate.waiting = 10_000
        self.assertEqual(self.register("d"), (n.SERVICE_UNAVAILABLE, b"busy"))

    def test_updates_ask_nobody(self) -> None:
        """An Update asks neither for the credential nor a plugin."""
        self.register("d")
        self.answer(Verdict(True))
        self.device.location = self.device.replies[-1].location[1]
        asked = len(self.asked)
        for query in ((), ("lt=400",)):
            answer = self.device.update(*query)
            assert answer is not None
            self.assertEqual(answer.code, n.CHANGED)
        self.assertEqual((len(self.waiting), len(self.asked)), (1, asked))

    def test_retransmitted(self) -> None:
        """A Register that comes again while it waits is asked about once."""
        device = self.bench.device("d")
        for _ in range(2):
            device.request(n.POST, "rd", query=("ep=d", "lt=60"), payload=b"</3/0>", content_format=40, mid=77)
        self.assertEqual(len(self.waiting), 1)

    def test_session_that_ends_meanwhile(self) -> None:
        """A Register whose session ends while it waits is no Register without security."""
        self.proved(1, "id-1")
        self.grants = {"id-1": Grant()}
        self.register("id-1")
        described = self.bench.environment.describe
        object.__setattr__(self.bench.environment, "describe", lambda sender: PeerDescription("", "coaps"))
        self.answer(Verdict(True))
        object.__setattr__(self.bench.environment, "describe", described)
        registration = self.bench.server.devices["id-1"].registration
        assert registration is not None
        self.assertEqual(registration.identity, "id-1")
        self.bench.server.gate.admit = None
        self.assertRefused("security-needed", "id-1", 2)

    def test_late_credential(self) -> None:
        """A credential that comes late is waited for like a plugin, with the same deadline."""
        self.proved(1, "id-1")
        found: list[Callable[[Grant | None, float], None]] = []
        self.bench.server.gate.grant = lambda names, then: found.append(then)
        self.bench.server.gate.admit = None
        self.register("id-1")
        found[0](Grant(), self.bench.now)
        self.bench.settle()
        self.assertEqual(self.device.replies[-1].code, n.CREATED)
        self.register("id-1")
        self.bench.advance(10.1)
        self.assertEqual(self.device.replies[-1].payload, b"admission-timeout")
        self.assertGreater(self.bench.now, START)
