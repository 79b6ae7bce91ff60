"""From options and world files to a plan of devices: the command line stands over the file, the file over the defaults.

RULES: everything is checked here, before anything is opened; a mistake of the command line is one UsageError, those of
world files are told together. ``{n}`` and ``{endpoint}`` in strings of a file, and ``{}`` in those of the command line,
are filled in for each device.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from twisted.python import usage

from lwm2md.device.faults import Fault, WorldErrors
from lwm2md.device.objects import Settings
from lwm2md.device.script import Script, fill
from lwm2md.device.worldfile import DEFAULT_INTERVAL, DEFAULT_VERSION, RESERVED, VERSIONS, Given, WorldFile, parse
from lwm2md.device_security import refuse, security
from lwm2md.device_service import Group, Plan, built_in_models
from lwm2md.lwm2m.formats import NUMBERS
from lwm2md.lwm2m.models import Models
from lwm2md.net.addresses import Endpoint

DEFAULT_PORT: Final = 5683
SECURE_PORT: Final = 5684
DEFAULT_SERVER: Final = "coap://127.0.0.1:5683"
DEFAULT_LIFETIME: Final = 300
DEFAULT_ENDPOINT: Final = "lwm2m-device"
DEFAULT_PATTERN: Final = "sensor-{:06d}"
MAX_FLEET: Final = 1_000_000

_LONGEST: Final = 86400.0
_MAX_ARGUMENT: Final = 255

Options = Mapping[str, Any]


def plan(options: Options) -> Plan:
    """The devices that ``options`` and the world files they name ask for. Raises UsageError and WorldErrors."""
    given = _given(options)
    worlds = _load(options["world"], given) if options["world"] else [WorldFile(Script())]
    groups = tuple(_group(options, world, given) for world in worlds)
    names = [settings.endpoint for group in groups for settings in group.devices]
    if len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        raise usage.UsageError(f"--endpoint-pattern: {twice!r} would be the name of two devices")
    if options["verbose"] and options["quiet"]:
        raise usage.UsageError("--quiet: it cannot be --verbose too")
    return Plan(groups, verbose=bool(options["verbose"]) or (len(names) == 1 and not options["quiet"]))


def _given(options: Options) -> Given:
    version, interval = options["version"], options["interval"]
    if version is not None and version not in VERSIONS:
        raise usage.UsageError(f"--version: {version!r} is none of {', '.join(VERSIONS)}")
    return Given(version, None if interval is None else _seconds("interval", interval, 0.1))


def _load(names: list[str], given: Given) -> list[WorldFile]:
    """Read all files, and raise WorldErrors with what is wrong in any of them."""
    models = built_in_models()
    worlds: list[WorldFile] = []
    faults: list[Fault] = []
    for name in names:
        try:
            worlds.append(load(name, models, given))
        except WorldErrors as errors:
            faults += errors.faults
    if faults:
        raise WorldErrors(faults)
    return worlds


def load(name: str, models: Models, given: Given | None = None) -> WorldFile:
    """Read the world file ``name`` and the recordings beside it. Raises WorldErrors."""
    path = Path(name)
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise WorldErrors([Fault(name, "", f"a file that can be read ({reason})")]) from error

    def beside(other: str) -> str:
        return (path.parent / other).read_text("utf-8")

    return parse(text, file=name, models=models, read_file=beside, given=given)


def _group(options: Options, world: WorldFile, given: Given) -> Group:
    uri = options["server"] or world.server or DEFAULT_SERVER
    server, prefix = _server(uri)
    secured = None
    if urlsplit(uri).scheme == "coaps":
        secured = security(options, urlsplit(uri).hostname or "", _format)
    else:
        refuse(options)
    count, name = _names(options, world)
    lifetime = world.lifetime or DEFAULT_LIFETIME
    if options["lifetime"] is not None:
        lifetime = _whole("lifetime", options["lifetime"], 1, 2**31 - 1)
    interval = given.interval or world.interval or DEFAULT_INTERVAL
    devices = []
    for number in range(1, count + 1):
        endpoint = _argument("--endpoint", name(number))
        devices.append(
            Settings(
                endpoint,
                lifetime,
                given.version or world.version or DEFAULT_VERSION,
                bool(options["queue"] or world.queue),
                _labels(options["label"], world, endpoint, number),
                prefix,
                root=tuple((world.path or "").split("/")[1:]),
                formats=frozenset(NUMBERS[one] for one in world.formats),
                content_format=None if world.report_format is None else NUMBERS[world.report_format],
                profile=world.profile,
                interval=interval,
                binding=world.binding,
                history=world.history,
                keeps=world.keeps,
                sendings=world.sendings,
            )
        )
    stagger = count / 1000 if world.stagger is None else world.stagger
    if options["stagger"] is not None:
        stagger = _seconds("stagger", options["stagger"], 0.0)
    if secured is not None and secured.identity is not None and secured.key is not None:
        for number, settings in enumerate(devices, 1):
            secured.key(secured.identity(number, settings.endpoint))
    return Group(server, tuple(devices), stagger, world.script if options["world"] else None, secured)


def _names(options: Options, world: WorldFile) -> tuple[int, Callable[[int], str]]:
    """How many devices there are, and what each of them is called."""
    count = world.fleet
    if options["fleet"] is not None:
        count = _whole("fleet", options["fleet"], 1, MAX_FLEET)
    single, pattern = options["endpoint"], options["endpoint-pattern"]
    if single is not None:
        if count is not None:
            raise usage.UsageError("--endpoint: a fleet is named by --endpoint-pattern")
        return 1, lambda _: str(single)
    if pattern is None and world.endpoint is not None:
        template = world.endpoint
        return count or 1, lambda number: fill(template, "", number)
    if count is None:
        return 1, lambda _: DEFAULT_ENDPOINT
    shown = DEFAULT_PATTERN if pattern is None else pattern
    return count, lambda number: _format("endpoint-pattern", shown, number)


def _server(uri: str) -> tuple[Endpoint, tuple[str, ...]]:
    """The address and path of a server's URI. Raises UsageError."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or (SECURE_PORT if parts.scheme == "coaps" else DEFAULT_PORT)
    except ValueError as error:
        raise usage.UsageError(f"--server: {uri!r} is no URI: {error}") from None
    if parts.scheme not in {"coap", "coaps"} or not host or parts.query or parts.fragment or parts.username is not None:
        raise usage.UsageError(f"--server: {uri!r} is not of the form coap://HOST[:PORT][/PATH] or coaps://")
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


def _labels(asked: list[str], world: WorldFile, endpoint: str, number: int) -> tuple[tuple[str, str], ...]:
    """The labels of a device: those of the file, and over them those of the command line."""
    found = {key: _label_text(key, fill(value, endpoint, number)) for key, value in world.labels}
    for label in asked:
        key, equals, value = label.partition("=")
        if not (equals and key.isascii() and key.isidentifier()):
            raise usage.UsageError(f"--label: {label!r} is not of the form key=value")
        if key in RESERVED:
            raise usage.UsageError(f"--label: {key!r} is a parameter of the registration itself")
        found[key] = _label_text(key, _format("label", value, number))
    return tuple(found.items())


def _label_text(key: str, text: str) -> str:
    return _argument("--label", text, len(key) + 1)


def _format(name: str, pattern: str, number: int) -> str:
    try:
        return pattern.format(number)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise usage.UsageError(f"--{name}: {pattern!r} cannot be formatted with a number: {error}") from None


def _argument(name: str, text: str, taken: int = len("ep=")) -> str:
    if not text or not text.isprintable() or len(text.encode("utf-8", "replace")) + taken > _MAX_ARGUMENT:
        raise usage.UsageError(f"{name}: {text[:40]!r} is empty, too long or not printable")
    return text
