"""In which ways each device departs from the specifications: what its payloads were read in spite of.

RULES: nothing is kept of a device without deviations. They are in memory only: after a restart the list begins anew,
with what is stored of the registration. Kinds and samples are bounded, whatever a device sends.
"""

from __future__ import annotations

from typing import Final

from lwm2md.lwm2m.nodes import Note
from lwm2md.server.records import Deviation, Device

MOST_KINDS: Final = 64
SAMPLE: Final = 128


def noting(device: Device, payload: bytes, now: float) -> Note:
    """What a decoder tells of the deviations that it passed over in a payload of a device."""

    def note(kind: str) -> None:
        _count(device, kind, payload, now)

    return note


def deviations_of(device: Device) -> dict[str, Deviation]:
    """Those known of a device by kind: of its registration, and of what it answered and notified."""
    found: dict[str, Deviation] = {}
    registration = device.registration
    if registration is not None:
        first, last = registration.registered_at, registration.updated_at
        found = {kind: Deviation(kind, first, last) for kind in registration.objects.deviations}
    return {**found, **(device.deviations or {})}


def _count(device: Device, kind: str, payload: bytes, now: float) -> None:
    if device.deviations is None:
        device.deviations = {}
    known = device.deviations.get(kind)
    if known is not None:
        known.count, known.last, known.sample = known.count + 1, now, payload[:SAMPLE]
    elif len(device.deviations) < MOST_KINDS:
        device.deviations[kind] = Deviation(kind, now, now, sample=payload[:SAMPLE])
