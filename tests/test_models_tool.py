"""Tests of `tools.models`, which extends the table of object models."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import Models, ObjectModel, parse
from tests.lwm2m.descriptions import described, file, item
from tools.models import TABLE, extended, read

HEAD = """\
# A table.

group|place
1|Where|R|string|S
2|When|R|time|S|||1.1-

"""
OLD = "object|9|Nine|1.0|multiple|mandatory\n3|Old|RW|integer|S!|0..5|s\n+place\n"


def models(*objects: str) -> list[ObjectModel]:
    """The models of a DDF file."""
    return list(ddf.read(file(*objects)).models)


def same(models: Models) -> list[ObjectModel]:
    """Models in an order that can be compared."""
    return sorted(models, key=lambda model: (model.id, model.version))


class ExtendTests(SynchronousTestCase):
    """What becomes of a table."""

    def test_new(self) -> None:
        """A new Object is put where its id belongs, and read back as the file had it."""
        for identifier in ("8", "10"):
            table, said = extended(HEAD + OLD, models(described(ObjectID=identifier)))
            self.assertEqual(said, [])
            (found,) = models(described(ObjectID=identifier))
            self.assertEqual(parse(table).exactly(int(identifier), "1.2"), found)
            self.assertIn(OLD, table)
            self.assertEqual([each.id for each in parse(table)], sorted((9, int(identifier))))

    def test_another_version(self) -> None:
        """Another version is joined with those that are there, each Resource with the versions that have it."""
        newer = described(
            item(1, Name="Where", Type="String", RangeEnumeration="", Units="", Mandatory="Optional"),
            item(2, Name="When", Type="Time", RangeEnumeration="", Units="", Mandatory="Optional"),
            item(3, Name="Old", Operations="RW", RangeEnumeration="0..9", Units="s"),
            item(4),
            ObjectID="9",
            Name="Niner",
            ObjectVersion="1.1",
            Mandatory="Mandatory",
        )
        table, said = extended(HEAD + OLD, models(newer))
        self.assertEqual(said, [])
        self.assertEqual(
            table.removeprefix(HEAD),
            "object|9|Niner|1.0 1.1@1.1|multiple|mandatory\n+place\n3|Old|RW|integer|S!|0..5|s|-1.0\n"
            "3|Old|RW|integer|S!|0..9|s|1.1-\n4|Angle|R|integer|S!|0..180|deg|1.1-\n",
        )

    def test_shapes(self) -> None:
        """Versions of which only one is multiple have a header each."""
        table, _ = extended(HEAD + OLD, models(described(ObjectID="9", MultipleInstances="Single")))
        self.assertEqual(table.count("object|9|"), 2)
        found = parse(table)
        self.assertEqual([found.exactly(9, version) is not None for version in ("1.0", "1.2")], [True, True])

    def test_the_table_has_the_last_word(self) -> None:
        """What a file says otherwise of a version that is there is told, and not taken."""
        other = described(
            item(3, Name="Old", Operations="RW", Units="s"), item(5), ObjectID="9", ObjectVersion="1.0", Name="Ten"
        )
        table, said = extended(HEAD + OLD, models(other))
        self.assertEqual(table, HEAD + OLD)
        self.assertEqual(
            said,
            [
                "object 9 version 1.0: name 'Nine', in the file 'Ten'",
                "object 9 version 1.0: mandatory True, in the file False",
                "object 9 version 1.0: enabler '1.0', in the file '1.1'",
                "object 9 version 1.0: resource 1 is only in the table",
                "object 9 version 1.0 resource 3: range '0..5', in the file '0..180'",
                "object 9 version 1.0: resource 5 is only in the file",
            ],
        )

    def test_bars(self) -> None:
        """A bar in a name comes out of the table as it went in."""
        told = models(described(item(Name="|a| of b")))
        self.assertEqual(list(parse(extended(HEAD, told)[0])), told)

    def test_shipped(self) -> None:
        """The table that is shipped is what comes of writing all its models into an empty one."""
        shipped = TABLE.read_text("utf-8")
        head = shipped[: shipped.index("\nobject|") + 1]
        table, said = extended(head, parse(shipped))
        self.assertEqual((said, same(parse(table))), ([], same(parse(shipped))))
        self.assertEqual(extended(shipped, parse(shipped)), (shipped, []))

    def test_read(self) -> None:
        """Every file of the directories is read; one that is none is said and left out."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "1.xml").write_bytes(file())
        (directory / "2.xml").write_bytes(b"<nothing/>")
        (directory / "3.txt").write_bytes(file(described(ObjectID="1")))
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        self.assertEqual([model.id for model in read([directory])], [32770])
        self.assertIn("2.xml: line 1, nothing: an Object element", said.getvalue())
