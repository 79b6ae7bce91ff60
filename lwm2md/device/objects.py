"""The Objects of the simulated device: what it has when nobody says otherwise, and what a configuration chooses.

RULES: what is supported is immutable and shared by every device of a process; versions are those that the LwM2M version
implies, but Temperature, which says its own from 1.1 on, and the Gateway. A device has a Server and a Device Object
always. Instances of an Object that may have several can be created and deleted, but not those that describe the device
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from lwm2md.device.sending import Sending
from lwm2md.device.tree import Stored, Supported
from lwm2md.lwm2m.models import Models, default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

SERVER: Final = 1
DEVICE: Final = 3
CONNECTIVITY: Final = 4
LOCATION: Final = 6
GATEWAY: Final = 25
TEMPERATURE: Final = 3303

DISABLE: Final = 4
UPDATE_TRIGGER: Final = 8
BOOTSTRAP_TRIGGER: Final = 9
REBOOT: Final = 4
FACTORY_RESET: Final = 5
RESET_ERRORS: Final = 12
RESET_EXTREMES: Final = 5605

LIFETIME: Final = Path((1, 0, 1))
DISABLE_TIMEOUT: Final = Path((1, 0, 5))
STORING: Final = Path((1, 0, 6))
BINDING: Final = Path((1, 0, 7))
RETRY_COUNT: Final = Path((1, 0, 17))
RETRY_TIMER: Final = Path((1, 0, 18))
SEQUENCE_DELAY: Final = Path((1, 0, 19))
MUTE_SEND: Final = Path((1, 0, 23))
PROFILE_HASH: Final = Path((1, 0, 27))
ERRORS: Final = Path((3, 0, 11))

DEFAULT_DISABLE_TIMEOUT: Final = 86400
DEFAULT_HISTORY: Final = 100

_SECONDS: Final = (0, 2**31 - 1)
_RESOURCES: Final[Mapping[int, frozenset[int]]] = {
    SERVER: frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 23, 26, 27}),
    DEVICE: frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21}),
    CONNECTIVITY: frozenset({0, 1, 2, 3, 4, 8, 9, 10}),
    LOCATION: frozenset({0, 1, 2, 3, 5}),
    TEMPERATURE: frozenset({5700, 5601, 5602, 5603, 5604, 5605, 5701, 5750, 5518}),
}
_USUAL: Final = (SERVER, DEVICE, CONNECTIVITY, LOCATION, TEMPERATURE)
_RETRIES_FROM_1_2: Final = frozenset({17, 18, 19})
_OWN_VERSIONS: Final[Mapping[int, str]] = {GATEWAY: "2.0", TEMPERATURE: "1.1"}
_SENSOR: Final[Mapping[int, Value]] = {5603: -40.0, 5604: 125.0, 5701: "Cel"}
_DESCRIBING: Final = frozenset({0, SERVER, 2, DEVICE, CONNECTIVITY, 5, LOCATION, 7, 21, 23, 24, GATEWAY, 26})


@attrs.frozen(slots=True)
class Child:
    """A device behind a gateway: its id, the prefix of its paths, and what its Instances start with."""

    endpoint: str
    prefix: str
    instances: Mapping[Path, Mapping[int, Stored]] | None = None


@attrs.frozen(slots=True)
class Settings:
    """What makes one device.

    ``endpoint`` is its Endpoint Client Name, ``lifetime`` what it asks for, in seconds, ``queue`` queue mode,
    ``labels`` are further parameters of its Register, ``prefix`` the path before ``/rd`` at its server. ``root`` is
    the alternate path of its own Objects. ``formats`` are the only Content-Formats it has, all of its version where
    there are none; ``content_format`` what it reports several values in where it has the choice. ``profile`` is the
    RFC 6920 suite (1 to 6) of the profile id that it registers with, 0 for none. ``instances`` are the
    Instances that it starts with instead of the usual ones, and ``children`` the devices behind it, whose worlds make
    a step every ``interval`` seconds. ``binding`` are the transports that it says it has; it has UDP. ``history`` is
    how many values of a path, and how many moments of a Send, it stores while it cannot tell them. ``keeps`` says that
    an observation outlives a Confirmable notification that nobody acknowledged. ``sendings`` are what it
    sends by itself.
    """

    endpoint: str
    lifetime: int = 86400
    version: str = "1.1"
    queue: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    prefix: tuple[str, ...] = ()
    root: tuple[str, ...] = ()
    formats: frozenset[int] = frozenset()
    content_format: int | None = None
    profile: int = 0
    instances: Mapping[Path, Mapping[int, Stored]] | None = None
    children: tuple[Child, ...] = ()
    interval: float = 10.0
    binding: str = "U"
    history: int = DEFAULT_HISTORY
    keeps: bool = False
    sendings: tuple[Sending, ...] = ()


def supported(models: Models, version: str) -> Mapping[int, Supported]:
    """The Objects that a device has where nobody says otherwise. Raises LookupError when a model is missing."""
    return {number: of_object(models, version, number) for number in _USUAL}


def of_object(models: Models, version: str, number: int) -> Supported:
    """Object ``number`` as a device of LwM2M ``version`` supports it. Raises LookupError when there is no model."""
    # In the first version of Object 25 the list of Objects is a link, which shows nothing.
    own = _OWN_VERSIONS.get(number) if version != "1.0" or number == GATEWAY else None
    model = models.object(number, own or default_version(number, version))
    if model is None:
        raise LookupError(f"no model of object {number}")
    resources = _RESOURCES.get(number) or frozenset(model.resources)
    if number == SERVER and version == "1.2":
        resources |= _RETRIES_FROM_1_2
    return Supported(
        model,
        resources & model.resources.keys(),
        bounds=dict.fromkeys((1, 2, 3, 5, 17, 18, 19), _SECONDS) if number == SERVER else {},
        choices={7: ("U", "UQ") if version == "1.0" else ("U",)} if number == SERVER else {},
        fill=_SENSOR if number == TEMPERATURE else {},
        dynamic=model.multiple and number not in _DESCRIBING,
    )


def instances(settings: Settings) -> Mapping[Path, Mapping[int, Stored]]:
    """The Instances that a device starts with; what moves is filled in by the simulation."""
    binding = settings.binding + ("Q" if settings.queue and settings.version == "1.0" else "")
    server: dict[int, Stored] = {0: 1, 1: settings.lifetime, 5: DEFAULT_DISABLE_TIMEOUT, 6: True, 7: binding}
    if settings.version != "1.0":
        server[MUTE_SEND[2]] = False
    found: dict[Path, Mapping[int, Stored]] = {
        Path((SERVER, 0)): server,
        Path((DEVICE, 0)): _device(settings.endpoint, binding),
    }
    if settings.instances is None:
        found |= {
            Path((CONNECTIVITY, 0)): {0: 7, 1: {0: 6, 1: 7}, 4: {0: "192.0.2.1"}, 8: 4711, 9: 1, 10: 262},
            Path((LOCATION, 0)): {2: 410.0, 3: 10.0},
            Path((TEMPERATURE, 0)): _THERMOMETER,
        }
    for path, resources in (settings.instances or {}).items():
        found[path] = {**found.get(path, {}), **resources}
    return found


def child_instances(child: Child) -> Mapping[Path, Mapping[int, Stored]]:
    """The Instances that a device behind a gateway starts with."""
    if child.instances is not None:
        return child.instances
    return {Path((DEVICE, 0)): _device(child.endpoint, "U"), Path((TEMPERATURE, 0)): _THERMOMETER}


def _device(endpoint: str, binding: str) -> Mapping[int, Stored]:
    return {
        0: "lwm2md",
        1: "Simulated sensor",
        2: endpoint,
        3: "1.0.0",
        6: {0: 5, 1: 1},
        7: {0: 5000, 1: 3700},
        8: {0: 500, 1: 80},
        11: {0: 0},
        14: "+00:00",
        15: "Etc/UTC",
        16: binding,
        17: "Temperature sensor",
        18: "1.0",
        19: "1.0.0",
        20: 0,
        21: 512,
    }


_THERMOMETER: Final[Mapping[int, Stored]] = {**_SENSOR, 5750: "Room"}
