"""The settings of plugins in general: which run, where they are looked for, and what each of them may take up."""

from __future__ import annotations

import attrs

from lwm2md.config import values
from lwm2md.config.setting import setting


@attrs.frozen
class Plugins:
    """Which plugins run, and what each of them may take up. A plugin's own settings are in [plugin:NAME]."""

    enable: tuple[str, ...] = setting(
        values.names(), "", "Plugins that run, by name, in the order in which they are asked", reloadable=True
    )
    path: tuple[str, ...] = setting(
        values.paths(),
        "",
        "Directories of plugins beside the installed ones, NAME.py or packages; relative to the file that names them",
    )
    strict: bool = setting(
        values.boolean(), "no", "Whether the daemon refuses to start when one of them can't be loaded or started"
    )
    deadline: float = setting(
        values.duration(0.1, 600),
        "5s",
        "How long one call of a plugin may take before it counts as failed",
        reloadable=True,
    )
    queue: int = setting(
        values.integer(100, 10_000_000), "10000", "Events that wait for one plugin; then the oldest are dropped"
    )
