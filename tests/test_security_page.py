"""docs/security.md: its commands run, what they make is taken, its rules are rules, its threats have tests."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import load
from lwm2md.security.rules import parse_rule

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class PageTests(SynchronousTestCase):
    """The page."""

    def test_commands(self) -> None:
        """The commands make an authority, certificates, a revocation list and a key that the daemon takes."""
        place = Path(self.mktemp())
        place.mkdir()
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join(blocks("sh"))], cwd=place, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sensor-1.pem: OK", done.stdout)
        settings = [block for block in blocks("ini") if "[coaps]" in block or "credentials-key" in block]
        text = "\n".join(settings).replace("/etc/lwm2md/", f"{place.absolute()}/")
        whole = text.replace("[security]\n", "").replace("[coaps]\nlisten = 0.0.0.0:5684\n", "")
        (place / "lwm2md.ini").write_text(f"[security]\n{whole}", "utf-8")
        found = load(str(place / "lwm2md.ini"))
        assert found.material is not None
        self.assertIn("BEGIN X509 CRL", found.material.crl)
        self.assertIsNotNone(found.security.credentials_key)

    def test_rules(self) -> None:
        """The lines of rules are rules."""
        lines = [line for block in blocks("ini") for line in block.splitlines() if " -> " in line]
        self.assertEqual(len(lines), 5)
        for line in lines:
            parse_rule(line)

    def test_threats(self) -> None:
        """Each threat names tests that there are."""
        rows = [line for line in PAGE.partition("## Threats")[2].splitlines() if line.startswith("| ")][2:]
        self.assertGreater(len(rows), 15)
        for row in rows:
            names = re.findall(r"`(tests\.[\w.]+)`", row)
            self.assertTrue(names, row)
            for name in names:
                self.assertTrue(_exists(name), name)


def _exists(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[count:])
    return False
