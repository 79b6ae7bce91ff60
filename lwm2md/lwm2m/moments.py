"""Points in time written as text, RFC 3339, as the time resources of some devices and CBOR's tag 0 have them.

Rules: seconds since 1970 in UTC, whole where nothing is behind the point; the calendar is the proleptic Gregorian one.
"""

from __future__ import annotations

import re
from typing import Final

_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_DAYS: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_EPOCH: Final = 719162
"""Days from the first of January of the year 1 to that of 1970."""


def seconds_of(text: str) -> int | float:
    """The Unix time of ``2013-03-21T20:04:00Z``, with any offset. Raises ValueError."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("not a time as RFC 3339 has it")
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = found.group(7, 8, 9, 10)
    offset = 0 if sign is None else (int(offset_hours) * 60 + int(offset_minutes)) * (-60 if sign == "-" else 60)
    # A leap second is the first second of the next minute in Unix time.
    if not (1 <= day <= _length(year, month) and hour < 24 and minute < 60 and second <= 60 and abs(offset) < 86400):
        raise ValueError("no such time in the calendar")
    whole = (_day(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset
    return whole + float(fraction) if fraction and float(fraction) else whole


def _day(year: int, month: int, day: int) -> int:
    years = year - 1
    leap_days = years // 4 - years // 100 + years // 400 + (month > 2 and _leap(year))
    return years * 365 + leap_days + _DAYS[month - 1] + day - 1 - _EPOCH


def _length(year: int, month: int) -> int:
    if not (year and 1 <= month <= 12):
        return 0
    return _DAYS[month] - _DAYS[month - 1] + (month == 2 and _leap(year))


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
