"""One plugin: its hooks, its settings, its state, and what has gone wrong with it.

RULES: the same thing that goes wrong again, in the same hook by the same exception, is counted and not told again.
A plugin that could not be loaded is one, too: without hooks, and failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from lwm2md.plugins.measuring import PluginMetrics

if TYPE_CHECKING:
    from lwm2md.plugins.contributions import Setting

PluginState = Literal["loaded", "starting", "running", "stopping", "disabled", "failed"]

COUNTERS: Final = ("calls", "failures", "timeouts", "events", "events_dropped", "held")
"""What is counted of every plugin."""
_MOST_TOLD: Final = 100
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class PluginFailed(Exception):  # noqa: N818  it says what happened
    """A plugin that does not run was asked for something that nobody else may answer."""


@attrs.frozen(eq=False)
class Implementation:
    """A plugin's function for a hook: which arguments it takes, and whether it runs on the reactor's thread.

    Those of a lower ``rank`` are asked before others, whatever the order of the plugins.
    """

    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    asynchronous: bool
    rank: int = 0


@attrs.frozen
class Trouble:
    """Something that went wrong: in which hook, and what; ``time`` in Unix seconds."""

    plugin: str
    hook: str
    reason: str
    time: float


@attrs.define(eq=False)
class Plugin:
    """A plugin by its ``name``: ``origin`` says which distribution or file it is of, with its version.

    ``restartable``: it can be started and stopped while the daemon runs. ``health`` is what it says of itself, None
    while all is well. ``counters`` and ``seconds``, the time spent in its hooks, are for metrics.
    """

    name: str
    origin: str = ""
    restartable: bool = False
    hooks: Mapping[str, Implementation] = attrs.field(default=_NOTHING)
    schema: Sequence[Setting] = ()
    settings: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False)
    state: PluginState = "loaded"
    failure: str | None = None
    health: str | None = None
    seconds: float = 0.0
    counters: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(COUNTERS, 0))
    metrics: PluginMetrics = attrs.field(factory=PluginMetrics)
    _told: set[tuple[str, str]] = attrs.field(factory=set)

    def went_wrong(self, hook: str, error: BaseException, reason: str) -> bool:
        """Take note of something; whether it is the first of its kind."""
        self.counters["failures"] += 1
        self.failure = f"{hook}: {reason}"
        key = (hook, type(error).__qualname__)
        if key in self._told or len(self._told) >= _MOST_TOLD:
            return False
        self._told.add(key)
        return True

    def rest(self) -> None:
        """Be ready for another start in this process, stopped in order; who can't be started twice has failed."""
        if self.restartable:
            self.state = "loaded"
        else:
            self.state, self.failure = "failed", "it can be started only with the daemon"

    def renewed(self) -> None:
        """Start over: what went wrong before is forgotten."""
        self.failure = self.health = None
        self._told.clear()
