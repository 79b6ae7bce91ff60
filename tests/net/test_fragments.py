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


class Narrow(Net):
    """A network of which the devices' datagrams have at most ``mtu`` bytes: their hellos come in fragments."""

    mtu = 128

    def __init__(self) -> None:
        super().__init__()
        self.first = self.cut = 0

    def carry(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        """Take a datagram."""
        if sender == SERVER or data[HEADER : HEADER + 1] != b"\1" or len(data) <= self.mtu:
            super().carry(data, sender, receiver)
            return
        body, room = data[_HEAD:], self.mtu - _HEAD
        pieces = [(start, body[start : start + room]) for start in range(0, len(body), room)]
        for index, (start, piece) in enumerate(self.order(pieces)):
            place = start.to_bytes(3, "big") + len(piece).to_bytes(3, "big")
            fragment = data[HEADER : HEADER + 6] + place + piece
            super().carry(plain(HANDSHAKE, 16 * number(data) + index, fragment), sender, receiver)
        self.cut += 1

    def order(self, pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """What becomes of the pieces."""
        return pieces


class Late(Narrow):
    """The first piece of every other hello comes last."""

    def order(self, pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """What becomes of the pieces."""
        return pieces[1:] + pieces[:1] if self.cut % 2 else pieces


class HelloTest(SynchronousTestCase):
    """ClientHellos that come in fragments."""

    def test_a_narrow_network(self) -> None:
        """A device with small datagrams shakes hands, with a Connection ID and without."""
        for cid in (None, b"", b"\1\2\3"):
            net = Narrow()
            server = SecureServer(net)
            self.assertEqual(device(net, psk_terms(cid=cid)).say(b"hello", 1.0), [b"HELLO"])
            self.assertEqual(net.cut, 2)
            counters = server.port.counters
            self.assertEqual((counters["cookies_sent"], counters["handshakes_begun"]), (1, 1))

    def test_before_the_cookie(self) -> None:
        """Nothing is kept of who has no good cookie: a first fragment gets a smaller answer, a rest gets none."""
        net = Narrow()
        server = SecureServer(net)
        device(net, psk_terms()).say(b"hello", 0.0)
        net.clock.advance(0.001)
        answers = [data for data, sender, _ in net.log if sender == SERVER]
        self.assertEqual([data[HEADER] for data in answers], [3])
        self.assertLess(len(answers[0]), Narrow.mtu)
        self.assertEqual(server.port.counters["hello_fragments"], 0)
        self.assertEqual(server.port.counters["half_open"], 0)

    def test_overtaken(self) -> None:
        """A rest that overtook its first fragment is lost, and comes again with the whole flight."""
        net = Late()
        SecureServer(net)
        self.assertEqual(device(net, psk_terms()).say(b"hello", 10.0), [b"HELLO"])

    def test_a_flight_that_is_lost(self) -> None:
        """Who sends its hello in fragments once more gets the same answer once more, and no other handshake."""
        net = Narrow()
        server = SecureServer(net)
        lost = iter((True, False))
        net.fate = lambda data, sender: () if sender == SERVER and data[HEADER] == 2 and next(lost, False) else (0.001,)
        self.assertEqual(device(net, psk_terms()).say(b"hello", 10.0), [b"HELLO"])
        self.assertEqual(server.port.counters["handshakes_begun"], 1)


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
