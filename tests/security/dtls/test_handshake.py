"""Handshake messages in the open: fragments, their joining, what is read of them."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.handshake import (
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    Message,
    Reassembly,
    fragments,
    psk_identity,
    transcript,
)
from lwm2md.security.dtls.records import HANDSHAKE, plain
from lwm2md.security.dtls.suites import BY_NAME
from tests.security.dtls.pair import IDENTITY, Handshake


def fragment(message: Message, start: int, end: int) -> bytes:
    """Return a record with a piece of a message."""
    head = bytes((message.kind,)) + len(message.body).to_bytes(3, "big") + message.sequence.to_bytes(2, "big")
    body = message.body[start:end]
    return plain(HANDSHAKE, 7, head + start.to_bytes(3, "big") + len(body).to_bytes(3, "big") + body)


class FragmentTests(SynchronousTestCase):
    """What a record holds."""

    def test_several_messages_in_a_record(self) -> None:
        """Messages stand behind one another."""
        first, second = Message(1, 0, b"abc"), Message(14, 1, b"")
        found = fragments(plain(HANDSHAKE, 0, first.hashed + second.hashed))
        self.assertEqual([(each.kind, each.sequence, each.body) for each in found], [(1, 0, b"abc"), (14, 1, b"")])

    def test_what_is_malformed(self) -> None:
        """A fragment that is longer than its record, or than its message, ends the record."""
        good = Message(1, 0, b"abc").hashed
        for bad in (good[:-1], good[:11], b"\1\0\0\1" + good[4:]):
            self.assertEqual(fragments(plain(HANDSHAKE, 0, bad)), [])
            self.assertEqual(len(fragments(plain(HANDSHAKE, 0, good + bad))), 1)

    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing raises, and no fragment goes beyond its message."""
        for each in fragments(plain(HANDSHAKE, 0, data)):
            self.assertLessEqual(each.offset + len(each.body), each.length)


class ReassemblyTests(SynchronousTestCase):
    """Messages out of fragments."""

    @given(st.binary(max_size=200), st.integers(4, 40), st.integers(0, 1 << 32))
    def test_any_order_with_duplicates_and_overlaps(self, body: bytes, size: int, seed: int) -> None:
        """A message is whole when every octet of it was there, in whatever pieces."""
        message = Message(CLIENT_KEY_EXCHANGE, 2, body)
        starts = range(0, max(len(body), 1), size)
        pieces = [fragment(message, start, start + size + 3) for start in starts]
        random = Random(seed)
        last = random.choice(pieces)
        rest = [piece for piece in pieces if piece is not last] * 2
        random.shuffle(rest)
        whole = Reassembly(100_000)
        for piece in rest:
            whole.add(piece)
        whole.add(last)
        self.assertEqual(whole.find(CLIENT_KEY_EXCHANGE), body)

    def test_a_gap(self) -> None:
        """What is not whole is not found."""
        message = Message(CLIENT_KEY_EXCHANGE, 2, b"0123456789")
        whole = Reassembly()
        whole.add(fragment(message, 0, 4))
        whole.add(fragment(message, 5, 10))
        self.assertIsNone(whole.find(CLIENT_KEY_EXCHANGE))
        whole.add(fragment(message, 3, 6))
        self.assertEqual(whole.find(CLIENT_KEY_EXCHANGE), b"0123456789")

    def test_only_what_is_in_the_open(self) -> None:
        """Records of other types and epochs are no messages."""
        record = fragment(Message(16, 2, b"abc"), 0, 3)
        whole = Reassembly()
        whole.add(b"\x17" + record[1:])
        whole.add(record[:3] + b"\0\1" + record[5:])
        self.assertEqual(whole.messages(), [])

    def test_it_is_bounded(self) -> None:
        """No more is kept than the budget, whatever arrives; small pieces count too."""
        whole = Reassembly(100)
        message = Message(16, 2, bytes(1000))
        for start in range(0, 1000, 10):
            whole.add(fragment(message, start, start + 10))
        for sequence in range(1000):
            whole.add(fragment(Message(1, sequence, b""), 0, 0))
        self.assertIsNone(whole.find(CLIENT_KEY_EXCHANGE))
        self.assertLessEqual(len(whole.messages()), 16)
        pieces = Reassembly(4096)
        for start in range(1000):
            pieces.add(fragment(message, start, start + 1))
        self.assertIsNone(pieces.find(CLIENT_KEY_EXCHANGE))

    def test_a_message_does_not_change(self) -> None:
        """Fragments that tell another type or length than the first are left out."""
        whole = Reassembly()
        whole.add(fragment(Message(16, 2, b"0123456789"), 0, 4))
        whole.add(fragment(Message(11, 2, b"0123456789"), 4, 10))
        whole.add(fragment(Message(16, 2, b"01234567891"), 4, 11))
        self.assertEqual(whole.messages(), [])

    @given(st.lists(st.binary(max_size=80), max_size=10))
    def test_any_bytes(self, datagrams: list[bytes]) -> None:
        """Nothing raises."""
        whole = Reassembly()
        for datagram in datagrams:
            whole.add(plain(HANDSHAKE, 0, datagram))
            whole.add(datagram)
        whole.messages()


class IdentityTests(SynchronousTestCase):
    """The identity in a ClientKeyExchange."""

    def test_with_and_without_ecdhe(self) -> None:
        """The identity comes first, whatever is behind it."""
        self.assertEqual(psk_identity(b"\0\3abc"), b"abc")
        self.assertEqual(psk_identity(b"\0\3abc\x20" + bytes(32)), b"abc")
        self.assertEqual(psk_identity(b"\0\0"), b"")

    def test_what_is_malformed(self) -> None:
        """An identity that is longer than its message is none."""
        for bad in (b"", b"\0", b"\0\1", b"\0\4abc"):
            self.assertIsNone(psk_identity(bad), bad)

    def test_of_openssl(self) -> None:
        """OpenSSL's identity is read out of its flight."""
        for name in ("PSK-AES128-CCM8", "ECDHE-PSK-CHACHA20-POLY1305"):
            shake = Handshake(BY_NAME[name])
            shake.turn(from_client=False)
            client = Reassembly()
            for datagram in shake.turn(from_client=True):
                client.add(datagram)
            self.assertEqual(psk_identity(client.find(CLIENT_KEY_EXCHANGE) or b""), IDENTITY)


class TranscriptTests(SynchronousTestCase):
    """What a master secret is bound to; that it is right is in the tests of keys."""

    hello = Message(CLIENT_HELLO, 1, b"hello")
    chosen = Message(SERVER_HELLO, 1, b"chosen")
    done = Message(SERVER_HELLO_DONE, 2, b"")
    exchange = Message(CLIENT_KEY_EXCHANGE, 2, b"\0\3abc")

    def found(self, client: list[Message], server: list[Message]) -> bytes | None:
        """Return the transcript of these messages."""
        directions = []
        for messages in (client, server):
            whole = Reassembly()
            for message in messages:
                whole.add(fragment(message, 0, len(message.body)))
            directions.append(whole)
        return transcript(directions[0], directions[1])

    def test_in_its_order(self) -> None:
        """All messages from the hello with its cookie to the key exchange count, but for the challenge before."""
        before = [Message(CLIENT_HELLO, 0, b"first"), self.hello, self.exchange]
        found = self.found(before, [Message(3, 0, b"cookie"), self.chosen, self.done])
        expected = [self.hello, self.chosen, self.done, self.exchange]
        self.assertEqual(found, b"".join(message.hashed for message in expected))

    def test_what_is_missing(self) -> None:
        """With a message missing there is none."""
        for client, server in (
            ([], []),
            ([self.hello], [self.chosen, self.done]),
            ([self.exchange], [self.chosen, self.done]),
            ([self.hello, self.exchange], []),
            ([self.hello, self.exchange], [self.chosen]),
            ([self.hello, self.exchange], [self.done]),
            ([self.hello, self.exchange], [self.chosen, self.done._replace(sequence=3)]),
            ([self.hello, self.exchange._replace(sequence=3)], [self.chosen, self.done]),
        ):
            self.assertIsNone(self.found(client, server))
