"""Where everything is kept that was downloaded or built for the tests, outside the source tree.

RULES: what is cached is found by a hash of what it is made from, so that a changed ingredient makes it anew and an
unchanged one never; a directory appears under its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path


def cache() -> Path:
    """The directory for everything that is downloaded or built for the tests: ``$XDG_CACHE_HOME/lwm2md``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lwm2md"


def made(name: str, ingredients: Sequence[bytes], make: Callable[[Path], None]) -> Path:
    """The directory that `make` fills out of `ingredients`, filled the first time only."""
    digest = hashlib.sha256(b"\0".join(ingredients)).hexdigest()[:16]
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


def run(*command: str) -> None:
    """Run a command to its end. Raises `CalledProcessError`."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
