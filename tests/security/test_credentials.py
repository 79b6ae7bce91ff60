"""Credentials: their identities, keys, rotation, and that nothing tells a key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.credentials import (
    MOST_KEYS,
    BadCredential,
    Credential,
    Key,
    Kind,
    checked_identity,
    from_row,
    key_of,
    rotated,
    to_row,
)

OLD, NEW = b"old-key-material", b"new-key-material"
KINDS: tuple[Kind, ...] = ("psk", "x509", "nosec")


class IdentityTests(SynchronousTestCase):
    """What may be an identity of which kind."""

    def test_table(self) -> None:
        """Identities that can be and that can't, by kind."""
        good: tuple[tuple[str, Kind], ...] = (
            ("sensor-1", "psk"),
            ("a", "psk"),
            ("é" * 127, "psk"),
            ("with space, comma/slash", "psk"),
            ("x509:cn", "x509"),
            ("x509:san:a.example", "x509"),
            ("x509:serial:0a1b@CN=ca,O=x", "x509"),
            ("x509:sha256:" + "ab" * 32, "x509"),
            ("nosec:sensor-1", "nosec"),
        )
        for text, kind in good:
            self.assertEqual(checked_identity(text, kind), text)
        bad: tuple[tuple[str, Kind], ...] = (
            ("", "psk"),
            ("a" * 256, "psk"),
            ("é" * 128, "psk"),
            ("a\x00b", "psk"),
            ("a\nb", "psk"),
            ("\ud800", "psk"),
            ("x509:cn", "psk"),
            ("nosec:a", "psk"),
            ("sensor-1", "x509"),
            ("x509:", "x509"),
            ("x509:sha256:ab", "x509"),
            ("x509:sha256:" + "AB" * 32, "x509"),
            ("x509:serial:0A@CN=ca", "x509"),
            ("x509:serial:0a", "x509"),
            ("x509:san:", "x509"),
            ("nosec", "nosec"),
        )
        for text, kind in bad:
            self.assertEqual(self.assertRaises(BadCredential, checked_identity, text, kind).field, "identity")

    @given(st.text(max_size=300), st.sampled_from(KINDS))
    def test_any_text(self, text: str, kind: Kind) -> None:
        """Any text is an identity of a kind, or raises BadCredential; of two kinds at once none is."""
        found = []
        for each in KINDS:
            try:
                found.append(checked_identity(text, each))
            except BadCredential:
                continue
        self.assertLessEqual(len(found), 1)


class KeyTests(SynchronousTestCase):
    """Keys, and what is told of them."""

    def test_hex(self) -> None:
        """Keys are 8 to 64 bytes in hex; what is wrong is told without what was written."""
        self.assertEqual(key_of("00FF" * 4), b"\x00\xff" * 4)
        for text in (
            "",
            "00",
            "0" * 15,
            "g" * 32,
            "00" * 65,
            "0x" + "00" * 16,
            "secretsecret",
            " " + "00" * 16,
            "٣" * 32,
        ):
            error = self.assertRaises(BadCredential, key_of, text)
            self.assertEqual(error.field, "key")
            if text.strip():
                self.assertNotIn(text, str(error))

    def test_never_shown(self) -> None:
        """No way of printing a credential shows a key."""
        credential = Credential("a", "psk", keys=(Key(OLD), Key(NEW, 5.0)))
        for text in (
            repr(credential),
            str(credential),
            f"{credential}",
            repr(credential.keys),
            str(credential.keys[0]),
        ):
            for key in (OLD, NEW):
                self.assertNotIn(key.decode(), text)
                self.assertNotIn(key.hex(), text)

    def test_rotation(self) -> None:
        """With overlap the keys before stay valid for that long and no longer; without, they end at once."""
        keys = rotated((), OLD, 0.0, 100.0)
        self.assertEqual(keys, (Key(OLD),))
        self.assertEqual(rotated(keys, NEW, 0.0, 200.0), (Key(NEW),))
        keys = rotated(keys, NEW, 50.0, 200.0)
        self.assertEqual(keys, (Key(NEW), Key(OLD, 250.0)))
        credential = Credential("a", "psk", keys=keys)
        for now, valid in ((200.0, (NEW, OLD)), (249.9, (NEW, OLD)), (250.0, (NEW,)), (1e9, (NEW,))):
            self.assertEqual(credential.valid(now), valid)
        again = rotated(keys, b"third-key", 1000.0, 210.0)
        self.assertEqual(again, (Key(b"third-key"), Key(NEW, 1210.0), Key(OLD, 250.0)))
        self.assertEqual(rotated(keys, OLD, 10.0, 210.0), (Key(OLD), Key(NEW, 220.0)))

    def test_bounded(self) -> None:
        """However often it is rotated, an identity has few keys, the newest."""
        keys: tuple[Key, ...] = ()
        for number in range(20):
            keys = rotated(keys, b"key-%05d" % number, 1e6, float(number))
        self.assertEqual([key.value for key in keys], [b"key-%05d" % number for number in (19, 18, 17, 16)])
        self.assertEqual(len(keys), MOST_KEYS)

    def test_blocked(self) -> None:
        """A blocked credential has no valid key."""
        self.assertEqual(Credential("a", "psk", keys=(Key(OLD),), blocked=True).valid(0.0), ())

    def test_rows(self) -> None:
        """A credential is read back as it was written."""
        credential = Credential(
            "a", "psk", "bootstrap", ("x-*",), (Key(OLD, 5.0),), {"farm": "n"}, "note", True, 1.0, 2.0
        )
        self.assertEqual(from_row(to_row(credential)), credential)
