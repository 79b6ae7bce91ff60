"""Jars from Maven Central and classes compiled against them, kept in the cache."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.peers.cache import cache, made, run

_JVM = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def jars(pom: Path) -> Path:
    """The directory with the run-time jars of `pom`, downloaded the first time. Raises `CalledProcessError`."""

    def download(target: Path) -> None:
        # From a copy: Maven would leave a target/ beside the pom in our tree.
        project = str(shutil.copy(pom, target / "pom.xml"))
        run("mvn", "-q", "-B", "-f", project, "dependency:copy-dependencies", "-DincludeScope=runtime",
            f"-DoutputDirectory={target}", f"-Dmaven.repo.local={cache() / 'maven'}")  # fmt: skip
        for tests in target.glob("*-tests.jar"):
            tests.unlink()

    return made(f"{pom.parent.name}-jars", [pom.read_bytes()], download)


def classes(sources: Path, libraries: Path) -> Path:
    """The directory with the compiled classes of all Java files in `sources`. Raises `CalledProcessError`."""
    files = sorted(sources.glob("*.java"))

    def compile_all(target: Path) -> None:
        run("javac", "-Xlint:all", "-proc:none", "-cp", f"{libraries}/*", "-d", str(target), *map(str, files))

    return made(f"{sources.name}-classes", [path.read_bytes() for path in (*files, sources / "pom.xml")], compile_all)


def java(
    libraries: Sequence[str], main: str, *arguments: str, options: Sequence[str] = (), **properties: str
) -> list[str]:
    """The command that runs class `main` in a small JVM; `properties` have ``_`` for ``.`` in their names."""
    defines = [f"-D{name.replace('_', '.')}={value}" for name, value in properties.items()]
    return [shutil.which("java") or "java", *_JVM, *options, *defines, "-cp", ":".join(libraries), main, *arguments]
