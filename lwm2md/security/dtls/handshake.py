"""Handshake messages read beside OpenSSL (RFC 5246 section 7.4, RFC 6347 section 4.2): what it does not tell in time.

RULES: only what travels unprotected is read, in epoch 0, and what it says is believed by nobody: it finds a key early,
and OpenSSL, or an authenticated record, has the last word. Nothing raises on hostile bytes. What waits for the rest of
a message is bounded; a handshake that needs more is one that we can't look into.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lwm2md.security.dtls.records import HANDSHAKE, HEADER, number, split

CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
HELLO_VERIFY_REQUEST: Final = 3
SERVER_HELLO_DONE: Final = 14
CLIENT_KEY_EXCHANGE: Final = 16
FINISHED: Final = 20

HEAD: Final = 12
"""Octets before a fragment: type, length (3), message sequence (2), offset (3), fragment length (3)."""

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


def fragments(record: bytes) -> list[Fragment]:
    """Return the fragments in an unprotected record of type handshake, up to the first that is malformed."""
    found: list[Fragment] = []
    at = HEADER
    while at + HEAD <= len(record):
        length = int.from_bytes(record[at + 1 : at + 4], "big")
        sequence = int.from_bytes(record[at + 4 : at + 6], "big")
        offset = int.from_bytes(record[at + 6 : at + 9], "big")
        size = int.from_bytes(record[at + 9 : at + HEAD], "big")
        end = at + HEAD + size
        if end > len(record) or offset + size > length:
            break
        found.append(Fragment(record[at], length, sequence, offset, record[at + HEAD : end]))
        at = end
    return found


class Reassembly:
    """The messages of one direction of a handshake, out of datagrams in whatever order; up to ``budget`` octets."""

    __slots__ = ("_left", "_parts", "_pieces")

    def __init__(self, budget: int = 4096) -> None:
        self._left = budget
        self._pieces = _MAX_FRAGMENTS
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
        for message in self.messages():
            if message.kind == kind:
                return message.body
        return None

    def messages(self) -> list[Message]:
        """Return the messages that are whole, in their order."""
        found = []
        for sequence, (first, parts) in sorted(self._parts.items()):
            body = _joined(parts)
            if len(body) == first.length:
                found.append(Message(first.kind, sequence, body))
        return found

    def _add(self, fragment: Fragment) -> None:
        known = self._parts.get(fragment.sequence)
        if known is None:
            if len(self._parts) >= _MAX_MESSAGES:
                return
            known = self._parts[fragment.sequence] = (fragment._replace(body=b""), {})
        first, parts = known
        if (fragment.kind, fragment.length) != (first.kind, first.length):
            return
        size = len(fragment.body)
        if len(parts.get(fragment.offset, b"")) < size <= self._left and self._pieces:
            self._left -= size
            self._pieces -= 1
            parts[fragment.offset] = fragment.body


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


def _joined(parts: dict[int, bytes]) -> bytes:
    """Return what is there without a gap from the beginning."""
    body = b""
    for offset, part in sorted(parts.items()):
        if offset > len(body):
            break
        body += part[len(body) - offset :]
    return body
