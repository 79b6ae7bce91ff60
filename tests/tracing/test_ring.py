"""Tests of lwm2md.tracing.ring: what is kept of everybody, and found of one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.records import Registration
from lwm2md.tracing.matching import ByEndpoint
from lwm2md.tracing.ring import PIECE, Ring, Seen
from tests.tracing.support import answer, peer, register, registration, request, update


class RingTests(SynchronousTestCase):
    """The last messages of all devices."""

    def setUp(self) -> None:
        """A ring, and a device at an address."""
        self.ring = Ring(1 << 20)
        self.live: dict[str, Registration] = {"a": registration("a", peer())}

    def last(self, endpoint: str = "a", limit: int = 100) -> list[Seen]:
        """What is found of a device."""
        return self.ring.last(ByEndpoint(endpoint, self.live.get).name(), limit)

    def test_in_order(self) -> None:
        """The newest messages of a device are found in the order in which they went, with time and direction."""
        for second in range(5):
            self.ring.received([(update(), peer()), (update("other"), peer(port=2))], float(second))
            self.ring.sent([(answer(n.CHANGED), peer()), (answer(n.CHANGED), peer(port=2))], second + 0.5)
        found = self.last(limit=3)
        self.assertEqual([(each.time, each.incoming) for each in found], [(3.5, False), (4.0, True), (4.5, False)])
        self.assertEqual({each.peer for each in found}, {peer()})
        self.assertEqual(len(self.last()), 10)

    def test_across_pieces(self) -> None:
        """It does not matter how messages were packed together."""
        for number in range(PIECE * 3):
            self.ring.received([(update(), peer(port=number % 7))], float(number))
        self.live["a"] = registration("a", peer(port=3), "x")
        times = [each.time for each in self.last(limit=1000)]
        self.assertEqual(times, [float(number) for number in range(PIECE * 3) if number % 7 == 3])

    def test_bounded(self) -> None:
        """Never more bytes are kept than the budget has; the oldest go."""
        for number in range(200 * PIECE):
            self.ring.received([(bytes(100), peer())], float(number))
            self.assertLessEqual(self.ring.size, 1 << 20)
        self.assertEqual(self.last(limit=1)[0].time, 200 * PIECE - 1)
        self.assertGreater(self.ring.size, 1 << 19)

    def test_resized(self) -> None:
        """A smaller budget holds at once; with none nothing is kept."""
        for number in range(10 * PIECE):
            self.ring.received([(bytes(100), peer())], float(number))
        self.ring.resize(50_000)
        self.assertLessEqual(self.ring.size, 50_000)
        self.ring.resize(0)
        self.ring.received([(update(), peer())], 1.0)
        self.assertEqual((self.ring.size, self.last()), (0, []))

    def test_earlier_addresses(self) -> None:
        """What went to and from earlier addresses of the device is found too, by the requests that named it."""
        old = peer(port=7)
        self.ring.received([(register("a"), old)], 1.0)
        self.ring.sent([(answer(n.CREATED), old)], 1.5)
        self.ring.received([(update(), peer())], 2.0)
        self.ring.sent([(answer(n.CHANGED), peer())], 2.5)
        self.ring.received([(register("ab"), peer(port=9))], 3.0)
        self.assertEqual([each.time for each in self.last()], [1.0, 1.5, 2.0, 2.5])

    def test_not_registered(self) -> None:
        """A device without a registration is found by its Register requests, and what answered them."""
        del self.live["a"]
        self.ring.received([(register("a"), peer()), (register("b"), peer(port=2))], 1.0)
        self.ring.sent([(answer(n.BAD_REQUEST), peer())], 1.5)
        self.assertEqual([each.time for each in self.last()], [1.0, 1.5])

    def test_undecodable(self) -> None:
        """Datagrams that are no CoAP are kept like others."""
        self.ring.received([(b"\xff", peer()), (b"", peer()), (b"ep=a", peer(port=3))], 1.0)
        self.assertEqual([each.data for each in self.last()], [b"\xff", b""])

    def test_other_uses_of_the_name(self) -> None:
        """Only a request for the registration or bootstrap interface names a device."""
        strange = peer(port=3)
        self.ring.received([(request(n.GET, "x", query=("ep=a",)), strange)], 1.0)
        self.ring.sent([(register("a"), strange)], 2.0)
        self.assertEqual(self.last(), [])
