"""What a request says about how it wants to be answered: blocks, silence, freshness (RFC 7959, 7967, 9175).

Rules: read once, from requests that have such an option at all. Elective options of a wrong length are as if absent.
"""

from __future__ import annotations

from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.coap.blocks import Block, parse
from lwm2md.coap.message import Options

_LONGEST_ECHO: Final = 40


@attrs.define
class Terms:
    """The options of one request that shape its answer."""

    block1: Block | None = None
    block2: Block | None = None
    echo: bytes | None = None
    observe: int | None = None
    silence: int = 0
    """The No-Response bits: 2 for no interest in class 2, 8 in class 4, 16 in class 5."""
    wants_size: bool = False

    def silences(self, code: int) -> bool:
        """Tell whether a response of this code is of no interest."""
        return bool(self.silence >> (code >> 5) - 1 & 1)


def terms_of(options: Options) -> Terms:
    """Return what the options of a request say; block options must have been checked."""
    terms = Terms()
    for number, value in options:
        if number == numbers.BLOCK1:
            terms.block1 = parse(value)
        elif number == numbers.BLOCK2:
            terms.block2 = parse(value)
        elif number == numbers.OBSERVE and len(value) <= 3:
            terms.observe = int.from_bytes(value, "big")
        elif number == numbers.ECHO and 0 < len(value) <= _LONGEST_ECHO:
            terms.echo = value
        elif number == numbers.NO_RESPONSE and len(value) <= 1:
            terms.silence = int.from_bytes(value, "big")
        elif number == numbers.SIZE2:
            terms.wants_size = True
    return terms
