"""Text for a terminal: tables that fit its width, and lists of names and values.

RULES: whatever is shown was said by a device or an operator elsewhere, so what is not printable is escaped: nobody's
endpoint name moves the cursor. A table's last resort is an ellipsis; the JSON output never shortens anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final

import msgspec

GAP: Final = "  "
_NARROWEST: Final = 8
_NAMES: Final = frozenset({"ENDPOINT", "PATH"})
_WHOLE: Final = "ID"
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: str) -> str:
    """The text with everything escaped that is not printable."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return _ESCAPES.get(sign) or sign.encode("unicode_escape").decode("ascii")


def show(value: object) -> str:
    """Any value of a JSON document in one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return " ".join(f"{clean(str(name))}={_inner(each)}" for name, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " ".join(map(_inner, value)) or "-"
    return msgspec.json.encode(value).decode() if isinstance(value, int | float) else clean(str(value))


def _inner(value: object) -> str:
    return f"({show(value)})" if isinstance(value, Mapping | list) and value else show(value)


def width(text: str) -> int:
    """The columns that a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  rarely needed

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def cut(text: str, columns: int) -> str:
    """The text, with an ellipsis where it takes more than ``columns``."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[: max(0, min(len(text) - 1, columns - 1))]
    return text + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], columns: int) -> list[str]:
    """Lines of an aligned table that is ``columns`` wide at most, as far as its head allows.

    What is copied into the next command gives way last, an id not at all.
    """
    cells = [list(head), *([show(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip_longest(*cells, fillvalue="")]
    least = [
        each if name == _WHOLE else max(min(_NARROWEST, each), width(name))
        for each, name in zip(widths, head, strict=True)
    ]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - columns
    while excess > 0:
        spare = [each - low for each, low in zip(widths, least, strict=True)]
        shrinkable = [index for index, room in enumerate(spare) if room]
        if not shrinkable:
            break
        widest = max(shrinkable, key=lambda index: (head[index] not in _NAMES, widths[index]))
        widths[widest] -= 1
        excess -= 1
    return [_line(row, widths) for row in cells]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    shown = [cut(cell, columns) for cell, columns in zip(row, widths, strict=True)]
    return GAP.join(cell + " " * (columns - width(cell)) for cell, columns in zip(shown, widths, strict=True)).rstrip()


def facts(document: Mapping[str, object]) -> list[str]:
    """Lines of ``name  value``, aligned."""
    widest = max(map(len, document), default=0)
    return [f"{name:<{widest}}{GAP}{show(value)}".rstrip() for name, value in document.items()]
