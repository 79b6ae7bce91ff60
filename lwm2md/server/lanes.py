"""Whose turn it is: the queues of operations that leave one after the other to the same device.

RULES: higher priority first, then the older, of those that may leave now. A gateway and the devices behind it have a
queue each, and take turns in one lane, since nothing may leave for any of them while the gateway owes an answer. A
request that only asks what another one asks that waits joins it; a Write that waits gives way to the next one of the
same path. Neither passes over anything in between that it may depend on, and nothing that happens but once is touched.
"""

from __future__ import annotations

from typing import Final

from lwm2md.lwm2m.paths import Path
from lwm2md.server.records import (
    DISCOVER,
    NEXT_CONTACT,
    NOW,
    READ,
    READ_COMPOSITE,
    WINDOW,
    WRITE,
    Device,
    Operation,
    OperationRequest,
    Order,
)

_ASKING: Final = frozenset({READ, DISCOVER, READ_COMPOSITE})
_PASSED: Final = frozenset({READ, WRITE})
_SHAPING: Final = ("op", "path", "paths", "depth", "format", "timeout", "force", "when", "retries")


def insert(device: Device, operation: Operation) -> None:
    """Put an operation in its place in the device's queue."""
    if device.queue is None:
        device.queue = []
    place = len(device.queue)
    while place and device.queue[place - 1].request.priority < operation.request.priority:
        place -= 1
    device.queue.insert(place, operation)


def remove(device: Device, operation: Operation) -> None:
    """Take an operation out of the device's queue, if it waits there."""
    if device.queue is not None and operation in device.queue:
        device.queue.remove(operation)
        device.queue = device.queue or None


def take(carrier: Device, *, is_open: bool) -> tuple[Device, Operation] | None:
    """Take the next operation that may leave out of its queue: of a device and those behind it, the longest waiting."""
    queue = carrier.queue
    if queue and is_open and not carrier.children and queue[0].request.when == WINDOW:
        operation = queue.pop(0)  # as nearly always
        if not queue:
            carrier.queue = None
        return carrier, operation
    chosen, first = carrier, _first(carrier, carrier, is_open)
    for child in (carrier.children or {}).values():
        other = _first(child, carrier, is_open)
        if other is not None and (first is None or _rank(other) < _rank(first)):
            chosen, first = child, other
    if first is None:
        return None
    remove(chosen, first)
    return chosen, first


def may_leave(operation: Operation, carrier: Device, *, is_open: bool) -> bool:
    """Whether an operation may leave, whose device listens and can be reached or not."""
    when = operation.request.when
    if when == NOW:
        return True
    return is_open and (when != NEXT_CONTACT or carrier.last_seen > operation.created)


def _first(device: Device, carrier: Device, is_open: bool) -> Operation | None:
    for operation in device.queue or ():
        if may_leave(operation, carrier, is_open=is_open):
            return operation
    return None


def _rank(operation: Operation) -> tuple[int, float]:
    return -operation.request.priority, operation.created


def joined(device: Device, order: Order) -> Operation | None:
    """The operation that waits already and asks what this order asks, and nothing in between changes the answer."""
    request = order.request
    if request.op not in _ASKING or request.key is not None:
        return None
    for operation in reversed(device.queue or ()):
        if operation.op not in _ASKING:
            return None
        if operation.internal or operation.request.key is not None:
            continue
        if operation.request.priority >= request.priority and _alike(operation.request, request):
            return operation
    return None


def replaced(device: Device, order: Order) -> Operation | None:
    """The Write that waits already, that this order would overwrite, and nothing in between has to do with it."""
    request = order.request
    if request.op != WRITE:
        return None
    for operation in reversed(device.queue or ()):
        if operation.op == WRITE and operation.path == order.path:
            return operation if operation.request.priority <= request.priority else None
        if operation.op not in _PASSED or _overlap(operation.path, order.path):
            return None
    return None


def _alike(one: OperationRequest, other: OperationRequest) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _SHAPING)


def _overlap(one: Path, other: Path) -> bool:
    return one.covers(other) or other.covers(one)
