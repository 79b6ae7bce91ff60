"""``python -m lwm2md.config [DIRECTORY]``: write ``etc/lwm2md.ini`` and ``docs/settings.md`` of a source tree anew."""

from __future__ import annotations

import sys
from pathlib import Path

from lwm2md.config import pages


def main(root: Path) -> None:
    """Write both pages below ``root``."""
    for name, text in (("etc/lwm2md.ini", pages.ini()), ("docs/settings.md", pages.reference())):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
