"""``[security]``: its settings, the files that it names, and what a reload makes of them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import ConfigErrors, Settings, load
from lwm2md.config.changes import compare
from lwm2md.config.security import CIPHERS, DEFAULT_CIPHERS
from lwm2md.security.rules import Rule
from lwm2md.tuning import policy
from tests.net.authority import Authority

KEY = "000102030405060708090a0b0c0d0e0f"


class Case(SynchronousTestCase):
    """A configuration with files beside it."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.ini = self.directory / "lwm2md.ini"
        self.authority = Authority("Factory CA")
        self.server = self.authority.issue("server")
        self.pem = self.server.pem + self.authority.owner.pem

    def file(self, name: str, text: str | bytes) -> None:
        """A file beside the configuration."""
        (self.directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def load(self, *lines: str) -> Settings:
        """Load the configuration with these lines in ``[security]``."""
        self.ini.write_text("\n".join(("[security]", *lines)) + "\n", "utf-8")
        return load(str(self.ini))

    def faults(self, *lines: str) -> str:
        """What is wrong with these lines."""
        return str(self.assertRaises(ConfigErrors, self.load, *lines))


class SettingsTests(Case):
    """Values."""

    def test_defaults(self) -> None:
        """Nothing is trusted that is not named; suites of CBC mode are off; anybody may register without security."""
        security = Settings().security
        self.assertEqual((security.psk, security.ca, security.rules, security.block), ("", "", (), ()))
        self.assertEqual(security.ciphers, DEFAULT_CIPHERS)
        self.assertFalse([name for name in DEFAULT_CIPHERS if "CBC" in name])
        self.assertEqual((security.unsecured, security.take_over), (("*",), "proved"))

    def test_rules(self) -> None:
        """Rules are a line each, with commas in them, and go to the core with the lists."""
        found = self.load(
            "rules =",
            "  psk sensor-* -> {} {}-*",
            "  issuer CN=ca,O=acme -> node-*",
            "allow = a, b-*",
            "block = c",
            "block-identities = x509:stolen, d",
            "unsecured =",
            "known-certificates = yes",
            "take-over = any",
        )
        rules = (Rule("psk", "sensor-*", ("{}", "{}-*")), Rule("issuer", "CN=ca,O=acme", ("node-*",)))
        self.assertEqual(found.security.rules, rules)
        made = policy(found.security)
        self.assertEqual((made.rules, made.allow, made.block), (rules, ("a", "b-*"), ("c",)))
        self.assertEqual(made.block_identities, ("x509:stolen", "d"))
        self.assertEqual((made.unsecured, made.known_certificates, made.take_over), ((), True, "any"))

    def test_wrong_values(self) -> None:
        """What is wrong is told with what is expected."""
        for line, part in (
            ("rules = sensor -> x", "KIND PATTERN -> ENDPOINT"),
            ("ciphers = TLS_PSK_WITH_AES_128_CCM8", "did you mean"),
            ("ciphers = TLS_PSK_WITH_AES_128_CCM, TLS_PSK_WITH_AES_128_CCM", "each once"),
            ("take-over = nobody", "same, proved, any"),
            ("credentials-key = short", "at least 16"),
            ("pskfile = x", "did you mean 'psk'"),
        ):
            self.assertIn(part, self.faults(line))

    def test_ciphers(self) -> None:
        """Suites are in the order of the operator; those of CBC mode may be named."""
        found = self.load(f"ciphers = {CIPHERS[-1]}, {CIPHERS[0]}")
        self.assertEqual(found.security.ciphers, (CIPHERS[-1], CIPHERS[0]))

    def test_sealing_key(self) -> None:
        """The key for secrets at rest comes from a file or the environment, and is in no error."""
        self.file("seal", "a secret of the operator\n")
        found = self.load(f"credentials-key = file:{self.directory}/seal")
        assert found.security.credentials_key is not None
        self.assertEqual(found.security.credentials_key.reveal(), "a secret of the operator")
        self.assertNotIn("a secret", repr(found))
        self.patch(os, "environ", {**os.environ, "SEAL": "tooshort"})
        self.assertNotIn("tooshort", self.faults("credentials-key = env:SEAL"))

    def test_plain_coap_beyond_loopback(self) -> None:
        """Plain CoAP beyond this machine must be asked for."""
        self.ini.write_text("[coap]\nlisten = 0.0.0.0:5683\n", "utf-8")
        self.assertIn("nosec = yes", str(self.assertRaises(ConfigErrors, load, str(self.ini))))
        self.ini.write_text("[coap]\nlisten = 0.0.0.0:5683\nnosec = yes\n", "utf-8")
        load(str(self.ini))


class MaterialTests(Case):
    """Files."""

    def test_read(self) -> None:
        """Certificates, key, authorities, revocation lists and keys are read from beside the configuration."""
        other = Authority("Other CA")
        self.file("server.pem", self.pem)
        self.file("server.key", self.server.key)
        self.file("ca.pem", self.authority.owner.pem + other.owner.pem)
        self.file("crl.pem", self.authority.revoke(self.server) + other.revoke())
        self.file("psk.csv", f"a,{KEY},sensor-*\n")
        found = self.load(
            "certificates = server.pem", "key = server.key", "ca = ca.pem", "crl = crl.pem", "psk = psk.csv"
        ).material
        assert found is not None
        assert found.key is not None
        row = found.psk.get("a")
        assert row is not None
        self.assertEqual((found.certificates.encode(), found.key.reveal().encode()), (self.pem, self.server.key))
        self.assertEqual((row.key, row.endpoints), (KEY, ("sensor-*",)))
        self.assertEqual((found.ca.count("BEGIN"), found.crl.count("BEGIN")), (2, 2))
        for secret in (KEY, self.server.key[40:80].decode()):
            self.assertNotIn(secret, repr(found))

    def test_wrong_files(self) -> None:
        """What is wrong with any file is told, all at once, without what is in it."""
        self.file("bad.pem", "no PEM")
        self.file("binary", b"\xff\xfe\x00")
        self.file("server.pem", self.server.pem)
        self.file("other.key", self.authority.issue("other").key)
        self.file("crl.pem", self.server.pem)
        self.file("psk.csv", f"a,{KEY}zz\n,{KEY}\nb\n")
        said = self.faults(
            "certificates = server.pem", "key = other.key", "ca = bad.pem", "crl = crl.pem", "psk = psk.csv"
        )
        for part in (
            "the key of the first certificate",
            "certificates in PEM",
            "revocation lists in PEM",
            "psk.csv, line 1: key: ",
            "psk.csv, line 2: identity: ",
            "psk.csv, line 3: key: ",
        ):
            self.assertIn(part, said)
        self.assertNotIn(KEY, said)
        self.assertIn("UTF-8", self.faults("psk = binary"))
        self.assertIn("No such file", self.faults("ca = missing.pem"))
        self.assertIn("Is a directory", self.faults("ca = ."))

    def test_together(self) -> None:
        """A certificate needs its key, and a revocation list the authorities that it is of."""
        self.file("server.pem", self.server.pem)
        self.file("server.key", self.server.key)
        self.file("crl.pem", self.authority.revoke())
        self.assertIn("key", self.faults("certificates = server.pem"))
        self.assertIn("certificates", self.faults("key = server.key"))
        self.assertIn("ca beside it", self.faults("crl = crl.pem"))

    def test_many_faults(self) -> None:
        """Of a file with faults without number some are told, and how many more there are."""
        self.file("psk.csv", "".join(f"id-{number},zz\n" for number in range(1000)))
        said = self.faults("psk = psk.csv")
        self.assertIn("900 more faults", said)
        self.assertLess(len(said.splitlines()), 120)

    def test_reload(self) -> None:
        """Another content of a file is a change of its setting, and takes effect; no content is told."""
        self.file("ca.pem", self.authority.owner.pem)
        self.file("psk.csv", f"a,{KEY}\n")
        before = self.load("ca = ca.pem", "psk = psk.csv")
        self.assertEqual(compare(before, self.load("ca = ca.pem", "psk = psk.csv")).changed, ())
        self.file("psk.csv", f"a,{KEY}\nb,{KEY}\n")
        found = compare(before, self.load("ca = ca.pem", "psk = psk.csv"))
        self.assertEqual((found.changed, found.restart), (("[security] psk",), ()))
        assert found.settings.material is not None
        self.assertIn("b", found.settings.material.psk)
        self.file("ca.pem", Authority("Other CA").owner.pem)
        found = compare(found.settings, self.load("ca = ca.pem"))
        self.assertEqual(sorted(found.changed), ["[security] ca", "[security] psk"])
