"""The series of the storage in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from lwm2md.storage.interface import LAST, START, Place, Sample, Samples


class Series:
    """Samples by owner, name and time."""

    __slots__ = ("_places", "_times", "_values")

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._times: dict[Place, list[int]] = {}
        self._values: dict[Place, dict[int, bytes]] = {}

    def change(self, dropped: Sequence[str], samples: Sequence[Sample]) -> None:
        """Remove the series of owners, then add samples."""
        for owner in dropped:
            for name in self.names(owner, "", LAST, len(self._places)):
                self._forget((owner, name))
        for owner, name, time, value in samples:
            place = (owner, name)
            if place not in self._times:
                insort(self._places, place)
                self._times[place], self._values[place] = [], {}
            if time not in self._values[place]:
                insort(self._times[place], time)
            self._values[place][time] = value

    def names(self, owner: str, start: str, end: str, limit: int) -> list[str]:
        """See `Storage.names`."""
        found: list[str] = []
        for index in range(bisect_left(self._places, (owner, start)), len(self._places)):
            other, name = self._places[index]
            if other != owner or len(found) >= limit or name >= end:
                break
            found.append(name)
        return found

    def samples(self, series: Place, start: int, end: int, limit: int) -> Samples:
        """See `Storage.samples`."""
        times, values = self._times.get(series, []), self._values.get(series, {})
        first, last = bisect_left(times, start), bisect_left(times, end)
        return [(time, values[time]) for time in times[first : min(last, first + limit)]]

    def thin(self, after: Place, before: int, keep: int, limit: int) -> tuple[Place, int]:
        """See `Storage.thin`; one call looks at all the rest, which takes next to no time here."""
        removed = 0
        for place in self._places[bisect_left(self._places, (after[0], after[1] + "\0")) :]:
            times = self._times[place]
            surplus = max(bisect_left(times, before), len(times) - keep)
            going = times[: min(surplus, limit - removed)]
            del times[: len(going)]
            for time in going:
                del self._values[place][time]
            removed += len(going)
            if len(going) < surplus:
                return (place[0], "") if after == START else after, removed
            if not times:
                self._forget(place)
            after = place
        return START, removed

    def _forget(self, place: Place) -> None:
        del self._places[bisect_left(self._places, place)]
        del self._times[place], self._values[place]
