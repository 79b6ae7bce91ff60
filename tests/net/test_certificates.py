"""Handshakes with certificates, on both sides, and what is asked of a certificate."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net.calling import ClientTerms
from lwm2md.net.certificates import ServerTerms, identity_of, is_called, strong
from lwm2md.net.openssl import Context, Material
from lwm2md.security.dtls.suites import SUITES
from tests.net.authority import Authority, Owner
from tests.net.dtlsnet import Device, Net, SecureServer, device

BY_CERTIFICATE = tuple(suite for suite in SUITES if not suite.psk)
ECDSA = tuple(suite for suite in BY_CERTIFICATE if suite.exchange == "ecdhe-ecdsa")
HOST = "lwm2m.example"


class CertificateCase(SynchronousTestCase):
    """Has authorities, and a server's certificate."""

    def setUp(self) -> None:
        """Make them."""
        self.root = Authority()
        self.between = Authority("Between", self.root)
        self.stranger = Authority("Stranger")
        self.server = self.between.issue("server", hosts=(HOST, "192.0.2.1"))

    def material(self, revoked: bytes = b"", authorities: bytes | None = None) -> Material:
        """What the server has."""
        trusted = self.root.owner.pem if authorities is None else authorities
        return Material(self.server.chain, self.server.key, trusted, revoked)

    def listen(self, net: Net, revoked: bytes = b"", server: Owner | None = None) -> SecureServer:
        """Put a server on the network."""
        if server is None:
            return SecureServer(net, suites=BY_CERTIFICATE, material=self.material(revoked))
        return SecureServer(
            net, suites=BY_CERTIFICATE, material=Material(server.chain, server.key, self.root.owner.pem, revoked)
        )

    def connect(
        self, net: Net, owner: Owner, server: ServerTerms | None = None, cid: bytes | None = None, port: int = 40000
    ) -> Device:
        """Put a device with that certificate on the network."""
        terms = server or ServerTerms(2, HOST)
        material = Material(owner.chain, owner.key, self.root.owner.pem)
        context = Context(BY_CERTIFICATE, server=False, material=material)
        return device(net, ClientTerms(context, server=terms, sni=HOST, cid=cid), port)


class ServerTest(CertificateCase):
    """What the server asks of devices."""

    def test_every_suite(self) -> None:
        """With each suite for certificates a device is who its certificate says; flights are cut to what fits."""
        rsa = self.root.issue("server", "rsa", hosts=(HOST,))
        owner = self.between.issue("device-1", hosts=("urn:dev:os:1",))
        for suite in BY_CERTIFICATE:
            net = Net()
            mine = rsa if suite.exchange == "ecdhe-rsa" else self.server
            server = SecureServer(net, suites=(suite,), material=Material(mine.chain, mine.key, self.root.owner.pem))
            one = self.connect(net, owner, cid=b"")
            self.assertEqual(one.say(b"hello"), [b"HELLO"], suite.name)
            [session] = server.seen.sessions
            self.assertEqual(session.outcome.identity, identity_of(owner.certificate))
            self.assertEqual(session.outcome.identity.text, "x509:device-1")
            self.assertEqual(session.outcome.identity.sans, ("urn:dev:os:1",))
            self.assertLessEqual(max(len(data) for data, _, _ in net.log), 1280)

    def test_refusals(self) -> None:
        """Strangers' certificates, and those that are out of date, not yet valid, revoked or weak, let nobody in."""
        revoked = self.between.issue("revoked")
        lists = self.root.revoke() + self.between.revoke(revoked)
        for owner in (
            self.stranger.issue("device"),
            self.between.issue("device", days=(-9, -1)),
            self.between.issue("device", days=(1, 9)),
            revoked,
            self.root.issue("device", "weak"),
        ):
            net = Net()
            server = self.listen(net, lists)
            self.assertEqual(self.connect(net, owner).say(b"hello", 1), [])
            self.assertEqual([cause.partition(":")[0] for _, cause in server.seen.failures], ["handshake-failed"])
            self.assertEqual(server.heard, [])
        net = Net()
        server = self.listen(net, lists)
        self.assertEqual(self.connect(net, self.between.issue("device")).say(b"hello", 1), [b"HELLO"])

    def test_list_missing(self) -> None:
        """Where there are revocation lists, a certificate whose issuer has none is refused."""
        net = Net()
        server = self.listen(net, self.root.revoke())
        self.assertEqual(self.connect(net, self.between.issue("device")).say(b"hello", 1), [])
        self.assertEqual(len(server.seen.failures), 1)

    def test_rough_network(self) -> None:
        """Flights of many fragments end in a session, however the network treats them."""
        owner = self.between.issue("device-1")
        for seed in range(12):
            net = Net()
            server = self.listen(net)
            net.rough(seed, loss=0.2, doubled=0.2, late=0.3)
            one = self.connect(net, owner, cid=(None, b"", b"\0")[seed % 3])
            heard: list[bytes] = []
            for _ in range(40):
                heard += one.say(b"hello", 4)
                if heard:
                    break
            self.assertIn(b"HELLO", heard, seed)
            self.assertEqual([cause for _, cause in server.seen.failures if cause != "timeout"], [], seed)

    def test_bad_material(self) -> None:
        """Certificates that are none, or a key of another, are refused with a reason."""
        for material in (
            Material(b"nonsense", self.server.key, self.root.owner.pem),
            Material(self.server.chain, self.root.owner.key, self.root.owner.pem),
            Material(self.server.chain, self.server.key, self.root.owner.pem, b"nonsense"),
        ):
            with self.assertRaises(ValueError) as caught:
                Context(BY_CERTIFICATE, server=True, material=material)
            self.assertTrue(str(caught.exception))


class UsageTest(CertificateCase):
    """What a device asks of the server's certificate: the Certificate Usages of LwM2M."""

    def _answer(self, terms: ServerTerms, server: Owner | None = None) -> bool:
        net = Net()
        self.listen(net, server=server)
        return self.connect(net, self.between.issue("device"), terms).say(b"hello", 1) == [b"HELLO"]

    def test_authority_in_chain(self) -> None:
        """With 0 the authority that is named must be in a chain that is good."""
        self.assertTrue(self._answer(ServerTerms(0, HOST, self.between.owner.certificate)))
        self.assertTrue(self._answer(ServerTerms(0, HOST, self.root.owner.certificate)))
        self.assertFalse(self._answer(ServerTerms(0, HOST, self.stranger.owner.certificate)))

    def test_this_certificate_in_chain(self) -> None:
        """With 1 it must be this certificate, and the chain good."""
        self.assertTrue(self._answer(ServerTerms(1, HOST, self.server.certificate)))
        self.assertFalse(self._answer(ServerTerms(1, HOST, self.between.owner.certificate)))
        foreign = self.stranger.issue("server", hosts=(HOST,))
        self.assertFalse(self._answer(ServerTerms(1, HOST, foreign.certificate), foreign))

    def test_trust_anchor(self) -> None:
        """With 2 there must be a chain to the anchor."""
        self.assertTrue(self._answer(ServerTerms(2, HOST)))
        self.assertFalse(self._answer(ServerTerms(2, HOST), self.stranger.issue("server", hosts=(HOST,))))

    def test_this_certificate_alone(self) -> None:
        """With 3 it must be this certificate, whoever signed it, whatever its dates and names are."""
        old = self.stranger.issue("whoever", days=(-9, -1))
        self.assertTrue(self._answer(ServerTerms(3, HOST, old.certificate), old))
        self.assertFalse(self._answer(ServerTerms(3, HOST, old.certificate)))

    def test_name(self) -> None:
        """But for 3 the certificate must be one of the host that was called."""
        self.assertFalse(self._answer(ServerTerms(2, "other.example")))
        self.assertTrue(self._answer(ServerTerms(2, "192.0.2.1")))
        self.assertFalse(self._answer(ServerTerms(2, "192.0.2.2")))


class NameTest(CertificateCase):
    """Whose a certificate is."""

    def test_names(self) -> None:
        """Alternative names count before the common name, one label of which may be a wildcard."""
        for hosts, name, asked, fits in (
            ((), "a.example", "A.example", True),
            (("b.example",), "a.example", "a.example", False),
            (("*.example",), "x", "a.example", True),
            (("*.example",), "x", "a.b.example", False),
            ((), "10.0.0.1", "10.0.0.1", True),
            (("10.0.0.2",), "10.0.0.1", "10.0.0.1", False),
        ):
            self.assertEqual(is_called(self.root.issue(name, hosts=hosts).certificate, asked), fits, (hosts, asked))

    def test_strength(self) -> None:
        """RSA needs 2048 bits."""
        self.assertTrue(strong(self.root.issue("x", "rsa").certificate))
        self.assertFalse(strong(self.root.issue("x", "weak").certificate))
