"""The options with which a device speaks ``coaps://``."""

from __future__ import annotations

import hmac
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.device_plan import plan
from lwm2md.device_security import GroupSecurity
from lwm2md.device_tap import Options
from tests.net.authority import Authority

KEY = "30313233343536373839616263646566"
SERVER = ("--server", "coaps://127.0.0.1")


class DeviceSecurityTest(SynchronousTestCase):
    """From the command line to identities and keys."""

    def setUp(self) -> None:
        """Have a place for files."""
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file; its path."""
        path = self.place / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def security(self, *words: str) -> GroupSecurity:
        """What a command line asks for."""
        options = Options()
        options.parseOptions([*SERVER, *words])
        found = plan(options).groups[0].security
        assert found is not None
        return found

    def refusal(self, *words: str) -> str:
        """The line that says what is wrong."""
        options = Options()
        options.postOptions = lambda: None  # type: ignore[method-assign]
        options.parseOptions(list(words))
        return str(self.assertRaises(usage.UsageError, plan, options))

    def test_keys(self) -> None:
        """A key is of the command line, of a file with a line for each identity, or derived of a secret."""
        master = self.file("master", "secret\n")
        derived = hmac.digest(b"secret", b"dev-2", "sha256")[:16]
        pattern = ("--fleet", "2", "--psk-identity-pattern", "dev-{}")
        listed = self.file("keys.csv", f"identity,key,endpoint\n# ours\ndev-1,{KEY},x\ndev-2,{'ff' * 16}\n")
        for words, expected in (
            (("--psk", KEY), b"0123456789abcdef"),
            (("--psk-file", listed), b"\xff" * 16),
            (("--psk-master", master), derived),
        ):
            found = self.security(*pattern, *words)
            assert found.identity is not None
            assert found.key is not None
            self.assertEqual(found.identity(2, "sensor-000002"), "dev-2")
            self.assertEqual(found.key("dev-2"), expected)
            terms = found.terms()(2, "sensor-000002")
            self.assertEqual((terms.identity, terms.key, terms.cid), (b"dev-2", expected, b""))

    def test_own_name(self) -> None:
        """Without a word about it the identity is the Endpoint Client Name."""
        found = self.security("--endpoint", "me", "--psk", KEY, "--connection-id", "none")
        terms = found.terms()(1, "me")
        self.assertEqual((terms.identity, terms.cid), (b"me", None))

    def test_certificates(self) -> None:
        """With certificates the usage follows from what is given, unless it is named."""
        root = Authority()
        own = root.issue("me")
        cert, key, ca = self.file("c", own.chain), self.file("k", own.key), self.file("a", root.owner.pem)
        self.assertEqual(self.security("--cert", cert, "--key", key, "--ca", ca).usage, 2)
        self.assertEqual(self.security("--cert", cert, "--key", key, "--server-cert", ca).usage, 3)
        terms = self.security("--cert", cert, "--key", key, "--ca", ca).terms()(1, "me")
        assert terms.server is not None
        self.assertEqual((terms.server.usage, terms.sni), (2, "127.0.0.1"))

    def test_mistakes(self) -> None:
        """A mistake is one line that names the option, and holds no key."""
        short = self.file("short.csv", "me,zz\n")
        for words, expected in (
            (SERVER, "coaps:// needs one of"),
            ((*SERVER, "--psk", "xyz"), "--psk: a key of"),
            ((*SERVER, "--psk-file", short), "line 1"),
            ((*SERVER, "--psk-file", "/nowhere"), "No such file"),
            ((*SERVER, "--psk-file", self.file("o.csv", f"other,{KEY}\n")), "no key for 'lwm2m-device'"),
            ((*SERVER, "--cert", short), "--key is needed"),
            ((*SERVER, "--cert", short, "--key", short), "--server-cert: needed"),
            ((*SERVER, "--psk", KEY, "--connection-id", "some"), "--connection-id"),
            ((*SERVER, "--fleet", "2", "--psk", KEY, "--psk-identity", "a"), "--psk-identity"),
            (("--psk", KEY), "--psk: only with"),
        ):
            line = self.refusal(*words)
            self.assertIn(expected, line)
            self.assertNotIn("xyz", line)
            self.assertNotIn(KEY, line)
