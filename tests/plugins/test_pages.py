"""The guide is held to the code: its example, every hook, every method of the context."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.hookspecs import SPECIFIED
from lwm2md.plugins import PluginContext
from lwm2md.plugins.measuring import RESERVED
from lwm2md.plugins.plugin import COUNTERS
from tests.plugins.pages import PAGE, made
from tests.processes import ROOT


class PageTests(SynchronousTestCase):
    """``docs/plugins.md``."""

    def test_made_of_the_code(self) -> None:
        """The example in the guide is the one that is tested, and its hooks are those of the specification."""
        text = PAGE.read_text("utf-8")
        self.assertTrue(text == made(text), "python -m tests.plugins.pages makes it anew")
        self.assertTrue((ROOT / "examples/doorbell/lwm2md_doorbell.py").read_text("utf-8") in text)
        for name in SPECIFIED:
            self.assertEqual(text.count(f"\n### `{name}("), 1, name)

    def test_context(self) -> None:
        """Everything public of a context is in the guide."""
        text = PAGE.read_text("utf-8")
        public = {name for name in vars(PluginContext) if not name.startswith("_")} - {
            "add",
            "check",
            "close",
            "finish",
        }
        self.assertEqual([name for name in public if f"`{name}" not in text], [])

    def test_examples(self) -> None:
        """Every hook is in one of the examples."""
        sources = "".join(file.read_text("utf-8") for file in (ROOT / "examples").rglob("*.py"))
        missing = [name for name in SPECIFIED if f"def {name}(" not in sources]
        self.assertEqual(missing, [])

    def test_reserved_metrics(self) -> None:
        """What the daemon measures of a plugin no plugin can declare."""
        self.assertLessEqual(set(COUNTERS), RESERVED)
