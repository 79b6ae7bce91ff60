"""Rules and credentials that change while devices are registered."""

from __future__ import annotations

from typing import Any

import attrs

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.events import Event
from lwm2md.security.identity import Identity
from lwm2md.security.rules import Grant, Policy, parse_rule
from lwm2md.server import reviewing
from lwm2md.server.admission import UNAVAILABLE, Known
from lwm2md.server.state import PeerDescription
from tests.server.fixtures import FakeDevice, peer
from tests.server.test_admission import HASH, GateCase
from tests.server.test_gateways import gateway

CERTIFICATE = Identity("x509", "gateway-1", ("gw.example",), "0A", "CN=ca", HASH)


class ReviewCase(GateCase):
    """A server whose rules change."""

    def setUp(self) -> None:
        """Listen to whose session is to end."""
        super().setUp()
        self.expelled: list[bytes] = []
        self.bench.server.gate.expelled = self.expelled.append

    def there(self, endpoint: str, number: int = 1) -> FakeDevice:
        """A registered device."""
        self.assertEqual(self.register(endpoint, number), (n.CREATED, b""))
        return self.device

    def rule(self, **fields: Any) -> None:
        """Change rules, and let it be looked at once."""
        settings = attrs.evolve(self.bench.settings, policy=attrs.evolve(self.bench.settings.policy, **fields))
        self.bench.settings = settings
        self.bench.server.configure(settings, self.bench.now)
        self.bench.advance(0.1)

    def credential(self, name: str, grant: Grant | None) -> None:
        """Change a credential, and let it be looked at."""
        if grant is None:
            self.grants.pop(name, None)
        else:
            self.grants[name] = grant
        self.bench.server.gate.review([name], self.bench.now)
        self.bench.advance(0.1)

    def ended(self) -> list[tuple[str | None, object]]:
        """Whose registrations ended, and why."""
        kind = events.DEVICE_DEREGISTERED
        return [(event.endpoint, event.fields["reason"]) for event in self.bench.events if event.type == kind]

    def is_registered(self, endpoint: str) -> bool:
        """Whether a device is."""
        return self.bench.server.devices[endpoint].registration is not None


class RuleChangeTests(ReviewCase):
    """Another configuration."""

    def test_blocked_endpoint(self) -> None:
        """A blocked endpoint's registration ends, and it is refused from then on; nobody else notices."""
        blocked, other = self.there("pump-1", 1), self.there("pump-2", 2)
        self.rule(block=("pump-1",))
        self.assertEqual(self.ended(), [("pump-1", "blocked-endpoint")])
        self.assertEqual(self.expelled, [peer(1)])
        self.assertNotIn("pump-1", self.bench.tables["registrations"])
        answer = blocked.update()
        assert answer is not None
        self.assertEqual(answer.code, n.NOT_FOUND)
        self.assertEqual(self.register("pump-1", 1), (n.FORBIDDEN, b"blocked-endpoint"))
        answer = other.update()
        assert answer is not None
        self.assertEqual(answer.code, n.CHANGED)
        state = self.bench.server.devices["pump-1"].reason
        self.assertEqual(state, "blocked-endpoint")

    def test_allow(self) -> None:
        """Who is not on an allow list any more ends, but for those whose credential names their endpoints."""
        self.grants = {"id-2": Grant(("pump-2",)), "id-3": Grant()}
        self.proved(2, "id-2")
        self.proved(3, "id-3")
        self.there("pump-1", 1)
        self.there("pump-2", 2)
        self.there("id-3", 3)
        self.rule(allow=("pump-9",))
        self.assertCountEqual(self.ended(), [("pump-1", "endpoint-not-allowed"), ("id-3", "endpoint-not-allowed")])
        self.assertTrue(self.is_registered("pump-2"))

    def test_blocked_identity(self) -> None:
        """All that a blocked identity has registered ends, and its session once."""
        self.grants = {"id-1": Grant(("*",))}
        self.proved(1, "id-1")
        self.there("a", 1)
        self.there("b", 1)
        self.rule(block_identities=("id-*",))
        self.assertCountEqual(self.ended(), [("a", "blocked-identity"), ("b", "blocked-identity")])
        self.assertEqual(self.expelled, [peer(1)])

    def test_one_of_several(self) -> None:
        """A session with another registration goes on."""
        self.grants = {"id-1": Grant(("*",))}
        self.proved(1, "id-1")
        self.there("a", 1)
        self.there("b", 1)
        self.rule(block=("a",))
        self.assertEqual(self.ended(), [("a", "blocked-endpoint")])
        self.assertEqual(self.expelled, [])

    def test_rules(self) -> None:
        """Who may be an endpoint by a rule that is gone may be it no longer."""
        self.rule(rules=(parse_rule("cn gateway-* -> {}-*"),))
        self.proved(1, CERTIFICATE)
        self.there("gateway-1-a", 1)
        self.rule(rules=(parse_rule("cn gateway-* -> {}-b"),))
        self.assertEqual(self.ended(), [("gateway-1-a", "endpoint-of-another")])

    def test_known_certificates(self) -> None:
        """Where certificates need a credential from now on, one without has had its time."""
        self.proved(1, CERTIFICATE)
        self.there("gateway-1", 1)
        self.rule(known_certificates=True)
        self.assertEqual(self.ended(), [("gateway-1", "unknown-identity")])

    def test_unsecured(self) -> None:
        """Where plain CoAP is not enough any more, those with leave stay."""
        self.there("toy-1", 1)
        self.there("toy-2", 2)
        self.grants = {"nosec:toy-2": Grant(("toy-2",))}
        self.rule(unsecured=())
        self.assertEqual(self.ended(), [("toy-1", "security-needed")])

    def test_not_asked_in_vain(self) -> None:
        """Nobody is asked about whom the rules alone let be, and nothing is looked at where they are the same."""
        self.grants = {"id-1": Grant()}
        self.proved(1, "id-1")
        self.there("id-1", 1)
        asked = len(self.asked)
        self.rule(block=("other",))
        self.rule()
        self.assertEqual(len(self.asked), asked)
        self.assertEqual(self.ended(), [])

    def test_session_is_over(self) -> None:
        """Of a device without a session its endpoint and its name count; the rest is asked when it is back."""
        self.proved(1, CERTIFICATE)
        self.proved(2, Identity("x509", "gateway-2", (), "0B", "CN=ca", HASH))
        self.proved(3, Identity("x509", "gateway-3", (), "0C", "CN=ca", HASH))
        self.grants = {"id-4": Grant()}
        self.proved(4, "id-4")
        for number, endpoint in enumerate(("gateway-1", "gateway-2", "gateway-3", "id-4"), 1):
            self.there(endpoint, number)
        object.__setattr__(self.bench.environment, "describe", lambda _: PeerDescription("", "coaps"))
        self.rule(block=("gateway-1", "id-4"), block_identities=("x509:gateway-2",), known_certificates=True)
        expected = [
            ("gateway-1", "blocked-endpoint"),
            ("gateway-2", "blocked-identity"),
            ("id-4", "blocked-endpoint"),
        ]
        self.assertCountEqual(self.ended(), expected)

    def test_behind_a_gateway(self) -> None:
        """Who stands behind a gateway leaves when it is blocked."""
        gateway(self.bench)
        self.assertTrue(self.is_registered("gw/d02"))
        self.rule(block=("gw/d02",))
        self.assertEqual(self.ended(), [("gw/d02", "blocked-endpoint")])
        self.assertTrue(self.is_registered("gw/d01"))
        self.assertFalse(self.is_registered("gw/d02"))

    def test_many(self) -> None:
        """However many there are, a turn looks at a few of them."""
        self.patch(reviewing, "_WORK", 2 * reviewing._DECISION * (reviewing._OVERHEAD + 1))
        for number in range(1, 11):
            self.there(f"d-{number}", number)
        settings = attrs.evolve(self.bench.settings, policy=Policy(block=("d-*",)))
        self.bench.server.configure(settings, self.bench.now)
        self.assertEqual(self.ended(), [])
        self.bench.tick()
        self.assertEqual(len(self.ended()), 2)
        self.bench.advance(0.011)
        self.assertEqual(len(self.ended()), 4)
        self.bench.advance(1.0)
        self.assertEqual(len(self.ended()), 10)

    def test_changed_again(self) -> None:
        """A change amid the work of another begins it again."""
        self.patch(reviewing, "_WORK", 0)
        for number in range(1, 5):
            self.there(f"d-{number}", number)
        self.rule(block=("d-4",))
        self.bench.server.configure(attrs.evolve(self.bench.settings, policy=Policy(block=("d-1",))), self.bench.now)
        self.bench.advance(1.0)
        self.assertIn(("d-1", "blocked-endpoint"), self.ended())

    def test_storage(self) -> None:
        """An end that can't be stored is none; it comes when it can be."""
        self.there("d", 1)
        self.bench.failing = True
        self.rule(block=("d",))
        self.assertTrue(self.is_registered("d"))
        self.assertEqual(self.expelled, [])
        self.bench.failing = False
        self.bench.advance(31.0)
        self.assertEqual(self.ended(), [("d", "blocked-endpoint")])

    def test_after_a_start(self) -> None:
        """Rules that changed while the daemon was down count for those that it takes up."""
        self.there("d", 1)
        self.there("e", 2)
        self.bench.settings = attrs.evolve(self.bench.settings, policy=Policy(block=("d",)))
        bench, faults = self.bench.restart()
        self.assertEqual(faults, [])
        bench.advance(0.1)
        found: list[Event] = [event for event in bench.events if event.type == events.DEVICE_DEREGISTERED]
        self.assertEqual([event.endpoint for event in found], ["d"])


class CredentialChangeTests(ReviewCase):
    """Another credential, or none."""

    def test_removed(self) -> None:
        """What a credential gave is gone with it."""
        self.grants = {"id-1": Grant(("pump-*",)), "id-2": Grant()}
        self.proved(1, "id-1")
        self.proved(2, "id-2")
        self.there("pump-1", 1)
        self.there("id-2", 2)
        self.credential("id-1", None)
        self.assertEqual(self.ended(), [("pump-1", "unknown-identity")])

    def test_blocked(self) -> None:
        """So it is where the credential is blocked."""
        self.grants = {"id-1": Grant()}
        self.proved(1, "id-1")
        self.there("id-1", 1)
        self.credential("id-1", Grant(blocked=True))
        self.assertEqual(self.ended(), [("id-1", "blocked-identity")])

    def test_other_endpoints(self) -> None:
        """Endpoints that are taken from a credential end, those that stay go on."""
        self.grants = {"id-1": Grant(("pump-*",))}
        self.proved(1, "id-1")
        self.there("pump-1", 1)
        self.there("pump-2", 1)
        self.credential("id-1", Grant(("pump-2",)))
        self.assertEqual(self.ended(), [("pump-1", "endpoint-of-another")])
        self.assertEqual(self.expelled, [])

    def test_certificate(self) -> None:
        """A certificate's credential may have any of its names."""
        self.proved(1, CERTIFICATE)
        self.there("gateway-1", 1)
        self.credential("x509:san:gw.example", Grant(blocked=True))
        self.assertEqual(self.ended(), [("gateway-1", "blocked-identity")])

    def test_many_certificates(self) -> None:
        """However many are looked at for one certificate, a turn looks at a few of them."""
        self.patch(reviewing, "_WORK", 0)
        for number in range(1, 6):
            self.proved(
                number, Identity("x509", f"gateway-{number}", (f"gw-{number}",), "0A", "CN=ca", f"{number:064}")
            )
            self.there(f"gateway-{number}", number)
        self.grants["x509:san:gw-5"] = Grant(blocked=True)
        self.bench.server.gate.review(["x509:san:gw-5"], self.bench.now)
        for _ in range(4):
            self.bench.advance(0.0101)
            self.assertEqual(self.ended(), [])
        self.bench.advance(0.1)
        self.assertEqual(self.ended(), [("gateway-5", "blocked-identity")])

    def test_leave(self) -> None:
        """A leave to come without security may be taken back."""
        self.grants = {"nosec:toy": Grant(("toy",))}
        self.rule(unsecured=())
        self.there("toy", 1)
        self.credential("nosec:toy", None)
        self.assertEqual(self.ended(), [("toy", "security-needed")])

    def test_cannot_say(self) -> None:
        """As long as nobody can say what a credential is, nothing ends; it is asked again."""
        self.grants = {"id-1": Grant()}
        self.proved(1, "id-1")
        self.there("id-1", 1)

        def silent(_names: tuple[str, ...], then: Known) -> None:
            then(UNAVAILABLE, self.bench.now)

        self.bench.server.gate.grant = silent
        self.credential("id-1", None)
        self.assertTrue(self.is_registered("id-1"))
        self.bench.server.gate.grant = self._grant
        self.bench.advance(31.0)
        self.assertEqual(self.ended(), [("id-1", "unknown-identity")])

    def test_register_while_nobody_can_say(self) -> None:
        """A Register is put off at once where nobody can say what its credential is."""
        self.proved(1, "id-1")
        self.bench.server.gate.grant = lambda _names, then: then(UNAVAILABLE, self.bench.now)
        self.assertEqual(self.register("id-1", 1), (n.SERVICE_UNAVAILABLE, b"admission-failed"))
        self.assertEqual(self.device.replies[-1].max_age, 60)
        self.assertEqual(self.bench.server.gate.waiting, 0)
