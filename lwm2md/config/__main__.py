"""``python -m lwm2md.config [DIRECTORY]``: write ``etc/lwm2md.ini`` and ``docs/settings.md`` of a source tree anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lwm2md.config import pages


def main(root: Path) -> None:
    """Write both pages below ``root``."""
    for name, text in (("etc/lwm2md.ini", pages.ini()), ("docs/settings.md", pages.reference())):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit status."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m lwm2md.config [DIRECTORY]\n")
        return 2
    main(Path(arguments[0] if arguments else "."))
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
