"""The Objects of the simulated device: Server, Device, Connectivity Monitoring, Location and Temperature.

RULES: what is supported is immutable and shared by every device of a process; versions are those that the LwM2M version
implies, but Temperature, which says its own from 1.1 on. Instances of Temperature can be created and deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from lwm2md.device.tree import Stored, Supported
from lwm2md.lwm2m.models import Models, default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import Value

SERVER: Final = 1
DEVICE: Final = 3
CONNECTIVITY: Final = 4
LOCATION: Final = 6
TEMPERATURE: Final = 3303

DISABLE: Final = 4
UPDATE_TRIGGER: Final = 8
BOOTSTRAP_TRIGGER: Final = 9
REBOOT: Final = 4
FACTORY_RESET: Final = 5
RESET_ERRORS: Final = 12
RESET_EXTREMES: Final = 5605

SHORT_SERVER_ID: Final = Path((1, 0, 0))
LIFETIME: Final = Path((1, 0, 1))
DISABLE_TIMEOUT: Final = Path((1, 0, 5))
BINDING: Final = Path((1, 0, 7))
RETRY_COUNT: Final = Path((1, 0, 17))
RETRY_TIMER: Final = Path((1, 0, 18))
SEQUENCE_DELAY: Final = Path((1, 0, 19))
ERRORS: Final = Path((3, 0, 11))

DEFAULT_DISABLE_TIMEOUT: Final = 86400

_SECONDS: Final = (0, 2**31 - 1)
_RESOURCES: Final[Mapping[int, frozenset[int]]] = {
    SERVER: frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 26}),
    DEVICE: frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21}),
    CONNECTIVITY: frozenset({0, 1, 2, 3, 4, 8, 9, 10}),
    LOCATION: frozenset({0, 1, 2, 3, 5}),
    TEMPERATURE: frozenset({5700, 5601, 5602, 5603, 5604, 5605, 5701, 5750, 5518}),
}
_FROM_1_2: Final = frozenset({17, 18, 19})
_SENSOR: Final[Mapping[int, Value]] = {5603: -40.0, 5604: 125.0, 5701: "Cel"}


@attrs.frozen(slots=True)
class Settings:
    """What makes one device.

    ``endpoint`` is its Endpoint Client Name, ``lifetime`` what it asks for, in seconds, ``queue`` queue mode,
    ``labels`` are further parameters of its Register, ``prefix`` the path before ``/rd`` at its server.
    """

    endpoint: str
    lifetime: int = 86400
    version: str = "1.1"
    queue: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    prefix: tuple[str, ...] = ()


def supported(models: Models, version: str) -> Mapping[int, Supported]:
    """The Objects of a device that speaks LwM2M ``version``. Raises LookupError when a model is missing."""
    found: dict[int, Supported] = {}
    for number, resources in _RESOURCES.items():
        own = "1.1" if number == TEMPERATURE and version != "1.0" else default_version(number, version)
        model = models.object(number, own)
        if model is None:
            raise LookupError(f"no model of object {number}")
        wanted = resources | _FROM_1_2 if number == SERVER and version == "1.2" else resources
        found[number] = Supported(
            model,
            wanted & model.resources.keys(),
            bounds=dict.fromkeys((1, 2, 3, 5, 17, 18, 19), _SECONDS) if number == SERVER else {},
            choices={7: ("U", "UQ") if version == "1.0" else ("U",)} if number == SERVER else {},
            fill=_SENSOR if number == TEMPERATURE else {},
            dynamic=number == TEMPERATURE,
        )
    return found


def instances(settings: Settings) -> Mapping[Path, Mapping[int, Stored]]:
    """The Instances that a device starts with; what moves is filled in by the simulation."""
    binding = "UQ" if settings.queue and settings.version == "1.0" else "U"
    device: dict[int, Stored] = {
        0: "lwm2md",
        1: "Simulated sensor",
        2: settings.endpoint,
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
    return {
        Path((SERVER, 0)): {0: 1, 1: settings.lifetime, 5: DEFAULT_DISABLE_TIMEOUT, 6: False, 7: binding},
        Path((DEVICE, 0)): device,
        Path((CONNECTIVITY, 0)): {0: 7, 1: {0: 6, 1: 7}, 4: {0: "192.0.2.1"}, 8: 4711, 9: 1, 10: 262},
        Path((LOCATION, 0)): {2: 410.0, 3: 10.0},
        Path((TEMPERATURE, 0)): {**_SENSOR, 5750: "Room"},
    }
