"""The model of the torture notices each kind of broken promise."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.torture.model import ANY, Asked, Model, Violation


class ModelTests(SynchronousTestCase):
    """What may be seen, and what may not."""

    def setUp(self) -> None:
        self.model = Model()

    def test_acknowledged(self) -> None:
        """What was acknowledged is seen, and nothing else."""
        self.model.cell("label", "d", "x").set("v1")
        self.model.see("v1", "label", "d", "x")
        self.assertRaises(Violation, self.model.see, None, "label", "d", "x")

    def test_unanswered(self) -> None:
        """A change that nobody answered was made or not; what is seen once stays."""
        self.model.cell("label", "d", "x").set("old", "new")
        self.assertRaises(Violation, self.model.see, "other", "label", "d", "x")
        self.model.see("new", "label", "d", "x")
        self.assertRaises(Violation, self.model.see, "old", "label", "d", "x")

    def test_given_by_the_daemon(self) -> None:
        """A value that the daemon gives is any, until it was seen while nobody asks for another."""
        cell = self.model.cell("registration", "d")
        cell.set(None, ANY)
        cell.busy = True
        self.model.see("abc", "registration", "d")
        self.assertFalse(cell.sure)
        cell.busy = False
        self.model.see("abc", "registration", "d")
        self.assertEqual((cell.sure, cell.value), (True, "abc"))

    def test_marks(self) -> None:
        """Twice is too often, once too often for what was refused, and never too rare for what is done."""
        body: dict[str, object] = {}
        for asked, times, fine in (
            (Asked("d", "execute", "k1k", body), 2, False),
            (Asked("d", "execute", "k1k", body), 1, True),
            (Asked("d", "execute", "k1k", body, state="failed"), 0, True),
            (Asked("d", "execute", "k1k", body, refused=True), 1, False),
            (Asked("d", "execute", "k1k", body, state="done"), 0, False),
        ):
            self.model.asked = {"k1k": asked}
            counts = {"k1k": times}
            if fine:
                self.model.check_marks("execute", lambda _, counts=counts: counts)  # type: ignore[misc]
            else:
                self.assertRaises(Violation, self.model.check_marks, "execute", lambda _, counts=counts: counts)

    def test_events(self) -> None:
        """An event that must be stored is missed."""
        self.model.expect("it was acknowledged", "value", "d", 1)
        self.model.expect("it was acknowledged", "value", "d", 2)
        due = self.model.due()
        self.model.stored("value", "d", 1)
        self.assertRaises(Violation, self.model.check_events, due)
        self.model.stored("value", "d", 2)
        self.model.check_events(due)
        self.assertEqual(self.model.due(), {})
