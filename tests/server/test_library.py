"""Tests of `lwm2md.server.library`: models that operators put, over commits and restarts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import ObjectModel
from lwm2md.server import stored
from lwm2md.server.errors import BuiltInModel, LimitReached, UnknownModel
from lwm2md.server.settings import ServerSettings
from tests.lwm2m.descriptions import described, file, item
from tests.server.fixtures import Bench


def models(*objects: str) -> tuple[ObjectModel, ...]:
    """The models of a DDF file."""
    return ddf.read(file(*objects)).models


class LibraryTests(SynchronousTestCase):
    """The operator's models."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.outcomes: list[bool] = []

    def put(self, *objects: str) -> None:
        """Put models."""
        self.bench.server.library.put(models(*objects), lambda ok, _: self.outcomes.append(ok))
        self.bench.settle()

    def remove(self, identifier: int, version: str) -> None:
        """Take a model back."""
        self.bench.server.library.remove(identifier, version, lambda ok, _: self.outcomes.append(ok))
        self.bench.settle()

    def test_in_force_when_durable(self) -> None:
        """A model is in force when it is committed, not before; the same goes for its removal."""
        self.bench.hold()
        self.put(described())
        self.assertIsNone(self.bench.server.models.exactly(32770, "1.2"))
        self.bench.release()
        self.assertIsNotNone(self.bench.server.models.exactly(32770, "1.2"))
        self.bench.hold()
        self.remove(32770, "1.2")
        self.assertIsNotNone(self.bench.server.models.exactly(32770, "1.2"))
        self.bench.release(ok=False)
        self.assertIsNotNone(self.bench.server.models.exactly(32770, "1.2"))
        self.assertEqual(self.outcomes, [True, False])

    def test_restart(self) -> None:
        """What was put is there after a restart, whole; what was taken back is not."""
        self.put(described(item(0), item(1, Type="Float", RangeEnumeration="0..1")), described(ObjectVersion="2.0"))
        self.remove(32770, "2.0")
        other, faults = self.bench.restart()
        self.assertEqual(faults, [])
        kept = other.server.models.exactly(32770, "1.2")
        self.assertEqual(kept, self.bench.server.models.exactly(32770, "1.2"))
        self.assertIsNone(other.server.models.exactly(32770, "2.0"))
        assert kept is not None
        self.assertEqual(other.server.library.source(kept), "api")

    def test_bad_row(self) -> None:
        """A row that can't be read is told, and the others are in force."""
        self.put(described())
        self.bench.tables[stored.MODELS]["1:1.0"] = b"{}"
        other, faults = self.bench.restart()
        self.assertEqual(len(faults), 1)
        self.assertIsNotNone(other.server.models.exactly(32770, "1.2"))

    def test_twice_at_once(self) -> None:
        """Of two changes under way the later one is what stays."""
        self.bench.hold()
        self.put(described())
        self.put(described(Name="Gate"))
        self.bench.release()
        found = self.bench.server.models.exactly(32770, "1.2")
        assert found is not None
        self.assertEqual(found.name, "Gate")

    def test_sources(self) -> None:
        """What was put hides the directory's, and that the built-in; what was hidden comes back."""
        library = self.bench.server.library

        def name() -> str:
            found = self.bench.server.models.exactly(3303, "1.1")
            assert found is not None
            return f"{found.name} {library.source(found)}"

        self.assertEqual(name(), "Temperature built-in")
        library.use(models(described(ObjectID="3303", ObjectVersion="1.1", Name="Directory")))
        self.assertEqual(name(), "Directory directory")
        self.put(described(ObjectID="3303", ObjectVersion="1.1", Name="Put"))
        self.assertEqual(name(), "Put api")
        library.use(())
        self.assertEqual(name(), "Put api")
        self.remove(3303, "1.1")
        self.assertEqual(name(), "Temperature built-in")

    def test_refused(self) -> None:
        """What was not put can't be taken back, and no more is put than there may be."""
        self.assertRaises(BuiltInModel, self.remove, 3, "1.0")
        self.assertRaises(UnknownModel, self.remove, 3, "9.9")
        self.bench.server.configure(ServerSettings(models=1))
        self.put(described())
        self.assertRaises(LimitReached, self.put, described(ObjectVersion="2.0"))
        self.assertEqual(self.bench.tables[stored.MODELS].keys(), {"32770:1.2"})

    def test_limit_of_what_is_coming(self) -> None:
        """What is being stored counts, and no longer when it was not."""
        self.bench.server.configure(ServerSettings(models=1))
        self.bench.hold()
        self.put(described())
        self.assertRaises(LimitReached, self.put, described(ObjectVersion="2.0"))
        self.bench.release(ok=False)
        self.put(described(ObjectVersion="2.0"))
        self.assertEqual(self.bench.tables[stored.MODELS].keys(), {"32770:2.0"})
