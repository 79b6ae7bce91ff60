"""What ends in the server is freed at once: in a fleet that comes and goes the garbage collector finds nothing."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from tests.server.fixtures import Answer, Bench

ROUNDS = 1100
"""More than the cancelled plans that may stay in the heap of deadlines."""


class GarbageTests(SynchronousTestCase):
    """The daemon looks for garbage rarely (`service.COLLECT`), so cycles would stay in memory for long."""

    def setUp(self) -> None:
        """Begin without garbage of others, and keep what will be found."""
        self.bench = Bench()
        self.addCleanup(self.restore, gc.isenabled())
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)

    @staticmethod
    def restore(enabled: bool) -> None:
        """Collect as before."""
        gc.set_debug(0)
        gc.garbage.clear()
        if enabled:
            gc.enable()

    def assert_none(self, step: Callable[[int], None]) -> None:
        """Take a step again and again; no object of the product is left in a cycle."""
        for number in range(ROUNDS):
            step(number)
            self.bench.devices.clear()
            self.bench.events.clear()
        gc.collect()
        found = Counter(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("lwm2md."))
        self.assertEqual(found, Counter())

    def come(self, _: int) -> None:
        """Register the one device."""
        self.bench.registered()

    def come_and_go(self, number: int) -> None:
        """Register a device, and de-register it."""
        self.bench.registered(f"d{number}").deregister()

    def test_deregistered(self) -> None:
        """Devices that register and de-register leave nothing."""
        self.assert_none(self.come_and_go)

    def test_registered_again(self) -> None:
        """A device that registers again and again leaves nothing of its former registrations."""
        self.assert_none(self.come)

    def test_expired(self) -> None:
        """A registration whose lifetime is over leaves nothing."""

        def step(number: int) -> None:
            self.bench.registered(f"d{number}")
            self.bench.advance(4000)

        self.assert_none(step)

    def test_forgotten(self) -> None:
        """A device that is forgotten with a queued request leaves nothing."""

        def step(number: int) -> None:
            self.bench.registered(endpoint := f"d{number}")
            self.bench.submit(endpoint, "read", "/3/0/1")
            self.bench.server.forget(endpoint, self.bench.now, lambda *_: None)
            self.bench.advance(300)

        self.assert_none(step)

    def test_observed(self) -> None:
        """An observation that is made, answered and cancelled leaves nothing."""

        def step(_: int) -> None:
            device = self.bench.registered()
            device.answers[(n.GET, "/3303/0/5700")] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
            self.bench.submit("d", "observe", "/3303/0/5700")
            self.bench.submit("d", "cancel-observe", "/3303/0/5700")

        self.assert_none(step)

    def test_send_that_cannot_be_read(self) -> None:
        """A Send of which nothing can be read leaves nothing of its errors: each holds the frames it went through."""

        def step(_: int) -> None:
            device = self.bench.registered(links='</lw>;rt="oma.lwm2m",</lw/3/0>')
            answer = device.request(n.POST, "dp", payload=b"\x81\xa1", content_format=n.SENML_CBOR)
            self.assertEqual(answer and answer.code, n.BAD_REQUEST)

        self.assert_none(step)
