"""In which ways each device departs from the specifications: what its payloads were read in spite of.

RULES: nothing is kept of a device without deviations. A new kind is on its way to storage with the next flush, a known
one each time when its count has doubled; at the end all of them. Kinds and samples are bounded, whatever a device
sends. What each kind means, and what to do about it, is in `lwm2md.server.diagnoses`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from lwm2md.lwm2m.nodes import Note
from lwm2md.server.known import Deviation
from lwm2md.server.records import Device
from lwm2md.server.state import State

MOST_KINDS: Final = 64
SAMPLE: Final = 128
REFUSED_STREAM: Final = "refused-stream"
SILENT_STREAM: Final = "silent-stream"


def noting(state: State, device: Device, payload: bytes, now: float) -> Note:
    """What a decoder tells of the deviations that it passed over in a payload of a device."""

    def note(kind: str) -> None:
        count(state, (kind,))
        if _count(device, kind, payload, now):
            state.found_out.add(device)

    return note


def count(state: State, kinds: Iterable[str]) -> None:
    """Count what was passed over, of any device."""
    for kind in kinds:
        state.deviations[kind] = state.deviations.get(kind, 0) + 1


def deviations_of(device: Device) -> dict[str, Deviation]:
    """Those known of a device by kind: of its registration, and of what it answered and notified."""
    found: dict[str, Deviation] = {}
    registration = device.registration
    if registration is not None:
        first, last = registration.registered_at, registration.updated_at
        found = {kind: Deviation(kind, first, last) for kind in registration.objects.deviations}
    return {**found, **(device.deviations or {})}


def kinds_of(device: Device) -> Collection[str]:
    """The kinds of those known of a device, each once."""
    registration = device.registration
    registered = registration.objects.deviations if registration is not None else ()
    found = device.deviations
    return {*registered, *found} if registered and found else found or registered


def has(device: Device, kind: str) -> bool:
    """Whether a device has a deviation of a kind."""
    return kind in kinds_of(device)


def _count(device: Device, kind: str, payload: bytes, now: float) -> bool:
    """Count one; whether that is to be stored."""
    if device.deviations is None:
        device.deviations = {}
    known = device.deviations.get(kind)
    if known is None and len(device.deviations) < MOST_KINDS:
        device.deviations[kind] = Deviation(kind, now, now, sample=payload[:SAMPLE] or None)
        return True
    if known is None:
        return False
    known.count, known.last, known.sample = known.count + 1, now, payload[:SAMPLE] or known.sample
    return known.count >= 2 * known.stored
