"""The simulated world around a device: a temperature, a battery, a place and a radio that move.

RULES: the same random bytes give the same world, and ``stream`` makes them from the Endpoint Client Name, so a device
looks the same in every run. One call of ``advance`` is one step; nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Final

from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

Random = Callable[[int], bytes]

DAY: Final = 86400.0
_EARTH: Final = 111_320.0  # metres per degree of latitude


def stream(name: str) -> Random:
    """Endless reproducible bytes that depend on ``name`` only."""
    key = hashlib.blake2b(name.encode(), digest_size=16).digest()
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(key + count.to_bytes(8, "big")).digest(size)

    return draw


class World:
    """The moving values of one device. ``interval`` is the time between two steps in seconds, ``now`` Unix time."""

    __slots__ = (
        "_base",
        "_battery",
        "_clock_offset",
        "_lat",
        "_lon",
        "_memory",
        "_random",
        "_signal",
        "interval",
        "next_step",
    )

    def __init__(self, random: Random, interval: float, now: float) -> None:
        start = random(8)
        self._random = random
        self.interval = interval
        # Spread over the interval, so that the devices of a fleet do not all move in the same instant.
        self.next_step = now + interval * (start[0] + 1) / 256
        self._base = 17.0 + start[1] / 32
        self._battery = 60.0 + start[2] * 40 / 255
        self._lat = 46.0 + start[3] / 64
        self._lon = 7.0 + start[4] / 32
        self._signal = -95.0 + start[5] / 8
        self._memory = 128 + start[6]
        self._clock_offset = 0.0

    def set_clock(self, value: float, now: float) -> None:
        """The server wrote the device's Current Time."""
        self._clock_offset = value - now

    def clock(self, now: float) -> int:
        """The device's own idea of the time, in Unix seconds."""
        return int(now + self._clock_offset)

    def advance(self, now: float) -> None:
        """Make one step: everything moves a little, and the next step is planned."""
        noise = self._random(6)
        self.next_step = now + self.interval
        self._battery = self._battery - self.interval / 3600 if self._battery > 1 else 100.0
        self._lat += (noise[0] - 127.5) * 0.02 / _EARTH * self.interval
        self._lon += (noise[1] - 127.5) * 0.02 / _EARTH * self.interval
        self._signal = min(-51.0, max(-113.0, self._signal + (noise[2] - 127.5) / 64))
        self._memory = min(400, max(64, self._memory + noise[3] % 5 - 2))

    def temperature(self, instance: int, now: float) -> float:
        """The temperature in degrees Celsius at sensor ``instance``: a day's sine and some noise."""
        noise = (self._random(1)[0] - 127.5) / 255
        day = math.sin(2 * math.pi * (now % DAY) / DAY + instance)
        return round(self._base + 5 * day + noise, 2)

    def moved(self, now: float, *, everything: bool = False) -> Iterator[tuple[Path, Value]]:
        """The moving values of the objects Device, Connectivity Monitoring and Location; ``everything`` is the same."""
        level = int(self._battery)
        yield BATTERY_LEVEL, level
        yield BATTERY_VOLTAGE, 3300 + level * 9
        yield MEMORY_FREE, self._memory
        yield CURRENT_TIME, self.clock(now)
        yield SIGNAL_STRENGTH, int(self._signal)
        yield LINK_QUALITY, int((self._signal + 113) * 100 / 62)
        yield LATITUDE, round(self._lat, 6)
        yield LONGITUDE, round(self._lon, 6)
        yield LOCATED_AT, self.clock(now)


BATTERY_VOLTAGE: Final = Path((3, 0, 7, 1))
BATTERY_LEVEL: Final = Path((3, 0, 9))
MEMORY_FREE: Final = Path((3, 0, 10))
CURRENT_TIME: Final = Path((3, 0, 13))
SIGNAL_STRENGTH: Final = Path((4, 0, 2))
LINK_QUALITY: Final = Path((4, 0, 3))
LATITUDE: Final = Path((6, 0, 0))
LONGITUDE: Final = Path((6, 0, 1))
LOCATED_AT: Final = Path((6, 0, 5))
