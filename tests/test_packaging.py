"""The distributions: what is in them, and that a wheel in an empty environment gives the commands everywhere."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import ROOT

_TREE = ("lwm2md", "twisted", "plugins", "etc", "tests", "bench", "docs", "debian", ".ci")
_FILES = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "Makefile", "README.md", "CHANGELOG.md", "LICENSE")
_BUILD = "from setuptools import build_meta; import sys; build_meta.build_{0}(sys.argv[1])"


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _imported(source: str) -> set[str]:
    """The top-level names that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


class SetupTests(SynchronousTestCase):
    """setup.cfg against the source tree."""

    def test_every_package_is_listed(self) -> None:
        """The list of packages, kept by hand, has each package of the tree and nothing else but twisted.plugins."""
        found = {".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / "lwm2md").rglob("__init__.py")}
        self.assertEqual(set(_setup()["options"]["packages"].split()), found | {"twisted.plugins"})

    def test_twisted_is_no_package_of_ours(self) -> None:
        """An __init__.py in twisted/ or twisted/plugins/ would overwrite Twisted's own."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_every_import_is_required(self) -> None:
        """What the package imports beyond the standard library is what it requires, no more and no less."""
        names: set[str] = set()
        for module in (ROOT / "lwm2md").rglob("*.py"):
            names |= _imported(module.read_text(encoding="utf-8"))
        # zope.interface is part of Twisted's own interface.
        names -= sys.stdlib_module_names | {"lwm2md", "zope"}
        providers = importlib.metadata.packages_distributions()
        # Our own distribution is a provider of "twisted" too: it has twisted/plugins.
        imported = {_normal(next(each for each in providers[name] if each != "lwm2md")) for name in names}
        required = {_normal(line) for line in _setup()["options"]["install_requires"].split("\n") if line}
        self.assertEqual(imported, required)


class DistributionTests(SynchronousTestCase):
    """A source distribution and a wheel, built from a copy so that the tree stays clean."""

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).resolve()
        self.copy = self.work / "copy"
        self.copy.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache", "*.so", "_trial_temp*")
        for name in _TREE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.copy / name, ignore=ignored)
        for name in _FILES:
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, self.copy)

    def test_source_distribution(self) -> None:
        """The source distribution has what setuptools leaves out by itself: settings, plugins, tests, documents."""
        with tarfile.open(self._build("sdist")) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        for wanted in ("etc/lwm2md.ini", "plugins/README.md", "tests/processes.py", "Makefile", "debian/README",
                       "docs/settings.md", "twisted/plugins/lwm2md_plugin.py", "LICENSE", ".ci/run", "setup.py",
                       "lwm2md/net/_batch.c", "lwm2md/net/_batch.pyi"):  # fmt: skip
            self.assertIn(wanted, names)
        self.assertEqual([name for name in names if name.endswith((".pyc", "dropin.cache"))], [])

    def test_commands_of_a_wheel_in_an_empty_environment(self) -> None:
        """Installed from a wheel, both twistd commands and lwm2mctl are found from any directory."""
        wheel = self._build("wheel")
        names = set(zipfile.ZipFile(wheel).namelist())
        data = {str(each.relative_to(ROOT)) for each in (ROOT / "lwm2md").rglob("*") if each.suffix in {".txt", ".sql"}}
        self.assertEqual(data - names, set())
        self.assertEqual({name for name in names if name.startswith("twisted/")}, {"twisted/plugins/lwm2md_plugin.py"})

        self.assertIn("lwm2md/net/_batch.abi3.so", names)
        self.assertIn("-cp311-abi3-", wheel.name)

        environment = self._environment(wheel)
        twistd = (str(environment / "bin/python"), "-c", "from twisted.scripts.twistd import run; run()")
        for command in ("lwm2md", "lwm2m-device"):
            self.assertIn("--", self._output(*twistd, "-n", command, "--help", cwd="/"))
        self.assertEqual(self._output(*twistd, "-n", "lwm2md", "--check", cwd="/").splitlines()[-1], "ok")
        self.assertIn("devices", self._output(str(environment / "bin/lwm2mctl"), "--help", cwd="/"))

    def test_without_a_compiler(self) -> None:
        """Where nothing can be compiled the wheel is built all the same, and its ports take datagrams one by one."""
        wheel = self._build("wheel", "CC=false")
        self.assertEqual([name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".c"))], [])
        environment = self._environment(wheel)
        program = (
            "from twisted.internet import reactor; from lwm2md.net import udp, addresses;"
            "print(udp.listen(reactor, addresses.Endpoint('127.0.0.1', 0)).batched)"
        )
        printed = self._output(str(environment / "bin/python"), "-c", program, cwd="/")
        self.assertEqual(printed.splitlines()[-1], "False")

    def _environment(self, wheel: Path) -> Path:
        """A new environment with the wheel; the libraries are those of this one, seen through a .pth."""
        environment = self.work / "environment"
        self._output(sys.executable, "-m", "venv", "--without-pip", str(environment))
        pip = (sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install", "-q")
        self._output(*pip, "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel))
        packages = next(environment.glob("lib/python*/site-packages"))
        # Only the path: a .pth of that directory, such as our own editable installation, is not read from here.
        (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        return environment

    def _build(self, kind: str, *variables: str) -> Path:
        target = self.work / kind
        target.mkdir()
        self._output("env", *variables, sys.executable, "-c", _BUILD.format(kind), str(target), cwd=str(self.copy))
        return next(target.iterdir())

    def _output(self, *command: str, cwd: str | None = None) -> str:
        """Run a command without our PYTHONPATH; returns its output. Fails the test with all of it."""
        done = subprocess.run(
            ["/usr/bin/env", "-u", "PYTHONPATH", *command],
            cwd=cwd or self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}")
        return done.stdout


def _normal(requirement: str) -> str:
    """The normalized name of a distribution in a requirement such as ``twisted[tls] >= 24.7``."""
    match = re.match(r"\s*([\w.-]+)", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[1]).lower()
