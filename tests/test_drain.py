"""Tests of lwm2md.drain: when a daemon is drained."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.drain import PAUSE
from lwm2md.server.records import OperationRequest
from lwm2md.storage.interface import Batch, StorageError
from tests.http.node import TestNode

READ = "/3/0/0"


class DrainTests(SynchronousTestCase):
    """A node with one device."""

    def setUp(self) -> None:
        self.node = TestNode()
        self.device = self.node.device("a")
        self.device.mute = True

    def submit(self) -> None:
        """Ask something of the device."""
        request = {"op": "read", "path": READ}
        self.node.server.submit("a", msgspec.convert(request, OperationRequest), self.node.now())
        self.node.settle()

    def test_idle(self) -> None:
        """Where nothing is under way it is drained at once, and stays so until it is taken back."""
        drain = self.node.drain
        self.successResultOf(drain.begin())
        self.assertEqual((drain.state, drain.since), ("drained", self.node.now()))
        self.successResultOf(drain.begin())
        drain.end()
        self.assertEqual((drain.state, drain.since, self.node.server.draining), ("off", None, False))

    def test_under_way(self) -> None:
        """It waits for the end of what is under way."""
        self.submit()
        drained = self.node.drain.begin()
        self.node.advance(PAUSE)
        self.assertNoResult(drained)
        self.assertEqual(self.node.drain.state, "draining")
        self.node.advance(100)
        self.node.advance(PAUSE)
        self.successResultOf(drained)

    def test_taken_back(self) -> None:
        """What is taken back is never done, and looks no more."""
        self.submit()
        drained = self.node.drain.begin()
        self.node.drain.end()
        self.node.advance(200)
        self.assertNoResult(drained)
        self.assertEqual(self.node.drain.state, "off")

    def test_taken_back_while_storing(self) -> None:
        """So it is while the storage is at work."""
        held: list[Deferred[bool]] = []

        def commit(batch: Batch) -> Deferred[bool]:
            held.append(Deferred())
            return held[-1]

        self.patch(self.node.storage, "commit", commit)
        drained = self.node.drain.begin()
        self.node.drain.end()
        while held:
            held.pop(0).callback(True)
        self.assertNoResult(drained)
        self.assertEqual(self.node.drain.state, "off")

    def test_failing(self) -> None:
        """A storage that fails is tried again until it works."""
        real = self.node.storage.commit

        def commit(batch: Batch) -> Deferred[bool]:
            failed: Deferred[bool] = Deferred()
            failed.errback(StorageError("full"))
            return failed

        self.patch(self.node.storage, "commit", commit)
        drained = self.node.drain.begin()
        self.assertNoResult(drained)
        self.patch(self.node.storage, "commit", real)
        self.node.advance(PAUSE)
        self.successResultOf(drained)
