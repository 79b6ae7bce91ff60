"""The distributions: what is in them, and that a wheel in an empty environment gives the commands everywhere."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from tests.processes import ROOT

_TREE = ("lwm2md", "twisted", "plugins", "etc", "examples", "tests", "bench", "docs", "debian", ".ci")
_FILES = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "Makefile", "README.md", "CHANGELOG.md", "LICENSE")
BUILD = "from setuptools import build_meta; import sys; build_meta.build_{0}(sys.argv[1])"


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def imported(source: str) -> set[str]:
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
            names |= imported(module.read_text(encoding="utf-8"))
        # zope.interface is part of Twisted's own interface.
        names -= sys.stdlib_module_names | {"lwm2md", "zope"}
        providers = importlib.metadata.packages_distributions()
        # Our own distribution is a provider of "twisted" too: it has twisted/plugins.
        used = {normal(next(each for each in providers[name] if each != "lwm2md")) for name in names}
        required = {normal(line) for line in _setup()["options"]["install_requires"].split("\n") if line}
        self.assertEqual(used, required)


class Building(SynchronousTestCase):
    """Builds from a copy, so that the tree stays clean."""

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

    def _environment(self, *wheels: Path) -> Path:
        """A new environment with the wheels; the libraries are those of this one, seen through a .pth."""
        environment = self.work / "environment"
        self._output(sys.executable, "-m", "venv", "--without-pip", str(environment))
        pip = (sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install", "-q")
        self._output(*pip, "--no-deps", "--no-index", "--disable-pip-version-check", *map(str, wheels))
        packages = next(environment.glob("lib/python*/site-packages"))
        # Only the path: a .pth of that directory, such as our own editable installation, is not read from here.
        (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        return environment

    def _build(self, kind: str, *variables: str, source: Path | None = None) -> Path:
        place = source or self.copy
        target = self.work / f"{kind}-of-{place.name}"
        target.mkdir()
        self._output("env", *variables, sys.executable, "-c", BUILD.format(kind), str(target), cwd=str(place))
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


class DistributionTests(Building):
    """A source distribution and a wheel."""

    def test_source_distribution(self) -> None:
        """The source distribution has what setuptools leaves out by itself: settings, plugins, tests, documents."""
        with tarfile.open(self._build("sdist")) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        for wanted in ("etc/lwm2md.ini", "plugins/README.md", "tests/processes.py", "Makefile", "debian/README",
                       "docs/settings.md", "twisted/plugins/lwm2md_plugin.py", "LICENSE", ".ci/run", "setup.py",
                       "lwm2md/net/_batch.c", "lwm2md/net/_batch.pyi", "lwm2md/coap/_places.c"):  # fmt: skip
            self.assertIn(wanted, names)
        self.assertEqual([name for name in names if name.endswith((".pyc", "dropin.cache"))], [])

    def test_commands_of_a_wheel_in_an_empty_environment(self) -> None:
        """Installed from a wheel, both twistd commands and lwm2mctl are found from any directory."""
        wheel = self._build("wheel")
        names = set(zipfile.ZipFile(wheel).namelist())
        data = {str(each.relative_to(ROOT)) for each in (ROOT / "lwm2md").rglob("*") if each.suffix in {".txt", ".sql"}}
        self.assertEqual(data - names, set())
        self.assertEqual({name for name in names if name.startswith("twisted/")}, {"twisted/plugins/lwm2md_plugin.py"})

        self.assertLess({"lwm2md/coap/_places.abi3.so", "lwm2md/net/_batch.abi3.so"}, names)
        self.assertIn("-cp311-abi3-", wheel.name)

        environment = self._environment(wheel)
        twistd = (str(environment / "bin/python"), "-c", "from twisted.scripts.twistd import run; run()")
        for command in ("lwm2md", "lwm2m-device"):
            self.assertIn("--", self._output(*twistd, "-n", command, "--help", cwd="/"))
        self.assertEqual(self._output(*twistd, "-n", "lwm2md", "--check", cwd="/").splitlines()[-1], "ok")
        self.assertIn("devices", self._output(str(environment / "bin/lwm2mctl"), "--help", cwd="/"))

    def test_without_a_compiler(self) -> None:
        """Where nothing can be compiled the wheel is built all the same, and datagrams are taken one by one."""
        wheel = self._build("wheel", "CC=false")
        self.assertEqual([name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".c"))], [])
        environment = self._environment(wheel)
        program = (
            "from twisted.internet import reactor; from lwm2md.net import udp, addresses;"
            "from lwm2md.coap.places import PlainPlaces, QuickPlaces;"
            "print(udp.listen(reactor, addresses.Endpoint('127.0.0.1', 0)).batched, QuickPlaces is PlainPlaces)"
        )
        printed = self._output(str(environment / "bin/python"), "-c", program, cwd="/")
        self.assertEqual(printed.splitlines()[-1], "False True")


class ThirdPartyTests(Building):
    """A plugin of somebody else, from a wheel."""

    def test_runs(self) -> None:
        """The plugin of the guide, built and installed beside the daemon, is checked, runs, and has its command."""
        plugin = self._build("wheel", source=self.copy / "examples" / "doorbell")
        environment = self._environment(self._build("wheel"), plugin)
        config = self.work / "lwm2md.ini"
        config.write_text(
            "[coap]\nlisten = 127.0.0.1:0\n[api]\nlisten = 127.0.0.1:0\n"
            f"[plugins]\nenable = doorbell\n[plugin:doorbell]\nfile = {self.work / 'rung'}\n"
        )
        twistd = (str(environment / "bin/python"), "-c", "from twisted.scripts.twistd import run; run()")
        daemon = ("--pidfile=", "-n", "lwm2md", "--config", str(config))
        checked = self._output(*twistd, *daemon, "--check").splitlines()
        self.assertIn("plugin doorbell (lwm2md-doorbell 1.0)", checked)
        self.assertIn(f"[plugin:doorbell] file = {self.work / 'rung'} ({config})", checked)
        process = subprocess.Popen(
            ["/usr/bin/env", "-u", "PYTHONPATH", *twistd, *daemon], cwd=self.work, stdout=subprocess.PIPE, text=True
        )
        try:
            self._use(process, str(environment / "bin/lwm2mctl"))
        finally:
            process.terminate()
            process.communicate(timeout=30)
        self.assertEqual((self.work / "rung").read_text(), "ding: visitor\nsilence\n")

    def _use(self, process: subprocess.Popen[str], lwm2mctl: str) -> None:
        """Register a device, and ask the plugin who rang."""
        coap = self._said(process, r"listening on coap://([\d.]+):(\d+)")
        url = self._said(process, r"api on (http://\S+)")[1]
        token = str(self.work / "lwm2md-state" / "admin.token")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.settimeout(10)
            asked = options(path=("rd",), query=("ep=visitor", "lwm2m=1.1", "lt=60"), content_format=40)
            device.sendto(encode(Message(n.CON, n.POST, 1, b"", asked, b"</3/0>")), (coap[1], int(coap[2])))
            self.assertEqual(decode(device.recv(2000)).code, n.CREATED)
        ctl = (lwm2mctl, "--url", url, "--token-file", token, "--json")
        self.assertIn('"state":"running"', self._output(*ctl, "plugins"))
        deadline = time.monotonic() + 10
        while not (rang := self._output(*ctl, "doorbell")).endswith('{"items":["visitor"]}\n'):
            self.assertLess(time.monotonic(), deadline, rang)

    def _said(self, process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
        assert process.stdout is not None
        for line in process.stdout:
            if (found := re.search(pattern, line)) is not None:
                return found
        raise AssertionError(f"the daemon ended without {pattern}")


def normal(requirement: str) -> str:
    """The normalized name of a distribution in a requirement such as ``twisted[tls] >= 24.7``."""
    match = re.match(r"\s*([\w.-]+)", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[1]).lower()
