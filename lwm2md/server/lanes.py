"""Whose turn it is: the queues of operations that leave one after the other to the same device.

RULES: higher priority first, then the older. A gateway and the devices behind it have a queue each, and take turns in
one lane, since nothing may leave for any of them while the gateway sleeps or owes an answer.
"""

from __future__ import annotations

from collections import deque

from lwm2md.server.records import Device, Operation


def insert(device: Device, operation: Operation) -> None:
    """Put an operation in its place in the device's queue."""
    if device.queue is None:
        device.queue = deque()
    place = len(device.queue)
    while place and device.queue[place - 1].request.priority < operation.request.priority:
        place -= 1
    device.queue.insert(place, operation)


def take(carrier: Device) -> tuple[Device, Operation] | None:
    """Take the next operation out of its queue: of a device and those behind it, the one that waits longest."""
    chosen = carrier
    if carrier.children:
        waiting = [(each.queue[0], each) for each in (carrier, *carrier.children.values()) if each.queue]
        if waiting:
            chosen = min(waiting, key=lambda pair: (-pair[0].request.priority, pair[0].created))[1]
    if not chosen.queue:
        return None
    operation = chosen.queue.popleft()
    chosen.queue = chosen.queue or None  # an empty deque would be half of what a device costs
    return chosen, operation
