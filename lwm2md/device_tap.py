"""The device's command line: ``twistd -n lwm2m-device [--world FILE] [--server URI] [--fleet N] ...``.

Everything is checked here, before twistd opens anything: what is wrong is said in one line, and the exit status is 1.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from twisted.application.service import IService
from twisted.python import usage

from lwm2md.device_security import OPTIONS

if TYPE_CHECKING:
    from lwm2md.device_service import Plan

_TWISTD_PIDFILE: Final = "twistd.pid"


class Options(usage.Options):
    """The options of ``twistd lwm2m-device``; afterwards ``plan`` says which devices to run."""

    synopsis = "[--world FILE] [--server URI] [--endpoint NAME | --fleet N] [options]"
    longdesc = "A simulated LwM2M device, or a fleet of them in one process, each with a socket of its own."
    optParameters = [  # noqa: N815, RUF012
        [
            "server",
            "s",
            None,
            "The LwM2M server, coap://HOST[:PORT][/PATH] or coaps://... (default: coap://127.0.0.1:5683).",
        ],
        ["endpoint", "e", None, "The Endpoint Client Name of a single device (default: lwm2m-device)."],
        ["fleet", "n", None, "Run that many devices."],
        ["endpoint-pattern", None, None, "The names of a fleet, formatted with 1, 2, 3 ... (default: sensor-{:06d})."],
        ["lifetime", None, None, "The lifetime of the registration, in seconds (default: 300)."],
        ["stagger", None, None, "Spread the start of a fleet over so many seconds (default: a millisecond a device)."],
        ["interval", None, None, "Seconds between two changes of the simulated values (default: 10)."],
        *([name, None, default, text] for name, default, text in OPTIONS),
    ]
    optFlags = [  # noqa: N815, RUF012
        ["queue", "q", "Register in queue mode (it sleeps only if a world file says so)."],
        ["verbose", "v", "Log every request and notification of a fleet too; a single device always does."],
        ["quiet", None, "Log no request or notification of a single device either."],
    ]

    plan: Plan

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["label"] = []
        self["version"] = None
        self["world"] = []

    def opt_version(self, version: str) -> None:  # type: ignore[override]
        """The LwM2M version: 1.0, 1.1 or 1.2 (default: 1.1)."""
        self["version"] = version

    def opt_world(self, file: str) -> None:
        """Run the devices that a TOML file describes; may be given again. Other options stand over the file."""
        self["world"].append(file)

    def opt_label(self, label: str) -> None:
        """Send a further registration parameter, as key=value; {} in it is the device's number; may be given again."""
        self["label"].append(label)

    def postOptions(self) -> None:
        """Check everything and make the plan; raises SystemExit after a line on standard error where it is wrong."""
        if self.parent is not None and self.parent.get("pidfile") == _TWISTD_PIDFILE:
            self.parent["pidfile"] = ""
        from lwm2md.device.faults import WorldErrors  # noqa: PLC0415  --help needs none of it
        from lwm2md.device_plan import plan  # noqa: PLC0415

        try:
            self.plan = plan(self)
        except usage.UsageError as error:
            sys.stderr.write(f"lwm2m-device: {error}\n")
        except WorldErrors as errors:
            sys.stderr.write("".join(f"lwm2m-device: {fault}\n" for fault in errors.faults))
        else:
            return
        raise SystemExit(1)


def makeService(options: Options) -> IService:
    """Return the devices as one service of twistd, with a log of readable lines."""
    from twisted.internet import reactor  # noqa: PLC0415  importing it installs it, and twistd may want another

    from lwm2md import logs  # noqa: PLC0415
    from lwm2md.config.schema import Logging  # noqa: PLC0415
    from lwm2md.device_service import Fleet  # noqa: PLC0415

    observer = logs.for_twistd(Logging(), options.parent or {})
    return logs.LoggedService(Fleet(reactor, options.plan), observer)
