"""Ranges of Resources: the form in which models keep them, and the many forms in which DDF files write them.

RULES (OMA TS Core, appendix D.1, RangeEnumeration): a range is parts separated by commas, each a number or
``LOW..HIGH``; of a number its value, of String, Opaque and Corelnk the length in bytes. A lone number in a DDF file is
the greatest value or length, ``8 bits`` and ``1 byte`` of an integer are what fits into that. What is written in a form
that means nothing here is not guessed at: it gives no range, and so no check.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from lwm2md.lwm2m.values import ResourceType

Bounds = tuple[tuple[float, float], ...]

_PLAIN: Final = r"-?\d+(?:\.\d+)?"
_CANONICAL: Final = re.compile(rf"{_PLAIN}(?:\.\.{_PLAIN})?(?:,{_PLAIN}(?:\.\.{_PLAIN})?)*", re.ASCII)
LONGEST: Final = 1000
"""Characters of the longest range that is read."""

_WHOLE: Final = frozenset({ResourceType.INTEGER, ResourceType.UNSIGNED, ResourceType.TIME})
_WIDTHS: Final = frozenset("12345678")
_MEASURED: Final = frozenset({ResourceType.STRING, ResourceType.OPAQUE, ResourceType.CORELNK})
_NUMBERS: Final = _WHOLE | {ResourceType.FLOAT}

_NUMBER: Final = r"-?(?:0[xX][0-9a-fA-F]{1,16}|2(?:\^|\*\*)\d{1,2}(?:\s*-\s*1)?|\d{1,30}(?:\.\d{1,30})?)"
_SPAN: Final = re.compile(rf"({_NUMBER})\s*(?:\.{{2,4}}|-|:|~|\bto\b)\s*({_NUMBER})", re.ASCII)
_LONE: Final = re.compile(rf"({_NUMBER})(?:\s*[:=]\s*[^,;\d][^,;]*)?", re.ASCII)
_DASHES: Final = re.compile(r"\d{1,9}(?:-\d{1,9}){2,}", re.ASCII)
_POWER: Final = re.compile(r"(-?)2(?:\^|\*\*)(\d+)(\s*-\s*1)?", re.ASCII)
_BITS: Final = re.compile(r"(\d{1,2})[\s-]?bits?", re.ASCII | re.IGNORECASE)
_BYTES: Final = re.compile(r"\s*(?:bytes?|octets?|char(?:acter)?s?|b)\.?$", re.ASCII | re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"\s*(?:[,;\n]|\bor\b)\s*")
_SIGNS: Final = str.maketrans({"–": "-", "—": "-", "−": "-", "…": "...", "\r": "\n", "[": None, "]": None})


def well_formed(text: str) -> bool:
    """Whether a text is a range in the form of the table of models."""
    return _CANONICAL.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def bounds(text: str) -> Bounds:
    """The pairs of least and greatest of a well-formed range; whole numbers are kept exact, whatever their size."""
    pairs = (part.partition("..") for part in text.split(","))
    return tuple((_exact(low), _exact(high or low)) for low, _, high in pairs)


def normal(text: str, kind: ResourceType) -> str | None:
    """The range that a DDF file writes for a Resource of that type: ``""`` for none, None for one that says nothing."""
    cleaned = text.translate(_SIGNS).strip()
    if not cleaned:
        return ""
    if len(cleaned) > LONGEST or kind not in _MEASURED | _NUMBERS:
        return None
    in_bytes = _BYTES.search(cleaned)
    cleaned = cleaned[: in_bytes.start()] if in_bytes else cleaned
    bits = _BITS.fullmatch(cleaned)
    if bits is not None:
        return _width(int(bits[1])) if kind in _WHOLE else None
    if in_bytes and kind in _WHOLE and cleaned in _WIDTHS:
        return _width(8 * int(cleaned))
    return _parts(cleaned, kind)


def _width(bits: int) -> str | None:
    return f"0..{(1 << bits) - 1}" if 0 < bits <= 64 else None


def _parts(text: str, kind: ResourceType) -> str | None:
    words = text.split("-") if _DASHES.fullmatch(text) else [word for word in _SEPARATORS.split(text) if word]
    found = []
    for word in words:
        # 2^8-1 is one number, so spans come second.
        match = _LONE.fullmatch(word) or _SPAN.fullmatch(word)
        if match is None:
            return None
        found.append(sorted((_text(match[1]), _text(match[match.re.groups])), key=_exact))
    if kind in _MEASURED and any(_exact(low) < 0 for low, _ in found):
        return None  # it tells of the number in the text, not of the text's length
    return _joined(found) if found else None


def _text(number: str) -> str:
    """A number as the table writes it."""
    sign, digits = ("-", number[1:]) if number.startswith("-") else ("", number)
    power = _POWER.fullmatch(digits)
    if power is not None:
        return f"{sign}{(1 << int(power[2])) - (1 if power[3] else 0)}"
    return f"{sign}{int(digits, 16)}" if digits[:2] in ("0x", "0X") else sign + digits


def _joined(found: list[list[str]]) -> str:
    if len(found) == 1 and found[0][0] == found[0][1]:
        most = found[0][0]
        return f"{most}..0" if most.startswith("-") else f"0..{most}"
    values = [_exact(low) for low, high in found if low == high]
    if len(values) == len(found) > 2 and values == [values[0] + step for step in range(len(values))]:
        return f"{found[0][0]}..{found[-1][0]}"
    return ",".join(low if low == high else f"{low}..{high}" for low, high in found)


def _exact(number: str) -> float:
    return float(number) if "." in number else int(number)
