"""Where a command's result goes: text for a terminal, JSON for everything else.

RULES: JSON is one document a line, as the API gave it; the items of a list are a line each. Text is for people and may
change.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from lwm2md.ctl.patience import Meter
from lwm2md.ctl.tables import clean, facts, table


class Output:
    """Standard output as a command sees it; ``columns`` is the width of the terminal, ``meter`` shows long waits."""

    def __init__(self, stream: TextIO, as_json: bool, columns: int | None = None, meter: Meter | None = None) -> None:
        self.as_json = as_json
        self.columns = columns or shutil.get_terminal_size().columns
        self.stream = stream
        self.meter = meter

    def document(self, document: object, lines: Iterable[str]) -> None:
        """One document, or the ``lines`` that show it."""
        if self.as_json:
            self._write(msgspec.json.encode(document).decode())
        else:
            for line in lines:
                self._write(line)

    def facts(self, document: Mapping[str, object]) -> None:
        """One document, as names and values."""
        self.document(document, facts(document))

    def items(self, items: Iterable[Any], head: Sequence[str], names: Sequence[str]) -> None:
        """A list; on a terminal a table with ``head`` and the members ``names`` of each item."""
        if self.as_json:
            for item in items:
                self.document(item, ())
            return
        rows = [[item.get(name) for name in names] for item in items]
        for line in table(head, rows, self.columns):
            self._write(line)

    def text(self, text: str) -> None:
        """Text as the daemon gave it, for programs to read; it says nothing that devices said."""
        self._write(text.rstrip("\n"))

    def said(self, line: str) -> None:
        """A remark for people; nothing in JSON."""
        if not self.as_json:
            self._write(line)

    def _write(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"lwm2mctl: {clean(message)}\n")
