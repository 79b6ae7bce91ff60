"""The plugin's README against its code."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md_mqtt.requests import METHODS, Body
from lwm2md_mqtt.topics import NODES, REQUESTS, RESPONSES
from tests.mqtt import pages
from tests.mqtt.test_messages import TOPICS
from tests.processes import ROOT

README = ROOT / "plugins" / "mqtt" / "README.md"


class PageTests(SynchronousTestCase):
    """What the README says."""

    def setUp(self) -> None:
        self.text = README.read_text("utf-8")
        self.rows = [line for line in self.text.splitlines() if line.startswith("| `")]

    def test_settings(self) -> None:
        """Every key is there with its values, default and help, in the order of the code, and no other."""
        section = self.text.partition("## Settings")[2].partition("\n\n**")[0]
        self.assertEqual([row for row in section.splitlines() if row.startswith("| `")], list(pages.settings()))

    def test_metrics(self) -> None:
        """Every metric is there, and no other."""
        self.assertEqual([row for row in self.rows if row.startswith("| `lwm2md_")], list(pages.metrics()))

    def test_methods(self) -> None:
        """Every method is there, and no other."""
        section = self.text.partition("## Requests")[2].partition("An answer has")[0]
        self.assertEqual(set(re.findall(r"^\| `([A-Z-]+)`", section, re.MULTILINE)), set(METHODS))

    def test_fields(self) -> None:
        """Every field of a request is told of."""
        section = self.text.partition("## Requests")[2].partition("## Settings")[0]
        told = set(re.findall(r"[`\"]([a-z]+)[`\"]", section))
        self.assertEqual(set(Body.__struct_fields__) - told, set())

    def test_topics(self) -> None:
        """Every topic is there as the code makes it."""
        for topic in (
            TOPICS.sensor("{endpoint}", "{path}").replace("p/", "{project}/", 1),
            TOPICS.event("{endpoint}", "{event}").replace("p/", "{project}/", 1),
            f"{{project}}/{REQUESTS}/{{endpoint}}/{{method}}{{path}}",
            f"{{project}}/{RESPONSES}/{{endpoint}}/{{method}}{{path}}",
            TOPICS.online.replace("p/", "{project}/", 1).replace("/n/", "/{name}/"),
            f"{{project}}/{NODES}/{{name}}/{{event}}",
        ):
            self.assertIn(f"| `{topic}` |", self.text)

    def test_links(self) -> None:
        """Every link leads to a file."""
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", self.text)
        self.assertGreater(len(links), 2)
        for target in links:
            self.assertTrue((README.parent / Path(target)).exists(), target)
