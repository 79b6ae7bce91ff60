"""The simulated world's effect on the object tree: values that move, extremes that are kept, a clock that runs.

RULES: a Resource is set only where this device supports it; every method returns the paths whose value changed, so that
the observers can be told. A Sensor Value (5700) that moves takes Min and Max Measured Value and Timestamp with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lwm2md.device.objects import ERRORS, TEMPERATURE
from lwm2md.device.tree import Tree
from lwm2md.device.world import CURRENT_TIME
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

_VALUE = 5700
_LOWEST = 5601
_HIGHEST = 5602
_TIMESTAMP = 5518


class Moving(Protocol):
    """A world around a device, one that is built in or one that a file describes."""

    next_step: float

    def advance(self, now: float) -> None:
        """Make one step."""

    def moved(self, now: float, *, everything: bool = False) -> Iterator[tuple[Path, Value]]:
        """The values that moved, or ``everything`` that ever moves."""

    def temperature(self, instance: int, now: float) -> float | None:
        """The temperature in degrees Celsius at a sensor, None where the world knows of none but those that move."""

    def set_clock(self, value: float, now: float) -> None:
        """The server wrote the device's Current Time."""

    def clock(self, now: float) -> int:
        """The device's own idea of the time, in Unix seconds."""


class Simulation:
    """Moves the values of one device's tree. ``now`` is Unix time in seconds."""

    __slots__ = ("_tree", "world")

    def __init__(self, tree: Tree, world: Moving, now: float) -> None:
        self._tree = tree
        self.world = world
        self._show(now)

    def step(self, now: float) -> list[Path]:
        """One step of the world."""
        self.world.advance(now)
        return self._show(now)

    def reset(self, now: float) -> list[Path]:
        """The tree has its first values again: everything that moves is where it was."""
        return self._show(now, everything=True)

    def tick(self, now: float) -> None:
        """Bring Current Time up to date, as every request sees it."""
        self._tree.put(CURRENT_TIME, self.world.clock(now))

    def clock_written(self, now: float) -> None:
        """The server wrote Current Time."""
        value = self._tree.value(CURRENT_TIME)
        if isinstance(value, int):
            self.world.set_clock(value, now)

    def measure(self, sensor: Path, now: float) -> list[Path]:
        """Take the temperature of one sensor, a new one's first included."""
        value = self.world.temperature(sensor[1], now) if sensor[0] == TEMPERATURE else None
        if value is None:
            return []
        return self._put(sensor.child(_VALUE), value) + self._measured(sensor, value, now)

    def forget_extremes(self, sensor: Path) -> list[Path]:
        """Reset Min and Max Measured Values: both become the present value."""
        value = self._tree.value(sensor.child(_VALUE))
        if value is None:
            return []
        return self._put(sensor.child(_LOWEST), value) + self._put(sensor.child(_HIGHEST), value)

    def forget_errors(self) -> list[Path]:
        """Reset Error Code: one instance, no error."""
        resources = self._tree.copy(ERRORS)
        resources[ERRORS[2]] = {0: 0}
        self._tree.commit(ERRORS, resources)
        return [ERRORS]

    def _show(self, now: float, *, everything: bool = False) -> list[Path]:
        changed: list[Path] = []
        for path, value in self.world.moved(now, everything=everything):
            if self._put(path, value):
                changed.append(path)
                if path[2:] == (_VALUE,) and isinstance(value, float):
                    changed += self._measured(path.parent, value, now)
        if TEMPERATURE in self._tree.supported:
            for number in self._tree.instances(TEMPERATURE):
                changed += self.measure(Path((TEMPERATURE, number)), now)
        return changed

    def _measured(self, sensor: Path, value: float, now: float) -> list[Path]:
        changed = self._put(sensor.child(_TIMESTAMP), self.world.clock(now))
        lowest, highest = (self._tree.value(sensor.child(number)) for number in (_LOWEST, _HIGHEST))
        if not isinstance(lowest, float) or value < lowest:
            changed += self._put(sensor.child(_LOWEST), value)
        if not isinstance(highest, float) or value > highest:
            changed += self._put(sensor.child(_HIGHEST), value)
        return changed

    def _put(self, path: Path, value: Value) -> list[Path]:
        supported = self._tree.model(path) is not None
        return [path] if supported and self._tree.put(path, value) else []
