"""Datagrams as a pcapng file for Wireshark and tshark (draft-ietf-opsawg-pcapng: blocks 4.1, 4.2, 4.3, 4.7).

RULES: one interface of LINKTYPE_RAW: each packet is an IPv4 or IPv6 packet with UDP, made anew around the datagram with
checksums that are right. What came in DTLS records is shown opened, on the port of plain CoAP. Times are in
microseconds. What could not be decoded as CoAP says so in a comment. With secrets the records are as they were on the
wire, and a block before them all has the key log that opens them (CLIENT_RANDOM, as NSS writes it).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from lwm2md.coap.message import FormatError, decode
from lwm2md.net.addresses import FAMILY_4, FAMILY_6, PREFIX_4, PREFIX_6
from lwm2md.tracing.ring import Seen
from lwm2md.tracing.wire import Wired

MEDIA_TYPE: Final = "application/x-pcapng"
LINKTYPE_RAW: Final = 101
_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_PACKET: Final = 6
_DECRYPTION: Final = 10
_KEY_LOG: Final = 0x544C534B
_BYTE_ORDER: Final = 0x1A2B3C4D
_COMMENT: Final = 1
_APPLICATION: Final = 4
_FLAGS: Final = 2
_INBOUND: Final = 1
_OUTBOUND: Final = 2
_MICROSECONDS: Final = 1_000_000
_HOPS: Final = 64
_UDP_HEADER: Final = 8
_IPV4_HEADER: Final = 20
_NOWHERE: Final = b"\x06" + bytes(18) + b"\x20\x01\x0d\xb8" + bytes(4)
"""The beginning of an address in 2001:db8::/64, for peers of which only the session is known."""


def capture(seen: Iterable[Seen], application: str, wired: Wired | None = None) -> bytes:
    """Return the whole file; ``application`` is written into it as what made it. What is ``wired`` takes the place of
    what was in DTLS records.
    """
    return b"".join(_blocks(seen, application, wired))


def _blocks(seen: Iterable[Seen], application: str, wired: Wired | None) -> Iterator[bytes]:
    made_by = _option(_APPLICATION, application.encode()) + _END
    yield _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + made_by)
    yield _block(_INTERFACE, struct.pack("<HHI", LINKTYPE_RAW, 0, 0))
    messages = [(each, _comment(each)) for each in seen if not (each.note or (wired is not None and each.address))]
    if wired is not None:
        if wired.keys:
            yield _secrets("".join(f"{line}\n" for line in wired.keys).encode())
        messages = sorted([*messages, *((each, "") for each in wired.records)], key=lambda each: each[0].time)
    for each, comment in messages:
        yield _packet(each, comment)


def _secrets(log: bytes) -> bytes:
    return _block(_DECRYPTION, struct.pack("<II", _KEY_LOG, len(log)) + _padded(log))


def _packet(seen: Seen, comment: str) -> bytes:
    frame = packet(seen)
    moment = int(seen.time * _MICROSECONDS)
    head = struct.pack("<IIIII", 0, moment >> 32, moment & 0xFFFFFFFF, len(frame), len(frame))
    options = _option(_FLAGS, struct.pack("<I", _INBOUND if seen.incoming else _OUTBOUND))
    if comment:
        options += _option(_COMMENT, comment.encode())
    return _block(_PACKET, head + _padded(frame) + options + _END)


def _comment(seen: Seen) -> str:
    if seen.address and not seen.hidden:
        return "came, or goes, in a DTLS record"
    if seen.hidden:
        return "the payload is a secret and was overwritten with zeros"
    try:
        decode(seen.data)
    except FormatError as error:
        return f"not a CoAP message: {error}"
    return ""


def packet(seen: Seen) -> bytes:
    """Return the IP packet that carried a datagram, without its link layer."""
    peer = seen.address or seen.peer
    if peer[0] not in {FAMILY_4, FAMILY_6}:
        peer = _NOWHERE + peer[1:9] + bytes(6)
    start = PREFIX_4 if peer[0] == FAMILY_4 else PREFIX_6
    width = 4 if peer[0] == FAMILY_4 else 16
    local, remote = peer[1 : 1 + width], peer[start : start + width]
    local_port, remote_port = peer[1 + width : start], peer[start + width : start + width + 2]
    addresses = remote + local if seen.incoming else local + remote
    ports = remote_port + local_port if seen.incoming else local_port + remote_port
    length = _UDP_HEADER + len(seen.data)
    pseudo = addresses + struct.pack(">HH", socket.IPPROTO_UDP, length)
    head = ports + struct.pack(">H", length)
    checksum = _checksum(pseudo + head + b"\0\0" + seen.data)
    udp = head + struct.pack(">H", checksum) + seen.data
    if width == 16:
        return struct.pack(">IHBB", 6 << 28, length, socket.IPPROTO_UDP, _HOPS) + addresses + udp
    size = _IPV4_HEADER + length
    ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0x4000, _HOPS, socket.IPPROTO_UDP, 0) + addresses
    return ip[:10] + struct.pack(">H", _checksum(ip) % 0xFFFF) + ip[12:] + udp


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the sum of 16-bit words modulo 65535, inverted.

    Of the two zeros it is 0xFFFF, which UDP asks for: 0 would say that there is none (RFC 768).
    """
    if len(data) & 1:
        data += b"\0"
    rest = int.from_bytes(data, "big") % 0xFFFF
    return 0xFFFF - rest


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


_END: Final = struct.pack("<HH", 0, 0)
