"""Label selectors: ``farm=north,enclosure!=7`` as the API and the rules of an operator write them.

RULES: terms are joined by commas and all must hold; the first ``=`` ends the key; blanks around keys and values don't
count. A label that is not there differs from every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

MAX_TERMS: Final = 50
_SHOWN: Final = 40


@attrs.frozen(slots=True)
class Term:
    """One comparison: the label ``key`` equals ``value``, or differs from it where ``equal`` is False."""

    key: str
    value: str
    equal: bool


@attrs.frozen(slots=True)
class Selector:
    """All terms together; call it with labels to learn whether they match."""

    terms: tuple[Term, ...]

    def __call__(self, labels: Mapping[str, str]) -> bool:
        """Whether every term holds for these labels."""
        return all((labels.get(term.key) == term.value) == term.equal for term in self.terms)

    def __str__(self) -> str:
        return ",".join(f"{term.key}{'=' if term.equal else '!='}{term.value}" for term in self.terms)


def parse(text: str) -> Selector:
    """Read a selector; an empty one matches everything.

    Raises ``ValueError`` with a text that names the wrong term.
    """
    if not text.strip():
        return Selector(())
    parts = text.split(",", MAX_TERMS)
    if len(parts) > MAX_TERMS:
        raise ValueError(f"a selector has at most {MAX_TERMS} terms")
    return Selector(tuple(_term(part) for part in parts))


def _term(text: str) -> Term:
    key, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"expected label=value or label!=value, got {text.strip()[:_SHOWN]!r}")
    key = key.strip()
    equal = not key.endswith("!")
    key = key if equal else key[:-1].strip()
    if not key:
        raise ValueError(f"a label's name is missing in {text.strip()[:_SHOWN]!r}")
    return Term(key, value.strip(), equal)
