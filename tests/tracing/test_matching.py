"""Tests of lwm2md.tracing.matching: whose datagram it is, and whether it holds a secret."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import decode
from lwm2md.server.records import Registration
from lwm2md.tracing.matching import ByEndpoint, ByNetwork, Secrets
from lwm2md.tracing.ring import Seen
from tests.tracing.support import answer, peer, register, registration, request, update


class EndpointTests(SynchronousTestCase):
    """The datagrams of one device."""

    def setUp(self) -> None:
        """A device that is not there yet."""
        self.live: dict[str, Registration] = {}
        self.wanted = ByEndpoint("a", self.live.get)

    def wants(self, data: bytes, at: bytes, incoming: bool = True) -> bool:
        """Whether a datagram is the device's."""
        return self.wanted.wants(data, at, incoming)

    def test_from_the_first_register(self) -> None:
        """A Register that names it is its, and what goes to and from there until the next one."""
        self.assertFalse(self.wants(b"\x40\x01\x00\x01", peer()))
        self.assertTrue(self.wants(register("a"), peer()))
        self.assertTrue(self.wants(answer(n.FORBIDDEN), peer(), False))
        self.assertTrue(self.wants(b"junk", peer()))
        self.assertFalse(self.wants(register("b"), peer(port=2)))
        self.assertTrue(self.wants(request(n.POST, "bs", query=("ep=a",)), peer(port=3)))
        self.assertFalse(self.wants(b"junk", peer()))

    def test_follows(self) -> None:
        """It follows the registration to a new address, from the Update that says so on."""
        self.live["a"] = registration("a", peer())
        self.assertTrue(self.wants(update(), peer()))
        self.assertTrue(self.wants(update(), peer(port=2)))
        self.live["a"].peer = peer(port=2)
        self.assertTrue(self.wants(answer(n.CHANGED), peer(port=2), False))
        self.assertFalse(self.wants(answer(n.CHANGED), peer(), False))

    def test_others(self) -> None:
        """Neither other registrations nor answers that repeat a name are taken for it."""
        self.live["a"] = registration("a", peer())
        self.assertFalse(self.wants(update("other"), peer(port=2)))
        self.assertFalse(self.wants(register("a"), peer(port=2), False))
        self.assertFalse(self.wants(request(n.GET, "a", query=("ep=a",)), peer(port=2)))
        self.assertFalse(self.wants(b"\x40ep=a", peer(port=2)))


class NetworkTests(SynchronousTestCase):
    """The datagrams of a range of addresses."""

    def test_prefixes(self) -> None:
        """An address is in its own prefix and in shorter ones, of its own family only."""
        for text, inside, outside in (
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.0.0.0/8", "10.200.3.4", "11.0.0.1"),
            ("10.9.9.9/8", "10.200.3.4", "9.0.0.1"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::/0", "fe80::1", "127.0.0.1"),
        ):
            wanted = ByNetwork(text)
            self.assertTrue(wanted.wants(b"", peer(inside), True), text)
            self.assertFalse(wanted.wants(b"", peer(outside), False), text)

    def test_canonical(self) -> None:
        """The prefix is shown in its usual form."""
        self.assertEqual(ByNetwork(" 10.9.9.9/8 ").text, "10.0.0.0/8")

    def test_refused(self) -> None:
        """What is no address or prefix is refused."""
        for text in ("", "x", "10.0.0.0/33", "10.0.0", "fe80::1%eth0/x", "1.2.3.4:5683"):
            self.assertRaises(ValueError, ByNetwork, text)


class SecretsTests(SynchronousTestCase):
    """Payloads that nobody is shown."""

    def setUp(self) -> None:
        """Nothing seen yet."""
        self.secrets = Secrets()

    def see(self, data: bytes, at: bytes | None = None) -> Seen:
        """Pass a datagram."""
        return self.secrets.without(Seen(1.0, False, data, at or peer()))

    def test_writes(self) -> None:
        """Payloads of requests for Security, OSCORE and COSE are overwritten, below an alternate root too."""
        for path in (("0", "1", "5"), ("21", "0"), ("23",), ("lwm2m", "0", "0", "5")):
            seen = self.see(request(n.PUT, *path, body=b"secret"))
            self.assertTrue(seen.hidden)
            self.assertEqual(decode(seen.data).payload, bytes(6))
            self.assertEqual(decode(seen.data).path, path)

    def test_answers(self) -> None:
        """So are answers to such requests, known by peer and token, until the token is used for something else."""
        self.see(request(n.GET, "0", "1", token=b"t"))
        self.assertTrue(self.see(answer(n.CONTENT, token=b"t", body=b"secret")).hidden)
        self.assertFalse(self.see(answer(n.CONTENT, token=b"t", body=b"open"), peer(port=2)).hidden)
        self.see(request(n.GET, "3", "0", token=b"t"))
        self.assertFalse(self.see(answer(n.CONTENT, token=b"t", body=b"open")).hidden)

    def test_everything_else(self) -> None:
        """Everything else is left as it is."""
        for data in (request(n.PUT, "3", "0", "14", body=b"+01"), register("a"), update("0"), b"junk", b""):
            self.assertEqual(self.see(data).data, data)

    def test_bounded(self) -> None:
        """Only so many tokens are remembered."""
        for number in range(5000):
            self.see(request(n.GET, "0", token=number.to_bytes(2, "big")))
        self.assertLess(len(self.secrets._tokens), 2000)
