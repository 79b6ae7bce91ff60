"""The device's command line: ``twistd -n lwm2m-device [--server URI] [--endpoint NAME | --fleet N] ...``.

Everything is checked here, before twistd opens anything: what is wrong is said in one line, and the exit status is 1.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from twisted.application.service import IService
from twisted.python import usage

from lwm2md.net.addresses import Endpoint

if TYPE_CHECKING:
    from lwm2md.device_service import Plan

DEFAULT_PORT: Final = 5683
MAX_FLEET: Final = 1_000_000
_LONGEST: Final = 86400.0
_TWISTD_PIDFILE: Final = "twistd.pid"
_VERSIONS: Final = ("1.0", "1.1", "1.2")
_RESERVED: Final = frozenset({"ep", "lt", "lwm2m", "b", "Q", "sms", "pid"})
_MAX_ARGUMENT: Final = 255


class Options(usage.Options):
    """The options of ``twistd lwm2m-device``; afterwards ``plan`` says which devices to run."""

    synopsis = "[--server URI] [--endpoint NAME | --fleet N] [options]"
    longdesc = "A simulated LwM2M device, or a fleet of them in one process, each with a socket of its own."
    optParameters = [  # noqa: N815, RUF012
        ["server", "s", "coap://127.0.0.1:5683", "The LwM2M server, coap://HOST[:PORT][/PATH]."],
        ["endpoint", "e", None, "The Endpoint Client Name of a single device (default: lwm2m-device)."],
        ["fleet", "n", None, "Run that many devices."],
        ["endpoint-pattern", None, "sensor-{:06d}", "The names of a fleet, formatted with 1, 2, 3 and so on."],
        ["lifetime", None, "300", "The lifetime of the registration, in seconds."],
        ["stagger", None, None, "Spread the start of a fleet over so many seconds (default: a millisecond a device)."],
        ["interval", None, "10", "Seconds between two changes of the simulated values."],
    ]
    optFlags = [  # noqa: N815, RUF012
        ["queue", "q", "Register in queue mode (the flag only, the device stays awake)."],
        ["verbose", "v", "Log every request and notification too."],
    ]

    plan: Plan

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["label"] = []
        self["version"] = "1.1"

    def opt_version(self, version: str) -> None:  # type: ignore[override]
        """The LwM2M version: 1.0, 1.1 or 1.2 (default: 1.1)."""
        self["version"] = version

    def opt_label(self, label: str) -> None:
        """Send a further registration parameter, as key=value; {} in it is the device's number; may be given again."""
        self["label"].append(label)

    def postOptions(self) -> None:
        """Check everything and make the plan; raises SystemExit after a line on standard error where it is wrong."""
        if self.parent is not None and self.parent.get("pidfile") == _TWISTD_PIDFILE:
            self.parent["pidfile"] = ""
        try:
            self.plan = self._plan()
        except usage.UsageError as error:
            sys.stderr.write(f"lwm2m-device: {error}\n")
            raise SystemExit(1) from None

    def _plan(self) -> Plan:
        from lwm2md.device.objects import Settings  # noqa: PLC0415  --help needs none of it
        from lwm2md.device_service import Plan  # noqa: PLC0415

        server, prefix = _server(self["server"])
        if self["version"] not in _VERSIONS:
            raise usage.UsageError(f"--version: {self['version']!r} is none of {', '.join(_VERSIONS)}")
        lifetime = _whole("lifetime", self["lifetime"], 1, 2**31 - 1)
        numbers, name = self._names()
        settings = [
            Settings(
                _argument("endpoint", name(number)),
                lifetime,
                self["version"],
                bool(self["queue"]),
                tuple(_label(label, number) for label in self["label"]),
                prefix,
            )
            for number in numbers
        ]
        if len({one.endpoint for one in settings}) < len(settings):
            raise usage.UsageError(f"--endpoint-pattern: {self['endpoint-pattern']!r} gives the same name twice")
        stagger = str(len(settings) / 1000) if self["stagger"] is None else self["stagger"]
        return Plan(
            server=server,
            devices=tuple(settings),
            stagger=_seconds("stagger", stagger, 0.0),
            interval=_seconds("interval", self["interval"], 0.1),
            verbose=bool(self["verbose"]),
        )

    def _names(self) -> tuple[range, Callable[[int], str]]:
        if self["fleet"] is None:
            single = "lwm2m-device" if self["endpoint"] is None else self["endpoint"]
            return range(1, 2), lambda _: single
        if self["endpoint"] is not None:
            raise usage.UsageError("--endpoint: a fleet is named by --endpoint-pattern")
        count = _whole("fleet", self["fleet"], 1, MAX_FLEET)
        pattern = self["endpoint-pattern"]
        return range(1, count + 1), lambda number: _format("endpoint-pattern", pattern, number)


def _server(uri: str) -> tuple[Endpoint, tuple[str, ...]]:
    """The address and path of a server's URI. Raises UsageError."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise usage.UsageError(f"--server: {uri!r} is no URI: {error}") from None
    if parts.scheme != "coap" or not host or parts.query or parts.fragment or parts.username is not None:
        raise usage.UsageError(f"--server: {uri!r} is not of the form coap://HOST[:PORT][/PATH]")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise usage.UsageError(f"--server: no address for {host!r}: {error.strerror}") from None
    prefix = tuple(unquote(segment) for segment in parts.path.split("/") if segment)
    address = found[0][4]
    scope = int(address[3]) if len(address) == 4 else 0
    return Endpoint(str(address[0]).partition("%")[0], port, scope), prefix


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise usage.UsageError(f"--{name}: {text!r} is no whole number from {low} to {high}")
    return int(text)


def _seconds(name: str, text: str, low: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= _LONGEST:
        raise usage.UsageError(f"--{name}: {text!r} is no number of seconds from {low:g} to {_LONGEST:g}")
    return value


def _label(label: str, number: int) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not (equals and key.isascii() and key.isidentifier()):
        raise usage.UsageError(f"--label: {label!r} is not of the form key=value")
    if key in _RESERVED:
        raise usage.UsageError(f"--label: {key!r} is a parameter of the registration itself")
    return key, _argument("label", _format("label", value, number), len(key) + 1)


def _format(name: str, pattern: str, number: int) -> str:
    try:
        return pattern.format(number)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise usage.UsageError(f"--{name}: {pattern!r} cannot be formatted with a number: {error}") from None


def _argument(name: str, text: str, taken: int = len("ep=")) -> str:
    if not text or not text.isprintable() or len(text.encode("utf-8", "replace")) + taken > _MAX_ARGUMENT:
        raise usage.UsageError(f"--{name}: {text[:40]!r} is empty, too long or not printable")
    return text


def makeService(options: Options) -> IService:
    """Return the devices as one service of twistd, with a log of readable lines."""
    from twisted.internet import reactor  # noqa: PLC0415  importing it installs it, and twistd may want another

    from lwm2md import logs  # noqa: PLC0415
    from lwm2md.config.schema import Logging  # noqa: PLC0415
    from lwm2md.device_service import Fleet  # noqa: PLC0415

    observer = logs.for_twistd(Logging(), options.parent or {})
    return logs.LoggedService(Fleet(reactor, options.plan), observer)
