"""Who may register as what: tables of rules, and rules that hypothesis makes up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.identity import Identity
from lwm2md.security.rules import BadRule, Grant, Policy, Rule, exactly, literal, matches, parse_rule

HASH = "ab" * 32
PSK = Identity("psk", "sensor-7")
CERTIFICATE = Identity("x509", "gateway-1", ("gw1.example", "urn:dev:1"), "0A1B", "CN=Factory CA,O=Acme", HASH)
ANYTHING = Grant(("*",))
names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def policy(*rules: str, **fields: object) -> Policy:
    """A policy with these rules."""
    return Policy(rules=tuple(map(parse_rule, rules)), **fields)  # type: ignore[arg-type]


class EndpointTests(SynchronousTestCase):
    """Endpoints of identities."""

    def check(self, found: Policy, identity: Identity, endpoint: str, cause: str, grant: Grant | None = None) -> None:
        """See what a policy says."""
        if grant is None and identity.kind == "psk":
            grant = Grant()
        self.assertEqual(found.refusal(endpoint, identity, grant), cause, (endpoint, identity, grant))

    def test_equal(self) -> None:
        """Without rules an identity registers by its own name: a certificate by each of its names."""
        for identity, endpoint, cause in (
            (PSK, "sensor-7", ""),
            (PSK, "sensor-8", "endpoint-of-another"),
            (PSK, "SENSOR-7", "endpoint-of-another"),
            (PSK, "sensor-", "endpoint-of-another"),
            (CERTIFICATE, "gateway-1", ""),
            (CERTIFICATE, "gw1.example", ""),
            (CERTIFICATE, "urn:dev:1", ""),
            (CERTIFICATE, "x509:gateway-1", "endpoint-of-another"),
            (Identity("x509", "", key_hash=HASH), "", "endpoint-of-another"),
        ):
            self.check(Policy(), identity, endpoint, cause)

    def test_own_name_is_no_pattern(self) -> None:
        """An identity whose name looks like a pattern registers by that name, not as everybody."""
        for name in ("*", "sensor-?", "[a-z]", "[*]", "[", "[!a]"):
            identity = Identity("psk", name)
            self.check(Policy(), identity, name, "")
            for other in ("sensor-1", "a", "x", "sensor-7"):
                self.check(Policy(), identity, other, "endpoint-of-another")

    def test_credential(self) -> None:
        """A credential with endpoints has the last word: names, globs, several, and not its own name besides."""
        for endpoints, endpoint, cause in (
            (("pump-1",), "pump-1", ""),
            (("pump-1",), "sensor-7", "endpoint-of-another"),
            (("pump-*",), "pump-22", ""),
            (("pump-[12]",), "pump-3", "endpoint-of-another"),
            (("a", "b", "c-?"), "c-1", ""),
            (("a", "b", "c-?"), "c-11", "endpoint-of-another"),
        ):
            rules = policy("psk * -> *")
            self.check(rules, PSK, endpoint, cause, Grant(endpoints))

    def test_rules(self) -> None:
        """Rules give endpoints by each kind of name, several rules together, {} for what was matched."""
        for rule, identity, endpoint, cause in (
            ("psk sensor-* -> meter-*", PSK, "meter-9", ""),
            ("psk sensor-* -> meter-*", PSK, "sensor-7", "endpoint-of-another"),
            ("psk sensor-* -> {} {}-*", PSK, "sensor-7-b", ""),
            ("psk sensor-* -> {} {}-*", PSK, "sensor-77", "endpoint-of-another"),
            ("psk pump-* -> *", PSK, "meter-9", "endpoint-of-another"),
            ("cn gateway-* -> {}/*", CERTIFICATE, "gateway-1/d01", ""),
            ("cn * -> *", PSK, "other", "endpoint-of-another"),
            ("psk * -> *", CERTIFICATE, "other", "endpoint-of-another"),
            ("san *.example -> {}", CERTIFICATE, "gw1.example", ""),
            ("san urn:dev:* -> x", CERTIFICATE, "x", ""),
            ("serial 0a1b@CN=Factory CA,O=Acme -> x", CERTIFICATE, "x", ""),
            ("serial 0a1b@CN=Other CA -> x", CERTIFICATE, "x", "endpoint-of-another"),
            ("issuer CN=Factory CA* -> node-*", CERTIFICATE, "node-1", ""),
            (f"key-hash {HASH} -> x", CERTIFICATE, "x", ""),
            (f"key-hash {'0' * 64} -> x", CERTIFICATE, "x", "endpoint-of-another"),
        ):
            self.check(policy(rule), identity, endpoint, cause)
        both = policy("psk sensor-* -> a", "psk *-7 -> b")
        for endpoint, cause in (("a", ""), ("b", ""), ("sensor-7", "endpoint-of-another")):
            self.check(both, PSK, endpoint, cause)

    def test_matched_name_is_no_pattern(self) -> None:
        """What stands for {} is taken as it is: an identity named * gets no endpoint of others by it."""
        self.check(policy("psk * -> {}"), Identity("psk", "*"), "sensor-7", "endpoint-of-another")

    def test_lists(self) -> None:
        """Blocks come first; an allow list refuses what is not on it, but for what a credential names."""
        lists = policy(allow=("sensor-*",), block=("sensor-9",), block_identities=("bad-*", "x509:sha256:" + "cd" * 32))
        blocked = Identity("x509", "sensor-7", key_hash="cd" * 32)
        for endpoint, identity, grant, cause in (
            ("sensor-7", PSK, ANYTHING, ""),
            ("sensor-9", PSK, ANYTHING, "blocked-endpoint"),
            ("pump-1", PSK, ANYTHING, ""),
            ("pump-1", PSK, Grant(), "endpoint-not-allowed"),
            ("pump-1", None, None, "endpoint-not-allowed"),
            ("sensor-1", None, None, ""),
            ("pump-1", None, Grant(("pump-1",)), ""),
            ("sensor-9", None, Grant(("sensor-9",)), "blocked-endpoint"),
            ("sensor-7", Identity("psk", "bad-1"), ANYTHING, "blocked-identity"),
            ("sensor-7", blocked, ANYTHING, "blocked-identity"),
        ):
            self.assertEqual(lists.refusal(endpoint, identity, grant), cause, (endpoint, identity, grant))

    def test_unsecured(self) -> None:
        """Without security only what the operator lets; with a leave any, unless that is blocked."""
        found = policy(unsecured=("toy-*",))
        for endpoint, grant, cause in (
            ("toy-1", None, ""),
            ("sensor-1", None, "security-needed"),
            ("sensor-1", Grant(("sensor-1",)), ""),
            ("sensor-1", Grant(("sensor-1",), blocked=True), "blocked-identity"),
        ):
            self.assertEqual(found.refusal(endpoint, None, grant), cause)

    def test_open(self) -> None:
        """It is open to all where nobody is refused who has proved nothing."""
        found = [policy(), policy("psk * -> {}", block_identities=("bad",), unsecured=("toy-*", "*"))]
        for each in found:
            self.assertEqual((each.is_open, each.refusal("sensor-1", None, None)), (True, ""))
        for fields in ({"block": ("pump-*",)}, {"allow": ("*",)}, {"unsecured": ("?*",)}, {"unsecured": ()}):
            self.assertFalse(policy(**fields).is_open)

    def test_credentials(self) -> None:
        """A PSK identity needs a credential, a certificate only where that is asked; not blocked, of this scope."""
        for found, identity, grant, cause in (
            (Policy(), PSK, None, "unknown-identity"),
            (Policy(), PSK, Grant(blocked=True), "blocked-identity"),
            (Policy(), PSK, Grant(scope="bootstrap"), "wrong-scope"),
            (Policy(), CERTIFICATE, None, "endpoint-of-another"),
            (Policy(known_certificates=True), CERTIFICATE, None, "unknown-identity"),
        ):
            self.assertEqual(found.refusal("other", identity, grant), cause)

    def test_implied(self) -> None:
        """Who names no endpoint has the only one that is its own, else its own name."""
        for identity, grant, endpoint in (
            (PSK, Grant(), "sensor-7"),
            (PSK, Grant(("pump-1",)), "pump-1"),
            (PSK, Grant(("pump-[*]",)), "pump-*"),
            (PSK, Grant(("pump-*",)), "sensor-7"),
            (PSK, Grant(("a", "b")), "sensor-7"),
            (CERTIFICATE, None, "gateway-1"),
            (Identity("x509", "", key_hash=HASH), None, None),
        ):
            self.assertEqual(Policy().implied(identity, grant), endpoint)

    def test_take_over(self) -> None:
        """Who may take the place of a live registration."""
        for rule, before, coming, may in (
            ("same", "a", "a", True),
            ("same", None, None, True),
            ("same", None, "a", False),
            ("same", "a", None, False),
            ("proved", None, "a", True),
            ("proved", "a", None, False),
            ("proved", "a", "b", False),
            ("any", "a", "b", True),
            ("any", "a", None, True),
        ):
            self.assertEqual(policy(take_over=rule).displaces(before, coming), may, (rule, before, coming))


class RuleTests(SynchronousTestCase):
    """Rules as they are written."""

    def test_lines(self) -> None:
        """A line has a kind, a pattern with spaces in it, and endpoints; any other raises BadRule."""
        self.assertEqual(parse_rule("  issuer CN=a -> b,O=c -> x y-*  "), Rule("issuer", "CN=a -> b,O=c", ("x", "y-*")))
        for line in ("", "psk", "psk a", "psk a ->", "psk -> b", "-> b", "nope a -> b", "psk a->b", "psk a -> b\x07"):
            self.assertRaises(BadRule, parse_rule, line)

    @given(st.text(max_size=40))
    def test_any_line(self, line: str) -> None:
        """Any line is a rule that is written as itself, or raises BadRule."""
        try:
            rule = parse_rule(line)
        except BadRule:
            return
        self.assertEqual(parse_rule(str(rule)), rule)

    @given(names, names)
    def test_exactly(self, name: str, other: str) -> None:
        """A name made into a glob is like itself only, and is found in it again."""
        self.assertTrue(matches(name, (exactly(name),)))
        self.assertEqual(matches(other, (exactly(name),)), other == name)
        self.assertEqual(literal(exactly(name)), name)

    @given(names, names, names)
    def test_nobody_else(self, own: str, endpoint: str, pattern: str) -> None:
        """Whatever the rules for others say, an identity without any registers as itself only."""
        rules = Policy(rules=(Rule("cn", pattern, ("*",)),))
        cause = rules.refusal(endpoint, Identity("psk", own), Grant())
        self.assertEqual(cause == "", endpoint == own)
