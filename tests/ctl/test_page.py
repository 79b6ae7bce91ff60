"""docs/lwm2mctl.md names every command and option that there is."""

from __future__ import annotations

import re
from argparse import _SubParsersAction
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.arguments import parser

SHARED = ("--string", "--force", "--format", "--when", "--ttl", "--retries")
"""Options that many commands have, described once."""
PAGE = Path(__file__).resolve().parents[2] / "docs" / "lwm2mctl.md"


class Page(SynchronousTestCase):
    """The page against the parser."""

    def test_complete(self) -> None:
        """Each command has a row with its own options; no row names a command that is none."""
        top = parser({})
        (found,) = [action for action in top._actions if isinstance(action, _SubParsersAction)]
        rows = re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)([^`]*)`", PAGE.read_text("utf-8"), re.MULTILINE)
        self.assertEqual({name for name, _ in rows}, set(found.choices))
        common = set(top._option_string_actions)
        for name, command in found.choices.items():
            said = " ".join(rest for each, rest in rows if each == name)
            for option in set(command._option_string_actions) - common:
                if option not in SHARED:
                    self.assertIn(option, said, name)
        text = PAGE.read_text("utf-8")
        for option in (*common - {"-h", "--help", "--version"}, *SHARED):
            self.assertIn(f"`{option}", text)
