"""The conformance page names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"


class ConformanceTests(SynchronousTestCase):
    """``docs/conformance.md``."""

    def test_named_tests_exist(self) -> None:
        """Every test that the page names can be imported."""
        names = set(re.findall(r"`(tests\.[\w.]+)`", PAGE.read_text("utf-8")))
        self.assertGreater(len(names), 20)
        for name in sorted(names):
            self.assertIsNotNone(namedAny(name), name)

    def test_claims_have_tests(self) -> None:
        """Every feature that is there, whole or in part, names its test."""
        for line in PAGE.read_text("utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 4 and cells[2].startswith(("yes", "part")):
                self.assertIn("`tests.", cells[3], line)
