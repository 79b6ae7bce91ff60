"""Peers from PyPI that get virtual environments of their own, so that what they need is never in ours."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.peers.cache import cache, run


def environment(name: str, requirements: str) -> Path:
    """The directory of the commands of an environment with everything in ``requirements``, made the first time.

    What was made before from the same requirements and the same Python is used again. It is made where it stays, since
    an environment can't be moved; its stamp says that it is complete. Raises `CalledProcessError`.
    """
    wanted = f"{sys.version}\n{requirements}"
    target = cache() / name
    stamp = target / "made-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "venv", "--clear", str(target))
        run(str(target / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *requirements.split())
        stamp.write_text(wanted)
    return target / "bin"
