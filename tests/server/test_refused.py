"""The inbox of refused devices: bounded, fair, told at a bounded rate, kept over restarts."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.security import audit
from lwm2md.security.credentials import Credential, Key
from lwm2md.security.identity import Identity
from lwm2md.security.rules import Policy, parse_rule
from lwm2md.server.admitting import missing
from lwm2md.server.effects import Commit
from lwm2md.server.errors import NeedsMore, UnknownRefusal
from lwm2md.server.refused import MOST_EVENTS, QUIET, Refusal, source_of
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Bench


class InboxCase(SynchronousTestCase):
    """An inbox of at most 16."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(refused=16))
        self.inbox = self.bench.server.refused

    def note(self, cause: str = "unknown-identity", address: str = "192.0.2.1:5684", **fields: Any) -> Refusal:
        """Refuse somebody."""
        entry = self.inbox.note(cause, address=address, transport="coaps", now=self.bench.now, **fields)
        self.bench.settle()
        return entry


class KeptTests(InboxCase):
    """What is kept."""

    def test_same_again(self) -> None:
        """The same device for the same cause is one entry, with count, first and last time and its last address."""
        first = self.note(identity="a")
        self.bench.advance(10)
        again = self.note(identity="a", address="192.0.2.9:1000")
        self.note("wrong-key", identity="a")
        self.assertIs(first, again)
        self.assertEqual((again.count, again.last - again.first, again.address), (2, 10.0, "192.0.2.9:1000"))
        self.assertEqual([each.cause for each in self.inbox.entries()], ["wrong-key", "unknown-identity"])

    def test_nameless(self) -> None:
        """Who shows no name is told apart by where it comes from, ports aside."""
        for address in ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::2]:1"):
            self.note("bad-handshake", address)
        self.assertEqual(sorted(each.count for each in self.inbox.entries()), [1, 2, 2])

    def test_bounded(self) -> None:
        """The longest ago goes, in memory and in storage."""
        for number in range(40):
            self.note(identity=f"id-{number}", address=f"198.51.100.{number}:1")
        self.assertEqual(len(self.inbox), 16)
        self.assertEqual(self.inbox.entries()[0].identity, "id-39")
        self.bench.advance(6)
        self.assertEqual(len(self.bench.tables["refused"]), 16)

    def test_flood(self) -> None:
        """A source that makes up names pushes out its own entries, not those of others."""
        for number in range(4):
            self.note(identity=f"honest-{number}", address=f"198.51.100.{number}:1")
        for number in range(1000):
            self.note(identity=f"made-up-{number}", address="192.0.2.1:1")
        kept = {each.identity for each in self.inbox.entries()}
        self.assertLessEqual({f"honest-{number}" for number in range(4)}, kept)
        self.assertLessEqual(len(kept), 12)

    def test_long_names(self) -> None:
        """What a device claims is kept in bounded length."""
        entry = self.note(identity="x" * 10_000, endpoint="y" * 10_000, detail="z" * 10_000)
        self.assertLess(len(repr(entry)), 1500)

    def test_restart(self) -> None:
        """The inbox is there after a restart, in its order, certificates with all their names."""
        certificate = Identity("x509", "cn", ("a.example",), "0A", "CN=ca", "ab" * 32)
        self.note("endpoint-of-another", endpoint="d", identity=certificate)
        self.bench.advance(1)
        self.note(identity="a")
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        before = self.inbox.entries()
        other, faults = self.bench.restart()
        self.assertEqual((faults, other.server.refused.entries()), ([], before))
        self.assertEqual(before[1].proved, certificate)

    def test_fewer_after_restart(self) -> None:
        """With a smaller limit only the newest are taken up."""
        for number in range(10):
            self.note(identity=f"id-{number}", address=f"198.51.100.{number}:1")
            self.bench.advance(1)
        self.bench.advance(6)
        self.bench.settings = ServerSettings(refused=3)
        other, _ = self.bench.restart()
        self.assertEqual([each.identity for each in other.server.refused.entries()], ["id-9", "id-8", "id-7"])

    def test_storage_fails(self) -> None:
        """What could not be stored is stored later."""
        self.bench.failing = True
        self.note(identity="a")
        self.bench.advance(6)
        self.bench.failing = False
        self.assertEqual(self.bench.tables["refused"], {})
        self.bench.advance(6)
        self.assertEqual(len(self.bench.tables["refused"]), 1)

    def test_sources(self) -> None:
        """Sources are hosts, of IPv6 networks of 64 bits; what is no address is its own source."""
        for address, source in (
            ("192.0.2.1:5684", "192.0.2.1"),
            ("[2001:db8:1:2:3::4]:5684", "2001:db8:1:2::/64"),
            ("[fe80::1%eth0]:5684", "fe80::/64"),
            ("peer-1", "peer-1"),
            ("", ""),
        ):
            self.assertEqual(source_of(address), source)


class ToldTests(InboxCase):
    """Events and the audit log."""

    def told(self) -> list[Any]:
        """The events so far."""
        return [event for event in self.bench.events if event.type == events.SECURITY_REFUSED]

    def test_quiet(self) -> None:
        """Of one cause and source there is one event a minute, which says how many there were since."""
        for _ in range(50):
            self.note(identity="a")
        self.assertEqual([event.fields["count"] for event in self.told()], [1])
        self.bench.advance(QUIET + 1)
        self.note(identity="a", endpoint="e")
        (_, second) = self.told()
        self.assertEqual(
            (second.fields["count"], second.fields["cause"], second.endpoint), (50, "unknown-identity", "e")
        )

    def test_flood_of_sources(self) -> None:
        """However many sources there are, there is a bounded number of events a minute."""
        for number in range(2000):
            self.note(address=f"10.0.{number >> 8}.{number & 255}:1")
        self.assertEqual(len(self.told()), MOST_EVENTS)

    def test_summary(self) -> None:
        """The audit log gets a summary of refusals, not each of them."""
        commits: list[Commit] = []
        for _ in range(50):
            self.inbox.note("wrong-key", address="192.0.2.1:1", transport="coaps", now=self.bench.now, identity="a")
        while (due := self.bench.server.next_deadline()) is not None and due < self.bench.now + 301:
            self.bench.server.expire(due)
            commits += self.bench.server.effects
            self.bench.server.effects.clear()
            if any(commit.records for commit in commits):
                break
        (record,) = [audit.from_row(row) for commit in commits for row in commit.records]
        self.assertEqual(
            (record.by, record.action, record.details["causes"]), ("lwm2md", "refused.summary", {"wrong-key": 50})
        )

    def test_causes_are_counted(self) -> None:
        """Each cause is counted for the metrics, and only so many causes are."""
        for number in range(300):
            self.note(f"cause-{number}")
        self.assertLessEqual(len(self.inbox.causes), 101)
        self.assertEqual(sum(self.inbox.causes.values()), 300)

    def test_removed(self) -> None:
        """Who is taken out is gone from memory and storage, with a record of who did it."""
        entry = self.note(identity="a")
        self.bench.advance(6)
        outcomes: list[bool] = []
        self.inbox.remove(entry.id, "admin", audit.DISMISSED, self.bench.now, lambda ok, _: outcomes.append(ok))
        (row,) = self.bench.server.effects[-1].records
        self.bench.settle()
        self.assertEqual((outcomes, self.bench.tables["refused"], self.inbox.entries()), ([True], {}, []))
        self.assertEqual(json.loads(row)["by"], "admin")
        self.assertRaises(UnknownRefusal, self.inbox.get, entry.id)


class AdmittingTests(SynchronousTestCase):
    """What lets a refused device in."""

    def admit(
        self,
        cause: str,
        known: Credential | None = None,
        policy: Policy | None = None,
        key: bool = False,
        **fields: Any,
    ) -> Credential:
        """The credential that is missing."""
        return missing(Refusal("1", cause, **fields), known, policy or Policy(), key=key)

    def test_unknown_key(self) -> None:
        """An unknown PSK identity, or a wrong key, needs the key, and then gets a credential for its endpoint."""
        error = self.assertRaises(NeedsMore, self.admit, "unknown-identity", identity="a")
        self.assertEqual(error.field, "key")
        for cause in ("unknown-identity", "wrong-key"):
            found = self.admit(cause, key=True, identity="a")
            self.assertEqual((found.identity, found.type, found.endpoints), ("a", "psk", ()))
        self.assertEqual(self.admit("unknown-identity", key=True, identity="a", endpoint="b*").endpoints, ("b[*]",))
        known = Credential("a", "psk", endpoints=("x",), keys=(Key(b"12345678"),), labels={"a": "b"})
        self.assertEqual(self.admit("wrong-key", known, key=True, identity="a"), known)

    def test_certificate(self) -> None:
        """A trusted certificate without a credential gets one."""
        identity = Identity("x509", "cn", key_hash="ab" * 32)
        found = self.admit("unknown-identity", identity=identity.text, proved=identity, endpoint="cn")
        self.assertEqual((found.identity, found.type, found.endpoints), ("x509:cn", "x509", ()))

    def test_name_that_was_only_said(self) -> None:
        """Who says the name of a certificate, or of a leave, in place of a PSK identity gets neither by admission."""
        for name in ("x509:cn", "x509:sha256:" + "ab" * 32, "nosec:pump-1"):
            for cause in ("unknown-identity", "wrong-key"):
                for key in (False, True):
                    self.assertRaises(NeedsMore, self.admit, cause, identity=name, key=key)

    def test_endpoint_of_another(self) -> None:
        """An identity gets the endpoint that it asked for besides those it had, by credential, rule or name."""
        proved = Identity("psk", "a")
        asked: dict[str, Any] = {"identity": "a", "proved": proved, "endpoint": "new"}
        rules = Policy(rules=(parse_rule("psk a -> pump-*"),))
        for known, policy, endpoints in (
            (Credential("a", "psk"), Policy(), ("a", "new")),
            (Credential("a", "psk", endpoints=("x-*",)), Policy(), ("x-*", "new")),
            (Credential("a", "psk"), rules, ("pump-*", "new")),
        ):
            self.assertEqual(self.admit("endpoint-of-another", known, policy, **asked).endpoints, endpoints)

    def test_leave(self) -> None:
        """Who comes without security, or is not on the allow list, gets a leave for that endpoint only."""
        for cause in ("security-needed", "endpoint-not-allowed"):
            found = self.admit(cause, endpoint="toy-*")
            self.assertEqual((found.identity, found.type), ("nosec:toy-*", "nosec"))

    def test_unblocked(self) -> None:
        """A blocked credential is blocked no more; what the settings block stays."""
        known = Credential("a", "psk", keys=(Key(b"12345678"),), blocked=True)
        self.assertFalse(self.admit("blocked-identity", known, identity="a").blocked)
        self.assertRaises(NeedsMore, self.admit, "blocked-identity", identity="a")

    def test_needs_more(self) -> None:
        """What no credential answers is told with what is needed; a cause of somebody else's too."""
        for cause in (
            "blocked-endpoint",
            "registered-by-another",
            "too-many-registrations",
            "wrong-scope",
            "denied",
            "x",
        ):
            error = self.assertRaises(NeedsMore, self.admit, cause, identity="a", endpoint="e")
            self.assertTrue(str(error))

    def test_nameless(self) -> None:
        """Who has shown no name can't be let in."""
        self.assertRaises(NeedsMore, self.admit, "unknown-identity", key=True)
        self.assertRaises(NeedsMore, self.admit, "security-needed")
