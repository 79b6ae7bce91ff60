"""A fleet of sleeping devices with commands that wait for each, written into the state of a daemon to be started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.paths import Path as ResourcePath
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.records import Operation, OperationRequest, Registration
from lwm2md.server.registrationrows import registration_row
from lwm2md.storage._database import Database
from lwm2md.storage.interface import Batch

_PATHS = ("/1/0", "/3/0", "/4/0", "/5/0", "/6/0", "/7/0", "/3303/0", "/3303/1", "/3304/0", "/3315/0")
_READ = (5700, 5601, 5602, 5603, 5604, 5701)
_DAY = 86400.0
_SLEEPING = 3600.0
_AT_ONCE = 50_000
_FIRST_PORT, _SOCKETS = 20_000, 12_000
"""The sockets of the load generator, which devices share."""


def prepare(state: Path, port: int, *, devices: int, commands: int) -> None:
    """Write ``devices`` at ``port`` that were last heard of an hour ago, with ``commands`` reads that wait for each."""
    database = Database(state / "lwm2md.sqlite")
    database.open()
    local = Endpoint("127.0.0.1", port)

    def peer(number: int) -> bytes:
        return pack(local, Endpoint("127.0.0.1", _FIRST_PORT + number % _SOCKETS))

    found = rows(peer, devices, commands, time.time())
    while writes := tuple(islice(found, _AT_ONCE)):
        database.commit(Batch(writes))
    database.close()


def rows(peer: Callable[[int], bytes], devices: int, commands: int, now: float) -> Iterator[Write]:
    """The rows of such a fleet; ``peer`` says where each device is."""
    objects = ObjectList("/", (), tuple(map(ResourcePath.parse, _PATHS)), {}, ())
    for number in range(devices):
        endpoint = f"bench-{number:06d}"
        registration = Registration(
            f"wake{number:06d}", endpoint, peer(number), "coap", None, "1.1", int(_DAY), "U",
            queue_mode=True, sms=None, objects=objects, labels={}, registered_at=now - _DAY, updated_at=now - _SLEEPING,
        )  # fmt: skip
        yield Write(stored.REGISTRATIONS, endpoint, registration_row(registration))
        for command in range(commands):
            request = OperationRequest(op="read", path=f"/3303/0/{_READ[command]}")
            path = ResourcePath((3303, 0, _READ[command]))
            operation = Operation(
                f"{number:010x}{command:06x}", endpoint, request, path, (), now + command / 10, now + _DAY
            )
            yield Write(stored.OPERATIONS, operation.id, stored.operation_row(operation))
