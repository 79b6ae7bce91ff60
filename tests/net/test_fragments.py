"""Handshakes whose messages come in fragments that contradict each other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net.addresses import Endpoint
from lwm2md.security.dtls.handshake import CLIENT_KEY_EXCHANGE
from lwm2md.security.dtls.records import HANDSHAKE, HEADER, number, plain, split
from lwm2md.security.dtls.session import LAST
from tests.net.dtlsnet import KEY, SERVER, FakeKeys, Net, SecureServer, device, psk_terms

_HEAD = HEADER + 12


class Forger(Net):
    """Cuts the ClientKeyExchange in two, behind another beginning of it."""

    beginning = b""

    def carry(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        """Take a datagram."""
        if sender != SERVER:
            data = b"".join(self._cut(record) for record in split(data)[0])
        super().carry(data, sender, receiver)

    def _cut(self, record: bytes) -> bytes:
        if number(record) >> 48:
            return record
        # So that there is room between the numbers.
        first = 4 * number(record)
        if record[0] != HANDSHAKE or record[HEADER] != CLIENT_KEY_EXCHANGE or not self.beginning:
            return record[:3] + first.to_bytes(8, "big") + record[11:]
        size = len(self.beginning)
        pieces = ((0, self.beginning), (0, record[_HEAD : _HEAD + size]), (size, record[_HEAD + size :]))
        head = record[HEADER : HEADER + 6]
        return b"".join(
            plain(HANDSHAKE, first + index, head + start.to_bytes(3, "big") + len(body).to_bytes(3, "big") + body)
            for index, (start, body) in enumerate(pieces)
        )


class FragmentTest(SynchronousTestCase):
    """What we read of a handshake beside OpenSSL may differ from what that reads."""

    def test_nobody_borrows_an_identity(self) -> None:
        """Whoever names itself to us and another one to OpenSSL proves nothing, neither now nor in a resumption."""
        for cid in (None, b""):
            net = Forger()
            net.beginning = b"\0\6devic"
            keys = FakeKeys(net.clock, {b"device": (KEY,), b"victie": (b"a key of its own",)})
            server = SecureServer(net, keys)
            thief = device(net, psk_terms(b"victie", KEY, cid=cid, resumes=cid is None))
            thief.say(b"hello", 30.0)
            self.assertEqual(keys.asked[:1], [b"device"])
            self.assertEqual(server.seen.sessions, [])
            self.assertEqual(server.heard, [])

    def test_honest_fragments(self) -> None:
        """An identity in fragments that agree is taken as it is."""
        net = Forger()
        net.beginning = b"\0\6devic"
        server = SecureServer(net)
        self.assertEqual(device(net, psk_terms()).say(b"hello", 5.0), [b"HELLO"])
        self.assertEqual([session.outcome.identity.name for session in server.seen.sessions], ["device"])


class Deafener(Net):
    """Sends a record that nobody sealed, with the highest number of all, before each datagram of a device."""

    def carry(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        """Take a datagram."""
        if sender != SERVER:
            super().carry(plain(HANDSHAKE, LAST, bytes(40)), sender, receiver)
        super().carry(data, sender, receiver)


class NumberTest(SynchronousTestCase):
    """Numbers of records that nobody has authenticated."""

    def test_a_forged_number_does_not_count(self) -> None:
        """A session hears its device whatever numbers others have used in its name during the handshake."""
        for cid in (None, b"", b"\0"):
            net = Deafener()
            SecureServer(net)
            one = device(net, psk_terms(cid=cid))
            self.assertEqual(one.say(b"hello", 5.0), [b"HELLO"])
            self.assertEqual(one.say(b"again", 5.0), [b"AGAIN"])
