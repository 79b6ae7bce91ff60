"""Jars from Maven Central and classes compiled against them, kept in a cache outside the source tree.

RULES: what is cached is found by a hash of what it is made from, so that a changed pom or source is fetched or
compiled anew and an unchanged one never; a directory appears under its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

_JVM = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def cache() -> Path:
    """The directory for everything that is downloaded or built for the tests: ``$XDG_CACHE_HOME/lwm2md``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lwm2md"


def jars(pom: Path) -> Path:
    """The directory with the run-time jars of `pom`, downloaded the first time. Raises `CalledProcessError`."""

    def download(target: Path) -> None:
        # From a copy: Maven would leave a target/ beside the pom in our tree.
        project = str(shutil.copy(pom, target / "pom.xml"))
        _run("mvn", "-q", "-B", "-f", project, "dependency:copy-dependencies", "-DincludeScope=runtime",
             f"-DoutputDirectory={target}", f"-Dmaven.repo.local={cache() / 'maven'}")  # fmt: skip
        for tests in target.glob("*-tests.jar"):
            tests.unlink()

    return _made(f"{pom.parent.name}-jars", [pom], download)


def classes(sources: Path, libraries: Path) -> Path:
    """The directory with the compiled classes of all Java files in `sources`. Raises `CalledProcessError`."""
    files = sorted(sources.glob("*.java"))

    def compile_all(target: Path) -> None:
        _run("javac", "-Xlint:all", "-proc:none", "-cp", f"{libraries}/*", "-d", str(target), *map(str, files))

    return _made(f"{sources.name}-classes", [*files, sources / "pom.xml"], compile_all)


def java(
    libraries: Sequence[str], main: str, *arguments: str, options: Sequence[str] = (), **properties: str
) -> list[str]:
    """The command that runs class `main` in a small JVM; `properties` have ``_`` for ``.`` in their names."""
    defines = [f"-D{name.replace('_', '.')}={value}" for name, value in properties.items()]
    return [shutil.which("java") or "java", *_JVM, *options, *defines, "-cp", ":".join(libraries), main, *arguments]


def _made(name: str, ingredients: Sequence[Path], make: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in ingredients)).hexdigest()[:16]
    target = cache() / f"{name}-{digest}"
    if not target.exists():
        cache().mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache()))
        try:
            make(fresh)
            fresh.rename(target)
        except OSError:
            # Somebody else was quicker with the same thing.
            if not target.exists():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
