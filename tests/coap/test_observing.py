"""Tests of lwm2md.coap.observing: which notification is newer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.observing import Observation, is_newer

HALF = 1 << 23


class ReorderingTests(SynchronousTestCase):
    """RFC 7641 3.4 with its edges."""

    def test_vectors(self) -> None:
        """Newer is the greater number less than half the circle ahead, or anything after more than 128 seconds."""
        vectors = (
            (1, 2, 1.0, True),
            (2, 1, 1.0, False),
            (5, 5, 1.0, False),
            (16777214, 16777215, 1.0, True),
            (16777215, 0, 1.0, True),
            (0, 1, 1.0, True),
            (0, 16777215, 1.0, False),
            (0, HALF - 1, 1.0, True),
            (0, HALF, 1.0, False),
            (HALF, 0, 1.0, False),
            (HALF + 1, 0, 1.0, True),
            (2, 1, 128.0, False),
            (2, 1, 128.5, True),
            (5, 5, 129.0, True),
        )
        for old, new, later, newer in vectors:
            self.assertEqual(is_newer(old, 1000.0, new, 1000.0 + later), newer, (old, new, later))

    def test_observation(self) -> None:
        """An observation compares with the newest it has seen, not with the last one."""
        observation = Observation(lambda *_: None, None)
        seen = [observation.fresh(number, 1.0) for number in (7, 9, 8, 9, 10)]
        self.assertEqual(seen, [True, True, False, False, True])
