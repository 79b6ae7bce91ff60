"""A scripted world: what a world file makes of a device, and the moving values of one that runs.

RULES: a script is shared by all devices of its file; only places in strings (``{endpoint}``, ``{n}``, ``{n:06d}``) and
the chances of its functions differ between them, and those depend on the seed, the Endpoint Client Name and the path.
A value moves at the times that its function names, counted from the start of the device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from lwm2md.device.behaviour import NO_BEHAVIOUR, Behaviour, Event
from lwm2md.device.functions import NEVER, Function, Player, key_of
from lwm2md.device.objects import Child, Settings
from lwm2md.device.tree import Stored, Supported
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType, Value

Contents = Mapping[Path, Mapping[int, Stored]]

_PLACE: Final = re.compile(r"\{(?:endpoint|n(?::(0?[0-9]{1,2})d?)?)\}")
_WHOLE: Final = (ResourceType.INTEGER, ResourceType.UNSIGNED, ResourceType.TIME)


def fill(text: str, endpoint: str, number: int) -> str:
    """The text with the places of one device filled in: its Endpoint Client Name and its number in the fleet."""

    def place(found: re.Match[str]) -> str:
        if found[0] == "{endpoint}":
            return endpoint
        return format(number, f"{found[1] or ''}d")

    return _PLACE.sub(place, text) if "{" in text else text


@attrs.frozen(slots=True)
class Motion:
    """A Resource that moves: where, by which function, and what its numbers are rounded and cut to."""

    path: Path
    function: Function
    type: ResourceType
    digits: int = 2
    low: float = -math.inf
    high: float = math.inf

    def fit(self, value: Value) -> Value:
        """What the function says as a value of the Resource."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        number = min(max(value, self.low), self.high)
        return round(number) if self.type in _WHOLE else round(float(number), self.digits)


@attrs.frozen(slots=True)
class Script:
    """A world file's device: its Objects (None: those that are built in), values, motions, behaviour and events,
    and the devices behind it.
    """

    supported: Mapping[int, Supported] | None = None
    contents: Contents = attrs.field(factory=dict)
    motions: tuple[Motion, ...] = ()
    behaviour: Behaviour = NO_BEHAVIOUR
    events: tuple[Event, ...] = ()
    seed: str = ""
    children: tuple[Child, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether there is more to it than values."""
        return self.behaviour != NO_BEHAVIOUR or bool(self.events)

    def settle(self, settings: Settings, number: int) -> Settings:
        """The settings of device ``number`` with what it starts with: values, and devices behind it."""
        if self.supported is None:
            return settings
        endpoint = settings.endpoint
        children = tuple(
            Child(
                fill(child.endpoint, endpoint, number),
                child.prefix,
                _settled(child.instances or {}, endpoint, number),
            )
            for child in self.children
        )
        return attrs.evolve(settings, instances=_settled(self.contents, endpoint, number), children=children)

    def key(self, endpoint: str, what: object) -> bytes:
        """The key of the chances that one device has in ``what``."""
        return key_of(self.seed, endpoint, str(what))


class ScriptedWorld:
    """The moving values of one device that started at ``now`` (Unix time)."""

    __slots__ = ("_began", "_clock_offset", "_dues", "_motions", "_players", "next_step")

    def __init__(self, script: Script, endpoint: str, now: float) -> None:
        self._began = now
        self._clock_offset = 0.0
        self._motions = script.motions
        self._players: list[Player] = [
            motion.function.player(script.key(endpoint, motion.path)) for motion in script.motions
        ]
        self._dues = [0.0] * len(self._motions)
        self.next_step = now if self._motions else NEVER

    def temperature(self, instance: int, now: float) -> float | None:
        """None: the only sensors are those of the file."""
        return None

    def set_clock(self, value: float, now: float) -> None:
        """The server wrote the device's Current Time."""
        self._clock_offset = value - now

    def clock(self, now: float) -> int:
        """The device's own idea of the time, in Unix seconds."""
        return int(now + self._clock_offset)

    def advance(self, now: float) -> None:
        """Nothing: a value moves when it is looked at."""

    def moved(self, now: float, *, everything: bool = False) -> Iterator[tuple[Path, Value]]:
        """The values whose time has come, or ``everything`` that moves; the next step is planned."""
        elapsed = now - self._began
        for index, due in enumerate(self._dues):
            # A due time that was added to the start and taken off again may be a little early.
            if everything or due <= elapsed or self._began + due <= now:
                moment = elapsed if everything else max(due, elapsed)
                player, motion = self._players[index], self._motions[index]
                self._dues[index] = player.after(moment)
                yield motion.path, motion.fit(player.value(moment))
        self.next_step = self._began + min(self._dues, default=NEVER)


def _settled(contents: Contents, endpoint: str, number: int) -> Contents:
    return {
        path: {resource: _filled(stored, endpoint, number) for resource, stored in resources.items()}
        for path, resources in contents.items()
    }


def _filled(stored: Stored, endpoint: str, number: int) -> Stored:
    if isinstance(stored, str):
        return fill(stored, endpoint, number)
    if isinstance(stored, dict):
        return {
            key: fill(value, endpoint, number) if isinstance(value, str) else value for key, value in stored.items()
        }
    return stored
