"""Tests of lwm2md.tracing.pcapng, by a reader of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.tracing.pcapng import capture
from lwm2md.tracing.ring import Seen
from tests.tracing.support import peer, register, request


@attrs.frozen
class Packet:
    """A packet of a capture."""

    time: float
    frame: bytes
    options: dict[int, bytes]


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The blocks of a pcapng file: type and body."""
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0 and struct.unpack_from("<I", data, size - 4)[0] == size
        yield kind, data[8 : size - 4]
        data = data[size:]


def options_of(data: bytes) -> dict[int, bytes]:
    """The options at the end of a block."""
    found: dict[int, bytes] = {}
    while True:
        code, size = struct.unpack_from("<HH", data)
        if code == 0:
            return found
        found[code] = data[4 : 4 + size]
        data = data[4 + size + -size % 4 :]


def read(data: bytes) -> list[Packet]:
    """The packets of a file with one section and one interface of raw IP packets."""
    (section, head), (interface, described), *packets = blocks(data)
    assert (section, struct.unpack_from("<IHHq", head)) == (0x0A0D0D0A, (0x1A2B3C4D, 1, 0, -1))
    assert (interface, struct.unpack("<HHI", described)) == (1, (101, 0, 0))
    found = []
    for kind, body in packets:
        number, high, low, size, original = struct.unpack_from("<IIIII", body)
        assert (kind, number, size) == (6, 0, original)
        rest = body[20 + size + -size % 4 :]
        found.append(Packet((high << 32 | low) / 1e6, body[20 : 20 + size], options_of(rest)))
    return found


def ones_sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words, by the book."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


class CaptureTests(SynchronousTestCase):
    """The file as Wireshark reads it."""

    def test_ipv4(self) -> None:
        """A datagram that came is an IPv4 packet from the peer to us, its header and checksums right."""
        data = register("a")
        (packet,) = read(capture([Seen(1700000000.25, True, data, peer())], "test"))
        frame = packet.frame
        self.assertEqual((packet.time, packet.options), (1700000000.25, {2: b"\x01\x00\x00\x00"}))
        self.assertEqual((frame[0], frame[8], frame[9], len(frame)), (0x45, 64, 17, 28 + len(data)))
        self.assertEqual(struct.unpack_from(">H", frame, 2)[0], len(frame))
        self.assertEqual((frame[12:16], frame[16:20]), (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 9))))
        self.assertEqual(struct.unpack_from(">HHH", frame, 20), (1000, 5683, 8 + len(data)))
        self.assertEqual(frame[28:], data)
        self.assertEqual(ones_sum(frame[:20]), 0xFFFF)
        self.assertEqual(ones_sum(frame[12:20] + b"\0\x11" + frame[24:26] + frame[20:]), 0xFFFF)

    def test_ipv6(self) -> None:
        """One that went is an IPv6 packet from us to the peer."""
        data = request(n.GET, "3", "0")
        (packet,) = read(capture([Seen(1.5, False, data, peer("2001:db8::1", 7))], "test"))
        frame = packet.frame
        self.assertEqual(packet.options, {2: b"\x02\x00\x00\x00"})
        self.assertEqual((frame[0] >> 4, frame[6], frame[7]), (6, 17, 64))
        self.assertEqual(struct.unpack_from(">H", frame, 4)[0], 8 + len(data))
        self.assertEqual((frame[8:24].hex()[-4:], frame[24:40].hex()[-4:]), ("0009", "0001"))
        self.assertEqual(struct.unpack_from(">HH", frame, 40), (5683, 7))
        pseudo = frame[8:40] + struct.pack(">II", 8 + len(data), 17)
        self.assertEqual(ones_sum(pseudo + frame[40:]), 0xFFFF)

    @given(st.binary(max_size=200), st.integers(0, 65535))
    def test_checksums(self, data: bytes, port: int) -> None:
        """Whatever the datagram, the checksums are right and none of UDP is zero."""
        (packet,) = read(capture([Seen(1.0, True, data, peer(port=port))], "test"))
        frame = packet.frame
        self.assertEqual(ones_sum(frame[12:20] + b"\0\x11" + frame[24:26] + frame[20:]), 0xFFFF)
        self.assertNotEqual(frame[26:28], b"\0\0")

    def test_comments(self) -> None:
        """What is no CoAP says why, and a secret that it was one."""
        junk, hidden = read(
            capture([Seen(1.0, True, b"\xff\xff", peer()), Seen(2.0, False, register("a"), peer(), True)], "test")
        )
        self.assertEqual(junk.options[1], b"not a CoAP message: shorter than a header")
        self.assertIn(b"secret", hidden.options[1])

    def test_empty(self) -> None:
        """A file without packets is a file."""
        self.assertEqual(read(capture([], "test")), [])
