"""The schema and the pages that are made from it."""

from __future__ import annotations

import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import Settings, load, pages
from lwm2md.config.__main__ import main, run
from lwm2md.config.schema import SECTIONS, settings_of, value_of

ROOT = Path(__file__).resolve().parents[2]


class Pages(SynchronousTestCase):
    """``etc/lwm2md.ini`` and ``docs/settings.md``."""

    def test_current(self) -> None:
        """The files of the tree are what ``python -m lwm2md.config`` writes."""
        made = Path(self.mktemp())
        main(made)
        for name in ("etc/lwm2md.ini", "docs/settings.md"):
            self.assertEqual((ROOT / name).read_text("utf-8"), (made / name).read_text("utf-8"), f"make {name} anew")

    def test_usage(self) -> None:
        """An option, or more than one directory, is refused with a usage line, and nothing is written."""
        made = Path(self.mktemp())
        for arguments in (["--help"], ["-o", str(made)], [str(made), "more"], ["-"]):
            with redirect_stderr(StringIO()) as told:
                self.assertEqual((run(arguments), made.exists()), (2, False))
            self.assertEqual(told.getvalue(), "usage: python -m lwm2md.config [DIRECTORY]\n")
        self.assertEqual((run([str(made)]), (made / "etc/lwm2md.ini").exists()), (0, True))

    def test_as_shipped(self) -> None:
        """The shipped file sets nothing."""
        self.assertEqual(load(str(ROOT / "etc/lwm2md.ini")).origins, {})

    def test_uncommented(self) -> None:
        """The shipped file with every key uncommented sets each setting to its default."""
        path = self.mktemp()
        Path(path).write_text(re.sub(r"(?m)^#(?=[a-z])", "", pages.ini()), encoding="utf-8")
        settings = load(path)
        self.assertEqual(attrs.evolve(settings, files=(), origins={}), Settings())
        keys = {(name, setting.key) for name, section in SECTIONS.items() for setting in settings_of(section)}
        self.assertEqual(set(settings.origins), keys)

    def test_lines(self) -> None:
        """No line of the shipped file is longer than a terminal of 120 columns."""
        self.assertEqual([line for line in pages.ini().splitlines() if len(line) > 120], [])


class Schema(SynchronousTestCase):
    """What the schema promises of each setting."""

    def test_defaults(self) -> None:
        """Each default is written as the type writes it, or as a person would where that is the same value."""
        for name, section in SECTIONS.items():
            for setting in settings_of(section):
                value = value_of(Settings(), name, setting.key)
                self.assertEqual(setting.kind.parse(setting.default), value)
                self.assertEqual(setting.kind.parse(setting.kind.show(value)), value)

    def test_described(self) -> None:
        """Each section and key has one line of help that says something, and no dot of its own."""
        for section in SECTIONS.values():
            self.assertTrue(section.__doc__)
            for setting in settings_of(section):
                self.assertRegex(setting.help, r"^[A-Z/][^\n]{10,}[^.\n]$")
                self.assertTrue(setting.kind.range)

    def test_frozen(self) -> None:
        """Settings do not change."""
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            Settings().coap.nosec = True  # type: ignore[misc]
