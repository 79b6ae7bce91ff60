"""What stands for a proved identity."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.identity import Identity

HASH = "ab" * 32


class TextTests(SynchronousTestCase):
    """Texts of identities, by which registrations, events and credentials know them."""

    def test_text(self) -> None:
        """A PSK identity stands for itself; a certificate for its common name, or its key where it has none."""
        for identity, text in (
            (Identity("psk", "sensor-1"), "sensor-1"),
            (Identity("x509", "sensor-1", key_hash=HASH), "x509:sensor-1"),
            (Identity("x509", "", key_hash=HASH.upper()), f"x509:sha256:{HASH}"),
        ):
            self.assertEqual(identity.text, text)

    def test_common_names_that_look_like_others(self) -> None:
        """A common name that looks like the hash of a key, a serial number or another name is none of these."""
        for name in ("sha256:" + "00" * 32, "serial:01@CN=ca", "san:other"):
            identity = Identity("x509", name, key_hash=HASH)
            self.assertEqual(identity.text, f"x509:sha256:{HASH}")
            self.assertNotIn(f"x509:{name}", identity.names)

    def test_names(self) -> None:
        """A credential may go by the key, the serial number with its issuer, another name or the common name."""
        identity = Identity("x509", "cn", ("a.example", "urn:dev:1"), "0A", "CN=ca,O=acme", HASH)
        self.assertEqual(
            identity.names,
            (
                f"x509:sha256:{HASH}",
                "x509:serial:0a@CN=ca,O=acme",
                "x509:san:a.example",
                "x509:san:urn:dev:1",
                "x509:cn",
            ),
        )
        self.assertEqual(Identity("psk", "p").names, ("p",))

    def test_goes_by(self) -> None:
        """An identity goes by each of its names, and by no other."""
        identity = Identity("x509", "cn", ("a.example",), "0A", "CN=ca", HASH)
        for name in identity.names:
            self.assertTrue(identity.goes_by({name, "other"}))
        for name in ("cn", "a.example", HASH, "x509:other"):
            self.assertFalse(identity.goes_by({name}))
        self.assertTrue(Identity("psk", "p").goes_by({"p"}))
        self.assertFalse(Identity("psk", "p").goes_by({"x509:p"}))
