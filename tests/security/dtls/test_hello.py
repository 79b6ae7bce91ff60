"""Hellos and cookies."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.handshake import SERVER_HELLO, Message, Reassembly
from lwm2md.security.dtls.hello import COOKIE_LENGTH, ClientHello, Cookies, Offer, client_hello, server_hello
from lwm2md.security.dtls.records import HANDSHAKE, plain
from lwm2md.security.dtls.suites import BY_NAME
from tests.security.dtls.pair import Handshake

HERE = b"\x04here"


def extension(kind: int, body: bytes) -> bytes:
    """Return an extension."""
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def body_of(*, cookie: bytes = b"", extensions: bytes | None = b"") -> bytes:
    """Return the body of a ClientHello."""
    front = b"\xfe\xfd" + bytes(range(32)) + b"\3sid" + bytes((len(cookie),)) + cookie + b"\0\4\xc0\xa8\0\xae\1\0"
    return front if extensions is None else front + len(extensions).to_bytes(2, "big") + extensions


def datagram_of(body: bytes, number: int = 9) -> bytes:
    """Return a ClientHello as a datagram."""
    return plain(HANDSHAKE, number, Message(1, 0, body).hashed)


def fragment_of(body: bytes, offset: int, size: int, number: int = 9, sequence: int = 0) -> bytes:
    """Return a piece of a ClientHello as a datagram."""
    lengths = (
        len(body).to_bytes(3, "big"),
        sequence.to_bytes(2, "big"),
        offset.to_bytes(3, "big"),
        size.to_bytes(3, "big"),
    )
    return plain(HANDSHAKE, number, b"\1" + b"".join(lengths) + body[offset : offset + size])


def hello_of(body: bytes) -> ClientHello:
    """Return what is read of a body."""
    found = client_hello(datagram_of(body))
    assert found is not None
    return found


def offer_of(extensions: bytes | None) -> Offer | None:
    """Return what a hello with these extensions offers."""
    return hello_of(body_of(extensions=extensions)).offer()


class ClientHelloTests(SynchronousTestCase):
    """What is read of a ClientHello."""

    def test_everything(self) -> None:
        """Every field is read."""
        found = hello_of(body_of(cookie=b"cookie", extensions=extension(23, b"") + extension(54, b"\2\xc1\xd0")))
        self.assertEqual((found.number, found.cookie, found.whole), (9, b"cookie", True))
        self.assertEqual(found.vouched, body_of()[:38] + b"\0\4\xc0\xa8\0\xae\1\0")
        self.assertEqual(found.offer(), Offer((0xC0A8, 0x00AE), b"\xc1\xd0"))

    def test_without_extensions(self) -> None:
        """A hello may have no extensions at all."""
        self.assertEqual(offer_of(None), Offer((0xC0A8, 0x00AE), None))

    def test_an_empty_connection_id(self) -> None:
        """A client may offer Connection IDs and want none itself."""
        self.assertEqual(offer_of(extension(54, b"\0")), Offer((0xC0A8, 0x00AE), b""))

    def test_what_is_malformed(self) -> None:
        """Lengths that don't fit, an odd row of suites and a too long session id are no hello."""
        good = body_of(cookie=b"cookie", extensions=None)
        bad = [good[:size] for size in range(len(good))]
        bad += [good.replace(b"\0\4\xc0\xa8\0\xae", b"\0\3\xc0\xa8\0"), good.replace(b"\3sid", b"\x21" + bytes(33))]
        for body in bad:
            self.assertIsNone(client_hello(datagram_of(body)), body)

    def test_a_malformed_offer(self) -> None:
        """Extensions whose lengths don't fit are no offer; nobody looks at them before the cookie is good."""
        good = body_of(extensions=extension(54, b"\2\xc1\xd0"))
        first = len(body_of(extensions=None))
        bad = [good[:size] for size in range(first + 4, len(good))] + [good + b"x"]
        bad += [body_of(extensions=extension(54, wrong)) for wrong in (b"", b"\1", b"\1ab")]
        for body in bad:
            self.assertIsNone(hello_of(body).offer(), body)

    def test_the_first_fragment(self) -> None:
        """Of a hello in fragments the first is read, if it has all that a cookie vouches for."""
        body = body_of(cookie=b"cookie", extensions=extension(21, bytes(300)))
        needed = len(body_of(cookie=b"cookie", extensions=None))
        for size in (needed, needed + 1, 200):
            found = client_hello(fragment_of(body, 0, size))
            assert found is not None
            self.assertEqual((found.cookie, found.vouched, found.whole), (b"cookie", hello_of(body).vouched, False))
            self.assertIsNone(client_hello(fragment_of(body, size, len(body) - size)))
        for size in range(needed):
            self.assertIsNone(client_hello(fragment_of(body, 0, size)), size)

    def test_what_is_no_hello(self) -> None:
        """Other messages, types, versions, epochs and lengths are none."""
        good = datagram_of(body_of())
        self.assertIsNotNone(client_hello(good))
        self.assertIsNotNone(client_hello(good + b"rubbish"))
        for bad in (
            b"",
            b"\x17" + good[1:],
            good[:3] + b"\0\1" + good[5:],
            good[:13] + b"\2" + good[14:],
            b"\x16\3\3" + good[3:],
            good[:19] + b"\0\0\1" + good[22:],
            good[:22] + (len(good) - 24).to_bytes(3, "big") + good[25:],
            good[:14] + (len(good) - 26).to_bytes(3, "big") + good[17:],
            good[:-1],
        ):
            self.assertIsNone(client_hello(bad), bad[:20])

    @given(st.binary(max_size=150))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing raises."""
        client_hello(data)
        client_hello(datagram_of(data))
        server_hello(data)
        offer_of(data)


class ServerHelloTests(SynchronousTestCase):
    """What is read of a ServerHello."""

    def test_of_openssl(self) -> None:
        """What OpenSSL chose is read out of its flight."""
        for extended in (True, False):
            shake = Handshake(BY_NAME["PSK-AES128-CCM8"], own_cid=b"SERVERID", extended=extended)
            flight = Reassembly()
            for datagram in shake.turn(from_client=False):
                flight.add(datagram)
            found = server_hello(flight.find(SERVER_HELLO) or b"")
            assert found is not None
            self.assertEqual(found.random, shake.server.connection.server_random())
            self.assertEqual((found.suite, found.cid, found.extended_master_secret), (0xC0A8, b"SERVERID", extended))

    def test_what_is_malformed(self) -> None:
        """No part of a hello is one."""
        good = b"\xfe\xfd" + bytes(32) + b"\0" + b"\xc0\xa8\0" + b"\0\7" + extension(54, b"\2\xc1\xd0")
        self.assertIsNotNone(server_hello(good))
        for size in (size for size in range(len(good)) if size != 38):
            self.assertIsNone(server_hello(good[:size]), size)


class CookieTests(SynchronousTestCase):
    """Cookies: who was there before."""

    def setUp(self) -> None:
        self.cookies = Cookies(Random(1).randbytes, period=60.0)
        self.hello = hello_of(body_of())

    def second(self, cookie: bytes) -> ClientHello:
        """Return the second hello of a client that was given this cookie."""
        return hello_of(body_of(cookie=cookie))

    def test_a_cookie_is_good_for_one_to_two_periods(self) -> None:
        """A cookie of the period before is taken, one that is older is not."""
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        self.assertEqual(len(cookie), COOKIE_LENGTH)
        for now, expected in ((0.0, True), (59.0, True), (60.0, True), (119.0, True), (120.0, False)):
            self.assertEqual(self.cookies.valid(HERE, self.second(cookie), now), expected, now)

    def test_after_a_silence(self) -> None:
        """However long nobody asked, an old cookie is old."""
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        self.assertFalse(self.cookies.valid(HERE, self.second(cookie), 1000.0))

    def test_after_a_restart(self) -> None:
        """Who keeps the root knows the cookies of before; nobody else does."""
        cookie = self.cookies.cookie(HERE, self.hello, 50.0)
        other = Cookies(Random(2).randbytes, period=60.0)
        self.assertFalse(other.valid(HERE, self.second(cookie), 70.0))
        other.keep(self.cookies.root)
        self.assertTrue(other.valid(HERE, self.second(cookie), 70.0))
        self.assertFalse(other.valid(HERE, self.second(cookie), 120.0))

    def test_it_is_good_at_one_address_for_one_hello(self) -> None:
        """From elsewhere, or with another random, the cookie is worth nothing."""
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        self.assertFalse(self.cookies.valid(b"\x04there", self.second(cookie), 0.0))
        other = hello_of(body_of(cookie=cookie).replace(b"\5\6\7", b"\5\6\6"))
        self.assertFalse(self.cookies.valid(HERE, other, 0.0))

    def test_extensions_may_differ(self) -> None:
        """Clients need not repeat their extensions (RFC 6347 section 4.2.1 names what they repeat)."""
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        other = hello_of(body_of(cookie=cookie, extensions=extension(54, b"\0")))
        self.assertTrue(self.cookies.valid(HERE, other, 0.0))

    def test_no_cookie_and_other_lengths(self) -> None:
        """A cookie is whole or none."""
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        for bad in (b"", cookie[:-1], cookie + b"x", bytes(COOKIE_LENGTH)):
            self.assertFalse(self.cookies.valid(HERE, self.second(bad), 0.0))

    def test_the_challenge(self) -> None:
        """The answer repeats the record's number, is DTLS 1.0 and smaller than what it answers."""
        challenge = self.cookies.challenge(HERE, self.hello, 0.0)
        cookie = self.cookies.cookie(HERE, self.hello, 0.0)
        body = b"\xfe\xff" + bytes((COOKIE_LENGTH,)) + cookie
        self.assertEqual(challenge, plain(HANDSHAKE, 9, Message(3, 0, body).hashed, b"\xfe\xff"))
        self.assertLessEqual(len(challenge), len(datagram_of(body_of(extensions=None))))

    def test_openssl_takes_it(self) -> None:
        """OpenSSL's client comes back with the cookie; with a server that trusts us the handshake ends well."""
        shake = Handshake(BY_NAME["PSK-AES128-CCM8"])
        shake.shake()
        self.assertEqual(len(shake.hello.cookie), COOKIE_LENGTH)
