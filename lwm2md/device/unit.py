"""One set of Objects behind one root: those of the device itself, or those of a device behind a gateway.

RULES: a unit has its own values, attributes, observers and simulated world; models and what is supported are shared.
What its executables do to itself happens before the answer; what concerns the whole device is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lwm2md.device import testobjects
from lwm2md.device.attached import Attached
from lwm2md.device.objects import DEVICE, RESET_ERRORS, RESET_EXTREMES, TEMPERATURE, Settings
from lwm2md.device.observers import Observers
from lwm2md.device.requests import Requests
from lwm2md.device.sending import Sender
from lwm2md.device.simulation import Moving, Simulation
from lwm2md.device.tree import Stored, Supported, Tree
from lwm2md.lwm2m.execute import Arguments
from lwm2md.lwm2m.paths import Path

Instances = Mapping[Path, Mapping[int, Stored]]


class Unit:
    """The Objects of a device and what belongs to them. ``now`` is Unix time in seconds.

    ``root`` are the segments before the ids, ``server`` is the tree that has the Server Object if it is another one,
    ``execute`` is told of every Execute, with this unit. ``sender`` is there if anything is sent without being asked.
    """

    __slots__ = ("_execute", "attached", "observers", "requests", "sender", "simulation", "tree")

    def __init__(
        self,
        settings: Settings,
        supported: Mapping[int, Supported],
        initial: Instances,
        world: Moving,
        *,
        execute: Callable[[Unit, Path, Arguments, float], None],
        now: float,
        root: tuple[str, ...],
        server: Tree | None = None,
    ) -> None:
        self._execute = execute
        self.tree = Tree(supported, initial)
        self._fill_test_objects()
        self.attached = Attached(self.tree, server)
        self.observers = Observers(self.tree, self.attached)
        self.sender: Sender | None = None
        self.simulation = Simulation(self.tree, world, now)
        self.requests = Requests(
            self.tree,
            self.attached,
            self.observers,
            self._run,
            settings.version,
            root=root,
            limit=settings.formats,
            usual=settings.content_format,
        )

    def touch(self, paths: Iterable[Path], now: float) -> None:
        """The values at ``paths`` may have changed: look whether an observer has to be told."""
        if len(self.observers) or self.sender is not None:
            for path in paths:
                self.observers.touch(path, now)
                if self.sender is not None:
                    self.sender.touch(path, now)

    def move(self, now: float) -> None:
        """Move the world when its time has come."""
        if now >= self.simulation.world.next_step:
            self.touch(self.simulation.step(now), now)

    @property
    def waiting(self) -> bool:
        """Whether the server has still to acknowledge a notification or a Send."""
        return (self.sender is not None and self.sender.under_way) or any(o.under_way for o in self.observers)

    def drop(self) -> None:
        """Nothing is under way any more: what was is to be told again."""
        self.observers.drop()
        if self.sender is not None:
            self.sender.returned()

    def execute(self, path: Path, arguments: Arguments, random: Callable[[int], bytes]) -> tuple[Path, ...]:
        """Do what an executable does to this unit, if it does anything; what changed."""
        if path[0] in testobjects.OBJECTS:
            return testobjects.execute(self.tree, path, arguments, random)
        simulated = _SIMULATED.get((path[0], path[2]))
        return () if simulated is None else tuple(simulated(self.simulation, path))

    def restart(self, now: float) -> None:
        """Forget what a restart forgets: observers, attributes, and what was to be sent."""
        self.observers.clear()
        self.attached.clear()
        if self.sender is not None:
            self.sender.restart(now)

    def reset(self, initial: Instances, now: float) -> None:
        """Put everything back to ``initial``."""
        for number in self.tree.supported:
            for instance in tuple(self.tree.instances(number)):
                self.tree.remove(Path((number, instance)))
        for path, resources in initial.items():
            self.tree.commit(path, dict(resources))
        self._fill_test_objects()
        self.simulation.reset(now)

    def _run(self, path: Path, arguments: Arguments, now: float) -> None:
        self._execute(self, path, arguments, now)

    def _fill_test_objects(self) -> None:
        for number in testobjects.OBJECTS & self.tree.supported.keys():
            for instance, resources in self.tree.instances(number).items():
                if not resources:
                    self.tree.commit(Path((number, instance)), testobjects.initial(self.tree.supported[number]))


_SIMULATED: Final[Mapping[tuple[int, int], Callable[[Simulation, Path], list[Path]]]] = {
    (DEVICE, RESET_ERRORS): lambda simulation, path: simulation.forget_errors(),
    (TEMPERATURE, RESET_EXTREMES): lambda simulation, path: simulation.forget_extremes(path.parent),
}
