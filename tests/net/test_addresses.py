"""Tests of lwm2md.net.addresses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net.addresses import Endpoint, interface, pack, parse, prefix, prefix_of, show, unpack, wildcard

ports = st.integers(0, 65535)
v4 = st.ip_addresses(v=4).map(str)


class PeerTests(SynchronousTestCase):
    """Peers as bytes and back."""

    def test_layout(self) -> None:
        """The bytes are family, local address and port, remote address and port."""
        peer = pack(Endpoint("0.0.0.0", 5683), Endpoint("192.0.2.1", 4660))
        self.assertEqual(peer.hex(), "04" + "00000000" + "1633" + "c0000201" + "1234")
        peer = pack(Endpoint("::1", 5683), Endpoint("fe80::1", 4660, 2))
        self.assertEqual(peer.hex(), "06" + "0" * 31 + "1" + "1633" + "fe80" + "0" * 27 + "1" + "1234" + "00000002")

    @given(v4, ports, v4, ports)
    def test_round_trip_4(self, local: str, local_port: int, remote: str, remote_port: int) -> None:
        """Both ends of an IPv4 peer come back, and its prefix is that of the port."""
        peer = pack(Endpoint(local, local_port), Endpoint(remote, remote_port))
        self.assertEqual(unpack(peer), (Endpoint(local, local_port), Endpoint(remote, remote_port)))
        self.assertEqual(prefix_of(peer), prefix(Endpoint(local, local_port)))

    @given(st.ip_addresses(v=6), ports, st.ip_addresses(v=6), ports, st.integers(0, 2**32 - 1))
    def test_round_trip_6(self, local: object, local_port: int, remote: object, remote_port: int, scope: int) -> None:
        """Both ends of an IPv6 peer and the scope come back; packing again gives the same bytes."""
        peer = pack(Endpoint(str(local), local_port), Endpoint(str(remote), remote_port, scope))
        ours, theirs = unpack(peer)
        self.assertEqual((ours.port, theirs.port, theirs.scope), (local_port, remote_port, scope))
        self.assertEqual(pack(ours, theirs), peer)
        self.assertEqual(prefix_of(peer), prefix(ours))

    def test_wildcard(self) -> None:
        """The wildcard of a prefix has its family and port number."""
        for host, other in (("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")):
            self.assertEqual(wildcard(prefix(Endpoint(host, 5683))), prefix(Endpoint(other, 5683)))

    def test_show(self) -> None:
        """People see the remote end; bytes that are no peer show as hex."""
        local = Endpoint("127.0.0.1", 1)
        self.assertEqual(show(pack(local, Endpoint("127.0.0.1", 5683))), "127.0.0.1:5683")
        self.assertEqual(show(pack(Endpoint("::", 1), Endpoint("::1", 5683))), "[::1]:5683")
        self.assertEqual(show(pack(Endpoint("::", 1), Endpoint("fe80::1", 5683, 3))), "[fe80::1%3]:5683")
        self.assertEqual(show(b"\x01\x02"), "0102")
        self.assertEqual(show(b""), "")

    @given(st.binary(max_size=45))
    def test_any_bytes(self, data: bytes) -> None:
        """Bytes that are no peer raise ValueError and nothing else."""
        try:
            local, remote = unpack(data)
        except ValueError:
            return
        self.assertEqual(pack(local, remote), data)


class ParseTests(SynchronousTestCase):
    """Listen addresses as people write them."""

    def test_accepted(self) -> None:
        """Literal addresses with a port, and localhost, are endpoints."""
        for text, endpoint in (
            ("127.0.0.1:5683", Endpoint("127.0.0.1", 5683)),
            ("localhost:0", Endpoint("127.0.0.1", 0)),
            (" [::1]:5683 ", Endpoint("::1", 5683)),
            ("[::]:65535", Endpoint("::", 65535)),
            ("[fe80::1%2]:5683", Endpoint("fe80::1", 5683, 2)),
            ("[fe80::1%lo]:5683", Endpoint("fe80::1", 5683, 1)),
        ):
            self.assertEqual(parse(text), endpoint)

    def test_refused(self) -> None:
        """Everything else raises ValueError that names what is wrong."""
        for text, wrong in (
            ("", "no address and port"),
            ("127.0.0.1", "no address and port"),
            (":5683", "no address and port"),
            ("127.0.0.1:65536", "65536"),
            ("127.0.0.1:", "port number"),
            ("127.0.0.1:-1", "port number"),
            ("127.0.0.1:५", "port number"),
            ("example.org:5683", "names are not looked up"),
            ("::1:5683", "brackets"),
            ("[127.0.0.1]:5683", "brackets"),
            ("[fe80::1%nope]:5683", "network interface"),
        ):
            with self.assertRaises(ValueError, msg=text) as caught:
                parse(text)
            self.assertIn(wrong, str(caught.exception))

    def test_zones(self) -> None:
        """A zone is the name or the number of an interface."""
        self.assertEqual([interface("lo"), interface("7")], [1, 7])
        for name in ("", "no-such-zone", "4294967296", "-1"):
            self.assertRaises(ValueError, interface, name)
