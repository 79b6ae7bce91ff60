"""The pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


class LinkTests(SynchronousTestCase):
    """Links between pages."""

    def test_links_resolve(self) -> None:
        """Every relative link in README and in the pages leads to a file."""
        pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md"]
        links = [(page, target) for page in pages for target in LINK.findall(page.read_text("utf-8"))]
        self.assertGreater(len(links), 8)
        for page, target in links:
            self.assertTrue((page.parent / target).exists(), f"{page.name} leads to {target}")
