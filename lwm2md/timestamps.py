"""Times as text: RFC 3339, always in UTC when written, any offset when read.

RULES: inside the daemon a time is Unix seconds as a float; text is made only where somebody reads it.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_PATTERN: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()
_END: Final = (datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC) - _EPOCH).total_seconds()


@lru_cache(maxsize=256)
def rfc3339(seconds: float) -> str:
    """Write Unix seconds as ``2026-01-31T12:00:00.25Z``: to the millisecond, no digit more than needed.

    Cached because what happened at one moment is written in several places. Raises ``ValueError`` for what no
    four-digit year can hold: years before 1 and after 9999, NaN and infinity.
    """
    if not _FIRST <= seconds <= _END:
        raise ValueError(f"no RFC 3339 time: {seconds!r}")
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    text = _second(whole)
    return f"{text}.{milliseconds:03}".rstrip("0") + "Z" if milliseconds else text + "Z"


@lru_cache(maxsize=256)
def _second(whole: int) -> str:
    """Cached because most of what is written happened in the last few seconds."""
    at = time.gmtime(whole)
    return f"{at[0]:04}-{at[1]:02}-{at[2]:02}T{at[3]:02}:{at[4]:02}:{at[5]:02}"


def parse(text: str) -> float:
    """Read an RFC 3339 time with any offset into Unix seconds; raises ``ValueError`` that says what is wrong."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time such as 2026-01-31T12:00:00Z: {text[:40]!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10)
    offset = timedelta()
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError(f"no such offset from UTC: {text[:40]!r}")
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes)) * (-1 if sign == "-" else 1)
    leap = second == 60  # a leap second is the first second of the next minute in Unix time
    try:
        at = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{error}: {text[:40]!r}") from None
    seconds = (at - _EPOCH) - offset
    return math.fsum((seconds.total_seconds(), 1.0 if leap else 0.0, float(fraction or 0)))
