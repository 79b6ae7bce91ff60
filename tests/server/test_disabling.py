"""Disable (OMA Core, /1/x/4): a device that was told to be silent is waited for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.server.errors import NotRegistered
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench

TEXT = Answer(payload=b"x", content_format=n.TEXT)


class DisableTests(SynchronousTestCase):
    """What the server does between the Disable and the next Register."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.register()

    def register(self) -> None:
        """Register a device that can be disabled and read."""
        self.device = self.bench.registered("d", 1)
        self.device.answers[n.POST, "/1/0/4"] = Answer(n.CHANGED)
        self.device.answers[n.GET, "/3/0/0"] = TEXT

    def _disable(self) -> None:
        operation = self.bench.submit("d", "execute", "/1/0/4")
        self.assertEqual(operation.state, "done")

    def test_waits(self) -> None:
        """What is asked for after it waits over the De-register until the device registers again."""
        self._disable()
        waiting = self.bench.submit("d", "read", "/3/0/0")
        self.assertEqual((waiting.state, len(self.device.requests)), ("queued", 1))
        self.device.deregister()
        self.bench.advance(3600)
        self.assertEqual((waiting.state, self.bench.server.devices["d"].state(self.bench.now)), ("queued", "offline"))
        self.assertNotIn(events.DEVICE_NOT_RESPONDING, self.bench.kinds())
        self.assertRaises(NotRegistered, self.bench.submit, "d", "read", "/3/0/0")
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(waiting.state, "done")

    def test_queued_before(self) -> None:
        """What stood behind the Disable in the queue does not leave in between."""
        del self.device.answers[n.POST, "/1/0/4"]
        disable = self.bench.submit("d", "execute", "/1/0/4")
        waiting = self.bench.submit("d", "read", "/3/0/0")
        self.device.reply(Answer(n.CHANGED))
        self.assertEqual((disable.state, waiting.state, len(self.device.requests)), ("done", "queued", 1))

    def test_expires(self) -> None:
        """Who never comes back: what waits expires by its own time, the registration by its own."""
        self._disable()
        waiting = self.bench.submit("d", "read", "/3/0/0", ttl=1000)
        self.bench.advance(400)
        self.assertEqual((self.bench.kinds()[-1], waiting.state), (events.DEVICE_EXPIRED, "queued"))
        self.bench.advance(601)
        self.assertEqual(waiting.state, "expired")

    def test_restart(self) -> None:
        """What was kept waits over a restart too."""
        self._disable()
        waiting = self.bench.submit("d", "read", "/3/0/0")
        self.bench.server.keep(waiting, self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.device.deregister()
        other, faults = self.bench.restart(60)
        self.assertEqual((faults, other.server.operations[waiting.id].state), ([], "queued"))
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(other.server.operations[waiting.id].state, "done")

    def test_update_after_all(self) -> None:
        """A device that goes on with Updates all the same gets what waits."""
        for query in ((), ("lt=600",)):
            self._disable()
            waiting = self.bench.submit("d", "read", "/3/0/0")
            self.assertEqual(waiting.state, "queued")
            self.device.update(*query)
            self.assertEqual(waiting.state, "done")

    def test_forgotten(self) -> None:
        """A device that is forgotten is waited for no more."""
        self._disable()
        waiting = self.bench.submit("d", "read", "/3/0/0")
        self.device.deregister()
        self.bench.server.forget("d", self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.assertEqual((waiting.state, dict(self.bench.server.devices)), ("failed", {}))

    def test_does_not_give_way(self) -> None:
        """While something waits for it the device gives way to no other and is not forgotten; later it is."""
        bench = self.bench = Bench(ServerSettings(max_devices=1, forget_after=1000.0))
        self.register()
        self._disable()
        waiting = bench.submit("d", "read", "/3/0/0", ttl=5000)
        self.device.deregister()
        refused = bench.device("new", 2).register("lt=60")
        assert refused is not None
        self.assertEqual(refused.code, n.SERVICE_UNAVAILABLE)
        bench.advance(4999)
        self.assertEqual((waiting.state, list(bench.server.devices)), ("queued", ["d"]))
        bench.advance(10)
        self.assertEqual((waiting.state, list(bench.server.devices)), ("expired", []))

    def test_refused(self) -> None:
        """A Disable that the device refuses, or a Deregister without one, changes nothing."""
        self.device.answers[n.POST, "/1/0/4"] = Answer(n.METHOD_NOT_ALLOWED)
        self.assertEqual(self.bench.submit("d", "execute", "/1/0/4").state, "failed")
        self.assertEqual(self.bench.submit("d", "read", "/3/0/0").state, "done")
        del self.device.answers[n.GET, "/3/0/0"]
        waiting = self.bench.submit("d", "read", "/3/0/0")
        self.device.deregister()
        self.assertEqual(waiting.state, "failed")

    def test_other_execute(self) -> None:
        """The Update trigger beside it, and a fourth Resource elsewhere, disable nothing."""
        for path in ("/1/0/8", "/3/0/4"):
            self.device.answers[n.POST, path] = Answer(n.CHANGED)
            self.bench.submit("d", "execute", path)
            self.assertEqual(self.bench.submit("d", "read", "/3/0/0").state, "done", path)
