"""Tests of lwm2md.coap.shelf: bounded in bytes, entries for each peer, and time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.shelf import Shelf

A, B, C = (b"a", 1), (b"a", 2), (b"b", 1)


class ShelfTests(SynchronousTestCase):
    """What a shelf keeps."""

    def shelf(self, budget: int = 10_000, per_peer: int = 9) -> Shelf[str]:
        """Return a shelf with a lifetime of 100 seconds."""
        return Shelf(100.0, budget, per_peer)

    def test_lifetime(self) -> None:
        """An entry leaves a lifetime after it was put or touched."""
        shelf = self.shelf()
        shelf.put(A, "a", 10, 0.0)
        shelf.put(C, "c", 10, 10.0)
        self.assertEqual(shelf.next_deadline(), 100.0)
        shelf.touch(A, 5, 50.0)
        self.assertEqual(shelf.next_deadline(), 110.0)
        self.assertIsNone(shelf.get(C, 110.0))
        shelf.expire(110.0)
        self.assertEqual((shelf.get(A, 149.0), shelf.get(A, 150.0), len(shelf)), ("a", None, 1))
        shelf.expire(150.0)
        self.assertEqual((len(shelf), shelf.next_deadline()), (0, None))

    def test_budget(self) -> None:
        """The oldest go where the budget is spent; what can't fit at all is not kept."""
        shelf = self.shelf(budget=2000)
        shelf.put(A, "a", 300, 0.0)
        self.assertTrue(shelf.has_room(300))
        shelf.put(C, "c", 300, 1.0)
        self.assertFalse(shelf.has_room(300))
        shelf.put(B, "b", 300, 2.0)
        self.assertEqual([shelf.get(key, 3.0) for key in (A, B, C)], [None, "b", "c"])
        shelf.put(A, "a", 3000, 3.0)
        self.assertEqual([shelf.get(key, 3.0) for key in (A, B, C)], [None, "b", "c"])

    def test_per_peer(self) -> None:
        """A peer with too many loses its own oldest, nobody else's."""
        shelf = self.shelf(per_peer=1)
        shelf.put(C, "c", 10, 0.0)
        shelf.put(A, "a", 10, 1.0)
        shelf.put(B, "b", 10, 2.0)
        self.assertEqual([shelf.get(key, 3.0) for key in (A, B, C)], [None, "b", "c"])

    def test_replaced(self) -> None:
        """Putting again replaces; taking out what is not there is no error."""
        shelf = self.shelf()
        shelf.put(A, "a", 10, 0.0)
        shelf.put(A, "A", 20, 1.0)
        self.assertEqual((shelf.get(A, 2.0), len(shelf)), ("A", 1))
        shelf.pop(A)
        shelf.pop(A)
        self.assertEqual(len(shelf), 0)

    @given(st.lists(st.tuples(st.sampled_from((A, B, C)), st.integers(0, 900), st.floats(0, 300)), max_size=30))
    def test_accounts(self, puts: list[tuple[tuple[bytes, int], int, float]]) -> None:
        """Whatever is put, bytes and owners add up, the budget holds, and in the end nothing is left."""
        shelf = self.shelf(budget=2500, per_peer=2)
        for key, size, now in sorted(puts, key=lambda put: put[2]):
            shelf.expire(now)
            shelf.put(key, "x", size, now)
            self.assertEqual(shelf._spent, sum(entry.size for entry in shelf._entries.values()))
            self.assertLessEqual(shelf._spent, 2500)
            self.assertEqual(sum(map(len, shelf._owned.values())), len(shelf))
        shelf.expire(1000.0)
        self.assertEqual((shelf._spent, shelf._owned, len(shelf)), (0, {}, 0))
