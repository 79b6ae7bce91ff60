"""ClientHellos in fragments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.assembling import Assembly
from lwm2md.security.dtls.hello import client_hello
from lwm2md.security.dtls.records import HANDSHAKE, plain
from tests.security.dtls.test_hello import body_of, datagram_of, extension, fragment_of

BODY = body_of(cookie=b"cookie", extensions=extension(21, bytes(range(200))))
FIRST = 80


def source(address: bytes) -> bytes:
    """All but the last octet of an address."""
    return address[:-1]


def began(assembly: Assembly, address: bytes, now: float = 0.0, body: bytes = BODY) -> bytes | None:
    """Let the hello of an address begin."""
    datagram = fragment_of(body, 0, FIRST, number=5, sequence=1)
    hello = client_hello(datagram)
    assert hello is not None
    return assembly.begin(address, datagram, hello, now)


def rest(start: int = FIRST, end: int = len(BODY), number: int = 6) -> bytes:
    """Another part of it."""
    return fragment_of(BODY, start, end - start, number, 1)


class AssemblyTests(SynchronousTestCase):
    """Places for hellos."""

    def setUp(self) -> None:
        self.assembly = Assembly(source, limit=8, of_source=3)

    def test_the_whole_hello(self) -> None:
        """It is as if it had come in one datagram, with the number of its first record."""
        whole = plain(
            HANDSHAKE,
            5,
            b"\1" + len(BODY).to_bytes(3, "big") + b"\0\1" + bytes(3) + len(BODY).to_bytes(3, "big") + BODY,
        )
        for parts in ([rest()], [rest(150), rest(FIRST, 150)], [rest(FIRST, 200), rest(FIRST, 200), rest(120)]):
            self.assertIsNone(began(self.assembly, b"a1"))
            self.assertIn(b"a1", self.assembly)
            found = [self.assembly.add(b"a1", part, 1.0) for part in parts]
            self.assertEqual(found, [None] * (len(parts) - 1) + [whole])
            self.assertEqual(len(self.assembly), 0)
        self.assertEqual(client_hello(whole), client_hello(datagram_of(BODY, 5)))

    def test_all_in_one_datagram(self) -> None:
        """Fragments may share a datagram."""
        first = fragment_of(BODY, 0, FIRST, 5, 1)
        hello = client_hello(first)
        assert hello is not None
        self.assertIsNotNone(self.assembly.begin(b"a1", first + rest(), hello, 0.0))

    def test_the_first_again(self) -> None:
        """A first fragment that comes again loses nothing; that of another hello begins anew."""
        began(self.assembly, b"a1")
        self.assembly.add(b"a1", rest(150), 0.0)
        began(self.assembly, b"a1")
        self.assertIsNotNone(self.assembly.add(b"a1", rest(FIRST, 150), 0.0))
        began(self.assembly, b"a1", body=BODY.replace(b"\5\6\7", b"\7\6\5", 1))
        self.assembly.add(b"a1", rest(150), 0.0)
        began(self.assembly, b"a1")
        self.assertIsNone(self.assembly.add(b"a1", rest(FIRST, 150), 0.0))

    def test_nothing_for_strangers(self) -> None:
        """A rest of which no first fragment came before is kept by nobody."""
        self.assertIsNone(self.assembly.add(b"a1", rest(), 0.0))
        self.assertEqual(len(self.assembly), 0)

    def test_a_while(self) -> None:
        """A rest that comes too late is no use; the place is there for others."""
        began(self.assembly, b"a1")
        self.assertIsNone(self.assembly.add(b"a1", rest(), 10.0))
        began(self.assembly, b"b1", 10.0)
        self.assertEqual(len(self.assembly), 1)

    def test_limits(self) -> None:
        """A source that wants too many places loses its oldest, and all together no more than there are."""
        for address in (b"a1", b"b1", b"b2", b"b3", b"b4"):
            began(self.assembly, address)
        self.assertEqual(
            [address in self.assembly for address in (b"a1", b"b1", b"b2", b"b4")], [True, False, True, True]
        )
        for address in (b"c1", b"d1", b"e1", b"f1", b"g1", b"h1"):
            began(self.assembly, address)
        self.assertEqual(len(self.assembly), 8)
        self.assertNotIn(b"a1", self.assembly)

    def test_too_much(self) -> None:
        """What is longer than a place is never whole."""
        body = body_of(cookie=b"cookie", extensions=extension(21, bytes(5000)))
        began(self.assembly, b"a1", body=body)
        for start in range(FIRST, len(body), 500):
            self.assertIsNone(
                self.assembly.add(b"a1", fragment_of(body, start, min(500, len(body) - start), 6, 1), 0.0)
            )

    @given(
        st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, len(BODY))), max_size=12), st.binary(max_size=99)
    )
    def test_any_parts(self, cuts: list[tuple[int, int]], noise: bytes) -> None:
        """Whatever parts come in whatever order, nothing raises, and what is whole is the hello."""
        assembly = Assembly(source)
        began(assembly, b"a1")
        assembly.add(b"a1", noise, 0.0)
        for start, size in cuts:
            found = assembly.add(b"a1", fragment_of(BODY, start, min(size, len(BODY) - start), 6, 1), 0.0)
            if found is not None:
                self.assertEqual(found[25:], BODY)
                break
