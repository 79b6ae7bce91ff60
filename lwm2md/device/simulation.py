"""The simulated world's effect on the object tree: values that move, extremes that are kept, a clock that runs.

RULES: a Resource is set only where this device supports it; every method returns the paths whose value changed, so that
the observers can be told.
"""

from __future__ import annotations

from lwm2md.device.objects import ERRORS, TEMPERATURE
from lwm2md.device.tree import Tree
from lwm2md.device.world import CURRENT_TIME, World
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

_VALUE = 5700
_LOWEST = 5601
_HIGHEST = 5602
_TIMESTAMP = 5518


class Simulation:
    """Moves the values of one device's tree. ``now`` is Unix time in seconds."""

    __slots__ = ("_tree", "world")

    def __init__(self, tree: Tree, world: World, now: float) -> None:
        self._tree = tree
        self.world = world
        self._show(now)

    def step(self, now: float) -> list[Path]:
        """One step of the world."""
        self.world.advance(now)
        return self._show(now)

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
        value = self.world.temperature(sensor[1], now)
        changed = self._put(sensor.child(_VALUE), value) + self._put(sensor.child(_TIMESTAMP), self.world.clock(now))
        lowest, highest = (self._tree.value(sensor.child(number)) for number in (_LOWEST, _HIGHEST))
        if not isinstance(lowest, float) or value < lowest:
            changed += self._put(sensor.child(_LOWEST), value)
        if not isinstance(highest, float) or value > highest:
            changed += self._put(sensor.child(_HIGHEST), value)
        return changed

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

    def _show(self, now: float) -> list[Path]:
        changed = [path for path, value in self.world.device(now) if self._put(path, value)]
        for number in self._tree.instances(TEMPERATURE):
            changed += self.measure(Path((TEMPERATURE, number)), now)
        return changed

    def _put(self, path: Path, value: Value) -> list[Path]:
        supported = self._tree.model(path) is not None
        return [path] if supported and self._tree.put(path, value) else []
