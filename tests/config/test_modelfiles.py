"""Tests of `lwm2md.config.modelfiles`, and of the setting that names the directory."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import ConfigErrors, Settings, load
from lwm2md.config.changes import compare
from lwm2md.config.loader import describe
from tests.lwm2m.descriptions import described, file, item


class DirectoryTests(SynchronousTestCase):
    """A directory with DDF files."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        (self.place / "models").mkdir(parents=True)
        self.ini = self.place / "lwm2md.ini"
        self.ini.write_text("[lwm2md]\nmodels = models\n")

    def write(self, name: str, *objects: str) -> Path:
        """Put a file into the directory."""
        path = self.place / "models" / name
        path.write_bytes(file(*objects))
        return path

    def load(self) -> Settings:
        """What the INI file gives."""
        return load(str(self.ini))

    def errors(self) -> list[str]:
        """What is wrong."""
        with self.assertRaises(ConfigErrors) as caught:
            self.load()
        return list(map(str, caught.exception.errors))

    def test_read(self) -> None:
        """Every XML file in the directory is read, in the order of names, others are not."""
        self.write("b.xml", described(ObjectID="2"))
        self.write("a.xml", described(ObjectID="3"), described(ObjectID="1"))
        self.write("c.txt", "what")
        (self.place / "models" / "below").mkdir()
        self.assertEqual([model.id for model in self.load().object_models], [3, 1, 2])

    def test_none(self) -> None:
        """Without the setting, and in an empty directory, there are none."""
        self.assertEqual(self.load().object_models, ())
        self.assertEqual(load().object_models, ())

    def test_places(self) -> None:
        """A path is relative to the file that names it, on the command line to the working directory."""
        self.write("a.xml")
        drop = self.place / "conf.d"
        drop.mkdir()
        self.ini.write_text("")
        (drop / "x.ini").write_text("[lwm2md]\nmodels = ../models\n")
        self.assertEqual(len(self.load().object_models), 1)
        self.assertEqual(len(load(None, [f"lwm2md.models={self.place / 'models'}"]).object_models), 1)

    def test_all_faults_at_once(self) -> None:
        """Every wrong file is told with line and element, beside what is wrong with the settings."""
        first = self.write("a.xml", described(item(Type="Text")))
        second = self.write("b.xml", described(Name=""), described(item("x"), ObjectVersion="2.0"))
        (self.place / "models" / "c.xml").write_bytes(b"<LWM2M>\n<oops")
        (self.place / "models" / "d.xml").mkdir()
        self.ini.write_text("[lwm2md]\nmodels = models\n[queue]\nlimit = many\n")
        told = self.errors()
        self.assertEqual(len(told), 6)
        self.assertIn("[queue] limit = 'many'", told[0])
        self.assertTrue(told[1].startswith(f"{first}, line 4: Object 32770/Item 0/Type: one of string, "), told[1])
        self.assertEqual(told[2], f"{second}, line 3: Object 32770/Name: 1 to 255 characters are expected")
        self.assertEqual(told[3], f"{second}, line 7: Object 32770/Item: an id from 0 to 65534 is expected")
        self.assertRegex(told[4], r"c\.xml, line 2: LWM2M: not well-formed XML: ")
        self.assertRegex(told[5], r"d\.xml: expected a readable file \(Is a directory\)")

    def test_twice(self) -> None:
        """The same version of an Object in two files is refused."""
        first, second = self.write("a.xml"), self.write("b.xml")
        self.assertEqual(self.errors(), [f"{second}: Object 32770 version 1.2 is in {first} already"])

    def test_no_directory(self) -> None:
        """A directory that is not there is a fault of the setting."""
        self.ini.write_text("[lwm2md]\nmodels = nowhere\n")
        (told,) = self.errors()
        self.assertIn("[lwm2md] models = 'nowhere': expected a readable directory (No such file or directory)", told)

    def test_large(self) -> None:
        """A file beyond the size of any DDF file is told, not parsed."""
        (self.place / "models" / "large.xml").write_bytes(b"<a>" + b" " * (5 << 20))
        self.assertRegex(self.errors()[0], "large.xml, line 1: LWM2M: a file has at most")

    def test_remarks(self) -> None:
        """What is odd is taken, and shown by --check."""
        path = self.write("a.xml", described(item(RangeEnumeration="some")))
        lines = list(describe(self.load()))
        self.assertEqual(
            lines[-1], f"note {path}, line 4, Object 32770/Item 0/RangeEnumeration: says nothing that can be checked"
        )

    def test_reload(self) -> None:
        """Files that changed are a change of the setting; the same files are none."""
        self.write("a.xml")
        running = compare(Settings(), self.load())
        self.assertEqual(running.changed, ("[lwm2md] models",))
        self.assertEqual(compare(running.settings, self.load()).changed, ())
        self.write("a.xml", described(Name="Gate"))
        changed = compare(running.settings, self.load())
        self.assertEqual(changed.changed, ("[lwm2md] models",))
        self.assertEqual([model.name for model in changed.settings.object_models], ["Gate"])
