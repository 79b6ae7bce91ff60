"""Handshake messages read beside OpenSSL (RFC 5246 section 7.4, RFC 6347 section 4.2): what it does not tell in time.

RULES: only what travels unprotected is read, in epoch 0, and what it says is believed by nobody: it finds a key early,
and OpenSSL, or an authenticated record, has the last word. Nothing raises on hostile bytes. What waits for the rest of
a message is bounded; a handshake that needs more is one that we can't look into.
"""

from __future__ import annotations

import struct
from operator import attrgetter
from typing import Final, NamedTuple

from lwm2md.security.dtls.records import HANDSHAKE, HEADER, number, split

CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
HELLO_VERIFY_REQUEST: Final = 3
SERVER_HELLO_DONE: Final = 14
CLIENT_KEY_EXCHANGE: Final = 16

HEAD: Final = 12
"""Octets before a fragment: type, length (3), message sequence (2), offset (3), fragment length (3)."""

_THREE: Final = 0xFFFFFF
_head: Final = struct.Struct(">IHHI").unpack_from
_MAX_MESSAGES: Final = 16
_MAX_FRAGMENTS: Final = 64


class Fragment(NamedTuple):
    """A piece of the message ``sequence``, which is ``length`` octets long."""

    kind: int
    length: int
    sequence: int
    offset: int
    body: bytes


class Message(NamedTuple):
    """A whole message."""

    kind: int
    sequence: int
    body: bytes

    @property
    def hashed(self) -> bytes:
        """What enters the hash of a handshake: as if it had been one fragment (RFC 6347 section 4.2.6)."""
        length = len(self.body).to_bytes(3, "big")
        return bytes((self.kind,)) + length + self.sequence.to_bytes(2, "big") + bytes(3) + length + self.body


def fragment_head(record: bytes, at: int) -> tuple[int, int, int, int, int]:
    """Return the type, the length of the whole message, the sequence, the offset and the own length of the fragment
    that begins at ``at``; all of its head must be there.
    """
    first, sequence, middle, last = _head(record, at)
    return first >> 24, first & _THREE, sequence, middle << 8 | last >> 24, last & _THREE


def fragments(record: bytes) -> list[Fragment]:
    """Return the fragments in an unprotected record of type handshake, up to the first that is malformed."""
    found: list[Fragment] = []
    at, limit = HEADER, len(record)
    while at + HEAD <= limit:
        kind, length, sequence, offset, size = fragment_head(record, at)
        end = at + HEAD + size
        if end > limit or offset + size > length:
            break
        found.append(Fragment(kind, length, sequence, offset, record[at + HEAD : end]))
        at = end
    return found


class Reassembly:
    """The messages of one direction of a handshake, out of datagrams in whatever order; up to ``budget`` octets."""

    __slots__ = ("_left", "_parts", "_pieces", "_whole")

    def __init__(self, budget: int = 4096) -> None:
        self._left = budget
        self._pieces = _MAX_FRAGMENTS
        self._whole: dict[int, Message] = {}
        # By message: its first fragment, and the bodies by offset.
        self._parts: dict[int, tuple[Fragment, dict[int, bytes]]] = {}

    def add(self, datagram: bytes) -> None:
        """Take what a datagram has of unprotected handshake messages."""
        for record in split(datagram)[0]:
            if record[0] == HANDSHAKE and not number(record) >> 48:
                for fragment in fragments(record):
                    self._add(fragment)

    def find(self, kind: int) -> bytes | None:
        """Return the body of the first message of this type that is whole; None if there is none."""
        found = [message for message in self._whole.values() if message.kind == kind]
        return min(found, key=_sequence).body if found else None

    def messages(self) -> list[Message]:
        """Return the messages that are whole, in their order."""
        return sorted(self._whole.values(), key=_sequence)

    def _add(self, fragment: Fragment) -> None:
        kind, length, sequence, offset, body = fragment
        known = self._parts.get(sequence)
        size = len(body)
        if sequence in self._whole or size > self._left or not self._pieces:
            return
        if known is None:
            if len(self._parts) + len(self._whole) >= _MAX_MESSAGES:
                return
            if size < length:
                known = self._parts[sequence] = (fragment, {})
        if known is not None:
            first, parts = known
            if (kind, length) != (first.kind, first.length) or size <= len(parts.get(offset, b"")):
                return
            parts[offset] = body
            body = _joined(parts)
        self._left -= size
        self._pieces -= 1
        if len(body) == length:
            self._whole[sequence] = Message(kind, sequence, body)
            self._parts.pop(sequence, None)


def psk_identity(body: bytes) -> bytes | None:
    """Return the identity in a ClientKeyExchange with a pre-shared key, with ECDHE or without (RFC 4279, 5489); None if
    it has none.
    """
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end] if len(body) >= max(end, 2) else None


def transcript(client: Reassembly, server: Reassembly) -> bytes | None:
    """Return what a master secret is bound to (RFC 7627 section 3): all messages from the ClientHello with its cookie
    to the ClientKeyExchange, of a handshake in which the client has no certificate. None if it is not all there.
    """
    ours = [message for message in server.messages() if message.kind != HELLO_VERIFY_REQUEST]
    hello = [message for message in client.messages() if message.kind == CLIENT_HELLO][-1:]
    exchange = [message for message in client.messages() if message.kind == CLIENT_KEY_EXCHANGE][:1]
    if not (ours and hello and exchange) or (ours[0].kind, ours[-1].kind) != (SERVER_HELLO, SERVER_HELLO_DONE):
        return None
    in_row = ours[-1].sequence - ours[0].sequence + 1 == len(ours)
    if not in_row or exchange[0].sequence != hello[0].sequence + 1:
        return None
    return b"".join(message.hashed for message in (*hello, *ours, *exchange))


_sequence: Final = attrgetter("sequence")


def _joined(parts: dict[int, bytes]) -> bytes:
    """Return what is there without a gap from the beginning."""
    body = b""
    for offset, part in sorted(parts.items()):
        if offset > len(body):
            break
        body += part[len(body) - offset :]
    return body
