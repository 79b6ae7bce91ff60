"""Peers from PyPI that get virtual environments of their own, so that what they need is never in ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.peers.maven import cache


def environment(name: str, requirements: Path) -> Path:
    """The directory of the commands of an environment with everything in ``requirements``, made the first time.

    What was made before from the same file and the same Python is used again. Raises `CalledProcessError`.
    """
    wanted = f"{sys.version}\n{requirements.read_text()}"
    target = cache() / name
    stamp = target / "made-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", str(target))
        _run(str(target / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "-r", str(requirements))
        stamp.write_text(wanted)
    return target / "bin"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
