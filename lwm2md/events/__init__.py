"""The event types: everybody's vocabulary for what happens to the fleet.

An event is made by the pure core, gets its id when it is delivered, and then looks the same to every reader:
server-sent events, plugins, message brokers. This package is at the bottom: it imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

DEVICE_REGISTERED: Final = "device.registered"
DEVICE_UPDATED: Final = "device.updated"
DEVICE_DEREGISTERED: Final = "device.deregistered"
DEVICE_EXPIRED: Final = "device.expired"
DEVICE_FORGOTTEN: Final = "device.forgotten"
DEVICE_VALUE: Final = "device.value"
DEVICE_AWAKE: Final = "device.awake"
DEVICE_SLEEPING: Final = "device.sleeping"
DEVICE_NOT_RESPONDING: Final = "device.not-responding"
DEVICE_RESPONDING: Final = "device.responding"
OPERATION_DONE: Final = "operation.done"
OPERATION_FAILED: Final = "operation.failed"
STORAGE_FAILED: Final = "storage.failed"
STORAGE_RECOVERED: Final = "storage.recovered"
STORAGE_RESTORED: Final = "storage.restored"
PLUGIN_FAILED: Final = "plugin.failed"
SECURITY_REFUSED: Final = "security.refused"

TYPES: Final = (
    DEVICE_REGISTERED,
    DEVICE_UPDATED,
    DEVICE_DEREGISTERED,
    DEVICE_EXPIRED,
    DEVICE_FORGOTTEN,
    DEVICE_VALUE,
    DEVICE_AWAKE,
    DEVICE_SLEEPING,
    DEVICE_NOT_RESPONDING,
    DEVICE_RESPONDING,
    OPERATION_DONE,
    OPERATION_FAILED,
    STORAGE_FAILED,
    STORAGE_RECOVERED,
    STORAGE_RESTORED,
    PLUGIN_FAILED,
    SECURITY_REFUSED,
)


class Timestamp(float):
    """Unix seconds inside an event's fields or another document: JSON shows them as RFC 3339 in UTC."""

    __slots__ = ()


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, before it has an id.

    ``time`` is in Unix seconds. ``labels`` are those of the device at that moment. ``fields`` holds what belongs to the
    type, as documents ready for JSON: times wrapped in ``Timestamp``, values as ``lwm2md.lwm2m.rows.ValueRow``; where
    they are at hand as one JSON object they are its ``own``, and ``fields`` is empty. A
    ``stored`` event is replayed to readers that come back; the others (pure refreshes) are live only and never cause a
    gap.
    """

    type: str
    time: float
    endpoint: str | None
    labels: Mapping[str, str] = {}
    fields: Mapping[str, object] = {}
    stored: bool = True
    own: bytes = b""
