"""The layers of the package: who may import whom, and what the pure ones never touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import lwm2md

ROOT: Final = Path(lwm2md.__file__).parent
PURE: Final = ("events", "coap", "lwm2m", "security", "server", "bootstrap", "device")
BANNED: Final = {
    "twisted",
    "socket",
    "time",
    "asyncio",
    "threading",
    "select",
    "sqlite3",
    "os",
    "random",
    "secrets",
    "datetime",
    "OpenSSL",
    "logging",
}
_SHARED: Final = {"coap", "lwm2m", "security", "events"}
BELOW: Final = {
    "events": set[str](),
    "coap": set[str](),
    "lwm2m": {"coap", "events"},
    "security": {"coap", "lwm2m", "events"},
    "server": _SHARED,
    "bootstrap": _SHARED,
    "device": _SHARED,
}


def modules(package: str) -> list[Path]:
    """Return the source files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    """Return the import name of a source file."""
    parts = ("lwm2md", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Return the full name of everything that a source file imports, wherever in it."""
    here = dotted(path).split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


class PureTests(SynchronousTestCase):
    """The pure packages take bytes, objects and the time; they fetch nothing themselves."""

    packages = tuple(name for name in PURE if (ROOT / name).is_dir())

    def test_nothing_banned_in_the_source(self) -> None:
        """No module of a pure package imports sockets, clocks, threads, chance, files or the reactor."""
        for package in self.packages:
            for path in modules(package):
                found = {name.split(".")[0] for name in imported(path)} & BANNED
                self.assertEqual(found, set(), path)

    def test_imports_point_downwards(self) -> None:
        """A pure package imports only the pure packages below it, and never the shell."""
        for package in self.packages:
            allowed = BELOW[package] | {package}
            for path in modules(package):
                ours = {name.split(".")[1] for name in imported(path) if name.startswith("lwm2md.")}
                self.assertLessEqual(ours, allowed, path)

    def test_no_reactor_in_a_fresh_process(self) -> None:
        """Importing every pure module in a fresh process brings in neither Twisted nor OpenSSL nor a database."""
        names = [dotted(path) for package in self.packages for path in modules(package)]
        program = (
            f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
            "print(sorted({'twisted', 'OpenSSL', 'sqlite3', 'asyncio'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT.parent, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("[]", ""))


class ShellTests(SynchronousTestCase):
    """The shell takes its reactor as an argument."""

    def test_no_reactor_at_module_level(self) -> None:
        """No module imports the global reactor when it is imported itself."""
        for path in sorted(ROOT.rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    self.assertNotIn("reactor", [alias.name for alias in node.names], path)
