"""Tests of lwm2md.server.draining: what is taken while the daemon is drained, what ends, and what stays."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server import stored
from lwm2md.server.errors import Drained
from tests.server.fixtures import Answer, Bench


class DrainingTests(SynchronousTestCase):
    """One registered device, and a server that is to end soon."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered()

    def drain(self) -> None:
        """Begin."""
        self.bench.server.drain(self.bench.now)
        self.bench.settle()

    def test_devices(self) -> None:
        """A device that is not registered gets 5.03 with Max-Age; one that is may even register again."""
        self.drain()
        answer = self.bench.device("new", 2).register("lwm2m=1.1", "lt=300")
        assert answer is not None
        self.assertEqual((answer.code, answer.max_age), (n.SERVICE_UNAVAILABLE, 60))
        self.assertNotIn("new", self.bench.server.devices)
        answer = self.device.register("lwm2m=1.1", "lt=400")
        assert answer is not None
        self.assertEqual(answer.code, n.CREATED)
        answer = self.device.update("lt=500")
        assert answer is not None
        self.assertEqual(answer.code, n.CHANGED)
        self.bench.server.undrain(self.bench.now)
        self.bench.registered("new", 2)

    def test_operations(self) -> None:
        """No operation and no observation is taken; what was taken before under the same key is found."""
        earlier = self.bench.submit("d", "write", "/3/0/14", value="+01", key="k")
        self.drain()
        self.assertRaises(Drained, self.bench.submit, "d", "read", "/3/0/0")
        self.assertRaises(Drained, self.bench.submit, "d", "observe", "/3/0/0")
        self.assertIs(self.bench.submit("d", "write", "/3/0/14", value="+01", key="k"), earlier)

    def test_under_way(self) -> None:
        """What has left is ended; what waits behind it is stored, stays, and leaves when the draining is over."""
        first = self.bench.submit("d", "read", "/3/0/0")
        second = self.bench.submit("d", "execute", "/3/0/4")
        self.assertEqual(self.bench.server.under_way(), 1)
        self.drain()
        self.assertEqual(list(self.bench.tables[stored.OPERATIONS]), [second.id])
        self.device.reply(Answer(payload=b"Acme", content_format=n.TEXT))
        self.assertEqual((first.state, second.state, self.bench.server.under_way()), ("done", "queued", 0))
        self.device.update()
        self.assertEqual((second.state, len(self.device.requests)), ("queued", 1))
        self.bench.server.undrain(self.bench.now)
        self.bench.settle()
        self.assertEqual((second.state, len(self.device.requests)), ("sent", 2))

    def test_restart(self) -> None:
        """A restart ends the draining, and what waited leaves."""
        self.bench.submit("d", "read", "/3/0/0")
        waiting = self.bench.submit("d", "write", "/3/0/14", value="+01")
        self.drain()
        self.device.reply(Answer(payload=b"Acme", content_format=n.TEXT))
        other, faults = self.bench.restart()
        self.assertEqual((other.server.draining, faults), (False, []))
        self.assertEqual(other.server.operations[waiting.id].state, "sent")
