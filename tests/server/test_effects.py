"""Tests of lwm2md.server.effects."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.events import Event
from lwm2md.server.effects import Joint, Write


class JointTests(SynchronousTestCase):
    """Decisions that share a commit."""

    def setUp(self) -> None:
        self.joint = Joint()
        self.resumed: list[tuple[int, bool, float]] = []

    def add(self, number: int, value: bytes = b"") -> None:
        """Add a decision that says when it goes on."""
        told = Event("device.registered", 1.0, str(number))
        self.joint.add((Write("devices", str(number), value),), (told,), partial(self._resume, number))

    def _resume(self, number: int, committed: bool, now: float) -> None:
        self.resumed.append((number, committed, now))
        if number % 2:
            raise ValueError(number)

    def test_together(self) -> None:
        """Rows, events and who goes on keep their order, and each goes on once."""
        for number in (0, 2, 4):
            self.add(number)
        commit = self.joint.commit
        self.assertEqual([write.key for write in commit.writes], ["0", "2", "4"])
        self.assertEqual(([event.endpoint for event in commit.events], commit.weight), (["0", "2", "4"], 3))
        assert commit.resume is not None
        commit.resume(False, 5.0)
        self.assertEqual(self.resumed, [(0, False, 5.0), (2, False, 5.0), (4, False, 5.0)])

    def test_one_fails(self) -> None:
        """One that fails keeps no other from going on, and is told."""
        for number in range(5):
            self.add(number)
        assert self.joint.commit.resume is not None
        with self.assertRaises(ValueError):
            self.joint.commit.resume(True, 5.0)
        self.assertEqual([number for number, *_ in self.resumed], [0, 1, 2, 3, 4])

    def test_full(self) -> None:
        """There are so many of them at most, and so many bytes."""
        for number in range(255):
            self.add(number)
        self.assertFalse(self.joint.is_full)
        self.add(255)
        self.assertTrue(self.joint.is_full)
        self.joint = Joint()
        self.add(0, bytes(1 << 18))
        self.assertTrue(self.joint.is_full)
