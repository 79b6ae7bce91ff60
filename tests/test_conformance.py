"""The conformance page names tests that exist, and every feature that is there has one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"
VERSIONS = ("1.0", "1.1", "1.2")


def rows() -> Iterator[list[str]]:
    """The cells of every row of a table."""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


class ConformanceTests(SynchronousTestCase):
    """``docs/conformance.md``."""

    def test_named_tests_exist(self) -> None:
        """Every test that the page names can be imported."""
        names = set(re.findall(r"`(tests\.[\w.]+)`", PAGE.read_text("utf-8")))
        self.assertGreater(len(names), 150)
        for name in sorted(names):
            self.assertIsNotNone(namedAny(name), name)

    def test_claims_have_tests(self) -> None:
        """Every feature that is there, whole or in part, names its test."""
        for cells in rows():
            if len(cells) == 4 and cells[2].startswith(("yes", "part")):
                self.assertIn("`tests.", cells[3], cells)

    def test_features_of_each_version(self) -> None:
        """Every feature of the specifications has a test in both roles, or says that there is none and why."""
        found = [cells for cells in rows() if cells[0] in VERSIONS]
        self.assertGreater(len(found), 100)
        for since, feature, *roles in found:
            self.assertEqual(len(roles), 2, feature)
            for role in roles:
                said = role in {"–", "later"} or re.match(r"(no: |later[:,] )\w", role)
                tested = re.match(r"(part: .*)?`tests\.", role)
                self.assertTrue(said or tested, (since, feature, role))
