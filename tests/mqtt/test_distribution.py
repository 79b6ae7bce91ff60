"""The plugin's distribution: what it says it needs and has, and that a wheel of it is one."""

from __future__ import annotations

import configparser
import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import ROOT
from tests.test_packaging import BUILD, imported, normal

PLUGIN = ROOT / "plugins" / "mqtt"


class DistributionTests(SynchronousTestCase):
    """setup.cfg against the code, and the wheel."""

    def setUp(self) -> None:
        self.setup = configparser.ConfigParser()
        self.setup.read(PLUGIN / "setup.cfg", encoding="utf-8")

    def test_every_import_is_required(self) -> None:
        """What the package imports is what it requires, no more and no less."""
        names: set[str] = set()
        for module in (PLUGIN / "lwm2md_mqtt").rglob("*.py"):
            names |= imported(module.read_text(encoding="utf-8"))
        names -= sys.stdlib_module_names | {"lwm2md_mqtt", "zope"}
        providers = importlib.metadata.packages_distributions()
        found = {
            normal(next(each for each in providers[name] if each != "lwm2md" or name == "lwm2md")) for name in names
        }
        required = {normal(line) for line in self.setup["options"]["install_requires"].split("\n") if line}
        self.assertEqual(found, required)

    def test_wheel(self) -> None:
        """The wheel has the code, says that it is typed, and where the daemon finds the plugin."""
        work = Path(self.mktemp()).resolve()
        copy = work / "copy"
        shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        command = [sys.executable, "-c", BUILD.format("wheel"), str(work)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (wheel,) = work.glob("lwm2md_mqtt-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (points,) = (name for name in names if name.endswith("entry_points.txt"))
            self.assertEqual(archive.read(points).decode().split("\n")[:2], ["[lwm2md]", "mqtt = lwm2md_mqtt.plugin"])
        code = {f"lwm2md_mqtt/{module.name}" for module in (PLUGIN / "lwm2md_mqtt").glob("*.py")}
        self.assertEqual((code | {"lwm2md_mqtt/py.typed"}) - set(names), set())
