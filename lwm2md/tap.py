"""The daemon's command line: ``twistd -n lwm2md [--config FILE] [--set section.key=value]... [--check]``.

The configuration is read here, before twistd forks, logs or opens anything: what is wrong with it is said on standard
error, a line per fault, and the exit status is 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

from lwm2md import __version__, logs
from lwm2md.clock import SteadyClock
from lwm2md.config import DEFAULT_FILE, ConfigErrors, Settings, load
from lwm2md.config.loader import describe

if TYPE_CHECKING:
    from lwm2md.plugins.loading import Loaded

_TWISTD_PIDFILE = "twistd.pid"


class Options(usage.Options):
    """The options of ``twistd lwm2md``; afterwards ``settings`` has the configuration, ``loaded`` the
    plugins, and ``reload`` reads the configuration again.
    """

    synopsis = "[--config FILE] [--set section.key=value]... [--check]"
    longdesc = "A LwM2M device-management server: CoAP for devices, an HTTP API for everybody else."
    optParameters = [["config", "c", None, f"The INI file; without it {DEFAULT_FILE}, if that exists."]]  # noqa: N815, RUF012
    optFlags = [["check", None, "Check the configuration, print every error, and exit with 0 or 1."]]  # noqa: N815, RUF012

    settings: Settings
    loaded: Loaded | None
    reload: Callable[[], Settings]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["set"] = []

    def opt_set(self, assignment: str) -> None:
        """Set one setting, as section.key=value, after all files; may be given again."""
        self["set"].append(assignment)

    def opt_version(self) -> None:
        """Display the version and exit."""
        sys.stdout.write(f"lwm2md {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Load the configuration; raises SystemExit where it is wrong or was only to be checked."""
        self._forget_pidfile()
        path = self["config"]
        if path is None and Path(DEFAULT_FILE).exists():
            path = DEFAULT_FILE
        try:
            self.settings = load(path, self["set"])
        except ConfigErrors as errors:
            sys.stderr.write(f"{errors}\n")
            raise SystemExit(1) from None
        # Absolute: twistd may go to another directory before it is read again.
        absolute = None if path is None else str(Path(path).absolute())
        self.reload = lambda: load(absolute, self["set"])
        lines = [*describe(self.settings), *self._load_plugins()]
        if self["check"]:
            sys.stdout.write("".join(f"{line}\n" for line in (*lines, "ok")))
            raise SystemExit(0)

    def _load_plugins(self) -> Iterator[str]:
        """Load the plugins; lines about them. Raises SystemExit where the daemon must not start without one."""
        self.loaded = None
        if not (self.settings.plugins.enable or self.settings.plugin_entries):
            return
        from lwm2md.plugins import loading  # noqa: PLC0415  who has none doesn't pay for them

        self.loaded = loaded = loading.Loader().load(self.settings)
        fatal = self["check"] or self.settings.plugins.strict
        errors = [*(loaded.errors if fatal else ()), *loaded.missing]
        if errors:
            sys.stderr.write("".join(f"{error}\n" for error in errors))
            raise SystemExit(1)
        yield from loading.describe(loaded)

    def _forget_pidfile(self) -> None:
        """Twistd would write twistd.pid into the directory and refuse a second daemon there, asked for or not."""
        if self.parent is not None and self.parent.get("pidfile") == _TWISTD_PIDFILE:
            self.parent["pidfile"] = ""


def makeService(options: Options) -> IService:
    """Return the daemon as one service of twistd, with the log that its settings ask for."""
    from twisted.internet import reactor  # noqa: PLC0415  importing it installs it, and twistd may want another

    from lwm2md import service  # noqa: PLC0415  a wrong configuration is told without loading the daemon

    clock = SteadyClock(time.time, time.monotonic, _clock_jumped)
    reactor.seconds = clock.seconds  # type: ignore[method-assign]  # so that timers of all kinds keep to it
    observer = logs.for_twistd(options.settings.logging, options.parent or {})
    levels = None if observer is None else observer.configure
    return logs.LoggedService(
        service.make(options.settings, reactor, options.reload, levels, loaded=options.loaded, clock_jumps=clock.jumps),
        observer,
    )


def _clock_jumped(seconds: float) -> None:
    Logger(namespace="lwm2md").warn(
        "the system's clock jumped by {seconds} s; times shown follow slowly, at once after a restart",
        seconds=round(seconds, 1),
    )
